"""Exercises of lesson 06, zero shot and retrieval.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/06_zero_shot_and_retrieval.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.contrastive.retrieval import Neighbours, check_search, first_best
from scratchmm.contrastive.zero_shot import TEMPLATES
from scratchmm.metrics.recall import MOST
from scratchmm.sentences import check_count


# zero_shot.class_embeddings: A classifier made of sentences. 15 minutes, difficulty 2 of 5. In the
# lesson: "A classifier made of text embeddings".
def class_embeddings(
    encode_texts: Callable[[list[str]], Tensor],
    names: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
) -> Tensor:
    """One unit vector a class: the mean of its prompts' unit vectors, made unit length again.

    encode_texts: a list of P sentences to unit vectors (P, E), such as
    `lambda texts: clip.encode_text(tokenizer.batch(texts, length)[0])`; names: K class names;
    templates: sentences with a {} for the name. Returns (K, E). A template without {} is refused
    (ValueError), and so are no names or no templates.

    >>> def encode_texts(texts):
    ...     return torch.nn.functional.one_hot(torch.tensor([len(t) for t in texts]), 9).float()
    >>> class_embeddings(encode_texts, ["cat", "horse"], ["{}"]).argmax(dim=-1).tolist()
    [3, 5]
    """
    raise NotImplementedError(
        "zero_shot.class_embeddings: a unit vector a class: the mean of the unit vectors of its "
        "prompts, made unit length again"
    )


# zero_shot.zero_shot: Zero-shot probabilities. 10 minutes, difficulty 1 of 5. In the lesson: "From
# similarity to probability". Comes after zero_shot.class_embeddings.
def zero_shot(image_embeddings: Tensor, classes: Tensor, scale: Tensor | float = 100.0) -> Tensor:
    """The probability of each class for each image: softmax(scale * image . class) over classes.

    image_embeddings: unit vectors (B, E); classes: unit vectors (K, E), from `class_embeddings`;
    scale: the model's, 1 / temperature. Returns (B, K).

    >>> zero_shot(torch.eye(2), torch.eye(2)).round().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    raise NotImplementedError(
        "zero_shot.zero_shot: softmax over the classes of scale * image . class"
    )


# recall.recall_at_k: Recall@k. 20 minutes, difficulty 3 of 5. In the lesson: "Recall at k".
# Given:
# - check_count(name: str, value: object, *, least: int=1, most: int=MOST) -> None
#     Refuse what is no whole number from `least` to `most`; a bool is none, nor is 2.0
#     (ValueError).
def recall_at_k(similarity: Tensor, k: int, relevant: Tensor | None = None) -> float:
    """The share of queries with a right answer among their k most similar, from 0 to 1.

    similarity: (Q, G), a row a query; relevant: bool (Q, G), True where an answer is right, or None
    where answer i alone is right for query i (then Q = G). A wrong answer that ties with the best
    right one counts as ranked before it, so that a model with constant similarities scores 0.
    A query without any right answer is never a success. k below 1 is refused (ValueError), and so are
    no queries or answers, similarities that are nan or whole numbers, a `relevant` that is not bool, and
    unequal numbers of queries and answers without it.

    >>> similarity = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.7, 0.0], [0.1, 0.1, 0.1]])
    >>> recall_at_k(similarity, k=1), recall_at_k(similarity, k=3)
    (0.3333333333333333, 1.0)
    """
    raise NotImplementedError(
        "recall.recall_at_k: the share of queries with a right answer among their k most similar; "
        "ties count against"
    )


# retrieval.top_k: Search in blocks. 25 minutes, difficulty 3 of 5. In the lesson: "Search in a
# gallery too large for one matrix".
# Given:
# - Neighbours(scores: Tensor, indices: Tensor)
#     The best answers to each query, best first.
# - check_search(queries: Tensor, gallery: Tensor, k: int, block: int) -> None
#     Refuse a search that can't be made, or whose queries have no neighbours.
# - first_best(scores: Tensor, k: int) -> Tensor
#     The places int64 (Q, k) of the k largest of scores (Q, G), of equal ones the first, in order.
def top_k(queries: Tensor, gallery: Tensor, k: int, block: int = 4096) -> Neighbours:
    """The k rows of the gallery most similar to each query, by dot product, best first.

    queries: (Q, E); gallery: (G, E); both unit length for cosine similarity. The gallery is read in
    blocks, and the best so far compete with each new block: memory grows with Q * (block + k), not
    with Q * G. Of equal scores the lowest row comes first, whatever the block. Half precision is
    ranked in float32, before the scores are rounded to it.

    A row of the gallery with a nan in it is nobody's neighbour: it comes last, with the score -inf.
    Refused (ValueError): k below 1 or above G, a block below 1, queries and gallery of different
    widths or of whole numbers, and queries that are not finite numbers, which have no neighbours.

    >>> best = top_k(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8], [1.0, 0.0]]), k=1)
    >>> best.indices.tolist()
    [[1]]
    """
    raise NotImplementedError(
        "retrieval.top_k: the k best rows of the gallery for each query, the gallery read in blocks"
    )
