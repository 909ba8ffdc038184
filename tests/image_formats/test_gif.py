"""GIF files written by hand, as the specification says, and shown as browsers show them."""

import resource
import struct
import subprocess
import sys

import pytest
import torch
from PIL import Image

from scratchmm.image_formats.gif import film_of
from scratchmm.video.clips import read_clip
from scratchmm.vision.images import open_image

PALETTE = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0])  # R G B K
LETTERS = {(255, 0, 0): "R", (0, 255, 0): "G", (0, 0, 255): "B", (0, 0, 0): "K", (255,) * 3: "w"}


def lzw(pixels):
    """Codes of 3 bits; a clear (4) before every pixel keeps them at 3."""
    bits, filled = 0, 0
    for code in [code for pixel in pixels for code in (4, pixel)] + [5]:
        bits |= code << filled
        filled += 3
    data = bits.to_bytes(-(-filled // 8), "little")
    runs = [data[i : i + 255] for i in range(0, len(data), 255)]
    return b"\2" + b"".join(bytes([len(run)]) + run for run in runs) + b"\0"


def frame(pixels, width, x=0, y=0, *, delay=10, disposal=0, clear=None, control=True, **more):
    """A frame; more: palette (its own), interlaced."""
    palette, interlaced = more.get("palette", b""), more.get("interlaced", False)
    flags = bytes([disposal << 2 | (clear is not None)])
    said = b"!\xf9\4" + flags + struct.pack("<H", delay) + bytes([clear or 0]) + b"\0"
    height = len(pixels) // width if width else 0
    flags = 0x81 * bool(palette) | 0x40 * interlaced
    place = struct.pack("<HHHHB", x, y, width, height, flags)
    return said * control + b"," + place + palette + lzw(pixels)


def gif(width, frames, *, height=1, background=0, palette=PALETTE):
    flags = 0x81 if palette else 0
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, flags, background, 0) + palette
    return head + b"".join(frames) + b";"


def shown(path, content):
    """Each frame's pixels as letters; the first is what open_image shows."""
    path.write_bytes(content)
    levels = ((read_clip(path)[0] + 1) * 127.5).round().int()
    frames = ["".join(LETTERS.get(tuple(p), "?") for p in f.flatten(1).T.tolist()) for f in levels]
    image = open_image(path)
    places = [(x, y) for y in range(image.height) for x in range(image.width)]
    assert "".join(LETTERS[image.getpixel(place)] for place in places) == frames[0]
    return frames


RED = [0, 0, 0]
CASES = {
    "a first frame smaller than the canvas": ([frame([0], 1, 1), frame([1], 1)], "wRw GRw"),
    "restored to nothing": (
        [frame(RED, 3, disposal=2), frame([1], 1, 1, disposal=2), frame([3], 1, 2)],
        "RRR wGw wwK",
    ),
    "restored to what was before": (
        [frame(RED, 3), frame([1], 1, 1, disposal=3), frame([2], 1, 2)],
        "RRR RGR RRB",
    ),
    "restored to what was before, written as 4": (
        [frame(RED, 3), frame([1], 1, 1, disposal=4), frame([2], 1, 2)],
        "RRR RGR RRB",
    ),
    "before the first was nothing": ([frame(RED, 3, disposal=3), frame([1], 1, 1)], "RRR wGw"),
    "kept": (
        [frame(RED, 3, disposal=1), frame([1], 1, 1, disposal=0), frame([2], 1)],
        "RRR RGR BGR",
    ),
    "only the frame's place is cleared": (
        [frame(RED, 3), frame([1, 1], 2, 1, disposal=2), frame([2], 1, 2)],
        "RRR RGG RwB",
    ),
    "a see-through colour": (
        [frame([0, 3, 0], 3, clear=3), frame([3, 1, 3], 3, clear=3), frame([2, 0, 2], 3, clear=0)],
        "RwR RGR BGB",
    ),
    "a colour is see-through in its own frame only": (
        [frame([3, 0, 0], 3, clear=3), frame([3], 1, 1)],
        "wRR wKR",
    ),
    "cleared where it was see-through": (
        [
            frame([0, 3, 0], 3, clear=3, disposal=2),
            frame([1], 1, 1, clear=3, disposal=2),
            frame([2], 1),
        ],
        "RwR wGw Bww",
    ),
    "a frame without a control has none of the one before": (
        [
            frame(RED, 3, disposal=2),
            frame([1], 1, 1, control=False),
            frame([3], 1, 2, control=False),
        ],
        "RRR wGw wGK",
    ),
    "a palette of its own": (
        [frame(RED, 3), frame([0, 1], 2, palette=PALETTE[3:] + PALETTE[:3]), frame([1], 1, 2)],
        "RRR GBR GBG",
    ),
    "a frame that goes beyond the border": ([frame(RED, 3), frame([1, 2, 3], 3, 2)], "RRR RRG"),
    "a first frame larger than the canvas": ([frame([0] * 5, 5), frame([1], 1, 4)], "RRRRR RRRRG"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("background", [0, 2, 3])
def test_a_gif_is_painted_as_in_browsers(tmp_path, name, background):
    frames, expected = CASES[name]
    content = gif(3, frames, background=background)
    assert shown(tmp_path / "a.gif", content) == expected.split()


def test_a_gif_whose_head_says_no_size_is_as_large_as_its_first_frame(tmp_path):
    assert shown(tmp_path / "a.gif", gif(0, [frame(RED, 3)], height=0)) == ["RRR"]


def test_rows_may_come_interlaced(tmp_path):
    rows = [0, 1, 2, 3, 0, 1, 2, 3, 1]  # from top to bottom
    order = [0, 8, 4, 2, 6, 1, 3, 5, 7]  # every 8th, from the 4th on, every 4th from the 2nd on ...
    stored = [rows[row] for row in order]
    for x in (0, 1):  # alone, and upon another frame
        frames = [frame(stored, 1, interlaced=True), *[frame([0] * 9, 1, 1)] * x]
        content = gif(1 + x, frames, height=9)
        found = shown(tmp_path / "a.gif", content)[0]
        assert found[:: 1 + x] == "RGBKRGBKG"


def test_without_a_palette_it_is_grey(tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(gif(3, [frame([0, 1, 3], 3)], palette=b""))
    assert [open_image(path).getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (1,) * 3, (3,) * 3]


def test_times_are_those_of_browsers(tmp_path):
    path = tmp_path / "a.gif"
    delays = [0, 1, 2, 3, 10, 65_535]
    path.write_bytes(gif(1, [*[frame([0], 1, delay=delay) for delay in delays], frame([1], 1)]))
    lasts = read_clip(path)[1].diff()
    expected = torch.tensor([0.1, 0.1, 0.02, 0.03, 0.1, 655.35], dtype=torch.float64)
    torch.testing.assert_close(lasts, expected)


def test_a_frame_that_shows_nothing_is_refused(tmp_path):
    path = tmp_path / "a.gif"
    cases = {
        r"frame 2 of .*begins at column 3 and row 0, outside of the canvas of 3 x 1 pixels": frame(
            [1], 1, 3
        ),
        r"frame 2 of .*begins at column 0 and row 7, outside": frame([1], 1, 0, 7),
        r"frame 2 of .*has 0 x 0 pixels": frame([], 0),
        r"frame 2 of .*has 3600\.0 megapixels": b","
        + struct.pack("<4HB", 0, 0, *[60_000] * 2, 0)
        + lzw([1]),
    }
    for said, second in cases.items():
        path.write_bytes(gif(3, [frame(RED, 3), second]))
        with pytest.raises(ValueError, match=said):
            read_clip(path)
        assert open_image(path).getpixel((0, 0)) == (255, 0, 0)  # the first frame is sound


def test_a_gif_that_is_cut_off_says_so(tmp_path):
    path, whole = tmp_path / "a.gif", gif(3, [frame(RED, 3), frame([1], 1)])
    assert len(film_of("a.gif", whole).parts) == 2
    for content in (whole[:-1], whole[:-3], whole[: -len(frame([1], 1)) - 1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is truncated: it ends in the midst of its frames"):
            read_clip(path)


def test_many_pixels_in_few_bytes_are_counted_before_they_are_decoded(tmp_path):
    path, dot = tmp_path / "a.gif", frame([1], 1)
    code = "import sys; from scratchmm.video.clips import read_clip; read_clip(sys.argv[1], size=4)"
    limit = 2 << 30
    for width, count, said in ((8000, 9, "576.0 megapixels in all"), (1, 20_001, "20000 frames")):
        path.write_bytes(gif(width, [dot] * count, height=width))
        ran = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        )
        assert ran.returncode == 1 and said in ran.stderr.splitlines()[-1], ran.stderr
    path.write_bytes(gif(6000, [dot] * 2, height=6000))
    with pytest.raises(ValueError, match=r"has 72\.0 megapixels in all, more than the 64"):
        read_clip(path)
    assert Image.open(path).size == (6000, 6000)
