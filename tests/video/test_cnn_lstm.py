"""The CNN-LSTM: frames one by one, a memory over them, and padding that changes nothing."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.video.cnn_lstm import (
    CNNLSTM,
    CNNLSTMConfig,
    FrameEncoder,
    average_prediction,
    last_prediction,
    tiny,
)
from shape_comments import check_shape_comments


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = CNNLSTM(tiny()).double().eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and "running_var" not in name:
                tensor.normal_(std=0.3)
    return model


def test_it_is_the_encoder_then_torchs_lstm_then_the_mean_of_probabilities(model):
    clips = torch.randn(2, 4, 3, 17, 14).double()
    lstm = torch.nn.LSTM(11, 10, batch_first=True).double()
    cell = model.lstm.cells[0]
    lstm.weight_ih_l0.data, lstm.weight_hh_l0.data = cell.input.weight, cell.state.weight
    lstm.bias_ih_l0.data, lstm.bias_hh_l0.data = cell.input.bias, cell.state.bias
    features = torch.stack([model.encoder(clips[:, f]) for f in range(4)], dim=1)
    logits = model.head(lstm(features)[0])
    close(model.frame_logits(clips), logits)
    close(model(clips), logits[:, -1])
    model.config = replace(model.config, average=True)
    close(model(clips).exp(), logits.softmax(-1).mean(1))


def test_the_encoder_keeps_the_place():
    """Its mean is over the cells of a grid, so a thing elsewhere gives other numbers."""
    torch.manual_seed(0)
    encoder = FrameEncoder(CNNLSTMConfig(5, channels=(8, 12), grid=3)).double().eval()
    grids = []
    encoder.blocks.register_forward_hook(lambda m, i, out: grids.append(out))
    frames = torch.randn(2, 3, 24, 36).double()
    out = encoder(frames)
    # 6 x 9 places make a grid of 3 x 3 by means over 2 x 3 of them.
    cells = torch.stack(
        [grids[0][..., 2 * r : 2 * r + 2, 3 * c : 3 * c + 3].mean((2, 3))
         for r in range(3) for c in range(3)],
        dim=-1,
    )  # fmt: skip
    weight = encoder.output.weight
    close(out, (cells.flatten(1) @ weight.T + encoder.output.bias).relu())


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_a_padded_clip_gives_what_it_gives_alone(lengths, after, average, seed):
    """Wherever the padding stands and whatever is in it."""
    torch.manual_seed(seed)
    model = CNNLSTM(replace(tiny(), average=average)).double().eval()
    frames = torch.arange(max(lengths))
    ends = torch.tensor(lengths)[:, None]
    real = frames < ends if after else frames >= max(lengths) - ends
    clips = torch.randn(len(lengths), max(lengths), 3, 9, 12).double()
    clips[~real] = torch.nan
    out, each = model(clips, real), model.frame_logits(clips, real)
    for index in range(len(lengths)):
        alone = clips[index][real[index]][None]
        close(out[index : index + 1], model(alone))
        close(each[index][real[index]][None], model.frame_logits(alone))


def test_padding_enters_neither_the_batchs_norms_nor_any_gradient():
    torch.manual_seed(0)
    models = [CNNLSTM(tiny()).double().train() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    clips = torch.randn(2, 3, 3, 8, 8).double()
    longer = torch.cat([clips, torch.full((2, 2, 3, 8, 8), torch.inf).double()], dim=1)
    real = torch.tensor([[True, True, True, False, False]] * 2)
    outs = models[0](clips), models[1](longer, real)
    close(*outs)
    for out in outs:
        out.square().sum().backward()
    for ours, padded in zip(models[0].parameters(), models[1].parameters(), strict=True):
        close(ours.grad, padded.grad)
    for ours, padded in zip(models[0].buffers(), models[1].buffers(), strict=True):
        close(ours, padded)


def test_what_is_said_at_a_frame_depends_on_it_and_those_before(model):
    clips = torch.randn(2, 5, 3, 9, 12).double()
    other = clips.clone()
    other[:, 3] = torch.randn(2, 3, 9, 12).double()
    changed = (model.frame_logits(clips) - model.frame_logits(other)).abs().amax((0, 2)) > 1e-9
    assert changed.tolist() == [False, False, False, True, True]


def test_the_order_of_frames_matters(model):
    clips = torch.randn(2, 5, 3, 9, 12).double()
    assert (model(clips) - model(clips.flip(1))).abs().max() > 1e-4


def test_predictions_are_averaged_as_probabilities():
    """One sure frame does not outvote two others, as it would in a mean of logits."""
    logits = torch.tensor([[[2.0, 0, 0], [1.0, 0, 0], [0.0, 90.0, 0]]]).double()
    close(average_prediction(logits).exp(), logits.softmax(-1).mean(1))
    assert logits.mean(1).argmax() == 1 and average_prediction(logits).argmax() == 0
    real = torch.tensor([[True, True, False]])
    close(average_prediction(logits, real).exp(), logits[:, :2].softmax(-1).mean(1))
    surest = torch.tensor([[[500.0, 0], [0, 10.0], [0, 10.0]]])
    assert surest.mean(1).argmax() == 0 and average_prediction(surest).argmax() == 1
    assert average_prediction(surest).isfinite().all()


def test_gradients():
    logits = torch.randn(2, 3, 4).double().requires_grad_()
    real = torch.tensor([[True, False, True], [True, True, True]])
    assert torch.autograd.gradcheck(lambda x: average_prediction(x, real), logits)


def test_what_cannot_work_is_refused(model):
    with pytest.raises(ValueError, match="^the frames have 1 channels, but this model takes 3$"):
        model(torch.zeros(2, 4, 1, 8, 8))
    with pytest.raises(ValueError, match=r"^4 axes are not \(batch, frames, channels, height"):
        model(torch.zeros(4, 3, 8, 8))
    with pytest.raises(ValueError, match="^a clip of 0 frames has nothing to see$"):
        model(torch.zeros(2, 0, 3, 8, 8))
    real = torch.tensor([[True, True], [False, False]])
    with pytest.raises(ValueError, match="^clip 1 has no real frame$"):
        model(torch.zeros(2, 2, 3, 8, 8), real)
    with pytest.raises(ValueError, match=r"^the mask of shape \(2, 1\) does not cover"):
        model(torch.zeros(2, 2, 3, 8, 8), real[:, :1])


def test_the_last_prediction_is_that_of_each_clips_last_real_frame():
    logits = torch.randn(3, 4, 2)
    real = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]]).bool()
    expected = torch.stack([logits[0, 3], logits[1, 1], logits[2, 3]])
    close(last_prediction(logits, real), expected)
    close(last_prediction(logits), logits[:, 3])


@pytest.mark.parametrize("predict", [last_prediction, average_prediction])
def test_predictions_refuse_masks_that_fit_no_frame(predict):
    logits, real = torch.randn(2, 5, 4), torch.ones(2, 5, dtype=torch.bool)
    nothing = real.clone()
    nothing[1] = False
    with pytest.raises(ValueError, match="clip 1 has no real frame"):
        predict(logits, nothing)
    for wrong, other in ((logits, real[:, :4]), (logits[:1], real)):
        with pytest.raises(ValueError, match="does not cover the batch and frames"):
            predict(wrong, other)


MASKS = pytest.mark.parametrize(
    "mask",
    [torch.zeros(2, 5), torch.zeros(2, 5).double() - torch.inf, torch.ones(2, 5).int()],
    ids=["additive", "additive, closed", "numbers"],
)


@MASKS
@pytest.mark.parametrize("predict", [last_prediction, average_prediction])
def test_predictions_take_masks_of_bool(predict, mask):
    sentence = rf"^the mask of the frames is {mask.dtype}, not torch.bool \(True = real\)$"
    with pytest.raises(ValueError, match=sentence):
        predict(torch.randn(2, 5, 4), mask)


@MASKS
@pytest.mark.parametrize("average", [False, True])
def test_the_model_takes_masks_of_bool(average, mask):
    model, clips = CNNLSTM(replace(tiny(), average=average)), torch.zeros(2, 5, 3, 8, 8)
    for say in (model, model.frame_logits, model.eval(), model.eval().frame_logits):
        with pytest.raises(ValueError, match=f"mask of the frames is {mask.dtype}, not torch.bool"):
            say(clips, mask)


def run_shapes() -> None:
    from dataclasses import replace

    import torch

    from scratchmm.video import cnn_lstm

    model, clips = cnn_lstm.CNNLSTM(cnn_lstm.tiny()), torch.randn(2, 6, 3, 32, 24)
    for average in (False, True):
        model.config = replace(model.config, average=average)
        model(clips)
        model(clips, torch.arange(6) < torch.tensor([[4], [6]]))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "video/cnn_lstm.py")
