"""TIFF files written by hand, tag by tag: numbers of every kind and what they look like."""

import struct

import numpy as np
import pytest
from PIL import Image

from scratchmm.image_formats.pixels import eight_bits
from scratchmm.video.clips import read_clip
from scratchmm.vision.images import open_image


def tiff(data, *, width=2, bits=8, white=1, samples=1, order="<", more=()):
    """A TIFF of one row, not compressed. white: the number that is shown so, 0 or the highest (1)."""
    tags = {256: width, 257: 1, 259: 1, 262: white, 277: samples, 278: 1, 279: len(data)}
    tags |= dict(more)
    behind = 8 + 2 + 12 * (len(tags) + 2) + 4
    deep = struct.pack(f"{order}{samples}H", *[bits] * samples)
    tags[273] = behind + (len(deep) if samples > 2 else 0)
    fields = {tag: struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items()}
    place = struct.pack(f"{order}I", behind) if samples > 2 else deep.ljust(4, b"\0")
    fields[258] = struct.pack(f"{order}HHI", 258, 3, samples) + place
    top = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    entries = b"".join(fields[tag] for tag in sorted(fields))
    count = struct.pack(f"{order}H", len(fields))
    return top + count + entries + bytes(4) + (deep if samples > 2 else b"") + data


def row(path, content):
    """The levels of the first row by both readers, which agree."""
    path.write_bytes(content)
    image = open_image(path)
    found = [image.getpixel((x, 0)) for x in range(image.width)]
    clip = ((read_clip(path)[0][0, :, 0] + 1) * 127.5).round().int().T.tolist()
    assert [list(color) for color in found] == clip
    assert all(len(set(color)) == 1 for color in found)
    return [color[0] for color in found]


