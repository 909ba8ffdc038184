import io
import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scratchmm.image_formats.gif import film_of
from scratchmm.video import clips
from scratchmm.video.clips import read_clip, sample_frames, write_frames, write_gif
from scratchmm.video.gif import in_one_palette
from shape_comments import check_shape_comments

GENERATOR = np.random.default_rng(0)
NOISE = GENERATOR.integers(0, 256, (5, 13, 17, 3), dtype=np.uint8)  # (F, H, W, C)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def levels(clip):
    """uint8 (F, H, W, 3) of a clip, and that it is one."""
    assert clip.dtype == torch.float32 and clip.shape[1] == 3
    assert clip.min() >= -1 and clip.max() <= 1
    return ((clip + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def floats(frames):
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def save(path, frames, **options):
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(path, save_all=True, append_images=others, **options)
    return path


def few_colors(frames, height=6, width=9, colors=250, seed=0):
    """Frames with at most 256 colours among them, each colour its own."""
    chance = np.random.default_rng(seed)
    palette = chance.integers(0, 256, (colors, 3), dtype=np.uint8)
    return palette[chance.integers(0, colors, (frames, height, width))]


# Films


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_films_without_loss_are_read_as_they_were_written(tmp_path, suffix):
    lengths = [40, 250, 20, 1000, 70]
    path = save(tmp_path / f"a.{suffix}", NOISE, duration=lengths, lossless=True)
    clip, times = read_clip(path)
    assert (levels(clip) == NOISE).all()
    assert times.dtype == torch.float64
    assert times.tolist() == [0.0, 0.04, 0.29, 0.31, 1.31]


def test_a_gif_of_few_colors_is_read_as_it_was_written(tmp_path):
    frames = few_colors(4)
    clip, times = read_clip(save(tmp_path / "a.gif", frames, duration=[30, 500, 20, 90]))
    assert (levels(clip) == frames).all()
    assert times.tolist() == [0.0, 0.03, 0.53, 0.55]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_a_frame_of_0_ms_lasts_100_as_in_browsers(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", NOISE[:3], duration=[0, 0, 0], lossless=True)
    assert read_clip(path)[1].tolist() == [0.0, 0.1, 0.2]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_frames_of_10_ms_and_less_last_100_as_in_browsers(tmp_path, suffix):
    lengths = [10, 20, 5 if suffix != "gif" else 10, 30, 100]
    path = save(tmp_path / f"a.{suffix}", NOISE, duration=lengths, lossless=True)
    torch.testing.assert_close(read_clip(path)[1].tolist(), [0.0, 0.1, 0.12, 0.22, 0.25])


def test_a_gif_that_says_nothing_of_time(tmp_path):
    path = save(tmp_path / "a.gif", NOISE[:3])
    assert read_clip(path)[1].tolist() == [0.0, 0.1, 0.2]


def gif(screen, *blocks, palette=((255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9))):
    """A GIF written by hand, as its specification says, with a palette of 4 colours."""
    height, width = screen
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF1, 0, 0)
    return head + bytes(sum(palette, ())) + b"".join(blocks) + b";"


def painted(places, corner=(0, 0), disposal=0, see_through=None, hundredths=5):
    """A block that paints palette places (H, W) at a corner (row, column)."""
    rows, columns = len(places), len(places[0])
    flags = disposal << 2 | (see_through is not None)
    control = b"!\xf9\x04" + struct.pack("<BHB", flags, hundredths, see_through or 0) + b"\0"
    extent = struct.pack("<HHHHB", corner[1], corner[0], columns, rows, 0)
    bits, filled = 0, 0  # codes of 3 bits; a clear (4) before every pixel keeps them at 3
    for code in [c for row in places for place in row for c in (4, place)] + [5]:
        bits |= code << filled
        filled += 3
    data = bits.to_bytes(-(-filled // 8), "little")
    assert len(data) < 256
    return control + b"," + extent + b"\x02" + bytes([len(data)]) + data + b"\0"


R, G, B, W = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


def test_a_frame_paints_over_the_one_before_where_it_is_not_see_through(tmp_path):
    path = tmp_path / "a.gif"
    patch = painted([[1, 3, 1]], corner=(1, 0), see_through=3)
    path.write_bytes(gif((2, 3), painted([[0, 0, 0], [0, 0, 0]], disposal=1), patch))
    first, second = levels(read_clip(path)[0]).tolist()
    assert first == [[R, R, R], [R, R, R]]
    assert second == [[R, R, R], [G, R, G]]


def test_a_frame_that_is_taken_away_leaves_what_was_before_or_white(tmp_path):
    path = tmp_path / "a.gif"
    ground = painted([[0, 0, 0], [0, 0, 0]], disposal=1, see_through=3)
    for disposal, left in ((3, R), (2, W)):  # 3: what was there before, 2: nothing
        gone = painted([[1, 1]], corner=(0, 1), disposal=disposal, see_through=3)
        path.write_bytes(gif((2, 3), ground, gone, painted([[2]], corner=(1, 0), see_through=3)))
        _, second, third = levels(read_clip(path)[0]).tolist()
        assert second == [[R, G, G], [R, R, R]]
        assert third == [[R, left, left], [B, R, R]]


def test_what_is_see_through_lies_on_white(tmp_path):
    front = np.zeros((2, 1, 3, 4), dtype=np.uint8)
    front[0] = [(255, 0, 0, 255), (255, 0, 0, 0), (255, 0, 0, 102)]
    front[1, :, :] = (0, 0, 255, 0)
    for suffix in ("webp", "png"):
        path = save(tmp_path / f"a.{suffix}", front, duration=50, lossless=True, exact=True)
        clip = levels(read_clip(path)[0])
        assert clip[0].tolist() == [[R, W, [255, 153, 153]]]
    path = tmp_path / "a.gif"
    path.write_bytes(gif((1, 3), painted([[0, 3, 1]], see_through=3)))
    assert levels(read_clip(path)[0]).tolist() == [[[R, W, G]]]


def test_the_image_that_old_viewers_show_is_no_frame_of_an_animated_png(tmp_path):
    path = save(tmp_path / "a.png", NOISE, default_image=True, duration=[30, 60, 90, 120])
    clip, times = read_clip(path)
    assert (levels(clip) == NOISE[1:]).all()
    assert times.tolist() == [0.0, 0.03, 0.09, 0.18]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "bmp", "jpg", "tiff", "ppm"])
def test_one_image_is_a_clip_of_one_frame(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (7, 5), (204, 51, 0)).save(
        path, **({"lossless": True} if suffix == "webp" else {})
    )
    for place in (path, tmp_path):
        clip, times = read_clip(place)
        assert clip.shape == (1, 3, 5, 7) and times.tolist() == [0.0]
        torch.testing.assert_close(
            clip.mean((0, 2, 3)), torch.tensor([0.6, -0.6, -1]), atol=0.02, rtol=0
        )


# Folders


READ = {"jfif": "JPEG", "jpe": "JPEG", "JPG": "JPEG", "apng": "PNG", "PNG": "PNG", "dib": "BMP"}
READ |= {"pbm": "PPM", "pnm": "PPM", "odd": "TIFF", "": "WEBP", "txt": "PNG"}


@pytest.mark.parametrize("suffix", READ)
def test_a_frame_counts_by_its_suffix_or_by_what_it_holds(tmp_path, suffix):
    Image.new("RGB", (4, 4)).save(tmp_path / "frame1.png")
    frame = Image.new("1" if suffix == "pbm" else "L", (4, 4), 255)
    frame.save(tmp_path / f"frame2.{suffix}".rstrip("."), format=READ[suffix])
    clip, _ = read_clip(tmp_path)
    assert len(clip) == 2 and clip[0].max() == -1 and clip[1].min() > 0.95


def test_a_frame_that_is_not_read_is_refused_and_not_left_out(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "frame1.png")
    (tmp_path / "frame1.json").write_text("{}")  # about the first frame: no frame itself
    (tmp_path / "notes2.txt").write_text("two")
    assert len(read_clip(tmp_path)[0]) == 1
    heic = b"\0\0\0\x18ftypheic" + bytes(50)
    cases = {
        "frame2.heic": (heic, "HEIC"),
        "frame2": (heic, "HEIC"),
        "other.avif": (b"", "0 bytes"),
    }
    cases |= {"frame2.svg": (b"<?xml?><svg>", "SVG"), "frame2.part": (b"cut", "like a frame")}
    cases |= {"Frame 2.tga": (b"cut", "not an image"), "frame10.bin": (b"", "like a frame")}
    for name, (content, said) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=said) as told:
            read_clip(tmp_path)
        assert name in str(told.value)
        (tmp_path / name).unlink()


def test_the_pages_of_a_tiff_are_frames(tmp_path):
    path = save(tmp_path / "a.tif", NOISE)
    clip, times = read_clip(path, fps=4)
    assert (levels(clip) == NOISE).all() and times.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_frames_of_a_folder_come_in_natural_order(tmp_path):
    names = ["frame2.png", "frame10.PNG", "Frame1.png", "frame10b2.bmp", "frame010.png", "z.gif"]
    order = ["Frame1.png", "frame2.png", "frame010.png", "frame10.PNG", "frame10b2.bmp", "z.gif"]
    for name in names:
        Image.new("RGB", (3, 2), (order.index(name), 0, 0)).save(tmp_path / name)
    clip, times = read_clip(tmp_path, fps=4)
    assert levels(clip)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert times.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25]


