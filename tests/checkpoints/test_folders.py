"""Which file of a folder is read, and what an index of several must hold."""

import json

import pytest
import torch

from scratchmm.checkpoints.folders import chosen_file, shards_of
from scratchmm.checkpoints.reading import read_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.arange(2.0)}


def with_files(folder, *names):
    for name in names:
        (folder / name).touch()
    return folder


CHOICES = [
    (["model.safetensors", "pytorch_model.bin", "model.fp16.safetensors"], "model.safetensors"),
    (["pytorch_model.bin", "model.safetensors.index.json"], "model.safetensors.index.json"),
    (["model.safetensors", "model.safetensors.index.json"], "model.safetensors"),
    (["pytorch_model.bin", "pytorch_model.fp16.bin"], "pytorch_model.bin"),
    (["open_clip_pytorch_model.bin", "pytorch_model.bin"], "pytorch_model.bin"),
    (["open_clip_pytorch_model.bin", "open_clip_model.safetensors"], "open_clip_model.safetensors"),
    (["diffusion_pytorch_model.bin", "config.json"], "diffusion_pytorch_model.bin"),
    (["model.fp16.safetensors", "pytorch_model.fp16.bin"], "model.fp16.safetensors"),
    (["diffusion_pytorch_model.fp16.safetensors"], "diffusion_pytorch_model.fp16.safetensors"),
    (
        [
            "model.safetensors.index.fp16.json",
            "model.fp16-00001-of-00002.safetensors",
            "model.fp16-00002-of-00002.safetensors",
        ],
        "model.safetensors.index.fp16.json",
    ),
    (["ViT-B-32.pt", "vocab.txt", "optimizer.bin", "rng_state.pth"], "ViT-B-32.pt"),
    (["epoch_32.ckpt", "scheduler.pt"], "epoch_32.ckpt"),
]


@pytest.mark.parametrize("names, chosen", CHOICES)
def test_the_one_that_is_read(tmp_path, names, chosen):
    assert chosen_file(with_files(tmp_path, *names)) == tmp_path / chosen
    assert chosen_file(str(tmp_path)).name == chosen


UNCLEAR = [
    (["model.fp16.safetensors", "model.bf16.safetensors"], "name the file that is meant"),
    (["model.safetensors", "diffusion_pytorch_model.safetensors"], "name the file that is meant"),
    (["one.pt", "two.pth"], "holds one.pt, two.pth: name the file that is meant"),
    (["model-00001-of-00002.safetensors"], "parts without their .index.json"),
    ([f"model-0000{i}-of-00002.safetensors" for i in (1, 2)], "parts without their .index.json"),
]


@pytest.mark.parametrize("names, sentence", UNCLEAR)
def test_nothing_is_guessed(tmp_path, names, sentence):
    with pytest.raises(ValueError, match=sentence) as refusal:
        chosen_file(with_files(tmp_path, *names))
    assert str(tmp_path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_folders_without_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model.safetensors and no pytorch_model.bin"):
        chosen_file(tmp_path)
    (tmp_path / "tf_model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(FileNotFoundError, match="tf_model.h5 is an HDF5 file, as Keras"):
        read_state(tmp_path)
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="is a whole pipeline: .* of one model, of unet"):
        read_state(tmp_path)


def sharded(folder, form="bin", variant=""):
    """Two parts and their index, as save_pretrained writes them."""
    parts = [f"pytorch_model{variant}-0000{number}-of-00002.{form}" for number in (1, 2)]
    for part, (name, tensor) in zip(parts, STATE.items(), strict=True):
        torch.save({name: tensor}, folder / part)
    index = folder / f"pytorch_model.{form}.index{variant}.json"
    index.write_text(json.dumps({"weight_map": dict(zip(STATE, parts, strict=True))}))
    return index, parts


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_parts_are_joined(tmp_path, variant):
    index, _ = sharded(tmp_path, variant=variant)
    torch.testing.assert_close(read_state(tmp_path), STATE)
    torch.testing.assert_close(read_state(index), STATE)


def test_every_missing_part_is_named_before_any_is_read(tmp_path):
    index, parts = sharded(tmp_path)
    (tmp_path / parts[0]).write_bytes(b"damaged")
    (tmp_path / parts[1]).unlink()
    with pytest.raises(FileNotFoundError, match=f"needs 2 files, .* is no {parts[1]}"):
        read_state(index)
    (tmp_path / parts[0]).unlink()
    with pytest.raises(FileNotFoundError, match=f"there is no {parts[0]}, {parts[1]}"):
        read_state(index)


def test_parts_hold_what_the_index_says(tmp_path):
    index, parts = sharded(tmp_path)
    torch.save({"a.bias": STATE["a.bias"], "a.weight": torch.zeros(1)}, tmp_path / parts[1])
    with pytest.raises(ValueError, match=f"{parts[1]} repeats a.weight"):
        read_state(index)
    torch.save({"other": STATE["a.bias"]}, tmp_path / parts[1])
    with pytest.raises(ValueError, match=f"{parts[1]} has no a.bias, which pytorch_model.bin.ind"):
        read_state(index)


def test_an_index_that_is_none(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    with pytest.raises(FileNotFoundError, match="there is no file .*index.json"):
        read_state(index)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"
    for content, sentence in [
        ("{", "is not an index of weights"),
        ('{"weight_map": {"a": 3}}', "is not an index of weights"),
        ('{"weight_map": {"a": "' + index.name + '"}}', "it names another .json as a part"),
        ("[" * 100_000, "is not an index of weights"),
        ("\udce4", "is not an index of weights"),
        (pointer, "is a pointer of Git LFS and not the file of 12 bytes itself"),
    ]:
        index.write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(ValueError, match=sentence):
            shards_of(index)


def test_an_index_never_points_outside_its_folder(tmp_path):
    outside = tmp_path / "weights.bin"
    torch.save(STATE, outside)
    inside = tmp_path / "folder"
    inside.mkdir()
    index = inside / "pytorch_model.bin.index.json"
    for name in ("../weights.bin", str(outside)):
        index.write_text(json.dumps({"weight_map": dict.fromkeys(STATE, name)}))
        with pytest.raises(FileNotFoundError, match="there is no weights.bin"):
            read_state(index)
