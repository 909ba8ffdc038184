"""Bottleneck fusion: streams of tokens exchange information only through a few shared tokens.

Paper: Attention Bottlenecks for Multimodal Fusion (Nagrani et al. 2021, arXiv 2107.00135),
section 3.2, equations 8 and 9.
Dimensions: B batch, L tokens of a stream, N bottleneck tokens, D width, K outputs.
Differs from the paper: streams fuse from the first layer on; one classifier takes the mean of the
streams' answer tokens, where the paper averages the logits of one each; an absent stream is left
out of both means; positions are the encoders' business.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scratchmm.fusion.modalities import (
    Cost,
    Features,
    Present,
    check_any_present,
    check_batch,
    check_names,
    check_widths,
    linear_cost,
    presence_mask,
)
from scratchmm.fusion.modality_attention import block_cost
from scratchmm.layers.attention import padding_mask
from scratchmm.layers.transformer import TransformerBlock
from scratchmm.sentences import check_count

Streams = dict[str, Tensor]


def mean_of_present(tensors: list[Tensor], present: Tensor) -> Tensor:
    """The mean over the modalities that a sample has: (B, N, D).

    tensors: M of (B, N, D); present: bool (B, M), at least one in each row.

    >>> mine, yours = torch.full((2, 1, 1), 3.0), torch.full((2, 1, 1), 5.0)
    >>> mean_of_present([mine, yours], torch.tensor([[True, True], [True, False]])).tolist()
    [[[4.0]], [[3.0]]]
    """
    stacked = torch.stack(tensors, dim=1)  # (B, M, N, D)
    weights = present[:, :, None, None]  # (B, M, 1, 1)
    total = stacked.masked_fill(~weights, 0.0).sum(dim=1)  # (B, N, D)
    return total / weights.sum(dim=1)  # (B, N, D)


class BottleneckLayer(nn.Module):
    """Each stream's block sees its own tokens and the bottleneck's; the bottleneck's copies are
    then averaged (equations 8 and 9).

    >>> layer = BottleneckLayer(["image", "words"], width=6, heads=2, hidden=5)
    >>> streams = {"image": torch.zeros(1, 4, 6), "words": torch.zeros(1, 3, 6)}
    >>> real = {name: torch.ones(x.shape[:2]).bool() for name, x in streams.items()}
    >>> streams, shared = layer(streams, torch.zeros(1, 2, 6), real, torch.ones(1, 2).bool())
    >>> streams["words"].shape, shared.shape
    (torch.Size([1, 3, 6]), torch.Size([1, 2, 6]))
    """

    def __init__(self, names: list[str], width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(
            {name: TransformerBlock(width, heads, hidden) for name in names}
        )

    def forward(
        self, streams: Streams, shared: Tensor, real: Streams, present: Tensor
    ) -> tuple[Streams, Tensor]:
        """streams: a (B, L, D) for each name; shared: (B, N, D), the bottleneck.

        real: bool (B, L) for each stream, True on real tokens. present: bool (B, M), a column for
        each stream in their order. Returns the new streams and the new bottleneck.
        """
        updated, copies = {}, []
        for name, stream in streams.items():
            updated[name], copy = self._meet(name, stream, shared, real[name])
            copies.append(copy)
        return updated, mean_of_present(copies, present)

    def _meet(
        self, name: str, stream: Tensor, shared: Tensor, real: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One stream's block. stream: (B, L, D), shared: (B, N, D), real: bool (B, L)."""
        length = stream.shape[1]
        seen = torch.cat([real, real.new_ones(shared.shape[:2])], dim=1)  # (B, L + N)
        both = torch.cat([stream, shared], dim=1)  # (B, L + N, D)
        both = self.blocks[name](both, mask=padding_mask(seen))  # (B, L + N, D)
        return both[:, :length], both[:, length:]


