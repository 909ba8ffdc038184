"""ControlNet: an image of edges, of depth or of a pose says where things belong in the one drawn.

A copy of the UNet's way down and middle sees that image, the hint, and adds to what the base's
skips carry, through convolutions that begin at zero. The base stays as it is.

Paper: Adding Conditional Control to Text-to-Image Diffusion Models (Zhang et al. 2023, arXiv
2302.05543), section 3, equation 2 and figure 3.
Dimensions: B batch, C channels of the image or of a grid, D channels of an output, X x Y cells
(height, width), H x Q pixels of the hint; T words, W their width.
Differs from the paper: the network for the hint is that of the published code, with kernels of 3
and SiLU; its last convolution begins at zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

import torch  # noqa: F401  (for the examples)
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion import text_unet
from scratchmm.diffusion.text_unet import TextUNet, TextUNetConfig
from scratchmm.diffusion.unet import zero_init
from scratchmm.layers.checks import check_channels
from scratchmm.layers.tracing import channels_last


@dataclass(frozen=True)
class ControlNetConfig(TextUNetConfig):
    """The sizes of a ControlNet: those of its base, and of the hint."""

    hint_channels: int = 3  # of the hint
    hint_widths: tuple[int, ...] = (16, 32, 96, 256)  # in its network: each next one half as large

    @property
    def hint_shrink(self) -> int:
        """Pixels of the hint to a cell of the noisy image, in height and in width."""
        return 2 ** (len(self.hint_widths) - 1)


def tiny() -> ControlNetConfig:
    """A size for tests, in pixels: hint and image are of one size."""
    return ControlNetConfig(**vars(text_unet.tiny()), hint_widths=(8,))


def stable_diffusion_v1() -> ControlNetConfig:
    """The ControlNet of Stable Diffusion 1 (lllyasviel/sd-controlnet-canny): 361,279,120 parameters."""
    return ControlNetConfig()


class ZeroConvolution(nn.Conv2d):
    """A convolution that keeps height and width and gives zero until it is trained.

    It does learn: the gradient of its weights is made of its input, which is not zero. kernel: odd.

    >>> layer = ZeroConvolution(3, 5)
    >>> said = layer(torch.randn(2, 3, 4, 6))
    >>> said.shape, bool(said.any())
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
        self.start = nn.Conv2d(channels, widths[0], kernel_size=3, padding=1)
        self.layers = nn.ModuleList()
        for narrow, wide in pairwise(widths):
            self.layers.append(nn.Conv2d(narrow, narrow, kernel_size=3, padding=1))
            self.layers.append(nn.Conv2d(narrow, wide, kernel_size=3, padding=1, stride=2))
        self.end = ZeroConvolution(widths[-1], outputs, kernel=3)

    def forward(self, hint: Tensor) -> Tensor:
        """hint: float (B, C, H, Q). Returns (B, D, X, Y)."""
        x = F.silu(self.start(hint))
        for layer in self.layers:
            x = F.silu(layer(x))
        return self.end(x)


class Control(NamedTuple):
    """What is added to a base: a grid for each of its skips, first one first, and for its middle."""

    skips: list[Tensor]  # each (B, C, X, Y) of its own
    bottom: Tensor  # (B, C, X, Y)


