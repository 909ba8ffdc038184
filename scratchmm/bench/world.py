"""The generated world: how many images a second one core draws; and what an import costs."""

import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from scratchmm.bench.measure import Row
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import sample_scene

GOAL_IMAGES = 2000  # a second, 32 x 32, on one core
GOAL_IMPORT_MS = 150.0


def rows(device: str = "cpu", rounds: int = 9, count: int = 2000) -> list[Row]:
    """Scenes sampled and drawn, on one thread, against the goal; the time of the import."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = [seconds_to_draw(count, seed) for seed in range(rounds + 1)][1:]
    finally:
        torch.set_num_threads(threads)
    each = statistics.median(taken) / count * 1000
    goal = 1000 / GOAL_IMAGES
    speed = f"{1000 / each:,.0f} images a second"
    drawing = against("world 32x32, an image", speed, f"goal {GOAL_IMAGES:,}", each, goal)
    ours = import_milliseconds("import torch, scratchmm", rounds)
    base = import_milliseconds("import torch", rounds)
    extra = max(ours - base, 0.0)
    wanted = f"goal {GOAL_IMPORT_MS:.0f} ms"
    imported = against("import, beyond torch", "import scratchmm", wanted, extra, GOAL_IMPORT_MS)
    return [drawing, imported]


def against(case: str, ours: str, peer: str, ours_ms: float, goal_ms: float) -> Row:
    """A row whose peer is a goal: ratio at most 1."""
    times = (round(ours_ms, 4), round(goal_ms, 4), round(ours_ms / goal_ms, 3))
    return Row(case, ours, peer, *times, 1.0, None, None, "cpu", 1)


def seconds_to_draw(count: int, seed: int) -> float:
    """Samples `count` scenes and draws them."""
    rng = np.random.default_rng(seed)
    started = time.perf_counter()
    draw_many([sample_scene(rng) for _ in range(count)], size=32)
    return time.perf_counter() - started


def import_milliseconds(statement: str, rounds: int) -> float:
    """The median time of an import in a fresh interpreter.

    >>> import_milliseconds("import this_is_not_there", rounds=1)
    Traceback (most recent call last):
    RuntimeError: 'import this_is_not_there' failed in a fresh interpreter
    """
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    taken = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{statement!r} failed in a fresh interpreter")
        taken.append(float(done.stdout) * 1000)
    return statistics.median(taken)
