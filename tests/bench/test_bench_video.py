"""The benchmark of clips: both sides have the same weights and say the same before they are timed."""

import pytest
import torch
from torch import nn

from scratchmm.bench import video
from scratchmm.commands import bench
from scratchmm.layers.lstm import LSTM
from scratchmm.video.cnn3d import CNN3D, CNN3DConfig
from scratchmm.video.cnn_lstm import CNNLSTM, CNNLSTMConfig, tiny

SMALL = CNN3DConfig(5, (8, 12), (2, 1))


def test_six_rows_with_the_peers_weights() -> None:
    clips = (2, 3, 3, 16, 16)
    rows = video.rows(
        "cpu", 1, SMALL, clips, sequences=(2, 3, 5), goals=(1e9, 1e9), lstm_goals={"eager": None}
    )
    assert [row.case.split(",")[0] for row in rows] == ["lstm of 5"] * 2 + ["cnn-lstm"] * 2 + [
        "3d-cnn"
    ] * 2
    assert len({row.case for row in rows}) == 6 and all(row.met for row in rows)
    assert [row.goal for row in rows] == [None, None, 1e9, 1e9, 1e9, 1e9]
    assert all(row.ours_ms > 0 and row.peer_ms > 0 for row in rows)
    assert video.GOAL == 1.0 and video.LSTM_GOALS == {"eager": None, "compiled": 1.5}
    assert "video" in bench.CASES


@torch.no_grad()
def test_weights_are_copied_cell_by_cell() -> None:
    theirs = nn.LSTM(5, 3, num_layers=2, batch_first=True, bidirectional=True)
    ours, x = video.copy_weights(LSTM(5, 3, layers=2, both=True), theirs), torch.randn(2, 4, 5)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])


@torch.no_grad()
def test_the_peers_are_other_programs_that_say_the_same() -> None:
    model = CNN3D(SMALL).eval()
    peer, clips = video.peer(model).eval(), torch.randn(2, 3, 3, 16, 16)
    torch.testing.assert_close(peer(clips), model(clips))
    ours, theirs = video.with_either_lstm(CNNLSTM(tiny()).eval())
    torch.testing.assert_close(theirs.model(clips), ours.model(clips))
    kinds = [{type(m) for m in side.model.modules()} for side in (ours, theirs)]
    assert nn.LSTM not in kinds[0] and LSTM not in kinds[1]


def test_what_differs_is_not_timed(monkeypatch) -> None:
    monkeypatch.setattr(video, "copy_weights", lambda ours, theirs: ours)
    with pytest.raises(ValueError, match="the hidden states of both LSTMs differ"):
        video.lstm_rows(2, 3, 5, device="cpu", rounds=1)
    with pytest.raises(ValueError, match="differ by"):
        sides = video.with_either_lstm(CNNLSTM(CNNLSTMConfig(5, channels=(4, 4))))
        for side in sides:
            nn.init.normal_(side.model.head.weight)
        x = torch.randn(2, 3, 3, 16, 16)
        video.forward_and_step("x", *sides, (x,), device="cpu", rounds=1, goals={"eager": 1e9})
