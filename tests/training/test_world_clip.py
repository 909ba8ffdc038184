"""The lessons' CLIP: trained once, taken from where it is."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from scratchmm.training import world_clip
from scratchmm.training.world_clip import open_clip


def test_it_is_trained_once_and_taken_from_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with torch.no_grad():  # a lesson may have switched gradients off
        trained = open_clip([second], scenes=140, steps=2)
    monkeypatch.setattr(world_clip, "fit", None)
    again = open_clip([first, second])
    assert not first.exists()
    texts = ["a red star"]
    assert_close(again.embed_texts(texts), trained.embed_texts(texts))
