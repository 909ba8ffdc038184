"""Bilinear fusion: every number of one modality times every number of another, pair by pair.

Paper: Bilinear CNN Models for Fine-grained Visual Recognition (Lin et al. 2015, arXiv 1504.07889),
section 2; for questions about images, arXiv 1606.01847 (Fukui et al. 2016).
Dimensions: B batch, D width of the left modality, S width of the right one, K outputs.
Differs from the paper: any number of modalities, each pair with weights of its own; no signed
square root and no normalisation after it.
"""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from scratchmm.fusion.modalities import Cost, Features, Present, check_widths, collect


def bilinear(left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    """left^T W_k right, for each output k: (B, K).

    left: (B, D), right: (B, S), weight: (K, D, S).

    >>> left, right = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]])
    >>> bilinear(left, right, torch.tensor([[[10.0], [1.0]]])).tolist()
    [[36.0]]
    """
    half = torch.einsum("bd,kds->bks", left, weight)  # (B, K, S)
    return torch.einsum("bks,bs->bk", half, right)  # (B, K)


class BilinearFusion(nn.Module):
    """The sum of a bilinear form over every pair of modalities, and a bias. Two: nn.Bilinear.

    A pair with an absent modality adds nothing, so one modality alone leaves the bias.
    Over the pairs of widths (D, S): parameters = sum of D S K, plus K; multiply-adds = sum of
    (D + 1) S K. Both grow with the product of two widths, and with the square of the modalities.

    >>> fusion = BilinearFusion({"image": 4, "words": 3}, outputs=2)
    >>> fusion({"words": torch.zeros(6, 3), "image": torch.zeros(6, 4)}).shape
    torch.Size([6, 2])
    >>> fusion.cost()
    Cost(parameters=26, multiply_adds=30)
    """

    def __init__(self, widths: Mapping[str, int], outputs: int) -> None:
        super().__init__()
        self.widths = check_widths(widths, least=2)
        self.pairs = list(combinations(self.widths, 2))
        self.weights = nn.ParameterList(
            nn.Parameter(_uniform(outputs, widths[left], widths[right]))
            for left, right in self.pairs
        )
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        vectors, there = collect(features, self.widths, present)
        total = self.bias.expand(there.shape[0], -1)  # (B, K)
        for (left, right), weight in zip(self.pairs, self.weights, strict=True):
            total = total + bilinear(vectors[left], vectors[right], weight)  # (B, K)
        return total

    def cost(self) -> Cost:
        """By the formulas above."""
        sizes = [(self.widths[left], self.widths[right]) for left, right in self.pairs]
        outputs = len(self.bias)
        parameters = sum(left * right for left, right in sizes) * outputs + outputs
        return Cost(parameters, sum((left + 1) * right for left, right in sizes) * outputs)


def _uniform(outputs: int, left: int, right: int) -> Tensor:
    """Initial weights, as nn.Bilinear draws them: within one over the root of the left width."""
    bound = left**-0.5
    return torch.empty(outputs, left, right).uniform_(-bound, bound)
