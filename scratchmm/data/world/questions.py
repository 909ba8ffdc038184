"""Questions about scenes, each with its only true answer.

Kinds follow CLEVR (Johnson et al. 2016, arXiv 1612.06890): exist, attribute, count, compare,
relation. Nothing ambiguous is asked.
"""

from collections import Counter
from itertools import combinations, permutations
from typing import NamedTuple

from scratchmm.data.world.captions import article, color_and_shape, plural, relation
from scratchmm.data.world.scenes import COLORS, SHAPES, Scene, Thing

KINDS = ("exist", "attribute", "count", "compare", "relation")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


class Question(NamedTuple):
    """A question, its answer in one word (numbers as digits), and what kind of question it is."""

    question: str
    answer: str
    kind: str


def questions(scene: Scene) -> list[Question]:
    """Every question of this module about the scene, each with its only true answer.

    >>> questions(Scene((Thing("star", "red"),)))[0]
    Question(question='is there a red star?', answer='yes', kind='exist')
    """
    asked = [*_exist(scene), *_attribute(scene), *_count(scene), *_compare(scene)]
    return list(dict.fromkeys([*asked, *_relation(scene)]))  # without repetitions, in order


def _exist(scene: Scene) -> list[Question]:
    """For each thing one question with the answer yes, and a near miss with the answer no."""
    found = []
    there = {(thing.color, thing.shape) for thing in scene.things}
    for thing in scene.things:
        found.append(Question(f"is there {article(color_and_shape(thing))}?", "yes", "exist"))
        step = int(thing.x * 10_000)  # any number that the scene settles
        for other in range(step, step + len(SHAPES)):
            miss = (thing.color, SHAPES[other % len(SHAPES)])
            if step % 2:
                miss = (COLORS[other % len(COLORS)], thing.shape)
            if miss not in there:
                found.append(Question(f"is there {article(' '.join(miss))}?", "no", "exist"))
                break
    return found


def _attribute(scene: Scene) -> list[Question]:
    """The attributes of the only thing of a shape, or of a colour."""
    found = []
    shapes = Counter(thing.shape for thing in scene.things)
    colors = Counter(thing.color for thing in scene.things)
    for thing in scene.things:
        if shapes[thing.shape] == 1:
            ring = f"the {thing.shape}"
            found.append(Question(f"what colour is {ring}?", thing.color, "attribute"))
            found.append(Question(f"what size is {ring}?", thing.size, "attribute"))
            found.append(
                Question(f"is {ring} plain, striped or dotted?", thing.texture, "attribute")
            )
        if colors[thing.color] == 1:
            question = f"what shape is the {thing.color} thing?"
            found.append(Question(question, thing.shape, "attribute"))
    return found


def _count(scene: Scene) -> list[Question]:
    found = [Question("how many things are there?", str(len(scene.things)), "count")]
    shapes = Counter(thing.shape for thing in scene.things)
    colors = Counter(thing.color for thing in scene.things)
    absent = [shape for shape in SHAPES if shape not in shapes]
    asked = [*shapes, absent[sum(shapes.values()) % len(absent)]] if absent else [*shapes]
    for shape in asked:
        found.append(Question(f"how many {plural(shape)} are there?", str(shapes[shape]), "count"))
    for color, count in colors.items():
        found.append(Question(f"how many {color} things are there?", str(count), "count"))
    return found


def _compare(scene: Scene) -> list[Question]:
    """As many of one shape as of another, or more; larger than the other."""
    found = []
    shapes = Counter(thing.shape for thing in scene.things)
    for one, other in combinations(shapes, 2):
        differ = shapes[one] != shapes[other]
        question = f"are there as many {plural(one)} as {plural(other)}?"
        found.append(Question(question, "no" if differ else "yes", "compare"))
        for more, less in ((one, other), (other, one)) if differ else ((one, other),):
            question = f"are there more {plural(more)} than {plural(less)}?"
            answer = "yes" if shapes[more] > shapes[less] else "no"
            found.append(Question(question, answer, "compare"))
    for one_thing, other_thing in permutations(scene.things, 2):
        names = _name(one_thing, scene), _name(other_thing, scene)
        if None not in names and one_thing.size != other_thing.size:
            answer = "yes" if one_thing.size == "large" else "no"
            found.append(Question(f"is {names[0]} larger than {names[1]}?", answer, "compare"))
    return found


def _relation(scene: Scene) -> list[Question]:
    """Is this left of that; and which shape is, where a single thing lies on that side."""
    found = []
    for that in scene.things:
        name = _name(that, scene)
        if name is None:
            continue
        others = [thing for thing in scene.things if thing is not that]
        sides = {id(thing): relation(thing, that) for thing in others}
        for thing in others:
            side, ring = sides[id(thing)], _name(thing, scene)
            if side is not None and ring is not None:
                found.append(Question(f"is {ring} {side} {name}?", "yes", "relation"))
                question = f"is {ring} {OPPOSITE[side]} {name}?"
                found.append(Question(question, "no", "relation"))
            if side is not None and _alone(thing, that, others):
                found.append(Question(f"which shape is {side} {name}?", thing.shape, "relation"))
                question = f"what colour is the thing {side} {name}?"
                found.append(Question(question, thing.color, "relation"))
    return found


def _alone(thing: Thing, that: Thing, others: list[Thing]) -> bool:
    """Nothing else lies even a little to that side of `that`."""
    across = relation(thing, that) in ("left of", "right of")
    sign = 1 if relation(thing, that) in ("right of", "below") else -1
    ahead = [sign * ((other.x - that.x) if across else (other.y - that.y)) for other in others]
    return sum(distance > -0.05 for distance in ahead) == 1


def _name(thing: Thing, scene: Scene) -> str | None:
    """The shortest name that fits this thing alone: "the ring", "the red ring", or None."""
    if sum(thing.shape == other.shape for other in scene.things) == 1:
        return f"the {thing.shape}"
    if sum(color_and_shape(thing) == color_and_shape(other) for other in scene.things) == 1:
        return f"the {color_and_shape(thing)}"
    return None
