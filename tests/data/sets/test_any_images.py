"""Images in any form become what a model reads; what is none is refused in a sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scratchmm.data.sets.any_images import image_files, images_of
from scratchmm.data.sets.pairs import load_images
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes import vit as vit_recipe
from scratchmm.recipes.artifact import load_trained
from scratchmm.vision.images import to_tensor


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """An image with a smooth ramp, so that resizing in any way gives nearly the same."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([255 * x / width, 255 * y / height, 0 * x + 40 * seed], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo(97, 131).save(tmp_path / "b.png")
    photo(200, 60, 1).save(tmp_path / "a.JPG", quality=95)
    photo(40, 40, 2).save(tmp_path / "no_suffix", format="PNG")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "below").mkdir()
    return tmp_path


def test_a_folder_gives_its_images_by_name(folder: Path) -> None:
    files = image_files(folder)
    assert [file.name for file in files] == ["a.JPG", "b.png", "no_suffix"]
    whole = images_of(folder, 24)
    assert whole.shape == (3, 3, 24, 24) and whole.dtype == torch.float32
    assert torch.equal(whole, images_of(files, 24))
    assert torch.equal(whole, load_images(files, 24))  # as those it was trained on were read
    assert torch.equal(whole[1:2], images_of(str(files[1]), 24))


def test_every_form_of_one_image_is_the_same_image() -> None:
    image = photo(97, 131)
    one = images_of(image, 24)
    assert torch.equal(images_of(np.asarray(image), 24), one)
    whole = to_tensor(image)
    levels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    for form in (whole, whole[None], levels, [image][:1]):
        torch.testing.assert_close(images_of(form, 24), one, atol=0.03, rtol=0)
    both = images_of([image, whole, levels], 24)
    assert both.shape == (3, 3, 24, 24)


def test_a_tensor_of_the_right_size_stays_as_it_is() -> None:
    images = torch.rand(5, 3, 24, 24) * 2 - 1
    assert images_of(images, 24).data_ptr() == images.data_ptr() or torch.equal(
        images_of(images, 24), images
    )


def test_what_is_turned_see_through_or_grey_is_read_as_a_file_would_be(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (30, 20), (255, 0, 0, 0))
    assert (images_of(clear, 16) == 1).all()
    exif = Image.Exif()
    exif[0x0112] = 6  # stands on its side
    photo(60, 30).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        torch.testing.assert_close(images_of(opened, 16), images_of(tmp_path / "turned.png", 16))
    assert images_of(Image.new("L", (9, 30), 255), 8).shape == (1, 3, 8, 8)
    grey = images_of(torch.zeros(1, 40, 30), 8)
    assert grey.shape == (1, 3, 8, 8) and (grey == 0).all()
    assert images_of(photo(40, 30), 8, channels=1).shape == (1, 1, 8, 8)
    assert torch.allclose(images_of(torch.ones(3, 8, 8), 8, channels=1), torch.ones(1, 1, 8, 8))


def test_every_kind_of_image_in_a_folder_is_taken_or_refused(tmp_path: Path) -> None:
    for name, kind in {"a.pgm": "PPM", "b.pnm": "PPM", "c.dib": "BMP", "d.jfif": "JPEG"}.items():
        photo(20, 20).convert("L").save(tmp_path / name, format=kind)
    (tmp_path / "e.pbm").write_bytes(b"P1 2 2 0 1 1 0")
    found = [file.name for file in image_files(tmp_path)]
    assert found == ["a.pgm", "b.pnm", "c.dib", "d.jfif", "e.pbm"]
    assert images_of(tmp_path, 8).shape == (5, 3, 8, 8)
    (tmp_path / "f.tga").write_bytes(bytes(30))
    with pytest.raises(ValueError, match=r"f\.tga is not an image"):
        images_of(tmp_path, 8)


def test_an_image_of_pillow_s_means_what_its_file_does(tmp_path: Path) -> None:
    levels = np.array([[0, 65535], [25700, 12850]], dtype=np.uint16)
    path = tmp_path / "a.tif"
    Image.fromarray(levels).save(path, tiffinfo={262: 0})  # 0 is white
    with Image.open(path) as image:
        shown = images_of(image, 2)
    assert ((shown[0, 0] + 1) * 127.5).round().int().tolist() == [[255, 0], [155, 205]]
    Image.fromarray(levels).save(tmp_path / "a.png", transparency=25700)
    with Image.open(tmp_path / "a.png") as image:
        shown = images_of(image, 2)
    assert ((shown[0, 0] + 1) * 127.5).round().int().tolist() == [[0, 255], [255, 50]]
    assert torch.equal(shown, images_of(tmp_path / "a.png", 2))


