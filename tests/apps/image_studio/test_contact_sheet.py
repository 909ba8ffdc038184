"""Contact sheets: where each image lies, what is refused."""

import numpy as np
import pytest
from PIL import Image

from scratchmm.apps.image_studio.contact_sheet import CELL, GAP, HIGHEST, contact_sheet, fitted


def test_a_contact_sheet_shows_every_image_as_it_is():
    colours = [(20 * n, 255 - 20 * n, 90) for n in range(11)]
    sheet = contact_sheet([Image.new("RGB", (32, 32), c) for c in colours], columns=4)
    assert sheet.size == (4 * (CELL + GAP) + GAP, 3 * (CELL + GAP) + GAP)
    for index, colour in enumerate(colours):
        row, column = divmod(index, 4)
        left, top = GAP + column * (CELL + GAP), GAP + row * (CELL + GAP)
        cell = np.array(sheet)[top : top + CELL, left : left + CELL]
        assert (cell == colour).all()
    titled = contact_sheet([Image.new("RGB", (32, 32))] * 2, ["one two three " * 9, ""])
    below = np.array(titled)[GAP + CELL + 2 :, : GAP + CELL]
    assert (below < 128).any(), "nothing is written under the first image"
    assert (np.array(titled)[GAP + CELL + 2 :, 2 * GAP + CELL :] == 255).all()
    many = contact_sheet([Image.new("RGB", (8, 8))] * 3000)
    assert many.height <= HIGHEST + GAP
    with pytest.raises(ValueError, match="0 images"):
        contact_sheet([])
    with pytest.raises(ValueError, match="1 titles for 2 images"):
        contact_sheet([Image.new("RGB", (8, 8))] * 2, ["a"])


def test_images_that_fit_are_enlarged_by_whole_pixels():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 32, 3), np.uint8))
    np.testing.assert_array_equal(np.array(fitted(image))[::4, ::4], np.array(image))
    assert max(fitted(Image.new("RGB", (700, 1))).size) == CELL
