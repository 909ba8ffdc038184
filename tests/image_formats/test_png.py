"""PNG files written by hand, chunk by chunk, as the specification says."""

import itertools
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from scratchmm.video.clips import read_clip
from scratchmm.vision.images import open_image
from shape_comments import check_shape_comments

WHITE = (255, 255, 255)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def spoilt(kind, data):
    return chunk(kind, data)[:-1] + bytes([chunk(kind, data)[-1] ^ 1])


def head(width, height, depth, color):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))


def packed(*rows):
    return zlib.compress(b"".join(b"\0" + row for row in rows))


def png(*chunks):
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def image(depth, color, row, width=2, before=b"", behind=b""):
    return png(head(width, 1, depth, color), before, chunk(b"IDAT", packed(row)), behind)


def both(path, content):
    """The first row of an image by both readers, which agree."""
    path.write_bytes(content)
    image = open_image(path)
    found = [image.getpixel((x, 0)) for x in range(image.width)]
    clip = ((read_clip(path)[0][0, :, 0] + 1) * 127.5).round().int().T.tolist()
    assert [list(color) for color in found] == clip
    return found


TEXT = zlib.compress(b"x" * 3_000_000)
LARGE = {
    "zTXt": chunk(b"zTXt", b"Comment\0\0" + TEXT),
    "iTXt": chunk(b"iTXt", b"prompt\0\1\0\0\0" + TEXT),
    "tEXt": chunk(b"tEXt", b"workflow\0" + b"x" * 3_000_000),
    "exif in a text": chunk(b"zTXt", b"Raw profile type exif\0\0" + TEXT),
    "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + TEXT),
    "many": chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 900_000)) * 80,
    "iCCP": chunk(b"iCCP", b"icc\0\0" + zlib.compress(os.urandom(1_500_000))),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_text_or_profile_changes_no_pixel(tmp_path, name):
    row = bytes([1, 2, 3, 255, 0, 0])
    for place in ("before", "behind"):
        content = image(8, 2, row, **{place: LARGE[name]})
        assert both(tmp_path / "a.png", content) == [(1, 2, 3), (255, 0, 0)]


def test_what_is_spoilt_beside_the_pixels_is_left_out(tmp_path):
    row = bytes([1, 2, 3, 255, 0, 0])
    for kind in (b"tEXt", b"zTXt", b"iCCP", b"gAMA", b"eXIf", b"pHYs", b"tIME", b"prVt"):
        for place in ("before", "behind"):
            content = image(8, 2, row, **{place: spoilt(kind, b"a\0\0bc")})
            assert both(tmp_path / "a.png", content) == [(1, 2, 3), (255, 0, 0)]


def test_what_is_spoilt_in_the_pixels_is_refused_by_its_name(tmp_path):
    path, pixels = tmp_path / "a.png", packed(bytes(6))
    sound = [head(2, 1, 8, 2), chunk(b"IDAT", pixels)]
    cases = {
        "IHDR": [spoilt(b"IHDR", sound[0][8:21]), sound[1]],
        "IDAT": [sound[0], spoilt(b"IDAT", pixels)],
        "tRNS": [sound[0], spoilt(b"tRNS", bytes(6)), sound[1]],
        "PLTE": [sound[0], spoilt(b"PLTE", bytes(6)), sound[1]],
        "CgBI": [chunk(b"CgBI", bytes(4)), *sound],  # what phones make of a PNG
        "without pixels": [sound[0]],
    }
    for name, chunks in cases.items():
        path.write_bytes(png(*chunks))
        for read in (open_image, read_clip):
            with pytest.raises(ValueError, match=name) as told:
                read(path)
            assert str(path) in str(told.value) and "not an image" not in str(told.value)


GREY = {1: [0, 1, 1, 0], 2: [0, 1, 2, 3], 4: [0, 7, 8, 15], 8: [0, 100, 101, 255]}
GREY[16] = [0, 30_000, 30_001, 65_535]


