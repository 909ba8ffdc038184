import random
from typing import NamedTuple

import numpy as np
import pytest
import torch

from scratchmm.training.device import (
    pick_device,
    random_states,
    restore_random_states,
    seed_everything,
    to_device,
)


def draw():
    return random.random(), np.random.rand(), np.random.randn(), torch.randn(3).tolist()


def test_one_seed_fixes_every_generator():
    seed_everything(11)
    first = draw()
    seed_everything(11)
    assert draw() == first
    seed_everything(12)
    assert all(a != b for a, b in zip(draw(), first))
    seed_everything(-1)  # numpy alone would refuse it
    seed_everything(2**40)


def test_states_restore_every_generator(tmp_path):
    seed_everything(4)
    draw()
    random.gauss(0, 1)  # leaves a second value behind, part of the state
    np.random.randn(1)  # the same
    torch.save(random_states(), tmp_path / "states.pt")
    expected = draw(), random.gauss(0, 1), draw()
    seed_everything(99)
    draw()
    restore_random_states(torch.load(tmp_path / "states.pt", weights_only=True))
    assert (draw(), random.gauss(0, 1), draw()) == expected


@pytest.mark.parametrize("name", ["tpu", "xla", "gpu", "meta", ""])
def test_unknown_devices(name):
    with pytest.raises(ValueError, match="is none of cpu, cuda, mps and auto"):
        pick_device(name)


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="'cuda' was asked for, and torch sees 0 CUDA GPUs"):
        pick_device("cuda")
    with pytest.raises(ValueError, match="sees no Apple GPU"):
        pick_device("mps")
    assert pick_device("auto") == torch.device("cpu")
    assert pick_device(torch.device("cpu")) == torch.device("cpu")


def test_devices_that_are_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="'cuda:2' was asked for, and torch sees 2 CUDA GPUs"):
        pick_device("cuda:2")
    assert pick_device() == torch.device("cpu")  # the default asks nobody


@pytest.mark.parametrize(
    ("cards", "started", "restored"), [(2, True, True), (1, True, False), (2, False, False)]
)
def test_states_of_gpus_go_back_where_there_are_as_many(monkeypatch, cards, started, restored):
    states, given = [torch.ByteTensor([7]), torch.ByteTensor([8])], []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", given.append)
    kept = random_states()
    assert kept["cuda"] is states
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: started)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    restore_random_states(kept)
    assert [[state.item() for state in all_of] for all_of in given] == [[7, 8]] * restored


class Pair(NamedTuple):
    image: torch.Tensor
    name: str


def test_to_device_goes_through_containers():
    tensor = torch.ones(2)
    batch = {"pair": Pair(tensor, "a"), "list": [tensor, (tensor, 3)], "text": "b"}
    moved = to_device(batch, torch.device("meta"))
    assert isinstance(moved["pair"], Pair) and moved["pair"].name == "a"
    assert moved["pair"].image.is_meta and moved["list"][0].is_meta and moved["list"][1][0].is_meta
    assert moved["list"][1][1] == 3 and moved["text"] == "b"
    assert isinstance(moved["list"], list) and isinstance(moved["list"][1], tuple)
    assert not tensor.is_meta
