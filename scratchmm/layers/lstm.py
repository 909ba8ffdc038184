"""LSTM: a cell state that gates write, keep and read, carried from frame to frame.

Paper: Long Short-Term Memory (Hochreiter & Schmidhuber 1997, Neural Computation 9(8)); the forget
gate: Learning to Forget (Gers, Schmidhuber & Cummins 2000, Neural Computation 12(10)). Neither is
on arXiv; LSTM: A Search Space Odyssey (Greff et al. 2015, arXiv 1503.04069) retells both.
Dimensions: B batch, F frames (or words: whatever comes one after the other), D width of the state;
inputs are `width_in` wide.
Differs from the paper: no peepholes; two biases instead of one, as in torch's nn.LSTM, whose order
of the gates (input, forget, candidate, output) this is.
"""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from scratchmm.sentences import check_count

State = tuple[Tensor, Tensor]  # hidden and cell, each (B, D)


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
        hidden, cell = state
        gates = from_input + self.state(hidden)  # (B, 4 * D)
        write, forget, candidate, show = gates.chunk(4, dim=-1)  # each (B, D)
        cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()  # (B, D)
        return show.sigmoid() * cell.tanh(), cell  # each (B, D)

    def start(self, x: Tensor) -> State:
        """The state before anything was seen: zeros, for the batch of x: (B, ...)."""
        zeros = x.new_zeros(x.shape[0], self.width)  # (B, D)
        return zeros, zeros


class LSTM(nn.Module):
    """Cells over all frames, layer upon layer; equal to nn.LSTM(batch_first=True).

    both=True: every layer has a second cell that reads backwards, and shows both side by side.

    >>> model, x = LSTM(5, 3, layers=2, both=True), torch.zeros(2, 7, 5)
    >>> outputs, (hidden, cell) = model(x)
    >>> outputs.shape, hidden.shape, cell.shape
    (torch.Size([2, 7, 6]), torch.Size([4, 2, 3]), torch.Size([4, 2, 3]))
    """

    def __init__(self, width_in: int, width: int, layers: int = 1, both: bool = False) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"an LSTM has at least 1 layer, not {layers}")
        check_count("layers", layers)
        self.width_in, self.directions = width_in, 2 if both else 1
        self.cells = nn.ModuleList()
        for layer in range(layers):
            for _ in range(self.directions):
                above = width * self.directions
                self.cells.append(LSTMCell(above if layer else width_in, width))

    def forward(
        self, x: Tensor, state: State | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """x: float (B, F, width_in). Returns the last layer's hidden states and the last states.

        state: hidden and cell to begin with, each (cells, B, D); zeros if None. The cells are
        counted layer by layer, forwards before backwards.
        real: bool (B, F), True where a frame is real. At the others the state stands still and the
        output is zeros, so that a padded sequence gives what it gives alone.
        The outputs are (B, F, D), or (B, F, 2 * D) with both; the states as those to begin with.
        """
        self.check(x, real)
        if real is not None:  # not 0 * x: padding may hold anything, NaN too
            x = x.masked_fill(~real.unsqueeze(-1), 0)
        states = []
        for index, cell in enumerate(cast(Iterable[LSTMCell], self.cells)):
            if index % self.directions == 0:  # a new layer reads what the last one showed
                below, shown = x, []
            start = cell.start(below) if state is None else (state[0][index], state[1][index])
            outputs, last = run_cell(cell, below, start, real, reverse=index % self.directions == 1)
            shown.append(outputs)
            states.append(last)
            x = torch.cat(shown, dim=-1)
        hidden, memory = (torch.stack(part) for part in zip(*states))
        return x, (hidden, memory)

    def check(self, x: Tensor, real: Tensor | None) -> None:
        """Refuse inputs of another width, none at all, and a mask of another shape."""
        if x.ndim != 3 or x.shape[2] != self.width_in:
            raise ValueError(
                f"inputs of shape {tuple(x.shape)} are not (batch, frames, {self.width_in})"
            )
        if x.shape[1] == 0:
            raise ValueError("a sequence of 0 frames has no last state")
        if real is not None and real.shape != x.shape[:2]:
            raise ValueError(
                f"the mask of shape {tuple(real.shape)} does not cover the batch and frames "
                f"{tuple(x.shape[:2])}"
            )
        if real is not None and real.dtype != torch.bool:
            raise ValueError(f"the mask is {real.dtype}, not torch.bool (True = real)")


def run_cell(
    cell: LSTMCell, x: Tensor, state: State, real: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, State]:
    """One cell over all frames: x: (B, F, E). Returns its hidden states (B, F, D) and the last.

    The input's part of the gates needs no memory: one product computes it for all frames.
    reverse: from the last frame to the first; outputs stay at their frames.

    >>> outputs, (hidden, cell) = run_cell(LSTMCell(5, 3), x := torch.ones(2, 7, 5), (
    ...     torch.zeros(2, 3), torch.zeros(2, 3)))
    >>> outputs.shape, bool((outputs[:, -1] == hidden).all())
    (torch.Size([2, 7, 3]), True)
    """
    from_input = cell.input(x).unbind(dim=1)  # each (B, 4 * D)
    order = range(len(from_input))
    shown: list[Tensor] = [state[0]] * len(order)
    for frame in reversed(order) if reverse else order:
        following = cell.step(from_input[frame], state)
        shown[frame] = following[0]
        if real is not None:
            here = real[:, frame, None]  # (B, 1)
            shown[frame] = following[0].masked_fill(~here, 0)  # (B, D)
            following = (
                torch.where(here, following[0], state[0]),
                torch.where(here, following[1], state[1]),
            )
        state = following
    return torch.stack(shown, dim=1), state
