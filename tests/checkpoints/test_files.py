import json
import os
import sys

import pytest
import torch
from torch import nn

from scratchmm.checkpoints.files import Place, fill, layer, read_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.arange(2.0)}


class Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_torch_files(tmp_path, legacy, wrapped):
    state = {"state_dict": STATE, "epoch": 3} if wrapped else STATE
    torch.save(state, tmp_path / "w.bin", _use_new_zipfile_serialization=not legacy)
    torch.testing.assert_close(read_state(tmp_path / "w.bin"), STATE)
    torch.testing.assert_close(read_state(str(tmp_path / "w.bin")), STATE)


def test_code_is_refused(tmp_path):
    torch.save({"weight": Trap(tmp_path / "ran")}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="w.pt is refused: it would call .*mkdir when read"):
        read_state(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_safetensors(tmp_path):
    pytest.importorskip("safetensors.torch").save_file(STATE, tmp_path / "w.safetensors")
    torch.testing.assert_close(read_state(tmp_path / "w.safetensors"), STATE)


@pytest.mark.parametrize("name", ["w.bin", "w.safetensors"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.98])
def test_truncated(tmp_path, name, part):
    path = tmp_path / name
    if name == "w.bin":
        torch.save(STATE, path)
    else:
        pytest.importorskip("safetensors.torch").save_file(STATE, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match="is empty|cut off|is damaged") as caught:
        read_state(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.bin", "w.safetensors", "model.safetensors.index.json"])
def test_missing(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=name):
        read_state(tmp_path / name)


def test_without_safetensors(tmp_path, monkeypatch):
    (tmp_path / "w.safetensors").write_bytes(b"12345678")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match="needs safetensors: pip install safetensors"):
        read_state(tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [[1, 2], {"step": 3}, {"a": torch.ones(1), "b": [1]}])
def test_no_tensors_by_name(tmp_path, content):
    torch.save(content, tmp_path / "w.bin")
    with pytest.raises(ValueError, match="w.bin holds no tensors by name"):
        read_state(tmp_path / "w.bin")


def test_shards_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model.safetensors and no pytorch_model.bin in"):
        read_state(tmp_path)
    for number, (name, tensor) in enumerate(STATE.items()):
        torch.save({name: tensor}, tmp_path / f"part-{number}.bin")
    index = {"weight_map": {"a.weight": "part-0.bin", "a.bias": "part-1.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    torch.testing.assert_close(read_state(tmp_path), STATE)
    (tmp_path / "part-1.bin").unlink()
    with pytest.raises(FileNotFoundError, match="part-1.bin"):
        read_state(tmp_path)
    for nonsense in ("{", "[]", "{}", '{"weight_map": 3}'):
        (tmp_path / "pytorch_model.bin.index.json").write_text(nonsense)
        with pytest.raises(ValueError, match="is not an index of weights"):
            read_state(tmp_path)


class Target(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 2), nn.Linear(3, 2)
        self.table = nn.Parameter(torch.zeros(4, 6))
        self.scale = nn.Parameter(torch.tensor(1.0))


PLACES = [
    Place("fused.weight", ("one.weight", "two.weight")),
    Place("fused.bias", ("one.bias", "two.bias")),
    Place("grid", ("table",), (4, 2, 3)),
    Place("gain", ("scale",)),
]


def test_layouts():
    model = Target()
    state = {
        "fused.weight": torch.arange(12.0).reshape(4, 3),
        "fused.bias": torch.arange(4.0),
        "grid": torch.arange(24.0).reshape(4, 2, 3),
        "gain": torch.tensor(5.0),
    }
    fill(model, state, PLACES)
    assert model.one.weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert model.two.weight.tolist() == [[6, 7, 8], [9, 10, 11]]
    assert model.two.bias.tolist() == [2, 3]
    assert model.table[1].tolist() == [6, 7, 8, 9, 10, 11]
    assert model.scale.item() == 5
    transposed = [Place("w", ("weight",), transposed=True)]
    linear = nn.Linear(3, 2, bias=False)
    fill(linear, {"w": torch.arange(6.0).reshape(3, 2)}, transposed)
    assert linear.weight.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_the_state_is_not_shared_with_the_model():
    linear = nn.Linear(3, 2)
    state = {"a.weight": torch.ones(2, 3), "a.bias": torch.ones(2)}
    wrapped = nn.ModuleDict({"b": linear})
    fill(wrapped, state, layer("a", "b"))
    state["a.weight"].zero_()
    assert linear.weight.sum() == 6
