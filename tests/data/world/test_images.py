import math
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.data.world.images import PAINT, SHADE, coverage, draw, draw_many, masks
from scratchmm.data.world.scenes import COLORS, SHAPES, SIZES, TEXTURES, Scene, Thing, sample_scene
from shape_comments import check_shape_comments


def polygon(shape):
    """Corners of a shape of radius 1 around (0, 0), y down; None for round shapes."""
    turn = [math.radians(36 * step) for step in range(10)]
    arm, end = 0.28, 0.92
    return {
        "square": [(-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)],
        "triangle": [(0, -1), (3**0.5 / 2, 0.5), (-(3**0.5) / 2, 0.5)],
        "diamond": [(0, -1), (0.7, 0), (0, 1), (-0.7, 0)],
        "star": [
            (
                (0.48 if step % 2 else 1) * math.sin(angle),
                -(0.48 if step % 2 else 1) * math.cos(angle),
            )
            for step, angle in enumerate(turn)
        ],
        "cross": [
            *[(-arm, -end), (arm, -end), (arm, -arm), (end, -arm), (end, arm), (arm, arm)],
            *[(arm, end), (-arm, end), (-arm, arm), (-end, arm), (-end, -arm), (-arm, -arm)],
        ],
    }.get(shape)


def inside(shape, x, y):
    """Is the point in the shape? By crossing edges, or by the circles a round shape is made of."""
    corners = polygon(shape)
    if corners:
        odd = False
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1]):
            if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                odd = not odd
        return odd
    if shape == "circle":
        return math.hypot(x, y) < 0.92
    if shape == "ring":
        return 0.48 < math.hypot(x, y) < 0.92
    # Heart: a square that stands on its corner, and a half circle on each of its upper sides.
    tip, half = 0.55 / 0.674, 0.5 / 0.674
    middle, radius = half / 2, 0.3536 / 0.674
    if abs(x) + abs(y - (tip - half)) < half:
        return True
    return any(math.hypot(x - side, y - (tip - 1.5 * half)) < radius for side in (-middle, middle))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_shape_covers_the_points_that_geometry_says(shape, size):
    thing, pixels = Thing(shape, "red", size, x=0.47, y=0.56), 120
    drawn = masks(Scene((thing,)), pixels)[0]
    expected = torch.tensor(
        [
            [
                inside(
                    shape,
                    ((column + 0.5) / pixels - thing.x) / thing.radius,
                    ((row + 0.5) / pixels - thing.y) / thing.radius,
                )
                for column in range(pixels)
            ]
            for row in range(pixels)
        ]
    )
    assert (drawn != expected).sum() <= 0.02 * expected.sum()
    assert expected.sum() > 300


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_small_image_is_a_large_one_seen_from_afar(shape, texture):
    scene = Scene((Thing(shape, "white", "large", texture, x=0.52, y=0.47),), (0.1, 0.2, 0.3))
    afar = F.avg_pool2d(draw(scene, 32 * 16)[None], 16)[0]
    # Half a pixel either side of an edge is a good guess, not exact: corners and thin parts differ.
    assert (draw(scene, 32) - afar).abs().mean() < (0.003 if texture == "plain" else 0.0045)
    assert (draw(scene, 32) - afar).abs().max() < 0.5


def test_shapes_keep_inside_their_circle():
    size = 200
    for shape in SHAPES:
        thing = Thing(shape, "red", "large", x=0.5, y=0.5)
        rows, columns = torch.where(coverage([thing], size)[0] > 0.5)
        far = torch.hypot((columns + 0.5) / size - 0.5, (rows + 0.5) / size - 0.5).max()
        assert 0.88 * thing.radius < far < thing.radius + 1 / size, shape


def test_every_pixel_shows_the_thing_whose_mask_has_it():
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 4) * 4:
        scene = sample_scene(rng, count)
        image, owned, covered = draw(scene, 48), masks(scene, 48), coverage(scene.things, 48)
        assert owned.shape == (count, 48, 48) and owned.dtype == torch.bool
        assert owned.any((1, 2)).all() and (owned.sum(0) <= 1).all()
        background = torch.tensor(scene.background)[:, None] * 2 - 1
        free = (covered == 0).all(0)
        torch.testing.assert_close(image[:, free], background.expand(3, int(free.sum())))
        for thing, mask, full in zip(scene.things, owned, covered == 1):
            paint = torch.tensor(PAINT[thing.color])[:, None]
            assert mask[full].all()
            shown = (image[:, mask & full] + 1) / 2
            light = (shown / paint.clamp(min=1e-6)).max(0).values
            torch.testing.assert_close(
                shown, paint * light, rtol=0, atol=1e-5
            )  # its colour, shaded
            if thing.texture == "plain":
                torch.testing.assert_close(shown, paint.expand_as(shown), rtol=0, atol=1e-5)
            elif full.sum() > 20:
                assert light.min() < SHADE + 0.15 and light.max() > 0.85


