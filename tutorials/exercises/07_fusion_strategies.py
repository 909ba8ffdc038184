"""Exercises of lesson 07, fusion strategies.

Write each body in place of its `raise`, in any order. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scratchmm.fusion.modalities import (
    Cost,
    Features,
    Present,
    check_widths,
    gather,
    network,
    network_cost,
)
from scratchmm.fusion.tensor_fusion import append_one


# early.EarlyFusion: Side by side. 10 minutes, difficulty 1 of 5. In the lesson: "Early fusion".
class EarlyFusion(nn.Module):
    """One network over all features side by side: it may relate any number to any other.

    widths: of each modality; their order is the order in which they are joined. hidden: inside the
    network. With D the sum of the widths: parameters = (D + 1) hidden + (hidden + 1) K,
    multiply-adds = D hidden + hidden K. Both grow with the sum of the widths.

    >>> fusion = EarlyFusion({"picture": 4, "words": 3}, outputs=2, hidden=5)
    >>> fusion({"words": torch.zeros(6, 3), "picture": torch.zeros(6, 4)}).shape
    torch.Size([6, 2])
    >>> fusion.cost()
    Cost(parameters=52, multiply_adds=45)
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, hidden: int) -> None:
        raise NotImplementedError(
            "early.EarlyFusion: keep widths; sizes is (D, hidden, outputs), D all widths together; "
            "network has those sizes"
        )

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.gather`. Returns (B, K)."""
        raise NotImplementedError(
            "early.EarlyFusion: all vectors side by side, in the order of widths and zeros where "
            "absent, through the network"
        )

    def cost(self) -> Cost:
        """By the formulas above."""
        return network_cost(*self.sizes)


# late.combine_decisions: The vote. 20 minutes, difficulty 3 of 5. In the lesson: "Late fusion".
# Comes after early.EarlyFusion.
def combine_decisions(logits: Tensor, present: Tensor, scores: Tensor | None = None) -> Tensor:
    """The logarithm of the weighted mean of the modalities' probabilities: (B, K).

    logits: (B, M, K); present: bool (B, M), at least one in each row. scores: (M,), learned; the
    weights are their softmax over the modalities that are present. None: all weigh the same.
    The result is both log-probabilities and logits: cross_entropy takes it as it is.

    >>> logits = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]).log()
    >>> everyone = torch.tensor([[True, True]])
    >>> [round(p, 3) for p in combine_decisions(logits, everyone)[0].exp().tolist()]
    [0.7, 0.3]
    """
    raise NotImplementedError(
        "late.combine_decisions: log of the weighted mean of the probabilities of those who are "
        "present"
    )


# gated.Gate: Whom to believe. 15 minutes, difficulty 2 of 5. In the lesson: "Gates". Comes after
# early.EarlyFusion.
class Gate(nn.Module):
    """For every number: how much of one's own, how much of what was attended to.

    gate = sigmoid(Linear(own, attended)), of the width itself; 1 keeps one's own.

    >>> gate = Gate(width=4)
    >>> mixed, opened = gate(torch.ones(2, 3, 4), torch.ones(2, 3, 4))
    >>> mixed.unique().tolist(), opened.shape
    ([1.0], torch.Size([2, 3, 4]))
    """

    def __init__(self, width: int) -> None:
        raise NotImplementedError(
            "gated.Gate: a Linear layer decide, from both sides joined to a number for each of the "
            "width"
        )

    def forward(
        self, own: Tensor, attended: Tensor, answered: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """own, attended: (..., D). Returns the mixture and the gate, each (..., D).

        answered: bool (...); where False nothing was there to attend to, and the gate is 1.
        """
        raise NotImplementedError(
            "gated.Gate: the mixture and the gate; 1 keeps one's own, and where nothing was "
            "answered it is 1"
        )


# low_rank.LowRankFusion: A tensor that is never made. 25 minutes, difficulty 4 of 5. In the lesson:
# "The same for less".
class LowRankFusion(nn.Module):
    """Equals TensorFusion with the weights `tensor()`, at a cost that grows with the sum of widths.

    Over the M modalities: parameters = R K sum of (D + 1); multiply-adds = the same, plus
    (M - 1) R K for the products.

    >>> fusion = LowRankFusion({"picture": 4, "words": 3}, outputs=2, rank=5)
    >>> fusion({"words": torch.zeros(6, 3), "picture": torch.zeros(6, 4)}).shape
    torch.Size([6, 2])
    >>> fusion.tensor().shape, fusion.cost()
    (torch.Size([2, 5, 4]), Cost(parameters=90, multiply_adds=100))
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, rank: int) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        if rank < 1:
            raise ValueError(f"rank {rank} is not at least 1")
        # Around 1/sqrt(D + 1) each projection has variance 1, and so has their product; the sum of
        # R of them gets its share of the scale from the first factor.
        self.factors = nn.ParameterDict(
            {
                name: nn.Parameter(torch.randn(rank, outputs, width + 1) * (width + 1) ** -0.5)
                for name, width in widths.items()
            }
        )
        first = next(iter(self.widths))
        self.factors[first].data *= rank**-0.5

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.gather`. Returns (B, K)."""
        raise NotImplementedError(
            "low_rank.LowRankFusion: each vector with its 1 through its factors to (B, R, K); "
            "multiply the modalities, add the ranks"
        )

    def tensor(self) -> Tensor:
        """The weights of the TensorFusion that this equals: (K, D + 1, S + 1, ...)."""
        raise NotImplementedError(
            "low_rank.LowRankFusion: the weights (K, D + 1, S + 1, ...) that this equals: a sum "
            "over ranks of outer products"
        )

    def cost(self) -> Cost:
        """By the formulas above."""
        rank, outputs, _ = next(iter(self.factors.values())).shape
        parameters = rank * outputs * sum(width + 1 for width in self.widths.values())
        return Cost(parameters, parameters + (len(self.widths) - 1) * rank * outputs)
