"""Scenes in words: several true sentences about a scene, and questions with their only answer.

Everything said here can be checked in the picture of the scene. Where a person could hesitate (is
a thing that is a little lower and a little further left "left of" the other?) nothing is said and
nothing is asked.

Kinds of question follow CLEVR (arXiv 1612.06890): exist, attribute, count, compare, relation.
"""

from collections import Counter
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np

from scratchmm.data.world import COLORS, SHAPES, Scene, Thing

KINDS = ("exist", "attribute", "count", "compare", "relation")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


class Question(NamedTuple):
    """A question, its answer in one word (numbers as digits), and what kind of question it is."""

    question: str
    answer: str
    kind: str


def describe(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """One true sentence: the plainest, or one that `rng` picks among all wordings.

    >>> describe(Scene((Thing("star", "orange", "small"),)))
    'an orange star'
    """
    sentences = wordings(scene)
    return sentences[0 if rng is None else int(rng.integers(len(sentences)))]


def wordings(scene: Scene) -> list[str]:
    """Every sentence this module knows to be true of the scene, the plainest first.

    >>> wordings(Scene((Thing("star", "red"), Thing("ring", "blue", y=0.9))))[:3]
    ['a red star and a blue ring', 'a large red star and a large blue ring', 'two things: a red star \
and a blue ring']
    """
    if not scene.things:
        return ["an empty picture"]
    if len(scene.things) == 1:
        return _wordings_of_one(scene.things[0])
    plain, sized = (_listed([name(thing) for thing in scene.things]) for name in (_plain, _sized))
    count = f"{NUMBERS[len(scene.things)]} things" if len(scene.things) < len(NUMBERS) else "things"
    sentences = [plain, sized, f"{count}: {plain}", f"there is {plain}"]
    if plain.startswith(NUMBERS[2:]):
        sentences[3] = f"there are {plain}"
    for one, other in permutations(scene.things, 2):
        side = relation(one, other)
        if side is not None:
            sentences.append(f"{article(_plain(one))} {side} {article(_plain(other))}")
            sentences.append(f"{article(_sized(one))} {side} {article(_plain(other))}")
            sentences.append(f"{side} {article(_plain(other))} is {article(_plain(one))}")
    return sentences


def relation(one: Thing, other: Thing) -> str | None:
    """Where `one` lies as seen from `other`, or None where it could be argued about.

    >>> relation(Thing("ring", "red", x=0.2), Thing("star", "blue", x=0.8))
    'left of'
    """
    across, down = one.x - other.x, one.y - other.y
    far, near = max(abs(across), abs(down)), min(abs(across), abs(down))
    if far < 0.1 or far < 1.2 * near:  # too close to each other, or to the diagonal
        return None
    if abs(across) > abs(down):
        return "left of" if across < 0 else "right of"
    return "above" if down < 0 else "below"


def article(words: str) -> str:
    """Put "a" or "an" before words.

    >>> article("orange star"), article("red star")
    ('an orange star', 'a red star')
    """
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(shape: str, count: int = 2) -> str:
    """The shape's name for so many of them.

    >>> plural("cross"), plural("star", 1)
    ('crosses', 'star')
    """
    return shape if count == 1 else shape + ("es" if shape.endswith("s") else "s")


def _plain(thing: Thing) -> str:
    return f"{thing.color} {thing.shape}"


def _sized(thing: Thing) -> str:
    return f"{thing.size} {thing.color} {thing.shape}"


def _full(thing: Thing) -> str:
    return f"{thing.size} {thing.texture} {thing.color} {thing.shape}"


def _wordings_of_one(thing: Thing) -> list[str]:
    plain, color, shape = article(_plain(thing)), thing.color, thing.shape
    sentences = [
        plain,
        f"there is {plain}",
        f"{article(shape)} that is {color}",
        f"{article(shape)} in {color}",
        f"the {shape} is {color}",
        f"this is {plain}",
        article(_sized(thing)),
        f"there is {plain}, {thing.size}",
        f"{article(shape)} that is {thing.size} and {color}",
        article(_full(thing)),
        f"{article(thing.texture)} {_plain(thing)}",
        f"{article(_sized(thing))} that is {thing.texture}",
    ]
    sides = (("on the left", 0.5 - thing.x), ("on the right", thing.x - 0.5))
    heights = (("at the top", 0.5 - thing.y), ("at the bottom", thing.y - 0.5))
    for place, far in sides + heights:
        if far > 0.1:
            sentences.append(f"{plain} {place}")
    return sentences


def _listed(names: list[str]) -> str:
    """ "a red ring, two blue stars and a green cross", in the order of first mention."""
    parts = []
    for name, count in Counter(names).items():
        rest, shape = name.rsplit(" ", 1)
        many = f"{NUMBERS[count]} {rest} {plural(shape)}" if count < len(NUMBERS) else ""
        parts.append(article(name) if count == 1 else many or f"many {rest} {plural(shape)}")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def questions(scene: Scene) -> list[Question]:
    """Every question this module knows to ask about the scene, each with its only true answer.

    >>> questions(Scene((Thing("star", "red"),)))[0]
    Question(question='is there a red star?', answer='yes', kind='exist')
    """
    asked = [*_exist(scene), *_attribute(scene), *_count(scene), *_compare(scene)]
    return list(dict.fromkeys([*asked, *_relation(scene)]))  # without repetitions, in order


def _exist(scene: Scene) -> list[Question]:
    """For each thing one question to say yes to, and a near miss to say no to."""
    found = []
    there = {(thing.color, thing.shape) for thing in scene.things}
    for thing in scene.things:
        found.append(Question(f"is there {article(_plain(thing))}?", "yes", "exist"))
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
    """Ask what the only thing of a shape, or of a colour, is like."""
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
    if sum(_plain(thing) == _plain(other) for other in scene.things) == 1:
        return f"the {_plain(thing)}"
    return None
