import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.audio.audio_cnn import (
    AudioCNN,
    AudioCNNConfig,
    class_activation,
    frame_mask,
    masked_block,
    mean_over_time,
    tiny,
)
from scratchmm.audio.mel import log_mel as log_mel_of
from scratchmm.audio.spectrum import stft
from scratchmm.layers.convolution import ResidualBlock
from shape_comments import check_shape_comments


def model_that_has_learned(seed=0, **sizes):
    """A model whose norms have statistics, scales and biases of their own: zero goes to no zero."""
    torch.manual_seed(seed)
    sizes = {"classes": 3, "mels": 10, "channels": (4, 6, 5), "blocks": 2, **sizes}
    model = AudioCNN(AudioCNNConfig(**sizes)).eval()
    for name, value in [*model.named_buffers(), *model.named_parameters()]:
        if value.is_floating_point() and value.dim() == 1:
            positive = any(word in name for word in ("var", "deviation"))
            value.data = torch.rand_like(value) + 0.5 if positive else torch.randn_like(value)
    return model


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 21), st.integers(1, 3), st.integers(0, 3), st.sampled_from([1, 2, 9, 10]))
def test_a_sound_has_the_same_logits_alone_and_in_a_batch(length, blocks, halvings, mels):
    model = model_that_has_learned(channels=(4, 6, 5, 7)[: halvings + 1], blocks=blocks, mels=mels)
    log_mel = torch.randn(4, mels, 21)
    real = torch.arange(21) < torch.tensor([21, length, 9, 16])[:, None]
    with torch.no_grad():
        together = model(log_mel, real)
        alone = torch.cat([model(log_mel[i : i + 1, :, : real[i].sum()]) for i in range(4)])
        other = model(torch.where(real[:, None], log_mel, torch.nan), real)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(together, other, rtol=0, atol=0)


def test_the_model_of_a_plain_network():
    """Without padding: torch's own layers under the same weights, one after the other."""
    model, log_mel = model_that_has_learned(blocks=1).double(), torch.randn(2, 10, 13).double()
    with torch.no_grad():
        x = ((log_mel - model.mean[:, None]) / model.deviation[:, None])[:, None]
        x = model.stem(x).relu()
        for block in model.blocks:
            x = block(x)
        expected = model.head(x.mean(dim=3).flatten(1))
        torch.testing.assert_close(model(log_mel), expected)
        torch.testing.assert_close(model(log_mel, torch.ones(2, 13) > 0), expected)
    strides = [block.layers[0].convolution.stride for block in model.blocks]
    assert strides == [(1, 1), (2, 2), (2, 2)]
    assert x.shape == (2, 5, 3, 4) and model.config.shrink == 4


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frames", [1, 4, 7])
def test_a_block_without_padding_is_the_layers_own(stride, frames):
    block, x = ResidualBlock(3, 5, stride), torch.randn(2, 3, 6, frames)
    block.eval()
    got, mask = masked_block(block, x, torch.ones(2, 1, 1, frames))
    torch.testing.assert_close(got, block(x))
    assert mask.shape == (2, 1, 1, got.shape[-1])


def test_in_training_all_weights_learn_and_the_padding_stays_unheard():
    model, log_mel = AudioCNN(tiny()), torch.randn(3, 12, 11, requires_grad=True)
    real = torch.arange(11) < torch.tensor([[11], [4], [7]])
    model(log_mel, real).square().sum().backward()
    assert all(value.grad.abs().sum() > 0 for value in model.parameters())
    unheard = log_mel.grad.abs().amax(dim=1) == 0
    assert torch.equal(unheard, ~real)


def test_bands_are_normalised_by_what_real_frames_of_training_sounds_have():
    log_mel, real = 20 * torch.randn(5, 12, 30) - 40, torch.rand(5, 30) > 0.4
    log_mel[:, 7] = -80.0
    model = AudioCNN(tiny())
    model.measure(torch.where(real[:, None], log_mel, torch.inf), real)
    for band, frames in enumerate(log_mel.transpose(0, 1).double().numpy()):
        values = frames[real.numpy()]
        assert model.mean[band].item() == pytest.approx(values.mean(), rel=1e-5)
        expected = 1.0 if band == 7 else np.std(values)
        assert model.deviation[band].item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(model.normalise(log_mel)[:, 7], torch.zeros(5, 30))
    stored = AudioCNN(tiny())
    stored.load_state_dict(model.state_dict())
    torch.testing.assert_close(stored.mean, model.mean)
    model.measure(log_mel)
    normal = model.normalise(log_mel).transpose(0, 1).flatten(1)
    torch.testing.assert_close(normal.mean(1), torch.zeros(12), rtol=0, atol=1e-4)


