"""The bimodal transformer: two streams, and in every layer each attends to the other.

Paper: LXMERT: Learning Cross-Modality Encoder Representations from Transformers (Tan and Bansal
2019, arXiv 1908.07490), section 2.2 and figure 1.
Dimensions: B batch, T words, N image tokens, D width, H heads.
Differs from the paper: both directions share the weights of cross-attention, as its published code does;
embeddings and heads are left to the caller; no dropout.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch  # noqa: F401  (for the examples)
from torch import Tensor, nn

from scratchmm.fusion.cross_modal import check_stream
from scratchmm.layers.attention import MultiHeadAttention, check_heads, padding_mask
from scratchmm.layers.transformer import PostNormBlock
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class BimodalConfig:
    """The sizes of a bimodal transformer; as they stand, those of the published LXMERT."""

    width: int = 768  # of every token of both streams
    heads: int = 12  # of attention, a divisor of the width
    hidden: int = 3072  # inside the feed-forward networks
    words_depth: int = 9  # blocks of the words alone, before cross-attention
    image_depth: int = 5  # the same of the image
    depth: int = 5  # layers in which each attends to the other
    epsilon: float = 1e-12  # of the layer norms

    def __post_init__(self) -> None:
        check_sizes(self, zero=("words_depth", "image_depth"))
        check_heads(self.width, self.heads)


def tiny() -> BimodalConfig:
    """A size for tests.

    >>> tiny().depth
    2
    """
    return BimodalConfig(32, heads=4, hidden=37, words_depth=2, image_depth=1, depth=2)


class Streams(NamedTuple):
    """Both modalities, each token encoded with what it attended to in the other."""

    words: Tensor  # (B, T, D)
    image: Tensor  # (B, N, D)


class TwoStreamLayer(nn.Module):
    """Each stream: cross-attention to the other, self-attention, feed-forward. Norms after each sum.

    >>> layer = TwoStreamLayer(width=8, heads=2, hidden=32)
    >>> words, image = layer(torch.zeros(1, 3, 8), torch.zeros(1, 5, 8))
    >>> words.shape, image.shape
    (torch.Size([1, 3, 8]), torch.Size([1, 5, 8]))
    """

    def __init__(self, width: int, heads: int, hidden: int, epsilon: float = 1e-12) -> None:
        super().__init__()
        self.cross_attention = MultiHeadAttention(width, heads)  # of both directions
        self.cross_norm = nn.LayerNorm(width, eps=epsilon)
        self.words_block = PostNormBlock(width, heads, hidden, epsilon=epsilon)
        self.image_block = PostNormBlock(width, heads, hidden, epsilon=epsilon)

    def forward(
        self,
        words: Tensor,
        image: Tensor,
        words_mask: Tensor | None = None,
        image_mask: Tensor | None = None,
    ) -> Streams:
        """words: (B, T, D); image: (B, N, D); masks: bool, broadcastable to (B, H, L, S)."""
        # Both directions use the streams as they came in: neither goes first.
        seen = self.cross_attention(words, image, image_mask)  # (B, T, D)
        said = self.cross_attention(image, words, words_mask)  # (B, N, D)
        words = self.cross_norm(words + seen)  # (B, T, D)
        image = self.cross_norm(image + said)  # (B, N, D)
        words = self.words_block(words, mask=words_mask)  # (B, T, D)
        image = self.image_block(image, mask=image_mask)  # (B, N, D)
        return Streams(words, image)


class BimodalTransformer(nn.Module):
    """Blocks for each stream alone, then layers with cross-attention both ways.

    >>> model = BimodalTransformer(tiny())
    >>> model(torch.zeros(2, 3, 32), torch.zeros(2, 5, 32)).words.shape
    torch.Size([2, 3, 32])
    """

    def __init__(self, config: BimodalConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (config.width, config.heads, config.hidden)
        self.words_blocks = nn.ModuleList(
            PostNormBlock(*sizes, epsilon=config.epsilon) for _ in range(config.words_depth)
        )
        self.image_blocks = nn.ModuleList(
            PostNormBlock(*sizes, epsilon=config.epsilon) for _ in range(config.image_depth)
        )
        self.layers = nn.ModuleList(
            TwoStreamLayer(*sizes, config.epsilon) for _ in range(config.depth)
        )

    def forward(
        self,
        words: Tensor,
        image: Tensor,
        words_real: Tensor | None = None,
        image_real: Tensor | None = None,
    ) -> Streams:
        """words: (B, T, D); image: (B, N, D), both embedded.

        words_real: bool (B, T), image_real: bool (B, N), True on real tokens.
        """
        check_stream("words", words, self.config.width, words_real)
        check_stream("image tokens", image, self.config.width, image_real, words.shape[0])
        words_mask = None if words_real is None else padding_mask(words_real)
        image_mask = None if image_real is None else padding_mask(image_real)
        for block in self.words_blocks:
            words = block(words, mask=words_mask)  # (B, T, D)
        for block in self.image_blocks:
            image = block(image, mask=image_mask)  # (B, N, D)
        for layer in self.layers:
            words, image = layer(words, image, words_mask, image_mask)
        return Streams(words, image)
