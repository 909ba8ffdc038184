import json
import os
import signal
import sys

import pytest
import torch
from torch import nn

from scratchmm.checkpoints import bert, clip, controlnet, prior, resnet, unet, vae, vilt, vit
from scratchmm.checkpoints.files import Place, fill, is_no, layer, read_state

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


# What is refused, and that the model is then as it was


class Sub(torch.Tensor):
    """A tensor that is more than its numbers, as those of quantisation libraries are."""


SPARSE = torch.eye(4, 6)
KINDS = {
    "sparse": (lambda: SPARSE.to_sparse(), "is sparse_coo and should be dense"),
    "sparse rows": (lambda: SPARSE.to_sparse_csr(), "is sparse_csr and should be dense"),
    "meta": (lambda: SPARSE.to("meta"), "is on the meta device, without numbers"),
    "quantised": (
        lambda: torch.quantize_per_tensor(SPARSE, 0.1, 0, torch.qint8),
        "is of torch.qint8",
    ),
    "complex": (
        lambda: SPARSE.to(torch.complex64),
        "is of torch.complex64, which holds no weights",
    ),
    "bool": (lambda: SPARSE.bool(), "is of torch.bool, which holds no weights"),
    "int8": (lambda: SPARSE.to(torch.int8), "is of torch.int8, which holds no weights"),
    "uint8": (lambda: SPARSE.to(torch.uint8), "is of torch.uint8, which holds no weights"),
    "int64": (lambda: SPARSE.to(torch.int64), "is of torch.int64, which holds no weights"),
    "subclass": (lambda: SPARSE.as_subclass(Sub), "is a Sub and no plain tensor"),
    "lazy": (
        lambda: nn.UninitializedParameter(),
        "is a UninitializedParameter and no plain tensor",
    ),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "is nested and should be dense",
    ),
    "nan": (lambda: torch.full((4, 6), torch.nan), "holds NaN or infinity"),
    "one nan": (lambda: SPARSE.where(SPARSE == 0, torch.nan), "holds NaN or infinity"),
    "infinity": (lambda: -SPARSE / 0, "holds NaN or infinity"),
    "list": (lambda: [[1.0] * 6] * 4, "is a list and should be a tensor"),
    "nothing": (lambda: None, "is a NoneType and should be a tensor"),
}
HALF_STATE = {
    "fused.weight": torch.arange(12.0).reshape(4, 3).half(),
    "fused.bias": torch.arange(4.0).bfloat16(),
    "gain": torch.tensor(5.0, dtype=torch.float64),
}
LAST = [PLACES[0], PLACES[1], PLACES[3], Place("grid", ("table",))]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_leaves_the_model_as_it_was(kind):
    """The last tensor is the wrong one; not a bit, no flag and no counter of the model changes."""
    model = Target()
    model.two.weight.requires_grad_(False)
    model.one.eval()
    before = {name: (t.clone(), t._version) for name, t in model.state_dict(keep_vars=True).items()}
    make, sentence = KINDS[kind]
    with pytest.raises(
        ValueError, match=f"the state dict does not fit Target: grid {sentence}"
    ) as no:
        fill(model, {**HALF_STATE, "grid": make()}, LAST)
    assert "\n" not in str(no.value)
    for name, tensor in model.state_dict(keep_vars=True).items():
        assert torch.equal(tensor, before[name][0]) and tensor._version == before[name][1], name
    assert model.training and not model.one.training and not model.two.weight.requires_grad


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float64])
def test_any_float_fills_the_model_in_its_own_dtype(dtype):
    model = Target().half()
    model.two.weight.requires_grad_(False)
    model.one.eval()
    grid = torch.arange(24.0).reshape(4, 6).to(dtype)
    fill(model, {**HALF_STATE, "grid": grid, "more": torch.ones(1).int()}, LAST, harmless=["more"])
    assert torch.equal(model.table.double(), grid.double()) and model.scale.item() == 5
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}
    assert model.training and not model.one.training and not model.two.weight.requires_grad
    assert model.one.weight.requires_grad


def test_numbers_that_a_smaller_dtype_cannot_hold():
    state = {**HALF_STATE, "grid": torch.full((4, 6), -65519.0)}
    fill(Target().half(), state, LAST)
    state["grid"][2, 3] = -65520.0  # rounds to infinity
    fill(Target(), state, LAST)
    fill(Target().bfloat16(), state, LAST)
    with pytest.raises(ValueError, match=r"grid reaches 6\.55e\+04, infinite in torch.float16"):
        fill(Target().half(), state, LAST)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_no_numbers_at_all_are_fine():
    empty = nn.Linear(0, 2, bias=False)
    fill(empty, {"w": torch.zeros(2, 0)}, [Place("w", ("weight",))])


