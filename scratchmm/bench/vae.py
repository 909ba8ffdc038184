"""The KL autoencoder beside diffusers' AutoencoderKL, with the same weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.bench.measure import Row
from scratchmm.bench.peers import quiet_diffusers
from scratchmm.bench.sides import Side, forward_and_step
from scratchmm.checkpoints.vae import load_vae
from scratchmm.diffusion.vae import VAE, VAEConfig, stable_diffusion_v1

SMALL = VAEConfig(widths=(32, 64, 128), groups=8)


def rows(
    device: str = "cpu",
    rounds: int = 7,
    config: VAEConfig | None = None,
    batch: int = 8,
    size: int | None = None,
    goals: Mapping[str, float] | None = None,
) -> list[Row]:
    """There and back by way of the means; a small one on a CPU, Stable Diffusion's on a GPU."""
    on_gpu = device.startswith("cuda")
    config = config or (stable_diffusion_v1() if on_gpu else SMALL)
    size = size or (256 if on_gpu else 64)
    torch.manual_seed(0)
    theirs = peer(config).to(device).eval()
    model = load_vae(VAE(config).to(device), theirs.state_dict()).eval()
    images = torch.rand(batch, config.channels, size, size).to(device) * 2 - 1
    return forward_and_step(
        f"vae there and back, batch {batch},",
        Side("VAE", ByTheMean(model)),
        Side("diffusers AutoencoderKL", TheirsByTheMean(theirs)),
        (images,),
        device=device,
        rounds=rounds,
        goals=goals,
        dtype=torch.bfloat16 if on_gpu else torch.float32,
    )


class ByTheMean(nn.Module):
    """Nothing is drawn, so that both give the same image."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns them restored."""
        return self.model.decode(self.model.encode(images).mean)


class TheirsByTheMean(nn.Module):
    """The same of theirs."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns them restored."""
        return self.model(images, sample_posterior=False, return_dict=False)[0]


def peer(config: VAEConfig) -> Any:
    """diffusers' model of the same sizes."""
    levels = len(config.widths)
    return quiet_diffusers().AutoencoderKL(
        in_channels=config.channels,
        out_channels=config.channels,
        latent_channels=config.latent_channels,
        block_out_channels=config.widths,
        layers_per_block=config.depth,
        norm_num_groups=config.groups,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
    )
