"""The benchmark of sound: both sides are compared before they are timed, on the sound that is there."""

import sys

import pytest
import torch

from scratchmm.audio.waveform import write_sound
from scratchmm.bench import audio
from scratchmm.bench.measure import Row
from scratchmm.commands import bench, main


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("SCRATCHMM_DATA", raising=False)


def test_seven_features_have_the_peers_numbers() -> None:
    pytest.importorskip("librosa")
    pytest.importorskip("transformers")
    rows = audio.rows(rounds=1, seconds=2, goal=1e9)
    assert [row.case.split(",")[0].removeprefix("audio ") for row in rows] == [
        *("STFT", "mel spectrogram", "MFCC", "chroma", "centroid", "tempo", "Whisper log-mel"),
    ]
    for row in rows:
        assert row.case.endswith("2 s of notes") and row.met and row.ours_mib is None
        assert row.ours.endswith(f", {2000 / row.ours_ms:,.0f} seconds of sound a second")
        assert row.peer.endswith(f", {2000 / row.peer_ms:,.0f}")
    assert audio.GOAL == 1.0 and "audio" in bench.CASES


@pytest.mark.parametrize("off", [1e-4, float("nan")])
def test_what_differs_is_not_timed(off) -> None:
    def case(peer):
        return audio.Case("STFT", "a", "b", lambda: torch.tensor([50.0 + 3j]), lambda: peer)

    audio.agree(case(torch.tensor([50.0 + 3.0001j])))
    with pytest.raises(ValueError, match="ours and the peer's STFT differ"):
        audio.agree(case(torch.tensor([50.0 + 3j + 1j * 50 * off])))
    with pytest.raises(ValueError, match=r"STFT is \(1, 2\), the peer's \(2, 2\)"):
        audio.agree(case(torch.zeros(2, dtype=torch.complex64)))


def test_the_users_sentences_are_used_if_they_suffice(monkeypatch, tmp_path) -> None:
    folder = tmp_path / "ljspeech" / "wavs"
    folder.mkdir(parents=True)
    for name in ("b", "a"):
        write_sound(
            folder / f"{name}.wav", torch.full((audio.RATE,), 0.25 * (name == "a")), audio.RATE
        )
    assert audio.speech(1.5) is None
    monkeypatch.setenv("SCRATCHMM_DATA", str(tmp_path))
    kind, sound = audio.speech(1.5)
    assert kind == "speech" and len(sound) == int(1.5 * audio.RATE)
    assert (sound[: audio.RATE] == 0.25).all() and (sound[audio.RATE :] == 0).all()
    assert audio.speech(2.5) is None


def test_numpy_takes_as_many_threads_as_torch() -> None:
    pool = pytest.importorskip("threadpoolctl")

    def blas() -> set[int]:
        return {i["num_threads"] for i in pool.threadpool_info() if i["user_api"] == "blas"}

    before = blas()
    with audio.one_number_of_threads():
        assert blas() <= {torch.get_num_threads()}
    assert blas() == before


def test_speed_counts_the_sound() -> None:
    row = Row("c", "stft", "librosa", 4.0, 8.0, 0.5, 1.0, 3.0, 0.0, "cpu", 1)
    found = audio.with_speed(row, seconds=28)
    assert found.ours == "stft, 7,000 seconds of sound a second" and found.peer == "librosa, 3,500"


def test_without_librosa_a_sentence_says_what_to_install(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "librosa", None)
    assert main(["bench", "audio", "--rounds", "1"]) == 1
    assert "librosa: pip install -e '.[parity]'" in capsys.readouterr().err
