"""The three trainings of the small text-to-image model: to squeeze images, to read, to draw.

The text encoder is trained before the UNet. Where an image is all noise, its best prediction is the
mean of all images of which the sentence is true; that mean takes no UNet. So the text encoder learns
it alone, at a fifth of the cost of a step of the UNet: after some hundred steps it tells "on the
left" from "on the right", which the UNet with an untrained text encoder did not after a thousand.
(Stable Diffusion's was trained before, too, as a half of CLIP, and there it was frozen.)

Paper: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al. 2021,
arXiv 2112.10752), sections 3.1 and 3.3.
Dimensions: B batch, S images, C channels, H, W height and width, T tokens, D width of the words, Z
channels of the latents on a grid of X x Y cells.
Differs from the paper: the text encoder is trained first, and then with the UNet; a moving
average of the weights is kept (`training.average`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.latent import LatentSpace, text_to_image_loss
from scratchmm.diffusion.unet_blocks import last_token
from scratchmm.diffusion.vae import VAE, vae_loss
from scratchmm.language.text_transformer import TextTransformer
from scratchmm.layers.attention import padding_mask
from scratchmm.training.average import Averaged
from scratchmm.training.fit import fit
from scratchmm.training.sampling import seeded, shuffled_batches

if TYPE_CHECKING:
    from scratchmm.training.small_generator import SmallGenerator

READ_BATCH, DRAW_BATCH = 128, 64


def squeezing_loss(vae: VAE, folded: Tensor, kl_weight: float = 1e-4) -> Tensor:
    """Squared error of folded images and, a number of the latents, kl_weight times the KL.

    `vae_loss` counts the KL by the numbers of an image, of which there are more.
    """
    restored, posterior = vae(folded)
    kl_weight *= folded[0].numel() / posterior.mean[0].numel()
    return vae_loss(folded, restored, posterior, kl_weight, squared=True)


def train_space(
    space: LatentSpace, images: Tensor, *, steps: int, seed: int = 0, **options: Any
) -> None:
    """Stage one: the autoencoder learns to squeeze images (S, 3, H, W), and its scale is fitted."""
    vae = space.autoencoder
    assert isinstance(vae, VAE)
    folded = space.fold(images)
    indices = shuffled_batches(len(images), 32, seed)
    options = {"learning_rate": 1.5e-3, "weight_decay": 0.01, "seed": seed} | options
    fit(vae, lambda step: folded[indices(step)], squeezing_loss, steps=steps, **options)
    vae.eval().fit_scale(folded[:2000], seeded(seed, 0))


@torch.no_grad()
def latents_of(space: LatentSpace, images: Tensor, seed: int = 0) -> Tensor:
    """Images (S, 3, H, W) as latents (S, Z, X, Y), drawn once."""
    generator = seeded(seed, 1)
    return torch.cat([space.to_latents(part, generator) for part in images.split(500)])


def train_reading(
    generator: "SmallGenerator", latents: Tensor, texts: Sequence[str], *, steps: int,
    seed: int = 0, **options: Any,
) -> nn.Linear:  # fmt: skip
    """Stage two: from a sentence to the mean of its images' latents (S, Z, X, Y).

    It is said by a matrix times the last word, which has read all others. Returns that matrix, which
    the drawing does not need.
    """
    reader = generator.model.text_encoder
    assert isinstance(reader, TextTransformer)
    tokens, real = generator.tokens(texts)
    indices = shuffled_batches(len(latents), min(READ_BATCH, len(latents)), seed)
    torch.manual_seed(seed)
    mean = nn.Linear(reader.config.width, latents[0].numel())

    def batch_at(step: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = indices(step)
        return latents[chosen], *cut(tokens[chosen], real[chosen])

    def loss(_: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        found = mean(last_token(reader(batch[1]), padding_mask(batch[2])))
        return F.mse_loss(found, batch[0].flatten(1))

    options = {"learning_rate": 2e-3, "weight_decay": 0.01, "seed": seed} | options
    options["precision"] = "float32"  # so small matrices are not faster in half precision
    fit(nn.ModuleList([reader, mean]), batch_at, loss, steps=steps, **options)
    reader.eval()
    return mean


def train_drawing(
    generator: "SmallGenerator", latents: Tensor, texts: Sequence[str], *, steps: int,
    seed: int = 0, **options: Any,
) -> None:  # fmt: skip
    """Stage three: UNet and text encoder learn to draw, in latents (S, Z, X, Y), what sentences say.

    What is kept in the end is the moving average of their weights.
    """
    model = generator.model
    tokens, real = generator.tokens(texts)
    nothing, only = generator.tokens([""])
    indices = shuffled_batches(len(latents), min(DRAW_BATCH, len(latents)), seed)

    def batch_at(step: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = indices(step)
        return latents[chosen], *cut(tokens[chosen], real[chosen])

    def loss(pair: Averaged, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        pair.update()
        latents, length = batch[0], batch[1].shape[1]
        prompt = {"tokens": batch[1], "real": batch[2]}
        empty = {"tokens": nothing[:, :length], "real": only[:, :length]}
        return text_to_image_loss(model, latents, prompt, empty)

    pair = Averaged(nn.ModuleList([model.unet, model.text_encoder]))  # the autoencoder has learned
    options = {"learning_rate": 3e-3, "weight_decay": 0.01, "seed": seed} | options
    fit(pair, batch_at, loss, steps=steps, **options)
    pair.model.load_state_dict(pair.average.state_dict())
    model.eval()


def cut(tokens: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and mask (B, T) without what is padding in all of them.

    >>> cut(torch.tensor([[5, 7, 0, 0]]), torch.tensor([[True, True, False, False]]))[0].tolist()
    [[5, 7]]
    """
    length = int(real.sum(dim=1).max())
    return tokens[:, :length], real[:, :length]