class ControlNet(TextUNet):
    """A UNet without a way up: instead, a zero convolution behind every skip and the middle.

    >>> model = ControlNet(tiny())
    >>> control = model(torch.zeros(2, 3, 8, 12), torch.tensor(9), torch.zeros(2, 5, 10),
    ...                 hint=torch.zeros(2, 3, 8, 12))
    >>> [tuple(skip.shape[1:]) for skip in control.skips]
    [(8, 8, 12), (8, 8, 12), (8, 4, 6), (16, 4, 6)]
    """

    config: ControlNetConfig

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__(config)
        del self.norm, self.end  # the end of a way up
        first, last = config.widths[0], config.widths[-1]
        self.hint = HintEmbedding(config.hint_channels, config.hint_widths, first)
        self.bottom_out = ZeroConvolution(last, last)

    def _build_up(self, skips: list[int]) -> None:
        """What stands where a UNet has its way up. skips: the channels of every skip."""
        self.skips_out = nn.ModuleList(ZeroConvolution(width, width) for width in skips)

    @classmethod
    def copy_of(
        cls,
        base: TextUNet,
        hint_channels: int = 3,
        hint_widths: tuple[int, ...] = ControlNetConfig.hint_widths,
    ) -> Self:
        """The way down and the middle of `base`, as a copy to be trained, on the same device.

        hint_widths of only one width: hint and noisy image are of one size.
        """
        config = ControlNetConfig(
            **vars(base.config), hint_channels=hint_channels, hint_widths=hint_widths
        )
        model = cls(config).to(base.start.weight)  # its device and dtype
        optional = {"words": base.config.hears_words, "placed": base.config.places_words}
        extra = [name for name, there in optional.items() if there]
        for name in ("time", *extra, "start", "falling", "shrinking", "middle"):
            model.get_submodule(name).load_state_dict(base.get_submodule(name).state_dict())
        return model

    def forward(  # type: ignore[override]
        self,
        noisy: Tensor,
        timesteps: Tensor,
        words: Tensor,
        mask: Tensor | None = None,
        *,
        hint: Tensor,
    ) -> Control:
        """What TextUNet takes, and hint: float (B, C, H, Q), hint_shrink times as high and wide.

        Returns what to add to a base.
        """
        self._check_hint(hint, noisy)
        heard = self.hear(noisy, timesteps, words, mask)
        x, skips = self.fall(self.start(channels_last(noisy)) + self.hint(hint), *heard)
        bottom = self.bottom_out(self.bottom(x, *heard))
        return Control([out(skip) for out, skip in zip(self.skips_out, skips)], bottom)

    def _check_hint(self, hint: Tensor, noisy: Tensor) -> None:
        """Refuse a hint of other channels, of another size or number than the noisy images."""
        check_channels("control images", hint.shape[1], self.config.hint_channels)
        shrink = self.config.hint_shrink
        height, width = (shrink * size for size in noisy.shape[2:])
        if hint.shape[2:] != (height, width):
            raise ValueError(
                f"the control image is {hint.shape[2]} x {hint.shape[3]}, and for images of "
                f"{noisy.shape[2]} x {noisy.shape[3]} it must be {height} x {width}"
            )
        if hint.shape[0] != noisy.shape[0]:
            raise ValueError(
                f"there are {hint.shape[0]} control images for {noisy.shape[0]} images"
            )


class Controlled(nn.Module):
    """Base and ControlNet as one model, for any sampler; hint is a condition, as the words are.

    Only the ControlNet is trained: the base is frozen here. scale: how much control; 0 is the base.

    >>> base = TextUNet(text_unet.tiny())
    >>> model = Controlled(base, ControlNet.copy_of(base, hint_widths=(8,)))
    >>> x, words, hint = torch.randn(2, 3, 8, 12), torch.zeros(2, 5, 10), torch.ones(2, 3, 8, 12)
    >>> torch.equal(model(x, torch.tensor(9), words, hint=hint), base(x, torch.tensor(9), words))
    True
    """

    def __init__(self, base: TextUNet, control: ControlNet, scale: float = 1.0) -> None:
        super().__init__()
        if not math.isfinite(scale):
            raise ValueError(f"control scale {scale} is not a finite number")
        for name, theirs in vars(base.config).items():
            ours = getattr(control.config, name)
            if ours != theirs:
                raise ValueError(f"the ControlNet has {name} {ours}, but its base {theirs}")
        self.base = base.requires_grad_(False)
        self.control = control
        self.scale = scale

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        words: Tensor,
        mask: Tensor | None = None,
        *,
        hint: Tensor,
    ) -> Tensor:
        """What ControlNet takes. Returns what the base says: (B, C, X, Y)."""
        control = self.control(noisy, timesteps, words, mask, hint=hint)
        heard = self.base.hear(noisy, timesteps, words, mask)
        x, skips = self.base.down(noisy, *heard)
        x, skips = add_control(self.base.bottom(x, *heard), skips, control, self.scale)
        return self.base.up(x, skips, *heard)  # (B, C, X, Y)


def add_control(
    bottom: Tensor, skips: Sequence[Tensor], control: Control, scale: float = 1.0
) -> tuple[Tensor, list[Tensor]]:
    """The base's smallest grid, behind its middle, and its skips, each with its control added.

    bottom: (B, C, X, Y); skips: first one first, as the control's. None of them is changed. Returns
    bottom + scale * its control, and a list of skips, each + scale * its own. Raises ValueError on
    another number of skips than of controls.

    >>> control = Control([torch.tensor(1.0), torch.tensor(2.0)], torch.tensor(3.0))
    >>> add_control(torch.tensor(10.0), [torch.tensor(20.0), torch.tensor(30.0)], control, scale=0.5)
    (tensor(11.5000), [tensor(20.5000), tensor(31.)])
    """
    if len(skips) != len(control.skips):
        raise ValueError(f"there is control for {len(control.skips)} skips, but of {len(skips)}")
    steered = [skip + scale * added for skip, added in zip(skips, control.skips)]
    return bottom + scale * control.bottom, steered
