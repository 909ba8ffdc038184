import dataclasses
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.data.world.scenes import (
    COLORS,
    MOST_THINGS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    Thing,
    combinations,
    sample_scene,
    split_combinations,
)


@given(st.integers(0, 2**32 - 1))
def test_split_holds_out_whole_combinations_and_keeps_every_word_known(seed):
    seen, unseen = split_combinations(seed)
    assert sorted(seen + unseen) == sorted(combinations())
    assert len(set(unseen)) == 12 and ("purple", "star") in unseen
    for place, words in ((0, COLORS), (1, SHAPES)):
        counts = Counter(pair[place] for pair in seen)
        assert all(counts[word] >= 6 for word in words)


def test_another_seed_holds_out_other_combinations_and_the_same_seed_the_same():
    assert split_combinations(1) == split_combinations(1)
    assert split_combinations(1) != split_combinations(2)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, MOST_THINGS))
def test_things_touch_neither_each_other_nor_the_border_nor_leave_the_image(seed, count):
    scene = sample_scene(np.random.default_rng(seed), count)
    assert len(scene.things) == count
    for index, thing in enumerate(scene.things):
        for x, y in ((thing.x, thing.y), (thing.x + thing.dx, thing.y + thing.dy)):
            assert thing.radius - 1e-9 <= x <= 1 - thing.radius + 1e-9
            assert thing.radius - 1e-9 <= y <= 1 - thing.radius + 1e-9
        assert thing.dx == 0 or thing.dy == 0
        assert 0 == thing.dx == thing.dy or 0.2 <= abs(thing.dx + thing.dy) <= 1
        for other in scene.things[:index]:
            apart = math.hypot(thing.x - other.x, thing.y - other.y)
            assert apart > thing.radius + other.radius + 0.02
    assert all(0 <= part <= 0.4 for part in scene.background)
    assert max(scene.background) - min(scene.background) <= 0.1  # greyish


def test_only_the_combinations_that_are_asked_for_are_drawn():
    rng = np.random.default_rng(0)
    seen, unseen = split_combinations()
    for allowed in (seen, unseen):
        drawn = {
            (thing.color, thing.shape)
            for _ in range(600)
            for thing in sample_scene(rng, 2, allowed).things
        }
        assert drawn == set(allowed)


def test_everything_that_can_be_drawn_is_drawn_about_as_often_as_it_should():
    rng = np.random.default_rng(0)
    things = [sample_scene(rng).things[0] for _ in range(6400)]
    for pair, count in Counter((thing.color, thing.shape) for thing in things).items():
        assert 60 < count < 150, pair  # 100 expected, a spread of 10
    assert len({(thing.color, thing.shape) for thing in things}) == 64
    for size in SIZES:
        assert abs(sum(thing.size == size for thing in things) - 3200) < 200
    textures = Counter(thing.texture for thing in things)
    assert abs(textures["plain"] - 3200) < 200
    assert all(abs(textures[texture] - 1600) < 180 for texture in TEXTURES[1:])
    ways = Counter((np.sign(thing.dx), np.sign(thing.dy)) for thing in things)
    assert len(ways) == 5 and min(ways.values()) > 600
    # No fact gives another away: the size of red things, the texture of stars, the place of both.
    red = [thing for thing in things if thing.color == "red"]
    assert abs(np.mean([thing.size == "large" for thing in red]) - 0.5) < 0.1
    assert abs(np.mean([thing.x for thing in red]) - 0.5) < 0.05
    assert abs(np.mean([thing.y for thing in red]) - 0.5) < 0.05


def test_a_seed_fixes_a_scene():
    first, second, other = (sample_scene(np.random.default_rng(seed), 3) for seed in (7, 7, 8))
    assert first == second != other
    assert hash(first) == hash(second)


def test_facts_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Thing("star", "red").color = "blue"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Scene(()).things = ()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Thing("blob", "red"), "shape 'blob' is none of circle, square"),
        (lambda: Thing("star", "pink"), "color 'pink' is none of red, orange"),
        (lambda: Thing("star", "red", size="huge"), "size 'huge' is none of small, large"),
        (
            lambda: sample_scene(np.random.default_rng(0), 0),
            "things is 0 and must be",
        ),
        (
            lambda: sample_scene(np.random.default_rng(0), 6),
            "things is 6 and must be",
        ),
        (lambda: sample_scene(np.random.default_rng(0), 1, []), "0 combinations"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
