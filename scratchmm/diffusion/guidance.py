"""Classifier-free guidance: predict with the prompt and without it, and extrapolate.

guided = without + scale * (with - without). To predict without a prompt, the model must have been
trained for it: there, a share of the prompts is replaced by the empty one.

Paper: Classifier-Free Diffusion Guidance (Ho and Salimans 2022, arXiv 2207.12598), equation 6 and
algorithm 1.
Dimensions: B batch; `...` stands for other axes.
Conventions: scale 1 is no guidance and 0 no prompt (the paper's w is scale - 1). What is guided is
what the model predicts, be it noise, x0 or velocity: it is the same, as long as nothing is clamped.
Differs from the paper: the prompt may be replaced by a negative prompt, to stay away from,
rather than by the empty one.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scratchmm.diffusion.process import Model


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Equation 6: from the prediction without the prompt to the one with it, and on; both (B, ...).

    That is without + scale * (with - without), a new tensor (B, ...). Raises ValueError on a scale
    that is not a finite number.

    >>> guide(torch.tensor([3.0]), torch.tensor([1.0]), scale=4.0)
    tensor([9.])
    """
    check_scale(scale)
    return unconditional + scale * (conditional - unconditional)


def guided(model: Model, negative: Mapping[str, Tensor], scale: float) -> Model:
    """A model for any sampler that calls `model` on a batch of twice the size, with and without.

    negative: what takes the place of the condition of the same name: (B, ...), or (1, ...) for all.
    Conditions that it does not name are the same both times. A scale of 1 needs no second half.

    Raises ValueError on a scale that is no number, and where condition and negative do not match.

    >>> def model(x, timesteps, word):
    ...     return word + 0 * x
    >>> better = guided(model, {"word": torch.zeros(1, 1)}, scale=4.0)
    >>> better(torch.randn(2, 1), torch.tensor([3, 3]), word=torch.tensor([[1.0], [2.0]]))
    tensor([[4.],
            [8.]])
    """
    check_scale(scale)

    def predict(x: Tensor, timesteps: Tensor, **condition: Any) -> Tensor:
        away = _as_many(condition, negative, "negative", len(x))
        if scale == 1:
            return model(x, timesteps, **condition)
        both = {
            name: torch.cat([value, away.get(name, value)]) if isinstance(value, Tensor) else value
            for name, value in condition.items()
        }
        twice = torch.cat([x, x])  # (2 * B, ...)
        predicted = model(twice, torch.cat([timesteps, timesteps]), **both)  # (2 * B, ...)
        conditional, unconditional = predicted.chunk(2)  # each (B, ...)
        return guide(conditional, unconditional, scale)  # (B, ...)

    return predict


def prompt_dropout(
    condition: Mapping[str, Tensor],
    empty: Mapping[str, Tensor],
    dropout_probability: float,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The conditions of a batch; each sample gets the empty prompt's with `dropout_probability`.

    condition: (B, ...) by name; empty: (1, ...) by name, replaced together in a sample, such as its
    tokens and their mask. Names that `empty` has not are left alone. The paper has 0.1 or 0.2.

    Raises ValueError on a probability outside 0 to 1, and where condition and empty do not match.

    >>> words = torch.tensor([[5, 6], [7, 8]])
    >>> prompt_dropout({"words": words}, {"words": torch.tensor([[0, 0]])}, 1.0)
    {'words': tensor([[0, 0],
            [0, 0]])}
    """
    if not 0 <= dropout_probability <= 1:
        raise ValueError(f"dropout_probability is {dropout_probability}, not from 0 to 1")
    batch = len(next(iter(condition.values()), ()))
    nothing = _as_many(condition, empty, "empty", batch)
    dropped = torch.rand(batch, generator=generator) < dropout_probability  # (B,), rand is below 1
    found = dict(condition)
    for name, value in nothing.items():
        rows = dropped.to(value.device).reshape(-1, *[1] * (value.ndim - 1))
        found[name] = torch.where(rows, value, condition[name])
    return found


def check_scale(scale: float) -> None:
    """Refuse a guidance scale that is not a finite number, by a ValueError.

    >>> check_scale(float("nan"))
    Traceback (most recent call last):
    ValueError: guidance scale nan is not a finite number
    """
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not number or not math.isfinite(scale):
        raise ValueError(f"guidance scale {scale!r} is not a finite number")


def _as_many(
    condition: Mapping[str, Any], other: Mapping[str, Tensor], called: str, batch: int
) -> dict[str, Tensor]:
    """What takes a condition's place, by name, for each sample of the batch."""
    found = {}
    for name, value in other.items():
        if name not in condition:
            given = ", ".join(condition) or "no condition at all"
            raise ValueError(f"{called} {name!r} takes the place of nothing in {given}")
        shape = tuple(condition[name].shape)
        if len(value) not in (1, batch) or value.shape[1:] != shape[1:] or shape[0] != batch:
            raise ValueError(
                f"{called} {name!r} is {tuple(value.shape)}, its condition {shape} in a batch of {batch}"
            )
        found[name] = value.to(condition[name]).expand(shape)
    return found
