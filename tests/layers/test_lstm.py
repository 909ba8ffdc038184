"""The LSTM against torch's, under the same weights; and what padding must not do."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.layers.lstm import LSTM, LSTMCell, run_cell
from shape_comments import check_shape_comments

NAMES = {"weight_ih": "input.weight", "weight_hh": "state.weight"}
NAMES |= {"bias_ih": "input.bias", "bias_hh": "state.bias"}


def pair(width_in, width, layers=1, both=False):
    """torch's LSTM with random weights and ours with copies of them, both in float64."""
    theirs = nn.LSTM(width_in, width, layers, batch_first=True, bidirectional=both).double()
    ours = LSTM(width_in, width, layers, both).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.5)
        for index, cell in enumerate(ours.cells):
            for name, tensor in named(theirs, index, both).items():
                cell.get_parameter(name).copy_(tensor)
    return ours, theirs


def named(theirs, index, both):
    """The weights of torch's cell of that index, under our names."""
    layer, backwards = divmod(index, 2) if both else (index, 0)
    end = f"_l{layer}" + "_reverse" * backwards
    return {ours: theirs.get_parameter(name + end) for name, ours in NAMES.items()}


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("given_state", [False, True])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_it_is_torchs(layers, both, given_state):
    torch.manual_seed(0)
    ours, theirs = pair(7, 5, layers, both)
    x = torch.randn(2, 6, 7, dtype=torch.float64, requires_grad=True)
    cells = layers * (1 + both)
    state = tuple(torch.randn(2, cells, 2, 5).double().unbind()) if given_state else None
    out, (hidden, cell) = ours(x, state)
    wanted, (last_hidden, last_cell) = theirs(x, state)
    for mine, other in [(out, wanted), (hidden, last_hidden), (cell, last_cell)]:
        close(mine, other)

    weights = [torch.randn_like(part) for part in (out, hidden, cell)]
    sums = [
        sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True))
        for parts in ((out, hidden, cell), (wanted, last_hidden, last_cell))
    ]
    close(
        torch.autograd.grad(sums[0], x, retain_graph=True)[0],
        torch.autograd.grad(sums[1], x, retain_graph=True)[0],
    )
    sums[0].backward()
    sums[1].backward()
    for index, cell in enumerate(ours.cells):
        for name, tensor in named(theirs, index, both).items():
            close(cell.get_parameter(name).grad, tensor.grad)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.booleans(),
    st.integers(0, 10**6),
)  # fmt: skip
def test_padded_sequences_are_torchs_packed_ones(batch, frames, width_in, width, both, seed):
    """Of any sizes, whatever stands in the padding."""
    torch.manual_seed(seed)
    ours, theirs = pair(width_in, width, 2, both)
    lengths = torch.randint(1, frames + 1, (batch,))
    frames = int(lengths.max())
    x = torch.randn(batch, frames, width_in).double()
    real = torch.arange(frames) < lengths[:, None]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    wanted, (last_hidden, last_cell) = theirs(packed)
    wanted, _ = nn.utils.rnn.pad_packed_sequence(wanted, batch_first=True)
    out, (hidden, cell) = ours(x.masked_fill(~real[..., None], torch.nan), real=real)
    for mine, other in [(out, wanted), (hidden, last_hidden), (cell, last_cell)]:
        close(mine, other)


def test_frames_that_are_not_real_might_as_well_not_be_there():
    """Also at the front and in the middle, where packing cannot have them."""
    torch.manual_seed(0)
    model = LSTM(3, 4, layers=2, both=True).double()
    x = torch.randn(1, 7, 3).double()
    real = torch.tensor([[False, True, True, False, True, False, False]])
    out, state = model(x, real=real)
    alone, state_alone = model(x[real][None])
    close(out[real][None], alone)
    close(torch.stack(state), torch.stack(state_alone))
    assert out[~real].abs().max() == 0


def test_nan_in_padding_reaches_no_gradient():
    model = LSTM(3, 4)
    x = torch.randn(2, 5, 3)
    x[1, 3:] = torch.nan
    x.requires_grad_()
    model(x, real=torch.arange(5) < torch.tensor([[5], [3]]))[0].sum().backward()
    for gradient in [x.grad, *(p.grad for p in model.parameters())]:
        assert gradient.isfinite().all()
    assert x.grad[1, 3:].abs().max() == 0