class BottleneckFusion(nn.Module):
    """Streams of tokens with a few shared bottleneck tokens, and an answer token for each stream.

    bottlenecks: how many tokens are shared, N. `real` masks padding inside a stream.
    With d = width, h = hidden and M streams of L tokens of width D: parameters = sum of (D + 1) d +
    d, plus N d, plus depth M blocks, plus 2 d, plus (d + 1) K. multiply-adds = sum of L D d, plus
    depth times the sum of a block on 1 + L + N tokens, plus d K. A block on T tokens has 4 (d + 1) d
    + (d + 1) h + (h + 1) d + 4 d parameters and T (4 d d + 2 d h + 2 T d) multiply-adds: the
    attention grows with the sum of L squared, not with the square of the sum.

    >>> fusion = BottleneckFusion({"image": 4, "words": 3}, 2, 6, 2, hidden=5, bottlenecks=1)
    >>> streams = {"words": torch.zeros(2, 5, 3), "image": torch.zeros(2, 9, 4)}
    >>> fusion(streams).shape
    torch.Size([2, 2])
    >>> fusion.cost({"words": 5, "image": 9})
    Cost(parameters=624, multiply_adds=6030)
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        outputs: int,
        width: int,
        heads: int,
        hidden: int,
        depth: int = 1,
        bottlenecks: int = 4,
    ) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        if bottlenecks < 1:
            raise ValueError(f"{bottlenecks} bottleneck tokens carry nothing: at least 1 is needed")
        check_count("bottlenecks", bottlenecks)
        self.sizes = (width, hidden, depth, outputs)
        for name, value in zip(("width", "hidden", "depth", "outputs"), self.sizes, strict=True):
            check_count(name, value)
        self.tokens = nn.ModuleDict({name: nn.Linear(size, width) for name, size in widths.items()})
        self.answers = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(width) * width**-0.5) for name in widths}
        )
        self.shared = nn.Parameter(torch.randn(bottlenecks, width) * width**-0.5)
        self.layers = nn.ModuleList(
            BottleneckLayer(list(widths), width, heads, hidden) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, outputs)

    def forward(
        self,
        features: Features,
        present: Present | None = None,
        real: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """features: a (B, L, D) for each name, of that name's width; lengths may differ.

        present: bool (B,) for each name that is absent in some samples. real: bool (B, L) for each
        name with padding. A stream of nothing but padding is absent. Returns (B, K).
        """
        masks, there = self._masks(features, present, real or {})
        streams: Streams = {}
        for name, mask in masks.items():
            streams[name] = self._tokens(name, features[name], mask)
            masks[name] = torch.cat([mask.new_ones(mask.shape[0], 1), mask], dim=1)
        shared = self.shared.expand(len(there), -1, -1)  # (B, N, D)
        for layer in self.layers:
            streams, shared = layer(streams, shared, masks, there)
        answers = [self.norm(stream[:, :1]) for stream in streams.values()]
        return self.output(mean_of_present(answers, there)[:, 0])  # (B, K)

    def _tokens(self, name: str, feature: Tensor, mask: Tensor) -> Tensor:
        """A stream (B, 1 + L, d) with its answer token first, from features (B, L, D)."""
        clean = feature.masked_fill(~mask[..., None], 0.0)  # (B, L, D)
        answer = self.answers[name].expand(len(clean), 1, -1)
        return torch.cat([answer, self.tokens[name](clean)], dim=1)

    def _masks(
        self, features: Features, present: Present | None, real: Mapping[str, Tensor]
    ) -> tuple[Streams, Tensor]:
        """Which tokens are real, bool (B, L) for each stream given; and bool (B, M) for those."""
        check_names("features", features, self.widths)
        check_names("the token masks", real, self.widths)
        batch = check_batch(features, {name: (0, width) for name, width in self.widths.items()})
        there = presence_mask(features, self.widths, present, batch)  # (B, M)
        masks, columns = {}, []
        for index, name in enumerate(self.widths):
            if name in features:
                everywhere = torch.ones_like(features[name][..., 0], dtype=torch.bool)
                masks[name] = real.get(name, everywhere).to(everywhere.device)
                check_token_mask(name, masks[name], everywhere)
                masks[name] = masks[name] & there[:, index, None]
                columns.append(masks[name].any(dim=1))
        there = torch.stack(columns, dim=1)
        check_any_present(there, self.widths)
        return masks, there

    def cost(self, lengths: Mapping[str, int]) -> Cost:
        """By the formulas above; lengths: tokens of each stream."""
        width, hidden, depth, outputs = self.sizes
        total = Cost(self.shared.numel() + 2 * width, 0).plus(linear_cost(width, outputs))
        for name, size in self.widths.items():
            tokens = Cost((size + 1) * width + width, lengths[name] * size * width)
            tokens_seen = 1 + lengths[name] + len(self.shared)
            total = total.plus(tokens, block_cost(tokens_seen, width, hidden).times(depth))
        return total


def check_token_mask(name: str, mask: Tensor, everywhere: Tensor) -> None:
    """Refuse a mask of tokens of another type or shape.

    >>> check_token_mask("words", torch.ones(2, 3).bool(), torch.ones(2, 5).bool())
    Traceback (most recent call last):
    ValueError: the token mask of 'words' has shape (2, 3), but its tokens are (2, 5)
    """
    if mask.dtype != torch.bool:
        raise ValueError(f"the token mask of {name!r} is {mask.dtype}, not torch.bool")
    if mask.shape != everywhere.shape:
        found, tokens = tuple(mask.shape), tuple(everywhere.shape)
        raise ValueError(
            f"the token mask of {name!r} has shape {found}, but its tokens are {tokens}"
        )
