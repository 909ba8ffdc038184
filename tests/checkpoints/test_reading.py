"""Tensors by name out of the files, wrappers and dicts that weights come in."""

import hashlib
import json
import tarfile
import zipfile

import pytest
import torch
from torch import nn

from scratchmm.checkpoints.reading import read_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.arange(2.0)}
AVERAGE = {name: tensor + 1 for name, tensor in STATE.items()}


def same(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=0)


# Dicts of dicts


def adam():
    """What an optimizer keeps, tensors among it."""
    weights = [nn.Parameter(tensor.clone()) for tensor in STATE.values()]
    optimizer = torch.optim.Adam(weights)
    sum(weight.sum() for weight in weights).backward()
    optimizer.step()
    return optimizer.state_dict()


WRAPPED = [
    {"state_dict": STATE, "epoch": 3, "optimizer": adam(), "name": "ViT-B-32"},  # open_clip
    {"model": STATE, "optimizer": adam(), "scaler": {"scale": 65536.0}, "args": {"lr": 0.1}},
    {"model_state_dict": STATE, "optimizer_state_dict": adam(), "loss": torch.tensor(0.5)},
    {"state_dict": STATE, "optimizer_states": [adam()], "callbacks": {"early": {"best": 1.0}}},
    {"module": STATE, "optimizer": {"weight": STATE["a.bias"]}},
    {"checkpoint": {"model": {"state_dict": STATE}}},
    {"ema": STATE},
    {"epoch": 3, "anything": STATE},
]


@pytest.mark.parametrize("content", WRAPPED)
def test_the_only_dict_of_tensors_is_found(tmp_path, content):
    same(read_state(content), STATE)
    torch.save(content, tmp_path / "w.pt")
    same(read_state(tmp_path / "w.pt"), STATE)


AVERAGED = [
    {"state_dict": STATE, "state_dict_ema": AVERAGE},
    {"model": STATE, "model_ema": AVERAGE, "optimizer": adam()},
    {"generator": STATE, "discriminator": AVERAGE},
    {"models": {"plain": STATE, "average": AVERAGE}},
]


@pytest.mark.parametrize("content", AVERAGED)
def test_of_several_none_is_guessed(content):
    with pytest.raises(ValueError, match=r"holds tensors in '.*' and in '.*key=\.\.\.\) takes"):
        read_state(content)
    keys = ["models.plain", "models.average"] if "models" in content else list(content)[:2]
    for key, expected in zip(keys, (STATE, AVERAGE), strict=True):
        same(read_state(content, key=key), expected)
    with pytest.raises(ValueError, match="has no tensors in 'emma', but in '"):
        read_state(content, key="emma")


@pytest.mark.parametrize("content", [[1, 2], {"step": 3}, {"a": torch.ones(1), "b": [1]}, 7])
def test_no_tensors_by_name(tmp_path, content):
    torch.save(content, tmp_path / "w.bin")
    with pytest.raises(ValueError, match="w.bin holds no tensors by name"):
        read_state(tmp_path / "w.bin")


def test_what_is_no_tensor_is_named():
    with pytest.raises(ValueError, match="holds no tensors by name alone: step is a int"):
        read_state({**STATE, "step": 3})


def test_a_dict_in_a_dict_of_itself_ends():
    content = {}
    content["model"] = content
    with pytest.raises(ValueError, match="holds no tensors by name"):
        read_state(content)


# What stands before names


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "model.module.", "module._orig_mod.model."]
)
def test_what_wrappers_add_is_removed(prefix):
    wrapped = {prefix + name: tensor for name, tensor in STATE.items()}
    same(read_state(wrapped), STATE)
    same(read_state({"state_dict": wrapped}), STATE)
    partly = {**wrapped, "criterion.weight": torch.ones(1)}
    same(read_state(partly), partly)  # not before all names: nothing is removed
    same(read_state(partly, prefix=prefix), STATE)
    with pytest.raises(ValueError, match="none of the 3 names in the state dict begins with 'ema'"):
        read_state(partly, prefix="ema")


def test_the_wrappers_themselves():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 2)

        def forward(self, x):
            return self.a(x)

    net = Net()
    expected = dict(net.state_dict())
    parallel = nn.DataParallel(net)
    compiled = torch.compile(nn.DataParallel(Net()), backend="eager")
    averaged = torch.optim.swa_utils.AveragedModel(net)
    assert list(compiled.state_dict())[0].startswith("_orig_mod.module.")
    assert "n_averaged" in averaged.state_dict()
    same(read_state(parallel.state_dict()), expected)
    same(read_state(averaged.state_dict()), expected)
    assert sorted(read_state(compiled.state_dict())) == sorted(expected)


