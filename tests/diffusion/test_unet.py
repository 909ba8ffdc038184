"""The UNets by themselves: sizes, what reaches what, what is refused."""

import math

import pytest
import torch

from scratchmm.diffusion import text_unet, unet
from scratchmm.diffusion.text_unet import (
    GatedFeedForward,
    SpatialTransformerBlock,
    TextUNet,
    TextUNetConfig,
)
from scratchmm.diffusion.unet import TimeEmbedding, UNet, UNetConfig
from shape_comments import check_shape_comments

SMALL = UNetConfig(2, (4, 6, 8), 2, (1,), None, groups=2)
READER = TextUNetConfig(2, (4, 6), 1, (1,), groups=2, heads=2, word_width=5)


def randomised(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.double()


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize(
    ("model", "config", "parameters"),
    [
        (UNet, unet.ddpm_cifar10(), 35_746_307),
        (TextUNet, text_unet.stable_diffusion_v1(), 859_520_964),
    ],
)
def test_published_sizes(model, config, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in model(config).parameters()) == parameters


@pytest.mark.parametrize("height", [8, 12])
def test_untrained_it_says_zero_but_for_what_is_to_learn(height):
    """Each residual branch begins as nothing; the gradient reaches the end, which is to move."""
    model = TextUNet(READER)
    noisy, words = torch.randn(2, 2, height, 4), torch.randn(2, 3, 5)
    output = model(noisy, torch.tensor([3, 4]), words)
    assert not output.any()
    torch.nn.init.ones_(model.end.weight)
    model(noisy, torch.tensor([3, 4]), words).square().sum().backward()
    for name, parameter in model.named_parameters():
        if name.endswith(("block.second.bias", "attention.end.bias")):
            assert parameter.grad.abs().max() > 0, name


def test_the_same_zeros_without_words():
    model = UNet(SMALL)
    assert not model(torch.randn(1, 2, 8, 4), torch.tensor(7)).any()
    for step in [*model.middle, *model.falling[1]]:
        x = torch.randn(1, 8 if step in model.middle else step.block.first.in_channels, 4, 4)
        same = step.block.shortcut(x)
        torch.testing.assert_close(step(x, torch.randn(1, 16)), same)


@torch.no_grad()
def test_skips_return_in_reverse_and_beside():
    """The way up said again from what `down` gives: last in, first out, x before the skip."""
    model = randomised(UNet(SMALL))
    noisy, time = random(2, 2, 8, 12), random(2, 16)
    x, skips = model.down(noisy, time)
    sizes = [tuple(skip.shape[1:]) for skip in skips]
    assert sizes == (
        [(4, 8, 12)] * 3 + [(4, 4, 6)] + [(6, 4, 6)] * 2 + [(6, 2, 3)] + [(8, 2, 3)] * 2
    )
    torch.testing.assert_close(x, skips[-1])
    last, y = 8, x
    for level in range(3):
        for step in model.rising[level]:
            y = step(torch.cat([y, skips[last]], dim=1), time)
            last -= 1
        if level < 2:
            y = model.growing[level](y)
    expected = model.end(torch.nn.functional.silu(model.norm(y)))
    torch.testing.assert_close(model.up(x, skips, time), expected)
    assert len(skips) == 9  # what was given is left as it was


@torch.no_grad()
def test_images_do_not_see_each_other_and_times_are_their_own():
    model = randomised(TextUNet(READER))
    noisy, words, timesteps = random(3, 2, 4, 6), random(3, 7, 5), torch.tensor([5, 900, 40])
    mask = torch.arange(7) < torch.tensor([[3], [7], [5]])
    together = model(noisy, timesteps, words, mask)
    for i in range(3):
        alone = model(noisy[i : i + 1], timesteps[i], words[i : i + 1], mask[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)
        cut = words[i : i + 1, : int(mask[i].sum())]  # as if the hidden words were not there
        torch.testing.assert_close(alone, model(noisy[i : i + 1], timesteps[i], cut))
    later = model(noisy, timesteps + 1, words, mask)
    assert (later - together).abs().amax(dim=(1, 2, 3)).min() > 1e-6


@torch.no_grad()
def test_words_are_a_set_to_the_image():
    """Cross-attention has no order of its own; whoever encodes the words puts it in."""
    model = randomised(TextUNet(READER))
    noisy, words = random(2, 2, 4, 6), random(2, 7, 5)
    said = model(noisy, torch.tensor(3), words)
    torch.testing.assert_close(model(noisy, torch.tensor(3), words.flip(1)), said)
    other = model(noisy, torch.tensor(3), random(2, 7, 5, seed=2))
    assert (other - said).abs().max() > 1e-3


@torch.no_grad()
def test_gate_against_its_formula():
    layer = randomised(GatedFeedForward(3, 4))
    x = random(2, 3)
    for row, answer in zip(x, layer(x)):
        both = [float(w @ row + b) for w, b in zip(layer.expand.weight, layer.expand.bias)]
        hidden = [
            both[i] * both[4 + i] * (1 + math.erf(both[4 + i] / math.sqrt(2))) / 2 for i in range(4)
        ]
        expected = layer.contract.weight @ torch.tensor(hidden).double() + layer.contract.bias
        torch.testing.assert_close(answer, expected)


@torch.no_grad()
def test_word_block_in_three_sums():
    block = randomised(SpatialTransformerBlock(6, heads=2, word_width=5))
    x, words = random(2, 4, 6), random(2, 3, 5)
    y = x + block.attention(block.attention_norm(x))
    y = y + block.cross_attention(block.cross_norm(y), words)
    y = y + block.feed_forward(block.feed_forward_norm(y))
    torch.testing.assert_close(block(x, words), y)
    assert block.feed_forward.expand.out_features == 2 * 4 * 6
    for attention in (block.attention, block.cross_attention):
        for part in (attention.query, attention.key, attention.value):
            assert part.bias is None
        assert attention.output.bias is not None


@torch.no_grad()
def test_time_embedding_against_a_loop():
    layer = randomised(TimeEmbedding(4, 6))
    for timestep in (0, 7, 999):
        angles = [timestep, timestep / 10000]
        hands = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        inner = layer.expand.weight @ torch.tensor(hands).double() + layer.expand.bias
        expected = layer.mix.weight @ (inner * inner.sigmoid()) + layer.mix.bias
        got = layer(torch.tensor([timestep]))[0]
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)  # hands are float32


def test_half_precision():
    model = UNet(unet.tiny()).bfloat16()
    assert model(torch.zeros(1, 3, 4, 4).bfloat16(), torch.tensor(5)).dtype == torch.bfloat16


def test_what_is_refused():
    model, reader = UNet(SMALL), TextUNet(READER)
    now = torch.tensor(3)
    with pytest.raises(ValueError, match="image height 10 is not divisible by .* 4"):
        model(torch.zeros(1, 2, 10, 8), now)
    with pytest.raises(ValueError, match="image width 6 is not divisible by .* 4"):
        model(torch.zeros(1, 2, 8, 6), now)
    with pytest.raises(ValueError, match="images have 3 channels, but this model takes 2"):
        model(torch.zeros(1, 3, 8, 8), now)
    with pytest.raises(ValueError, match="2 timesteps for 3 images"):
        model(torch.zeros(3, 2, 8, 8), torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="words have width 4, but this model takes 5"):
        reader(torch.zeros(1, 2, 8, 8), now, torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="channels 6 is not divisible by a head's width of 4"):
        UNet(UNetConfig(2, (4, 6), 1, (1,), 4, groups=2))
    with pytest.raises(ValueError, match="no level 3"):
        UNetConfig(widths=(4, 6), attended=(3,))


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import unet

    config = unet.UNetConfig(2, (6, 9), 1, (1,), None, groups=3)
    unet.UNet(config)(torch.randn(4, 2, 10, 14), torch.arange(4))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/unet.py")
