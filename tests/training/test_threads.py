"""Threads that sleep on a busy machine: when, and that no number depends on it."""

import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from scratchmm.commands.one_lesson import run_lesson
from scratchmm.training import threads
from scratchmm.training.threads import LONGEST, SHORTEST, decide, patient_threads, waited


def story(shares, step=0.1):
    """What `decide` does when threads wait for these shares of each look's time."""
    told, now, total = [], 0.0, 0.0

    def looks():
        nonlocal now, total
        yield now, total
        for share in shares:
            now, total = now + step, total + share * step
            yield now, total

    decide(looks(), lambda: told.append(("sleep", now)), lambda: told.append(("spin", now)))
    return told


def test_a_quiet_machine_is_left_alone():
    assert story([0.0] * 500) == []
    assert story([0.25] * 500) == []


def test_threads_sleep_at_the_first_crowded_look():
    assert story([0.0, 0.0, 1.5])[0] == ("sleep", pytest.approx(0.3))


def test_spinning_is_tried_again_and_ever_more_seldom_while_it_does_not_pay():
    told = story([1.0] * 2000)
    assert [what for what, _ in told[:4]] == ["sleep", "spin", "sleep", "spin"]
    spans = [(what, round(b - a, 1)) for (what, a), (_, b) in zip(told, told[1:])]
    slept = [span for what, span in spans if what == "sleep"]
    spun = [span for what, span in spans if what == "spin"]
    assert slept[0] == pytest.approx(SHORTEST, abs=0.11)
    assert slept == sorted(slept) and max(slept) == pytest.approx(LONGEST, abs=0.11)
    assert max(spun) == pytest.approx(0.1)  # a trial costs one look
    assert sum(spun) < 0.02 * 200


def test_once_the_machine_is_quiet_threads_spin_for_good():
    told = story([1.0] * 300 + [0.0] * 400)
    assert told[-1][0] == "spin" and told[-1][1] < 30 + LONGEST + 0.2
    later = story([1.0] * 300 + [0.0] * 400 + [1.0] * 40)
    (_, slept), (_, spun) = [(what, now) for what, now in later if now > 70][:2]
    assert spun - slept == pytest.approx(SHORTEST, abs=0.11)  # as if it had never been busy


def alive():
    return [thread.name for thread in threading.enumerate()]


@pytest.fixture()
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(waited() is None, reason="this system does not tell how long threads waited")
def test_the_watch_ends_with_its_block_and_is_there_once(two_threads):
    before = alive()
    with patient_threads():
        assert "patient threads" in alive()
        with patient_threads():
            assert alive().count("patient threads") == 1
        assert "patient threads" in alive()
    assert alive() == before
    with pytest.raises(KeyError), patient_threads():
        raise KeyError("an error passes through")
    assert alive() == before


def test_one_thread_needs_no_watch():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with patient_threads():
            assert "patient threads" not in alive()
    finally:
        torch.set_num_threads(before)


def test_results_are_the_same_bit_for_bit_while_threads_sleep(two_threads, monkeypatch):
    """The idle team changes how threads wait and not which part of an operation each one does."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 700, generator=generator)

    def numbers():
        weight = x[:, :64].clone().requires_grad_()
        y = torch.nn.functional.layer_norm(x.t() @ weight, (64,))
        y.square().mean().backward()
        return torch.cat([weight.grad.flatten(), x.sum().view(1), (x @ x.t()).flatten()])

    right = numbers()
    let_go = threading.Event()
    team = threading.Thread(target=threads._idle_team, args=(let_go,))
    team.start()
    try:
        assert torch.equal(numbers(), right)
    finally:
        let_go.set()
        team.join()
    assert torch.equal(numbers(), right)


def test_the_idle_team_ends_with_the_watch(monkeypatch):
    before, during = alive(), []

    def decide(looks, sleep, spin):
        spin()  # before any team is there
        sleep()
        during.extend(alive())

    monkeypatch.setattr(threads, "decide", decide)
    threads._watch(threading.Event())
    assert len(during) == len(before) + 1
    for _ in range(500):
        if alive() == before:
            return
        time.sleep(0.01)
    raise AssertionError(f"there are still {alive()}")


@pytest.mark.skipif(waited() is None, reason="this system does not tell how long threads waited")
def test_a_lesson_is_watched_whole(two_threads, tmp_path, capsys):
    """Also where it draws or measures, and not only inside of `fit`."""
    script = tmp_path / "01_names.py"
    script.write_text("import threading\nprint([t.name for t in threading.enumerate()])\n")
    assert run_lesson(script, []) == 0
    assert "patient threads" in capsys.readouterr().out
    assert "patient threads" not in alive()


def test_no_look_is_no_decision():
    decide(iter([]), lambda: pytest.fail("slept"), lambda: pytest.fail("spun"))


@pytest.mark.skipif(waited() is None, reason="this system does not tell how long threads waited")
def test_no_thread_is_left_in_torch_when_the_block_ends(two_threads, monkeypatch):
    """Python that ends while one is there aborts: terminate called without an active exception."""
    ended = []

    def slow_team(let_go):
        assert let_go.wait(5)
        time.sleep(0.3)
        ended.append(True)

    monkeypatch.setattr(threads, "_idle_team", slow_team)
    monkeypatch.setattr(threads, "decide", lambda looks, sleep, spin: sleep())
    with patient_threads():
        pass
    assert ended == [True]


LATE = """
import sys, threading, time
from scratchmm.training import threads
threads.LOOK = 0.01
told = []
threads.decide = lambda looks, sleep, spin: told.append((next(looks, None), "torch" in sys.modules))
with threads.patient_threads():
    time.sleep(0.2)
    assert told == [] and "torch" not in sys.modules, told
    import torch
    torch.set_num_threads({count})
    time.sleep(0.5)
    print(len(told), [seen for _, seen in told])
"""


@pytest.mark.skipif(waited() is None, reason="this system does not tell how long threads waited")
@pytest.mark.parametrize(("count", "told"), [(2, "1 [True]"), (1, "0 []")])
def test_the_watch_waits_until_torch_is_there_and_splits_its_work(count, told):
    words = [sys.executable, "-c", LATE.format(count=count)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(count)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == told
