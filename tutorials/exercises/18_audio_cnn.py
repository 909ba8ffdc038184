"""Exercises of lesson 18, audio cnn.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/18_audio_cnn.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.audio.augment import check_real


# waveform.pad_together: A batch of sounds. 8 minutes, difficulty 2 of 5. In the lesson: "Sounds of
# any length".
def pad_together(sounds: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Sounds of any lengths (S,) as one batch: (float (B, S), bool (B, S)), True on real samples.

    S is the longest; silence is put behind the shorter ones. The batch has the sounds' dtype.
    Raises ValueError for no sounds at all, and for one that has channels.

    >>> batch, real = pad_together([torch.ones(3), torch.ones(1)])
    >>> batch.tolist(), real.tolist()
    ([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]], [[True, True, True], [True, False, False]])
    """
    raise NotImplementedError(
        "waveform.pad_together: sounds (S,) of any lengths become one batch (B, S) and a mask, "
        "True on real samples"
    )


# audio_cnn.mean_over_time: Sounds of any length. 15 minutes, difficulty 2 of 5. In the lesson:
# "Sounds of any length".
def mean_over_time(x: Tensor, real: Tensor) -> Tensor:
    """The mean of each channel in each band over the real frames; zeros where no frame is real.

    This is how a sound of any length becomes one vector: the padding counts in neither the sum nor
    the number it is divided by.

    x: float (B, D, m, f); real: bool (B, f). Returns (B, D, m).

    >>> mean_over_time(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[True, True, False]]))
    tensor([[[2.]]])
    """
    raise NotImplementedError(
        "audio_cnn.mean_over_time: the mean of every channel and band over the real frames of each "
        "sound, (B, D, m)"
    )


# augment.mix_noise: Noise that is measured. 20 minutes, difficulty 3 of 5. In the lesson: "Noise
# that is measured". Without the library's mean_square.
# Given:
# - check_real(sounds: Tensor, real: Tensor | None) -> Tensor
#     The mask of a batch (B, S), all True if there is none; refuses one that does not fit.
def mix_noise(
    sounds: Tensor, noise: Tensor, decibels: Tensor, real: Tensor | None = None
) -> Tensor:
    """Add noise at a signal-to-noise ratio of `decibels`: 10 log10(sound / noise), in power.

    The power of either is its mean square over the real samples: padding would count as silence.
    The padding stays as it is, silence stays silent, and noise of zeros adds nothing.

    sounds, noise: float (B, S); decibels: (B,); real: bool (B, S), or all are. Returns (B, S).

    >>> mix_noise(torch.tensor([[0.5, -0.5]]), torch.tensor([[3.0, 3.0]]), torch.tensor([20.0]))
    tensor([[ 0.5500, -0.4500]])
    """
    raise NotImplementedError(
        "augment.mix_noise: the sound plus noise, scaled so that the sound's power lies so many "
        "decibels above its own"
    )


# augment.spans: Holes in the spectrogram. 20 minutes, difficulty 3 of 5. In the lesson: "Holes in
# the spectrogram". Without the library's whole.
def spans(shares: Tensor, lengths: Tensor, most: float, size: int) -> Tensor:
    """Where N random stretches lie in each row: True inside one of them.

    Of a row with length L, a stretch is w = 0, 1, ... up to most * L wide, each equally likely, and
    begins at 0, 1, ... up to L - w, each equally likely. The random numbers are an argument:
    shares[b, n] are two numbers from 0 up to 1, for the width and for the beginning, the lowest for
    the narrowest and the earliest.

    shares: float (B, N, 2); lengths: int64 (B,). Returns bool (B, size).

    >>> spans(torch.tensor([[[0.5, 0.99]]]), torch.tensor([6]), most=0.5, size=8).int()
    tensor([[0, 0, 0, 0, 1, 1, 0, 0]], dtype=torch.int32)
    """
    raise NotImplementedError(
        "augment.spans: True inside N stretches of each row: their widths and places by the "
        "numbers in shares"
    )


# audio_cnn.class_activation: Where the evidence lies. 15 minutes, difficulty 2 of 5. In the lesson:
# "Where the evidence lies". Comes after audio_cnn.mean_over_time.
def class_activation(x: Tensor, weight: Tensor) -> Tensor:
    """Equation 2: the activation of class k at a cell, sum over d of weight[k, d] x[d].

    The head is linear and so is the mean, so they commute: the mean over time of the activations,
    summed over bands, is the logit without its bias. Each band has weights of its own.

    x: float (B, D, m, f); weight: (K, D, m), the head's. Returns (B, K, m, f).

    >>> x, weight = torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]]]]), torch.tensor([[[1.0], [-1.0]]])
    >>> class_activation(x, weight)
    tensor([[[[1., 1.]]]])
    """
    raise NotImplementedError(
        "audio_cnn.class_activation: what every cell of the grid says for every class, by the "
        "head's own weights, (B, K, m, f)"
    )


# bug.fails_alone: Find the bug: another answer in a batch. 30 minutes, difficulty 3 of 5. In the
# lesson: "Trains well, fails alone". Comes after audio_cnn.mean_over_time.
class LeaksPadding(nn.Module):
    """A small classifier of sounds: two convolutions over time, the mean over real frames, a head.

    It trains as well as any other and its accuracy on the test set is good, measured in batches.
    Yet a sound alone has other logits than in a batch. Leave it as it is: your check must catch it.

    >>> LeaksPadding(5, 3)(torch.randn(2, 5, 9), torch.ones(2, 9) > 0).shape
    torch.Size([2, 3])
    """

    def __init__(self, mels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(mels, 8, kernel_size=3, padding=1)
        self.second = nn.Conv1d(8, 8, kernel_size=3, padding=1)
        self.first_norm, self.second_norm = nn.BatchNorm1d(8), nn.BatchNorm1d(8)
        self.head = nn.Linear(8, classes)

    def forward(self, log_mel: Tensor, real: Tensor) -> Tensor:
        """log_mel: (B, M, F); real: bool (B, F), True on frames of the sound. Returns (B, K)."""
        x = log_mel.masked_fill(~real[:, None], 0.0)
        x = self.first_norm(self.first(x)).relu()
        x = self.second_norm(self.second(x)).relu()
        x = x.masked_fill(~real[:, None], 0.0)
        return self.head(x.sum(dim=2) / real.sum(dim=1, keepdim=True))


def check_alone(model_class: Any) -> None:
    """Raise AssertionError unless a sound has the same logits alone and in a batch.

    model_class(mels, classes) makes a model as LeaksPadding is one: model(log_mel, real) takes
    float32 (B, M, F) and bool (B, F), True on the frames of each sound, padding behind them, and
    gives logits (B, K). Accept it if, after a few batches in train() and then in eval(), the logits
    of a sound that comes alone and without padding are those it has in a batch, up to 0.0001,
    whatever sounds are beside it, in any order, however long the padding is and whatever finite
    numbers stand there. Reject every other. A right model may be of any kind, and may use chance
    in training. Sounds have at least one frame. This check is graded, on LeaksPadding and others.

    >>> check_alone(LeaksPadding)
    Traceback (most recent call last):
    AssertionError: alone, sound 0 of 4 frames has other logits than in the batch
    """
    raise NotImplementedError(
        "bug.fails_alone: write the check: AssertionError unless a sound has the same logits alone "
        "and in a batch"
    )
