"""Blocks of diffusion's networks against explicit loops; what they refuse."""

import itertools
import math

import pytest
import torch

from scratchmm.diffusion.unet_blocks import (
    Downsample,
    ResidualBlock2d,
    SelfAttention2d,
    Upsample,
    group_norm,
    timestep_embedding,
)
from shape_comments import check_shape_comments


def randomised(module):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return module.double()


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()


def convolved(x, layer, stride=1, before=1):
    """A convolution, one product at a time: x (C, X, Y); before: zeros at the left and top."""
    kernel = layer.weight.shape[-1]
    sizes = [size // stride for size in x.shape[1:]]
    out = layer.bias[:, None, None].repeat(1, *sizes)
    for place in itertools.product(*map(range, sizes)):
        for offset in itertools.product(range(kernel), repeat=2):
            row, column = (p * stride + o - before for p, o in zip(place, offset))
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                out[:, *place] += layer.weight[:, :, *offset] @ x[:, row, column]
    return out


def normed(x, norm, groups, epsilon):
    """Group norm of one image (C, X, Y): each group's own mean and variance."""
    parts = []
    for part in x.split(len(x) // groups):
        spread = ((part - part.mean()) ** 2).mean()
        parts.append((part - part.mean()) / (spread + epsilon).sqrt())
    return torch.cat(parts) * norm.weight[:, None, None] + norm.bias[:, None, None]


def silu(x):
    return x / (1 + (-x).exp())


@pytest.mark.parametrize("outputs", [4, 6])
@pytest.mark.parametrize("time_width", [None, 3])
@torch.no_grad()
def test_block_against_loops(outputs, time_width):
    block = randomised(ResidualBlock2d(4, outputs, time_width, groups=2, epsilon=0.1))
    x = random(3, 4, 5, 7)
    time = None if time_width is None else random(3, 3)
    for index, (image, answer) in enumerate(zip(x, block(x, time))):
        inner = convolved(silu(normed(image, block.first_norm, 2, 0.1)), block.first)
        if time is not None:
            change = block.time.weight @ silu(time[index]) + block.time.bias
            inner = inner + change[:, None, None]
        inner = convolved(silu(normed(inner, block.second_norm, 2, 0.1)), block.second)
        if outputs != 4:
            image = convolved(image, block.shortcut, before=0)
        torch.testing.assert_close(answer, image + inner)


@torch.no_grad()
def test_attention_against_loops():
    layer = randomised(SelfAttention2d(6, heads=2, groups=3, epsilon=0.1))
    image = random(6, 2, 5)
    inner = layer.attention
    cells = normed(image, layer.norm, 3, 0.1).flatten(1).T  # (N, C), row by row
    query, key, value = (part(cells) for part in (inner.query, inner.key, inner.value))
    mixed = torch.zeros_like(cells)
    for head, one in itertools.product((slice(0, 3), slice(3, 6)), range(len(cells))):
        weights = torch.softmax(key[:, head] @ query[one, head] / math.sqrt(3), dim=0)
        mixed[one, head] = weights @ value[:, head]
    change = inner.output(mixed)
    expected = image.clone()
    for number, place in enumerate(itertools.product(range(2), range(5))):
        expected[:, *place] += change[number]
    torch.testing.assert_close(layer(image[None])[0], expected)


@pytest.mark.parametrize("centred", [False, True])
@torch.no_grad()
def test_downsample_against_a_loop(centred):
    layer = randomised(Downsample(3, centred))
    x = random(2, 3, 4, 6)
    for image, answer in zip(x, layer(x)):
        expected = convolved(image, layer.convolution, stride=2, before=int(centred))
        torch.testing.assert_close(answer, expected)


@torch.no_grad()
def test_upsample_against_a_loop():
    layer = randomised(Upsample(3))
    x = random(2, 3, 4, 5)
    for image, answer in zip(x, layer(x)):
        wide = torch.zeros(3, 8, 10).double()
        for row, column in itertools.product(range(8), range(10)):
            wide[:, row, column] = image[:, row // 2, column // 2]
        torch.testing.assert_close(answer, convolved(wide, layer.convolution))


def test_gradients():
    block = randomised(ResidualBlock2d(2, 4, time_width=3, groups=2))
    look = randomised(SelfAttention2d(4, heads=2, groups=2))
    narrow, wide = randomised(Downsample(4)), randomised(Upsample(4))

    def run(x, time):
        return wide(narrow(look(block(x, time))))

    inputs = random(2, 2, 2, 4).requires_grad_(), random(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(run, inputs)


def test_what_is_refused():
    with pytest.raises(ValueError, match="channels 6 is not divisible by groups 4"):
        group_norm(6, 4, 1e-6)
    with pytest.raises(ValueError, match="time embedding of width 3 and got none"):
        ResidualBlock2d(4, 4, time_width=3, groups=2)(torch.zeros(1, 4, 2, 2))


@pytest.mark.parametrize("last", [False, True], ids=["plain", "channels last"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("size", [(2, 2), (8, 2), (2, 8), (8, 1), (1, 1)])
def test_thin_images_are_halved_in_bfloat16_with_right_gradients(size, centred, last):
    """torch 2.13 gets these wrong on some CPUs where it pads by itself (stride 2, 1 wide)."""
    if 1 in size and not centred:
        pytest.skip("nothing is left of one cell that has no zeros before it")
    generator = torch.Generator().manual_seed(0)
    for channels in (4, 16, 32):
        torch.manual_seed(0)
        layer = Downsample(channels, centred)
        x = torch.randn(2, channels, *size, generator=generator)
        x = x.contiguous(memory_format=torch.channels_last) if last else x
        found = []
        for half in (False, True):
            junk = [torch.full((n,), torch.nan) for n in (64, 300, 3888, 9216) for _ in range(20)]
            del junk
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                loss = layer(x).float().square().sum()
            found.append(torch.autograd.grad(loss, list(layer.parameters())))
        for exact, rounded in zip(*found, strict=True):
            assert (rounded - exact).norm() < 0.03 * exact.norm(), channels


def test_timestep_embedding_is_ddpms():
    steps = torch.tensor([0, 1, 999])
    table = timestep_embedding(steps, 8)
    assert table.dtype == torch.float32 and table.shape == (3, 8)
    for row, step in enumerate(steps.tolist()):
        for i in range(4):
            angle = step * math.exp(-math.log(10000) * i / 3)
            assert table[row, i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[row, 4 + i].item() == pytest.approx(math.cos(angle), abs=1e-6)
    slow = timestep_embedding(torch.tensor([7]), 4)[0, 1].item()
    assert slow == pytest.approx(7 / 10000, rel=1e-5)
    assert timestep_embedding(torch.tensor([0.5]), 2).tolist() == [
        [pytest.approx(math.sin(0.5)), pytest.approx(math.cos(0.5))]
    ]


def test_flipped_without_a_shift_it_is_improved_ddpms():
    steps = torch.tensor([0.0, 1.5, 999.0])
    table = timestep_embedding(steps, 8, flip_sin_to_cos=True, frequency_shift=0)
    assert table.dtype == torch.float32 and table.shape == (3, 8)
    for row, step in enumerate(steps.tolist()):
        for i in range(4):
            angle = step * math.exp(-math.log(10000) * i / 4)
            assert table[row, i].item() == pytest.approx(math.cos(angle), abs=1e-6)
            assert table[row, 4 + i].item() == pytest.approx(math.sin(angle), abs=1e-6)


@pytest.mark.parametrize("shift", [0, 1])
def test_the_flip_exchanges_the_halves_and_nothing_else(shift):
    steps = torch.tensor([3, 700])
    plain, flipped = (
        timestep_embedding(steps, 10, torch.float64, flip_sin_to_cos=flip, frequency_shift=shift)
        for flip in (False, True)
    )
    torch.testing.assert_close(flipped, plain.roll(5, dims=-1), rtol=0, atol=0)


@pytest.mark.parametrize("flip", [False, True])
def test_timesteps_stay_on_their_device_and_an_odd_width_is_refused(flip):
    steps = torch.empty(3, device="meta")
    assert timestep_embedding(steps, 4, flip_sin_to_cos=flip).device.type == "meta"
    with pytest.raises(
        ValueError, match="^width 5 is not divisible by a pair of sine and cosine, 2$"
    ):
        timestep_embedding(torch.tensor([1]), 5, flip_sin_to_cos=flip)


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import unet_blocks

    unet_blocks.timestep_embedding(torch.arange(3), 8)
    unet_blocks.TimeEmbedding(8, 9)(torch.arange(3))
    x = torch.randn(2, 6, 8, 10)
    x = unet_blocks.ResidualBlock2d(6, 12, time_width=5, groups=3)(x, torch.randn(2, 5))
    x = unet_blocks.SelfAttention2d(12, heads=2, groups=3)(x)
    unet_blocks.Upsample(12)(unet_blocks.Downsample(12)(x))
    context, mask = torch.randn(2, 7, 11), torch.rand(2, 1, 1, 7) > 0.3
    for linear in (False, True):
        unet_blocks.SpatialTransformer(12, 2, 11, 3, linear)(x, context, mask)
    pooled = unet_blocks.last_token(context, mask)
    unet_blocks.PlacedWords(11, 5)(unet_blocks.last_token(context, None) + pooled, (6, 3))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/unet_blocks.py")
