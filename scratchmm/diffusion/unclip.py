"""unCLIP's decoder: from what CLIP sees in an image back to images in which it sees the same.

A CLIP embedding keeps what an image shows and forgets where each pixel was; the rest is noise. So
embedding and noise together are the image, and either can be kept while the other changes.

Paper: Hierarchical Text-Conditional Image Generation with CLIP Latents (Ramesh et al. 2022,
arXiv 2204.06125), section 2.1, the decoder, and section 3, what it lets one do. The prior of
section 2.2 stands in prior.py.
Dimensions: B batch, C channels of the image, X x Y its height and width, E width of CLIP's
embeddings, T extra tokens, W their width, K images along a way.
Differs from the paper: the decoder does not read the caption besides (section 2.1 found little
help in it); it predicts the velocity, not the noise, which also says what a clean image holds; a
cell of its UNet may be a patch of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.chance import seeded_each
from scratchmm.diffusion.ddim import ddim_invert, ddim_sample, spaced_timesteps
from scratchmm.diffusion.ddpm import check_target, diffusion_loss
from scratchmm.diffusion.guidance import guided, prompt_dropout
from scratchmm.diffusion.prior import slerp
from scratchmm.diffusion.schedule import Schedule
from scratchmm.diffusion.text_unet import TextUNet, TextUNetConfig
from scratchmm.layers.checks import check_divisible
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class DecoderConfig:
    """The sizes of a decoder."""

    unet: TextUNetConfig  # its channels are those of a patch of the image
    embedding: int = 768  # E, of CLIP's embedding of an image
    image_size: int = 64  # height and width of the images
    patch: int = 1  # pixels, in height and in width, to a cell of the UNet's largest grid
    tokens: int = 4  # T, that the embedding becomes for the UNet's attention
    target: str = "velocity"  # what it predicts, one of ddpm.TARGETS

    def __post_init__(self) -> None:
        check_sizes(self)
        check_divisible("channels", self.unet.channels, "a patch's pixels", self.patch**2)
        check_divisible("image size", self.image_size, "patch size", self.patch)
        check_target(self.target)

    @property
    def channels(self) -> int:
        """Channels of the image, C."""
        return self.unet.channels // self.patch**2


def tiny() -> DecoderConfig:
    """A size for tests: images of 16 x 16, a cell for 2 x 2 pixels.

    >>> tiny().channels
    3
    """
    unet = TextUNetConfig(12, (8, 16), 1, (1,), groups=4, heads=2, word_width=10)
    return DecoderConfig(unet, embedding=24, image_size=16, patch=2)


class Decoder(nn.Module):
    """A UNet that hears the embedding together with the time, and looks at it as a few tokens.

    `empty` is learned: what it is given in place of an embedding, for guidance.

    >>> decoder = Decoder(tiny())
    >>> decoder(torch.zeros(2, 3, 16, 16), torch.tensor([0, 999]), torch.zeros(2, 24)).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = TextUNet(config.unet)
        self.time = nn.Linear(config.embedding, config.unet.time_width)
        self.words = nn.Linear(config.embedding, config.tokens * config.unet.word_width)
        self.empty = nn.Parameter(torch.zeros(1, config.embedding))

    def forward(self, noisy: Tensor, timesteps: Tensor, embedding: Tensor) -> Tensor:
        """noisy: float (B, C, X, Y); timesteps: (B,); embedding: (B, E). Returns (B, C, X, Y)."""
        if embedding.shape != (noisy.shape[0], self.config.embedding):
            raise ValueError(
                f"the embeddings are {tuple(embedding.shape)}, but {noisy.shape[0]} images for this "
                f"decoder need {(noisy.shape[0], self.config.embedding)}"
            )
        patches = F.pixel_unshuffle(noisy, self.config.patch)  # a patch's pixels as channels
        time = self.unet.embed_time(patches, timesteps) + self.time(embedding)
        words = self.words(embedding).unflatten(-1, (self.config.tokens, -1))  # (B, T, W)
        x, skips = self.unet.down(patches, time, words, None)
        x = self.unet.bottom(x, time, words, None)
        return F.pixel_shuffle(self.unet.up(x, skips, time, words, None), self.config.patch)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Normal noise (B, C, X, Y), each seed its own: one seed, one noise, in any batch."""
        shape = (self.config.channels, self.config.image_size, self.config.image_size)
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.stack(drawn).to(self.empty)  # (B, C, X, Y)


def decoder_loss(
    decoder: Decoder,
    schedule: Schedule,
    images: Tensor,
    embeddings: Tensor,
    *,
    dropout: float = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The loss of images (B, C, X, Y) and what CLIP says of them, (B, E): a scalar.

    dropout: the chance that an embedding is replaced by the empty one, for guidance.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> images, embeddings = torch.zeros(2, 3, 16, 16), torch.zeros(2, 24)
    >>> decoder_loss(Decoder(tiny()), cosine_schedule(10), images, embeddings).shape
    torch.Size([])
    """
    given = {"embedding": embeddings}
    given = prompt_dropout(given, {"embedding": decoder.empty}, dropout, generator)
    target = decoder.config.target
    return diffusion_loss(decoder, schedule, images, target=target, generator=generator, **given)


