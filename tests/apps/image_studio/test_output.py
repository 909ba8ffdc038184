"""Image files: their pixels are those that were drawn."""

import os
from pathlib import Path

import pytest
import torch

from scratchmm.apps.image_studio.output import check_out, image_bytes
from scratchmm.files import atomic_write
from scratchmm.vision.images import open_image, to_image, to_tensor


def test_what_is_written_is_what_was_drawn(tmp_path):
    image = 2 * torch.rand(3, 7, 5) - 1
    atomic_write(tmp_path / "a.png", image_bytes(to_image(image)))
    torch.testing.assert_close(
        to_tensor(open_image(tmp_path / "a.png")), image, rtol=0, atol=1 / 255 + 1e-5
    )


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_drawn(
    tmp_path, monkeypatch
):
    asked = []

    def access(path, mode):
        asked.append((path, mode))
        return False

    monkeypatch.setattr("scratchmm.apps.image_studio.output.os.access", access)
    out = tmp_path / "new" / "deeper"
    with pytest.raises(ValueError, match=f"^{out} cannot be written: {tmp_path} is no folder that"):
        check_out(out, single=False, count=3)
    assert asked == [(tmp_path, os.W_OK)]  # of the last folder that exists
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is no folder that can be written to"):
        check_out(tmp_path / "file" / "a.png", single=True, count=1)


def test_the_place_for_one_image_or_for_many():
    assert check_out(None, True, 1) == Path("out.png") and check_out(None, False, 2) == Path(
        "images"
    )
    with pytest.raises(ValueError, match="does not end in .png"):
        check_out(Path("a.txt"), True, 1)
    with pytest.raises(ValueError, match="3 images need a folder"):
        check_out(Path("a.PNG"), False, 3)
