import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.data.sets.mnist import load_fashion_mnist, load_mnist, read_idx


def idx(values):
    """The bytes of an idx file, written down from the format's description."""
    header = struct.pack(">BBBB", 0, 0, 8, values.ndim)
    return header + b"".join(struct.pack(">I", n) for n in values.shape) + values.tobytes()


def numbers(*shape, most=256):
    return np.random.default_rng(0).integers(0, most, shape, dtype=np.uint8)


def write_set(folder, count=7, zipped=True, labels=None):
    folder.mkdir(parents=True, exist_ok=True)
    images = numbers(count, 28, 28)
    labels = numbers(count, most=10) if labels is None else labels
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
        path = folder / f"t10k-{name}-ubyte{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(idx(values)) if zipped else idx(values))
    return images, labels


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.booleans())
def test_a_file_of_any_shape_is_read_as_it_was_written(tmp_path_factory, shape, zipped):
    values = numbers(*shape)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx(values)) if zipped else idx(values))
    read = read_idx(path)
    assert read.dtype == torch.uint8
    torch.testing.assert_close(read, torch.from_numpy(values))


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, zipped):
    data = idx(numbers(3, 2, 5))
    data = gzip.compress(data) if zipped else data
    path = tmp_path / "cut"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="truncated|not an idx file") as refusal:
            read_idx(path)
        assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not an idx file: it begins with nothing"),
        (b"\x89PNG\r\n\x1a\n", "not an idx file: it begins with 89 50 4e 47"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "kind 13, not unsigned bytes"),
        (b"\0\0\x08\x01\0\0\0\x02\x01", "truncated: 1 of 2 bytes"),
        (b"\0\0\x08\x01\0\0\0\x01\x01\x02", "goes on after the 1 bytes"),
        (b"\0\0\x08\x64" + b"\0\0\0\1" * 100 + b"\1", "claims 100 axes, more than 8"),
        (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, "claims 18446744065119617025 bytes"),
        (b"\0\0\x08\xff" + b"\xff" * 1020, "claims 255 axes"),
        (b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff", "claims 18446744065119617025 bytes"),
    ],
)
def test_what_is_not_idx_is_refused_in_a_sentence(tmp_path, data, sentence):
    path = tmp_path / "odd"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=sentence):
        read_idx(path)


def test_a_flipped_bit_in_a_gzip_file_is_noticed(tmp_path):
    data = bytearray(gzip.compress(idx(numbers(50, 7, 7))))
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.gz").write_bytes(data)
    with pytest.raises(ValueError, match="damaged gzip"):
        read_idx(tmp_path / "bad.gz")


@pytest.mark.parametrize("inner", ["mnist", "."])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_set_is_found_in_its_folder_or_at_the_root(tmp_path, inner, zipped, monkeypatch):
    images, labels = write_set(tmp_path / inner, zipped=zipped)
    monkeypatch.setenv("SCRATCHMM_DATA", str(tmp_path))
    for root in (tmp_path, None):
        read, classes, names = load_mnist(root, "test")
        assert read.shape == (7, 1, 28, 28) and read.dtype == torch.float32
        torch.testing.assert_close(
            ((read[:, 0] + 1) * 127.5).round().to(torch.uint8).numpy(), images
        )
        assert classes.dtype == torch.int64 and classes.tolist() == labels.tolist()
        assert " ".join(names) == "zero one two three four five six seven eight nine"


def test_the_sets_own_folder_goes_before_the_root(tmp_path):
    write_set(tmp_path, count=2)
    write_set(tmp_path / "fashion_mnist", count=5)
    assert len(load_fashion_mnist(tmp_path, "test")[0]) == 5
    assert len(load_mnist(tmp_path, "test")[0]) == 2


def test_images_and_labels_must_fit(tmp_path):
    write_set(tmp_path, labels=numbers(6, most=10))
    with pytest.raises(ValueError, match="holds 7 images, .* 6 labels"):
        load_mnist(tmp_path, "test")
    write_set(tmp_path, labels=np.full(7, 10, dtype=np.uint8))
    with pytest.raises(ValueError, match="has the label 10, there are 10 names"):
        load_mnist(tmp_path, "test")
    flat = tmp_path / "t10k-images-idx3-ubyte.gz"
    flat.write_bytes(idx(numbers(7)))
    with pytest.raises(ValueError, match="has 1 axes, images need 3"):
        load_mnist(tmp_path, "test")


def test_a_set_that_is_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="data download fashion_mnist --root"):
        load_fashion_mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match="no data folder"):
        load_mnist(tmp_path / "nowhere")
    monkeypatch.delenv("SCRATCHMM_DATA", raising=False)
    with pytest.raises(ValueError, match="SCRATCHMM_DATA"):
        load_mnist()


def test_the_real_mnist(real_data):
    root = real_data("mnist")
    train = read_idx(root / "mnist" / "train-images-idx3-ubyte.gz")
    assert train.shape == (60_000, 28, 28)
    # The checksum of these bytes stands in the folder's README.
    assert hashlib.md5(train.numpy().tobytes()).hexdigest() == "6510e85a72c3e9475c492d559d3770d2"
    images, labels, names = load_mnist(root, "test")
    assert images.shape == (10_000, 1, 28, 28) and images.min() == -1 and images.max() == 1
    assert labels[:5].tolist() == [7, 2, 1, 0, 4] and names[7] == "seven"


def test_the_real_clothes(real_data):
    root = real_data("fashion_mnist")
    known = (root / "fashion_mnist" / "class_names.txt").read_text().split("\n")
    for part, count in (("train", 10_000), ("test", 778)):
        images, labels, names = load_fashion_mnist(root, part)
        assert images.shape == (count, 1, 28, 28) and labels.unique().tolist() == list(range(10))
        assert names == [name for name in known if name]
