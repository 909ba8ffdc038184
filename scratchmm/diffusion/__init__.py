"""From noise to images: schedules, samplers, UNets, latents, control, unCLIP."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "process": "Schedule linear_schedule scaled_linear_schedule cosine_schedule "
        "q_sample diffusion_loss",
        "ddpm": "ancestral_sample",
        "ddim": "ddim_sample ddim_invert spaced_timesteps",
        "guidance": "guided prompt_dropout",
        "unet": "UNetConfig UNet",
        "vae": "VAEConfig VAE vae_loss",
        "latent": "LatentSpace TextToImage text_to_image_loss",
        "controlnet": "ControlNetConfig ControlNet Controlled",
        "prior": "PriorConfig Prior prior_loss",
        "unclip_decoder": "DecoderConfig Decoder decoder_loss",
        "interpolation": "slerp",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
