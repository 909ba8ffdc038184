"""Places and relations read off pixels agree with the scenes that the images were drawn of."""

import numpy as np
import pytest
import torch

from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import COLORS, SHAPES, Scene, Thing, sample_scene
from scratchmm.training.placed_colors import PLACES, RELATIONS, at_places, find, in_relation
from shape_comments import check_shape_comments


def test_a_thing_is_found_where_it_was_drawn_whatever_it_is_like() -> None:
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng) for _ in range(200)]
    things = [scene.things[0] for scene in scenes]
    found = find(draw_many(scenes), [thing.color for thing in things])
    places = torch.tensor([(thing.x, thing.y) for thing in things])
    off = (found.middle - places).abs()
    assert off.mean() < 0.01 and off.max() < 0.07


@pytest.mark.parametrize("color", COLORS)
def test_every_colour_is_found_also_where_it_is_striped_and_no_other_is(color: str) -> None:
    scenes = [
        Scene((Thing("circle", color, "large", kind),)) for kind in ("plain", "striped", "dotted")
    ]
    images = draw_many(scenes)
    assert (find(images, [color] * 3).share > 0.1).all()
    for other in set(COLORS) - {color}:
        assert find(images, [other] * 3).middle.isnan().all()


def test_places_are_right_and_wrong_as_the_scenes_say() -> None:
    for name, (axis, sign) in PLACES.items():
        there = {"x": 0.5, "y": 0.5} | {"xy"[axis]: 0.5 + 0.2 * sign}
        for shape in SHAPES:
            image = draw_many([Scene((Thing(shape, "cyan", "small", **there),))])
            for other in PLACES:
                asked = at_places(image, ["cyan"], [other]).item()
                assert asked or other != name
                assert not asked or PLACES[other] != (axis, -sign)
    assert not at_places(torch.full((1, 3, 32, 32), -0.7), ["red"], ["on the left"]).item()


def test_relations_need_both_things_and_their_order() -> None:
    for name, (axis, sign) in RELATIONS.items():
        places = [{"x": 0.5, "y": 0.5} | {"xy"[axis]: 0.5 + s * 0.25 * sign} for s in (1, -1)]
        things = [Thing("star", "red", **places[0]), Thing("ring", "white", **places[1])]
        image = draw_many([Scene(tuple(things))])
        for other in RELATIONS:
            found = in_relation(image, ["red"], [other], ["white"]).item()
            assert found == (other == name)
            assert in_relation(image, ["white"], [other], ["red"]).item() == (
                RELATIONS[other] == (axis, -sign)
            )
        alone = draw_many([Scene((things[0],))])
        assert not in_relation(alone, ["red"], [name], ["white"]).item()


def test_as_many_colours_as_images() -> None:
    with pytest.raises(ValueError, match="1 colours for 2 images"):
        find(torch.zeros(2, 3, 8, 8), ["red"])


def run_shapes() -> None:
    import torch

    from scratchmm.training import placed_colors

    images = torch.rand(5, 3, 7, 6) * 2 - 1
    colors = ["red", "blue", "white", "cyan", "green"]
    placed_colors.at_places(images, colors, ["on the left"] * 5)
    placed_colors.in_relation(images, colors, ["above"] * 5, colors[::-1])


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "training/placed_colors.py")
