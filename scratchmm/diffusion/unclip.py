"""unCLIP: from the CLIP embedding of an image back to images with the same embedding.

A CLIP embedding keeps what an image shows and forgets where each pixel was; the rest is noise. So
embedding and noise together are the image, and either can be kept while the other changes.

Paper: Hierarchical Text-Conditional Image Generation with CLIP Latents (Ramesh et al. 2022,
arXiv 2204.06125), section 3. The model stands in unclip_decoder.py, the prior in prior.py.
Dimensions: B batch, C channels of the image, X x Y its height and width, E width of CLIP's
embeddings, K images along an arc.
Differs from the paper: nothing.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.diffusion.ddim import ddim_invert, ddim_sample, spaced_timesteps
from scratchmm.diffusion.guidance import guided
from scratchmm.diffusion.interpolation import arc
from scratchmm.diffusion.noise import seeded_each
from scratchmm.diffusion.process import Schedule
from scratchmm.diffusion.unclip_decoder import Decoder


def decode(
    decoder: Decoder,
    schedule: Schedule,
    embeddings: Tensor,
    noise: Tensor,
    *,
    steps: int = 25,
    scale: float = 1.0,
    clamp: float | None = 1.0,
    **options: Any,
) -> Tensor:
    """Images (B, C, X, Y) from embeddings of width E and noise of the images' shape, by DDIM.

    There are B of either, or one that serves all; ValueError on other numbers. scale: of guidance;
    options: eta, generator and others of `ddim_path`. With eta 0, noise and embedding decide the
    image.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> from scratchmm.diffusion.unclip_decoder import tiny
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
        target=decoder.config.target, clamp=clamp, embedding=embeddings, **options,
    )  # fmt: skip


def invert(
    decoder: Decoder, schedule: Schedule, images: Tensor, embeddings: Tensor, *, steps: int = 100
) -> Tensor:
    """The noise (B, C, X, Y) that makes images (B, C, X, Y) of their embeddings (B, E).

    Both together are the image: `decode` makes nearly the same again, with as many steps, clamp=None
    and no guidance. With another embedding, or an eta above 0, it makes a relative of it.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> from scratchmm.diffusion.unclip_decoder import tiny
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

    What stays the same in all of them is what the embedding keeps. options: see `decode`; the noise of
    steps with an eta above 0 comes from the seeds too, unless a generator is given.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> from scratchmm.diffusion.unclip_decoder import tiny
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

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> from scratchmm.diffusion.unclip_decoder import tiny
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
    """An image's embedding (1, E), turned towards the difference of two texts (section 3.3): (K, E).

    text and before: (1, E), what the image should show and what it shows. The paper turns by a
    share of 0.25 to 0.5, and decodes from the noise that `invert` finds.

    >>> seen, red, blue = torch.eye(3)[:, None]
    >>> text_diffs(seen, red, blue, [0.0, 1.0]).round(decimals=2)
    tensor([[ 1.0000,  0.0000,  0.0000],
            [ 0.0000,  0.7100, -0.7100]])
    """
    direction = F.normalize(text - before, dim=-1)  # (1, E)
    return arc(torch.cat([embedding, direction]), shares)  # (K, E)
