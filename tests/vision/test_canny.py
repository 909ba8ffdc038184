"""Canny's edges against explicit loops; what turning, moving and repainting must not change."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.data.world.images import draw, draw_many, masks
from scratchmm.data.world.scenes import SHAPES, Scene, Thing, sample_scene
from scratchmm.vision.canny import blur, canny, hysteresis, slope, thin
from shape_comments import check_shape_comments


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def blurred_by_loops(image, sigma):
    """image: (H, W). The bell over both axes at once."""
    height, width = image.shape
    reach = math.ceil(3 * sigma)
    away = range(-reach, reach + 1)
    bell = {(i, j): math.exp(-(i * i + j * j) / (2 * sigma**2)) for i in away for j in away}
    total, found = sum(bell.values()), np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for (i, j), weight in bell.items():
                near = image[min(max(y + i, 0), height - 1), min(max(x + j, 0), width - 1)]
                found[y, x] += weight * near / total
    return found


def slope_by_loops(image):
    height, width = image.shape
    down, across = np.zeros_like(image), np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for i in (-1, 0, 1):
                for j in (-1, 0, 1):
                    near = image[min(max(y + i, 0), height - 1), min(max(x + j, 0), width - 1)]
                    down[y, x] += i * (2 - abs(j)) * near / 8
                    across[y, x] += j * (2 - abs(i)) * near / 8
    return down, across


def thinned_by_loops(magnitude, down, across):
    """The neighbour uphill by its angle, in eighths of a turn."""
    height, width = magnitude.shape
    around = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]
    kept = np.zeros_like(magnitude)

    def at(y, x):
        return magnitude[y, x] if 0 <= y < height and 0 <= x < width else 0.0

    for y in range(height):
        for x in range(width):
            if down[y, x] == across[y, x] == 0:
                continue
            eighth = round(math.atan2(down[y, x], across[y, x]) / (math.pi / 4)) % 8
            i, j = around[eighth]
            here = magnitude[y, x]
            if here > at(y + i, x + j) + 1e-5 and here + 1e-5 >= at(y - i, x - j):
                kept[y, x] = here
    return kept


def joined_by_loops(magnitude, low, high):
    """A walk from every strong pixel over weak ones."""
    kept = np.zeros(magnitude.shape, dtype=bool)
    waiting = [tuple(place) for place in np.argwhere(magnitude >= high)]
    while waiting:
        y, x = waiting.pop()
        inside = 0 <= y < magnitude.shape[0] and 0 <= x < magnitude.shape[1]
        if inside and not kept[y, x] and magnitude[y, x] >= low:
            kept[y, x] = True
            waiting += [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return kept


def canny_by_loops(image, sigma, low, high):
    """image: (C, H, W)."""
    down, across = zip(*(slope_by_loops(blurred_by_loops(c, sigma)) for c in image))
    down, across = np.stack(down), np.stack(across)
    magnitude = np.hypot(down, across)
    steepest = magnitude.argmax(0)[None]
    parts = (np.take_along_axis(x, steepest, 0)[0] for x in (magnitude, down, across))
    return joined_by_loops(thinned_by_loops(*parts), low, high)


@settings(max_examples=15, deadline=None)
@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    sigma=st.sampled_from([0.4, 0.9, 1.5]),
    seed=st.integers(0, 99),
)
def test_the_whole_against_loops(channels, height, width, sigma, seed):
    images = random(2, channels, height, width, seed=seed).tanh()
    low, high = 0.15, 0.3
    found = canny(images, sigma, low, high)
    assert found.dtype == images.dtype and found.shape == (2, 1, height, width)
    for image, edges in zip(images, found):
        expected = canny_by_loops(image.numpy(), sigma, low, high)
        np.testing.assert_array_equal(edges[0].numpy(), expected)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 7), width=st.integers(1, 7), seed=st.integers(0, 99))
def test_thinning_against_loops_with_ties_and_flat_places(height, width, seed):
    magnitude = (random(3, 1, height, width, seed=seed).abs() * 3).round() / 3
    down, across = (random(2, 3, 1, height, width, seed=seed + 1) * 1.5).round()
    got = thin(magnitude, down, across)
    for parts in zip(magnitude, down, across, got):
        *given_, answer = (part[0].numpy() for part in parts)
        np.testing.assert_array_equal(answer, thinned_by_loops(*given_))


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 99))
def test_thresholds_against_a_walk(height, width, seed):
    magnitude = random(2, 1, height, width, seed=seed).abs()
    got = hysteresis(magnitude, 0.5, 1.8)
    assert got.dtype == torch.bool
    for one, answer in zip(magnitude, got):
        np.testing.assert_array_equal(answer[0], joined_by_loops(one[0].numpy(), 0.5, 1.8))


def test_a_weak_spiral_is_followed_to_its_end():
    spiral = ["#########", "........#", "#######.#", "#.....#.#", "#.###.#.#", "#.#...#.#",
              "#.#####.#", "#.......#", "#########"]  # fmt: skip
    weak = torch.tensor([[0.3 if cell == "#" else 0.0 for cell in row] for row in spiral])
    strong = weak.clone()
    strong[0, 0] = 1.0
    assert not hysteresis(weak[None, None], 0.2, 0.9).any()
    assert hysteresis(strong[None, None], 0.2, 0.9).equal((weak > 0)[None, None])


@pytest.mark.parametrize("channels", [1, 3])
def test_turned_mirrored_and_moved_images_have_their_edges_turned_mirrored_and_moved(channels):
    rng = np.random.default_rng(0)
    images = draw_many([sample_scene(rng, things) for things in (1, 2, 2, 3)], 40).double()
    images = F.pad(images, (4, 9, 6, 3), value=-0.7)[:, :channels]
    edges = canny(images)
    assert edges.sum() > 150
    assert canny(images.transpose(2, 3)).equal(edges.transpose(2, 3))
    for quarter in (1, 2, 3):
        assert canny(images.rot90(quarter, (2, 3))).equal(edges.rot90(quarter, (2, 3)))
    assert canny(images.flip(3)).equal(edges.flip(3))
    assert canny(images.roll((-2, 3), (2, 3))).equal(edges.roll((-2, 3), (2, 3)))
    assert canny(images[1:3]).equal(edges[1:3])
    assert canny(images.flip(1)).equal(edges)
    assert canny(images * 0.9 + 0.05, low=0.09, high=0.18).equal(edges)
    assert canny(images.float()).equal(edges.float())


def from_outside(edges):
    """What is reached from the corner, straight ahead, without crossing an edge: bool (H, W)."""
    free = edges == 0
    reached = torch.zeros_like(free)
    reached[0, 0] = True
    while True:
        x = reached.float()[None]
        more = F.max_pool2d(x, (3, 1), 1, (1, 0)) + F.max_pool2d(x, (1, 3), 1, (0, 1))
        more = (more[0] > 0) & free
        if more.equal(reached):
            return reached
        reached = more


def grown(mask):
    """A mask and the pixels around it."""
    return F.max_pool2d(mask.float()[None, None], 3, 1, 1)[0, 0] > 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("color", ["red", "blue", "white"])
def test_a_drawn_shape_has_a_closed_thin_outline(shape, color):
    scene = Scene((Thing(shape, color),))
    edges = canny(draw(scene, 64)[None])[0, 0] > 0
    mask, outside = masks(scene, 64)[0], from_outside(edges)
    assert not (outside & ~grown(~mask)).any()  # it is closed
    if shape != "ring":  # which has a hole
        assert not (~outside & ~grown(mask)).any()
    assert not (edges & ~(grown(mask) & grown(~mask))).any()  # never further than a pixel away
    blocks = F.avg_pool2d(edges[None, None].float(), kernel_size=2, stride=1)
    assert blocks.max() < 1  # nowhere two by two


def test_flat_images_and_gentle_ramps_have_no_edges():
    assert not canny(torch.full((2, 3, 8, 9), 0.3)).any()
    ramp = torch.linspace(-1, 1, 33)[None, None, None].expand(1, 1, 8, 33)
    assert not canny(ramp).any()


def test_a_step_is_as_steep_as_it_is_high_and_blur_keeps_the_mean():
    step = torch.full((1, 1, 7, 8), -1.0).double()
    step[..., 4:] = 1.0
    assert slope(step).magnitude.max() == 1.0
    periodic = random(1, 2, 5, 6)
    wide = blur(F.pad(periodic, (9, 9, 9, 9)), 2.0)
    torch.testing.assert_close(wide.sum((2, 3)), periodic.sum((2, 3)))
    assert blur(periodic, 0.0).equal(periodic)


def test_of_two_pixels_that_are_alike_to_within_rounding_the_one_uphill_stays():
    flat = torch.zeros(1, 1, 1, 4)
    magnitude = torch.tensor([[[[0.1, 0.500005, 0.5, 0.1]]]])  # brighter to the right
    expected = torch.tensor([[[[0.0, 0.0, 0.5, 0.0]]]])
    torch.testing.assert_close(thin(magnitude, flat, flat + 1), expected, rtol=0, atol=0)
    turned = thin(magnitude.flip(-1), flat, flat - 1)
    torch.testing.assert_close(turned, expected.flip(-1), rtol=0, atol=0)


def test_images_that_are_no_numbers_have_no_edges():
    for wrong in (math.nan, math.inf):
        image = torch.zeros(1, 3, 4, 5)
        image[0, 1, 2, 3] = wrong
        with pytest.raises(ValueError, match="images have 1 values that are no numbers"):
            canny(image)
    for sigma in (math.nan, math.inf, -1.0, 1e12):
        with pytest.raises(ValueError, match=f"sigma {sigma}".replace("+", r"\+")):
            canny(torch.zeros(1, 1, 4, 5), sigma=sigma)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"not in \(3, 8, 8\)"):
        canny(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="torch.uint8"):
        canny(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="sigma -1 is not"):
        canny(torch.zeros(1, 3, 8, 8), sigma=-1)
    for low, high in ((0.3, 0.2), (0.0, 0.2), (float("nan"), 0.2)):
        with pytest.raises(ValueError, match="0 < low <= high"):
            canny(torch.zeros(1, 3, 8, 8), low=low, high=high)


def run_shapes() -> None:
    import torch

    from scratchmm.vision import canny

    canny.canny(torch.randn(2, 3, 9, 12))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "vision/canny.py")
