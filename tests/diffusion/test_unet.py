"""The UNets by themselves: sizes, what reaches what, what is refused."""

import math
from dataclasses import replace

import pytest
import torch

from scratchmm.diffusion import unet
from scratchmm.diffusion.unet import UNet, UNetConfig
from scratchmm.diffusion.unet_blocks import GEGLU, SpatialTransformerBlock, TimeEmbedding
from shape_comments import check_shape_comments

SMALL = UNetConfig(2, (4, 6, 8), 2, (1,), groups=2)
WITH_CONTEXT = replace(
    unet.tiny_with_context(), channels=2, widths=(4, 6), groups=2, context_width=5
)


def randomised(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.double()


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize(
    ("config", "parameters"),
    [(unet.ddpm_cifar10(), 35_746_307), (unet.stable_diffusion_v1(), 859_520_964)],
)
def test_published_sizes(config, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in UNet(config).parameters()) == parameters


@pytest.mark.parametrize("height", [8, 12])
def test_untrained_it_predicts_zero_but_for_what_is_to_learn(height):
    """Each residual branch begins as nothing; the gradient reaches the end, which is to move."""
    model = UNet(WITH_CONTEXT)
    noisy, words = torch.randn(2, 2, height, 4), torch.randn(2, 3, 5)
    output = model(noisy, torch.tensor([3, 4]), words)
    assert not output.any()
    torch.nn.init.ones_(model.conv_out.weight)
    model(noisy, torch.tensor([3, 4]), words).square().sum().backward()
    for name, parameter in model.named_parameters():
        if name.endswith(("residual.second.bias", "attention.proj_out.bias")):
            assert parameter.grad.abs().max() > 0, name


def test_the_same_zeros_without_a_context():
    model = UNet(SMALL)
    assert not model(torch.randn(1, 2, 8, 4), torch.tensor(7)).any()
    for block in [*model.encoder.middle_blocks, *model.encoder.down_blocks[3:5]]:
        x = torch.randn(1, block.residual.first.in_channels, 4, 4)
        same = block.residual.shortcut(x)
        torch.testing.assert_close(block(x, torch.randn(1, 16)), same)


@torch.no_grad()
def test_skips_return_in_reverse_and_beside():
    """The decoder once more from what `encode` gives: last in, first out, x before the skip."""
    model = randomised(UNet(SMALL))
    noisy, time = random(2, 2, 8, 12), random(2, 16)
    x, skips = model.encoder.encode(noisy, time)
    assert model.encoder.skip_channels == [skip.shape[1] for skip in skips]
    sizes = [tuple(skip.shape[1:]) for skip in skips]
    assert sizes == (
        [(4, 8, 12)] * 3 + [(4, 4, 6)] + [(6, 4, 6)] * 2 + [(6, 2, 3)] + [(8, 2, 3)] * 2
    )
    torch.testing.assert_close(x, skips[-1])
    last, y = 8, x
    for level in range(3):
        for block in model.up_blocks[3 * level : 3 * level + 3]:
            y = torch.cat([y, skips[last]], dim=1)
            y = block.residual(y, time)
            y = y if block.attention is None else block.attention(y)
            last -= 1
        assert (block.resize is None) == (level == 2)
        if level < 2:
            y = block.resize(y)
    expected = model.conv_out(torch.nn.functional.silu(model.norm_out(y)))
    torch.testing.assert_close(model.decode(x, skips, time), expected)
    assert len(skips) == 9  # what was given is left as it was


@torch.no_grad()
def test_images_do_not_see_each_other_and_times_are_their_own():
    model = randomised(UNet(WITH_CONTEXT))
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
    model = randomised(UNet(WITH_CONTEXT))
    noisy, words = random(2, 2, 4, 6), random(2, 7, 5)
    said = model(noisy, torch.tensor(3), words)
    torch.testing.assert_close(model(noisy, torch.tensor(3), words.flip(1)), said)
    other = model(noisy, torch.tensor(3), random(2, 7, 5, seed=2))
    assert (other - said).abs().max() > 1e-3


@torch.no_grad()
def test_geglu_against_its_formula():
    layer = randomised(GEGLU(3, 4))
    x = random(2, 3)
    for row, answer in zip(x, layer(x)):
        both = [float(w @ row + b) for w, b in zip(layer.expand.weight, layer.expand.bias)]
        hidden = [
            both[i] * both[4 + i] * (1 + math.erf(both[4 + i] / math.sqrt(2))) / 2 for i in range(4)
        ]
        expected = layer.contract.weight @ torch.tensor(hidden).double() + layer.contract.bias
        torch.testing.assert_close(answer, expected)


@torch.no_grad()
def test_spatial_transformer_block_in_three_sums():
    block = randomised(SpatialTransformerBlock(6, heads=2, context_width=5))
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
        waves = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        waves = torch.tensor(waves, dtype=torch.float64)
        inner = layer.expand.weight @ waves + layer.expand.bias
        expected = layer.mix.weight @ (inner * inner.sigmoid()) + layer.mix.bias
        got = layer(torch.tensor([timestep]))[0]
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_time_is_added_to_the_time_embedding():
    """What a caller adds is what a bias of the embedding would add; one row to each image."""
    model = randomised(UNet(SMALL))
    noisy, time, timesteps = random(2, 2, 8, 4), random(2, 16), torch.tensor([3, 90])
    found = model(noisy, timesteps, time=time)
    bias = model.encoder.time_embedding.mix.bias.clone()
    for row in range(2):
        model.encoder.time_embedding.mix.bias.copy_(bias + time[row])
        torch.testing.assert_close(
            found[row : row + 1], model(noisy[row : row + 1], timesteps[row])
        )


def test_no_layer_is_built_twice():
    """As many numbers are drawn as there are parameters: nothing is initialised to be thrown away."""
    drawn = []
    kept = torch.nn.init.kaiming_uniform_

    def counting(tensor, *args, **options):
        drawn.append(tensor.numel())
        return kept(tensor, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.init, "kaiming_uniform_", counting)
        model = UNet(WITH_CONTEXT)
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    assert sum(drawn) == sum(layer.weight.numel() for layer in layers)


@torch.no_grad()
def test_heads_by_number_by_level_or_by_width():
    same = [{"heads": 2}, {"heads": (2, 2)}, {"head_width": 4}]
    models = [UNet(UNetConfig(2, (8, 8), 1, (0, 1), groups=2, **one)) for one in same]
    for model in models:
        randomised(model)
    noisy = random(1, 2, 4, 4)
    first, *others = (model(noisy, torch.tensor(3)) for model in models)
    for other in others:
        torch.testing.assert_close(other, first, rtol=0, atol=0)
    levels = UNetConfig(2, (8, 12), 1, (0, 1), groups=2, heads=(4, 3)).level_heads
    assert levels == (4, 3)
    assert UNetConfig(2, (8, 12), 1, (0, 1), groups=2, head_width=4).level_heads == (2, 3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"heads": 2, "head_width": 4}, "heads is 2 and head_width is 4: give one of them"),
        ({"widths": (8, 6), "attended": (0,), "head_width": 4}, "channels 6 is not divisible"),
        ({"heads": (2, 2, 2)}, "heads for 3 levels, and widths for 2"),
        ({"frequency_shift": 2}, "frequency shift 2 is neither 0 nor 1"),
        ({"adds_pooled_text": True}, "adds_pooled_text is True, but context_width is None"),
        ({"places_words": True}, "places_words is True, but context_width is None"),
        ({"linear": True}, "linear is True, but context_width is None"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        UNetConfig(**{"widths": (8, 8), "depth": 1, "attended": (1,), "groups": 2} | change)


def test_half_precision():
    model = UNet(unet.tiny()).bfloat16()
    assert model(torch.zeros(1, 3, 4, 4).bfloat16(), torch.tensor(5)).dtype == torch.bfloat16


def test_what_is_refused():
    model, with_context = UNet(SMALL), UNet(WITH_CONTEXT)
    now = torch.tensor(3)
    with pytest.raises(ValueError, match="image height 10 is not divisible by .* 4"):
        model(torch.zeros(1, 2, 10, 8), now)
    with pytest.raises(ValueError, match="image width 6 is not divisible by .* 4"):
        model(torch.zeros(1, 2, 8, 6), now)
    with pytest.raises(ValueError, match="images have 3 channels, but this model takes 2"):
        model(torch.zeros(1, 3, 8, 8), now)
    with pytest.raises(ValueError, match="2 timesteps for 3 images"):
        model(torch.zeros(3, 2, 8, 8), torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="context has width 4, but this UNet takes 5"):
        with_context(torch.zeros(1, 2, 8, 8), now, torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="context has width None, but this UNet takes 5"):
        with_context(torch.zeros(1, 2, 8, 8), now)
    with pytest.raises(ValueError, match="context has width 4, but this UNet takes None"):
        model(torch.zeros(1, 2, 8, 8), now, torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="channels 6 is not divisible by a head's width of 4"):
        UNetConfig(2, (4, 6), 1, (1,), head_width=4, groups=2)
    with pytest.raises(ValueError, match="no level 3"):
        UNetConfig(widths=(4, 6), attended=(3,))


def run_shapes() -> None:
    from dataclasses import replace

    import torch

    from scratchmm.diffusion import unet

    config = unet.UNetConfig(2, (6, 9), 1, (1,), groups=3)
    unet.UNet(config)(torch.randn(4, 2, 10, 14), torch.arange(4))
    sizes = {"channels": 2, "widths": (6, 12), "groups": 3, "heads": 3, "context_width": 11}
    config = replace(unet.tiny_with_context(), **sizes, adds_pooled_text=True)
    other, mask = replace(config, linear=True, places_words=True), torch.rand(4, 7) > 0.3
    for one in (config, other):
        model = unet.UNet(one)
        model(torch.randn(4, 2, 10, 16), torch.arange(4), torch.randn(4, 7, 11), mask)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/unet.py")