def test_what_is_not_named_like_a_image_is_passed_over(tmp_path):
    Image.fromarray(NOISE[0]).save(tmp_path / "frame1.png")
    (tmp_path / "notes.txt").write_text("one frame")
    (tmp_path / "Thumbs.db").write_bytes(b"\0" * 9)
    (tmp_path / ".DS_Store").write_bytes(b"\0" * 9)
    (tmp_path / "._frame1.png").write_bytes(b"\0" * 9)  # what a Mac leaves on another's disk
    (tmp_path / "small.png").mkdir()
    clip, _ = read_clip(tmp_path)
    assert (levels(clip) == NOISE[:1]).all()


def test_a_file_that_is_named_like_a_image_and_is_none_is_refused(tmp_path):
    Image.fromarray(NOISE[0]).save(tmp_path / "frame1.png")
    for content in (b"", b"no image", (tmp_path / "frame1.png").read_bytes()[:200]):
        (tmp_path / "frame2.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"frame2\.png (is not an image|is damaged)") as told:
            read_clip(tmp_path)
        assert "\n" not in str(told.value)
    (tmp_path / "frame2.png").unlink()
    (tmp_path / "frame2.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match=r"no image at .*frame2\.png"):
        read_clip(tmp_path)


def test_of_a_film_in_a_folder_the_first_image_is_a_frame(tmp_path):
    save(tmp_path / "a.webp", NOISE, lossless=True)
    assert (levels(read_clip(tmp_path)[0]) == NOISE[:1]).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path, mode):
    grey = np.repeat(np.array([[[0], [255], [255]]], dtype=np.uint8), 3, 2)
    image = Image.fromarray(grey).convert("I" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.array([[0, 65535, 65535]], dtype=np.uint16))
    image.save(tmp_path / "a.tiff")
    assert levels(read_clip(tmp_path)[0])[0].tolist() == grey.tolist()


def test_grey_of_16_bits_becomes_grey_of_8(tmp_path):
    whole = np.arange(256, dtype=np.uint16)[None] * 257
    Image.fromarray(whole).save(tmp_path / "a.png")
    assert levels(read_clip(tmp_path)[0])[0, 0, :, 1].tolist() == list(range(256))


def test_pixels_without_an_agreed_range_are_refused(tmp_path):
    Image.fromarray(np.zeros((2, 3), dtype=np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match=r"a\.tiff .*floating-point numbers without an agreed"):
        read_clip(tmp_path)


def test_a_turned_photo_is_set_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    Image.fromarray(np.ascontiguousarray(np.rot90(NOISE[0]))).save(tmp_path / "a.png", exif=exif)
    assert (levels(read_clip(tmp_path)[0])[0] == NOISE[0]).all()


# Sizes


def test_sizes_are_made_as_pillow_makes_them(tmp_path):
    path = save(tmp_path / "a.webp", NOISE, lossless=True)
    for size, sides in (((5, 7), (5, 7)), (6, (6, 7)), (26, (26, 34))):
        expected = [
            np.asarray(Image.fromarray(frame).resize(sides[::-1], Image.Resampling.BICUBIC))
            for frame in NOISE
        ]
        assert (levels(read_clip(path, size=size)[0]) == np.stack(expected)).all()
    for size in (0, -3, (4, 0), (70_000, 70_000)):
        with pytest.raises(ValueError, match="cannot be resized"):
            read_clip(path, size=size)


def test_frames_of_different_sizes_are_refused_unless_one_is_given(tmp_path):
    for number, sides in enumerate([(7, 5), (14, 10), (9, 5)]):
        Image.new("RGB", sides).save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match=r"1\.png is 10 x 14 pixels and the first frame 5 x 7"):
        read_clip(tmp_path)
    with pytest.raises(ValueError, match=r"2\.png is 5 x 9 pixels and the first frame 5 x 7"):
        read_clip(tmp_path, size=5)
    assert read_clip(tmp_path, size=(4, 3))[0].shape == (3, 3, 4, 3)


# What cannot be read


def cut(kind):
    whole = io.BytesIO()
    images = [Image.fromarray(frame) for frame in few_colors(3, colors=20)]
    images[0].save(whole, kind, save_all=True, append_images=images[1:], duration=50, lossless=True)
    return whole.getvalue()


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_film_cut_off_anywhere_is_refused_or_whole(tmp_path, kind):
    data, path = cut(kind), tmp_path / f"a.{kind}"
    path.write_bytes(data)
    expected = levels(read_clip(path)[0])
    assert len(expected) == 3
    whole = []
    for length in range(len(data)):
        path.write_bytes(data[:length])
        try:
            clip, _ = read_clip(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert clip.shape == (3, 3, 6, 9) and (levels(clip) == expected).all()
            whole.append(length)
    assert all(length >= len(data) - 20 for length in whole)  # only the mark of the end was missing


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_film_with_a_wrong_byte_anywhere_is_refused_or_read(tmp_path, kind):
    data, path = cut(kind), tmp_path / f"a.{kind}"
    for place in range(len(data)):
        spoilt = bytearray(data)
        spoilt[place] ^= 0xFF
        path.write_bytes(spoilt)
        try:
            clip, times = read_clip(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert clip.isfinite().all() and times.isfinite().all()
            assert len(clip) == len(times) and (times.diff() > 0).all()


def test_what_is_no_clip_is_refused_in_a_sentence(tmp_path):
    cases = {
        "empty.gif": (b"", "is not an image but a file of 0 bytes"),
        "text.gif": (b"hello\n", "is not an image but a file of 6 bytes"),
        "head.gif": (gif((3, 4))[:-1], "is not an image but a file of 25 bytes"),
        "nothing.gif": (gif((3, 4)), "is not an image but a file of 26 bytes"),
        "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
    }
    for name, (content, sentence) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=sentence) as told:
            read_clip(tmp_path / name)
        assert name in str(told.value)
    with pytest.raises(FileNotFoundError, match="no clip at .*nowhere"):
        read_clip(tmp_path / "nowhere")
    (tmp_path / "room" / "sub").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"room holds no image \(1 other files and folders\)"):
        read_clip(tmp_path / "room")
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="frames cannot follow one another at"):
            read_clip(tmp_path / "room", fps=fps)