def test_models_that_cannot_be_filled():
    state = {**HALF_STATE, "grid": SPARSE}
    with torch.device("meta"):
        empty = Target()
    with pytest.raises(ValueError, match="Target is on the meta device and can't be filled"):
        fill(empty, state, LAST)
    fill(empty, {name: tensor.to("meta") for name, tensor in state.items()}, LAST)  # sizes only
    with torch.inference_mode():
        fixed = Target()
    with pytest.raises(ValueError, match="one.weight of Target is an inference tensor"):
        fill(fixed, state, LAST)
    with pytest.raises(ValueError, match="has no one.weight to fill: give the model itself"):
        fill(nn.DataParallel(Target()), state, LAST)


# What breaks the copying off leaves the model as it was, too


class Breaks:
    """A method of tensors that raises at its calls number `at`, counted from 0."""

    def __init__(self, monkeypatch, name, error, *at):
        real, calls = getattr(torch.Tensor, name), iter(range(1000))

        def method(tensor, *given, **more):
            if next(calls) in at:
                raise error
            return real(tensor, *given, **more)

        monkeypatch.setattr(torch.Tensor, name, method)


GRID = torch.arange(24.0).reshape(4, 6).double()


@pytest.mark.parametrize(
    ("name", "error", "at"),
    [
        *(("copy_", KeyboardInterrupt(), [call]) for call in range(6)),
        ("copy_", KeyboardInterrupt(), [4, 5, 7]),  # and again while it is undone
        ("copy_", SystemExit(2), [3]),
        ("clone", MemoryError(), [2]),
        ("copy_", RuntimeError("can't allocate memory"), [5]),
    ],
)
def test_what_interrupts_the_copying_leaves_the_model_as_it_was(monkeypatch, name, error, at):
    model = Target().half()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    places = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    assert len(before) == 6
    with monkeypatch.context() as patch:
        Breaks(patch, name, error, *at)
        with pytest.raises(type(error)):
            fill(model, {**HALF_STATE, "grid": GRID}, LAST)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) and tensor.data_ptr() == places[name], name
    fill(model, {**HALF_STATE, "grid": GRID}, LAST)
    assert torch.equal(model.table.double(), GRID)
    assert not torch.equal(model.one.weight, before["one.weight"])


def test_ctrl_c_while_weights_are_copied(monkeypatch):
    """The signal itself, which Python serves between two tensors."""
    model = nn.Linear(3, 2)
    before, copy = model.weight.clone(), torch.Tensor.copy_

    def copied(tensor, *given):
        answer = copy(tensor, *given)
        if tensor.shape == (2,) and not tensor.any():
            signal.raise_signal(signal.SIGINT)
        return answer

    monkeypatch.setattr(torch.Tensor, "copy_", copied)
    state = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}
    # A program that was begun in the background ignores the signal.
    before_it = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fill(nn.ModuleDict({"b": model}), state, layer("a", "b"))
    finally:
        signal.signal(signal.SIGINT, before_it)
    assert torch.equal(model.weight, before) and model.bias.any()


def test_another_model_is_told_by_its_file_and_a_prefix_by_its_name():
    state = {"net.bert.words": 0, "net.bert.norm": 0}
    assert is_no("BERT", "a.bin", state, "words", "bert.").endswith(
        "no words; there is one under the prefix 'net.': read_state(prefix=...)"
    )
    assert is_no("BERT", "a.bin", {"conv": 0, "norm": 0}, "words") == (
        "a.bin is no BERT: it has no words; it has conv and 1 others"
    )
    assert is_no("BERT", {}, {}, "words") == "the state dict is no BERT: it has no words"


READERS = [
    bert.bert_config_from, vit.vit_config_from, vilt.vilt_config_from, clip.clip_config_from,
    resnet.resnet_config_from, vae.vae_config_from, unet.unet_config_from,
    prior.prior_config_from, controlnet.controlnet_config_from,
]  # fmt: skip


@pytest.mark.parametrize("read", READERS)
def test_every_reader_names_the_file_that_is_of_another_model(tmp_path, read):
    path = tmp_path / "other.pt"
    torch.save({"some.weight": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"other\.pt is no .*: it has no .*; it has some\.weight"):
        read(path)
