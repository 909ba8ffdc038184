"""Adaptive loss weights: several losses in one sum, and none that drowns the others.

By loss ratio: whichever loss fell least lately counts more. By uncertainty: each loss is divided by
a noise that is learned with the model, and a price is paid for calling everything noise.

Papers: End-to-End Multi-Task Learning with Attention (arXiv 1803.10704), equation 7, for the ratio;
Multi-Task Learning Using Uncertainty to Weigh Losses (arXiv 1705.07115), equations 7 and 10.
Differs from the papers: losses are averaged over a number of steps instead of an epoch; what is
learned is the log of the variance, so that no division can fail.

K losses.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from scratchmm.sentences import check_count, check_number


def ratio_weights(last: Tensor, before: Tensor, temperature: float = 2.0) -> Tensor:
    """Weights (K,) with the sum K from the losses of the last period and the one before, each (K,).

    weight_k = K * softmax over k of (last_k / before_k) / temperature. A loss of which half is left
    counts less than one that stayed; one that was 0 counts as if it had stayed. The higher the
    temperature, the more even the weights; one of 0 or less is a ValueError.

    >>> weights = ratio_weights(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.0]), temperature=0.5)
    >>> [round(weight, 3) for weight in weights.tolist()]
    [0.538, 1.462]
    """
    check_number("temperature", temperature, above=0)
    ratio = torch.where(before > 0, last / before, torch.ones_like(last))  # 0 before: as it was
    return len(ratio) * (ratio / temperature).softmax(dim=0)  # (K,)


class LossRatio(nn.Module):
    """Weigh losses by how they fell: forward(losses by name) -> scalar.

    Averages run over `period` steps; for two periods all weights are 1. The averages are buffers,
    so a module that holds this one keeps them in its checkpoints. In eval mode nothing is counted.

    >>> weigh = LossRatio(["match", "answer"], period=1)
    >>> for match in (4.0, 1.0): _ = weigh({"match": torch.tensor(match), "answer": torch.tensor(2.0)})
    >>> bool(weigh.weights[1] > weigh.weights[0])
    True
    """

    sums: Tensor
    last: Tensor
    before: Tensor
    steps: Tensor

    def __init__(self, names: Sequence[str], period: int = 50, temperature: float = 2.0) -> None:
        super().__init__()
        self.names = _distinct(names)
        check_count("period", period)
        check_number("temperature", temperature, above=0)
        self.period, self.temperature = period, temperature
        for name in ("sums", "last", "before"):
            self.register_buffer(name, torch.zeros(len(names)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @property
    def weights(self) -> Tensor:
        """The weights (K,) that hold now, in the order of `names`."""
        if self.steps < 2 * self.period:
            return torch.ones_like(self.last)
        return ratio_weights(self.last, self.before, self.temperature)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Scalar losses by name to their weighted sum, a scalar; see above."""
        values = _in_order(losses, self.names)  # (K,)
        total = (self.weights.to(values.dtype) * values).sum()
        if self.training:
            self._count(values.detach())
        return total

    def _count(self, values: Tensor) -> None:
        self.sums += values
        self.steps += 1
        if self.steps % self.period == 0:
            self.before.copy_(self.last)
            self.last.copy_(self.sums / self.period)
            self.sums.zero_()


class UncertaintyWeights(nn.Module):
    """Weigh losses by learned noise: forward(losses by name) -> scalar.

    With s = log of the noise's variance, a loss L adds exp(-s) * L + s / 2; a mean squared error
    (named in `squared`) adds exp(-s) / 2 * L + s / 2. For a loss that stays, the best variance is
    2 L, or L. Make it a part of the model, so that the optimizer learns `log_variances` (K,) too.

    >>> weigh = UncertaintyWeights(["match", "answer"])
    >>> weigh({"match": torch.tensor(1.0), "answer": torch.tensor(2.0)}).item()
    3.0
    """

    factors: Tensor

    def __init__(self, names: Sequence[str], squared: Collection[str] = ()) -> None:
        super().__init__()
        self.names = _distinct(names)
        for name in squared:
            if name not in self.names:
                raise ValueError(f"loss {name!r} is none of {', '.join(self.names)}")
        self.log_variances = nn.Parameter(torch.zeros(len(self.names)))
        factors = [0.5 if name in squared else 1.0 for name in self.names]
        self.register_buffer("factors", torch.tensor(factors), persistent=False)

    @property
    def weights(self) -> Tensor:
        """The factors (K,) that the losses have now, in the order of `names`."""
        return self.factors * torch.exp(-self.log_variances)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Scalar losses by name to their sum with the price of noise, a scalar; see above."""
        values = _in_order(losses, self.names)  # (K,)
        return (self.weights * values + self.log_variances / 2).sum()


def _distinct(names: Sequence[str]) -> list[str]:
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{len(names)} losses need as many names, not {len(set(names))}")
    return list(names)


def _in_order(losses: Mapping[str, Tensor], names: list[str]) -> Tensor:
    """The losses (K,) in the order of the names."""
    for name in [*losses, *names]:
        if name not in losses or name not in names:
            known = f"{len(losses)} losses came and {len(names)} were named"
            where = "missing" if name in names else f"none of {', '.join(names)}"
            raise ValueError(f"loss {name!r} is {where}: {known}")
    return torch.stack([losses[name] for name in names])  # (K,)
