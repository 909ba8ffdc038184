"""Gated cross-modal fusion: each modality attends to the others, and a gate weighs the result.

Paper: Gated Multimodal Units for Information Fusion (Arevalo et al. 2017, arXiv 1702.01992),
section 3.1.
Dimensions: B batch, M modalities, D width, K outputs.
Differs from the paper: there the gate chooses between the features of two modalities; here between
a modality's own features and those that it attended to in all the others, so that any number of
modalities can take part; no tanh before the gate.
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
    linear_cost,
    network,
    network_cost,
)
from scratchmm.layers.attention import MultiHeadAttention


class Gate(nn.Module):
    """For every feature: how much of the modality's own, how much of what it attended to.

    gate = sigmoid(Linear(own, attended)), of the width itself; 1 keeps its own.

    >>> gate = Gate(width=4)
    >>> mixed, opened = gate(torch.ones(2, 3, 4), torch.ones(2, 3, 4))
    >>> mixed.unique().tolist(), opened.shape
    ([1.0], torch.Size([2, 3, 4]))
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.decide = nn.Linear(2 * width, width)

    def forward(
        self, own: Tensor, attended: Tensor, answered: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """own, attended: (..., D). Returns the mixture and the gate, each (..., D).

        answered: bool (...); where False nothing was there to attend to, and the gate is 1.
        """
        gate = self.decide(torch.cat([own, attended], dim=-1)).sigmoid()  # (..., D)
        if answered is not None:
            gate = gate.masked_fill(~answered[..., None], 1.0)
        return gate * own + (1 - gate) * attended, gate


class GatedFusion(nn.Module):
    """Each modality attends to the others, gates decide, and the mean of all goes to a network.

    A modality that is alone keeps its own features. Absent ones are neither attended to nor counted.
    With d = width, h = hidden and M modalities: parameters = sum of (D + 1) d, plus 4 (d + 1) d of
    the attention, (2 d + 1) d of the gate and (d + 1) h + (h + 1) K of the network. multiply-adds =
    sum of D d, plus M (6 d d + 2 M d + 2 d), plus d h + h K: linear in the widths, quadratic in the
    modalities only by 2 M d.

    >>> fusion = GatedFusion({"image": 4, "words": 3}, outputs=2, width=6, heads=2, hidden=5)
    >>> fusion({"words": torch.zeros(7, 3), "image": torch.zeros(7, 4)}).shape
    torch.Size([7, 2])
    >>> fusion.cost()
    Cost(parameters=347, multiply_adds=586)
    """

    def __init__(
        self, widths: Mapping[str, int], outputs: int, width: int, heads: int, hidden: int
    ) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        self.sizes = (width, hidden, outputs)
        self.tokens = nn.ModuleDict({name: nn.Linear(size, width) for name, size in widths.items()})
        self.attention = MultiHeadAttention(width, heads)
        self.gate = Gate(width)
        self.network = network(width, hidden, outputs)

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        mixed, _, there = self._mix(features, present)
        mixed = mixed.masked_fill(~there[..., None], 0.0)  # (B, M, D)
        mean = mixed.sum(dim=1) / there.sum(dim=1, keepdim=True)  # (B, D)
        return self.network(mean)  # (B, K)

    def gates(self, features: Features, present: Present | None = None) -> dict[str, Tensor]:
        """Each modality's gate (B, D): 1 keeps its own features, 0 those it attended to."""
        _, gate, _ = self._mix(features, present)
        return {name: gate[:, index] for index, name in enumerate(self.widths)}

    def _mix(self, features: Features, present: Present | None) -> tuple[Tensor, Tensor, Tensor]:
        vectors, there = collect(features, self.widths, present)
        own = torch.stack([self.tokens[name](x) for name, x in vectors.items()], dim=1)  # (B, M, D)
        itself = torch.eye(len(vectors), dtype=torch.bool, device=own.device)  # (M, M)
        others = there[:, None, :] & ~itself  # (B, M, M)
        attended = self.attention(own, mask=others[:, None])  # (B, M, D)
        mixed, gate = self.gate(own, attended, answered=others.any(dim=-1))  # each (B, M, D)
        return mixed, gate, there

    def cost(self) -> Cost:
        """By the formulas above."""
        width, hidden, outputs = self.sizes
        count = len(self.widths)
        tokens = [linear_cost(size, width) for size in self.widths.values()]
        attention = Cost(4 * (width + 1) * width, count * (4 * width**2 + 2 * count * width))
        gate = Cost((2 * width + 1) * width, count * (2 * width**2 + 2 * width))
        return attention.plus(gate, network_cost(width, hidden, outputs), *tokens)
