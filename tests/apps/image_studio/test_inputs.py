"""Images to start from: squares, masks, outlines, depth images and poses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scratchmm.apps.image_studio.inputs import (
    is_outline,
    read_control,
    read_inputs,
    read_mask,
    squared,
)
from scratchmm.vision.images import to_tensor

NOISE = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)


def saved(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("times", [1, 2, 5])
def test_what_was_enlarged_comes_back_exactly_and_without_a_word(times: int) -> None:
    said: list[str] = []
    large = Image.fromarray(NOISE.repeat(times, 0).repeat(times, 1))
    assert np.array_equal(np.array(squared(large, Path("a"), said.append)), NOISE)
    assert said == []


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 33), (32, 64), (64, 32), (40, 100)])
def test_other_images_are_told_and_their_middle_is_taken(height: int, width: int) -> None:
    said: list[str] = []
    pixels = np.zeros((height, width, 3), np.uint8)
    rows, columns = np.mgrid[:height, :width]
    short = min(height, width)
    inside = (abs(rows + 0.5 - height / 2) < short / 2) & (
        abs(columns + 0.5 - width / 2) < short / 2
    )
    pixels[inside] = 200
    pixels[height // 2, width // 2] = 90  # so that it is no enlarged image
    found = np.array(squared(Image.fromarray(pixels), Path("a.png"), said.append))
    assert found.shape == (32, 32, 3) and found[2:-2, 2:-2].mean() > 190
    assert said == [f"a.png: the middle of {width} x {height} pixels, made 32 x 32"]


def test_a_mask_is_where_it_is_white(tmp_path: Path) -> None:
    grey = np.zeros((32, 32))
    grey[3:9, 5:7], grey[20:22] = 255, 120
    found = read_mask(saved(tmp_path / "m.png", grey), (32, 32), tmp_path / "i.png")
    assert found.shape == (1, 1, 32, 32) and torch.equal(found[0, 0], torch.tensor(grey == 255))


def lines(*places: tuple[slice | int, slice | int], level: float = 1.0) -> torch.Tensor:
    grey = torch.zeros(1, 1, 32, 32)
    for rows, columns in places:
        grey[0, 0, rows, columns] = level
    return grey


def test_outlines_are_thin_and_white() -> None:
    everywhere = slice(2, 30)
    assert is_outline(lines((5, everywhere), (everywhere, 9)))
    assert is_outline(lines((slice(5, 7), everywhere)))  # two pixels wide
    assert not is_outline(lines((slice(5, 8), slice(4, 7))))  # three pixels in both directions
    assert not is_outline(lines((5, everywhere), level=0.5)) and not is_outline(lines())
    both = lines((5, everywhere))
    both[0, 0, 20, 3] = 0.5  # one grey pixel
    assert not is_outline(both)


def test_controls_are_read_as_they_are(tmp_path: Path) -> None:
    said: list[str] = []
    white = lines((5, slice(2, 30)))
    path = saved(tmp_path / "e.png", (white[0, 0] * 255).numpy())
    assert torch.equal(read_control(path, "edges", said.append), white)
    depth = np.add.outer(np.arange(32), np.arange(32)) * 4
    found = read_control(saved(tmp_path / "d.png", depth), "depth", said.append)
    torch.testing.assert_close(found[0, 0], torch.tensor(depth / 255).float())
    pose = np.zeros((32, 32, 3))
    pose[4:20, 9] = (255, 0, 0)
    found = read_control(saved(tmp_path / "p.png", pose), "pose", said.append)
    torch.testing.assert_close(found[0], torch.tensor(pose / 255).float().permute(2, 0, 1))
    assert said == []


def test_what_was_read_is_told_and_another_image_is_another_content(tmp_path: Path) -> None:
    init = saved(tmp_path / "i.png", NOISE)
    found = read_inputs(init=init, log=print)
    assert torch.equal(found.init, to_tensor(Image.fromarray(NOISE))[None])
    assert found.strength == 0.6 and (found.mask, found.colours, found.control) == (None,) * 3
    assert {"init": str(init), "strength": 0.6}.items() <= found.settings.items()
    assert len(found.settings["images"]) == 8
    mask = saved(tmp_path / "m.png", np.full((32, 32), 255))
    masked = read_inputs(init=init, mask=mask, log=print)
    assert masked.strength == 1.0 and masked.mask.all()
    other = saved(tmp_path / "o.png", 255 - NOISE)
    again = read_inputs(init=other, strength=0.25, log=print)
    assert again.strength == 0.25 and again.settings["images"] != found.settings["images"]
    nothing = read_inputs(log=print)
    assert nothing.settings == {} and nothing.init is None


@pytest.mark.parametrize("colour", [(0, 90, 90), (90, 0, 0), (90, 90, 0), (0, 0, 200)])
def test_colours_below_and_above_their_mean_are_colours(tmp_path: Path, colour) -> None:
    """Of (0, 90, 90) only one channel is far from the mean, and it is below."""
    pixels = np.zeros((32, 32, 3))
    pixels[8:20, 8:20] = colour
    with pytest.raises(ValueError, match="is no depth image: it has colours"):
        read_control(saved(tmp_path / "c.png", pixels), "depth", lambda text: None)
    pixels[8:20, 8:20] = (99, 40, 30)  # red: 43 above the mean of 56; none is far below
    with pytest.raises(ValueError, match="is no depth image: it has colours"):
        read_control(saved(tmp_path / "c.png", pixels), "depth", lambda text: None)
    pixels[8:20, 8:20] = (42, 90, 90)  # 32 below the mean of 74, and 16 above
    with pytest.raises(ValueError, match="is no depth image: it has colours"):
        read_control(saved(tmp_path / "c.png", pixels), "depth", lambda text: None)
