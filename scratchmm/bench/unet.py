"""The UNets beside diffusers' UNet2DConditionModel and UNet2DModel, with the same weights."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from scratchmm.bench.measure import Row, compare, same
from scratchmm.bench.peers import quiet_diffusers
from scratchmm.bench.sides import Side, forward_and_step, plain
from scratchmm.checkpoints.unet import load_unet
from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.process import linear_schedule
from scratchmm.diffusion.unet import UNet, UNetConfig, ddpm_cifar10, stable_diffusion_v1

SMALL = replace(
    stable_diffusion_v1(),
    channels=3,
    widths=(32, 64, 128),
    attended=(1, 2),
    groups=8,
    heads=4,
    context_width=64,
)
TOKENS = 77  # of a prompt, as in Stable Diffusion
STEPS = 20  # of DDIM
# bfloat16 operations a second, dense, as the makers state them; the first name that fits counts.
PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}


def rows(
    device: str = "cpu",
    rounds: int = 7,
    config: UNetConfig | None = None,
    image: UNetConfig | None = None,
    batch: int = 8,
    size: int | None = None,
    goals: Mapping[str, float] | None = None,
) -> list[Row]:
    """On a CPU a small UNet with a context, DDIM with it, and DDPM's; on a GPU Stable Diffusion's."""
    if device.startswith("cuda"):
        return on_a_gpu(device, rounds, config or stable_diffusion_v1(), batch, size or 64, goals)
    config, image, size = config or SMALL, image or ddpm_cifar10(), size or 32
    common: Any = {"device": device, "rounds": rounds}
    ours, peer = sides(config)
    found = forward_and_step(
        f"unet, batch {batch},", ours, peer, drawn(config, batch, size), goals=goals, **common
    )
    found.append(ddim(ours, peer, drawn(config, 2 * batch, size), **common))
    ours, peer = sides(image)
    return found + forward_and_step(
        "ddpm unet, batch 2,", ours, peer, drawn(image, 2, size),
        goals={"eager": (goals or {"eager": 1.0})["eager"]}, **common,
    )  # fmt: skip


def on_a_gpu(
    device: str,
    rounds: int,
    config: UNetConfig,
    batch: int,
    size: int,
    goals: Mapping[str, float] | None,
) -> list[Row]:
    """bfloat16, eager and compiled, and how near each forward pass comes to the card's peak."""
    ours, peer = (Side(side.name, side.model.to(device)) for side in sides(config))
    inputs = tuple(x.to(device) for x in drawn(config, batch, size))
    found = forward_and_step(
        f"unet {config.widths} bfloat16, batch {batch},", ours, peer, inputs,
        device=device, rounds=rounds, goals=goals, dtype=torch.bfloat16,
    )  # fmt: skip
    return found + peak_rows(found, flops(config, batch, size))


def ddim(
    ours: Side, peer: Side, inputs: tuple[Tensor, ...], device: str, rounds: int, goal: float = 1.0
) -> Row:
    """Whole images from noise; in the table, how many a second."""
    noise, _, context = inputs
    schedule = linear_schedule()
    timesteps = spaced_timesteps(len(schedule), STEPS)
    # Of a velocity: a predicted noise is divided by nearly 0 at first, and its last digits with it.
    scheduler = quiet_diffusers().DDIMScheduler(
        timestep_spacing="trailing", clip_sample=True, prediction_type="v_prediction"
    )
    scheduler.betas, scheduler.alphas_cumprod = schedule.betas, schedule.alpha_bar
    scheduler.set_timesteps(STEPS)

    def our_path() -> Tensor:
        def predicted(x: Tensor, times: Tensor) -> Tensor:
            return plain(ours.model, (x, times, context))

        return ddim_sample(predicted, schedule, noise, timesteps, target="velocity", clamp=1.0)

    def their_path() -> Tensor:
        x = noise
        for time in scheduler.timesteps:
            predicted = plain(peer.model, (x, time, context))
            x = scheduler.step(predicted, time, x, use_clipped_model_output=True).prev_sample
        return x

    same(our_path(), their_path(), "the images of both DDIMs")
    case = f"ddim, {STEPS} steps, batch {len(noise)}"
    row = compare(
        case, (ours.name, our_path), (peer.name, their_path),
        device=device, rounds=rounds, goal=goal,
    )  # fmt: skip
    names = (
        f"{name}, {len(noise) / milliseconds * 1000:.1f} images a second"
        for name, milliseconds in ((ours.name, row.ours_ms), (peer.name, row.peer_ms))
    )
    return row._replace(ours=next(names), peer=next(names))


