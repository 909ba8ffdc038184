"""How the benchmark measures: in turns, medians, peak memory.

Two programs on one machine are compared fairly only side by side: A B A B, so that a neighbour's
noise or a warmer chip meets both.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

Work = Callable[[], Any]


class Row(NamedTuple):
    """One line of the benchmark. Times are medians; a ratio under 1 means ours is better."""

    case: str
    ours: str  # what ran, ours
    peer: str  # what ran beside it
    ours_ms: float
    peer_ms: float
    ratio: float  # ours over peer, of what the case is about: time, or memory
    goal: float | None  # the ratio it should stay under, where one is set
    ours_mib: float | None  # peak memory beyond what lay there before
    peer_mib: float | None
    device: str
    threads: int

    @property
    def met(self) -> bool:
        """Whether the ratio reaches its goal; a case without one is always met."""
        return self.goal is None or self.ratio <= self.goal


def compare(
    case: str,
    ours: tuple[str, Work],
    peer: tuple[str, Work],
    *,
    device: str,
    rounds: int,
    goal: float | None = None,
    memory: bool = False,
) -> Row:
    """Times ours and peer in turns and weighs both; `memory`: the ratio is that of memory.

    >>> row = compare("nothing", ("a", int), ("b", int), device="cpu", rounds=2)
    >>> row.case, row.goal, row.met
    ('nothing', None, True)
    """
    ours_ms, peer_ms = in_turns([ours[1], peer[1]], device, rounds)
    ours_mib, peer_mib = peak_mib(ours[1], device), peak_mib(peer[1], device)
    ratio = ours_mib / max(peer_mib, 1e-9) if memory else ours_ms / peer_ms
    return Row(
        case,
        ours[0],
        peer[0],
        round(ours_ms, 3),
        round(peer_ms, 3),
        round(ratio, 3),
        goal,
        round(ours_mib, 1),
        round(peer_mib, 1),
        device_name(device),
        torch.get_num_threads(),
    )


def in_turns(works: list[Work], device: str, rounds: int) -> list[float]:
    """The median milliseconds of each, measured A B A B ... after one round that is not counted.

    >>> len(in_turns([int, int, int], "cpu", rounds=1))
    3
    """
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, taken in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            wait(device)
            if number:
                taken.append((time.perf_counter() - started) * 1000)
    return [statistics.median(taken) for taken in times]


def wait(device: str) -> None:
    """Waits for work that a GPU does in the background."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def peak_mib(work: Work, device: str) -> float:
    """The most memory that a piece of work held at once, in MiB, beyond what lay there before.

    On the CPU it is the running sum of torch's own allocations, so it is the same on every run.

    >>> peak_mib(lambda: torch.zeros(1024, 1024), "cpu")
    4.0
    """
    if device.startswith("cuda"):
        wait(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        wait(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with _hushed(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    results: Any = watched.profiler and watched.profiler.kineto_results
    held = peak = 0
    events = [event for event in results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak / 2**20


@contextmanager
def _hushed() -> Iterator[None]:
    """Torch 2.13's profiler writes two lines about itself to file 2 at every start; drop them."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def device_name(device: str) -> str:
    """The name that the table shows: the GPU's, or cpu.

    >>> device_name("cpu")
    'cpu'
    """
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


def same(ours: torch.Tensor, peer: torch.Tensor, what: str, tolerance: float = 1e-3) -> None:
    """Refuses to time two programs that do not compute the same.

    >>> same(torch.zeros(2), torch.ones(2), "zeros and ones")
    Traceback (most recent call last):
    ValueError: zeros and ones differ by 1, more than 0.001: timing them would compare two things
    """
    difference = (ours.float() - peer.float()).abs().max().item()
    if not difference <= tolerance:
        raise ValueError(
            f"{what} differ by {difference:.3g}, more than {tolerance:g}: "
            "timing them would compare two things"
        )
