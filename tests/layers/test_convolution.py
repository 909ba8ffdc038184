"""Residual blocks against explicit loops, in one, two and three dimensions."""

import itertools

import pytest
import torch
from torch import nn

from scratchmm.layers.convolution import (
    BottleneckBlock,
    NormedConvolution,
    ResidualBlock,
    shortcut,
)


def randomised(module):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.2)
            elif tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
    return module.double().eval()


def convolved(x, weight, stride):
    """A padded convolution, one product at a time: x (C, ...), weight (outputs, C, k, ...)."""
    kernel = weight.shape[-1]
    sizes = [(size - 1) // stride + 1 for size in x.shape[1:]]
    out = torch.zeros(len(weight), *sizes, dtype=x.dtype)
    for place in itertools.product(*map(range, sizes)):
        for offset in itertools.product(range(kernel), repeat=len(sizes)):
            source = [p * stride + o - kernel // 2 for p, o in zip(place, offset)]
            if all(0 <= s < size for s, size in zip(source, x.shape[1:])):
                out[:, *place] += weight[:, :, *offset] @ x[:, *source]
    return out


def normed(x, norm):
    """Batch norm by its running statistics, channel by channel: x (C, ...)."""
    channels = zip(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    return torch.stack([(c - m) / (v + norm.eps).sqrt() * w + b for c, m, v, w, b in channels])


def expected(block, x, strides, stride):
    """A residual block said again: x (C, ...) through each convolution, and the shortcut."""
    inner = x
    for number, (layer, step) in enumerate(zip(block.layers, strides, strict=True)):
        inner = normed(convolved(inner, layer.convolution.weight, step), layer.norm)
        if number < len(strides) - 1:
            inner = inner.clamp(min=0)
    if not isinstance(block.shortcut, nn.Identity):
        layer = block.shortcut
        x = normed(convolved(x, layer.convolution.weight, stride), layer.norm)
    return (inner + x).clamp(min=0)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("outputs", "stride"), [(8, 2), (8, 1), (4, 1), (4, 2)])
@pytest.mark.parametrize("kind", [ResidualBlock, BottleneckBlock])
@torch.no_grad()
def test_blocks_are_what_figure_5_shows(kind, outputs, stride, dims):
    block = randomised(kind(4, outputs, stride, dims))
    x = torch.randn(2, 4, *(5, 4, 3)[:dims], dtype=torch.float64) * 3
    before = x.clone()
    strides = [stride, 1] if kind is ResidualBlock else [1, stride, 1]
    wanted = torch.stack([expected(block, one, strides, stride) for one in x])
    torch.testing.assert_close(block(x), wanted)
    torch.testing.assert_close(x, before, rtol=0, atol=0)  # though it works in place
    assert wanted.min() == 0 < wanted.max()  # the last activation had something to do


def test_a_bottleneck_is_narrow_in_its_middle():
    shapes = [layer.convolution.weight.shape for layer in BottleneckBlock(5, 12, dims=2).layers]
    assert shapes == [(3, 5, 1, 1), (3, 3, 3, 3), (12, 3, 1, 1)]
    shapes = [layer.convolution.weight.shape for layer in ResidualBlock(5, 12, dims=3).layers]
    assert shapes == [(12, 5, 3, 3, 3), (12, 12, 3, 3, 3)]


def test_the_shortcut_projects_only_where_the_shape_changes():
    assert isinstance(shortcut(4, 4, 1, 2), nn.Identity)
    for channels, outputs, stride in [(4, 8, 1), (4, 4, 2)]:
        assert shortcut(channels, outputs, stride, 1).convolution.kernel_size == (1,)


@pytest.mark.parametrize("kind", [ResidualBlock, BottleneckBlock])
def test_gradients_pass_the_work_in_place(kind):
    block = kind(4, 8, stride=2, dims=1).double().train()
    x = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, x)


def test_training_norms_by_the_batch_and_remembers_it():
    layer = NormedConvolution(3, 5, kernel=3).train()
    x = torch.randn(4, 3, 6, 7) * 2 + 1
    plain = layer.convolution(x)
    out = layer(x)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.var((0, 2, 3), correction=0), torch.ones(5), rtol=0, atol=1e-3)
    torch.testing.assert_close(layer.norm.running_mean, 0.1 * plain.mean((0, 2, 3)))
    assert layer.convolution.bias is None


def test_first_weights_keep_the_variance_through_a_relu():
    torch.manual_seed(0)
    weight = NormedConvolution(64, 96, kernel=3).convolution.weight
    assert weight.std().item() == pytest.approx((2 / (96 * 9)) ** 0.5, rel=0.02)


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="^kernel 4 is even: it has no middle to keep the size by"):
        NormedConvolution(3, 4, kernel=4)
    with pytest.raises(ValueError, match="^a convolution slides along 1, 2 or 3 axes, not 4$"):
        ResidualBlock(3, 4, dims=4)
    with pytest.raises(ValueError, match="^6 channels are not divisible by 4"):
        BottleneckBlock(4, 6)


@pytest.mark.parametrize("last", [False, True], ids=["plain", "channels last"])
@pytest.mark.parametrize("size", [(4, 1), (8, 1), (1, 4), (2, 2)])
def test_gradients_of_thin_images_in_bfloat16(size, last):
    """Images 1 wide, whose gradient torch 2.13 gets wrong on some CPUs."""
    for channels in (4, 16, 32):
        torch.manual_seed(0)
        layer = NormedConvolution(channels, channels, kernel=3, stride=2).eval()
        x = torch.randn(3, channels, *size)
        x = x.contiguous(memory_format=torch.channels_last) if last else x
        found = []
        for half in (False, True):
            junk = [torch.full((n,), torch.nan) for n in (64, 300, 3888, 9216) for _ in range(20)]
            del junk
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                loss = layer(x).float().square().sum()
            found.append(torch.autograd.grad(loss, [layer.convolution.weight])[0])
        assert (found[1] - found[0]).norm() < 0.03 * found[0].norm(), channels
