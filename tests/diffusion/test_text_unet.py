"""A text UNet that is told where its cells lie."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from scratchmm.diffusion.controlnet import Controlled, ControlNet
from scratchmm.diffusion.text_unet import PlacedConvolution, TextUNet, tiny


def test_a_model_that_sees_places_tells_the_cells_of_an_even_picture_apart() -> None:
    """Without them only the zeros around the grid do: in the middle of a large one all are alike."""
    torch.manual_seed(0)
    even = torch.zeros(1, 3, 5, 7)
    plain, placed = nn.Conv2d(3, 4, 3, padding=1), PlacedConvolution(3, 4)
    inside = plain(even)[0, :, 1:-1, 1:-1].flatten(1)
    assert_close(inside, inside[:, :1].expand_as(inside))
    found = placed(even)[0, :, 1:-1, 1:-1]
    assert (found.diff(dim=1).abs() > 1e-3).any() and (found.diff(dim=2).abs() > 1e-3).any()
    weight = placed.weight.detach()
    rows = torch.linspace(-1, 1, 5)[:, None].expand(5, 7)
    columns = torch.linspace(-1, 1, 7).expand(5, 7)
    full = torch.cat([even, torch.stack([rows, columns])[None]], dim=1)
    assert_close(placed(even), F.conv2d(full, weight, placed.bias, padding=1))


def test_places_are_part_of_the_model_and_of_its_control() -> None:
    torch.manual_seed(0)
    base = TextUNet(replace(tiny(), sees_places=True))
    assert base.start.weight.shape == (8, 3 + 2, 3, 3)
    control = ControlNet.copy_of(base, hint_widths=(8,))
    assert_close(control.start.weight, base.start.weight)
    x, words, hint = torch.randn(2, 3, 8, 12), torch.randn(2, 5, 10), torch.ones(2, 3, 8, 12)
    told = Controlled(base, control)(x, torch.tensor(9), words, hint=hint)
    assert_close(told, base(x, torch.tensor(9), words))
