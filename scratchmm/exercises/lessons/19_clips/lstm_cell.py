"""Exercise lstm.LSTMCell: one step of a memory with gates."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="lstm.LSTMCell",
    order=40,
    target="scratchmm.layers.lstm:LSTMCell",
    title="The gates of an LSTM cell",
    goal="from the input's part of the gates and the last state to the next hidden state and cell",
    minutes=20,
    difficulty=3,
    section="Gates",
    forbidden=(
        "torch.lstm_cell",
        "torch.lstm",
        "torch._VF.lstm_cell",
        "torch.ops.aten._thnn_fused_lstm_cell",
    ),
    methods={
        "step": "from the input's part of the gates and the last state to the next hidden and cell",
    },
    hints="""
        1. A width of 1 and a cell of 2. Gates of +100 to write, -100 to forget, 0 for the
           candidate, +100 to show: the cell becomes 0 * 2 + 1 * 0 = 0 and the hidden state 0. With
           +100 to forget instead, the 2 stays: the gate called forget is open when it keeps.
        2. Three gates are shares between 0 and 1: how much of the cell is kept, how much of the
           candidate is written, how much of the cell is shown. The candidate and what is shown are
           squashed between -1 and 1. The cell itself never is: it is scaled and added to, so that
           what it holds, and the gradient, can outlast many frames.
        3. The hidden state (B, D) gives its own part of the gates, (B, 4 * D), by its Linear layer;
           add the input's. Cut into four (B, D) in the order write, forget, candidate, show. New
           cell: kept part of the old plus written part of the candidate. New hidden state: the
           shown part of the new cell, squashed. Return both, hidden first.
        4. hidden, cell = state; gates = from_input + self.state(hidden); write, forget, candidate,
           show = gates.chunk(4, dim=-1); cell = forget.sigmoid() * cell + write.sigmoid() *
           candidate.tanh(); return show.sigmoid() * cell.tanh(), cell
    """,
)


def made(cell_class, case):
    """A cell with copied weights, an input and a state; every size is another one."""
    cell = case.build(cell_class, 3, 5)
    x, hidden, memory = case.normal(B=4, E=3), case.normal(B=4, D=5), case.normal(B=4, D=5)
    return cell, x, (hidden, memory)


def oracle(cell, x, hidden, memory):
    """By torch's own linear layers, gate by gate."""

    def gate(index):
        rows = slice(index * cell.width, (index + 1) * cell.width)
        from_input = F.linear(x, cell.input.weight[rows], cell.input.bias[rows])
        return from_input + F.linear(hidden, cell.state.weight[rows], cell.state.bias[rows])

    share = lambda index: 1 / (1 + torch.exp(-gate(index)))  # noqa: E731
    memory = share(1) * memory + share(0) * torch.tanh(gate(2))
    return share(3) * torch.tanh(memory), memory


