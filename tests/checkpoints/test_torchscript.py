"""TorchScript's tensors without its code, against torch.jit.load."""

import io
import os
import pickle
import zipfile

import pytest
import torch
from torch import Tensor, nn

from scratchmm.checkpoints.reading import read_state
from scratchmm.checkpoints.torchscript import is_torchscript, read_torchscript

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3).half()
        self.norm = nn.LayerNorm(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x).float())


class Program(nn.Module):
    """Parameters and buffers of several types, shapes and layouts; plain attributes beside them."""

    sizes: list[int]
    names: dict[str, int]

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Part(), Part())
        self.tied = self.blocks[0].linear.weight
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.turned = nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
        self.part = nn.Parameter(torch.arange(9.0, dtype=torch.float64)[3:])
        self.register_buffer("input_resolution", torch.tensor(224))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("nothing", torch.zeros(0, 4))
        self.register_buffer("brief", torch.ones(3, dtype=torch.bfloat16))
        self.sizes, self.names, self.rate, self.device = [1, 2], {"a": 1}, 0.5, torch.device("cpu")
        self.some, self.nobody = ("x", 3), None

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks[0](x) * self.scale + self.sizes[0] + self.names["a"]


def traced():
    return torch.jit.trace(Part(), torch.zeros(1, 2).half())


def saved(folder, program):
    torch.manual_seed(0)
    path = folder / "program.pt"
    program.save(str(path))
    return path


@pytest.mark.parametrize("make", [lambda: torch.jit.script(Program()), traced])
def test_every_tensor_is_the_same(tmp_path, make, monkeypatch):
    path = saved(tmp_path, make())
    expected = torch.jit.load(path).state_dict()
    monkeypatch.setattr(torch.jit, "load", None)  # nothing here asks torch to run it
    monkeypatch.setattr(torch, "load", None)
    found = read_state(path)
    assert sorted(found) == sorted(expected) and len(found) in (4, 16)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and found[name].stride() == tensor.stride(), name
        assert torch.equal(found[name], tensor), name
    assert is_torchscript(path) and is_torchscript(str(path))


def test_tensors_of_a_gpu_come_to_the_cpu(tmp_path):
    path = saved(tmp_path, traced())
    rewritten(
        path,
        "data.pkl",
        lambda data: data.replace(b"\x03\x00\x00\x00cpu", b"\x06\x00\x00\x00cuda:0"),
    )
    assert {tensor.device.type for tensor in read_state(path).values()} == {"cpu"}


def test_other_archives_are_none(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "w.bin", _use_new_zipfile_serialization=False)
    (tmp_path / "t.pt").write_text("hello")
    for name in ("w.pt", "w.bin", "t.pt", "nowhere.pt"):
        assert not is_torchscript(tmp_path / name)


def rewritten(path, member, change):
    """The archive with one member changed, and with check sums that fit."""
    source, out = zipfile.ZipFile(path), io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if not (name.endswith("/" + member) and change is None):
                target.writestr(name, change(data) if name.endswith("/" + member) else data)
    path.write_bytes(out.getvalue())


class Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


REFUSED = [
    ("data.pkl", lambda data: data[: len(data) // 2], ""),
    ("data.pkl", lambda data: b"", ""),
    ("data.pkl", None, ""),
    ("data/0", None, ""),
    ("data/0", lambda data: data[:-1], ""),
    ("data/0", lambda data: data[:2], ""),
    ("byteorder", lambda data: b"big", "its numbers are big-endian"),
    ("data.pkl", lambda data: data.replace(b"HalfStorage", b"EvilStorage"), "torch.EvilStorage"),
    ("data.pkl", lambda data: data.replace(b"_rebuild_tensor_v2", b"_rebuild_qtensor"), "qtensor"),
    ("data.pkl", lambda data: b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
]


@pytest.mark.parametrize("member, change, words", REFUSED)
def test_damaged_archives(tmp_path, member, change, words):
    path = saved(tmp_path, traced())
    rewritten(path, member, change)
    with pytest.raises(
        ValueError, match=f"can't be read as a TorchScript archive: .*{words}"
    ) as no:
        read_torchscript(path)
    assert str(path) in str(no.value) and "\n" not in str(no.value) and len(str(no.value)) < 600


def test_code_in_the_list_does_not_run(tmp_path):
    path, proof = saved(tmp_path, traced()), tmp_path / "ran"
    rewritten(path, "data.pkl", lambda data: pickle.dumps({"weight": Trap(proof)}, protocol=2))
    with pytest.raises(ValueError, match="it would call (posix|nt).mkdir when read"):
        read_state(path)
    assert not proof.exists()


def test_a_flipped_bit(tmp_path):
    path = saved(tmp_path, traced())
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/data/0"))
        content = archive.read(name)
    data = bytearray(path.read_bytes())
    data[data.index(content) + 3] ^= 16
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"is damaged: {name} is not what was written"):
        read_state(path)
