"""A text UNet whose sentence is laid out over its first grid."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from scratchmm.diffusion.controlnet import Controlled, ControlNet, ControlNetConfig
from scratchmm.diffusion.text_unet import PlacedWords, TextUNet, TextUNetConfig, cosines, tiny
from shape_comments import check_shape_comments

PLACED = replace(tiny(), places_words=True)


def test_waves_against_the_sum_written_out_and_any_small_grid_can_be_said() -> None:
    torch.manual_seed(0)
    placed = PlacedWords(5, 3, waves=4)
    torch.nn.init.normal_(placed.weights.weight)
    last = torch.randn(2, 5)
    found = placed(last, (6, 3))
    weights = placed.weights(last).view(2, 3, 4, 4)
    expected = torch.zeros(2, 3, 6, 3)
    for row in range(4):
        for column in range(4):
            wave = cosines(4, 6)[row][:, None] * cosines(4, 3)[column][None]
            expected += weights[:, :, row, column, None, None] * wave
    assert_close(found, expected)
    waves = torch.einsum("kx,ly->klxy", cosines(4, 4), cosines(4, 4)).flatten(0, 1).flatten(1)
    assert torch.linalg.matrix_rank(waves) == 16


def test_places_are_part_of_the_model_and_of_its_control() -> None:
    torch.manual_seed(0)
    base = TextUNet(PLACED)
    for parameter in base.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    control = ControlNet.copy_of(base, hint_widths=(8,))
    assert_close(control.placed.weights.weight, base.placed.weights.weight)
    x, words, hint = torch.randn(2, 3, 8, 12), torch.randn(2, 5, 10), torch.ones(2, 3, 8, 12)
    told = Controlled(base, control)(x, torch.tensor(9), words, hint=hint)
    assert_close(told, base(x, torch.tensor(9), words))


def test_padding_does_not_reach_the_placed_word() -> None:
    torch.manual_seed(0)
    model = TextUNet(PLACED).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x, words = torch.randn(1, 3, 8, 12), torch.randn(1, 3, 10)
    longer = torch.cat([words, 9 * torch.ones(1, 2, 10)], dim=1)
    mask = torch.tensor([[True, True, True, False, False]])
    assert_close(model(x, torch.tensor(5), longer, mask), model(x, torch.tensor(5), words))
    other = torch.cat([words[:, :2], words[:, 2:] + 1], dim=1)
    assert not model(x, torch.tensor(5), other).allclose(model(x, torch.tensor(5), words))


@pytest.mark.parametrize("kind", [TextUNetConfig, ControlNetConfig])
def test_a_width_of_heads_is_refused_where_heads_are_counted(kind) -> None:
    with pytest.raises(ValueError, match="^head_width is 64, but a UNet that reads .* heads=8$"):
        kind(head_width=64)
    assert kind(head_width=None).heads == 8


def run_shapes() -> None:
    from dataclasses import replace

    import torch

    from scratchmm.diffusion import text_unet

    config = text_unet.TextUNetConfig(
        2, (6, 12), 1, (1,), groups=3, heads=3, word_width=11, hears_words=True
    )
    other, mask = replace(config, linear=True, places_words=True), torch.rand(4, 7) > 0.3
    for one in (config, other):
        model = text_unet.TextUNet(one)
        model(torch.randn(4, 2, 10, 16), torch.arange(4), torch.randn(4, 7, 11), mask)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/text_unet.py")