@pytest.mark.parametrize("white", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_white_is_0_or_the_highest_number_at_every_depth(tmp_path, bits, white):
    most = 2**bits - 1
    levels = [0, most, most // 3, most // 2]
    if bits < 16:
        number = sum(level << bits * (3 - place) for place, level in enumerate(levels))
        data = (number << -4 * bits % 8).to_bytes(-(-4 * bits // 8), "big")
    else:
        data = struct.pack("<4H", *levels)
    shades = [round(255 * level / most) for level in levels]
    expected = shades if white else [round(255 * (most - level) / most) for level in levels]
    content = tiff(data, width=4, bits=bits, white=white)
    assert row(tmp_path / "a.tif", content) == expected


def test_12_and_16_bits_of_big_endian_machines(tmp_path):
    data = (0x000_FFF_800_001).to_bytes(6, "big")
    assert row(tmp_path / "a.tif", tiff(data, width=4, bits=12)) == [0, 255, 128, 0]
    data = struct.pack(">3H", 0, 30_000, 65_535)
    assert row(tmp_path / "a.tif", tiff(data, width=3, bits=16, order=">")) == [0, 117, 255]
    turned = tiff(data, width=3, bits=16, order=">", white=0)
    assert row(tmp_path / "a.tif", turned) == [255, 138, 0]


def test_what_pillow_cannot_read_is_refused_as_a_tiff(tmp_path):
    path, alpha = tmp_path / "a.tif", [(338, 2)]
    for content in (
        tiff(bytes(4), samples=2, white=0, more=alpha),
        tiff(bytes(24), width=1, bits=64),
    ):
        path.write_bytes(content)
        for read in (open_image, read_clip):
            with pytest.raises(ValueError, match=r"a\.tif .* TIFF of an uncommon kind") as told:
                read(path)
            assert "not an image" not in str(told.value) and "\n" not in str(told.value)


NUMBERS = {
    "<2I": ([70_000, 2**31], 32, 1, "numbers of 32 bits"),
    "<2i": ([-5, 70_000], 32, 2, "signed numbers of 32 bits"),
    "<2h": ([-5, 700], 16, 2, "signed numbers of 16 bits"),
    "<2b": ([-5, 100], 8, 2, "signed numbers of 8 bits"),
    "<2f": ([0.5, 1e30], 32, 3, "floating-point numbers"),
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_without_an_agreed_range_are_refused(tmp_path, kind, order):
    path, (numbers, bits, sign, said) = tmp_path / "a.tif", NUMBERS[kind]
    data = struct.pack(kind.replace("<", order), *numbers)
    path.write_bytes(tiff(data, bits=bits, order=order, more=[(339, sign)]))
    for read in (open_image, read_clip):
        with pytest.raises(ValueError, match=said if order == "<" else r"a\.tif") as told:
            read(path)
        assert str(bits) in str(told.value)


def test_floats_are_refused_whatever_they_are(tmp_path):
    path = tmp_path / "a.tif"
    for value in (0.5, -3.0, 1e30, np.nan):
        Image.fromarray(np.full((2, 2), value, dtype=np.float32)).save(path)
        with pytest.raises(ValueError, match=r"a\.tif cannot .* floating-point numbers"):
            open_image(path)
    path.write_bytes(b"Pf\n2 1\n-1.0\n" + struct.pack("<2f", 0.5, 7))
    with pytest.raises(ValueError, match="floating-point numbers without an agreed range"):
        open_image(path)


def test_levels_are_rounded_and_not_wrapped():
    every = np.arange(65_536)[None]
    assert (np.asarray(eight_bits(every)) == np.round(every / 257)).all()
    assert np.asarray(eight_bits(np.array([[1, 50, 99]]), most=99)).tolist() == [[3, 129, 255]]


def test_netpbm_of_every_depth(tmp_path):
    path = tmp_path / "a.pgm"
    assert row(path, b"P5 2 1 255 " + bytes([0, 100])) == [0, 100]
    assert row(path, b"P5 3 1 100 " + bytes([0, 50, 100])) == [0, 128, 255]
    assert row(path, b"P5 2 1 65535 " + struct.pack(">2H", 30_000, 65_535)) == [117, 255]
    assert row(path, b"P4 2 1 " + bytes([0b01000000])) == [255, 0]
    assert row(path, b"P2 2 1 255 0 200 ") == [0, 200]


def test_what_holds_several_images_is_not_read_as_one(tmp_path):
    path = tmp_path / "a.tif"
    pages = [Image.new("L", (4, 3), level) for level in (10, 20, 30)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"a\.tif holds 3 pages, and one image is read"):
        open_image(path)
    (tmp_path / "folder").mkdir()
    path.rename(tmp_path / "folder" / "a.tif")
    with pytest.raises(ValueError, match="holds 3 pages"):
        read_clip(tmp_path / "folder")
    cases = [b"P5 2 1 255 ab", b"P6 2 1 255 abcdef", b"P4 9 1 ab", b"P5 2 1 999 abcd"]
    for one in cases:
        path.write_bytes(one)
        assert open_image(path).height == 1
        path.write_bytes(one + one)
        with pytest.raises(ValueError, match="holds a second image behind the first"):
            open_image(path)


def test_a_smaller_copy_and_a_mask_are_no_pages(tmp_path):
    path = tmp_path / "a.tif"
    pages = [Image.new("L", (4 - n, 3), 10 * n) for n in range(3)]
    for page, kind in zip(pages, (0, 1, 4), strict=True):
        page.encoderinfo = {"tiffinfo": {254: kind}}
    pages[0].save(path, save_all=True, append_images=pages[1:], tiffinfo={254: 0})
    with Image.open(path) as image:
        kinds = [image.seek(n) or image.tag_v2.get(254, 0) for n in range(3)]
    assert kinds == [0, 1, 4]
    assert open_image(path).size == (4, 3) and read_clip(path)[0].shape == (1, 3, 3, 4)


def test_a_camera_s_raw_is_refused_and_not_shown_as_its_preview(tmp_path):
    path = tmp_path / "a.dng"
    for more in ([(50706, 4)], [(254, 1), (330, 8)]):
        path.write_bytes(tiff(bytes(2), more=more))
        with pytest.raises(ValueError, match="camera's raw image, of which only a preview"):
            open_image(path)