def test_an_image_of_pillow_s_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    photo(40, 40).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with (
        Image.open(path) as image,
        pytest.raises(ValueError, match="an image of Pillow's is damaged or truncated"),
    ):
        images_of(image, 8)
    numbers = Image.fromarray(np.array([[0, 70_000]], dtype=np.int32))
    with pytest.raises(ValueError, match="lie from 0 to 70000, beyond 0 to 65535"):
        images_of(numbers, 1)
    Image.fromarray(np.array([[1, 2]], dtype=np.int32)).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image, pytest.raises(ValueError, match="of 32 bits"):
        images_of(image, 1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (torch.full((3, 8, 8), 255.0), "holds values from 255 to 255: give floats in"),
        (torch.full((3, 8, 8), torch.nan), "holds values from nan to nan: give floats in"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "is float in .* or uint8, not torch.int64"),
        (torch.zeros(8, 8), r"is \(C, H, W\) or \(B, C, H, W\), C 1 or 3, not \(8, 8\)"),
        (torch.zeros(8, 8, 3), r"C 1 or 3, not \(8, 8, 3\)"),
        (np.zeros((8, 8, 3)), r"an array of an image is uint8 .* not float64"),
        ([], "there is no image: the list is empty"),
        ([7], "an image is a file, an image of Pillow's or a tensor, not int"),
    ],
)
def test_what_is_no_image_is_refused(given, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        images_of(given, 8)


def test_of_no_images_there_are_none() -> None:
    assert images_of(torch.zeros(0, 3, 9, 12), 8).shape == (0, 3, 8, 8)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no image at .*gone\.png"):
        images_of(tmp_path / "gone.png", 8)
    with pytest.raises(FileNotFoundError, match=r"holds no image \(0 other files\)"):
        images_of(tmp_path, 8)


def test_a_trained_clip_takes_them_all(folder: Path, tmp_path: Path) -> None:
    images = torch.rand(6, 3, 16, 16) * 2 - 1
    clip_recipe.save(
        clip_recipe.new_clip(images, ["a cat", "a dog", "a red boat"] * 2), tmp_path / "c"
    )
    clip = load_trained(tmp_path / "c")
    assert clip.embed_images(folder).shape == (3, 64)
    alone = clip.embed_images(photo(97, 131))
    torch.testing.assert_close(alone, clip.embed_images(folder)[1:2])
    assert clip.embed_images(torch.zeros(3, 131, 97)).shape == (1, 64)
    assert torch.equal(clip.embed_texts("a cat"), clip.embed_texts(["a cat"]))
    with pytest.raises(ValueError, match="among them is one of type int"):
        clip.embed_texts(["a cat", 3])
    with pytest.raises(ValueError, match="none is there"):
        clip.embed_texts([])


def test_a_trained_vit_takes_them_in_its_own_channels(folder: Path) -> None:
    vit = vit_recipe.new_vit(torch.rand(5, 1, 28, 28), ["zero", "one"])
    assert vit.classify(folder).shape == (3, 2)


def test_an_array_of_one_channel_in_front_or_behind() -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    expected = images_of(Image.fromarray(grey), 16)
    assert torch.equal(images_of(grey, 16), expected)
    assert torch.equal(images_of(grey[..., None], 16), expected)
    seen = np.stack([grey, np.full_like(grey, 255)], axis=-1)  # grey and wholly opaque
    assert torch.equal(images_of(seen, 16), expected)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"not uint8 \(3, 8, 9\): its channels come first, so give"),
        (np.zeros((1, 8, 9), np.uint8), r"array\.transpose\(1, 2, 0\)"),
        (np.zeros((8, 9, 5), np.uint8), r"C 1 to 4, not uint8 \(8, 9, 5\)$"),
        (np.zeros((0, 9, 3), np.uint8), r"not uint8 \(0, 9, 3\)$"),
        (np.zeros((8, 9, 3), np.float32), r"not float32 \(8, 9, 3\): a tensor may hold floats"),
        (Image.new("RGB", (0, 4)), "an image of 0 x 4 pixels shows nothing"),
        (None, "an image is a file, an image of Pillow's or a tensor, not NoneType"),
        (7, "not int"),
        (np.float32(1), "not float32"),
        ([None], "not NoneType"),
        ("", "the name of an image is empty"),
        (" ", "the name of an image is empty"),
    ],
)
def test_what_is_no_image_is_refused_by_its_kind(given: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        images_of(given, 16)  # type: ignore[arg-type]
