"""Control images against the facts of the scenes that they tell."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scratchmm.data.world.control_images import KINDS, control_images, depth, edges, pose
from scratchmm.data.world.images import masks
from scratchmm.data.world.scenes import COLORS, SHAPES, Scene, Thing, sample_scene
from shape_comments import check_shape_comments

BEHIND = Scene((Thing("star", "red", x=0.45), Thing("ring", "blue", x=0.6, y=0.6)))


def scenes(count=12):
    rng = np.random.default_rng(0)
    return [BEHIND, Scene(()), *(sample_scene(rng, 1 + i % 4) for i in range(count))]


def owners(scene, size):
    """Which thing is seen at each pixel, 0 for the background; counted from the back."""
    seen = np.zeros((size, size), dtype=int)
    for number, mask in enumerate(masks(scene, size), 1):
        seen[mask.numpy()] = number
    return seen


@pytest.mark.parametrize("size", [17, 32])
def test_outlines_pixel_by_pixel(size):
    """A line is where a thing has, beside it, something that lies farther back."""
    for scene in scenes():
        seen, got = owners(scene, size), edges(scene, size)
        for y in range(size):
            for x in range(size):
                near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                inside = [place for place in near if min(place) >= 0 and max(place) < size]
                line = any(seen[place] < seen[y, x] for place in inside)
                assert got[0, y, x] == line


def test_depth_is_the_order():
    for scene in scenes():
        seen, got = owners(scene, 32), depth(scene, 32)[0].numpy()
        levels = [set(got[seen == number].tolist()) for number in range(len(scene.things) + 1)]
        assert levels[0] <= {0.0} and all(len(level) <= 1 for level in levels)
        flat = [level.pop() for level in levels if level]
        assert flat == sorted(flat) and len(set(flat)) == len(flat)
        if scene.things:
            assert got[seen == len(scene.things)].max() == 1.0
    turned = Scene(BEHIND.things[::-1])
    assert not depth(turned).equal(depth(BEHIND))


@pytest.mark.parametrize("size", [16, 33, 64])
def test_a_pose_tells_place_and_size_and_nothing_else(size):
    for scene in scenes():
        plain = [replace(t, shape="ring", color="red", texture="plain") for t in scene.things]
        got = pose(scene, size)
        assert got.equal(pose(Scene(tuple(plain), (1.0, 0.0, 0.0)), size))
        assert got.sum(dim=0).max() <= 1  # a pixel has one colour at most
    for x, y, name in [(0.3, 0.6, "small"), (0.62, 0.41, "large")]:
        red, green, blue = pose(Scene((Thing("star", "red", name, x=x, y=y),)), size)
        rows, columns = torch.nonzero(green, as_tuple=True)
        assert abs((columns.float().mean() + 0.5) / size - x) <= 0.51 / size
        assert abs((rows.float().mean() + 0.5) / size - y) <= 0.51 / size
        radius = Thing("star", "red", name).radius
        for lines in torch.nonzero(blue, as_tuple=True):
            reach = (lines.max() - lines.min()).item() / 2 / size
            assert abs(reach - radius) <= 1.01 / size + 0.02
        assert red.any() or size == 16
        rows, columns = torch.nonzero(red + green + blue, as_tuple=True)
        for lines, middle in ((columns, x), (rows, y)):  # nothing is beyond the thing's room
            far = ((lines + 0.5) / size - middle).abs().max().item()
            assert abs(far - radius) <= 1.51 / size + 0.02


def test_a_pose_in_front_hides_the_one_behind():
    front, back = BEHIND.things[1], BEHIND.things[0]
    both, alone = pose(BEHIND), pose(Scene((front,)))
    drawn = alone.any(dim=0)
    assert both[:, drawn].equal(alone[:, drawn])
    assert both[:, ~drawn].equal(pose(Scene((back,)))[:, ~drawn])


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_the_single_ones(kind):
    one = {"edges": edges, "depth": depth, "pose": pose}[kind]
    many = control_images(scenes(), kind, 20)
    assert many.dtype == torch.float32 and many.shape[1:] == (3 if kind == "pose" else 1, 20, 20)
    assert many.min() == 0 and many.max() == 1
    for scene, image in zip(scenes(), many, strict=True):
        assert image.equal(one(scene, 20))
    assert not control_images([Scene(())], kind, 20).any()
    assert control_images([], kind, 20).shape == (0, *many.shape[1:])


def test_edges_and_depth_tell_the_shape_but_not_the_colour():
    for kind in ("edges", "depth"):
        shapes = [Scene((Thing(shape, "red"),)) for shape in SHAPES]
        assert len({image.numpy().tobytes() for image in control_images(shapes, kind)}) == 8
        colors = [Scene((Thing("star", color),)) for color in COLORS]
        assert len({image.numpy().tobytes() for image in control_images(colors, kind)}) == 1


def test_what_is_refused():
    with pytest.raises(ValueError, match="control 'sketch' is none of edges, depth, pose"):
        control_images([BEHIND], "sketch")
    for kind in KINDS:
        with pytest.raises(
            ValueError, match="^size is 0 and must be a whole number from 1 to 16384$"
        ):
            control_images([BEHIND], kind, 0)


def run_shapes() -> None:
    from scratchmm.data.world import control_images, scenes

    scene = scenes.Scene((scenes.Thing("star", "red"), scenes.Thing("ring", "blue", x=0.6)))
    for kind in control_images.KINDS:
        control_images.control_images([scene] * 5, kind, size=16)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "data/world/control_images.py")
