"""Wrong and other right answers to lstm.LSTMCell."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("19_clips/lstm_cell").exercise


def gates_of(self, from_input, state):
    """Write, forget, candidate and show, before they are squashed, and the last cell."""
    return [*(from_input + self.state(state[0])).chunk(4, dim=-1), state[1]]


@exercise.wrong(
    "never-forgets",
    story="the cell is added to and never scaled, as before there were forget gates (1997)",
    advice="since 2000 a gate decides what is kept: forget.sigmoid() * cell",
    method="step",
    convention=True,
)
def never_forgets(self, from_input, state):
    write, _, candidate, show, cell = gates_of(self, from_input, state)
    cell = cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "candidate-second",
    story="the gates are cut as write, candidate, forget, show, as TensorFlow orders them",
    advice="the order here is torch's: write, forget, candidate, show",
    method="step",
    convention=True,
)
def candidate_second(self, from_input, state):
    write, candidate, forget, show, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "show-third",
    story="the gates are cut as write, forget, show, candidate",
    advice="the order here is torch's: write, forget, candidate, show",
    method="step",
    convention=True,
)
def show_third(self, from_input, state):
    write, forget, show, candidate, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "forget-first",
    story="the write gate and the forget gate are exchanged",
    advice="write comes first, forget second; forget scales the old cell",
    method="step",
)
def forget_first(self, from_input, state):
    forget, write, candidate, show, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "state-exchanged",
    story="the state is taken apart as cell and hidden state, the wrong way round",
    advice="state is (hidden, cell): hidden, cell = state",
    method="step",
)
def state_exchanged(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state[::-1])
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "forget-means-forget",
    story="the cell is scaled by one minus the forget gate, so an open gate empties it",
    advice="the gate's name misleads: it says how much is kept",
    method="step",
)
def forget_means_forget(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = (1 - forget.sigmoid()) * cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "one-gate-for-both",
    story="what is written is one minus what is kept, as in a GRU",
    advice="the LSTM's write gate is one of its own: it may keep all and still write",
    method="step",
    convention=True,
)
def one_gate_for_both(self, from_input, state):
    _, forget, candidate, show, cell = gates_of(self, from_input, state)
    keep = forget.sigmoid()
    cell = keep * cell + (1 - keep) * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "candidate-by-sigmoid",
    story="the candidate goes through a sigmoid, so nothing negative can be written",
    advice="the candidate is no gate: tanh, between -1 and 1",
    method="step",
)
def candidate_by_sigmoid(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.sigmoid()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "candidate-as-it-is",
    story="the candidate is not squashed",
    advice="tanh of the candidate is written",
    method="step",
)
def candidate_as_it_is(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "cell-shown-as-it-is",
    story="the cell is shown without tanh",
    advice="the hidden state is a share of tanh(cell), between -1 and 1",
    method="step",
)
def cell_shown_as_it_is(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell, cell


@exercise.wrong(
    "cell-squashed",
    story="the cell itself is squashed, so it forgets a little at every step",
    advice="tanh only where the cell is shown; what is kept must stay as large as it is",
    method="step",
)
def cell_squashed(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = (forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()).tanh()
    return show.sigmoid() * cell, cell


@exercise.wrong(
    "old-cell-shown",
    story="the old cell is shown, not the new one",
    advice="first the new cell, then the hidden state from it",
    method="step",
)
def old_cell_shown(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    new = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), new


@exercise.wrong(
    "everything-shown",
    story="the last gate is not used: all of the cell is shown",
    advice="the hidden state is show.sigmoid() * cell.tanh()",
    method="step",
)
def everything_shown(self, from_input, state):
    write, forget, candidate, _, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return cell.tanh(), cell


@exercise.wrong(
    "gates-open",
    story="the gates are used without sigmoid, so they are no shares between 0 and 1",
    advice="write, forget and show each go through a sigmoid",
    method="step",
)
def gates_open(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = forget * cell + write * candidate.tanh()
    return show * cell.tanh(), cell


@exercise.wrong(
    "deaf-to-the-state",
    story="the gates depend on the input only, not on the last hidden state",
    advice="add the state's part: from_input + self.state(hidden)",
    method="step",
)
def deaf_to_the_state(self, from_input, state):
    write, forget, candidate, show = from_input.chunk(4, dim=-1)
    cell = forget.sigmoid() * state[1] + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "gates-see-the-cell",
    story="the gates are computed from the cell instead of the hidden state",
    advice="state is (hidden, cell), and the gates see what was shown: the hidden state",
    method="step",
)
def gates_see_the_cell(self, from_input, state):
    write, forget, candidate, show, _ = gates_of(self, from_input, (state[1], None))
    cell = forget.sigmoid() * state[1] + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "interleaved",
    story="the gates are cut number by number: every fourth belongs to one gate",
    advice="each gate is a run of D numbers: chunk(4, dim=-1), or unflatten(-1, (4, -1))",
    method="step",
)
def interleaved(self, from_input, state):
    gates = (from_input + self.state(state[0])).unflatten(-1, (-1, 4))
    write, forget, candidate, show = gates.unbind(-1)
    cell = forget.sigmoid() * state[1] + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.wrong(
    "cell-first",
    story="the pair that is returned is (cell, hidden)",
    advice="hidden first, then the cell, as they came",
    method="step",
)
def cell_first(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return cell, show.sigmoid() * cell.tanh()


@exercise.wrong(
    "hidden-only",
    story="only the hidden state is returned",
    advice="the next step needs the cell too: return both",
    method="step",
)
def hidden_only(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh()


@exercise.wrong(
    "overwrites",
    story="the caller's cell is overwritten",
    advice="nothing that ends in an underscore and no *= on what was given to you",
    method="step",
)
def overwrites(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    new = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    cell.detach().copy_(new.detach())
    return show.sigmoid() * new.tanh(), new


@exercise.wrong(
    "cut-off",
    story="no gradient passes from frame to frame, so nothing is learned about what came before",
    advice="no detach on the state: it is how a frame hears what became of it",
    method="step",
)
def cut_off(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = forget.sigmoid() * cell.detach() + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@exercise.disguise("forget-means-forget", method="step")
def forget_means_forget_too(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = cell - torch.sigmoid(forget) * cell + torch.sigmoid(write) * torch.tanh(candidate)
    return torch.sigmoid(show) * torch.tanh(cell), cell


@exercise.disguise("cell-squashed", method="step")
def cell_squashed_too(self, from_input, state):
    write, forget, candidate, show, cell = gates_of(self, from_input, state)
    cell = torch.tanh(cell * torch.sigmoid(forget) + torch.tanh(candidate) * torch.sigmoid(write))
    return cell * torch.sigmoid(show), cell


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
