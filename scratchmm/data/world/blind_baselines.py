"""Blind baselines of VQA: the accuracy of a guess from the question alone, or the image alone.

A question alone predicts its most frequent answer; an image alone predicts what is mostly asked of
it. Both are counted here from the questions themselves, for comparison with a model's accuracy.

The bias of questions was shown by Making the V in VQA Matter (arXiv 1612.00837).
**Differs from the paper:** it trains models that see no image; here the guesses are counted.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from scratchmm.data.world.captions import plural
from scratchmm.data.world.questions import OPPOSITE, Question, questions
from scratchmm.data.world.scenes import COLORS, SHAPES, Scene

Cell = tuple[str, str, str]  # (kind, form, answer)
NAMES = {*COLORS, *SHAPES, *(plural(shape) for shape in SHAPES)}


class AskedScene(NamedTuple):
    """A scene, and the one question that is asked of it."""

    scene: Scene
    question: Question


class Ceiling(NamedTuple):
    """The best accuracy, from 0 to 1, given only this input; `image` None where scenes were not given.

    majority: the same answer to all; words: the question; image: the scene without the question.
    """

    questions: int
    majority: float
    words: float
    image: float | None = None


@lru_cache(maxsize=100_000)
def cell(question: Question) -> Cell:
    """What is balanced: the kind, the form (the question without names and sides), the answer.

    >>> cell(Question("is the red ring left of the star?", "yes", "relation"))
    ('relation', 'is the * beside the *?', 'yes')
    """
    words = question.question
    for side in OPPOSITE:
        words = words.replace(side, "beside")
    parts: list[str] = []
    for word in words.split():
        name = word.rstrip("?")
        part = "*" + word[len(name) :] if name in NAMES else "a" if word == "an" else word
        if part.startswith("*") and parts and parts[-1] == "*":  # "red ring" is one name
            parts.pop()
        parts.append(part)
    return question.kind, " ".join(parts), question.answer


def blind_ceilings(
    questions: Sequence[str],
    answers: Sequence[str],
    kinds: Sequence[str],
    known: tuple[Sequence[str], Sequence[str], Sequence[str]] | None = None,
    scenes: Sequence[AskedScene] | None = None,
) -> dict[str, Ceiling]:
    """The accuracy of blind guesses, for each kind and for "all".

    The question alone: the most frequent answer to that very question, or where it never occurred,
    to its form, in `known` (questions, answers and kinds of the training set). Without `known` it
    is the set itself: an upper bound, and a loose one where most questions occur only once.

    The image alone needs the `scenes` that ask_scenes returned for the same arguments: of all
    questions that could have been asked of a scene, weighted as they were asked, the most probable
    answer. In a kind's row, majority and image are given the kind; in the row "all" they are not,
    so it lies below the mean of the rows.

    Raises ValueError if the lists differ in length or are empty.

    >>> words = ["is there a red star?"] * 3 + ["what colour is the star?"]
    >>> found = blind_ceilings(words, ["yes", "no", "yes", "red"], ["exist"] * 3 + ["attribute"])
    >>> found["all"]
    Ceiling(questions=4, majority=0.5, words=0.75, image=None)
    """
    if not len(questions) == len(answers) == len(kinds):
        lengths = f"{len(questions)} questions, {len(answers)} answers and {len(kinds)} kinds"
        raise ValueError(f"{lengths} do not belong together")
    if not questions:
        raise ValueError("there are 0 questions to guess the answers of")
    if scenes is not None and [item.question.question for item in scenes] != list(questions):
        raise ValueError(
            f"the {len(scenes)} scenes are not those of the {len(questions)} questions"
        )
    rows = [Question(*row) for row in zip(questions, answers, kinds)]
    learned = rows if known is None else [Question(*row) for row in zip(*known)]
    told = _told_by_words(rows, learned)
    found = {}
    for kind in [*dict.fromkeys(kinds), "all"]:
        which = [row for row, name in enumerate(kinds) if kind in (name, "all")]
        most = Counter(answers[row] for row in which).most_common(1)[0][1]
        seen = None if scenes is None else _told_by_image([scenes[row] for row in which])
        words = sum(told[row] for row in which) / len(which)
        found[kind] = Ceiling(len(which), most / len(which), words, seen)
    return found


def _told_by_words(rows: list[Question], learned: list[Question]) -> list[bool]:
    """Whether each answer is the most frequent one of its question, form or kind in `learned`."""
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)

    def keys(row: Question) -> list[tuple[str, ...]]:
        return [(row.kind, cell(row)[1], row.question), cell(row)[:2], (row.kind,)]

    for row in learned:
        for key in keys(row):
            counts[key][row.answer] += 1
    guesses = [next((counts[key] for key in keys(row) if key in counts), None) for row in rows]
    return [
        guess is not None and guess.most_common(1)[0][0] == row.answer
        for guess, row in zip(guesses, rows)
    ]


def _told_by_image(scenes: list[AskedScene]) -> float:
    """Accuracy of the likeliest answer given the scene, without the question."""
    kinds = {item.question.kind for item in scenes}
    asked_of = [Counter(map(cell, _answerable(item, kinds))) for item in scenes]
    names = sorted(set().union(*asked_of))
    column = {name: place for place, name in enumerate(names)}
    offered = np.zeros((len(scenes), len(names)))  # how many questions of each cell
    chosen = np.zeros(len(names))
    for row, item in enumerate(scenes):
        for name, count in asked_of[row].items():
            offered[row, column[name]] = count
        chosen[column[cell(item.question)]] += 1
    weights = np.ones(len(names))
    for _ in range(50):  # until a draw by these weights asks each cell as often as it was asked
        chances = offered * weights
        chances /= chances.sum(axis=1, keepdims=True)
        weights *= chosen / np.maximum(chances.sum(axis=0), 1e-12)
    answers = sorted({name[2] for name in names})
    joined = np.zeros((len(names), len(answers)))
    joined[range(len(names)), [answers.index(name[2]) for name in names]] = 1
    best = (chances @ joined).argmax(axis=1)
    right = [answers[place] == item.question.answer for place, item in zip(best, scenes)]
    return float(np.mean(right))


def _answerable(item: AskedScene, kinds: set[str]) -> list[Question]:
    """All questions about a scene; about absent things, one."""
    found = [question for question in questions(item.scene) if question.kind in kinds]
    missed = [question for question in found if (question.kind, question.answer) == ("exist", "no")]
    return [question for question in found if question not in missed[1:]]
