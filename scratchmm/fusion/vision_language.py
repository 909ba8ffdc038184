"""A vision-language model: two encoders, cross-attention both ways, two objectives.

Paper: Align before Fuse (Li et al. 2021, arXiv 2107.07651), section 3.1: a contrastive loss brings
both encoders into one space before cross-attention fuses them; cross-attention in both directions is
from LXMERT (Tan and Bansal 2019, arXiv 1908.07490).
Dimensions: B batch, C channels, T text tokens, N image tokens, D width, E of the shared space,
K classes.
Differs from the paper: both directions attend, not the words alone; means stand for a text and an
image, not their first tokens; no momentum and no queue; no dropout.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.contrastive.two_tower import LogitScale
from scratchmm.fusion.cross_modal import check_stream, masked_mean
from scratchmm.layers.attention import check_heads, padding_mask
from scratchmm.layers.transformer import CrossAttentionBlock, FeedForward
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class VisionLanguageConfig:
    """The sizes of what stands on the two encoders."""

    image_width: int  # of the image encoder's tokens
    text_width: int  # of the text encoder's tokens
    width: int = 256  # of every token in the cross-attention blocks
    heads: int = 4  # of attention, a divisor of the width
    hidden: int = 1024  # inside the feed-forward networks
    depth: int = 2  # layers in which each attends to the other
    embedding: int = 128  # width of the shared space, E
    classes: int = 2  # of the fused head, K
    epsilon: float = 1e-5  # of the layer norms

    def __post_init__(self) -> None:
        check_sizes(self)
        check_heads(self.width, self.heads)


def tiny() -> VisionLanguageConfig:
    """A size for tests, on encoders that are 32 wide.

    >>> tiny().classes
    5
    """
    return VisionLanguageConfig(32, 32, width=24, heads=2, hidden=37, embedding=16, classes=5)


class VisionLanguageOutput(NamedTuple):
    """The answer of the fused head, and what the contrastive loss compares."""

    logits: Tensor  # (B, K)
    image_embeddings: Tensor  # (B, E), unit length, from before cross-attention
    text_embeddings: Tensor  # (B, E), unit length, from before cross-attention
    scale: Tensor  # scalar, 1 / temperature


class VisionLanguageModel(nn.Module):
    """Any two encoders, cross-attention both ways, a fused head, and a contrastive head.

    images: a module from images (B, C, height, width) to tokens, such as VisionTransformer;
    texts: a module from tokens and their mask to tokens, such as BERTEncoder.

    >>> from scratchmm.language import bert
    >>> from scratchmm.vision import vit
    >>> encoders = vit.VisionTransformer(vit.tiny()), bert.BERTEncoder(bert.tiny())
    >>> model = VisionLanguageModel(*encoders, tiny())
    >>> output = model(torch.zeros(2, 3, 32, 32), torch.tensor([[5, 7, 9]] * 2))
    >>> output.logits.shape, output.image_embeddings.shape
    (torch.Size([2, 5]), torch.Size([2, 16]))
    """

    def __init__(self, images: nn.Module, texts: nn.Module, config: VisionLanguageConfig) -> None:
        super().__init__()
        self.config, self.images, self.texts = config, images, texts
        width = config.width
        self.image_projection = nn.Linear(config.image_width, width)
        self.text_projection = nn.Linear(config.text_width, width)
        self.image_embedding = nn.Linear(config.image_width, config.embedding, bias=False)
        self.text_embedding = nn.Linear(config.text_width, config.embedding, bias=False)
        self.logit_scale = LogitScale()
        self.image_blocks = self._blocks()
        self.text_blocks = self._blocks()
        self.norm = nn.LayerNorm(2 * width, eps=config.epsilon)
        self.fused = FeedForward(2 * width, config.hidden)
        self.head = nn.Linear(2 * width, config.classes)

    def forward(
        self, images: Tensor, tokens: Tensor, real: Tensor | None = None
    ) -> VisionLanguageOutput:
        """images: float (B, C, height, width); tokens: int64 (B, T); real: bool (B, T)."""
        if images.shape[0] != tokens.shape[0]:
            raise ValueError(f"there are {images.shape[0]} images but {tokens.shape[0]} texts")
        image, words = self.images(images), self.texts(tokens, real)
        check_stream("image tokens", image, self.config.image_width)
        check_stream("words", words, self.config.text_width, real)
        image_embeddings = self.image_embedding(image.mean(dim=1))  # (B, E)
        text_embeddings = self.text_embedding(masked_mean(words, real))  # (B, E)
        return VisionLanguageOutput(
            self.fuse(self.image_projection(image), self.text_projection(words), real),
            F.normalize(image_embeddings, dim=-1),
            F.normalize(text_embeddings, dim=-1),
            self.logit_scale(),
        )

    def fuse(self, image: Tensor, words: Tensor, real: Tensor | None = None) -> Tensor:
        """image: (B, N, D) and words: (B, T, D) attend to each other. Returns logits (B, K)."""
        mask = None if real is None else padding_mask(real)
        for text_block, image_block in zip(self.text_blocks, self.image_blocks, strict=True):
            # Both at once: each attends to the other as it was before this layer.
            words, image = (
                text_block(words, image, mask),
                image_block(image, words, context_mask=mask),
            )
        both = torch.cat([masked_mean(words, real), image.mean(dim=1)], dim=-1)  # (B, 2 * D)
        both = both + self.fused(self.norm(both))  # (B, 2 * D)
        return self.head(both)  # (B, K)

    def _blocks(self) -> nn.ModuleList:
        config = self.config
        return nn.ModuleList(
            CrossAttentionBlock(config.width, config.heads, config.hidden, epsilon=config.epsilon)
            for _ in range(config.depth)
        )
