"""Modality bias: how far a model relies on each input, measured by ablating each in turn.

Shuffled: each sample gets that input of another sample, so its distribution is the same but it
carries no information about the target. Blanked: it is replaced by the same empty input for all. A
model that answers as well with the images shuffled does not use them.

Idea: permutation importance, Random Forests (Breiman, 2001); for images and words, e.g. Making
the V in VQA Matter (arXiv 1612.00837).
Differs from the papers: no sample keeps its own input by chance when shuffled.

N samples, K classes.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scratchmm.sentences import check_count

MOST_ROUNDS = 10_000  # of shuffling; the mean of a hundred is exact enough for any figure


class Bias(NamedTuple):
    """Accuracies from 0 to 1 with everything intact, and with one input shuffled or blanked."""

    intact: float
    shuffled: float
    blanked: float


def modality_bias(
    answer: Callable[[dict[str, Any]], Tensor],
    inputs: Mapping[str, Any],
    targets: Tensor,
    blank: Mapping[str, Callable[[Any], Any]] | None = None,
    rounds: int = 3,
    seed: int = 0,
) -> dict[str, Bias]:
    """For each input by name, the accuracy with it intact, shuffled (mean of `rounds`) and blanked.

    answer: from all inputs by name to logits (N, K) or classes int64 (N,); inputs: tensors (N, ...)
    or lists of N; targets: int64 (N,). Blanked means zeros of the same shape, or empty texts, or
    what `blank[name]` makes of the whole input: of tokens, most often a row of padding.

    Raises ValueError on unequal numbers of samples, fewer than 2 samples, unknown names in `blank`.

    >>> inputs = {"image": torch.arange(6), "words": torch.zeros(6)}
    >>> biases = modality_bias(lambda given: given["image"], inputs, torch.arange(6))
    >>> biases["image"].shuffled, biases["words"].shuffled
    (0.0, 1.0)
    """
    biases = bias_by_group(answer, inputs, targets, ["all"] * len(targets), blank, rounds, seed)
    return {name: rows["all"] for name, rows in biases.items()}


def bias_by_group(
    answer: Callable[[dict[str, Any]], Tensor],
    inputs: Mapping[str, Any],
    targets: Tensor,
    groups: Sequence[Hashable],
    blank: Mapping[str, Callable[[Any], Any]] | None = None,
    rounds: int = 3,
    seed: int = 0,
) -> dict[str, dict[Hashable, Bias]]:
    """The same for each group of samples, such as the kinds of their questions.

    >>> inputs = {"image": torch.arange(4)}
    >>> biases = bias_by_group(lambda given: given["image"], inputs, torch.arange(4), list("aabb"))
    >>> biases["image"]["b"]
    Bias(intact=1.0, shuffled=0.0, blanked=0.0)
    """
    blank = blank or {}
    _check(inputs, targets, groups, blank, rounds)
    generator = torch.Generator().manual_seed(seed)
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)

    def right(changed: dict[str, Any]) -> Tensor:
        predicted = answer({**inputs, **changed})
        predicted = predicted.argmax(dim=-1) if predicted.ndim == 2 else predicted
        if predicted.shape != targets.shape:
            raise ValueError(f"{len(predicted)} answers came for {len(targets)} samples")
        return (predicted.to(targets.device) == targets).double()

    intact = right({})
    biases = {}
    for name, value in inputs.items():
        orders = [others(len(targets), generator) for _ in range(rounds)]
        shuffled = torch.stack([right({name: _pick(value, order)}) for order in orders]).mean(0)
        blanked = right({name: blank.get(name, _nothing)(value)})
        biases[name] = {
            group: Bias(*(float(score[rows].mean()) for score in (intact, shuffled, blanked)))
            for group, rows in members.items()
        }
    return biases


def others(count: int, generator: torch.Generator) -> Tensor:
    """A random derangement, int64 (count,): a permutation in which no element keeps its position.

    All form one random cycle, and each takes the position of the next.

    >>> order = others(5, torch.Generator().manual_seed(0))
    >>> bool((order == torch.arange(5)).any()), sorted(order.tolist())
    (False, [0, 1, 2, 3, 4])
    """
    ring = torch.randperm(count, generator=generator)
    order = torch.empty(count, dtype=torch.long)
    order[ring] = ring.roll(-1)
    return order


def _pick(value: Any, order: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value[order.to(value.device)]
    return [value[row] for row in order.tolist()]


def _nothing(value: Any) -> Any:
    return torch.zeros_like(value) if isinstance(value, Tensor) else [type(x)() for x in value]


def _check(
    inputs: Mapping[str, Any],
    targets: Tensor,
    groups: Sequence[Hashable],
    blank: Mapping[str, Any],
    rounds: int,
) -> None:
    if len(targets) < 2:
        raise ValueError(f"{len(targets)} samples cannot be shuffled: at least 2 are needed")
    for name, value in inputs.items():
        if len(value) != len(targets):
            raise ValueError(
                f"modality {name!r} has {len(value)} samples, the targets {len(targets)}"
            )
    if len(groups) != len(targets):
        raise ValueError(f"{len(groups)} groups are named for {len(targets)} samples")
    for name in blank:
        if name not in inputs:
            raise ValueError(f"modality {name!r} is none of {', '.join(inputs)}")
    check_count("rounds", rounds, most=MOST_ROUNDS)