@torch.no_grad()
def test_a_cell_is_the_six_equations():
    torch.manual_seed(0)
    cell, x = LSTMCell(3, 2).double(), torch.randn(4, 3).double()
    hidden, memory = torch.randn(2, 4, 2).double()
    new_hidden, new_memory = cell(x, (hidden, memory))
    squash = lambda a: 1 / (1 + math.exp(-a))  # noqa: E731
    for b in range(4):
        for d in range(2):
            gates = [
                float(
                    cell.input.weight[k * 2 + d] @ x[b] + cell.input.bias[k * 2 + d]
                    + cell.state.weight[k * 2 + d] @ hidden[b] + cell.state.bias[k * 2 + d]
                )
                for k in range(4)
            ]  # fmt: skip
            write, forget, show = squash(gates[0]), squash(gates[1]), squash(gates[3])
            wanted = forget * float(memory[b, d]) + write * math.tanh(gates[2])
            assert float(new_memory[b, d]) == pytest.approx(wanted, abs=1e-12)
            assert float(new_hidden[b, d]) == pytest.approx(show * math.tanh(wanted), abs=1e-12)


def test_frame_by_frame_is_all_at_once():
    torch.manual_seed(0)
    model, x = LSTM(3, 4, layers=2).double(), torch.randn(2, 6, 3).double()
    whole, last = model(x)
    start, state = model(x[:, :2])
    rest, state = model(x[:, 2:], state)
    close(torch.cat([start, rest], dim=1), whole)
    close(torch.stack(state), torch.stack(last))


def test_gradients():
    cell = LSTMCell(2, 3).double()
    x, hidden, memory = (torch.randn(2, w).double().requires_grad_() for w in (2, 3, 3))
    assert torch.autograd.gradcheck(lambda *a: cell(a[0], a[1:]), (x, hidden, memory))
    real = torch.tensor([[True, True, False], [False, True, True]])
    frames = torch.randn(2, 3, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, h, c: run_cell(cell, x, (h, c), real, reverse=True)[0], (frames, hidden, memory)
    )


def test_it_begins_by_remembering():
    """The forget gate is open before training, as in Gers et al.; the others are near a half."""
    torch.manual_seed(0)
    cell = LSTMCell(3, 64)
    assert (cell.input.bias[64:128] == 1).all()
    others = torch.cat([cell.input.bias[:64], cell.input.bias[128:], cell.state.bias])
    assert others.abs().max() <= 1 / 8
    assert cell.state.weight.std().item() == pytest.approx(1 / 8 / 3**0.5, rel=0.02)


def test_what_cannot_work_is_refused():
    model = LSTM(3, 4)
    with pytest.raises(ValueError, match="^an LSTM has at least 1 layer, not 0$"):
        LSTM(3, 4, layers=0)
    with pytest.raises(
        ValueError, match=r"^inputs of shape \(2, 5, 4\) are not \(batch, frames, 3"
    ):
        model(torch.zeros(2, 5, 4))
    with pytest.raises(ValueError, match=r"^inputs of shape \(5, 3\) are not"):
        model(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="^a sequence of 0 frames has no last state$"):
        model(torch.zeros(2, 0, 3))
    with pytest.raises(ValueError, match=r"mask of shape \(5, 2\) .* batch and frames \(2, 5\)$"):
        model(torch.zeros(2, 5, 3), real=torch.ones(5, 2, dtype=torch.bool))


@pytest.mark.parametrize(
    "mask",
    [torch.zeros(2, 5), torch.full((2, 5), -math.inf).double(), torch.ones(2, 5).int()],
    ids=["additive", "additive, closed", "numbers"],
)
def test_masks_are_bool(mask):
    """0 is "may be seen" of a mask that is added, and "padding" of one that is not: neither passes."""
    with pytest.raises(ValueError, match=rf"^the mask is {mask.dtype}, not torch.bool \(True = r"):
        LSTM(3, 4)(torch.zeros(2, 5, 3), real=mask)


def run_shapes() -> None:
    import torch

    from scratchmm.layers import lstm

    model, real = lstm.LSTM(7, 5, layers=2, both=True), torch.arange(6) < torch.tensor([[4], [6]])
    model(torch.randn(2, 6, 7), real=real)
    lstm.LSTMCell(7, 5)(torch.randn(2, 7))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/lstm.py")
