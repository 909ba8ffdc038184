"""Exercises of lesson 19, clips.

Write each body in place of its `raise`, in any order. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.lstm import State


# cnn3d.conv3d: Three dimensions out of two. 25 minutes, difficulty 3 of 5. In the lesson: "Over
# time and space". Without torch.nn.functional.conv3d, torch.conv3d, torch.convolution.
def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution over time and space, padded to keep all sizes, written out in two dimensions.

    x: (B, C, F, H, W); weight: (D, C, T, Y, X), all three kernel sizes odd; bias: D numbers.
    Returns (B, D, F, H, W). Each offset in time has its own flat kernel: the frames that lie so far
    from each frame are convolved with it, and the results added. Beyond both ends are zeros.

    >>> x, weight = torch.randn(2, 3, 5, 8, 6), torch.randn(4, 3, 3, 3, 3)
    >>> torch.testing.assert_close(conv3d(x, weight), F.conv3d(x, weight, padding=1))
    """
    raise NotImplementedError(
        "cnn3d.conv3d: each time offset of the kernel convolves the frames that lie so far away; "
        "add them up"
    )


# cnn3d.temporal_receptive_field: How far it looks. 10 minutes, difficulty 2 of 5. In the lesson:
# "Over time and space".
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


# lstm.LSTMCell: Forget, write, show. 20 minutes, difficulty 3 of 5. In the lesson: "Gates". Without
# torch.lstm_cell, torch.lstm.
class LSTMCell(nn.Module):
    """One step of the memory: what to forget, what to write, what to show.

        write, forget, show = sigmoid(...), sigmoid(...), sigmoid(...)   candidate = tanh(...)
        cell = forget * cell + write * candidate
        hidden = show * tanh(cell)

    Each ... is a linear map of the input plus one of the last hidden state. The cell is only ever
    scaled and added to, so its gradient survives many steps where the forget gate is near 1.

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
        zeros = x.new_zeros(len(x), self.width)  # (B, D)
        return zeros, zeros