def in_bits(levels, depth):
    """Levels as a row of an image: the first in the highest bits."""
    number = 0
    for level in levels:
        number = number << depth | level
    size = -(-len(levels) * depth // 8)
    return (number << size * 8 - len(levels) * depth).to_bytes(size, "big")


@pytest.mark.parametrize("depth", GREY)
def test_one_grey_is_see_through_at_every_depth(tmp_path, depth):
    levels = GREY[depth]
    shades = [round(255 * level / (2**depth - 1)) for level in levels]
    for clear in levels:
        # Bits above the depth do not count.
        bits = clear | (0x5500 if depth < 16 else 0)
        content = image(
            depth, 0, in_bits(levels, depth), 4, before=chunk(b"tRNS", struct.pack(">H", bits))
        )
        expected = [
            WHITE if level == clear else (shade,) * 3
            for level, shade in zip(levels, shades, strict=True)
        ]
        assert both(tmp_path / "a.png", content) == expected
        blue = open_image(tmp_path / "a.png", background="blue")
        assert blue.getpixel((levels.index(clear), 0)) == (0, 0, 255)


def test_one_color_is_see_through_and_none_that_is_like_it(tmp_path):
    clear = (0x1234, 0x5678, 0x9ABC)
    near = [tuple(clear[i] ^ (i == channel) for i in range(3)) for channel in range(3)]
    row = struct.pack(">12H", *clear, *itertools.chain(*near))
    content = image(16, 2, row, 4, before=chunk(b"tRNS", struct.pack(">3H", *clear)))
    assert both(tmp_path / "a.png", content) == [WHITE] + [(0x12, 0x56, 0x9A)] * 3
    row = bytes([1, 2, 3, 1, 2, 4, 3, 2, 1, 0, 2, 3])
    content = image(8, 2, row, 4, before=chunk(b"tRNS", struct.pack(">3H", 1, 2, 3)))
    assert both(tmp_path / "a.png", content) == [WHITE, (1, 2, 4), (3, 2, 1), (0, 2, 3)]


def test_palettes_and_alpha_are_see_through_in_part(tmp_path):
    palette = chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255, 9, 9, 9]))
    for depth in (2, 4, 8):
        before = palette + chunk(b"tRNS", bytes([102, 0]))
        content = image(depth, 3, in_bits([0, 1, 2], depth), 3, before=before)
        assert both(tmp_path / "a.png", content) == [(255, 153, 153), WHITE, (9, 9, 9)]
    content = image(16, 4, struct.pack(">4H", 0, 65_535, 0, 0))
    assert both(tmp_path / "a.png", content) == [(0, 0, 0), WHITE]
    content = image(16, 6, struct.pack(">8H", 65_535, 0, 0, 65_535, 0, 0, 0, 0))
    assert both(tmp_path / "a.png", content) == [(255, 0, 0), WHITE]


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_interlaced_images_too(tmp_path, depth):
    if depth == 16:  # 1 x 1: of the seven passes only the first has a pixel
        row, color, clear = struct.pack(">3H", 5, 6, 7), 2, struct.pack(">3H", 5, 6, 7)
    else:
        row, color, clear = in_bits([1], depth), 0, struct.pack(">H", 1)
    top = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, depth, color, 0, 0, 1))
    content = png(top, chunk(b"tRNS", clear), chunk(b"IDAT", packed(row)))
    assert both(tmp_path / "a.png", content) == [WHITE]


def test_a_text_may_say_which_side_is_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    wanted = [(255, 0, 0), (1, 2, 3)]
    row = bytes([1, 2, 3, 255, 0, 0])
    sides = exif.tobytes()
    assert both(tmp_path / "a.png", image(8, 2, row, before=chunk(b"eXIf", sides[6:]))) == wanted
    text = f"\nexif\n{len(sides):8}\n{sides.hex()}\n".encode()
    raw = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    assert both(tmp_path / "a.png", image(8, 2, row, before=raw)) == wanted
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    side = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    assert both(tmp_path / "a.png", image(8, 2, row, before=side)) == wanted


def control(number, width, left=0, delay=(1, 10), disposal=0, blend=0):
    return chunk(
        b"fcTL", struct.pack(">5I2H2B", number, width, 1, left, 0, *delay, disposal, blend)
    )


def data(number, row):
    return chunk(b"fdAT", struct.pack(">I", number) + packed(row))


LETTERS = {(255, 0, 0): "R", (0, 255, 0): "G", (0, 0, 255): "B", WHITE: "w"}
RED, GREEN, BLUE, NONE = b"\xff\0\0\xff", b"\0\xff\0\xff", b"\0\0\xff\xff", bytes(4)


