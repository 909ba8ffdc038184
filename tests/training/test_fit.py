import itertools
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from scratchmm.training import fit as fit_module
from scratchmm.training.checkpoint import load_checkpoint
from scratchmm.training.curve import read_curve
from scratchmm.training.fit import fit


def small(seed=0, dropout=0.0, width=4):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(3, width), nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, 2)
    )


def batch_at(step):
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(6, 3, generator=generator)
    return inputs, inputs[:, :2] * 2 - 1


def squares(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(left, right):
    torch.testing.assert_close(left, right, rtol=0, atol=0)


def test_the_loop_is_what_it_says():
    """Against the plainest loop: every parameter, loss and learning rate."""
    ours, theirs = small(), small()
    curve = fit(
        ours, batch_at, squares, steps=20, learning_rate=0.03, max_grad_norm=0.5, weight_decay=0.2
    )

    linears = [theirs[0].weight, theirs[3].weight]
    others = [theirs[0].bias, *theirs[1].parameters(), theirs[3].bias]
    groups = [{"params": linears}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.2)
    clipped = 0
    for step in range(20):
        rate = (
            0.03 * (step + 1) / 2 if step < 2 else 0.015 * (1 + math.cos(math.pi * (step - 2) / 18))
        )
        optimizer.zero_grad()
        value = squares(theirs, batch_at(step))
        value.backward()
        norm = math.sqrt(sum(p.grad.square().sum().item() for p in theirs.parameters()))
        for parameter in theirs.parameters():
            parameter.grad *= min(1.0, 0.5 / norm)
        clipped += norm > 0.5
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        assert curve[step]["step"] == step
        assert curve[step]["loss"] == pytest.approx(value.item(), rel=1e-4)
        assert curve[step]["learning_rate"] == pytest.approx(rate)
    assert clipped >= 3  # else the clipping was not tested
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-4, atol=1e-5)


def test_the_seed_fixes_dropout_and_nothing_else_does():
    def run(seed, before):
        model = small(dropout=0.5)
        torch.manual_seed(before)
        return fit(model, batch_at, squares, steps=5, seed=seed)[-1]["loss"]

    assert run(1, before=1) == run(1, before=2) != run(2, before=1)


def test_it_trains_in_training_mode():
    model = small(dropout=0.5).eval()
    modes = set()

    def loss(model, batch):
        modes.add(model.training)
        return squares(model, batch)

    fit(model, batch_at, loss, steps=2)
    assert modes == {True}


# Interruption. Training stops in `batch_at`, as a killed process would, only tamer.


class Stop(Exception):
    pass


def interrupted(at):
    def stopping(step):
        if step == at:
            raise Stop
        return batch_at(step)

    return stopping


SETTINGS = {"steps": 12, "save_every": 3, "learning_rate": 0.05}


@pytest.mark.parametrize("at", [0, 1, 3, 4, 8, 11])
def test_a_resumed_run_gives_the_same_numbers(tmp_path, at):
    straight = small(dropout=0.3)
    expected = fit(straight, batch_at, squares, folder=tmp_path / "a", **SETTINGS)
    after = torch.rand(1)

    with pytest.raises(Stop):
        first = small(dropout=0.3)
        fit(first, interrupted(at), squares, folder=tmp_path / "b", **SETTINGS)
    resumed = small(seed=77 if at >= 3 else 0, dropout=0.3)
    curve = fit(resumed, batch_at, squares, folder=tmp_path / "b", **SETTINGS)

    same(weights(resumed), weights(straight))
    assert [row["loss"] for row in curve] == [row["loss"] for row in expected]
    assert read_curve(tmp_path / "b" / "curve.csv") == curve
    same(torch.rand(1), after)  # the generators go on from the same place too


def test_moments_and_random_states_are_needed_for_that(tmp_path):
    """The test above would notice: without either in the checkpoint, the numbers differ."""
    straight = small(dropout=0.3)
    fit(straight, batch_at, squares, **SETTINGS)
    for lost in ("optimizer", "random"):
        with pytest.raises(Stop):
            fit(small(dropout=0.3), interrupted(7), squares, folder=tmp_path / lost, **SETTINGS)
        path = tmp_path / lost / "checkpoint.pt"
        state = load_checkpoint(path)
        if lost == "optimizer":
            state["optimizer"]["state"] = {}
        else:
            state["random"]["torch"] = torch.Generator().manual_seed(1).get_state()
        fit_module.save_checkpoint(path, state)
        resumed = small(dropout=0.3)
        fit(resumed, batch_at, squares, folder=tmp_path / lost, **SETTINGS)
        with pytest.raises(AssertionError):
            same(weights(resumed), weights(straight))


def test_a_finished_run_is_read_not_repeated(tmp_path):
    model = small()
    curve = fit(model, batch_at, squares, folder=tmp_path, **SETTINGS)
    again = small(seed=3)
    assert fit(again, interrupted(0), squares, folder=tmp_path, **SETTINGS) == curve
    same(weights(again), weights(model))


