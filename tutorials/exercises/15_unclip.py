"""Exercises of lesson 15, unclip.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/15_unclip.py   its examples; silent if right
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.vectors import cosine
from scratchmm.sentences import check_number


# prior.closest: The better of two samples. 10 minutes, difficulty 2 of 5. In the lesson: "From
# words to image embeddings".
def closest(candidates: Tensor, text_embedding: Tensor) -> Tensor:
    """Of several embeddings drawn for each text, the one whose product with the text's is largest.

    The paper draws two. candidates: (B, M, E), restored; text_embedding: (B, E). Returns (B, E).
    A candidate with a nan in it is taken only where there is no other; of equal ones the first is.

    >>> drawn = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> closest(drawn, torch.tensor([[0.1, 0.9]])).tolist()
    [[0.0, 1.0]]
    """
    raise NotImplementedError(
        "prior.closest: of M embeddings drawn for each text, the one with the largest product with "
        "the text's"
    )


# interpolation.slerp: On the arc. 20 minutes, difficulty 3 of 5. In the lesson: "On the arc".
# Given:
# - check_number(name: str, value: object, *, above: float=-math.inf, least: float=-math.inf, most:
#       float=math.inf) -> None
#     Refuse what is no finite number above `above`, from `least` to `most` (ValueError).
# - cosine(x: Tensor, y: Tensor) -> Tensor
#     The cosine of the angle between x and y: (..., E), of any length: (...), float32 at least.
def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """On the arc from start to end: share 0 is start, 1 is end, and steps turn by equal angles.

    (sin((1 - share) * angle) * start + sin(share * angle) * end) / sin(angle), where angle is that
    between start and end; where it is nearly 0, or one of them is all zeros and has no direction,
    the straight line. Elsewhere a straight line would pass where no embedding lies. start, end:
    (B, E), of any length. Returns (B, E). Raises ValueError where they are opposite: there is no one
    arc between.

    >>> slerp(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 0.5)
    tensor([[0.7071, 0.7071]])
    """
    raise NotImplementedError(
        "interpolation.slerp: the vectors (B, E) at a share of the way from start to end, turning "
        "by equal angles"
    )
