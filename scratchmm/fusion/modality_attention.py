"""Attention fusion: every modality is one token, and a transformer relates them.

Paper: Attention Is All You Need (Vaswani et al. 2017, arXiv 1706.03762) for the blocks; an
answer token as in arXiv 2010.11929, section 3.1.
Dimensions: B batch, M modalities, D width, K outputs.
Differs from the paper: the tokens are modalities; their layers' biases say which is which, so there
are no positions.
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
    network_cost,
)
from scratchmm.layers.attention import padding_mask
from scratchmm.layers.transformer import Transformer, TransformerBlock
from scratchmm.sentences import check_count


class AttentionFusion(nn.Module):
    """A token a modality and an answer token, through transformer blocks; absent ones are masked.

    `watch_attention` gives the weights; the answer token is first. With d = width, h = hidden
    and L = M + 1 tokens: parameters = sum of (D + 1) d, plus d, plus depth times (4 (d + 1) d +
    (d + 1) h + (h + 1) d + 4 d), plus 2 d, plus (d + 1) K. multiply-adds = sum of D d, plus depth
    times L (4 d d + 2 d h + 2 L d), plus d K: linear in the widths, nearly so in the modalities.

    >>> fusion = AttentionFusion({"image": 4, "words": 3}, outputs=2, width=6, heads=2, hidden=5)
    >>> fusion({"words": torch.zeros(7, 3), "image": torch.zeros(7, 4)}).shape
    torch.Size([7, 2])
    >>> fusion.cost()
    Cost(parameters=349, multiply_adds=774)
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        outputs: int,
        width: int,
        heads: int,
        hidden: int,
        depth: int = 1,
    ) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        self.sizes = (width, hidden, depth, outputs)
        for name, value in zip(("width", "hidden", "depth", "outputs"), self.sizes, strict=True):
            check_count(name, value)
        self.tokens = nn.ModuleDict({name: nn.Linear(size, width) for name, size in widths.items()})
        self.answer = nn.Parameter(torch.randn(width) * width**-0.5)
        self.transformer = Transformer(TransformerBlock(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, outputs)

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        vectors, there = collect(features, self.widths, present)
        answer = self.answer.expand(there.shape[0], -1)  # (B, D)
        tokens = [self.tokens[name](x) for name, x in vectors.items()]
        x = torch.stack([answer, *tokens], dim=1)  # (B, 1 + M, D)
        seen = torch.cat([there.new_ones(there.shape[0], 1), there], dim=1)  # (B, 1 + M)
        x = self.transformer(x, mask=padding_mask(seen))  # (B, 1 + M, D)
        return self.output(self.norm(x[:, 0]))  # (B, K)

    def cost(self) -> Cost:
        """By the formulas above."""
        width, hidden, depth, outputs = self.sizes
        tokens = [linear_cost(size, width) for size in self.widths.values()]
        learned = Cost(width + 2 * width, 0)  # the answer token and the last norm
        blocks = block_cost(1 + len(self.widths), width, hidden).times(depth)
        return learned.plus(blocks, linear_cost(width, outputs), *tokens)


def block_cost(length: int, width: int, hidden: int) -> Cost:
    """Of a TransformerBlock on so many tokens: four projections, attention, feed-forward, two norms.

    >>> block_cost(length=3, width=6, hidden=5)
    Cost(parameters=263, multiply_adds=720)
    """
    position = linear_cost(width, width).times(4).plus(network_cost(width, hidden, width))
    attention = 2 * length**2 * width
    return Cost(position.parameters + 4 * width, length * position.multiply_adds + attention)