def test_the_last_step_is_saved_when_save_every_does_not_divide(tmp_path):
    model = small()
    fit(model, batch_at, squares, steps=5, save_every=3, folder=tmp_path)
    same(load_checkpoint(tmp_path / "checkpoint.pt")["model"], weights(model))


def test_starting_anew_forgets_the_old_run_at_once(tmp_path):
    fit(small(), batch_at, squares, folder=tmp_path, **SETTINGS)
    with pytest.raises(Stop):
        fit(small(), interrupted(2), squares, folder=tmp_path, resume=False, **SETTINGS)
    assert not (tmp_path / "checkpoint.pt").exists()
    assert len(read_curve(tmp_path / "curve.csv")) == 2


def test_seconds_go_on_where_they_stopped(tmp_path, monkeypatch):
    clock = itertools.count(100.0, 1.0)
    monkeypatch.setattr(fit_module.time, "perf_counter", lambda: next(clock))
    with pytest.raises(Stop):
        fit(small(), interrupted(7), squares, folder=tmp_path, **SETTINGS)
    monkeypatch.setattr(fit_module.time, "perf_counter", lambda: next(clock) + 5000)
    curve = fit(small(), batch_at, squares, folder=tmp_path, **SETTINGS)
    # 6 steps were saved; the seventh is done again, and the time between the runs does not count
    assert [row["seconds"] for row in curve] == [float(second) for second in range(1, 13)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": 24}, "steps=12 and this run asks for steps=24"),
        ({"learning_rate": 0.1}, "learning_rate=0.05 and this run asks for learning_rate=0.1"),
        ({"weight_decay": 0.0}, "weight_decay=0.05 and this run asks for weight_decay=0.0"),
        ({"warmup": 0.5}, "warmup=0.1 and this run asks for warmup=0.5"),
        ({"max_grad_norm": 2.0}, "max_grad_norm=1.0 and this run asks for max_grad_norm=2.0"),
        ({"seed": 1}, "seed=0 and this run asks for seed=1"),
        ({"precision": "bfloat16"}, "precision='float32' and this run asks for precision='bf"),
        ({"settings": {"data": "b"}}, "data='a' and this run asks for data='b'"),
        ({"settings": None}, "data='a' and this run asks for data=None"),
        ({"settings": {"data": "a", "batch": 3}}, "batch=None and this run asks for batch=3"),
    ],
)
def test_other_settings_are_refused(tmp_path, change, sentence):
    base = {**SETTINGS, "settings": {"data": "a"}}
    with pytest.raises(Stop):
        fit(small(), interrupted(4), squares, folder=tmp_path, **base)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    model = small(seed=9)
    untouched = weights(model)
    with pytest.raises(ValueError, match=sentence) as caught:
        fit(model, batch_at, squares, folder=tmp_path, **{**base, **change})
    assert "checkpoint.pt was written with" in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    same(weights(model), untouched)


def test_how_often_to_save_may_change(tmp_path):
    with pytest.raises(Stop):
        fit(small(), interrupted(4), squares, folder=tmp_path, **SETTINGS)
    fit(small(), batch_at, squares, folder=tmp_path, **{**SETTINGS, "save_every": 5})


def test_another_model_is_refused(tmp_path):
    fit(small(), batch_at, squares, folder=tmp_path, **SETTINGS)
    other = small(width=5)
    untouched = weights(other)
    with pytest.raises(ValueError, match=r"of another model: 0.weight is \(4, 3\) and should be"):
        fit(other, batch_at, squares, folder=tmp_path, **SETTINGS)
    same(weights(other), untouched)


# A loss that is no number.


def poisoned(at, value):
    def loss(model, batch):
        result = squares(model, batch)
        return result * value if torch.equal(batch[0], batch_at(at)[0]) else result

    return loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(tmp_path, value):
    model = small()
    with pytest.raises(ValueError, match=f"the loss is {value} at step 7; the last good") as caught:
        fit(model, batch_at, poisoned(7, value), folder=tmp_path, **SETTINGS)
    assert str(tmp_path) in str(caught.value)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    assert len(load_checkpoint(tmp_path / "checkpoint.pt")["curve"]) == 6
    assert len(read_curve(tmp_path / "curve.csv")) == 7


def test_a_loss_that_is_no_number_stops_it_even_if_the_gradient_is_one():
    model = small()
    with pytest.raises(ValueError, match="the loss is nan at step 0"):
        fit(model, batch_at, lambda model, batch: squares(model, batch) + math.nan, steps=3)
    same(weights(model), weights(small()))


def test_without_a_checkpoint_it_says_so(tmp_path):
    for folder in (None, tmp_path):
        with pytest.raises(ValueError, match="loss is nan at step 1; nothing was saved yet"):
            fit(small(), batch_at, poisoned(1, math.nan), folder=folder, **SETTINGS)


