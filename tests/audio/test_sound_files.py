"""Shapes of audio/sound_files.py."""

from shape_comments import check_shape_comments


def run_shapes() -> None:
    import tempfile
    from pathlib import Path

    import torch

    from scratchmm.audio import waveform

    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.wav", "a.ogg"):
            path = waveform.write_sound(Path(folder) / name, torch.zeros(2, 9), 8000)
            waveform.read_sound(path, rate=6000)
    waveform.loud_part(torch.ones(3, 70), frame=10, hop=5)
    waveform.pad_together([torch.zeros(5), torch.zeros(7)])


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "audio/sound_files.py")
