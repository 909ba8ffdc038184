"""Low-rank fusion: tensor fusion without ever making the tensor.

A weight tensor that is a sum of R outer products lets the sums be exchanged: project each modality,
multiply the projections number by number, add over the ranks. Nothing of the tensor's size appears.

Paper: Efficient Low-rank Multimodal Fusion with Modality-Specific Factors (Liu et al. 2018, arXiv
1806.00064), equations 3-6.
Dimensions: B batch, D width, S width, R rank, K outputs.
Differs from the paper: the sum over ranks has no weights and no bias of its own; the factors can
take them up.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scratchmm.fusion.modalities import Cost, Features, Present, check_widths, collect
from scratchmm.fusion.tensor_fusion import append_one


class LowRankFusion(nn.Module):
    """Equals TensorFusion with the weights `tensor()`, at a cost that grows with the sum of widths.

    Over the M modalities: parameters = R K sum of (D + 1); multiply-adds = the same, plus
    (M - 1) R K for the products.

    >>> fusion = LowRankFusion({"image": 4, "words": 3}, outputs=2, rank=5)
    >>> fusion({"words": torch.zeros(6, 3), "image": torch.zeros(6, 4)}).shape
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
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        vectors, _ = collect(features, self.widths, present)
        product: Tensor | None = None
        for name, vector in vectors.items():
            projected = torch.einsum("bd,rkd->brk", append_one(vector), self.factors[name])
            product = projected if product is None else product * projected  # (B, R, K)
        assert product is not None
        return product.sum(dim=1)  # (B, K)

    def tensor(self) -> Tensor:
        """The weights of the TensorFusion that this equals: (K, D + 1, S + 1, ...)."""
        first, *others = (self.factors[name] for name in self.widths)
        product = first  # (R, K, D + 1)
        for factor in others:
            product = torch.einsum("rk...,rkd->rk...d", product, factor)
        return product.sum(dim=0)

    def cost(self) -> Cost:
        """By the formulas above."""
        rank, outputs, _ = next(iter(self.factors.values())).shape
        parameters = rank * outputs * sum(width + 1 for width in self.widths.values())
        return Cost(parameters, parameters + (len(self.widths) - 1) * rank * outputs)
