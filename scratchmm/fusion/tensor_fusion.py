"""Tensor fusion: the outer product of all modalities, each with a 1 appended.

The 1 keeps the interactions of fewer modalities: with z = (x, 1), the product of all z holds every
product of all of the x, of all but one, of pairs, each x alone, and the number 1, which carries the
bias.

Paper: Tensor Fusion Network for Multimodal Sentiment Analysis (Zadeh et al. 2017, arXiv
1707.07250), equations 4 and 5.
Dimensions: B batch, D width, S width, P product of the widths plus one, K outputs.
Differs from the paper: any number of modalities; one Linear layer takes the tensor, and what comes
before fusion is left to `modalities.Encoded`.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from scratchmm.fusion.modalities import Cost, Features, Present, check_widths, collect


def append_one(x: Tensor) -> Tensor:
    """(B, D) with a 1 behind: (B, D + 1), in the dtype of x, on its device.

    >>> append_one(torch.tensor([[5.0, 7.0]])).tolist()
    [[5.0, 7.0, 1.0]]
    """
    return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)  # (B, D + 1)


def outer_product(vectors: Sequence[Tensor]) -> Tensor:
    """All products of one number from each vector: (B, P), the last vector's index fastest.

    vectors: a (B, D) each, their widths may differ; P is the product of the widths.

    >>> outer_product([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0, 1.0]])]).tolist()
    [[3.0, 5.0, 1.0, 6.0, 10.0, 2.0]]
    """
    product = vectors[0]  # (B, D)
    for vector in vectors[1:]:
        product = (product[:, :, None] * vector[:, None, :]).flatten(1)
    return product


class TensorFusion(nn.Module):
    """A Linear layer over the outer product of all modalities, each with a 1 appended.

    An absent modality is (0, ..., 0, 1): the interactions of the others without it stay.
    With P the product of (D + 1) over the modalities: parameters = P K, multiply-adds = P K, plus
    one for each product in the tensor (P, and what was there before each modality joined). They
    grow with the product of all widths: a thousandfold for each further modality of 1,000.

    >>> fusion = TensorFusion({"image": 4, "words": 3}, outputs=2)
    >>> fusion({"words": torch.zeros(6, 3), "image": torch.zeros(6, 4)}).shape
    torch.Size([6, 2])
    >>> fusion.cost()
    Cost(parameters=40, multiply_adds=60)
    """

    def __init__(self, widths: Mapping[str, int], outputs: int) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        sizes = [width + 1 for width in widths.values()]
        # No bias: the product of all the ones is always 1.
        self.output = nn.Linear(math.prod(sizes), outputs, bias=False)

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        vectors, _ = collect(features, self.widths, present)
        product = outer_product([append_one(x) for x in vectors.values()])  # (B, P)
        return self.output(product)  # (B, K)

    def tensor(self) -> Tensor:
        """The weights as a tensor: (K, D + 1, S + 1, ...), an axis for each modality."""
        sizes = [width + 1 for width in self.widths.values()]
        return self.output.weight.unflatten(1, sizes)

    def cost(self) -> Cost:
        """By the formulas above."""
        grown = [width + 1 for width in self.widths.values()]
        products = sum(math.prod(grown[:count]) for count in range(2, len(grown) + 1))
        weights = self.output.weight.numel()
        return Cost(weights, weights + products)
