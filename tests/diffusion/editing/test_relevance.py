"""Where a score comes from: exact where it is known, loops by hand, and things in images."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from scratchmm.data.world.images import PAINT, draw, masks
from scratchmm.data.world.scenes import Scene, Thing, sample_scene
from scratchmm.diffusion.editing.relevance import (
    border_color,
    mask_of,
    relevance_by_occlusion,
    windows,
)
from shape_comments import check_shape_comments


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def odd(images):
    """Some score in which all pixels of an image work together, but not with other images'."""
    weights = torch.linspace(-1, 2, images[0].numel(), dtype=images.dtype).view_as(images[0])
    return ((images * weights).sum(dim=(1, 2, 3))).sin() + (images**2).mean(dim=(1, 2, 3))


@given(
    height=st.integers(2, 9), width=st.integers(2, 9), patch=st.integers(1, 5),
    stride=st.integers(1, 5),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_every_pixel_is_under_as_many_windows(height, width, patch, stride):
    if stride > patch or patch > max(height, width):
        return
    found = windows(height, width, patch, stride)
    assert found.shape[1:] == (1, height, width) and found.dtype == torch.bool
    over = found.sum(dim=0)[0]
    assert over.min() >= 1
    if patch % stride == 0:
        assert over.unique().tolist() == [(patch // stride) ** 2]
    for window in found[:, 0]:
        rows, columns = window.any(dim=1).nonzero()[:, 0], window.any(dim=0).nonzero()[:, 0]
        assert window.sum() == len(rows) * len(columns)
        assert 1 <= len(rows) == rows[-1] - rows[0] + 1 <= patch
        assert 1 <= len(columns) == columns[-1] - columns[0] + 1 <= patch


def test_no_gradients_are_kept():
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    assert not relevance_by_occlusion(lambda x: weight * odd(x), normal(2, 5, 7), 3).requires_grad


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("fill", [None, 0.3, torch.tensor([0.1, -0.4])])
@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_it_is_a_loop_over_windows(alone, fill, batch_size):
    image, patch, stride = normal(2, 5, 7), 3, 2
    color = border_color(image) if fill is None else torch.as_tensor(fill).double().expand(2)
    heat, count = torch.zeros(5, 7).double(), torch.zeros(5, 7)
    cover = color[:, None, None].expand(2, 5, 7)
    for top in range(stride - patch, 5, stride):
        for left in range(stride - patch, 7, stride):
            rows, columns = slice(max(0, top), top + 3), slice(max(0, left), left + 3)
            changed = cover.clone() if alone else image.clone()
            changed[:, rows, columns] = (image if alone else cover)[:, rows, columns]
            score, whole, nothing = odd(torch.stack([changed, image, cover]))
            heat[rows, columns] += score - nothing if alone else whole - score
            count[rows, columns] += 1
    found = relevance_by_occlusion(
        odd, image, patch, fill, stride=stride, alone=alone, batch_size=batch_size
    )
    assert_close(found, heat / count)


@pytest.mark.parametrize("alone", [False, True])
def test_a_sum_is_divided_among_its_pixels(alone):
    """Windows of one pixel find the weights of a linear score exactly, up to the fill."""
    weights, image = normal(3, 4, 6), normal(3, 4, 6, seed=1)

    def linear(images):
        return (images * weights).sum(dim=(1, 2, 3))

    found = relevance_by_occlusion(linear, image, 1, fill=0.25, alone=alone)
    assert_close(found, (weights * (image - 0.25)).sum(dim=0))


def test_the_border_is_what_surrounds():
    image = torch.full((2, 5, 6), -3.0)
    image[:, 1:-1, 1:-1] = 100.0
    image[1, 0] = 7.0  # six of eighteen pixels of the border
    assert border_color(image).tolist() == [-3.0, -3.0]
    corners = torch.arange(9.0).view(1, 3, 3)  # 0 1 2 3 5 6 7 8: each corner once
    assert border_color(corners).item() == 3.0


def likeness(color):
    """How much of an image has the paint of that colour."""
    paint = torch.tensor(PAINT[color]).view(3, 1, 1) * 2 - 1

    def score(images):
        return ((images - paint).abs().sum(dim=1) < 0.3).float().mean(dim=(1, 2))

    return score


@pytest.mark.parametrize("alone", [False, True])
def test_the_mask_lies_on_the_thing_that_is_meant(alone):
    rng, found = np.random.default_rng(0), []
    while len(found) < 8:
        scene = sample_scene(rng, things=2)
        thing, other = scene.things
        if thing.color == other.color or {"ring", "cross"} & {thing.shape}:
            continue
        scene = Scene((Thing(thing.shape, thing.color, x=thing.x, y=thing.y), other))
        heat = relevance_by_occlusion(likeness(thing.color), draw(scene), 4, stride=2, alone=alone)
        mask = mask_of(heat, threshold=0.4, grow=0)[0, 0]
        real = masks(scene)
        found.append(((mask & real[0]).sum() / (mask | real[0]).sum()).item())
        assert not (mask & real[1]).any()
    assert sum(found) / len(found) > 0.6, found


@given(share=st.floats(0.01, 1.0), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_a_share_is_so_many_pixels_even_where_they_are_alike(share, seed):
    heat = normal(5, 7, seed=seed).round() + 9
    found = mask_of(heat, share=share, grow=0)
    assert found.shape == (1, 1, 5, 7) and found.dtype == torch.bool
    assert found.sum() == max(1, round(share * 35))
    chosen = found[0, 0]
    if not chosen.all():
        assert heat[chosen].min() >= heat[~chosen].max()


def test_a_threshold_is_of_the_warmest():
    heat = torch.tensor([[-5.0, 0.5, 0.0], [1.0, 2.0, 1.2]])
    assert mask_of(heat, 0.5, grow=0).flatten().tolist() == [False, False, False, True, True, True]
    assert mask_of(heat, 1.0, grow=0).sum() == 1
    assert torch.equal(mask_of(7 * heat, 0.5, grow=0), mask_of(heat, 0.5, grow=0))
    assert mask_of(heat, 1.0).all()  # by one pixel to all sides of the middle one


def test_refusals():
    image = torch.zeros(1, 4, 6)
    for patch in (0, 7):
        with pytest.raises(
            ValueError, match=f"^a window of {patch} pixels is none of a 4 x 6 image"
        ):
            relevance_by_occlusion(odd, image, patch)
    for stride in (0, 4):
        with pytest.raises(ValueError, match=f"^windows of 3 pixels, {stride} apart, do not touch"):
            relevance_by_occlusion(odd, image, 3, stride=stride)
    with pytest.raises(ValueError, match="^nothing in the image is relevant: its highest heat is"):
        mask_of(torch.tensor([[-1.0, 0.0]]))
    for value in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"^threshold {value} is not above 0 and at most 1$"):
            mask_of(torch.ones(2, 2), value)
        with pytest.raises(ValueError, match=f"^share {value} is not above 0 and at most 1$"):
            mask_of(torch.ones(2, 2), share=value)


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import process
    from scratchmm.diffusion.editing import inpainting, relevance

    levels, x = process.cosine_schedule(7), torch.randn(2, 3, 8, 12)
    mask = torch.zeros(2, 1, 8, 12, dtype=torch.bool)
    mask[..., 3:6, 4:9] = True
    inpainting.inpaint(lambda x, timesteps: x, levels, x, mask, x, [6, 3], repeats=2)
    inpainting.shrink_mask(mask, (4, 3))
    heat = relevance.relevance_by_occlusion(lambda x: x.mean(dim=(1, 2, 3)), x[0], patch=3)
    relevance.mask_of(heat.abs())


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/editing/relevance.py")
