"""Files of other kinds are called by their names: by what they begin with, or by their own."""

import gzip
import io
import tarfile

import numpy as np
import pytest

from scratchmm.file_kinds import foreign_kind

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 598641023\n"


def tarred(form):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return file.getvalue()


def an_array():
    file = io.BytesIO()
    np.save(file, np.zeros(2))
    return file.getvalue()


KINDS = [
    ("model.safetensors", POINTER, "a pointer of Git LFS and not the file of 598,641,023 bytes"),
    ("vocab.json", POINTER[:60], "a pointer of Git LFS and not the file itself: `git lfs pull`"),
    ("r.pth", tarred(tarfile.PAX_FORMAT), "a tar archive: torch wrote its files so before version"),
    ("r.pth", tarred(tarfile.GNU_FORMAT), "a tar archive: torch wrote its files so before version"),
    ("tf_model.h5", b"\x89HDF\r\n\x1a\n" + bytes(90), "an HDF5 file"),
    ("model.bin", b"\x89HDF\r\n\x1a\n" + bytes(90), "an HDF5 file"),
    ("m.gguf", b"GGUF\x03" + bytes(90), "a GGUF file"),
    ("m.bin", b"lmgg" + bytes(90), "a GGML file"),
    ("w.pt", gzip.compress(b"weights"), "compressed by gzip: unpack it first"),
    ("w.npy", an_array(), "an array of NumPy"),
    ("w.npz", b"PK\x03\x04" + bytes(90), "an archive of NumPy arrays"),
    ("flax_model.msgpack", b"\x81\xa6params" + bytes(90), "a MessagePack file, as Flax writes"),
    ("model.onnx", b"\x08\x07" + bytes(90), "an ONNX model"),
    ("bert_model.ckpt.index", bytes(90), "a part of a TensorFlow checkpoint"),
    ("model.ckpt-1000.data-00000-of-00001", bytes(90), "a part of a TensorFlow checkpoint"),
    ("saved_model.pb", b"\x08\x01" + bytes(90), "a TensorFlow graph"),
    ("w.bin", b"\n <!DOCTYPE html><html>", "a web page: the download brought that"),
    ("w.bin", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "an XML text"),
]


@pytest.mark.parametrize("name, content, kind", KINDS)
def test_kinds(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    assert foreign_kind(tmp_path / name).startswith(kind)


OWN = [
    ("w.pt", b"PK\x03\x04" + bytes(90)),
    ("w.ckpt", b"PK\x03\x04" + bytes(90)),  # Lightning's are torch's
    ("w.bin", b"\x80\x02" + bytes(600)),
    ("w.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "),
    ("w.bin", b""),
    ("vocab.txt", b"[PAD]\nversion\n"),
    ("vocab.txt", b"<unk>\n<s>\n"),
]


@pytest.mark.parametrize("name, content", OWN)
def test_what_may_be_weights_or_words(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert foreign_kind(tmp_path / name) is None
