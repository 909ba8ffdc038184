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
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.contrastive.clip import CLIPConfig, CLIPOutput, CLIPVision
from scratchmm.language.text_transformer import TextTransformer, pool_at_end


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
    AssertionError: the loss of pairs that all look alike is 0, not log 5
    """
    raise NotImplementedError(
        "test.contrastive_loss: accept every right contrastive_loss, and reject at least 9 in 10 "
        "of the wrong ones"
    )


# clip.Temperature: A temperature that learns. 15 minutes, difficulty 2 of 5. In the lesson: "The
# temperature".
class Temperature(nn.Module):
    """How sharply similarities are told apart: a learned scale, 1 / temperature, at most 100.

    It is learned as a logarithm, so that steps are relative. Above the limit the value is held but
    the gradient still flows, so that an overshot scale finds its way back. No log_scale is so large
    that exp overflows: the logarithm is held, not the scale.

    >>> round(Temperature(initial=0.07)().item(), 2)
    14.29
    """

    def __init__(self, initial: float = 0.07, limit: float = 100.0) -> None:
        raise NotImplementedError(
            "clip.Temperature: log_scale, a parameter without axes, begins at log(1 / initial)"
        )

    def forward(self) -> Tensor:
        """The scale, a scalar."""
        raise NotImplementedError(
            "clip.Temperature: exp(log_scale), at most the limit, with a gradient even there"
        )


# clip.CLIP: Two towers, one space. 20 minutes, difficulty 2 of 5. In the lesson: "Two towers".
# Comes after clip.Temperature.
# Given:
# - CLIPConfig(vision: ViTConfig, text: TextConfig, embedding: int = 512)
#     The sizes of a CLIP: its two towers, and the space they share.
# - CLIPOutput(image_embeddings: Tensor, text_embeddings: Tensor, scale: Tensor)
#     What a CLIP says of a batch of images and a batch of texts.
# - CLIPVision(config: ViTConfig)
#     CLIP's vision tower: a ViT with a norm before its blocks, read off the CLS token.
# - TextTransformer(config: TextConfig)
#     Token and position embeddings, causal pre-norm blocks, a last norm.
# - pool_at_end(hidden: Tensor, tokens: Tensor, end_token: int) -> Tensor
#     The vector at each text's first end token, the only one that attends to the whole text.
class CLIP(nn.Module):
    """Two towers, each with a projection into the shared space, and a temperature.

    >>> config = tiny()
    >>> output = CLIP(config)(torch.zeros(2, 3, 32, 32), torch.tensor([[97, 5, 98]] * 2))
    >>> output.image_embeddings.shape, output.logits.shape
    (torch.Size([2, 24]), torch.Size([2, 2]))
    """

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = CLIPVision(config.vision)
        self.text = TextTransformer(config.text)
        self.image_projection = nn.Linear(config.vision.width, config.embedding, bias=False)
        self.text_projection = nn.Linear(config.text.width, config.embedding, bias=False)
        self.temperature = Temperature()

    def encode_image(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns unit vectors (B, E)."""
        raise NotImplementedError("clip.CLIP: vision tower, its projection, unit length: (B, E)")

    def encode_text(self, tokens: Tensor) -> Tensor:
        """tokens: int64 (B, T), each text with its end token. Returns unit vectors (B, E)."""
        raise NotImplementedError(
            "clip.CLIP: text tower, the vector at the end token, its projection, unit length: (B, "
            "E)"
        )

    def forward(self, images: Tensor, tokens: Tensor) -> CLIPOutput:
        """images: float (B, C, height, width); tokens: int64 (B, T)."""
        raise NotImplementedError("clip.CLIP: a CLIPOutput of the two embeddings and the scale")
