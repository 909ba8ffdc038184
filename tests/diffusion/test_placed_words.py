"""A UNet whose text is laid out over its first grid."""

from dataclasses import replace

import torch
from torch.testing import assert_close

from scratchmm.diffusion.controlnet import Controlled, controlnet_from_unet
from scratchmm.diffusion.unet import UNet, tiny_with_context
from scratchmm.diffusion.unet_blocks import PlacedWords, cosine_waves

PLACED = replace(tiny_with_context(), places_words=True)


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
            wave = cosine_waves(4, 6)[row][:, None] * cosine_waves(4, 3)[column][None]
            expected += weights[:, :, row, column, None, None] * wave
    assert_close(found, expected)
    waves = (
        torch.einsum("kx,ly->klxy", cosine_waves(4, 4), cosine_waves(4, 4)).flatten(0, 1).flatten(1)
    )
    assert torch.linalg.matrix_rank(waves) == 16


def test_places_are_part_of_the_model_and_of_its_control() -> None:
    torch.manual_seed(0)
    base = UNet(PLACED)
    for parameter in base.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    control = controlnet_from_unet(base, hint_widths=(8,))
    placed = base.encoder.placed_words.weights.weight
    assert_close(control.encoder.placed_words.weights.weight, placed)
    x, words, hint = torch.randn(2, 3, 8, 12), torch.randn(2, 5, 10), torch.ones(2, 3, 8, 12)
    told = Controlled(base, control)(x, torch.tensor(9), words, hint=hint)
    assert_close(told, base(x, torch.tensor(9), words))


def test_padding_does_not_reach_the_placed_word() -> None:
    torch.manual_seed(0)
    model = UNet(PLACED).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x, words = torch.randn(1, 3, 8, 12), torch.randn(1, 3, 10)
    longer = torch.cat([words, 9 * torch.ones(1, 2, 10)], dim=1)
    mask = torch.tensor([[True, True, True, False, False]])
    assert_close(model(x, torch.tensor(5), longer, mask), model(x, torch.tensor(5), words))
    other = torch.cat([words[:, :2], words[:, 2:] + 1], dim=1)
    assert not model(x, torch.tensor(5), other).allclose(model(x, torch.tensor(5), words))