def test_half_of_a_striped_thing_is_dark_and_dots_are_round():
    striped, dotted = (
        draw(Scene((Thing("square", "white", texture=texture),)), 200)[0]
        for texture in TEXTURES[1:]
    )
    inside = masks(Scene((Thing("square", "white"),)), 200)[0]
    dark = 2 * SHADE - 1
    assert abs((striped[inside] < (1 + dark) / 2).float().mean() - 0.5) < 0.03
    radius = 0.22 * 200  # the pixels of a large thing's radius
    middle = (dotted[100, 100:] < (1 + dark) / 2).float()[: int(radius * 0.6)]
    assert abs(middle.sum() - (0.3 + 0.3) * 0.6 * radius) < 2  # half a dot here, half of the next
    for textured in (striped[75:125, 75:125], dotted[75:125, 75:125]):
        assert abs(textured.min() - dark) < 1e-5 and abs(textured.max() - 1) < 1e-5


def test_the_smallest_image_has_one_pixel_and_no_things_have_no_masks():
    assert draw(Scene((Thing("circle", "red"),)), 1).shape == (3, 1, 1)
    assert masks(Scene(()), 7).shape == (0, 7, 7)


def test_a_thing_in_front_hides_what_lies_behind():
    back, front = Thing("square", "red", x=0.5), Thing("circle", "blue", "small", x=0.5)
    scene = Scene((back, front))
    owned = masks(scene, 40)
    torch.testing.assert_close(owned[1], masks(Scene((front,)), 40)[0])
    torch.testing.assert_close(owned[0], masks(Scene((back,)), 40)[0] & ~owned[1])
    blue = torch.tensor(PAINT["blue"]) * 2 - 1
    torch.testing.assert_close(draw(scene, 40)[:, 20, 20], blue)
    hidden = masks(Scene((front, Thing("square", "red", x=0.5))), 40)
    assert not hidden[0].any()


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 4), max_size=9), st.integers(1, 41), st.integers(0, 99))
def test_drawing_many_is_drawing_each(counts, size, seed):
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng, count) if count else Scene(()) for count in counts]
    images = draw_many(scenes, size)
    assert images.shape == (len(counts), 3, size, size) and images.dtype == torch.float32
    for scene, image in zip(scenes, images):
        torch.testing.assert_close(image, draw(scene, size))


def test_more_scenes_than_are_drawn_together_keep_their_order():
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, 1 + index % 3) for index in range(150)]
    images = draw_many(scenes, 8)
    for index in (0, 63, 64, 127, 128, 149):
        torch.testing.assert_close(images[index], draw(scenes[index], 8))


def test_where_a_thing_lies_is_where_it_is_drawn():
    mask = masks(Scene((Thing("circle", "red", "small", x=0.25, y=0.7),)), 100)[0]
    rows, columns = torch.where(mask)
    assert abs(columns.float().mean() + 0.5 - 25) < 0.5
    assert abs(rows.float().mean() + 0.5 - 70) < 0.5
    rows, columns = torch.where(masks(Scene((Thing("triangle", "red"),)), 100)[0])
    assert len(columns[rows == rows.min()]) < 5 < len(columns[rows == rows.max()])  # points upwards
    rows, columns = torch.where(masks(Scene((Thing("heart", "red"),)), 100)[0])
    assert len(columns[rows == rows.max()]) < 5  # points downwards


def test_colours_are_far_apart_shaded_or_not():
    assert tuple(PAINT) == COLORS
    paints = torch.tensor(list(PAINT.values()))
    hues = paints / paints.norm(dim=1, keepdim=True)  # shading does not change these
    for one, other in combinations(range(len(COLORS)), 2):
        assert (hues[one] - hues[other]).norm() > 0.2, (COLORS[one], COLORS[other])
        assert (paints[one] - paints[other]).norm() > 0.35


def test_shapes_differ_in_many_pixels_even_when_small():
    drawn = [coverage([Thing(shape, "red", "small", x=0.51, y=0.49)], 32)[0] for shape in SHAPES]
    for one, other in combinations(range(len(SHAPES)), 2):
        assert (drawn[one] - drawn[other]).abs().sum() > 10, (SHAPES[one], SHAPES[other])


def test_a_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match="^size is 0 and must be a whole number from 1 to 16384$"):
        draw(Scene(()), 0)


def run_shapes() -> None:
    from scratchmm.data.world import images as scene_images
    from scratchmm.data.world import scenes

    circle = scenes.Thing("circle", "red", texture=scenes.TEXTURES[1])
    star = scenes.Thing("star", "blue", x=0.3)
    scene_images.draw_many([scenes.Scene((circle, star))] * 5, size=9)
    scene_images.masks(scenes.Scene((circle, star)), size=9)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "data/world/images.py")