def peak_rows(rows: list[Row], operations: int) -> list[Row]:
    """For each forward pass of ours, its time over what the card would need at its peak."""
    found = []
    for row in (row for row in rows if "forward" in row.case):
        peak = next((peak for name, peak in PEAKS.items() if name in row.device), None)
        if peak is None:
            continue  # a card whose peak we do not know has no share of it
        best = operations / peak * 1000  # ms
        shares = f"{best / row.ours_ms:.1%} of the peak (diffusers: {best / row.peer_ms:.1%})"
        found.append(
            row._replace(
                case=f"{row.case}: share of the peak",
                ours=f"{row.ours}: {shares}",
                peer=f"{operations / 1e12:.2f} TFLOP at {peak / 1e12:.0f} TFLOP/s",
                peer_ms=round(best, 3),
                ratio=round(row.ours_ms / best, 3),
                goal=None,
                ours_mib=None,
                peer_mib=None,
            )
        )
    return found


def flops(config: UNetConfig, batch: int, size: int) -> int:
    """Multiplications and additions of a forward pass, counted without any numbers.

    803 billion for one image of 64 x 64 cells through Stable Diffusion 1's.

    >>> from scratchmm.diffusion.unet import tiny
    >>> flops(tiny(), batch=2, size=8) == 2 * flops(tiny(), batch=1, size=8)
    True
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counted, torch.no_grad():
        UNet(config)(*(x.to("meta") for x in drawn(config, batch, size)))
    return counted.get_total_flops()


def drawn(config: UNetConfig, batch: int, size: int) -> tuple[Tensor, ...]:
    """Noise, timesteps, and for a UNet with a context that of a whole prompt."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(batch, config.channels, size, size, generator=generator)
    timesteps = torch.randint(1000, (batch,), generator=generator)
    if config.context_width is None:
        return noise, timesteps
    return noise, timesteps, torch.randn(batch, TOKENS, config.context_width, generator=generator)


class Sample(nn.Module):
    """A model of theirs without the box that its answer comes in."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        """The same inputs as ours."""
        return self.model(*inputs, return_dict=False)[0]


def sides(config: UNetConfig) -> tuple[Side, Side]:
    """Ours and theirs, with the weights that theirs begins with."""
    torch.manual_seed(0)
    theirs = peer(config).eval()
    model = UNet(config)
    load_unet(model, theirs.state_dict())
    known = f"diffusers {type(theirs).__name__}"
    return Side(type(model).__name__, model.eval()), Side(known, Sample(theirs).eval())


def peer(config: UNetConfig) -> Any:
    """diffusers' model of the same sizes."""
    has_context = config.context_width is not None
    kinds = [
        ("CrossAttn" if has_context else "Attn") * (level in config.attended)
        for level in range(len(config.widths))
    ]
    shared: Any = {
        "in_channels": config.channels,
        "out_channels": config.channels,
        "block_out_channels": config.widths,
        "layers_per_block": config.depth,
        "down_block_types": tuple(f"{kind}DownBlock2D" for kind in kinds),
        "up_block_types": tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
        "norm_num_groups": config.groups,
        "norm_eps": config.epsilon,
    }
    if has_context:
        return quiet_diffusers().UNet2DConditionModel(
            attention_head_dim=config.heads, cross_attention_dim=config.context_width, **shared
        )
    return quiet_diffusers().UNet2DModel(
        attention_head_dim=config.head_width,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        **shared,
    )
