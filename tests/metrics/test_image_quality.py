"""Contrast, colourfulness and sharpness against loops over pixels, and on images that one knows."""

import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from scratchmm.metrics.image_quality import (
    colourfulness,
    contrast,
    image_quality,
    sharpness,
)
from shape_comments import check_shape_comments


def some_images(*shape, seed=0):
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 1


def light_of(image, row, column):
    red, green, blue = ((float(image[c, row, column]) + 1) / 2 for c in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 7), st.integers(3, 9), st.integers(0, 99))
def test_equal_loops_over_pixels(height, width, seed):
    batch = some_images(2, 3, height, width, seed=seed)
    found = image_quality(batch)
    for index, image in enumerate(batch):
        light = [[light_of(image, y, x) for x in range(width)] for y in range(height)]
        wanted = statistics.pstdev([value for row in light for value in row])
        assert found.contrast[index].item() == pytest.approx(wanted, rel=1e-4)

        edges = []
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                around = light[y - 1][x] + light[y + 1][x] + light[y][x - 1] + light[y][x + 1]
                edges.append(255 * (around - 4 * light[y][x]))
        wanted = statistics.pvariance(edges)
        assert found.sharpness[index].item() == pytest.approx(wanted, rel=1e-3, abs=1e-3)

        one, other = [], []
        for y in range(height):
            for x in range(width):
                red, green, blue = (127.5 * (float(image[c, y, x]) + 1) for c in range(3))
                one.append(red - green)
                other.append(0.5 * (red + green) - blue)
        spread = (statistics.pvariance(one) + statistics.pvariance(other)) ** 0.5
        middle = (statistics.mean(one) ** 2 + statistics.mean(other) ** 2) ** 0.5
        assert found.colourfulness[index].item() == pytest.approx(spread + 0.3 * middle, rel=1e-4)


def test_known_images():
    grey = some_images(1, 1, 6, 5).expand(1, 3, 6, 5)
    assert_close(colourfulness(grey), torch.zeros(1), rtol=0, atol=1e-3)
    board = (torch.arange(6)[:, None] + torch.arange(4)) % 2 * 2.0 - 1
    board = board.expand(1, 3, 6, 4)
    assert contrast(board).item() == pytest.approx(0.5)
    # Each inner pixel differs from its four neighbours by 255, up and down by turns.
    assert sharpness(board).item() == pytest.approx((4 * 255) ** 2)
    # Red and green by halves: red - green is 255 and -255; the other is 127.5 in both.
    halves = torch.full((1, 3, 4, 4), -1.0)
    halves[:, 0, :2], halves[:, 1, 2:] = 1, 1
    assert colourfulness(halves).item() == pytest.approx(255 + 0.3 * 127.5)


def test_what_each_hears():
    scene = some_images(3, 3, 24, 20)
    blurred = torch.nn.functional.avg_pool2d(scene, 3, 1, 1)
    assert (sharpness(blurred) < sharpness(scene) / 4).all()
    assert_close(contrast(0.5 * scene), 0.5 * contrast(scene))
    assert_close(sharpness(0.5 * scene), 0.25 * sharpness(scene))
    for turned in (scene.flip(-1), scene.flip(-2), scene.transpose(-1, -2)):
        for one, other in zip(image_quality(turned), image_quality(scene), strict=True):
            assert_close(one, other, rtol=1e-4, atol=1e-3)
    # Brighter by one level in all colours: nothing of this is in any of the measures.
    for one, other in zip(image_quality(scene + 0.1), image_quality(scene), strict=True):
        assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_a_image_scores_the_same_in_any_batch():
    batch = some_images(4, 3, 5, 6)
    for measure in (contrast, colourfulness, sharpness):
        alone = torch.cat([measure(one[None]) for one in batch])
        assert_close(measure(batch), alone)
        assert measure(batch).shape == (4,)


def test_refusals():
    for measure in (contrast, colourfulness, sharpness, image_quality):
        with pytest.raises(ValueError, match=r"^images are \(B, 3, H, W\), not \(2, 1, 5, 5\)$"):
            measure(torch.zeros(2, 1, 5, 5))
        with pytest.raises(ValueError, match=r"not \(3, 5, 5\)$"):
            measure(torch.zeros(3, 5, 5))
    with pytest.raises(ValueError, match="3 x 3 pixels, not 2 x 5"):
        sharpness(torch.zeros(1, 3, 2, 5))


def run_shapes() -> None:
    import torch

    from scratchmm.metrics import image_quality

    image_quality.image_quality(torch.randn(2, 3, 7, 8))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "metrics/image_quality.py")
