"""ControlNet: generation is conditioned on an image of edges, of depth or of a pose.

A copy of the UNet's encoder and middle gets that image, the hint, and adds to what the base's skips
carry, through convolutions that begin at zero. The base stays as it is.

Paper: Adding Conditional Control to Text-to-Image Diffusion Models (Zhang et al. 2023, arXiv
2302.05543), section 3, equation 2 and figure 3.
Dimensions: B batch, C channels of the image or of a grid, D channels of an output, X x Y cells
(height, width), P x Q pixels of the hint; T tokens of the context, W their width.
Differs from the paper: the network for the hint is that of the published code, with kernels of 3
and SiLU; its last convolution begins at zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch  # noqa: F401  (for the examples)
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion import unet
from scratchmm.diffusion.unet import UNet, UNetConfig, UNetEncoder
from scratchmm.diffusion.unet_blocks import zero_init
from scratchmm.layers.checks import check_channels
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class ControlNetConfig:
    """The sizes of a ControlNet: those of its base, and of the hint."""

    unet: UNetConfig  # of the base
    hint_channels: int = 3  # of the hint
    hint_widths: tuple[int, ...] = (16, 32, 96, 256)  # in its network: each next one half as large

    def __post_init__(self) -> None:
        check_sizes(self)

    @property
    def hint_shrink(self) -> int:
        """Pixels of the hint to a cell of the noisy image, in height and in width."""
        return 2 ** (len(self.hint_widths) - 1)


def tiny() -> ControlNetConfig:
    """A size for tests, in pixels: hint and image are of one size."""
    return ControlNetConfig(unet.tiny_with_context(), hint_widths=(8,))


def stable_diffusion_v1() -> ControlNetConfig:
    """The ControlNet of Stable Diffusion 1 (lllyasviel/sd-controlnet-canny): 361,279,120 parameters."""
    return ControlNetConfig(unet.stable_diffusion_v1())


class ZeroConvolution(nn.Conv2d):
    """A convolution that keeps height and width and gives zero until it is trained.

    It does learn: the gradient of its weights is made of its input, which is not zero. kernel: odd.

    >>> layer = ZeroConvolution(3, 5)
    >>> output = layer(torch.randn(2, 3, 4, 6))
    >>> output.shape, bool(output.any())
    (torch.Size([2, 5, 4, 6]), False)
    """

    def __init__(self, channels: int, outputs: int, kernel: int = 1) -> None:
        super().__init__(channels, outputs, kernel_size=kernel, padding=kernel // 2)
        zero_init(self)


class HintEmbedding(nn.Module):
    """The hint as large as the noisy image's first grid; at first, zero.

    >>> HintEmbedding(channels=1, widths=(4, 6, 8), outputs=5)(torch.zeros(2, 1, 16, 24)).shape
    torch.Size([2, 5, 4, 6])
    """

    def __init__(self, channels: int, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, widths[0], kernel_size=3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(widths):
            self.blocks.append(nn.Conv2d(narrow, narrow, kernel_size=3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, kernel_size=3, padding=1, stride=2))
        self.conv_out = ZeroConvolution(widths[-1], outputs, kernel=3)

    def forward(self, hint: Tensor) -> Tensor:
        """hint: float (B, C, P, Q). Returns (B, D, X, Y)."""
        x = F.silu(self.conv_in(hint))
        for block in self.blocks:
            x = F.silu(block(x))
        return self.conv_out(x)  # (B, D, X, Y)


class Control(NamedTuple):
    """What is added to a base: a grid for each of its skips, first one first, and for its middle."""

    skips: list[Tensor]  # each (B, C, X, Y) of its own
    middle: Tensor  # (B, C, X, Y)


class ControlNet(nn.Module):
    """A UNet's encoder and middle, with a zero convolution behind every skip and the middle.

    >>> model = ControlNet(tiny())
    >>> control = model(torch.zeros(2, 3, 8, 12), torch.tensor(9), torch.zeros(2, 5, 10),
    ...                 hint=torch.zeros(2, 3, 8, 12))
    >>> [tuple(skip.shape[1:]) for skip in control.skips]
    [(8, 8, 12), (8, 8, 12), (8, 4, 6), (16, 4, 6)]
    """

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = UNetEncoder(config.unet)
        widths = config.unet.widths
        self.hint = HintEmbedding(config.hint_channels, config.hint_widths, widths[0])
        self.skips_out = nn.ModuleList(ZeroConvolution(c, c) for c in self.encoder.skip_channels)
        self.middle_out = ZeroConvolution(widths[-1], widths[-1])

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor | None = None,
        mask: Tensor | None = None, *, hint: Tensor,
    ) -> Control:  # fmt: skip
        """What `UNet.forward` takes, and hint: float (B, C, P, Q), hint_shrink times as high, wide.

        Returns what to add to a base.
        """
        check_hint(self.config, hint, noisy)
        conditions = self.encoder.embed_conditions(noisy, timesteps, context, mask)
        x, skips = self.encoder.encode(noisy, *conditions, hint=self.hint(hint))
        middle = self.middle_out(self.encoder.middle(x, *conditions))
        return Control([out(skip) for out, skip in zip(self.skips_out, skips)], middle)


def controlnet_from_unet(
    base: UNet, hint_channels: int = 3, hint_widths: tuple[int, ...] = ControlNetConfig.hint_widths
) -> ControlNet:
    """A ControlNet to train: the encoder and the middle of `base` as a copy, on the same device.

    hint_widths of only one width: hint and noisy image are of one size.

    >>> base = UNet(unet.tiny_with_context())
    >>> control = controlnet_from_unet(base, hint_widths=(8,))
    >>> control.encoder.conv_in.weight.equal(base.encoder.conv_in.weight)
    True
    """
    config = ControlNetConfig(base.config, hint_channels, hint_widths)
    model = ControlNet(config).to(next(base.parameters()))  # its device and dtype
    model.encoder.load_state_dict(base.encoder.state_dict())
    return model


class Controlled(nn.Module):
    """Base and ControlNet as one model, for any sampler; hint is a condition, as the context is.

    Only the ControlNet is trained: the base is frozen here. scale: how much control; 0 is the base.

    >>> base = UNet(unet.tiny_with_context())
    >>> model = Controlled(base, controlnet_from_unet(base, hint_widths=(8,)))
    >>> x, context, hint = torch.randn(2, 3, 8, 12), torch.zeros(2, 5, 10), torch.ones(2, 3, 8, 12)
    >>> torch.equal(model(x, torch.tensor(9), context, hint=hint), base(x, torch.tensor(9), context))
    True
    """

    def __init__(self, base: UNet, control: ControlNet, scale: float = 1.0) -> None:
        super().__init__()
        check_pair(base, control, scale)
        self.base, self.control, self.scale = base.requires_grad_(False), control, scale

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor | None = None,
        mask: Tensor | None = None, *, hint: Tensor,
    ) -> Tensor:  # fmt: skip
        """What `ControlNet.forward` takes. Returns what the base predicts: (B, C, X, Y)."""
        encoder, given = self.base.encoder, (noisy, timesteps, context, mask)
        control = self.control(*given, hint=hint)
        conditions = encoder.embed_conditions(*given)
        x, skips = encoder.encode(noisy, *conditions)
        x, skips = add_control(encoder.middle(x, *conditions), skips, control, self.scale)
        return self.base.decode(x, skips, *conditions)  # (B, C, X, Y)


def add_control(
    middle: Tensor, skips: Sequence[Tensor], control: Control, scale: float = 1.0
) -> tuple[Tensor, list[Tensor]]:
    """The base's smallest grid, behind its middle, and its skips, each with its control added.

    middle: (B, C, X, Y); skips: first one first, as the control's. None of them is changed. Returns
    middle + scale * its control, and a list of skips, each + scale * its own. Raises ValueError on
    another number of skips than of controls.

    >>> control = Control([torch.tensor(1.0), torch.tensor(2.0)], torch.tensor(3.0))
    >>> add_control(torch.tensor(10.0), [torch.tensor(20.0), torch.tensor(30.0)], control, scale=0.5)
    (tensor(11.5000), [tensor(20.5000), tensor(31.)])
    """
    if len(skips) != len(control.skips):
        raise ValueError(f"there is control for {len(control.skips)} skips, but of {len(skips)}")
    steered = [skip + scale * added for skip, added in zip(skips, control.skips)]
    return middle + scale * control.middle, steered


def check_hint(config: ControlNetConfig, hint: Tensor, noisy: Tensor) -> None:
    """ValueError on a hint of other channels, of another size or number than the noisy images."""
    check_channels("control images", hint.shape[1], config.hint_channels)
    height, width = (config.hint_shrink * size for size in noisy.shape[2:])
    if hint.shape[2:] != (height, width):
        raise ValueError(
            f"the control image is {hint.shape[2]} x {hint.shape[3]}, and for images of "
            f"{noisy.shape[2]} x {noisy.shape[3]} it must be {height} x {width}"
        )
    if hint.shape[0] != noisy.shape[0]:
        raise ValueError(f"there are {hint.shape[0]} control images for {noisy.shape[0]} images")


def check_pair(base: UNet, control: ControlNet, scale: float) -> None:
    """ValueError on a ControlNet for another base, and on a scale that is not a finite number."""
    if not math.isfinite(scale):
        raise ValueError(f"control scale {scale} is not a finite number")
    for name, theirs in vars(base.config).items():
        ours = getattr(control.config.unet, name)
        if ours != theirs:
            raise ValueError(f"the ControlNet has {name} {ours}, but its base {theirs}")
