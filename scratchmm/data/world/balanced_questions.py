"""A balanced VQA set about the world: questions drawn so that the text alone predicts little.

Unbalanced questions give the answer away: there is mostly one star, half of the things are plain,
and for a thing that was never drawn the answer is always no. Here every kind of question comes as
often as any other, every form of a kind ("what colour ...", "what size ...") as often as its other
forms, and every answer of a form as often as its other answers.

Balanced answers are the idea of Making the V in VQA Matter (arXiv 1612.00837). **Differs from the
paper:** scenes are drawn until the answers are even, instead of a second image for each question.

B questions, C channels, H and W height and width.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from torch import Tensor

from scratchmm.data.world.blind_baselines import AskedScene, Cell, cell
from scratchmm.data.world.blind_baselines import (
    blind_ceilings as blind_ceilings,  # what a guess reaches, beside the set
)
from scratchmm.data.world.captions import article
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.questions import KINDS, Question
from scratchmm.data.world.questions import questions as questions_about
from scratchmm.data.world.scenes import MOST_THINGS, Combination, Scene, sample_scene
from scratchmm.data.world.scenes import combinations as every_combination
from scratchmm.sentences import check_count

PROBE = 600  # scenes sampled, at least, to find which questions there can be
PATIENCE = 10  # scenes drawn for each question wanted, before a rare answer is given up
NEAR = 0.75  # share of the things asked for in vain that are nearly there


class Asked(NamedTuple):
    """Images float32 (B, 3, H, W) in [-1, 1], with a question, its answer and kind for each."""

    images: Tensor
    questions: list[str]
    answers: list[str]
    kinds: list[str]


def asked(
    count: int,
    seed: int = 0,
    combinations: list[Combination] | None = None,
    things: tuple[int, int] = (1, 3),
    size: int = 32,
    kinds: Sequence[str] = KINDS,
) -> Asked:
    """Draw `count` images, each with one question about it, as `ask_scenes` samples them.

    Answers are one word, numbers are digits. The same arguments give the same set.

    >>> images, questions, answers, kinds = asked(50, size=16)
    >>> images.shape, kinds.count("relation"), sorted(set(kinds))
    (torch.Size([50, 3, 16, 16]), 10, ['attribute', 'compare', 'count', 'exist', 'relation'])
    """
    found = ask_scenes(count, seed, combinations, things, kinds)
    texts, answers, names = (list(column) for column in zip(*(item.question for item in found)))
    return Asked(draw_many([item.scene for item in found], size), texts, answers, names)


def ask_scenes(
    count: int,
    seed: int = 0,
    combinations: list[Combination] | None = None,
    things: tuple[int, int] = (1, 3),
    kinds: Sequence[str] = KINDS,
) -> list[AskedScene]:
    """Scenes of `things[0]` to `things[1]` things with a balanced question each, in random order.

    Things, and what is asked for in vain, come from `combinations` (color, shape), all 64 by
    default: a colour and shape held out are neither seen nor named together.

    Raises ValueError on counts below 1, on kinds that are none of KINDS, and on kinds that such
    scenes hold no question of (one thing alone lies beside nothing).

    >>> ask_scenes(2, things=(1, 1), kinds=["relation"])
    Traceback (most recent call last):
    ...
    ValueError: scenes of 1 to 1 things hold no question of kind relation
    """
    _check(count, things, kinds)
    rng = np.random.default_rng(seed)
    allowed = every_combination() if combinations is None else combinations
    first = [_candidates(rng, allowed, things, kinds) for _ in range(max(count, PROBE))]
    cells = sorted({cell(question) for _, candidates in first for question in candidates})
    for kind in kinds:
        if kind not in {name for name, _, _ in cells}:
            lone = f"scenes of {things[0]} to {things[1]} things"
            raise ValueError(f"{lone} hold no question of kind {kind}")
    found: list[AskedScene] = []
    while len(found) < count:
        mixed = [cells[row] for row in rng.permutation(len(cells))]  # remainders go to random cells
        wanted = share_out(count - len(found), mixed)
        more = (_candidates(rng, allowed, things, kinds) for _ in range(PATIENCE * count + PROBE))
        found += _choose(rng, wanted, chain(first, more))
        first = []  # a scene is asked about once
        cells = [name for name in cells if not wanted[name]]  # the others are too rare
    return [found[row] for row in rng.permutation(count)]


def _check(count: int, things: tuple[int, int], kinds: Sequence[str]) -> None:
    check_count("count", count)
    if not 1 <= things[0] <= things[1] <= MOST_THINGS:
        raise ValueError(
            f"things from {things[0]} to {things[1]} is no range in 1 to {MOST_THINGS}"
        )
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS)}")
    if len(set(kinds)) < max(1, len(kinds)):
        raise ValueError(f"{len(kinds)} kinds are asked for, but {len(set(kinds))} different ones")


def share_out(count: int, cells: Iterable[Cell]) -> Counter[Cell]:
    """How many questions of each cell make `count`: even over kinds, then forms, then answers.

    >>> cells = [("a", "f", "yes"), ("a", "f", "no"), ("b", "g", "1"), ("b", "h", "2")]
    >>> share_out(6, cells) == {cells[0]: 2, cells[1]: 1, cells[2]: 2, cells[3]: 1}
    True
    """
    shares: Counter[Cell] = Counter()
    tree: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for name in cells:
        tree[name[0]][name[1]].append(name)
    for kind, forms in zip(tree.values(), _even(count, len(tree))):
        for members, answers in zip(kind.values(), _even(forms, len(kind))):
            shares.update(dict(zip(members, _even(answers, len(members)))))
    return shares


def _even(count: int, parts: int) -> list[int]:
    """`count` in as many parts, the first of them larger by one where it does not go up."""
    return [count // parts + (part < count % parts) for part in range(parts)]


def _candidates(
    rng: np.random.Generator,
    allowed: list[Combination],
    things: tuple[int, int],
    kinds: Sequence[str],
) -> tuple[Scene, list[Question]]:
    """A scene and all questions about it. Half of the scenes repeat a shape or a colour."""
    few = allowed
    if allowed and rng.random() < 0.5:  # else three of a kind would hardly ever be counted
        part = int(rng.integers(2))  # of a combination: 0 colour, 1 shape
        names = sorted({pair[part] for pair in allowed})
        kept = rng.choice(names, size=min(len(names), int(rng.integers(1, 3))), replace=False)
        few = [pair for pair in allowed if pair[part] in kept]
    scene = sample_scene(rng, int(rng.integers(things[0], things[1] + 1)), few)
    found = [q for q in questions_about(scene) if q.kind in kinds and (q.kind, q.answer) != MISSED]
    if "exist" in kinds and (missed := _miss(rng, scene, allowed)):
        found.append(Question(f"is there {article(' '.join(missed))}?", "no", "exist"))
    return scene, found


MISSED = ("exist", "no")  # asked by _miss, which keeps to the allowed combinations


def _miss(rng: np.random.Generator, scene: Scene, allowed: list[Combination]) -> Combination | None:
    """An allowed colour and shape that is not there; most often one of the two is."""
    there = {(thing.color, thing.shape) for thing in scene.things}
    colors, shapes = ({pair[part] for pair in there} for part in (0, 1))
    absent = [pair for pair in allowed if pair not in there]
    near = [pair for pair in absent if pair[0] in colors or pair[1] in shapes]
    some = near if near and rng.random() < NEAR else absent
    return some[int(rng.integers(len(some)))] if some else None


def _choose(
    rng: np.random.Generator, wanted: Counter[Cell], scenes: Iterable[tuple[Scene, list[Question]]]
) -> list[AskedScene]:
    """Give each scene the question most lacking in proportion; counts `wanted` down towards 0."""
    whole = dict(wanted)
    missing = sum(whole.values())
    found: list[AskedScene] = []
    for scene, candidates in scenes:
        if len(found) == missing:
            break
        open_ = [(wanted[name] / whole[name], q) for q in candidates if wanted[name := cell(q)]]
        if not open_:
            continue
        most = max(open_)[0]
        best = [question for share, question in open_ if share == most]
        question = best[int(rng.integers(len(best)))]
        wanted[cell(question)] -= 1
        found.append(AskedScene(scene, question))
    return found