def decode(
    decoder: Decoder,
    schedule: Schedule,
    embeddings: Tensor,
    noise: Tensor,
    *,
    steps: int = 25,
    scale: float = 1.0,
    clip: float | None = 1.0,
    **options: Any,
) -> Tensor:
    """Images (B, C, X, Y) from embeddings of width E and noise of the images' shape, by DDIM.

    There are B of either, or one that serves all; ValueError on other numbers. scale: of guidance;
    options: eta, generator and others of `ddim_path`. With eta 0, noise and embedding decide the
    image.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> decoder = Decoder(tiny())
    >>> noise = decoder.noise([7, 8, 9])
    >>> decode(decoder, cosine_schedule(10), torch.zeros(1, 24), noise, steps=2).shape
    torch.Size([3, 3, 16, 16])
    """
    batch = max(len(embeddings), len(noise))
    if not {len(embeddings), len(noise)} <= {1, batch}:
        raise ValueError(f"{len(embeddings)} embeddings and {len(noise)} noises make no pairs")
    embeddings = embeddings.expand(batch, -1)  # (B, E)
    noise = noise.expand(batch, -1, -1, -1)  # (B, C, X, Y)
    model = guided(decoder, {"embedding": decoder.empty}, scale)
    return ddim_sample(
        model, schedule, noise, spaced_timesteps(len(schedule), steps),
        target=decoder.config.target, clip=clip, embedding=embeddings, **options,
    )  # fmt: skip


def invert(
    decoder: Decoder, schedule: Schedule, images: Tensor, embeddings: Tensor, *, steps: int = 100
) -> Tensor:
    """What of images (B, C, X, Y) their embeddings (B, E) do not say: noise (B, C, X, Y).

    Both together are the image: `decode` makes nearly the same again, with as many steps, clip=None
    and no guidance. With another embedding, or an eta above 0, it makes a relative of it.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> images, embeddings = torch.zeros(2, 3, 16, 16), torch.zeros(2, 24)
    >>> invert(Decoder(tiny()), cosine_schedule(10), images, embeddings, steps=2).shape
    torch.Size([2, 3, 16, 16])
    """
    timesteps = spaced_timesteps(len(schedule), steps)
    return ddim_invert(
        decoder, schedule, images, timesteps,
        target=decoder.config.target, embedding=embeddings,
    )  # fmt: skip


def variations(
    decoder: Decoder, schedule: Schedule, embedding: Tensor, seeds: Sequence[int], **options: Any
) -> Tensor:
    """Images (B, C, X, Y) of one embedding (1, E), each from its seed's noise (section 3.1).

    What stays the same in all of them is what CLIP saw. options: see `decode`; chance on the way, with
    an eta above 0, comes from the seeds too, unless a generator is given.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> variations(Decoder(tiny()), cosine_schedule(10), torch.zeros(1, 24), [3, 4], steps=2).shape
    torch.Size([2, 3, 16, 16])
    """
    # Other numbers than the noise that each seed stands for.
    options = {"generator": seeded_each([2**32 + seed for seed in seeds])} | options
    return decode(decoder, schedule, embedding, decoder.noise(seeds), **options)


def interpolate(
    decoder: Decoder,
    schedule: Schedule,
    embeddings: Tensor,
    noise: Tensor,
    shares: Sequence[float],
    **options: Any,
) -> Tensor:
    """Images (K, C, X, Y) on the arc between two embeddings (2, E), at these shares (section 3.2).

    Of noise, each of shape (C, X, Y), there is one for all of them, or one for either end and an
    arc between.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> decoder, ends = Decoder(tiny()), torch.eye(24)[:2]
    >>> noise = decoder.noise([7])
    >>> interpolate(decoder, cosine_schedule(10), ends, noise, [0.0, 0.5, 1.0], steps=2).shape
    torch.Size([3, 3, 16, 16])
    """
    between = arc(embeddings, shares)  # (K, E)
    if len(noise) > 1:
        noise = arc(noise.flatten(1), shares).unflatten(1, noise.shape[1:])  # (K, C, X, Y)
    return decode(decoder, schedule, between, noise, **options)


def text_diffs(embedding: Tensor, text: Tensor, before: Tensor, shares: Sequence[float]) -> Tensor:
    """An image's embedding, (1, E), turned to where a text lies from another (section 3.3): (K, E).

    text and before: (1, E), what the image should show and what it shows. The paper turns by a
    share of 0.25 to 0.5, and decodes from the noise that `invert` finds.

    >>> seen, red, blue = torch.eye(3)[:, None]
    >>> text_diffs(seen, red, blue, [0.0, 1.0]).round(decimals=2)
    tensor([[ 1.0000,  0.0000,  0.0000],
            [ 0.0000,  0.7100, -0.7100]])
    """
    direction = F.normalize(text - before, dim=-1)  # (1, E)
    return arc(torch.cat([embedding, direction]), shares)  # (K, E)


def arc(ends: Tensor, shares: Sequence[float]) -> Tensor:
    """Vectors (K, E) on the arc between two, (2, E), at these shares of the way; see `slerp`.

    Raises ValueError on another number than two, and on opposite ones.

    >>> arc(torch.eye(2), [0.0, 0.5, 1.0])[1]
    tensor([0.7071, 0.7071])
    """
    if len(ends) != 2:
        raise ValueError(f"a way leads from one vector to another, not between {len(ends)}")
    return torch.cat([slerp(ends[:1], ends[1:], share) for share in shares])  # (K, E)
