"""Sentences that say where things lie: true of their scenes, often enough, in words known before."""

import re

import numpy as np
import pytest

from scratchmm.data.world.captioned import WORD, captioned, known_words, placed, places_of
from scratchmm.data.world.scenes import SHAPES, Scene, Thing, split_combinations

SIDES = {"left": ("x", -1), "right": ("x", 1), "top": ("y", -1), "bottom": ("y", 1)}


def test_the_known_words_are_those_that_a_large_training_meets() -> None:
    texts = captioned(3000, split_combinations()[0], pairs=0.5, places=0.5).texts
    alike = [("red", shape) for shape in SHAPES]  # two of one kind are rare among 52
    texts += captioned(600, alike, pairs=1.0).texts
    met = {word for text in texts for word in WORD.findall(text)}
    assert met == known_words()


def test_a_share_of_the_sentences_names_a_place_and_the_scenes_stay() -> None:
    seen = split_combinations()[0]
    plain, told = (captioned(400, seen, seed=3, places=share) for share in (0.0, 1.0))
    assert plain.scenes == told.scenes
    named = [bool(re.search("left|right|top|bottom|middle", text)) for text in told.texts]
    assert np.mean(named) > 0.75
    assert np.mean([re.search(" on the| at the", text) is not None for text in plain.texts]) < 0.12


@pytest.mark.parametrize("seed", range(3))
def test_each_named_place_is_true(seed: int) -> None:
    data = captioned(300, split_combinations()[0], seed=seed, places=1.0)
    for (thing,), text in zip((scene.things for scene in data.scenes), data.texts):
        for word in set(text.split()) & set(SIDES):
            axis, sign = SIDES[word]
            assert (getattr(thing, axis) - 0.5) * sign > 0.1, text
        assert thing.color in text and thing.shape in text
        for kind in ("small", "large", "striped", "dotted", "plain"):
            assert kind not in text or kind in (thing.size, thing.texture)


def test_each_relation_is_true_whichever_thing_comes_first() -> None:
    data = captioned(400, split_combinations()[0], seed=1, pairs=1.0, places=1.0)
    sides = {"left of": ("x", -1), "right of": ("x", 1), "above": ("y", -1), "below": ("y", 1)}
    met = set()
    for scene, text in zip(data.scenes, data.texts):
        if " and " in text or scene.things[0].color == scene.things[1].color:
            continue
        side = next((name for name in sides if name in text), None)
        if side is None:
            continue
        first, second = sorted(scene.things, key=lambda thing: text.index(thing.color))
        if text.startswith(side):  # "above a red star is a blue ring": the second is above
            first, second = second, first
        axis, sign = sides[side]
        assert (getattr(first, axis) - getattr(second, axis)) * sign > 0.1, text
        met.add((side, text.startswith(side), " is " in text))
    assert len(met) == 4 * 3  # every side in every wording


def test_nothing_is_said_where_a_person_would_hesitate() -> None:
    assert places_of(Thing("star", "red", x=0.45, y=0.58)) == []
    rng = np.random.default_rng(0)
    assert placed(Scene((Thing("star", "red", x=0.45, y=0.58),)), rng) is None
    things = Thing("star", "red", x=0.2, y=0.2), Thing("ring", "blue", x=0.8, y=0.8)
    assert placed(Scene(things), rng) is None
