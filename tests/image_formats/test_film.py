"""Frames painted one over the other: where a part lies, what it leaves, what it takes away."""

import numpy as np
from PIL import Image

from scratchmm.image_formats.film import Film, Part, canvases

RED, GREEN, NOTHING = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 0, 0)


def part(box, disposal="kept", over=True, color=GREEN):
    size = (box[2] - box[0], box[3] - box[1])
    return Part(box, disposal, over, 50.0, lambda: Image.new("RGBA", size, color))


def painted(*parts, width=4, height=3):
    """Each canvas as it is shown, (F, height, width, 4)."""
    film = Film(width, height, list(parts))
    return np.stack([np.array(canvas) for canvas in canvases(film)])


def expected(box, inside, outside, width=4, height=3):
    canvas = np.empty((height, width, 4), np.uint8)
    canvas[:] = outside
    canvas[box[1] : box[3], box[0] : box[2]] = inside
    return canvas


def test_a_part_changes_its_own_pixels_and_no_others():
    whole, box = part((0, 0, 4, 3), color=RED), (1, 0, 2, 2)
    for over in (True, False):
        frames = painted(whole, part(box, over=over))
        np.testing.assert_array_equal(frames[0], expected(box, RED, RED))
        np.testing.assert_array_equal(frames[1], expected(box, GREEN, RED))
    frames = painted(
        whole, part(box, over=True, color=NOTHING), part(box, over=False, color=NOTHING)
    )
    np.testing.assert_array_equal(frames[1], expected(box, RED, RED))  # nothing is laid over
    np.testing.assert_array_equal(frames[2], expected(box, NOTHING, RED))  # or put in its place


def test_what_lies_outside_of_the_canvas_is_cut_off():
    whole = part((0, 0, 4, 3), color=RED)
    for over in (True, False):
        frames = painted(whole, part((2, 1, 9, 8), over=over))
        np.testing.assert_array_equal(frames[1], expected((2, 1, 4, 3), GREEN, RED))


def test_a_part_is_kept_cleared_or_taken_back():
    whole, box, last = part((0, 0, 4, 3), color=RED), (1, 1, 3, 2), part((0, 0, 1, 1))
    for disposal, left in (("kept", GREEN), ("cleared", NOTHING), ("restored", RED)):
        frames = painted(whole, part(box, disposal), last)
        np.testing.assert_array_equal(frames[1], expected(box, GREEN, RED))
        wanted = expected(box, left, RED)
        wanted[0, 0] = GREEN
        np.testing.assert_array_equal(frames[2], wanted)
