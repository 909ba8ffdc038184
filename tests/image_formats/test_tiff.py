"""TIFF files that Pillow opens as something else, written by hand, tag by tag."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from scratchmm.data.sets.any_images import images_of
from scratchmm.image_formats.tiff import put_right
from scratchmm.video.clips import read_clip
from scratchmm.vision.images import open_image


def tiff(pieces, *, width, height, bits=8, shown=1, samples=1, order="<", more=()):
    """A TIFF of these pieces, strips or planes, whose numbers are short ones."""
    tags = {256: [width], 257: [height], 258: [bits] * samples, 259: [1], 262: [shown]}
    tags |= {277: [samples], 278: [height], 279: [len(piece) for piece in pieces], **dict(more)}
    starts = np.cumsum([8, *tags[279]]).tolist()
    tags[273], place = starts[:-1], starts[-1] + starts[-1] % 2
    entries, behind, data = b"", b"", b"".join(pieces)
    for tag, values in sorted(tags.items()):
        content = struct.pack(f"{order}{len(values)}H", *values).ljust(4, b"\0")
        if len(content) > 4:
            far = place + 2 + 12 * len(tags) + 4 + len(behind)
            behind, content = behind + content, struct.pack(f"{order}I", far)
        entries += struct.pack(f"{order}HHI", tag, 3, len(values)) + content
    top = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", place)
    count = struct.pack(f"{order}H", len(tags))
    return top + data.ljust(place - 8, b"\0") + count + entries + bytes(4) + behind


def pixels(path, content):
    """(H, W, 3) by all readers, which agree."""
    path.write_bytes(content)
    found = np.asarray(open_image(path)).tolist()
    clip = ((read_clip(path)[0][0] + 1) * 127.5).round().int().permute(1, 2, 0)
    with Image.open(path) as image:
        given = ((images_of(image, len(found))[0] + 1) * 127.5).round().int().permute(1, 2, 0)
    assert clip.tolist() == found == given.tolist()
    return found


COLORS = np.array([[[1, 5, 9], [2, 6, 10]], [[3, 7, 11], [250, 128, 0]]])  # (H, W, C)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_that_lie_in_planes_of_their_own(tmp_path, order, packed, bits):
    kind, times = {8: ("B", 1), 16: ("H", 257)}[bits]
    planes = [struct.pack(f"{order}4{kind}", *(times * COLORS[..., c]).flat) for c in range(3)]
    more = [(284, [2]), *([(259, [8])] if packed else [])]
    planes = [zlib.compress(plane) if packed else plane for plane in planes]
    sizes = {"width": 2, "height": 2, "bits": bits, "samples": 3, "order": order}
    content = tiff(planes, shown=2, more=more, **sizes)
    assert pixels(tmp_path / "a.tif", content) == COLORS.tolist()


def test_planes_with_see_through_parts(tmp_path):
    alpha = [[255, 255], [0, 255]]
    levels = [*np.moveaxis(COLORS, 2, 0), np.array(alpha)]
    planes = [struct.pack("<4H", *(257 * plane).flat) for plane in levels]
    more = [(284, [2]), (338, [2])]
    content = tiff(planes, width=2, height=2, bits=16, shown=2, samples=4, more=more)
    expected = COLORS.copy()
    expected[1, 0] = 255
    assert pixels(tmp_path / "a.tif", content) == expected.tolist()


def test_planes_of_inks_with_16_bits_are_refused_and_not_read_as_others(tmp_path):
    path, sizes = tmp_path / "a.tif", {"width": 2, "height": 2, "samples": 4, "shown": 5}
    path.write_bytes(tiff([bytes(8)] * 4, bits=16, more=[(284, [2])], **sizes))
    for read in (open_image, read_clip):
        with pytest.raises(ValueError, match=r"a\.tif has planes of 16 bits that can't be read"):
            read(path)
    found = pixels(path, tiff([bytes(4)] * 4, more=[(284, [2])], **sizes))
    assert found == [[[255] * 3] * 2] * 2


@pytest.mark.parametrize("times", [1, 257])
def test_a_palette_of_8_bits_in_place_of_16(tmp_path, times):
    levels = [times * level for level in (*range(256), *range(255, -1, -1), *[7] * 256)]
    content = tiff([bytes([0, 1, 2, 255])], width=2, height=2, shown=3, more=[(320, levels)])
    expected = [[[0, 255, 7], [1, 254, 7]], [[2, 253, 7], [255, 0, 7]]]
    assert pixels(tmp_path / "a.tif", content) == expected


def test_what_is_decoded_already_stays():
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    put_right("a.png", image)
    assert image.getpixel((1, 0)) == (1, 2, 3)
