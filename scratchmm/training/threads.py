"""Threads that sleep while they wait, as long as other programs want the processor's cores.

torch splits one operation among the cores by OpenMP. A thread that has done its part spins until the
others have: on a quiet machine that is the fastest way to wait. Where another program holds a core,
the thread that all wait for has no core to run on, because its own sisters spin on it: a step that
takes 44 ms quiet takes up to 80 times as long.

GNU's OpenMP (libgomp, which torch uses on Linux) stops spinning by itself as soon as a process has
more OpenMP threads than there are cores. `patient_threads` makes use of that: while threads have to
wait for a core (Linux counts it, in /proc/self/task/*/schedstat), it keeps a second, idle team of
threads alive; when they need not, it lets the team go. How operations are split stays as it is, so
the results are the same, bit for bit, whether the machine is busy or not. On other systems, and with
one thread, nothing is done.

Differs from the paper: nothing (there is none).
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK = 0.1  # seconds between two looks at how long threads had to wait for a core
CROWDED = 0.3  # seconds a second, summed over the threads, from which on waiting must not spin
SHORTEST, LONGEST = 2.0, 16.0  # seconds until spinning is tried again: doubled while it fails

_running = threading.Lock()


@contextmanager
def patient_threads() -> Iterator[None]:
    """Within this block, OpenMP's threads spin on a quiet machine and sleep on a busy one.

    Costs less than a thousandth of a core. Inside another such block, it does nothing. torch may be
    imported before the block or in it.

    >>> import torch
    >>> with patient_threads():
    ...     total = torch.ones(3).sum()
    """
    alone = "torch" in sys.modules and not spins()  # with one thread nobody waits for another
    if alone or waited() is None or not _running.acquire(blocking=False):
        yield
        return
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(ended,), daemon=True, name="patient threads")
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()
        _running.release()


def spins() -> bool:
    """Whether torch is imported and splits its work, so that threads of this process may spin."""
    count = getattr(sys.modules.get("torch"), "get_num_threads", None)  # None: in the midst of it
    return count is not None and count() > 1


def waited() -> float | None:
    """The seconds that this process's threads were ready to run and had no core; None if unknown.

    >>> seconds = waited()
    >>> seconds is None or seconds >= 0
    True
    """
    total, known = 0, False
    for file in Path("/proc/self/task").glob("*/schedstat"):
        try:
            total += int(file.read_text().split()[1])  # nanoseconds on the CPU, waiting, slices
            known = True
        except (OSError, IndexError, ValueError):
            continue  # a thread that has just ended
    return total / 1e9 if known else None


def decide(
    seconds: Iterator[tuple[float, float]], sleep: Callable[[], None], spin: Callable[[], None]
) -> None:
    """Call `sleep` when threads begin to wait for cores and `spin` to try the other way again.

    seconds: at every look the time now and the time waited so far, both in seconds.

    >>> looks = [(0.0, 0.0), (0.1, 0.1), (1.0, 1.0), (2.2, 1.5), (2.3, 1.5)]
    >>> decide(iter(looks), lambda: print("sleep"), lambda: print("spin"))
    sleep
    spin
    """
    before, waiting = next(seconds, (0.0, 0.0))
    again, pause = None, SHORTEST  # when to try spinning again: None while it spins
    for now, total in seconds:
        crowded = total - waiting > CROWDED * (now - before)
        before, waiting = now, total
        if again is None and crowded:
            sleep()
            again = now + pause
            pause = min(2 * pause, LONGEST)
        elif again is None:
            pause = max(pause / 2, SHORTEST)
        elif now >= again:
            spin()
            again = None


def _watch(ended: threading.Event) -> None:
    let_go, team = threading.Event(), threading.Thread()

    def looks() -> Iterator[tuple[float, float]]:
        while not spins() and not ended.wait(LOOK):
            pass
        while not ended.is_set():
            yield time.monotonic(), waited() or 0.0
            ended.wait(LOOK)

    def sleep() -> None:
        nonlocal let_go, team
        let_go = threading.Event()
        team = threading.Thread(target=_idle_team, args=(let_go,), daemon=True)
        team.start()

    def spin() -> None:
        let_go.set()
        if team.ident is not None:
            team.join()  # a thread that is still in torch when Python ends would abort the process

    decide(looks(), sleep, spin)
    spin()


def _idle_team(let_go: threading.Event) -> None:
    """Start a team of OpenMP threads by an operation that is large enough, and keep it until told."""
    import torch

    torch.ones(2**18).add_(1.0)
    let_go.wait()