def film(*frames, width=3, before=b"", promised=None):
    """frames: (row, left, disposal, blend); the first covers the canvas."""
    out, number = [], 0
    for row, left, disposal, blend in frames:
        out.append(control(number, len(row) // 4, left, disposal=disposal, blend=blend))
        if number:
            out.append(data(number + 1, row))
        else:
            out.append(chunk(b"IDAT", packed(row)))
        number += 2
    count = chunk(b"acTL", struct.pack(">II", promised or len(frames), 0))
    return png(head(width, 1, 8, 6), count, before, *out)


def shown(clip):
    levels = ((clip + 1) * 127.5).round().int()
    return ["".join(LETTERS.get(tuple(p.tolist()), "?") for p in f[:, 0].T) for f in levels]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([(RED * 3, 0, 0, 0), (GREEN, 1, 0, 0), (BLUE, 2, 0, 0)], ["RRR", "RGR", "RGB"]),
        ([(RED * 3, 0, 1, 0), (GREEN, 1, 1, 0), (BLUE, 2, 0, 0)], ["RRR", "wGw", "wwB"]),
        ([(RED * 3, 0, 0, 0), (GREEN, 1, 2, 0), (BLUE, 2, 0, 0)], ["RRR", "RGR", "RRB"]),
        ([(RED * 3, 0, 2, 0), (GREEN, 1, 0, 0)], ["RRR", "wGw"]),  # before the first is nothing
        ([(RED * 3, 0, 0, 0), (NONE + GREEN, 0, 0, 1)], ["RRR", "RGR"]),
        ([(RED * 3, 0, 0, 0), (NONE + GREEN, 0, 0, 0)], ["RRR", "wGR"]),
        ([(NONE + RED * 2, 0, 0, 0), (GREEN, 2, 0, 0)], ["wRR", "wRG"]),
    ],
)
def test_an_animated_png_paints_as_its_frames_say(tmp_path, frames, expected):
    path = tmp_path / "a.png"
    path.write_bytes(film(*frames))
    assert shown(read_clip(path)[0]) == expected
    assert shown(read_clip(path)[0])[0] == "".join(
        LETTERS[open_image(path).getpixel((x, 0))] for x in range(3)
    )


def test_a_see_through_colour_is_so_in_every_frame(tmp_path):
    path, clear = tmp_path / "a.png", (0x1234, 0x5678, 0x9ABC)
    rows = [struct.pack(">6H", *clear, 65_535, 0, 0), struct.pack(">6H", 0, 65_535, 0, *clear)]
    chunks = [chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"tRNS", struct.pack(">3H", *clear))]
    chunks += [control(0, 2), chunk(b"IDAT", packed(rows[0])), control(1, 2), data(2, rows[1])]
    path.write_bytes(png(head(2, 1, 16, 2), *chunks))
    assert shown(read_clip(path)[0]) == ["wR", "Gw"]


def test_times_are_fractions_and_hundredths_where_nothing_is_said(tmp_path):
    path, delays = tmp_path / "a.png", [(1, 4), (3, 0), (1, 3), (1, 100), (0, 0), (1, 50), (1, 1)]
    chunks = [chunk(b"acTL", struct.pack(">II", len(delays), 0))]
    for number, delay in enumerate(delays):
        row = chunk(b"IDAT", packed(RED)) if not number else data(2 * number, RED)
        chunks += [control(max(0, 2 * number - 1), 1, delay=delay), row]
    path.write_bytes(png(head(1, 1, 8, 6), *chunks))
    expected = np.cumsum([0, 0.25, 0.03, 1 / 3, 0.1, 0.1, 0.02])
    torch.testing.assert_close(read_clip(path)[1], torch.tensor(expected))


def test_an_animated_png_that_is_not_all_there_is_refused(tmp_path):
    path = tmp_path / "a.png"
    red = (RED * 3, 0, 0, 0)
    three = [chunk(b"acTL", struct.pack(">II", 3, 0)), control(0, 3)]
    three += [chunk(b"IDAT", packed(RED * 3)), control(1, 3), data(2, RED * 3)]
    cases = {
        r"frame 2 of .*damaged: 0 x 1 pixels at column 1": film(red, (b"", 1, 0, 0)),
        r"frame 3 of .* is damaged or truncated": png(
            head(3, 1, 8, 6), *three, control(3, 2), data(4, GREEN)
        ),
        "2 of 5 frames": film(red, red, promised=5),
        r"frame 2 of .*column 2 and row 0 do not lie on the canvas of 3 x 1": film(
            red, (GREEN * 2, 2, 0, 0)
        ),
        r"frame 1 of .* no pixels": film(red, before=control(9, 3)),
    }
    for said, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=said):
            read_clip(path)


def run_shapes() -> None:
    from io import BytesIO

    from PIL import Image

    from scratchmm.image_formats import png

    content = BytesIO()
    Image.new("RGB", (5, 4), (9, 8, 7)).save(content, "PNG", transparency=(9, 8, 7))
    png.still("a.png", png.chunks_of("a.png", content.getvalue()))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "image_formats/png.py")