def test_a_gradient_that_is_no_number_stops_it_before_the_weights_are_spoilt():
    model = small()

    def loss(model, batch):
        return squares(model, batch) + (model[0].bias * 0).sum().sqrt()  # 0, with a slope of 0/0

    with pytest.raises(ValueError, match="gradient's norm is nan at step 0"):
        fit(model, batch_at, loss, steps=3)
    same(weights(model), weights(small()))


# Options.


def test_bfloat16_is_for_the_products_not_for_the_weights():
    model, seen = small(), set()

    def loss(model, batch):
        output = model(batch[0])
        seen.add(output.dtype)
        return (output.float() - batch[1]).square().mean()

    curve = fit(model, batch_at, loss, steps=200, learning_rate=0.03, precision="bfloat16")
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    exact = fit(small(), batch_at, squares, steps=200, learning_rate=0.03)
    assert curve[-1]["loss"] < 0.2 * curve[0]["loss"]
    assert curve[-1]["loss"] == pytest.approx(exact[-1]["loss"], abs=0.1 * exact[0]["loss"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": 0}, "steps is 0 and must be a whole number from 1"),
        ({"warmup": 100}, "warmup is 100 and must be a share of the steps"),
        ({"save_every": 0}, "save_every is 0 and must be a whole number from 1"),
        ({"precision": "float16"}, "precision 'float16' is neither"),
        ({"device": "abacus"}, "device 'abacus' is none of"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0 and must be a number above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"weight_decay": -5.0}, "weight_decay is -5.0 and must be a number from 0 on"),
        ({"max_grad_norm": -1.0}, "max_grad_norm is -1.0 and must be above 0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm is 0.0"),
        ({"max_grad_norm": math.nan}, "max_grad_norm is nan"),
        ({"settings": {"root": Path("x")}}, "setting 'root' is a .*Path, not text or a number"),
    ],
)
def test_arguments_that_cannot_work(tmp_path, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit(small(), batch_at, squares, **{"steps": 3, "folder": tmp_path, **change})
    assert list(tmp_path.iterdir()) == []


def test_a_image_of_the_curve_where_matplotlib_is(tmp_path):
    pytest.importorskip("matplotlib")
    fit(small(), batch_at, squares, steps=2, folder=tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoint.pt", "curve.csv", "curve.png"}


def test_no_gpu_is_started():
    fit(small(), batch_at, squares, steps=1)
    assert not torch.cuda.is_initialized()


# The real thing.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed children are forked")
def test_killed_at_random_steps(tmp_path):
    """SIGKILL from outside, five times over one run, wherever the process happens to be."""
    nursery = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("kill_target.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    def start(folder):
        nursery.stdin.write(f"{folder}\n")
        nursery.stdin.flush()
        return int(nursery.stdout.readline())

    try:
        start(tmp_path / "straight")
        assert int(nursery.stdout.readline()) == 0
        straight = read_curve(tmp_path / "straight" / "curve.csv")
        steps, at = len(straight), 0
        chance = random.Random()  # other moments each time; every one must do
        for _ in range(5):
            at = min(at + chance.randrange(1, 10), steps - 2)
            child = start(tmp_path / "killed")
            wait_for_rows(tmp_path / "killed" / "curve.csv", at)
            time.sleep(chance.random() * 0.006)
            os.kill(child, signal.SIGKILL)
            assert int(nursery.stdout.readline()) == signal.SIGKILL
        start(tmp_path / "killed")
        assert int(nursery.stdout.readline()) == 0
    finally:
        nursery.kill()
        nursery.communicate()

    curve = read_curve(tmp_path / "killed" / "curve.csv")
    assert [row["step"] for row in curve] == list(range(steps))
    assert [row["loss"] for row in curve] == [row["loss"] for row in straight]
    seconds = [row["seconds"] for row in curve]
    assert seconds == sorted(seconds)
    ends = [load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("straight", "killed")]
    same(ends[1]["model"], ends[0]["model"])
    same(ends[1]["optimizer"], ends[0]["optimizer"])
    assert not list((tmp_path / "killed").glob("*.part"))


def wait_for_rows(path, rows):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().count("\n") > rows:
            return
        time.sleep(0.001)
    raise AssertionError(f"{path} never had {rows} rows")


def test_a_step_waits_for_its_numbers_once(monkeypatch):
    """On a GPU each number that Python asks for is a wait."""
    asked = []
    for name in ("item", "tolist", "__float__", "__bool__"):
        real = getattr(torch.Tensor, name)
        spy = lambda self, real=real, name=name: asked.append(name) or real(self)  # noqa: E731
        monkeypatch.setattr(torch.Tensor, name, spy)
    model = small()
    before = len(asked)
    fit(model, lambda step: (torch.ones(6, 3), torch.ones(6, 2)), squares, steps=5)
    per_step = asked[before:]
    assert per_step.count("tolist") == 5 and len(per_step) == 5, per_step
