import pytest
import torch

from scratchmm.audio.audio_cnn import AudioCNN, AudioCNNConfig, masked_mean


def model_that_has_learned(seed=0, **sizes):
    """A model whose norms have statistics, scales and biases of their own, so that zero is not zero."""
    torch.manual_seed(seed)
    sizes = {"classes": 3, "mels": 10, "channels": (4, 6, 5), "blocks": 2, **sizes}
    model = AudioCNN(AudioCNNConfig(**sizes)).eval()
    for name, value in [*model.named_buffers(), *model.named_parameters()]:
        if value.is_floating_point() and value.dim() == 1:
            positive = any(word in name for word in ("var", "deviation"))
            value.data = torch.rand_like(value) + 0.5 if positive else torch.randn_like(value)
    return model


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 13])
def test_a_sound_has_the_same_logits_alone_and_in_a_batch(length):
    model, log_mel = model_that_has_learned(), torch.randn(4, 10, 21)
    real = torch.arange(21) < torch.tensor([[21], [length], [9], [16]])
    with torch.no_grad():
        together = model(log_mel, real)
        alone = torch.cat([model(log_mel[i : i + 1, :, : real[i].sum()]) for i in range(4)])
        other = model(torch.where(real[:, None], log_mel, torch.nan), real)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(together, other, rtol=0, atol=0)


def test_the_masked_mean_of_the_evidence_is_the_logit():
    model, log_mel = model_that_has_learned(), torch.randn(2, 10, 21)
    real = torch.arange(21) < torch.tensor([[21], [6]])
    with torch.no_grad():
        evidence, (_, cells) = model.evidence(log_mel, real), model.features(log_mel, real)
        logits = masked_mean(evidence, cells) + model.head.bias
        torch.testing.assert_close(logits, model(log_mel, real), rtol=0, atol=1e-5)
    assert evidence.shape == (2, 3, 3, 6) and (evidence[1, ..., 2:] == 0).all()
