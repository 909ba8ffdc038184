"""unCLIP's decoder: a UNet conditioned on the CLIP embedding of the image to draw.

Paper: Hierarchical Text-Conditional Image Generation with CLIP Latents (Ramesh et al. 2022,
arXiv 2204.06125), section 2.1. What one draws with it stands in unclip.py, the prior in prior.py.
Dimensions: B batch, C channels of the image, X x Y its height and width, E width of CLIP's
embeddings, T extra tokens, W their width.
Differs from the paper: the decoder is not conditioned on the caption besides (section 2.1 found little
help in it); it predicts the velocity, not the noise, which also determines x0 at pure noise; a cell
of its UNet may be a patch of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion import unet
from scratchmm.diffusion.guidance import prompt_dropout
from scratchmm.diffusion.process import Schedule, check_target, diffusion_loss
from scratchmm.diffusion.unet import UNet, UNetConfig
from scratchmm.layers.checks import check_divisible
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class DecoderConfig:
    """The sizes of a decoder."""

    unet: UNetConfig  # with a context; its channels are those of a patch of the image
    embedding: int = 768  # E, of CLIP's embedding of an image
    image_size: int = 64  # height and width of the images
    patch: int = 1  # pixels, in height and in width, to a cell of the UNet's largest grid
    tokens: int = 4  # T, that the embedding becomes for the UNet's attention
    target: str = "velocity"  # what it predicts, one of process.TARGETS

    def __post_init__(self) -> None:
        check_sizes(self)
        check_divisible("channels", self.unet.channels, "a patch's pixels", self.patch**2)
        check_divisible("image size", self.image_size, "patch size", self.patch)
        check_target(self.target)
        if self.unet.context_width is None:
            raise ValueError(
                "the UNet of a decoder has context_width None: it attends to tokens of the embedding"
            )

    @property
    def channels(self) -> int:
        """Channels of the image, C."""
        return self.unet.channels // self.patch**2


def tiny() -> DecoderConfig:
    """A size for tests: images of 16 x 16, a cell for 2 x 2 pixels.

    >>> tiny().channels
    3
    """
    return DecoderConfig(
        replace(unet.tiny_with_context(), channels=12), embedding=24, image_size=16, patch=2
    )


class Decoder(nn.Module):
    """A UNet whose time embedding the CLIP embedding is added to, and whose context it becomes.

    `empty` is learned: it takes the place of an embedding, for guidance.

    >>> decoder = Decoder(tiny())
    >>> decoder(torch.zeros(2, 3, 16, 16), torch.tensor([0, 999]), torch.zeros(2, 24)).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet(config.unet)
        self.time = nn.Linear(config.embedding, config.unet.time_width)
        width = config.unet.context_width or 0
        self.tokens = nn.Linear(config.embedding, config.tokens * width)
        self.empty = nn.Parameter(torch.zeros(1, config.embedding))

    def forward(self, noisy: Tensor, timesteps: Tensor, embedding: Tensor) -> Tensor:
        """noisy: float (B, C, X, Y); timesteps: (B,); embedding: (B, E). Returns (B, C, X, Y)."""
        if embedding.shape != (noisy.shape[0], self.config.embedding):
            raise ValueError(
                f"the embeddings are {tuple(embedding.shape)}, but {noisy.shape[0]} images for this "
                f"decoder need {(noisy.shape[0], self.config.embedding)}"
            )
        patches = F.pixel_unshuffle(noisy, self.config.patch)  # a patch's pixels as channels
        tokens = self.tokens(embedding).unflatten(-1, (self.config.tokens, -1))  # (B, T, W)
        predicted = self.unet(patches, timesteps, tokens, time=self.time(embedding))
        return F.pixel_shuffle(predicted, self.config.patch)  # (B, C, X, Y)

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
    dropout_probability: float = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The loss of images (B, C, X, Y) and their CLIP embeddings (B, E): a scalar.

    dropout_probability: of the empty embedding in place of one, for guidance.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> images, embeddings = torch.zeros(2, 3, 16, 16), torch.zeros(2, 24)
    >>> decoder_loss(Decoder(tiny()), cosine_schedule(10), images, embeddings).shape
    torch.Size([])
    """
    given = {"embedding": embeddings}
    given = prompt_dropout(given, {"embedding": decoder.empty}, dropout_probability, generator)
    target = decoder.config.target
    return diffusion_loss(decoder, schedule, images, target=target, generator=generator, **given)