def test_a_gif_without_pixels_is_refused(tmp_path):
    path = tmp_path / "a.gif"
    extent = b"," + struct.pack("<HHHHB", 0, 0, 0, 0, 0) + b"\x02\x01\x2c\0"
    path.write_bytes(gif((0, 0), extent))
    with pytest.raises(ValueError, match=r"a\.gif"):
        read_clip(path)


def png_header(width, height):
    """The head of a PNG, as its specification says, with almost nothing behind it."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [head, b"IDAT" + zlib.compress(b"\0" * 10)]
    body = b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_bombs_are_refused_before_they_go_off(tmp_path):
    (tmp_path / "frame1.png").write_bytes(png_header(10_000, 9_000))
    for place in (tmp_path, tmp_path / "frame1.png"):
        with pytest.raises(ValueError, match=r"frame1\.png has 90\.0 megapixels, more than the 64"):
            read_clip(place)
    (tmp_path / "frame1.png").write_bytes(png_header(60_000, 60_000))
    with pytest.raises(ValueError, match=r"has 3600\.0 megapixels, more than the 64"):
        read_clip(tmp_path)
    path = tmp_path / "many.gif"
    dot = painted([[1]], see_through=3)
    path.write_bytes(gif((8000, 8000), *[dot] * 33))  # 1 kB that would be 2.1 gigapixels
    with pytest.raises(ValueError, match=r"many\.gif has 2112\.0 megapixels in all, more than"):
        read_clip(path, size=4)
    path.write_bytes(gif((1, 1), dot, painted([[1]], corner=(9000, 9000))))
    with pytest.raises(ValueError, match=r"many\.gif"):
        read_clip(path)


def test_more_than_is_kept_is_refused_after_one_frame(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "MOST_KEPT", 5 * 6 * 7)
    path = save(tmp_path / "a.webp", NOISE, lossless=True)
    assert read_clip(path, size=(6, 7))[0].shape == (5, 3, 6, 7)
    with pytest.raises(ValueError, match=r"a\.webp has 0\.0 megapixels in all"):
        read_clip(path, size=(6, 8))


# Which frames


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 60))
def test_uniform_takes_the_frame_in_the_middle_of_each_segment(frames, count):
    got = sample_frames(frames, count)
    assert got.dtype == torch.int64 and got.shape == (count,)
    middles = [Fraction((2 * i + 1) * frames, 2 * count) for i in range(count)]  # exactly
    assert got.tolist() == [int(middle) for middle in middles]


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 99))
def test_random_takes_one_frame_of_each_segment(frames, count, seed):
    got = sample_frames(frames, count, "random", seeded(seed)).tolist()
    for i, frame in enumerate(got):
        first, behind = Fraction(i * frames, count), Fraction((i + 1) * frames, count)
        assert frame + 1 > first and frame < behind
    assert got == sorted(got) and max(got) < frames


def test_random_takes_every_frame_as_often(frames=21, count=3, draws=2000):
    generator, seen = seeded(), torch.zeros(21)
    for _ in range(draws):
        seen += torch.bincount(sample_frames(frames, count, "random", generator), minlength=frames)
    assert seen.sum() == draws * count
    assert (seen / draws - 1 / 7).abs().max() < 0.05


def test_random_segments_are_drawn_apart():
    generator = seeded()
    got = torch.stack([sample_frames(400, 4, "random", generator) for _ in range(500)]).float()
    apart = torch.corrcoef(got.T) - torch.eye(4)
    assert apart.abs().max() < 0.2


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 20), st.integers(1, 5), st.integers(0, 99))
def test_dense_is_a_row_that_holds_the_last_frame(frames, count, stride, seed):
    for generator in (None, seeded(seed)):
        got = sample_frames(frames, count, "dense", generator, stride).tolist()
        assert got == [min(got[0] + stride * i, frames - 1) for i in range(count)]
        span = (count - 1) * stride + 1
        if span > frames:
            assert got[0] == 0
        elif generator is None:
            assert 0 <= (frames - 1 - got[-1]) - got[0] <= 1  # as much behind as before
        else:
            assert got[-1] == got[0] + span - 1 <= frames - 1


def test_dense_begins_everywhere_and_as_often(draws=2000):
    generator = seeded()
    begins = [sample_frames(11, 3, "dense", generator, 2)[0].item() for _ in range(draws)]
    counts = np.bincount(begins, minlength=7)
    assert len(counts) == 7 and abs(counts / draws - 1 / 7).max() < 0.05


def test_a_generator_fixes_what_is_drawn():
    for how in ("random", "dense"):
        one, other = (sample_frames(300, 5, how, seeded(7)).tolist() for _ in range(2))
        assert one == other
        assert one != sample_frames(300, 5, how, seeded(8)).tolist()
    torch.manual_seed(3)
    one = sample_frames(300, 5, "random").tolist()
    torch.manual_seed(3)
    assert one == sample_frames(300, 5, "random").tolist()


@pytest.mark.parametrize("wrong", [(0, 4, 1), (4, 0, 1), (-2, 4, 1), (4, -1, 1), (4, 4, 0)])
@pytest.mark.parametrize("how", ["uniform", "random", "dense"])
def test_less_than_one_frame_is_refused(wrong, how):
    frames, count, stride = wrong
    name = ("frames", "count", "stride")[wrong.index(min(wrong))]
    with pytest.raises(ValueError, match=f"^{name} is {min(wrong)} and must be a whole number"):
        sample_frames(frames, count, how, stride=stride)


def test_another_way_to_sample_is_refused():
    with pytest.raises(ValueError, match="how 'middle' is none of uniform, dense, random"):
        sample_frames(9, 3, "middle")


# Writing


@settings(deadline=None, max_examples=25)
@given(st.data(), st.integers(1, 5), st.integers(1, 7), st.integers(1, 8), st.integers(1, 3))
def test_what_is_written_is_read_again(tmp_path_factory, data, frames, height, width, scale):
    pixels = few_colors(frames, height, width, colors=data.draw(st.integers(1, 256)))
    if data.draw(st.booleans()):
        pixels[:] = pixels[:1]  # a clip that stands still keeps its frames
    hundredths = data.draw(st.lists(st.integers(2, 500), min_size=frames, max_size=frames))
    path = tmp_path_factory.mktemp("gif") / "a.gif"
    seconds = torch.tensor(hundredths) / 100
    assert write_gif(path, floats(pixels), seconds=seconds, scale=scale) == path
    clip, times = read_clip(path)
    assert (levels(clip) == pixels.repeat(scale, 1).repeat(scale, 2)).all()
    expected = torch.tensor([0, *hundredths[:-1]], dtype=torch.float64).cumsum(0) / 100
    torch.testing.assert_close(times, expected, rtol=0, atol=1e-9)
    assert [file.name for file in path.parent.iterdir()] == ["a.gif"]


def test_a_gif_loops_and_has_one_palette(tmp_path):
    path = write_gif(tmp_path / "a.gif", floats(NOISE))
    with Image.open(path) as image:
        assert image.info["loop"] == 0 and image.n_frames == 5
    content = path.read_bytes()
    assert content[10] & 0x87 == 0x87  # 256 colours at the beginning
    with Image.open(path) as image:
        for frame in range(5):
            image.seek(frame)
            assert image.tile[0].extents == (0, 0, 17, 13)
    assert len(film_of("a.gif", content).parts) == 5  # and its end is there


def test_many_colors_come_near_and_what_stands_still_does_not_flicker(tmp_path):
    steps = np.linspace(0, 255, 40)
    down, across = (axis.astype(np.uint8) for axis in np.meshgrid(steps, steps, indexing="ij"))
    still = np.stack([down, across, 255 - down // 2 - across // 2], -1)  # 1600 colours
    frames = np.stack([still] * 3)
    frames[1, :5, :5] = (255, 0, 0)  # something comes and goes in a corner
    clip, _ = read_clip(write_gif(tmp_path / "a.gif", floats(frames)))
    got = levels(clip)
    assert (got[0] == got[2]).all() and (got[0, 5:] == got[1, 5:]).all()
    assert abs(got.astype(int) - frames).mean() < 5
    palette, places = in_one_palette(frames)
    assert palette.shape == (256, 3) and places.shape == (3, 40, 40)
    colors, chosen = frames[0].reshape(-1, 3).astype(float), palette[places[0]].reshape(-1, 3)
    nearest = np.linalg.norm(colors[:, None] - palette, axis=2).min(1)
    assert (np.linalg.norm(colors - chosen, axis=1) <= nearest + 7).all()  # Pillow's 6 bits


def test_frames_begin_when_they_should_although_a_gif_counts_hundredths(tmp_path):
    clip = torch.zeros(31, 3, 2, 2)
    for fps in (30, 24, 12.5, 7, 50):
        _, times = read_clip(write_gif(tmp_path / "a.gif", clip, fps=fps))
        torch.testing.assert_close(times, torch.arange(31).double() / fps, rtol=0, atol=0.00501)


def test_one_number_of_seconds_counts_for_all_frames(tmp_path):
    _, times = read_clip(write_gif(tmp_path / "a.gif", torch.zeros(3, 3, 2, 2), seconds=1.25))
    assert times.tolist() == [0, 1.25, 2.5]


def test_values_beyond_are_cut_off_and_grey_is_grey(tmp_path):
    clip = torch.tensor([-9.0, -1.0, 0.2, 1.0, 9.0]).view(1, 1, 1, 5)
    got, _ = read_clip(write_gif(tmp_path / "a.gif", clip))
    assert levels(got)[0, 0].tolist() == [[v] * 3 for v in (0, 0, 153, 255, 255)]


WRONG_CLIPS = {
    "image": torch.zeros(3, 4, 5),
    "batch": torch.zeros(2, 4, 3, 5, 5),
    "four channels": torch.zeros(2, 4, 5, 5),
    "no frames": torch.zeros(0, 3, 5, 5),
    "no pixels": torch.zeros(2, 3, 0, 5),
    "nan": torch.full((2, 3, 4, 5), float("nan")),
    "infinite": torch.full((2, 3, 4, 5), float("inf")),
}


@pytest.mark.parametrize("name", WRONG_CLIPS)
def test_what_is_no_clip_is_not_written(tmp_path, name):
    for write in (write_gif, write_frames):
        with pytest.raises(ValueError, match="a clip is|values that are no numbers"):
            write(tmp_path / "a.gif", WRONG_CLIPS[name])
    assert not list(tmp_path.iterdir())


def test_what_a_gif_cannot_hold_is_refused(tmp_path):
    clip, path = torch.zeros(3, 3, 4, 5), tmp_path / "a.gif"
    for seconds in (0, -1, 0.015, 656, float("nan"), [0.1, 0.1, 0.01]):
        with pytest.raises(ValueError, match=r"shown for 0\.02 to 655 seconds, not"):
            write_gif(path, clip, seconds=seconds)
    with pytest.raises(ValueError, match=r"shape \(2,\), there are 3 frames"):
        write_gif(path, clip, seconds=[0.1, 0.1])
    for fps in (0, -2, float("nan")):
        with pytest.raises(ValueError, match="cannot follow one another at"):
            write_gif(path, clip, fps=fps)
    with pytest.raises(ValueError, match=r"0\.02 to 655 seconds, not 0\.01"):
        write_gif(path, clip, fps=100)
    with pytest.raises(ValueError, match="0 x 0 times"):
        write_gif(path, clip, scale=0)
    with pytest.raises(ValueError, match="80000 x 100000 pixels are too many for a GIF"):
        write_gif(path, clip, scale=20_000)
    for shape in ((1, 1, 1, 70_000), (1, 1, 70_000, 1)):
        with pytest.raises(ValueError, match="70000.* pixels are too many for a GIF: 65535 a side"):
            write_gif(path, torch.zeros(shape))
    with pytest.raises(ValueError, match=r"3 frames of 40000 x 50000 are 6000\.0 megapixels"):
        write_gif(path, clip, scale=10_000)
    with pytest.raises(ValueError, match=r"1\.5 x 1\.5 times"):
        write_gif(path, clip, scale=1.5)
    with pytest.raises(ValueError, match=r"a\.mp4 does not end in \.gif"):
        write_gif(tmp_path / "a.mp4", clip)
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = write_gif(tmp_path / "a.gif", torch.zeros(2, 3, 4, 5))
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(OSError, match=r"a\.gif could not be written: No space left"):
            write_gif(path, torch.ones(2, 3, 4, 5))
        with pytest.raises(OSError, match="clip could not be written: No space left"):
            write_frames(tmp_path / "clip", torch.ones(2, 3, 4, 5))
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"]
    assert path.read_bytes() == before
    with pytest.raises(OSError, match="could not be written: No such file"):
        write_gif(tmp_path / "nowhere" / "a.gif", torch.ones(2, 3, 4, 5))


def test_frames_are_written_and_read_again(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new/deep", "empty"):
        paths = write_frames(tmp_path / name, floats(NOISE))
        assert [path.name for path in paths] == [f"frame000{i}.png" for i in range(1, 6)]
        clip, times = read_clip(tmp_path / name)
        assert (levels(clip) == NOISE).all() and len(times) == 5
        with pytest.raises(FileExistsError, match="is there already and not an empty folder"):
            write_frames(tmp_path / name, floats(NOISE))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]
    with pytest.raises(FileExistsError, match="not an empty folder"):
        write_frames(paths[0], floats(NOISE))


def test_many_frames_stay_in_order(tmp_path):
    clip = torch.linspace(-1, 1, 12).view(12, 1, 1, 1).expand(-1, 3, 2, 2)
    write_frames(tmp_path / "a", clip)
    torch.testing.assert_close(read_clip(tmp_path / "a")[0], clip, rtol=0, atol=1 / 255)


def run_shapes() -> None:
    import tempfile

    import torch

    from scratchmm.video import clips

    with tempfile.TemporaryDirectory() as folder:
        clips.read_clip(clips.write_gif(folder + "/a.gif", torch.randn(4, 3, 5, 6)), size=(8, 7))
    for how in ("uniform", "random", "dense"):
        clips.sample_frames(9, 4, how)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "video/clips.py")
