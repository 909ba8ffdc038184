"""A process for one job, with a limit on time and on memory: an endless loop ends in a sentence.

The process is forked from one that has already imported torch, so that it starts in milliseconds.
Where the system can't fork (Windows) it is spawned, which takes seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

try:
    import resource
except ImportError:  # Windows has none
    CPU_LIMIT = False
else:
    CPU_LIMIT = True

SECONDS = 5.0  # of the processor's time
PATIENCE = 6  # so many times as long by the clock: a busy machine is not the learner's mistake
MEMORY = 1 << 30
BROKEN = "failed by a mistake of its own"


class Ended(NamedTuple):
    """How a job ended: `value` where it did by itself, else `reason`; `said` is what it said last."""

    value: Any
    reason: str
    said: Any


def warm() -> None:
    """Import what torch itself imports late, and every process would anew.

    gradcheck wants sympy, and assert_close the distributed tensors. Worth half a second before
    several checks, not before one.
    """
    for late in ("torch.fx.experimental.symbolic_shapes", "torch.distributed.tensor"):
        with contextlib.suppress(ImportError):  # torch may be built without the second
            importlib.import_module(late)


def limited(
    job: Callable[..., Any], *arguments: Any, seconds: float = SECONDS, memory: int = MEMORY
) -> Ended:
    """Run `job(*arguments, say=...)` in a process of its own. Its result must be picklable.

    >>> def shout(word, say): return word.upper()
    >>> limited(shout, "done").value
    'DONE'
    """
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    given = (sender, job, arguments, seconds, memory)
    process = context.Process(target=_child, args=given)  # type: ignore[attr-defined]
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python warns of forking beside threads; the child runs torch on one thread only.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()
    try:
        return _await(process, receiver, seconds)
    finally:
        process.kill()
        process.join()
        receiver.close()


def _await(process: Any, receiver: Connection, seconds: float) -> Ended:
    deadline = time.monotonic() + seconds * (PATIENCE if CPU_LIMIT else 1)
    said: Any = ""
    while receiver.poll(max(0.0, deadline - time.monotonic())):
        try:
            kind, value = receiver.recv()
        except EOFError:
            process.join(1)
            return Ended(None, _death(process.exitcode, seconds), said)
        if kind == "done":
            return Ended(value, "", said)
        if kind == "broken":
            return Ended(None, f"{BROKEN}: {value}", said)
        said = value
    return Ended(None, _late(process, seconds), said)


def _endless(seconds: float) -> str:
    return f"was still running after {seconds:g} s: is there a loop that never ends?"


def _late(process: Any, seconds: float) -> str:
    """End a process that the clock ran out for, and tell whether it has computed all that time."""
    if not CPU_LIMIT:
        return _endless(seconds)
    before = _computed()
    process.kill()
    process.join()
    waited = seconds * PATIENCE
    if _computed() - before > seconds / 4:
        return _endless(waited)  # on a busy machine
    return f"was still running after {waited:g} s, most of them idle: does it sleep, or wait for input?"


def _computed() -> float:
    """Seconds of the processor's time that the ended children of this process have had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _death(status: int | None, seconds: float) -> str:
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        if name == "SIGXCPU":
            return _endless(seconds)
        if name != "SIGKILL":
            return f"was ended by {name}, inside of compiled code: is an index or a shape out of range?"
        return f"was ended by {name}: did it ask for more memory than {MEMORY >> 30} GiB?"
    return f"ended the process itself, with status {status}"


def _child(
    sender: Connection, job: Callable[..., Any], arguments: Any, seconds: float, memory: int
) -> None:
    import torch

    limit_seconds(seconds)
    torch.set_num_threads(1)  # threads of the parent do not exist here; OpenMP would wait for them
    limit_memory(memory)
    try:
        ending = ("done", job(*arguments, say=lambda text: sender.send(("said", text))))
    except BaseException as error:  # noqa: BLE001 (the job's own mistake, told to who started it)
        ending = ("broken", f"{type(error).__name__}: {error}")
    sender.send(ending)
    sender.close()


def limit_seconds(seconds: float) -> None:
    """Let this process take so many seconds of the processor's time; then it is ended.

    Where there is no such limit, as on Windows, the clock has to do.
    """
    if CPU_LIMIT:
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))


def limit_memory(more: int) -> None:
    """Let this process allocate at most `more` bytes beyond what it has; afterwards it raises.

    Counts data and not address space, of which torch maps gigabytes that it never touches. Only
    Linux counts so; elsewhere the limit on time has to do.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))
    except OSError:
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    allowed = used + more if hard == resource.RLIM_INFINITY else min(used + more, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


class TooLong(BaseException):
    """A piece of code has computed for longer than it may."""


@contextlib.contextmanager
def interrupted(seconds: float) -> Iterator[None]:
    """Raise TooLong in this block each time it has computed so long; a loop without an end has one.

    Only where the system has such a timer, and in the main thread; elsewhere the block just runs.
    """
    main = threading.current_thread() is threading.main_thread()
    if not hasattr(signal, "SIGPROF") or not main:
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)
