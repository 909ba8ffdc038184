"""The multimodal transformer: cross-attention from every modality to every other.

Paper: Multimodal Transformer for Unaligned Multimodal Language Sequences (Tsai et al. 2019, arXiv
1906.00295), section 3 and figures 2 and 3.
Dimensions: B batch, L tokens of the queries, S of the context, M modalities, D width, E of the
concatenated results of all others, (M - 1) * D, K outputs.
Differs from the paper:
- Streams are projected token by token, not by a convolution, and sinusoids stand for time.
- A residual adds what came in, not its norm (equation 5), as in the published code.
- The mean of the real tokens stands for a stream, not its last token; a stream may be missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scratchmm.fusion.cross_modal import check_stream, masked_mean
from scratchmm.layers.attention import MultiHeadAttention, check_heads, padding_mask
from scratchmm.layers.embeddings import sinusoidal_positions
from scratchmm.layers.tracing import numbers_are_known
from scratchmm.layers.transformer import FeedForward, Transformer, TransformerBlock
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class MultimodalConfig:
    """The sizes of a multimodal transformer."""

    width: int = 40  # of every token of every stream, once projected
    heads: int = 8  # of attention, a divisor of the width
    hidden: int = 160  # inside the feed-forward networks of the cross blocks
    depth: int = 4  # cross blocks, for each pair of modalities and each direction
    self_depth: int = 3  # self-attention blocks over the concatenated results, for each modality
    epsilon: float = 1e-5  # of the layer norms

    def __post_init__(self) -> None:
        check_sizes(self, zero=("self_depth",))
        check_heads(self.width, self.heads)


def tiny() -> MultimodalConfig:
    """A size for tests.

    >>> tiny().depth
    2
    """
    return MultimodalConfig(12, heads=2, hidden=17, depth=2, self_depth=1)


class CrossModalBlock(nn.Module):
    """Pre-norm block whose queries come from one modality, keys and values from another.

    >>> block = CrossModalBlock(width=8, heads=2, hidden=32)
    >>> block(torch.zeros(1, 3, 8), context=torch.zeros(1, 5, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, width: int, heads: int, hidden: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.context_norm = nn.LayerNorm(width, eps=epsilon)
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width, eps=epsilon)
        self.feed_forward = FeedForward(width, hidden)

    def forward(self, x: Tensor, context: Tensor, context_mask: Tensor | None = None) -> Tensor:
        """x: (B, L, D); context: (B, S, D); context_mask: to (B, H, L, S). Returns (B, L, D).

        There is no self-attention, so there is no mask and no cache for it.
        """
        context = self.context_norm(context)  # (B, S, D)
        x = x + self.attention(self.attention_norm(x), context, context_mask)  # (B, L, D)
        return x + self.feed_forward(self.feed_forward_norm(x))  # (B, L, D)


class MultimodalTransformer(nn.Module):
    """M streams of different lengths and widths in, one answer out.

    widths: of each modality's tokens, by name, at least two; outputs: K. Keys and values
    are the other streams as they came in (the low-level features), in every block.

    >>> model = MultimodalTransformer({"words": 5, "sound": 3}, tiny(), outputs=4)
    >>> model({"words": torch.zeros(2, 6, 5), "sound": torch.zeros(2, 9, 3)}).shape
    torch.Size([2, 4])
    """

    def __init__(self, widths: Mapping[str, int], config: MultimodalConfig, outputs: int) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(
                f"{len(widths)} modalities have no pair to attend across: there must be 2"
            )
        self.config, self.widths = config, dict(widths)
        width, hidden, epsilon = config.width, config.hidden, config.epsilon
        others = len(widths) - 1
        self.projections = nn.ModuleDict({m: nn.Linear(w, width) for m, w in widths.items()})
        self.crossing, self.encoders = nn.ModuleDict(), nn.ModuleDict()
        for target in widths:
            for source in self._others(target):
                self.crossing[f"{target} from {source}"] = Transformer(
                    CrossModalBlock(width, config.heads, hidden, epsilon)
                    for _ in range(config.depth)
                )
            self.encoders[target] = Transformer(
                TransformerBlock(others * width, config.heads, others * hidden, epsilon=epsilon)
                for _ in range(config.self_depth)
            )
        joined = len(widths) * others * width
        self.norm = nn.LayerNorm(joined, eps=epsilon)
        self.head = nn.Linear(joined, outputs)

    def forward(
        self, streams: Mapping[str, Tensor], real: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """streams: name -> (B, L, width of that modality); a name left out is missing for all.

        real: name -> bool (B, L), True on real tokens; all False where a sample lacks the modality.
        Returns (B, K). A sample with nothing at all is refused.
        """
        tokens, seen = self._embedded(streams, real or {})
        vectors = [self._encode(name, tokens, seen) for name in self.widths]
        return self.head(self.norm(torch.cat(vectors, dim=-1)))  # (B, K)

    def _encode(self, target: str, tokens: dict[str, Tensor], seen: dict[str, Tensor]) -> Tensor:
        """One modality after cross-attention to all others and self-attention: (B, E)."""
        attended = []
        for source in self._others(target):
            crossing = self.crossing[f"{target} from {source}"]
            mask = padding_mask(seen[source])
            attended.append(crossing(tokens[target], context=tokens[source], context_mask=mask))
        x = torch.cat(attended, dim=-1)  # (B, L, E)
        x = self.encoders[target](x, mask=padding_mask(seen[target]))  # (B, L, E)
        return masked_mean(x, seen[target])  # (B, E)

    def _others(self, target: str) -> list[str]:
        return [name for name in self.widths if name != target]

    def _embedded(
        self, streams: Mapping[str, Tensor], real: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each stream (B, L, D) with its places in time, and its mask (B, L); missing ones empty."""
        for name in (*streams, *real):
            if name not in self.widths:
                raise ValueError(f"there is no modality {name!r}, only {', '.join(self.widths)}")
            if name not in streams:
                raise ValueError(f"there is a mask of the {name}, but no {name}")
        if not streams:
            raise ValueError(f"all of {', '.join(self.widths)} are missing")
        first = next(iter(streams.values()))
        tokens, seen = {}, {}
        for name, width in self.widths.items():
            stream = streams.get(name, first.new_zeros(first.shape[0], 0, width))
            check_stream(name, stream, width, real.get(name), first.shape[0])
            everything = torch.ones(stream.shape[:2], dtype=torch.bool, device=stream.device)
            seen[name] = real.get(name, everything)
            stream = stream.masked_fill(~seen[name][..., None], 0.0)  # padding may hold anything
            times = sinusoidal_positions(stream.shape[1], self.config.width)
            tokens[name] = self.projections[name](stream) + times.to(stream)
        check_any_tokens(seen)
        return tokens, seen


def check_any_tokens(masks: Mapping[str, Tensor]) -> None:
    """Refuse a sample that has no token of any modality. masks: name -> bool (B, L).

    >>> check_any_tokens({"words": torch.zeros(1, 3).bool(), "sound": torch.zeros(1, 5).bool()})
    Traceback (most recent call last):
    ValueError: sample 0 lacks all of words, sound
    """
    nothing = ~torch.stack([mask.any(dim=1) for mask in masks.values()]).any(dim=0)  # (B,)
    if numbers_are_known(nothing) and nothing.any():
        raise ValueError(f"sample {int(nothing.nonzero()[0])} lacks all of {', '.join(masks)}")
