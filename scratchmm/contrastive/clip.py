"""CLIP: a vision tower and a text tower, trained into one space in which pairs are close.

Paper: Learning Transferable Visual Models From Natural Language Supervision (Radford et al. 2021,
arXiv 2103.00020), figure 3 and section 2.
Dimensions: B batch, C channels, N patches, T text tokens, D width of a tower, E of the shared space.
Differs from the paper: texts are pooled at their first end token; and see two_tower.py.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch  # noqa: F401  (for the examples)
from torch import Tensor, nn

from scratchmm.contrastive.two_tower import LogitScale, TwoTower
from scratchmm.language import text_transformer
from scratchmm.language.text_transformer import TextConfig, TextTransformer, pool_at_end
from scratchmm.layers.transformer import Transformer, TransformerBlock, activation_named
from scratchmm.sentences import check_sizes
from scratchmm.vision.vit import ViTConfig, ViTEmbeddings


@dataclass(frozen=True)
class CLIPConfig:
    """The sizes of a CLIP: its two towers, and the space they share."""

    vision: ViTConfig  # of the vision tower; its number of classes is not used
    text: TextConfig  # of the text tower, which may be of another width and depth
    embedding: int = 512  # width of the shared space, E

    def __post_init__(self) -> None:
        check_sizes(self)


def tiny() -> CLIPConfig:
    """A size for tests.

    >>> tiny().embedding
    24
    """
    vision = ViTConfig(32, 8, width=32, depth=2, heads=4, hidden=37, epsilon=1e-5)
    return CLIPConfig(vision, text_transformer.tiny(), embedding=24)


def clip_vit_b_32() -> CLIPConfig:
    """CLIP ViT-B/32, as published: 151,277,313 parameters."""
    return CLIPConfig(ViTConfig(patch_size=32, epsilon=1e-5), TextConfig())


def clip_vit_b_16() -> CLIPConfig:
    """CLIP ViT-B/16, as published."""
    return CLIPConfig(ViTConfig(patch_size=16, epsilon=1e-5), TextConfig())


def clip_vit_l_14() -> CLIPConfig:
    """CLIP ViT-L/14, as published."""
    vision = ViTConfig(patch_size=14, width=1024, depth=24, heads=16, hidden=4096, epsilon=1e-5)
    return CLIPConfig(vision, TextConfig(width=768, heads=12, hidden=3072), embedding=768)


def clip_vit_l_14_336() -> CLIPConfig:
    """CLIP ViT-L/14 for images of 336 pixels, as published: 427,944,193 parameters."""
    config = clip_vit_l_14()
    return replace(config, vision=replace(config.vision, image_size=336))


def clip_vit_h_14() -> CLIPConfig:
    """LAION's CLIP ViT-H/14: GELU, heads 80 and 64 wide; 986,109,441 parameters."""
    vision = ViTConfig(
        patch_size=14, width=1280, depth=32, heads=16, hidden=5120, epsilon=1e-5, activation="gelu"
    )
    text = TextConfig(width=1024, depth=24, heads=16, hidden=4096, activation="gelu")
    return CLIPConfig(vision, text, embedding=1024)


def clip_vit_bigg_14() -> CLIPConfig:
    """LAION's CLIP ViT-bigG/14: GELU, heads 104 and 64 wide; 2,539,567,105 parameters."""
    vision = ViTConfig(
        patch_size=14, width=1664, depth=48, heads=16, hidden=8192, epsilon=1e-5, activation="gelu"
    )
    text = TextConfig(width=1280, depth=32, heads=20, hidden=5120, activation="gelu")
    return CLIPConfig(vision, text, embedding=1280)


def with_activation(config: CLIPConfig, activation: str) -> CLIPConfig:
    """The same CLIP with another activation in both towers: LAION's of OpenAI's sizes have "gelu".

    >>> with_activation(clip_vit_b_32(), "gelu").text.activation
    'gelu'
    """
    vision = replace(config.vision, activation=activation)
    return replace(config, vision=vision, text=replace(config.text, activation=activation))


