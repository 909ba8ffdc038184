"""The measuring itself: order, medians, memory, and that unequal things are not compared."""

import pytest
import torch

from scratchmm.bench import measure
from scratchmm.bench.measure import Row, compare, in_turns, peak_mib, same


def test_both_run_in_turns_and_the_first_round_does_not_count(monkeypatch) -> None:
    now, order = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def work(name: str, durations: list[float]):
        def run() -> None:
            order.append(name)
            now[0] += durations.pop(0)

        return run

    a, b = work("a", [9.0, 0.001, 0.002, 0.009]), work("b", [9.0, 0.004, 0.005, 0.006])
    assert in_turns([a, b], "cpu", rounds=3) == pytest.approx([2.0, 5.0])
    assert order == ["a", "b"] * 4


def test_peak_memory_counts_what_is_held_at_once() -> None:
    def together() -> torch.Tensor:
        first, second = torch.ones(1024, 1024), torch.ones(1024, 512)
        return first[0, 0] + second[0, 0]

    def one_after_the_other() -> None:
        for _ in range(3):
            torch.ones(1024, 1024)

    assert peak_mib(together, "cpu") == pytest.approx(6.0, abs=0.1)
    assert peak_mib(one_after_the_other, "cpu") == pytest.approx(4.0, abs=0.1)


def test_memory_of_a_backward_pass_is_counted() -> None:
    x = torch.ones(1024, 1024, requires_grad=True)
    assert peak_mib(lambda: torch.autograd.grad((x * x).sum(), x), "cpu") > 7.9


def test_the_ratio_is_of_time_or_of_memory() -> None:
    small, large = ("small", lambda: torch.ones(1024)), ("large", lambda: torch.ones(4096, 1024))
    row = compare("c", small, large, device="cpu", rounds=1, goal=0.1, memory=True)
    assert row.ratio == pytest.approx(1 / 4096, abs=1e-3) and row.met


def test_the_ratio_is_of_the_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "in_turns", lambda works, device, rounds: [4.5, 2.5])
    row = compare("c", ("a", int), ("b", int), device="cpu", rounds=2, goal=1.7)
    assert (row.ours_ms, row.peer_ms, row.ratio, row.met) == (4.5, 2.5, 1.8, False)


def test_what_differs_is_not_timed() -> None:
    same(torch.ones(2), torch.ones(2) + 1e-5, "ones")
    for other in (torch.ones(2) + 0.01, torch.full((2,), float("nan"))):
        with pytest.raises(ValueError, match="would compare two things"):
            same(torch.ones(2), other, "ones")


def test_a_goal_that_is_missed_shows() -> None:
    row = Row("c", "a", "b", 2.0, 1.0, 2.0, 1.5, None, None, "cpu", 1)
    assert not row.met and row._replace(goal=2.0).met and row._replace(goal=None).met
