"""Exercises of lesson 10, visual question answering.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/10_visual_question_answering.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scratchmm.metrics.vqa import ENOUGH, comparable


# bias.others: No sample keeps its own. 10 minutes, difficulty 2 of 5. In the lesson: "What does it
# attend to?".
def others(count: int, generator: torch.Generator) -> Tensor:
    """A random derangement, int64 (count,): a permutation in which no element keeps its position.

    All form one random cycle, and each takes the position of the next.

    >>> order = others(5, torch.Generator().manual_seed(0))
    >>> bool((order == torch.arange(5)).any()), sorted(order.tolist())
    (False, [0, 1, 2, 3, 4])
    """
    raise NotImplementedError(
        "bias.others: a random order of the samples in which each comes once and none stands in "
        "its own place"
    )


# vqa.vqa_accuracy: Three of ten are enough. 15 minutes, difficulty 2 of 5. In the lesson: "Scoring
# an answer".
# Given:
# - comparable(text: str) -> str
#     The cleaned answer, or the answer as it stands where cleaning leaves nothing of it.
def vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """Score of one answer, from 0 to 1, against what people (most often ten) answered.

    Raises ValueError below four people: with one left out, three must be left to agree.

    >>> people = ["red"] * 3 + ["orange"] * 7
    >>> round(vqa_accuracy("Red", people), 2), vqa_accuracy("orange", people)
    (0.9, 1.0)
    """
    raise NotImplementedError(
        "vqa.vqa_accuracy: min(agreeing / 3, 1), averaged over the sets that leave one person out; "
        "ValueError below 4"
    )


# test.vqa_accuracy: Write the test of the VQA accuracy. 25 minutes, difficulty 3 of 5. In the
# lesson: "Scoring an answer". Comes after vqa.vqa_accuracy. Without
# scratchmm.metrics.vqa.vqa_accuracy.
def check_accuracy(candidate: Callable[[str, list[str]], float]) -> None:
    """Raise AssertionError unless `candidate` is a right vqa_accuracy.

    candidate: a function (answer, people) -> score from 0 to 1, as the docstring of `vqa_accuracy`
    describes it. Right ones differ in how they are written, never in what they return beyond
    rounding. Work out what you expect yourself: the library's own is out of reach.

    >>> check_accuracy(lambda answer, people: people.count(answer) / len(people))
    Traceback (most recent call last):
    AssertionError: given by 4 of 10 people, an answer scores 0.4, not 1
    """
    raise NotImplementedError(
        "test.vqa_accuracy: accept every right vqa_accuracy, and reject at least 9 in 10 of the "
        "wrong ones"
    )
