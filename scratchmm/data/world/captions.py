"""Captions of scenes: several true sentences about each.

Every caption can be verified in the image of the scene. What is ambiguous (is a thing that is a
little lower and a little further left "left of" the other?) is in no caption.
"""

from collections import Counter
from itertools import permutations

import numpy as np

from scratchmm.data.world.scenes import Scene, Thing

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


def describe(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """One true sentence: the plainest, or one that `rng` picks among all wordings.

    >>> describe(Scene((Thing("star", "orange", "small"),)))
    'an orange star'
    """
    sentences = wordings(scene)
    return sentences[0 if rng is None else int(rng.integers(len(sentences)))]


def wordings(scene: Scene) -> list[str]:
    """Every caption of this module that is true of the scene, the plainest first.

    >>> wordings(Scene((Thing("star", "red"), Thing("ring", "blue", y=0.9))))[:3]
    ['a red star and a blue ring', 'a large red star and a large blue ring', 'two things: a red star \
and a blue ring']
    """
    if not scene.things:
        return ["an empty picture"]
    if len(scene.things) == 1:
        return _wordings_of_one(scene.things[0])
    plain = _listed([color_and_shape(thing) for thing in scene.things])
    sized = _listed([_sized(thing) for thing in scene.things])
    count = f"{NUMBERS[len(scene.things)]} things" if len(scene.things) < len(NUMBERS) else "things"
    sentences = [plain, sized, f"{count}: {plain}", f"there is {plain}"]
    if plain.startswith(NUMBERS[2:]):
        sentences[3] = f"there are {plain}"
    for one, other in permutations(scene.things, 2):
        side = relation(one, other)
        if side is not None:
            first, second = article(color_and_shape(one)), article(color_and_shape(other))
            sentences.append(f"{first} {side} {second}")
            sentences.append(f"{article(_sized(one))} {side} {second}")
            sentences.append(f"{side} {second} is {first}")
    return sentences


def relation(one: Thing, other: Thing) -> str | None:
    """The relation of `one` to `other`, such as "left of", or None where it is ambiguous.

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


def color_and_shape(thing: Thing) -> str:
    """The shortest name of a thing.

    >>> color_and_shape(Thing("star", "red"))
    'red star'
    """
    return f"{thing.color} {thing.shape}"


def _sized(thing: Thing) -> str:
    return f"{thing.size} {thing.color} {thing.shape}"


def _full(thing: Thing) -> str:
    return f"{thing.size} {thing.texture} {thing.color} {thing.shape}"


def _wordings_of_one(thing: Thing) -> list[str]:
    plain, color, shape = article(color_and_shape(thing)), thing.color, thing.shape
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
        f"{article(thing.texture)} {color_and_shape(thing)}",
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
