"""Questions about clips, each with its only true answer, in the style of `world.questions`.

No single frame answers them: what a thing does, which way and how fast it goes, which one does it,
how many do, and which are visible at the beginning and at the end.
"""

from collections import Counter

from scratchmm.data.world.motion import Clip, Motion, speed, way
from scratchmm.data.world.questions import Question
from scratchmm.data.world.scenes import Thing

QUESTION_KINDS = ("motion", "way", "speed", "which", "count", "exist")
MOVES = ("goes", "bounces")
CHANGES = {"bounce": "bounces", "appear": "appears", "disappear": "disappears"}


def clip_questions(clip: Clip) -> list[Question]:
    """Every question of this module about the clip.

    Questions about a thing are asked only where its name is unambiguous.

    >>> from scratchmm.data.world.scenes import Scene
    >>> star = Thing("star", "red", dx=-0.15)
    >>> for question in clip_questions(Clip(Scene((star,)), (Motion("goes"),)))[:4]:
    ...     print(question.question, question.answer)
    what does the red star do? goes
    does the red star move? yes
    which way does the red star go? left
    how fast does the red star go? slowly
    """
    pairs = list(zip(clip.scene.things, clip.motions, strict=True))
    names = Counter(_name(thing) for thing, _ in pairs)
    asked = []
    for thing, motion in pairs:
        if names[_name(thing)] == 1:
            asked += _about(thing, motion)
    asked += _which("move", "moves", [thing for thing, motion in pairs if motion.kind in MOVES])
    for verb, kind in CHANGES.items():
        doing = [thing for thing, motion in pairs if motion.kind == kind]
        asked += _which(verb, kind, doing)
    return list(dict.fromkeys(asked))  # without repetitions, in order


def _name(thing: Thing) -> str:
    return f"the {thing.color} {thing.shape}"


def _about(thing: Thing, motion: Motion) -> list[Question]:
    name, kind = _name(thing), motion.kind
    found = [Question(f"what does {name} do?", kind, "motion")]
    if kind in (*MOVES, "stands"):  # of what appears one could argue
        answer = "yes" if kind in MOVES else "no"
        found.append(Question(f"does {name} move?", answer, "motion"))
    if kind == "goes":
        found.append(Question(f"which way does {name} go?", way(thing), "way"))
        found.append(Question(f"how fast does {name} go?", speed(thing), "speed"))
    if kind == "bounces":
        found.append(Question(f"which way does {name} go at first?", way(thing), "way"))
    for moment, absent in (("the beginning", "appears"), ("the end", "disappears")):
        answer = "no" if kind == absent else "yes"
        found.append(Question(f"is {name} there at {moment}?", answer, "exist"))
    return found


def _which(verb: str, verbs: str, doing: list[Thing]) -> list[Question]:
    """How many do it; and where one alone does, what it is like."""
    found = [Question(f"how many things {verb}?", str(len(doing)), "count")]
    if len(doing) == 1:
        found.append(Question(f"which shape {verbs}?", doing[0].shape, "which"))
        question = f"what colour is the thing that {verbs}?"
        found.append(Question(question, doing[0].color, "which"))
    return found
