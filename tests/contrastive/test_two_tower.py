"""Two towers of any modalities: embeddings, logits, and a shared space that is learned."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scratchmm.audio.audio_cnn import AudioCNN, AudioCNNConfig
from scratchmm.contrastive.clip import CLIPText
from scratchmm.contrastive.loss import contrastive_loss
from scratchmm.contrastive.two_tower import LogitScale, TwoTower
from scratchmm.language.text_transformer import TextConfig
from scratchmm.video.cnn_lstm import CNNLSTM, CNNLSTMConfig
from shape_comments import check_shape_comments

TEXT = TextConfig(11, 9, width=8, depth=1, heads=2, hidden=5, end_token=10)


def a_model():
    """A tower of sounds, one of clips and one of texts; of each the last layer is the vector."""
    torch.manual_seed(0)
    sound = AudioCNN(AudioCNNConfig(classes=7, mels=12, channels=(4, 6)))
    clips = CNNLSTM(CNNLSTMConfig(9, channels=(8, 12), grid=2, features=64, width=32))
    towers = {"sound": sound, "video": clips, "text": CLIPText(TEXT)}
    return TwoTower(towers, {"sound": 7, "video": 9, "text": 8}, embedding=5)


def a_batch(B=4):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 10, (B, 6), generator=generator)
    tokens[:, 4] = 10
    sound = torch.randn(B, 12, 20, generator=generator)
    return {
        "sound": sound,
        "video": torch.randn(B, 3, 3, 8, 8, generator=generator),
        "text": tokens,
    }


def test_embeddings_are_the_towers_vectors_projected_to_unit_length():
    model, batch = a_model().eval(), a_batch()
    output = model(batch)
    assert list(output.embeddings) == ["sound", "video", "text"]
    for name, inputs in batch.items():
        vectors = model.towers[name](inputs) @ model.projections[name].weight.T
        torch.testing.assert_close(output.embeddings[name], F.normalize(vectors, dim=-1))
        torch.testing.assert_close(model.encode(name, inputs), output.embeddings[name])
        assert model.projections[name].bias is None
    torch.testing.assert_close(output.scale, model.logit_scale())


def test_logits_have_the_rows_of_one_modality_and_the_columns_of_another():
    output = a_model().eval()(a_batch())
    logits = output.logits("sound", "text")
    for i in range(4):
        for j in range(4):
            cosine = output.embeddings["sound"][i] @ output.embeddings["text"][j]
            torch.testing.assert_close(logits[i, j], output.scale * cosine)
    torch.testing.assert_close(output.logits("text", "sound"), logits.T)


def test_a_tower_may_take_several_tensors_and_a_batch_may_lack_a_modality():
    model, batch = a_model().eval(), a_batch()
    real = torch.tensor([[3], [2], [3], [1]]) > torch.arange(3)
    output = model({"video": (batch["video"], real), "text": batch["text"]})
    torch.testing.assert_close(
        output.embeddings["video"], model.encode("video", batch["video"], real)
    )
    assert list(output.embeddings) == ["video", "text"]
    whole = model.encode("video", batch["video"])
    assert (output.embeddings["video"] - whole).abs().max() > 1e-4


@pytest.mark.parametrize(
    "pairs",
    [
        [("sound", "text")],
        [("video", "text")],
        [("sound", "text"), ("video", "text"), ("sound", "video")],
    ],
)
def test_towers_of_any_modalities_learn_a_shared_space(pairs):
    """In pairs, by CLIP's loss: afterwards each sample is closest to its own partner."""
    model, batch = a_model(), a_batch()
    batch = {name: batch[name] for name in sorted({name for pair in pairs for name in pair})}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    losses = []
    for _ in range(60):
        embeddings, scale = model(batch)
        loss = sum(contrastive_loss(embeddings[a], embeddings[b], scale) for a, b in pairs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / len(pairs))
    assert losses[0] > 0.7 and losses[-1] < 0.1
    output = model(batch)
    for a, b in pairs:
        assert output.logits(a, b).argmax(dim=1).tolist() == [0, 1, 2, 3]
    for name in batch:
        assert model.projections[name].weight.grad.abs().max() > 0


def test_what_does_not_fit_is_refused():
    towers = {"image": nn.Identity(), "text": nn.Identity()}
    with pytest.raises(ValueError, match="at least 2 towers to compare, not 1"):
        TwoTower({"image": nn.Identity()}, {"image": 3}, 4)
    with pytest.raises(ValueError, match="towers are image, text, but the widths are of image$"):
        TwoTower(towers, {"image": 3}, 4)
    with pytest.raises(KeyError, match="sound"):
        TwoTower(towers, {"image": 3, "text": 3}, 4)({"sound": torch.zeros(2, 3)})


def test_the_scale_starts_at_its_initial_value_and_learns_a_logarithm():
    logit_scale = LogitScale(initial=0.05)
    assert logit_scale().item() == pytest.approx(20)
    assert logit_scale.log_scale.item() == pytest.approx(math.log(20))
    assert LogitScale()().item() == pytest.approx(1 / 0.07)


def test_the_scale_is_held_at_its_limit_and_can_come_back():
    logit_scale = LogitScale(limit=50.0)
    for log_scale in (math.log(50) + 1e-3, 5.0, 40.0):
        with torch.no_grad():
            logit_scale.log_scale.fill_(log_scale)
        (gradient,) = torch.autograd.grad(logit_scale(), logit_scale.log_scale)
        assert logit_scale().item() == pytest.approx(50, rel=1e-4)
        assert gradient.item() == pytest.approx(50, rel=1e-4)
    with torch.no_grad():
        logit_scale.log_scale.fill_(2.0)
    assert logit_scale().item() == pytest.approx(math.exp(2))
    default = LogitScale()
    with torch.no_grad():
        default.log_scale.fill_(9.0)
    assert default().item() == pytest.approx(100, rel=1e-4)


def run_shapes() -> None:
    import torch

    from scratchmm.contrastive import two_tower

    towers = {"a": torch.nn.Linear(5, 7), "b": torch.nn.Linear(6, 9)}
    model = two_tower.TwoTower(towers, {"a": 7, "b": 9}, embedding=8)
    model({"a": torch.randn(3, 5), "b": torch.randn(3, 6)})


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "contrastive/two_tower.py")
