"""Exercises of lesson 05, clip.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/05_clip.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.contrastive.two_tower import TwoTowerOutput, check_towers


# loss.contrastive_loss: The contrastive loss. 20 minutes, difficulty 2 of 5. In the lesson: "The
# loss on a 4x4 example".
def contrastive_loss(
    image_embeddings: Tensor, text_embeddings: Tensor, scale: Tensor | float
) -> Tensor:
    """Mean of two cross-entropies over the similarity matrix: along its rows and its columns.

    logits_ij = scale * image_i . text_j;  loss = (CE(logits, i) + CE(logits^T, i)) / 2, where pair i
    is the right answer for row i. image_embeddings, text_embeddings: (B, D), unit length, row i of
    one belonging to row i of the other; scale: 1 / temperature. Returns a scalar; when everything
    looks alike it is log B. Shapes that differ are refused (ValueError).

    >>> same = torch.ones(3, 1)
    >>> contrastive_loss(same, same, scale=10.0).exp().round().item()
    3.0
    """
    raise NotImplementedError(
        "loss.contrastive_loss: cross-entropy over the rows and over the columns of scale * image "
        "text^T, and their mean"
    )


# test.contrastive_loss: Write the test of the contrastive loss. 30 minutes, difficulty 3 of 5. In
# the lesson: "What a test of the loss must catch". Comes after loss.contrastive_loss. Without
# scratchmm.contrastive.loss.contrastive_loss.
def check_loss(candidate: Callable[..., Tensor]) -> None:
    """Raise AssertionError unless `candidate` is a right contrastive_loss.

    candidate: a function (image_embeddings, text_embeddings, scale) -> scalar, as the docstring of
    `contrastive_loss` describes it. Right ones differ in how they are written, never in what they
    return beyond rounding. Compute what you expect yourself: the library's own is out of reach.

    >>> check_loss(lambda image_embeddings, text_embeddings, scale: torch.tensor(0.0))
    Traceback (most recent call last):
    AssertionError: the loss of pairs that are all the same is 0, not log 5
    """
    raise NotImplementedError(
        "test.contrastive_loss: accept every right contrastive_loss, and reject at least 9 in 10 "
        "of the wrong ones"
    )


# two_tower.LogitScale: A temperature that learns. 15 minutes, difficulty 2 of 5. In the lesson:
# "The temperature".
class LogitScale(nn.Module):
    """The learned scale that cosine similarities are multiplied by: 1 / temperature, at most 100.

    It is learned as a logarithm, so that steps are relative. Above the limit the value is held but
    the gradient still flows, so that an overshot scale comes back. No log_scale is so large that exp
    overflows: the logarithm is held, not the scale.

    >>> round(LogitScale(initial=0.07)().item(), 2)
    14.29
    """

    def __init__(self, initial: float = 0.07, limit: float = 100.0) -> None:
        raise NotImplementedError(
            "two_tower.LogitScale: log_scale, a parameter without axes, begins at log(1 / initial)"
        )

    def forward(self) -> Tensor:
        """The scale, a scalar."""
        raise NotImplementedError(
            "two_tower.LogitScale: exp(log_scale), at most the limit, with a gradient even there"
        )


# two_tower.TwoTower: Two towers, one space. 20 minutes, difficulty 2 of 5. In the lesson: "Two
# towers". Comes after two_tower.LogitScale.
# Given:
# - TwoTowerOutput(embeddings: dict[str, Tensor], scale: Tensor)
#     The embeddings of one batch, a tensor for each modality, and the scale of their logits.
# - check_towers(towers: Mapping[str, nn.Module], widths: Mapping[str, int]) -> None
#     Refuse fewer than two towers, and widths that are not of these towers.
class TwoTower(nn.Module):
    """Two or more towers, each with a projection into the shared space, and a learned scale.

    towers: name -> a module that gives one vector (B, D) a sample; widths: name -> its D;
    embedding: E. Both must name the same modalities (see `check_towers`).

    >>> towers = {"sound": nn.Flatten(), "text": nn.EmbeddingBag(99, 6)}
    >>> model = TwoTower(towers, {"sound": 20, "text": 6}, embedding=4)
    >>> output = model({"sound": torch.zeros(3, 4, 5), "text": torch.zeros(3, 7).long()})
    >>> output.embeddings["sound"].shape, output.logits("sound", "text").shape
    (torch.Size([3, 4]), torch.Size([3, 3]))
    """

    def __init__(
        self, towers: Mapping[str, nn.Module], widths: Mapping[str, int], embedding: int
    ) -> None:
        super().__init__()
        check_towers(towers, widths)
        self.towers = nn.ModuleDict(towers)
        self.projections = nn.ModuleDict(
            {name: nn.Linear(widths[name], embedding, bias=False) for name in towers}
        )
        self.logit_scale = LogitScale()

    def encode(self, name: str, *inputs: Tensor) -> Tensor:
        """What the tower of that name takes, such as images, or tokens. Returns unit vectors (B, E)."""
        raise NotImplementedError(
            "two_tower.TwoTower: the tower of that name, its projection, unit length: (B, E)"
        )

    def forward(self, batch: Mapping[str, Tensor | tuple[Tensor, ...]]) -> TwoTowerOutput:
        """batch: name -> what its tower takes, one tensor or a tuple of them; any of the modalities."""
        raise NotImplementedError(
            "two_tower.TwoTower: a TwoTowerOutput: the embedding of each modality of the batch, "
            "and the scale"
        )