@pytest.mark.parametrize("length", [1, 6, 21])
def test_the_mean_over_time_of_the_evidence_is_the_logit(length):
    model, log_mel = model_that_has_learned().double(), torch.randn(2, 10, 21).double()
    real = torch.arange(21) < torch.tensor([[21], [length]])
    with torch.no_grad():
        evidence, (_, cells) = model.evidence(log_mel, real), model.features(log_mel, real)
        logits = mean_over_time(evidence, cells).sum(dim=2) + model.head.bias
        torch.testing.assert_close(logits, model(log_mel, real))
    assert evidence.shape == (2, 3, 3, 6)
    assert cells.sum(1).tolist() == [6, -(-length // 4)]
    assert (evidence[1, ..., int(cells[1].sum()) :] == 0).all() and (evidence[0] != 0).any()


def test_evidence_is_a_weighted_sum_at_every_cell():
    x, weight = torch.randn(2, 4, 3, 5), torch.randn(6, 4, 3)
    expected = torch.zeros(2, 6, 3, 5)
    for b, k, d, m in np.ndindex(2, 6, 4, 3):
        expected[b, k, m] += weight[k, d, m] * x[b, d, m]
    torch.testing.assert_close(class_activation(x, weight), expected)


def test_evidence_stands_where_the_sound_is():
    """A tone in one corner of a silent spectrogram: nothing far from it says anything new."""
    model = model_that_has_learned(channels=(4, 6), blocks=1, mels=40)
    silence = torch.zeros(1, 40, 60)
    tone = silence.clone()
    tone[:, 30:34, 40:44] = 5.0
    with torch.no_grad():
        new = (model.evidence(tone) - model.evidence(silence)).abs().sum(dim=(0, 1))
    heard = (new > 1e-5).nonzero()
    assert heard[:, 0].min() >= 12 and heard[:, 0].max() <= 19
    assert heard[:, 1].min() >= 17 and heard[:, 1].max() <= 24


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(1, 5),
)
def test_the_mean_over_time_is_a_mean_over_real_frames(lengths, channels, bands):
    x = torch.randn(len(lengths), channels, bands, 7, dtype=torch.float64)
    real = torch.arange(7) < torch.tensor(lengths)[:, None]
    expected = torch.zeros(x.shape[:3], dtype=torch.float64)
    for b, length in enumerate(lengths):
        if length:
            expected[b] = x[b, :, :, :length].mean(dim=2)
    dirty = torch.where(real[:, None, None], x, torch.nan)
    torch.testing.assert_close(mean_over_time(dirty, real), expected)


def test_gradients_of_the_mean_over_time():
    x, real = (
        torch.randn(3, 2, 4, 5, dtype=torch.float64, requires_grad=True),
        torch.rand(3, 5) > 0.5,
    )
    assert torch.autograd.gradcheck(lambda x: mean_over_time(x, real), x)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=4), st.integers(1, 9))
def test_a_frame_is_real_if_the_sound_alone_has_it(lengths, hop):
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    frames = frame_mask(real, hop)
    for row, length in enumerate(lengths):
        alone = stft(torch.zeros(length), 4, hop).shape[-1]
        assert frames[row].tolist() == [t < alone for t in range(frames.shape[1])]
    assert frames.all(1).any()


def test_recordings_are_named_alike_alone_and_together(recordings):
    sounds = [sound for sound, rate in recordings if rate == 8000][:12]
    real = torch.arange(max(map(len, sounds))) < torch.tensor([[len(x)] for x in sounds])
    batch = nn.utils.rnn.pad_sequence(sounds, batch_first=True)
    sizes = {"rate": 8000, "size": 256, "hop": 80, "mels": 40}
    model = model_that_has_learned(mels=40)
    log_mel, frames = log_mel_of(batch, **sizes), frame_mask(real, 80)
    model.measure(log_mel, frames)
    with torch.no_grad():
        together = model(log_mel, frames)
        alone = torch.cat([model(log_mel_of(sound[None], **sizes)) for sound in sounds])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert len(set(frames.sum(1).tolist())) > 5


@pytest.mark.parametrize("content", [0.0, -100.0, 1e4])
def test_silence_one_frame_and_nothing_real_give_numbers(content):
    model = AudioCNN(tiny()).eval()
    log_mel = torch.full((2, 12, 1), content)
    model.measure(log_mel)
    assert model(log_mel).isfinite().all()
    nothing = torch.zeros(2, 1, dtype=torch.bool)
    torch.testing.assert_close(model(log_mel, nothing), model.head.bias.expand(2, -1))


def test_what_does_not_fit_is_refused_in_a_sentence():
    model, log_mel = AudioCNN(tiny()), torch.zeros(2, 12, 9)
    for given_, real, sentence in [
        (log_mel[0], None, "^the log-mel has 2 axes, not 3"),
        (log_mel[:, :11], None, "^the log-mel has 11 bands, but this model takes 12$"),
        (log_mel[..., :0], None, "^the log-mel has 0 frames, at least 1 is needed$"),
        (log_mel, torch.ones(2, 9), r"^the mask is torch.float32 \(2, 9\), but .* bool \(2, 9\)$"),
        (log_mel, torch.ones(2, 8) > 0, r"^the mask is torch.bool \(2, 8\), but .* bool \(2, 9\)$"),
    ]:
        for call in (model, model.measure, model.evidence):
            with pytest.raises(ValueError, match=sentence):
                call(given_, real)
    with pytest.raises(ValueError, match="no real frame"):
        model.measure(log_mel, torch.zeros(2, 9, dtype=torch.bool))
    with pytest.raises(ValueError, match="^blocks is 0 and must be"):
        AudioCNNConfig(3, blocks=0)


def run_shapes() -> None:
    import torch

    from scratchmm.audio import audio_cnn

    config = audio_cnn.AudioCNNConfig(classes=7, mels=12, channels=(4, 5))
    model, log_mel = audio_cnn.AudioCNN(config), torch.randn(3, 12, 18)
    real = audio_cnn.frame_mask(torch.arange(35) < torch.tensor([[35], [11], [20]]), hop=2)
    model.measure(log_mel, real)
    model(log_mel, real)
    model(log_mel)
    model.evidence(log_mel, real)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "audio/audio_cnn.py")
