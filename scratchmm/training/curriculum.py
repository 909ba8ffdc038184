"""Curriculum: the easy before the hard, in stages or by degrees.

Stages say for how many steps which data is shown and which objectives count how much: first match
images with words, then answer. By degrees, samples are sorted by difficulty and drawn from an
easy share that grows until it is all of them.

Papers: Curriculum Learning (Bengio and others, ICML 2009); Competence-based Curriculum Learning for
Neural Machine Translation (arXiv 1903.09848), equation 7, for the share that grows.
Differs from the papers: nothing; both come as batches by step, which `training.fit` asks for.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scratchmm.sentences import check_count, check_number
from scratchmm.training.sampling import seeded

MOST_STEPS = 10**12


@dataclass(frozen=True)
class Stage:
    """Some steps with the same data and objectives."""

    name: str
    steps: int
    batch_at: Callable[[int], Any]  # the batch of a step, which counts from 0 in every stage
    objectives: Mapping[str, float]  # the weight of each loss; those not named here rest

    def __post_init__(self) -> None:
        check_count(f"steps of stage {self.name!r}", self.steps, most=MOST_STEPS)
        for name, weight in self.objectives.items():
            check_number(f"weight of {name!r} in stage {self.name!r}", weight)
        if not any(weight > 0 for weight in self.objectives.values()):
            raise ValueError(f"stage {self.name!r} has no objective with a weight above 0")


class StagedBatch(NamedTuple):
    """A batch, the stage it is of, and the objectives that count there."""

    batch: Any
    stage: str
    objectives: dict[str, float]


def staged_batches(stages: Sequence[Stage]) -> Callable[[int], StagedBatch]:
    """A function from the step of the whole run to its batch: one stage after the other.

    Steps beyond the last stage go on in it.

    >>> first = Stage("match", 2, lambda step: f"pair {step}", {"matching": 1.0})
    >>> second = Stage("answer", 3, lambda step: f"question {step}", {"answers": 1.0})
    >>> batch_at = staged_batches([first, second])
    >>> [batch_at(step).batch for step in range(4)]
    ['pair 0', 'pair 1', 'question 0', 'question 1']
    """
    if not stages:
        raise ValueError("a curriculum of 0 stages has no batches")

    def batch_at(step: int) -> StagedBatch:
        for stage in stages:
            if step < stage.steps or stage is stages[-1]:
                return StagedBatch(stage.batch_at(step), stage.name, dict(stage.objectives))
            step -= stage.steps
        raise AssertionError("the last stage has no end")

    return batch_at


def staged_loss(
    losses: Mapping[str, Callable[[Any, Any], Tensor]],
) -> Callable[[Any, StagedBatch], Tensor]:
    """The weighted sum of the losses that count in a batch's stage; the others are not computed.

    Raises ValueError when a stage names an objective that there is no loss for.

    >>> loss = staged_loss({"double": lambda model, x: 2 * x, "square": lambda model, x: x * x})
    >>> loss(None, StagedBatch(torch.tensor(3.0), "both", {"double": 0.5, "square": 1.0})).item()
    12.0
    """

    def loss(model: Any, staged: StagedBatch) -> Tensor:
        total: Tensor | float = 0.0
        for name, weight in staged.objectives.items():
            if name not in losses:
                known = ", ".join(losses)
                raise ValueError(f"stage {staged.stage!r} wants {name!r}, which is none of {known}")
            if weight:
                total = total + weight * losses[name](model, staged.batch)
        assert isinstance(total, Tensor)  # a stage has an objective
        return total

    return loss


def competence(step: int, steps: int, start: float = 0.1) -> float:
    """The share of the samples, easiest first, that a learner is up to: from `start` to 1.

    min(1, sqrt(step * (1 - start^2) / steps + start^2)): fast at first, for then each new sample
    comes often.

    >>> [round(competence(step, 4, 0.5), 3) for step in range(6)]
    [0.5, 0.661, 0.791, 0.901, 1.0, 1.0]
    """
    check_count("step", step, least=0, most=MOST_STEPS)
    check_count("steps", steps, most=MOST_STEPS)
    check_number("start", start, least=0, most=1)
    return min(1.0, math.sqrt(step * (1 - start**2) / steps + start**2))


def growing_batches(
    difficulty: Tensor, batch_size: int, steps: int, start: float = 0.1, seed: int = 0
) -> Callable[[int], Tensor]:
    """A function from the step to the indices (B,) of its batch, drawn from the easiest samples.

    difficulty: (N,), any numbers. The share grows as `competence` says and is all at step `steps`;
    at least a batch is always open, and no sample comes twice in a batch.

    >>> batch_at = growing_batches(torch.tensor([9.0, 1.0, 5.0, 3.0]), batch_size=2, steps=10)
    >>> sorted(batch_at(0).tolist())
    [1, 3]
    """
    count = len(difficulty)
    check_count("batch size", batch_size, most=count)
    check_count("steps", steps, most=MOST_STEPS)
    check_number("start", start, above=0, most=1)
    order = difficulty.argsort(stable=True)

    def batch_at(step: int) -> Tensor:
        generator = seeded(seed, step)
        open_ = max(batch_size, math.ceil(competence(step, steps, start) * count))
        return order[torch.randperm(open_, generator=generator)[:batch_size]]

    return batch_at