class CLIPVision(nn.Module):
    """CLIP's vision tower: a ViT with a norm before its blocks, whose CLS token is the image's vector.

    Its patch projection has no bias, and its GELU is the quick one unless the config names another.

    >>> CLIPVision(tiny().vision)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 32])
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = ViTEmbeddings(config, bias=False)
        self.norm_before = nn.LayerNorm(config.width, eps=config.epsilon)
        activation = activation_named(config.activation or "quick_gelu")
        self.transformer = Transformer(
            TransformerBlock(config.width, config.heads, config.hidden, activation, config.epsilon)
            for _ in range(config.depth)
        )
        self.norm_after = nn.LayerNorm(config.width, eps=config.epsilon)

    def tokens(self, images: Tensor) -> Tensor:
        """images: as `forward`. Returns all tokens (B, 1 + N, D), CLS first; `forward` needs one."""
        x = self.norm_before(self.embeddings(images))  # (B, 1 + N, D)
        return self.transformer(x)  # (B, 1 + N, D)

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns the image's vector (B, D)."""
        x = self.norm_before(self.embeddings(images))  # (B, 1 + N, D)
        return self.norm_after(self.transformer.cls_only(x))  # (B, D)


class CLIPText(nn.Module):
    """CLIP's text tower: a causal transformer, whose vector at the first end token is the text's.

    >>> CLIPText(text_transformer.tiny())(torch.tensor([[97, 5, 98]])).shape
    torch.Size([1, 32])
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.end_token = config.end_token
        self.encoder = TextTransformer(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: int64 (B, T), each text with its end token. Returns the text's vector (B, D)."""
        return pool_at_end(self.encoder(tokens), tokens, self.end_token)  # (B, D)


class CLIPOutput(NamedTuple):
    """The embeddings of a batch of images and a batch of texts, and the scale of their logits."""

    image_embeddings: Tensor  # (B, E), unit length
    text_embeddings: Tensor  # (B, E), unit length
    scale: Tensor  # scalar, 1 / temperature

    @property
    def logits(self) -> Tensor:
        """scale * cosine similarity: a row for each image, a column for each text."""
        return self.scale * self.image_embeddings @ self.text_embeddings.T


class CLIP(nn.Module):
    """Two towers, of images and of texts, in one shared space.

    >>> config = tiny()
    >>> output = CLIP(config)(torch.zeros(2, 3, 32, 32), torch.tensor([[97, 5, 98]] * 2))
    >>> output.image_embeddings.shape, output.logits.shape
    (torch.Size([2, 24]), torch.Size([2, 2]))
    """

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.two_tower = TwoTower(
            {"image": CLIPVision(config.vision), "text": CLIPText(config.text)},
            {"image": config.vision.width, "text": config.text.width},
            config.embedding,
        )

    @property
    def vision(self) -> CLIPVision:
        """The vision tower."""
        return cast(CLIPVision, self.two_tower.towers["image"])

    @property
    def text(self) -> TextTransformer:
        """The encoder of the text tower: all tokens (B, T, D), before they are pooled."""
        return cast(CLIPText, self.two_tower.towers["text"]).encoder

    @property
    def logit_scale(self) -> LogitScale:
        """What similarities are multiplied by: call it for the scale, 1 / temperature."""
        return self.two_tower.logit_scale

    def encode_image(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns unit vectors (B, E)."""
        return self.two_tower.encode("image", images)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """tokens: int64 (B, T), each text with its end token. Returns unit vectors (B, E)."""
        return self.two_tower.encode("text", tokens)

    def forward(self, images: Tensor, tokens: Tensor) -> CLIPOutput:
        """images: float (B, C, height, width); tokens: int64 (B, T)."""
        embeddings, scale = self.two_tower({"image": images, "text": tokens})
        return CLIPOutput(embeddings["image"], embeddings["text"], scale)
