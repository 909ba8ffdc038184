import io
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scratchmm.vision.images import (
    CLIP_MEAN,
    CLIP_STD,
    augment,
    center_crop,
    clip_preprocess,
    color_jitter,
    normalise,
    open_image,
    random_flip,
    random_resized_crop,
    resize,
    to_image,
    to_tensor,
    vit_preprocess,
)
from shape_comments import check_shape_comments

NOISE = np.random.default_rng(0).integers(0, 256, (31, 45, 3), dtype=np.uint8)


IMAGES, NAN = torch.zeros(2, 3, 4, 5), float("nan")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pixels(image):
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def png_header(width, height):
    """The head of a PNG, as its specification says, with almost nothing behind it."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 10)
    chunks = [head, data]
    body = b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["png", "bmp", "webp", "tiff", "ppm"])
def test_what_was_saved_without_loss_is_opened_the_same(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(NOISE).save(path, lossless=True) if kind == "webp" else Image.fromarray(
        NOISE
    ).save(path)
    assert (pixels(open_image(path)) == NOISE).all()


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "webp", "tiff"])
def test_a_image_cut_off_anywhere_is_refused_or_whole(tmp_path, kind):
    whole = io.BytesIO()
    Image.fromarray(NOISE).save(whole, kind)
    data, path = whole.getvalue(), tmp_path / f"a.{kind}"
    path.write_bytes(data)
    expected = pixels(open_image(path))
    refused = 0
    for length in [
        *range(80),
        *range(80, len(data) - 20, 97),
        *range(len(data) - 20, len(data)),
    ]:
        path.write_bytes(data[:length])
        try:
            opened = open_image(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
        else:  # only what comes after the last pixel was missing
            assert (pixels(opened) == expected).all() and length > len(data) - 40
    assert refused > 60


def test_what_is_not_a_image_is_refused_in_a_sentence(tmp_path):
    cases = {
        "text.png": (b"file\ttext\n", "text.png is not an image but a file of 10 bytes"),
        "empty.png": (b"", "empty.png is not an image but a file of 0 bytes"),
        "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
    }
    for name, (data, sentence) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=sentence):
            open_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="is a folder"):
        open_image(tmp_path)


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [(8001, 8000, "64.0"), (10_000, 9_000, "90.0"), (30_000, 30_000, "900.0")],
)
def test_more_than_64_megapixels_are_refused_before_they_are_decoded(tmp_path, width, height, said):
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(width, height))  # decoding this would fail: there are no pixels
    with pytest.raises(ValueError, match=f"huge.png has {said} megapixels, more than the 64"):
        open_image(path)


def test_64_megapixels_are_not_too_many(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png_header(8000, 8000))
    with pytest.raises(ValueError, match="damaged or truncated"):
        open_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_set_upright(tmp_path, orientation):
    upright = NOISE
    undo = {  # how a camera stores an upright view under each mark (EXIF 2.3, tag 0112)
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(undo[orientation])).save(path, exif=exif)
    assert (pixels(open_image(path)) == upright).all()


def test_see_through_parts_show_the_background(tmp_path):
    front = np.zeros((1, 3, 4), dtype=np.uint8)
    front[0] = [(255, 0, 0, 255), (255, 0, 0, 0), (255, 0, 0, 102)]
    Image.fromarray(front).save(tmp_path / "a.png")
    assert pixels(open_image(tmp_path / "a.png")).tolist() == [
        [[255, 0, 0], [255] * 3, [255, 153, 153]]
    ]
    blue = pixels(open_image(tmp_path / "a.png", background="blue"))
    assert blue.tolist() == [[[255, 0, 0], [0, 0, 255], [102, 0, 153]]]
    with pytest.raises(ValueError, match="a.png cannot be turned into RGB: unknown color"):
        open_image(tmp_path / "a.png", background="nocolour")


def test_a_palette_with_a_clear_colour_shows_the_background(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.gif", transparency=1)
    image.save(tmp_path / "a.png", transparency=1)
    for name in ("a.gif", "a.png"):
        assert pixels(open_image(tmp_path / name)).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_grey_images_of_every_depth(tmp_path):
    deep = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tiff")
    for name in ("deep.png", "deep.tiff"):
        assert pixels(open_image(tmp_path / name))[0].tolist() == [
            [n] * 3 for n in (0, 1, 128, 255)
        ]
    Image.fromarray(np.array([[0, 7, 255]], dtype=np.uint8)).save(tmp_path / "grey.png")
    assert pixels(open_image(tmp_path / "grey.png"))[0].tolist() == [[n] * 3 for n in (0, 7, 255)]
    Image.new("1", (2, 1), 1).save(tmp_path / "bit.png")
    assert (pixels(open_image(tmp_path / "bit.png")) == 255).all()
    grey = Image.new("LA", (1, 1), (100, 51))
    grey.save(tmp_path / "clear.png")
    assert pixels(open_image(tmp_path / "clear.png")).tolist() == [[[224, 224, 224]]]
    Image.fromarray(np.array([[0.5]], dtype=np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(
        ValueError, match="float.tiff cannot be turned into RGB: its pixels are float"
    ):
        open_image(tmp_path / "float.tiff")


def test_the_colours_of_a_printing_press(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    image.save(tmp_path / "a.jpg", quality=100)
    image.save(tmp_path / "a.tiff")
    for name in ("a.jpg", "a.tiff"):
        assert np.abs(pixels(open_image(tmp_path / name)) - (255, 0, 0)).max() <= 3


def test_a_large_jpeg_may_be_decoded_smaller_but_not_too_small(tmp_path):
    photo = Image.fromarray(NOISE).resize((1200, 800), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "a.jpg")
    assert open_image(tmp_path / "a.jpg").size == (1200, 800)
    small = open_image(tmp_path / "a.jpg", at_least=90)
    assert small.size == (150, 100)
    assert open_image(tmp_path / "a.jpg", at_least=101).size == (300, 200)
    expected = np.asarray(photo.resize((150, 100), Image.Resampling.BOX)).astype(int)
    assert np.abs(pixels(small) - expected).mean() < 3


def test_a_image_survives_the_way_to_a_tensor_and_back():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    for array in (every, NOISE):
        tensor = to_tensor(Image.fromarray(array))
        assert tensor.shape == (3, *array.shape[:2]) and tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        torch.testing.assert_close(tensor[1], torch.from_numpy(array[:, :, 1] / 127.5 - 1).float())
        assert (pixels(to_image(tensor)) == array).all()


def test_values_beyond_the_range_are_cut_off_and_grey_is_spread():
    assert pixels(to_image(torch.tensor([[[-9.0, 9.0, 0.0]]]))).tolist() == [
        [[0] * 3, [255] * 3, [128] * 3]
    ]
    for shape in ((2, 3, 3), (1, 3, 4, 4), (5, 5)):
        with pytest.raises(ValueError, match=r"not \("):
            to_image(torch.zeros(shape))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64))
@settings(deadline=None, max_examples=50)
def test_the_shorter_side_gets_the_size(width, height, size):
    short, long = min(width, height), max(width, height)
    resized = resize(Image.new("L", (width, height)), size)
    assert min(resized.size) == size and max(resized.size) == int(size * long / short)
    assert (resized.width >= resized.height) == (width >= height) or resized.width == resized.height
    assert center_crop(resized, size).size == (size, size)


def test_shrinking_uses_every_pixel():
    board = np.indices((64, 64)).sum(0) % 2 * 255
    for method in ("bilinear", "bicubic"):
        small = resize(Image.fromarray(board.astype(np.uint8)), 16, method)
        assert np.abs(np.asarray(small).astype(int) - 127).max() <= 2
    assert set(np.unique(resize(Image.fromarray(board.astype(np.uint8)), 16, "nearest"))) <= {
        0,
        255,
    }


def test_the_middle_is_cut_out():
    array = np.arange(7 * 5, dtype=np.uint8).reshape(7, 5)
    cut = np.asarray(center_crop(Image.fromarray(array), 2))
    assert (cut == array[2:4, 1:3]).all()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: center_crop(Image.new("L", (9, 5)), 6), "cannot crop 6 x 6 pixels out of 9 x 5"),
        (lambda: resize(Image.new("L", (9, 5)), 0), "cannot resize 9 x 5 pixels to 0 x 0"),
        (
            lambda: resize(Image.new("L", (1, 9000)), 224),
            "cannot resize 1 x 9000 .* to 224 x 2016000",
        ),
        (lambda: resize(Image.new("L", (9, 5)), (10**6, 10**6)), "to 1000000 x 1000000"),
        (lambda: resize(Image.new("L", (9, 5)), 4, "area"), "'area' is none of nearest"),
        (lambda: center_crop(Image.new("L", (9, 5)), 0), "cannot crop 0 x 0"),
        (lambda: center_crop(Image.new("L", (9, 5)), -3), "cannot crop -3 x -3"),
        (lambda: to_image(torch.tensor([[[0.0, NAN, 1.0]]])), "1 values that are no numbers"),
        (lambda: random_flip(IMAGES, seeded(), NAN), "not at nan"),
        (lambda: random_flip(IMAGES, seeded(), 1.5), "not at 1.5"),
        (lambda: random_flip(IMAGES, seeded(), -0.1), "not at -0.1"),
        (lambda: color_jitter(IMAGES, seeded(), NAN), "not at nan"),
        (lambda: color_jitter(IMAGES, seeded(), 2.0), "not at 2.0"),
        (lambda: random_resized_crop(IMAGES, seeded(), 10**9), "1000000000 x 1000000000"),
        (lambda: random_resized_crop(IMAGES, seeded(), 0), "to 0 x 0"),
        (lambda: random_resized_crop(IMAGES, seeded(), 4, NAN), "not nan"),
        (lambda: random_resized_crop(IMAGES, seeded(), 4, 1.1), "not 1.1"),
        (lambda: normalise(IMAGES, (0.5,) * 3, (0.5, 0.0, 0.5)), r"0\.0, 0\.5\): numbers"),
        (lambda: normalise(IMAGES, (0.5, NAN, 0.5), (0.5,) * 3), "nan, 0.5"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_normalise_is_the_published_formula():
    image = Image.fromarray(NOISE)
    expected = (NOISE / 255 - np.array(CLIP_MEAN)) / np.array(CLIP_STD)
    found = normalise(to_tensor(image)[None], CLIP_MEAN, CLIP_STD)[0]
    torch.testing.assert_close(found, torch.from_numpy(expected).permute(2, 0, 1).float())


@pytest.mark.parametrize("size", [(301, 223), (97, 350), (224, 224), (61, 60), (641, 479)])
def test_preparation_equals_that_of_transformers(size):
    pytest.importorskip("transformers")
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8))
    for ours, theirs in (
        (clip_preprocess(image), CLIPImageProcessorPil()),
        (vit_preprocess(image), ViTImageProcessorPil()),
    ):
        expected = theirs(image, return_tensors="pt")["pixel_values"][0]
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_preparation_to_another_size_equals_that_of_transformers():
    pytest.importorskip("transformers")
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    theirs = CLIPImageProcessorPil(
        size={"shortest_edge": 45}, crop_size={"height": 45, "width": 45}
    )
    expected = theirs(Image.fromarray(NOISE), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(
        clip_preprocess(Image.fromarray(NOISE), 45), expected, rtol=1e-5, atol=1e-5
    )


def ramp(batch=6, height=24, width=32):
    """Images whose red says the column and whose green says the row, in [-1, 1]."""
    red = torch.linspace(-1, 1, width).expand(height, width)
    green = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    return torch.stack([red, green, torch.zeros(height, width)]).repeat(batch, 1, 1, 1)


@pytest.mark.parametrize("varied", [random_resized_crop, random_flip, color_jitter, augment])
def test_a_generator_fixes_what_is_varied_and_each_image_is_varied_apart(varied):
    images = ramp()
    before = images.clone()
    first, same = varied(images, seeded(1)), varied(images, seeded(1))
    torch.testing.assert_close(first, same, rtol=0, atol=0)
    assert (first != varied(images, seeded(2))).any()
    assert any((first[0] != other).any() for other in first[1:])
    torch.testing.assert_close(images, before, rtol=0, atol=0)  # the given images stay
    assert first.shape == images.shape and first.abs().max() <= 1 + 1e-6
    state = torch.get_rng_state()
    varied(images, seeded(1))
    assert (torch.get_rng_state() == state).all()


def test_a_crop_is_a_part_of_the_image_of_the_area_that_is_asked_for():
    images = ramp(300, 48, 48)
    crops = random_resized_crop(images, seeded(), size=20, smallest=0.3)
    assert crops.shape == (300, 3, 20, 20)
    # In a ramp the difference between the outer columns says how wide the part was.
    wide = (crops[:, 0, 10, -1] - crops[:, 0, 10, 0]) / 2 * 20 / 19
    high = (crops[:, 1, -1, 10] - crops[:, 1, 0, 10]) / 2 * 20 / 19
    area, ratio = wide * high, wide / high
    assert 0.25 < area.min() < 0.4 and 0.9 < area.max() < 1.1 and 0.55 < area.mean() < 0.75
    assert 0.7 < ratio.min() < 0.85 and 1.17 < ratio.max() < 1.45
    middle = crops[:, :2, 9:11, 9:11].mean((2, 3))
    assert (middle.min(0).values < -0.3).all() and (middle.max(0).values > 0.3).all()
    torch.testing.assert_close(crops.diff(dim=3)[:, 0] > 0, torch.ones(300, 20, 19).bool())
    whole = random_resized_crop(images[:2], seeded(), smallest=1.0)
    assert whole.shape == images[:2].shape


def test_a_crop_may_lie_at_every_border_and_is_shrunk_smoothly():
    for turn in range(4):
        edge = torch.zeros(8, 8)
        edge[0] = 1
        edge = edge.rot90(turn).expand(200, 1, 8, 8)
        seen = random_resized_crop(edge, seeded(turn), smallest=0.3).amax((1, 2, 3)) > 0.3
        assert 0.25 < seen.float().mean() < 0.75
    board = (torch.arange(64) % 2 * 2.0 - 1).expand(4, 3, 64, 64)
    assert random_resized_crop(board, seeded(), size=8, smallest=0.9).abs().max() < 0.3


def test_flipping_mirrors_about_half_of_the_images():
    images = ramp(400, 2, 5)
    flipped = random_flip(images, seeded())
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    same = (flipped == images).flatten(1).all(1)
    assert (mirrored ^ same).all() and 160 < mirrored.sum() < 240
    torch.testing.assert_close(random_flip(images, seeded(), 0.0), images)
    torch.testing.assert_close(random_flip(images, seeded(), 1.0), images.flip(-1))


def test_jitter_changes_light_but_not_what_is_seen():
    images = ramp(64) * 0.5
    changed = color_jitter(images, seeded(), 0.3)
    light, new = images.add(1).mean((1, 2, 3)), changed.add(1).mean((1, 2, 3))
    assert 0.65 < (new / light).min() < 0.85 and 1.15 < (new / light).max() < 1.35
    for before, after in zip(images, changed):
        for channel in (0, 1):
            both = torch.stack([before[channel].flatten(), after[channel].flatten()])
            assert torch.corrcoef(both)[0, 1] > 0.95
    grey = torch.full((8, 3, 4, 4), 0.1)
    shades = color_jitter(grey, seeded())  # grey stays grey, and even
    torch.testing.assert_close(shades, shades[:, :1, :1, :1].expand_as(shades))
    torch.testing.assert_close(color_jitter(images, seeded(), 0.0), images)
    # Saturation moves colours to or from their grey: the spread between channels changes.
    spread = changed.std(1).mean((1, 2)) / changed.add(1).mean((1, 2, 3))
    assert spread.max() / spread.min() > 1.3


def run_shapes() -> None:
    import torch

    from scratchmm.vision import images

    image = torch.rand(3, 9, 7) * 2 - 1
    images.to_tensor(images.to_image(image))
    images.augment(torch.stack([image, -image]), torch.Generator())


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "vision/images.py")
