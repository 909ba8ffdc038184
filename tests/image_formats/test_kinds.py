import io

import pytest
from PIL import Image, features

from scratchmm.image_formats.kinds import FORMATS, kind_of
from scratchmm.video.clips import read_clip
from scratchmm.vision.images import open_image

NAMED = {
    "AVIF": b"\0\0\0\x1cftypavif",
    "HEIC": b"\0\0\0\x18ftypheic",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n",
    "SVG": b'<?xml version="1.0"?>\n<!-- a -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "Photoshop": b"8BPS\0\1",
    "ICO": b"\0\0\1\0\1\0",
    "OpenEXR": b"\x76\x2f\x31\x01",
    "raw": b"II\x2a\0\x10\0\0\0CR\2\0",
    "PDF": b"%PDF-1.7",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "web page": b"\n<!DOCTYPE html><html></html>",
    "MP4": b"\0\0\0\x18ftypisom",
    "WebM": b"\x1a\x45\xdf\xa3",
    "ZIP": b"PK\3\4",
    "0 bytes": b"",
}


@pytest.mark.parametrize("name", NAMED)
def test_what_is_not_read_is_refused_by_its_name(tmp_path, name):
    path = tmp_path / "a.png"
    path.write_bytes(NAMED[name] + bytes(40) * bool(NAMED[name]))
    for read in (open_image, read_clip):
        with pytest.raises(ValueError, match=name) as told:
            read(path)
        assert str(path) in str(told.value) and "\n" not in str(told.value)


def test_pillow_s_other_formats_are_known_by_their_first_bytes():
    for kind, name in {"JPEG2000": "JPEG 2000", "AVIF": "AVIF", "ICO": "ICO", "DDS": "DDS"}.items():
        if kind == "AVIF" and not features.check("avif"):
            continue
        saved = io.BytesIO()
        Image.new("RGB", (16, 16)).save(saved, kind)
        assert kind_of(saved.getvalue()) == name


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF"])
def test_a_damaged_image_is_named_as_what_it_is(tmp_path, kind):
    saved = io.BytesIO()
    Image.new("RGB", (16, 16)).save(saved, kind)
    path = tmp_path / "image"
    assert kind in FORMATS and kind_of(saved.getvalue()) == kind
    path.write_bytes(saved.getvalue()[:16])
    with pytest.raises(ValueError, match=f"damaged or truncated|{kind}") as told:
        open_image(path)
    assert str(path) in str(told.value) and "\n" not in str(told.value)
