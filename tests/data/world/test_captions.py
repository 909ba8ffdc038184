"""Every sentence and every answer is read again by a second, slower reader, and checked.

`read` and `answer` below know nothing of how `wording` finds its sentences: they take the words
apart and look through all things. `look` finds things in the pixels of the drawn image alone.
"""

import re
from collections import Counter

import numpy as np
import pytest
import torch

from scratchmm.data.world.captions import describe, relation, wordings
from scratchmm.data.world.images import PAINT, draw
from scratchmm.data.world.questions import KINDS, questions
from scratchmm.data.world.scenes import COLORS, SHAPES, SIZES, TEXTURES, Scene, Thing, sample_scene

ONE_OF = {"shape": SHAPES, "color": COLORS, "size": SIZES, "texture": TEXTURES}
SIDE = "left of|right of|above|below"
NUMBER = {"no": 0, "a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5}


def scenes(counts=(1, 2, 3, 4, 5), each=40, few=False):
    rng = np.random.default_rng(0)
    kinds = [("red", "ring"), ("red", "star"), ("blue", "ring")] if few else None
    return [sample_scene(rng, count, kinds) for count in counts for _ in range(each)]


EVERY = scenes() + scenes(few=True, each=20)  # the second half is full of repetitions


def facts(words):
    """{"color": "red", "shape": "ring"} from "the red rings"; fails at a word it does not know."""
    assert re.fullmatch("[a-z]+( [a-z]+)*", words), words
    found = {}
    for word in words.split():
        if word in ("a", "an", "the", "thing", "things"):
            continue
        singular = {"crosses": "cross"}.get(
            word, word.removesuffix("s") if word != "cross" else word
        )
        kind = [kind for kind, known in ONE_OF.items() if word in known or singular in known]
        assert kind, f"{word!r} in {words!r}"
        assert kind[0] not in found
        found[kind[0]] = word if word in ONE_OF[kind[0]] else singular
    return found


def those(scene, words):
    return [
        thing
        for thing in scene.things
        if all(getattr(thing, kind) == value for kind, value in facts(words).items())
    ]


def lies(one, side, other):
    """Clearly on that side: further along that axis than along the other."""
    across, down = one.x - other.x, one.y - other.y
    along, beside = {
        "left of": (-across, down),
        "right of": (across, down),
        "above": (-down, across),
        "below": (down, across),
    }[side]
    return along > 0.1 and along > 1.05 * abs(beside)


def true(scene, sentence):
    """Is the sentence true of the scene? Fails at a sentence it cannot take apart."""
    if found := re.fullmatch(f"(.+) ({SIDE}) (.+)", sentence):
        one, side, other = found.groups()
        pairs = [(a, b) for a in those(scene, one) for b in those(scene, other) if a is not b]
        return any(lies(a, side, b) for a, b in pairs)
    if found := re.fullmatch(f"({SIDE}) (.+) is (.+)", sentence):
        side, other, one = found.groups()
        return true(scene, f"{one} {side} {other}")
    if found := re.fullmatch(r"(\w+) things: (.+)", sentence):
        known = dict(NUMBER, one=1)
        return known[found[1]] == len(scene.things) and true(scene, found[2])
    sentence = re.sub("^there (is|are) |^this is ", "", sentence)
    place = re.search("(?: on the (left|right)| at the (top|bottom))$", sentence)
    sentence = re.sub(" (on|at) the (left|right|top|bottom)$", "", sentence)
    sentence = re.sub(" that is | in | is |, (?=small$|large$)", " ", sentence)
    listed = re.split(", | and (?=a |an |two |three |four |five )", sentence)
    counted = Counter()
    for part in listed:
        part = part.replace(" and ", " ")
        number, rest = part.split(" ", 1)
        if number == "the":
            number = "a"
        matching = those(scene, rest)
        if len(matching) != NUMBER[number] and len(listed) + len(scene.things) > 2:
            return False
        if not matching:
            return False
        counted.update(id(thing) for thing in matching)
    if len(counted) != len(scene.things) or max(counted.values()) > 1:
        return False
    if place:
        thing = scene.things[0]
        test = {"left": thing.x < 0.4, "right": thing.x > 0.6}
        return (test | {"top": thing.y < 0.4, "bottom": thing.y > 0.6})[place[1] or place[2]]
    return True


def only(scene, words):
    found = those(scene, words)
    assert len(found) == 1, f"{words!r} names {len(found)} things"
    return found[0]


def answer(scene, question):
    """The answer, found by looking at every thing; fails where the question is ambiguous."""
    assert question.endswith("?")
    text = question.removesuffix("?")
    if found := re.fullmatch("is there (.+)", text):
        return "yes" if those(scene, found[1]) else "no"
    if found := re.fullmatch("how many (.+) are there", text):
        return str(len(those(scene, found[1])))
    if found := re.fullmatch("are there more (.+) than (.+)", text):
        return "yes" if len(those(scene, found[1])) > len(those(scene, found[2])) else "no"
    if found := re.fullmatch("are there as many (.+) as (.+)", text):
        return "yes" if len(those(scene, found[1])) == len(those(scene, found[2])) else "no"
    if found := re.fullmatch("is (.+) larger than (.+)", text):
        one, other = only(scene, found[1]), only(scene, found[2])
        assert one.radius != other.radius
        return "yes" if one.radius > other.radius else "no"
    if found := re.fullmatch(f"is (.+) ({SIDE}) (.+)", text):
        one, side, other = only(scene, found[1]), found[2], only(scene, found[3])
        back = {"left of": "right of", "above": "below"}
        back |= {there: here for here, there in back.items()}
        assert lies(one, side, other) or lies(one, back[side], other), "arguable"
        return "yes" if lies(one, side, other) else "no"
    if found := re.fullmatch(
        f"(?:which (shape)|what (colour) is the thing|) ?(?:is )?({SIDE}) (.+)", text
    ):
        other, side = only(scene, found[4]), found[3]
        sign = {"left of": -1, "right of": 1, "above": -1, "below": 1}[side]
        axis = "x" if side in ("left of", "right of") else "y"
        beyond = [
            thing
            for thing in scene.things
            if thing is not other and sign * (getattr(thing, axis) - getattr(other, axis)) > -0.04
        ]
        assert len(beyond) == 1 and lies(beyond[0], side, other), "more than one could be meant"
        return beyond[0].shape if found[1] else beyond[0].color
    if found := re.fullmatch("what (colour|size|shape) is (.+)", text):
        return getattr(only(scene, found[2]), {"colour": "color"}.get(found[1], found[1]))
    if found := re.fullmatch("is (.+) plain, striped or dotted", text):
        return only(scene, found[1]).texture
    raise AssertionError(f"cannot read {question!r}")


def look(image):
    """(color, x, y) of every patch in the image that differs from its corner."""
    size = image.shape[-1]
    light = (image + 1) / 2
    front = ((light - light[:, :1, :1]).abs().max(0).values > 0.02).tolist()
    found = []
    for row in range(size):
        for column in range(size):
            if not front[row][column]:
                continue
            patch, open_ends = [], [(row, column)]
            front[row][column] = False
            while open_ends:
                y, x = open_ends.pop()
                patch.append((y, x))
                for below, right in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                    if 0 <= below < size and 0 <= right < size and front[below][right]:
                        front[below][right] = False
                        open_ends.append((below, right))
            if len(patch) < 12:  # the shaded tip of a star
                continue
            rows, columns = torch.tensor(patch).T
            pixels = light[:, rows, columns]
            brightest = pixels[:, pixels.sum(0).argmax()]
            far = [(brightest - torch.tensor(PAINT[color])).norm() for color in COLORS]
            x, y = ((rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2)[::-1]
            found.append((COLORS[int(torch.stack(far).argmin())], float(x) / size, float(y) / size))
    return found


def test_every_sentence_is_true():
    for scene in EVERY:
        for sentence in wordings(scene):
            assert true(scene, sentence), (sentence, scene)
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", sentence), sentence


def test_the_second_reader_would_notice_a_lie():
    scene = Scene((Thing("ring", "red", "small", x=0.2), Thing("star", "blue", x=0.8)))
    for lie in (
        "a red ring right of a blue star",
        "a large red ring left of a blue star",
        "three things: a red ring and a blue star",
        "a red ring and a blue ring",
        "two red rings and a blue star",
        "below a blue star is a red ring",
    ):
        assert not true(scene, lie), lie
    assert not true(Scene(scene.things[:1]), "a red ring on the right")
    assert not true(Scene(scene.things[:1]), "a ring that is small and blue")


def test_there_are_several_wordings_and_the_first_is_the_plainest():
    for scene in EVERY:
        sentences = wordings(scene)
        assert len(set(sentences)) == len(sentences) or len(scene.things) > 1
        assert len(set(sentences)) >= 4
        if len(scene.things) == 1:
            thing = scene.things[0]
            assert len(sentences) >= 10
            assert sentences[0].split(" ", 1)[1] == f"{thing.color} {thing.shape}"
            assert all(thing.color in each and thing.shape in each for each in sentences)
        assert describe(scene) == sentences[0]


def test_two_things_that_lie_side_by_side_are_told_so():
    scene = Scene((Thing("ring", "red", "small", x=0.2), Thing("star", "blue", x=0.8)))
    assert "a small red ring left of a blue star" in wordings(scene)
    assert "a blue star right of a red ring" in wordings(scene)
    assert "left of a blue star is a red ring" in wordings(scene)
    assert not any("above" in sentence or "below" in sentence for sentence in wordings(scene))


@pytest.mark.parametrize(("x", "y"), [(0.7, 0.7), (0.72, 0.7), (0.55, 0.45)])
def test_nothing_is_said_about_what_could_be_argued(x, y):
    one, other = Thing("ring", "red", x=0.5, y=0.5), Thing("star", "blue", x=x, y=y)
    assert relation(one, other) is relation(other, one) is None


def test_a_generator_picks_every_wording_sooner_or_later():
    scene, rng = EVERY[0], np.random.default_rng(0)
    assert {describe(scene, rng) for _ in range(400)} == set(wordings(scene))


def test_every_answer_is_what_a_second_reader_finds():
    kinds, starts = Counter(), Counter()
    for scene in EVERY:
        asked = questions(scene)
        assert len({question.question for question in asked}) == len(asked)  # no two answers
        for question in asked:
            assert question.answer == answer(scene, question.question), (question, scene)
            kinds[question.kind, question.answer in ("yes", "no")] += 1
            starts[re.sub(" (" + "|".join(SHAPES + COLORS) + ")(e?s)?", "", question.question)] += 1
    assert {kind for kind, _ in kinds} == set(KINDS)
    for phrase in (
        "is there a?",
        "how many things are there?",
        "how many are there?",
        "are there more than?",
        "are there as many as?",
        "is the larger than the?",
        "is the below the?",
        "which shape is left of the?",
        "what colour is the thing above the?",
        "what colour is the?",
        "what size is the?",
        "what shape is the thing?",
        "is the plain, striped or dotted?",
    ):
        assert starts[phrase] > 10, phrase


def test_words_alone_do_not_give_the_answer_away():
    answers = {}
    for scene in EVERY[:200]:
        for question in questions(scene):
            answers.setdefault(question.kind, Counter())[question.answer] += 1
    assert 0.45 < answers["exist"]["yes"] / answers["exist"].total() < 0.65
    assert answers["relation"]["yes"] == answers["relation"]["no"]
    assert 0.35 < answers["compare"]["yes"] / answers["compare"].total() < 0.65
    refused = {
        question for scene in EVERY[:60] for question, no, _ in questions(scene) if no == "no"
    }
    assert len(refused) > 30  # near misses of all sorts
    asked = {question for scene in EVERY for question, *_ in questions(scene)}
    for color in COLORS:
        for shape in ("star", "ring"):
            assert any(f" {color} {shape}?" in question for question in asked)


def test_the_image_agrees_with_counts_colours_and_relations():
    checked = Counter()
    for scene in EVERY[:160:3]:
        seen = look(draw(scene, 96))
        colors = Counter(color for color, *_ in seen)
        for question, expected, _ in questions(scene):
            if question == "how many things are there?":
                assert int(expected) == len(seen), scene
                checked["things"] += 1
            elif found := re.fullmatch(r"how many (\w+) things are there\?", question):
                assert int(expected) == colors[found[1]], (question, scene)
                checked["colors"] += 1
        for sentence in wordings(scene):
            found = re.fullmatch(rf"an? (\w+) \w+ ({SIDE}) an? (\w+) \w+", sentence)
            if found and colors[found[1]] == colors[found[3]] == 1 and found[1] != found[3]:
                place = {color: (x, y) for color, x, y in seen}
                (ax, ay), (bx, by) = place[found[1]], place[found[3]]
                test = {"left of": ax < bx, "right of": ax > bx, "above": ay < by, "below": ay > by}
                assert test[found[2]], (sentence, scene)
                checked["relations"] += 1
    assert min(checked[kind] for kind in ("things", "colors", "relations")) > 50


def test_an_empty_scene_can_be_told_and_asked_about():
    assert wordings(Scene(())) == ["an empty picture"]
    assert all(answer(Scene(()), each.question) == each.answer for each in questions(Scene(())))


def test_more_things_than_have_a_number_are_many():
    crowd = Scene(tuple(Thing("cross", "red", "small", x=i / 9) for i in range(9)))
    assert wordings(crowd)[0] == "many red crosses"
    assert wordings(Scene(crowd.things[:3]))[3] == "there are three red crosses"