def told_by(case, cell_class, write, forget, candidate, show, memory):
    """One step of a cell of width 1 whose gates are set by hand: hidden state and cell."""
    cell = case.call(cell_class, 1, 1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
    gates = case.named(torch.tensor([[write, forget, candidate, show]]), "B G")
    state = torch.full((1, 1), 0.25), torch.tensor([[memory]])  # what was shown has no weight here
    return [part.item() for part in case.call(cell.step, gates, state)]


@exercise.holds("a step gives the hidden state and the cell, both as wide as before")
def shapes(cell_class, case):
    cell, x, state = made(cell_class, case)
    got = case.call(cell, x, state)
    case.true(isinstance(got, tuple) and len(got) == 2, "a pair, hidden state and cell", got)
    for part in got:
        case.shape(part, "B D")


@exercise.holds("an open forget gate keeps the cell, a shut one empties it")
def keeps(cell_class, case):
    for forget, kept in ((100.0, 2.0), (-100.0, 0.0)):
        got = told_by(case, cell_class, -100.0, forget, 0.0, 100.0, 2.0)
        case.equal(got[1], kept, f"the cell, forget gate {forget:+g}", 1e-5)


@exercise.holds("an open write gate adds tanh of the candidate, a shut one nothing")
def writes(cell_class, case):
    for write, written in ((100.0, 0.4621172), (-100.0, 0.0)):
        got = told_by(case, cell_class, write, 100.0, 0.5, 100.0, 2.0)
        case.equal(got[1], 2 + written, f"the cell, write gate {write:+g}", 1e-5)


@exercise.holds("an open last gate shows tanh of the new cell, a shut one nothing")
def shows(cell_class, case):
    for show, shown in ((100.0, 0.9866143), (-100.0, 0.0)):
        got = told_by(case, cell_class, 100.0, 100.0, 0.5493061, show, 2.0)
        case.equal(got[0], shown, f"the hidden state, last gate {show:+g}", 1e-5)


@exercise.holds("gates in between let a share through: sigmoid of input's part plus state's part")
def step(cell_class, case):
    cell, x, state = made(cell_class, case)
    got, wanted = case.call(cell, x, state), oracle(cell, x, *state)
    case.equal(got[1], wanted[1].detach(), "the cell")
    case.equal(got[0], wanted[0].detach(), "the hidden state")


@exercise.holds("the state that was given stays as it was")
def unchanged(cell_class, case):
    cell, x, state = made(cell_class, case)
    before = [part.clone() for part in state]
    with torch.no_grad():
        case.call(cell, x, state)
    for name, part, copy in zip(("hidden state", "cell"), state, before, strict=True):
        case.equal(case.seen(part), copy, f"the {name} that was given")


@exercise.holds("the gradients reach input, hidden state, cell and all weights")
def gradients(cell_class, case):
    cell = case.build(cell_class, 3, 5).double()
    x, hidden, memory = case.normal(B=4, E=3), case.normal(B=4, D=5), case.normal(B=4, D=5)

    def both(x, hidden, memory):
        return torch.cat(cell(x, (hidden, memory)))

    def expected(x, hidden, memory):
        return torch.cat(oracle(cell, x, hidden, memory))

    case.gradients(both, expected, x, hidden, memory, parameters=cell)


exercise.mistakes("""
    never-forgets [convention]: the cell is added to and never scaled, as before there were forget gates
    (1997)
    - cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    + cell = cell + write.sigmoid() * candidate.tanh()
    > since 2000 a gate decides what is kept: forget.sigmoid() * cell

    candidate-second [convention]: the gates are cut as write, candidate, forget, show, as TensorFlow
    orders them
    - write, forget, candidate, show = gates.chunk(4, dim=-1)
    + write, candidate, forget, show = gates.chunk(4, dim=-1)
    > the order here is torch's: write, forget, candidate, show

    state-exchanged: the state is taken apart as cell and hidden state, the wrong way round
    - hidden, cell = state
    + cell, hidden = state
    > state is (hidden, cell): hidden, cell = state

    forget-means-forget: the cell is scaled by one minus the forget gate, so an open gate empties it
    - cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    + cell = (1 - forget.sigmoid()) * cell + write.sigmoid() * candidate.tanh()
    > the gate's name misleads: it says how much is kept

    one-gate-for-both [convention]: what is written is one minus what is kept, as in a GRU
    - cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    + cell = forget.sigmoid() * cell + (1 - forget.sigmoid()) * candidate.tanh()
    > the LSTM's write gate is one of its own: it may keep all and still write

    cell-squashed: the cell itself is squashed, so it forgets a little at every step
    - cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    - return show.sigmoid() * cell.tanh(), cell
    + cell = (forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()).tanh()
    + return show.sigmoid() * cell, cell
    > tanh only where the cell is shown; what is kept must stay as large as it is

    gates-open: the gates are used without sigmoid, so they are not between 0 and 1
    - cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    - return show.sigmoid() * cell.tanh(), cell
    + cell = forget * cell + write * candidate.tanh()
    + return show * cell.tanh(), cell
    > write, forget and show each go through a sigmoid

    overwrites: the caller's cell is overwritten
    - cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    - return show.sigmoid() * cell.tanh(), cell
    + new = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    + cell.detach().copy_(new.detach())
    + return show.sigmoid() * new.tanh(), new
    > nothing that ends in an underscore and no *= on what was given to you

    cut-off: no gradient passes from frame to frame, so nothing is learned about what came before
    - cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    + cell = forget.sigmoid() * cell.detach() + write.sigmoid() * candidate.tanh()
    > no detach on the state: the loss of a later frame must reach the frames before
""")

exercise.slips("""
    write, forget, candidate, show => write, forget, show, candidate
    candidate.tanh() => candidate.sigmoid()
    cell.tanh(), cell => state[1].tanh(), cell
    write, forget, candidate, show => forget, write, candidate, show
    show.sigmoid() * cell.tanh(), cell => show.sigmoid() * cell.tanh()
    self.state(hidden) => self.state(cell)
    gates.chunk(4, dim=-1) => gates.unflatten(-1, (-1, 4)).unbind(-1)
""")


@exercise.disguise("forget-means-forget", method="step")
def forget_means_forget_too(self, from_input, state):
    hidden, cell = state
    write, forget, candidate, show = (from_input + self.state(hidden)).chunk(4, dim=-1)
    cell = cell - torch.sigmoid(forget) * cell + torch.sigmoid(write) * torch.tanh(candidate)
    return torch.sigmoid(show) * torch.tanh(cell), cell


@exercise.right("slices", method="step")
def slices(self, from_input, state):
    hidden, cell = state
    width = self.width
    gates = torch.addmm(from_input + self.state.bias, hidden, self.state.weight.T)
    share = torch.sigmoid(gates)
    written = share[:, :width] * torch.tanh(gates[:, 2 * width : 3 * width])
    cell = torch.addcmul(written, share[:, width : 2 * width], cell)
    return share[:, 3 * width :] * torch.tanh(cell), cell


@exercise.right("gate by gate", method="step")
def gate_by_gate(self, from_input, state):
    gates = (from_input + state[0] @ self.state.weight.mT + self.state.bias).unflatten(-1, (4, -1))
    write, forget, show = (1 / (1 + torch.exp(-gates[:, i])) for i in (0, 1, 3))
    candidate = 2 / (1 + torch.exp(-2 * gates[:, 2])) - 1
    cell = write * candidate + forget * state[1]
    return show * torch.tanh(cell), cell
