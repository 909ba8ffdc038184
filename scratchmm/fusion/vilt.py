"""ViLT: one transformer over a single sequence of text tokens and image patches.

Paper: ViLT: Vision-and-Language Transformer Without Convolution or Region Supervision (Kim et al.
2021, arXiv 2102.03334), section 3 and figure 3.
Dimensions: B batch, T text tokens, N patches, C channels, D width, V vocabulary, K answers; S rows
and columns of the learned square of positions, P rows and Q columns of the padded grid, N = P * Q,
and L either of them.
Differs from the paper:
- Matching is one logit, as in the published retrieval model, instead of a softmax over two; the
  wrong partner is another text, not another image.
- A patch's position is bilinear, corners aligned, over the part of the grid that its image fills,
  as published. All patches are kept, in reading order; published models draw at most 200 at random.
- No alignment of words with patches (its third objective), no dropout.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from scratchmm.language.words import BERTEmbeddings, MaskedWordHead, check_real
from scratchmm.layers.attention import check_heads, padding_mask
from scratchmm.layers.checks import check_divisible
from scratchmm.layers.tracing import numbers_are_known
from scratchmm.layers.transformer import Transformer, TransformerBlock, activation_named
from scratchmm.sentences import check_sizes
from scratchmm.vision.vit import PatchEmbedding

WORD, IMAGE = 0, 1  # the modality types


@dataclass(frozen=True)
class ViLTConfig:
    """The sizes of a ViLT; as they stand, those of the published ViLT-B/32."""

    vocabulary: int = 30522  # tokens, V
    context_length: int = 40  # the longest text in tokens
    image_size: int = 384  # that the positions are learned for, in pixels; other sizes work
    patch_size: int = 32  # height and width of a patch in pixels
    width: int = 768  # of every token
    depth: int = 12  # blocks
    heads: int = 12  # of attention, a divisor of the width
    hidden: int = 3072  # inside the feed-forward networks
    channels: int = 3  # of the image
    types: int = 2  # token types, one for each sentence of a pair
    modalities: int = 2  # words and images; 3 where a second image has a type of its own
    epsilon: float = 1e-12  # of the layer norms
    activation: str = "gelu"  # of the feed-forward networks and of the masked-LM head

    def __post_init__(self) -> None:
        check_sizes(self)
        check_divisible("image size", self.image_size, "patch size", self.patch_size)
        check_heads(self.width, self.heads)
        activation_named(self.activation)

    @property
    def grid(self) -> int:
        """Patches in a row, and rows, for which there are positions."""
        return self.image_size // self.patch_size


def tiny() -> ViLTConfig:
    """A size for tests: 99 tokens, 16 patches, 2 blocks.

    >>> tiny().grid
    4
    """
    return ViLTConfig(99, 20, 32, 8, width=32, depth=2, heads=4, hidden=37)


def vilt_b_32() -> ViLTConfig:
    """ViLT-B/32: 111,595,008 parameters with the pooler."""
    return ViLTConfig()


def interpolate_positions(
    positions: Tensor, filled: tuple[int, int], grid: tuple[int, int]
) -> Tensor:
    """The learned square of positions, stretched over the filled corner of a grid: (N, D).

    positions: (S * S, D); filled: (rows, columns) of the image itself, at the top left; grid:
    (rows, columns) with the padding, which gets zeros. One image; `interpolate_each` has a batch.

    >>> interpolate_positions(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), (1, 2), (2, 3)).view(2, 3)
    tensor([[1., 2., 0.],
            [0., 0., 0.]])
    """
    side, missing = round(len(positions) ** 0.5), (grid[0] - filled[0], grid[1] - filled[1])
    if 0 in filled:
        return positions.new_zeros(grid[0] * grid[1], positions.shape[1])
    square = rearrange(positions, "(h w) d -> 1 d h w", h=side)
    square = F.interpolate(square, size=filled, mode="bilinear", align_corners=True)
    return rearrange(F.pad(square, (0, missing[1], 0, missing[0])), "1 d h w -> (h w) d")


def interpolate_each(
    positions: Tensor, rows: Tensor, columns: Tensor, grid: tuple[int, int]
) -> Tensor:
    """`interpolate_positions` for a batch of images, each with its own filled corner: (B, N, D).

    positions: (S * S, D); rows, columns: int64 (B,), filled in each; Python need not know the numbers.

    >>> square = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    >>> interpolate_each(square, torch.tensor([1, 2]), torch.tensor([2, 3]), (2, 3)).view(2, 2, 3)
    tensor([[[1.0000, 2.0000, 0.0000],
             [0.0000, 0.0000, 0.0000]],
    <BLANKLINE>
            [[1.0000, 1.5000, 2.0000],
             [3.0000, 3.5000, 4.0000]]])
    """
    side = round(positions.shape[0] ** 0.5)
    square = positions.view(side, side, -1)  # (S, S, D)
    down = stretch(rows, side, grid[0]).to(positions.dtype)  # (B, P, S)
    across = stretch(columns, side, grid[1]).to(positions.dtype)  # (B, Q, S)
    stretched = (down @ square.flatten(1)).unflatten(2, (side, -1))  # (B, P, S, D)
    return (across[:, None] @ stretched).flatten(1, 2)  # (B, N, D)


def stretch(counts: Tensor, side: int, length: int) -> Tensor:
    """How much each of `side` learned places counts at each of `length`: float64 (B, length, side).

    counts: int64 (B,), how many of the length are filled. The ends stay ends (corners aligned), and
    between two learned places is a line. Rows beyond the count are zeros.

    >>> stretch(torch.tensor([3]), side=2, length=4)[0].tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.0, 0.0]]
    """
    place = torch.arange(length, device=counts.device)  # (L,)
    steps = (counts - 1).clamp(min=1)[:, None].double()  # (B, 1)
    at = place * (side - 1) / steps  # (B, L), in learned places
    near = 1 - (at[..., None] - torch.arange(side, device=counts.device)).abs()
    return near.clamp(min=0) * (place < counts[:, None])[..., None]  # (B, L, S)


def filled_patches(
    pixels: Tensor, images: Tensor, patch: int
) -> tuple[list[tuple[int, int]], Tensor]:
    """The (rows, columns) of patches that each image fills; and which patches, bool (B, N).

    pixels: bool, a mask of each image, which must lie at the top left (ValueError). A patch counts
    if its top left pixel does.

    >>> pixels = torch.ones(1, 4, 6, dtype=torch.bool)
    >>> pixels[:, :, 4:] = False
    >>> filled_patches(pixels, torch.zeros(1, 3, 4, 6), patch=2)
    ([(2, 2)], tensor([[ True,  True, False,  True,  True, False]]))
    """
    rows, columns, seen = count_patches(pixels, images, patch)
    return list(zip(rows.tolist(), columns.tolist(), strict=True)), seen


def count_patches(pixels: Tensor, images: Tensor, patch: int) -> tuple[Tensor, Tensor, Tensor]:
    """`filled_patches` as tensors: rows and columns int64 (B,), and which patches, bool (B, N).

    >>> count_patches(torch.ones(1, 4, 6).bool(), torch.zeros(1, 3, 4, 6), patch=2)[:2]
    (tensor([2]), tensor([3]))
    """
    expected = (images.shape[0], *images.shape[-2:])
    if tuple(pixels.shape) != expected or pixels.dtype != torch.bool:
        raise ValueError(
            f"the mask of the images is {tuple(pixels.shape)} of {pixels.dtype}, "
            f"but they need {expected} of torch.bool (True = image)"
        )
    seen = pixels[:, ::patch, ::patch]
    rows, columns = seen[:, :, 0].sum(dim=1), seen[:, 0].sum(dim=1)  # each (B,)
    down = torch.arange(seen.shape[1], device=seen.device) < rows[:, None]
    across = torch.arange(seen.shape[2], device=seen.device) < columns[:, None]
    check_rectangles(seen, down[:, :, None] & across[:, None])
    return rows, columns, seen.flatten(1)


def check_rectangles(seen: Tensor, filled: Tensor) -> None:
    """Refuse a mask that is not a rectangle at the top left. Both: bool (B, P, Q).

    >>> check_rectangles(torch.tensor([[[False, True]]]), torch.tensor([[[True, False]]]))
    Traceback (most recent call last):
    ValueError: image 0 is not a rectangle at the top left
    """
    wrong = (seen != filled).flatten(1).any(dim=1)  # (B,)
    if numbers_are_known(wrong) and wrong.any():
        raise ValueError(f"image {int(wrong.nonzero()[0])} is not a rectangle at the top left")


class ViLTEmbeddings(nn.Module):
    """Words as BERT embeds them, images as ViT does, and to each the vector of its modality.

    >>> layer = ViLTEmbeddings(tiny())
    >>> tokens, real = layer(torch.tensor([[5, 7, 9]]), torch.zeros(1, 3, 32, 32))
    >>> tokens.shape
    torch.Size([1, 20, 32])
    """

    def __init__(self, config: ViLTConfig) -> None:
        super().__init__()
        width = config.width
        self.words = BERTEmbeddings(
            config.vocabulary, width, config.context_length, config.types, config.epsilon
        )
        self.patches = PatchEmbedding(config.channels, config.patch_size, width)
        self.class_token = nn.Parameter(width**-0.5 * torch.randn(width))
        self.positions = nn.Parameter(width**-0.5 * torch.randn(1 + config.grid**2, width))
        self.modalities = nn.Embedding(config.modalities, width)
        nn.init.normal_(self.modalities.weight, std=0.02)

    def forward(
        self,
        tokens: Tensor,
        images: Tensor,
        real: Tensor | None = None,
        pixels: Tensor | None = None,
        types: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The one stream, words first, (B, T + 1 + N, D); and which of it is real, if not all.

        tokens: int64 (B, T); images: float (B, C, height, width); real: bool (B, T), True on words;
        pixels: bool (B, height, width), True on the image, False where it was padded.
        """
        words = self.words(tokens, types) + self.modalities.weight[WORD]  # (B, T, D)
        image, seen = self.image(images, pixels)
        image = image + self.modalities.weight[IMAGE]  # (B, 1 + N, D)
        stream = torch.cat([words, image], dim=1)  # (B, T + 1 + N, D)
        if real is None and seen is None:
            return stream, None
        everything = torch.ones(stream.shape[:2], dtype=torch.bool, device=stream.device)
        real = everything[:, : tokens.shape[1]] if real is None else check_real(real, tokens)
        seen = everything[:, tokens.shape[1] :] if seen is None else seen
        return stream, torch.cat([real, seen], dim=1)

    def image(self, images: Tensor, pixels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Patches with their positions after a CLS of their own, (B, 1 + N, D); and which count."""
        patch = self.patches.patch
        x = self.patches(images)  # (B, N, D)
        grid = (images.shape[-2] // patch, images.shape[-1] // patch)
        seen = None
        if pixels is None:
            x = x + interpolate_positions(self.positions[1:], grid, grid)  # (B, N, D)
        else:
            rows, columns, seen = count_patches(pixels, images, patch)
            x = x + interpolate_each(self.positions[1:], rows, columns, grid)  # (B, N, D)
            # Real patches first, then as many of the padding as the largest image needs; all of it
            # where torch only traces: how many those are is data.
            order = seen.int().argsort(dim=1, descending=True, stable=True)  # (B, N)
            if numbers_are_known(seen):
                order = order[:, : int(seen.sum(dim=1).max())]
            # Not take_along_dim, for which torch.export fixes the batch.
            x = x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))
            ends = torch.ones(x.shape[0], 1, dtype=torch.bool, device=x.device)
            seen = torch.cat([ends, seen.gather(1, order)], dim=1)
        class_token = (self.class_token + self.positions[0]).expand(x.shape[0], 1, -1)  # (B, 1, D)
        return torch.cat([class_token, x], dim=1), seen


class ViLTOutput(NamedTuple):
    """Every token encoded, and both modalities in one vector."""

    words: Tensor  # (B, T, D)
    image: Tensor  # (B, 1 + N, D), its CLS first
    pooled: Tensor  # (B, D), each number in [-1, 1], from the first word, [CLS]


class ViLT(nn.Module):
    """One transformer over both modalities, without a convolution or a region detector.

    >>> output = ViLT(tiny())(torch.tensor([[5, 7, 9]]), torch.zeros(1, 3, 32, 32))
    >>> output.words.shape, output.image.shape, output.pooled.shape
    (torch.Size([1, 3, 32]), torch.Size([1, 17, 32]), torch.Size([1, 32]))
    """

    def __init__(self, config: ViLTConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = ViLTEmbeddings(config)
        activation = activation_named(config.activation)
        self.transformer = Transformer(
            TransformerBlock(config.width, config.heads, config.hidden, activation, config.epsilon)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=config.epsilon)
        self.pooler = nn.Linear(config.width, config.width)

    def forward(
        self,
        tokens: Tensor,
        images: Tensor,
        real: Tensor | None = None,
        pixels: Tensor | None = None,
        types: Tensor | None = None,
    ) -> ViLTOutput:
        """Arguments as `ViLTEmbeddings`: words (B, T), images (B, C, height, width), masks."""
        if tokens.shape[0] != images.shape[0]:
            raise ValueError(f"there are {tokens.shape[0]} texts but {images.shape[0]} images")
        x, seen = self.embeddings(tokens, images, real, pixels, types)
        x = self.transformer(x, mask=None if seen is None else padding_mask(seen))
        x = self.norm(x)
        words, image = x[:, : tokens.shape[1]], x[:, tokens.shape[1] :]
        return ViLTOutput(words, image, self.pooler(words[:, 0]).tanh())


class ViLTForMatching(nn.Module):
    """Image-text matching: one logit, above 0 where the words belong to the image.

    >>> model = ViLTForMatching(ViLT(tiny()))
    >>> model(torch.tensor([[5, 7, 9]] * 2), torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2])
    """

    def __init__(self, vilt: ViLT) -> None:
        super().__init__()
        self.vilt = vilt
        self.head = nn.Linear(vilt.config.width, 1)

    def forward(self, tokens: Tensor, images: Tensor, **masks: Tensor | None) -> Tensor:
        """tokens: int64 (B, T); masks: as `ViLT` names them. Returns logits (B,)."""
        return self.head(self.vilt(tokens, images, **masks).pooled)[:, 0]  # (B,)


class ViLTForMaskedLM(nn.Module):
    """Masked language modelling: logits at every word, conditioned on the image.

    >>> model = ViLTForMaskedLM(ViLT(tiny()))
    >>> model(torch.tensor([[5, 7, 9]]), torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 3, 99])
    """

    def __init__(self, vilt: ViLT) -> None:
        super().__init__()
        self.vilt = vilt
        config = vilt.config
        activation = activation_named(config.activation)
        self.head = MaskedWordHead(config.width, config.vocabulary, config.epsilon, activation)

    def forward(self, tokens: Tensor, images: Tensor, **masks: Tensor | None) -> Tensor:
        """tokens: int64 (B, T), some masked. Returns logits (B, T, V)."""
        words = self.vilt(tokens, images, **masks).words  # (B, T, D)
        return self.head(words, self.vilt.embeddings.words.tokens.weight)  # (B, T, V)


class ViLTForVQA(nn.Module):
    """Visual question answering: a small network on the pooled vector; answers: how many, K.

    >>> model = ViLTForVQA(ViLT(tiny()), answers=11)
    >>> model(torch.tensor([[5, 7, 9]]), torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 11])
    """

    def __init__(self, vilt: ViLT, answers: int = 3129) -> None:
        super().__init__()
        self.vilt = vilt
        width = vilt.config.width
        self.expand, self.norm = nn.Linear(width, 2 * width), nn.LayerNorm(2 * width)
        self.contract = nn.Linear(2 * width, answers)

    def forward(self, tokens: Tensor, images: Tensor, **masks: Tensor | None) -> Tensor:
        """tokens: int64 (B, T), the question. Returns logits (B, K)."""
        x = self.vilt(tokens, images, **masks).pooled  # (B, D)
        x = F.gelu(self.norm(self.expand(x)))  # (B, 2 * D)
        return self.contract(x)  # (B, K)
