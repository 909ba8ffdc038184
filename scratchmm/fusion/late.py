"""Late fusion: each modality predicts alone, then the predictions are combined.

Paper: Multimodal Machine Learning: A Survey and Taxonomy (Baltrusaitis et al. 2017, arXiv
1705.09406), section 6.1.
Dimensions: B batch, M modalities, K classes.
Differs from the paper: an absent modality does not count, and the others share its weight.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scratchmm.fusion.modalities import (
    Cost,
    Features,
    Present,
    check_widths,
    collect,
    network,
    network_cost,
)
from scratchmm.layers.tracing import numbers_are_known


def combine_decisions(logits: Tensor, present: Tensor, scores: Tensor | None = None) -> Tensor:
    """The logarithm of the weighted mean of the modalities' probabilities: (B, K).

    logits: (B, M, K); present: bool (B, M), at least one in each row, or it is refused (ValueError).
    scores: (M,), learned; the weights are their softmax over the modalities that are present. None:
    all weigh the same. The result is both log-probabilities and logits: cross_entropy takes it as it
    is. All is computed in logarithms, so that a probability of e^-200 is still there as -200.

    >>> logits = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]).log()
    >>> everyone = torch.tensor([[True, True]])
    >>> [round(p, 3) for p in combine_decisions(logits, everyone)[0].exp().tolist()]
    [0.7, 0.3]
    """
    check_votes(logits, present)
    decided = present.any(dim=1)  # (B,)
    if numbers_are_known(decided) and not decided.all():
        raise ValueError(f"{int((~decided).sum())} rows have no modality that is present")
    if scores is None:
        scores = logits.new_zeros(logits.shape[1])
    # In logarithms, so that a small probability is never rounded to zero.
    weights = scores.expand_as(present).masked_fill(~present, -math.inf).log_softmax(-1)  # (B, M)
    votes = logits.log_softmax(dim=-1) + weights[..., None]  # (B, M, K)
    return votes.logsumexp(dim=1)  # (B, K)


def check_votes(logits: Tensor, present: Tensor) -> None:
    """Refuse (ValueError) a presence that does not fit the logits.

    >>> check_votes(torch.zeros(1, 2, 3), torch.ones(1, 3).bool())
    Traceback (most recent call last):
    ValueError: the presence is torch.bool (1, 3), but logits of (1, 2, 3) need torch.bool (1, 2)
    """
    if present.shape != logits.shape[:2] or present.dtype != torch.bool:
        raise ValueError(
            f"the presence is {present.dtype} {tuple(present.shape)}, but logits of "
            f"{tuple(logits.shape)} need torch.bool {tuple(logits.shape[:2])}"
        )


class LateFusion(nn.Module):
    """A network for each modality, and the mean of their probabilities.

    It can represent no interaction: what only both modalities together determine is out of its reach.
    parameters = sum over modalities of (D hidden + hidden + hidden K + K); multiply-adds = sum of
    hidden (D + K): they grow with the sum of the widths.

    >>> fusion = LateFusion({"image": 4, "words": 3}, outputs=2, hidden=5)
    >>> fusion({"words": torch.zeros(6, 3)}).shape  # from the words alone
    torch.Size([6, 2])
    >>> fusion.cost()
    Cost(parameters=69, multiply_adds=55)
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, hidden: int) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        self.hidden, self.outputs = hidden, outputs
        self.networks = nn.ModuleDict(
            {name: network(width, hidden, outputs) for name, width in widths.items()}
        )

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns log-probabilities (B, K)."""
        return combine_decisions(*self.decide(features, present))  # (B, K)

    def decide(self, features: Features, present: Present | None = None) -> tuple[Tensor, Tensor]:
        """The logits of each modality (B, M, K), and which modality is present, bool (B, M)."""
        vectors, there = collect(features, self.widths, present)
        decisions = [self.networks[name](vector) for name, vector in vectors.items()]
        return torch.stack(decisions, dim=1), there

    def cost(self) -> Cost:
        """By the formulas above."""
        costs = (network_cost(width, self.hidden, self.outputs) for width in self.widths.values())
        return Cost(0, 0).plus(*costs)


class WeightedLateFusion(nn.Module):
    """Late fusion that learns how much each modality is to be trusted, for all samples alike.

    M parameters more than LateFusion: a score a modality.

    >>> fusion = WeightedLateFusion({"image": 4, "words": 3}, outputs=2, hidden=5)
    >>> fusion.weights()
    {'image': 0.5, 'words': 0.5}
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, hidden: int) -> None:
        super().__init__()
        self.late = LateFusion(widths, outputs, hidden)
        self.widths = self.late.widths
        self.scores = nn.Parameter(torch.zeros(len(widths)))

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns log-probabilities (B, K)."""
        return combine_decisions(*self.late.decide(features, present), self.scores)  # (B, K)

    def weights(self) -> dict[str, float]:
        """The weight of each modality where all are present."""
        return dict(zip(self.widths, self.scores.softmax(dim=0).tolist(), strict=True))

    def cost(self) -> Cost:
        """By the formulas above."""
        return self.late.cost().plus(Cost(len(self.widths), 0))
