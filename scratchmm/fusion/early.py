"""Early fusion: join the features, then let one network see them all.

Paper: Multimodal Machine Learning: A Survey and Taxonomy (Baltrusaitis et al. 2017, arXiv
1705.09406), section 6.1.
Dimensions: B batch, D width of all features joined, K outputs.
Differs from the paper: an absent modality is a row of zeros.
"""

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


class EarlyFusion(nn.Module):
    """One network over all features side by side: it may relate any number to any other.

    widths: of each modality; their order is the order in which they are joined. hidden: inside the
    network. With D the sum of the widths: parameters = (D + 1) hidden + (hidden + 1) K,
    multiply-adds = D hidden + hidden K. Both grow with the sum of the widths.

    >>> fusion = EarlyFusion({"image": 4, "words": 3}, outputs=2, hidden=5)
    >>> fusion({"words": torch.zeros(6, 3), "image": torch.zeros(6, 4)}).shape
    torch.Size([6, 2])
    >>> fusion.cost()
    Cost(parameters=52, multiply_adds=45)
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, hidden: int) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        self.sizes = (sum(widths.values()), hidden, outputs)
        self.network = network(*self.sizes)

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        vectors, _ = collect(features, self.widths, present)
        joined = torch.cat(list(vectors.values()), dim=-1)  # (B, D)
        return self.network(joined)  # (B, K)

    def cost(self) -> Cost:
        """By the formulas above."""
        return network_cost(*self.sizes)