# Files


def test_what_lies_in_a_file_counts_and_not_its_suffix(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(STATE, tmp_path / "pytorch_model.bin")
    same(read_state(tmp_path / "pytorch_model.bin"), STATE)
    torch.save(STATE, tmp_path / "weights.anything")
    same(read_state(tmp_path / "weights.anything"), STATE)
    torch.save(STATE, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="w.safetensors is no safetensors file, but one of"):
        read_state(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "ViT.pt", "w.ckpt"])
def test_pointers_of_large_file_storage(tmp_path, name):
    (tmp_path / name).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1234\n"
    )
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(ValueError, match=f"{name} holds no weights .* a pointer of Git LFS"):
            read_state(source)


def test_tar_files_of_2017(tmp_path):
    (tmp_path / "storages").write_bytes(b"\x80\x02K\x01.")
    with tarfile.open(tmp_path / "resnet.pth", "w") as archive:
        archive.add(tmp_path / "storages", arcname="storages")
    with pytest.raises(
        ValueError, match="resnet.pth .* is a tar archive: torch .* 0.1.10, in 2017"
    ):
        read_state(tmp_path / "resnet.pth")


def test_unknown_types_in_safetensors(tmp_path):
    """The library itself ends in a KeyError there."""
    pytest.importorskip("safetensors")
    header = {"a": {"dtype": "F8_E8M0", "shape": [1], "data_offsets": [0, 1]}}
    for dtype in ("F8_E8M0", "F4", "F99"):
        header["a"]["dtype"] = dtype
        text = json.dumps(header).encode()
        (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"1")
        try:
            found = read_state(tmp_path / "w.safetensors")
        except ValueError as error:
            assert "w.safetensors is damaged or no safetensors file" in str(error)
            assert "\n" not in str(error)
        else:
            assert found["a"].shape == (1,)


@pytest.mark.parametrize("error", [KeyError("F99"), TypeError("two\nlines"), OSError("x")])
def test_any_error_of_safetensors_names_the_file(tmp_path, monkeypatch, error):
    def fail(path):
        raise error

    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(STATE, tmp_path / "w.safetensors")
    monkeypatch.setattr(safetensors, "load_file", fail)
    with pytest.raises(ValueError, match="w.safetensors is damaged or no safe") as refusal:
        read_state(tmp_path / "w.safetensors")
    assert "\n" not in str(refusal.value)


def test_checksums(tmp_path):
    path = tmp_path / "w.bin"
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    real = hashlib.sha256(path.read_bytes()).hexdigest()
    for sha256 in (real, real.upper(), real[:8]):
        same(read_state(path, sha256=sha256), STATE)
        same(read_state(str(path), sha256=sha256), STATE)
    content = bytearray(path.read_bytes())
    content[content.index(STATE["a.weight"].numpy().tobytes()) + 6] ^= 1
    path.write_bytes(content)
    assert not torch.equal(read_state(path)["a.weight"], STATE["a.weight"])  # it has no sums
    with pytest.raises(ValueError, match="w.bin is not the file that is meant: its sha256 is "):
        read_state(path, sha256=real[:8])
    for wrong in ("abc", "x" * 64, "0" * 65):
        with pytest.raises(ValueError, match="sha256 should be 8 to 64 hexadecimal digits, not"):
            read_state(path, sha256=wrong)
    with pytest.raises(ValueError, match="sha256 is of a file, and the state dict is none"):
        read_state(STATE, sha256=real)
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(STATE, "w.bin")}))
    with pytest.raises(ValueError, match="index.json is an index: a sha256 is of one file"):
        read_state(index, sha256=real)


def test_a_flipped_bit_in_an_archive(tmp_path):
    path = tmp_path / "w.pt"
    torch.save(STATE, path)
    content = bytearray(path.read_bytes())
    content[content.index(STATE["a.weight"].numpy().tobytes()) + 6] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="w.pt is damaged: w/data/0 is not what was written"):
        read_state(path)


def test_archives_without_sums_are_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert zipfile.ZipFile(tmp_path / "w.pt").testzip()
    same(read_state(tmp_path / "w.pt"), STATE)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_torch_under_the_suffix_of_another_is_told(tmp_path, legacy):
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match="no safetensors file, but one of torch.save: rename it"):
        read_state(path)
