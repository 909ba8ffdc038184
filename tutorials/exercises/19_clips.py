"""Exercises of lesson 19, clips.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/19_clips.py   its examples; silent if right
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from scratchmm.layers.lstm import State
from scratchmm.sentences import check_count
from scratchmm.video.clips import MOST_FRAMES


# clips.sample_frames: Which frames. 20 minutes, difficulty 2 of 5. In the lesson: "Which frames".
# Given:
# - check_count(name: str, value: object, *, least: int=1, most: int=MOST) -> None
#     Refuse what is no whole number from `least` to `most`; a bool is none, nor is 2.0
#     (ValueError).
def sample_frames(
    frames: int,
    count: int,
    how: str = "uniform",
    generator: Generator | None = None,
    stride: int = 1,
) -> Tensor:
    """The indices of `count` frames of a clip: int64 (count,), never falling.

    uniform: the clip is cut into `count` equal segments, and of each the middle is taken: the frame
    on screen at (i + 1/2) * frames / count. random: any moment of each segment instead of the
    middle, drawn anew at each call (for training). dense: every stride-th frame in a row that
    begins at random, or without a generator in the middle of the clip.

    A clip of fewer frames repeats them: the same moments fall on the same frames, and a row holds
    the last one. Raises ValueError for fewer than 1 frame, count or stride, or another `how`.

    >>> sample_frames(12, 4).tolist(), sample_frames(2, 4).tolist()
    ([1, 4, 7, 10], [0, 0, 1, 1])
    >>> sample_frames(12, 4, "dense").tolist(), sample_frames(3, 4, "dense", stride=2).tolist()
    ([4, 5, 6, 7], [0, 2, 2, 2])
    """
    raise NotImplementedError(
        "clips.sample_frames: the numbers of `count` frames: the middles of equal segments, one at "
        "random of each, or a row"
    )


# cnn3d.conv3d: Three dimensions out of two. 25 minutes, difficulty 3 of 5. In the lesson: "Over
# time and space". Without torch.nn.functional.conv3d, torch.conv3d, torch.convolution.
def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution over time and space, padded to keep all sizes, written out in two dimensions.

    x: (B, C, F, H, W); weight: (D, C, T, Y, X), all three kernel sizes odd; bias: D numbers.
    Returns (B, D, F, H, W). Each offset in time has its own flat kernel: the frames that lie so far
    from each frame are convolved with it, and the results added. Beyond both ends are zeros.

    >>> import torch
    >>> x, weight = torch.randn(2, 3, 5, 8, 6), torch.randn(4, 3, 3, 3, 3)
    >>> torch.testing.assert_close(conv3d(x, weight), F.conv3d(x, weight, padding=1))
    """
    raise NotImplementedError(
        "cnn3d.conv3d: each time offset of the kernel convolves the frames that lie so far away; "
        "add them up"
    )


# cnn3d.temporal_receptive_field: The temporal receptive field. 10 minutes, difficulty 2 of 5. In
# the lesson: "Over time and space".
def temporal_receptive_field(layers: list[tuple[int, int]]) -> int:
    """How many frames one number of the last layer depends on.

    layers: kernel and stride over time of each, first to last. A kernel of k reaches k - 1 steps
    further, and a step is as many frames as all strides before it multiply to.

    >>> temporal_receptive_field([(3, 1), (3, 1)]), temporal_receptive_field([(3, 2), (3, 1)])
    (5, 7)
    """
    raise NotImplementedError(
        "cnn3d.temporal_receptive_field: how many frames one number of the last layer depends on"
    )


# lstm.LSTMCell: The gates of an LSTM cell. 20 minutes, difficulty 3 of 5. In the lesson: "Gates".
# Without torch.lstm_cell, torch.lstm.
class LSTMCell(nn.Module):
    """One step of the memory: what to forget, what to write, what to show.

        write, forget, show = sigmoid(...), sigmoid(...), sigmoid(...)   candidate = tanh(...)
        cell = forget * cell + write * candidate
        hidden = show * tanh(cell)

    Each ... is a linear map of the input plus one of the last hidden state. The four stand side by
    side, 4 * D numbers in the order write, forget, candidate, show, as torch's do. The cell is only
    ever scaled and added to, so its gradient survives many steps where the forget gate is near 1.

    >>> hidden, cell = LSTMCell(5, 3)(torch.zeros(2, 5))
    >>> hidden.shape, cell.shape
    (torch.Size([2, 3]), torch.Size([2, 3]))
    """

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.input = nn.Linear(width_in, 4 * width)
        self.state = nn.Linear(width, 4 * width)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)
        # A memory that remembers before it has learnt what to forget (Gers et al. 2000, section 4).
        nn.init.ones_(self.input.bias[width : 2 * width])

    def forward(self, x: Tensor, state: State | None = None) -> State:
        """x: float (B, width_in); state: hidden and cell (B, D), zeros if None. Returns the next."""
        return self.step(self.input(x), state or self.start(x))

    def step(self, from_input: Tensor, state: State) -> State:
        """forward, with the input's part of the gates (B, 4 * D) computed before."""
        raise NotImplementedError(
            "lstm.LSTMCell: from the input's part of the gates and the last state to the next "
            "hidden and cell"
        )

    def start(self, x: Tensor) -> State:
        """The state before anything was seen: zeros, for the batch of x: (B, ...)."""
        zeros = x.new_zeros(x.shape[0], self.width)  # (B, D)
        return zeros, zeros


# bug.reads_across: Find the bug: frames of another clip. 30 minutes, difficulty 3 of 5. In the
# lesson: "Gates". Comes after lstm.LSTMCell.
class ReadsAcross(nn.Module):
    """Encoded frames (B, F, E) to logits (B, K): an LSTM over time, and the mean of its states.

    It trains as well as any other where a frame alone tells what a clip shows, and most sets of
    clips are so. In tests it is right as often, if batches are like those it was trained on. Leave
    it as it is: it is what your check has to catch.

    >>> reader, clips = ReadsAcross(6, 16, 4), torch.randn(3, 5, 6)
    >>> reader(clips).shape
    torch.Size([3, 4])
    >>> bool((reader(clips)[:1] - reader(clips[:1])).abs().max() < 1e-5)  # so far so good
    True
    """

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, width)
        self.head = nn.Linear(width, classes)

    def forward(self, frames: Tensor) -> Tensor:
        """frames: float (B, F, E). Returns logits (B, K)."""
        states, _ = self.lstm(frames)
        return self.head(states.mean(dim=1))


def check_reader(reader_class: Any) -> None:
    """Raise AssertionError unless a reader judges each clip by its own frames, in their order.

    reader_class: takes features E, width and classes K, as ReadsAcross does, and makes a module
    that takes float (B, F, E), F of 3 or more, to logits (B, K). Judge it after eval(), as a reader
    may drop out or norm in training. Accept it if the logits of a clip do not depend on the clips
    beside it, nor on what was read before; if every frame counts; and if a clip that is played
    backwards gives other logits. Reject every other. Right ones may still differ by 1e-10 in
    float64 between one batch and another. This check is what is asked for and graded, on
    ReadsAcross and others.

    >>> check_reader(ReadsAcross)
    Traceback (most recent call last):
    AssertionError: the clips beside a clip count
    """
    raise NotImplementedError(
        "bug.reads_across: write the check: AssertionError unless a reader judges each clip by its "
        "own frames in order"
    )
