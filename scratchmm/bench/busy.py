"""Training on a quiet machine and on a busy one: threads that spin, that sleep, and one alone."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from scratchmm.bench.measure import Row, compare
from scratchmm.bench.peers import training_step
from scratchmm.contrastive.clip import CLIP, CLIPConfig
from scratchmm.language.text_transformer import TextConfig
from scratchmm.recipes.clip import loss as clip_loss
from scratchmm.training.threads import patient_threads
from scratchmm.vision.vit import ViTConfig

QUIET, BUSY = 1.03, 1.3  # goals: against today's way on a quiet machine, and against one thread


def rows(
    device: str = "cpu",
    rounds: int = 5,
    steps: int = 60,
    batch: int = 128,
    goals: tuple[float | None, float | None] = (QUIET, BUSY),
) -> list[Row]:
    """The tour's CLIP, `steps` steps at a time: quiet, and beside a busy process for each core."""
    step = small_step(batch)

    def train() -> None:
        for _ in range(steps):
            step()

    def patient() -> None:
        with patient_threads():
            train()

    def alone() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            train()
        finally:
            torch.set_num_threads(threads)

    ours = ("threads that may sleep", patient)
    case = f"{steps} steps of the tour's CLIP"
    quiet = compare(
        f"{case}, quiet",
        ours,
        ("threads that spin", train),
        device=device,
        rounds=rounds,
        goal=goals[0],
    )
    with busy_neighbours(torch.get_num_threads()):
        busy = compare(
            f"{case}, beside busy processes",
            ours,
            ("one thread", alone),
            device=device,
            rounds=rounds,
            goal=goals[1],
        )
    return [quiet, busy]


def small_step(batch: int) -> Callable[[], object]:
    """A training step of a CLIP of the tour's size, on images and tokens of noise."""
    torch.manual_seed(0)
    sizes = {"width": 64, "heads": 4, "hidden": 256, "epsilon": 1e-5}
    vision = ViTConfig(32, 8, depth=3, **sizes)  # type: ignore[arg-type]
    text = TextConfig(300, 12, depth=2, end_token=299, **sizes)  # type: ignore[arg-type]
    model = CLIP(CLIPConfig(vision, text, embedding=64)).train()
    tokens = torch.randint(299, (batch, 12))
    tokens[:, -1] = 299  # every sentence ends
    pair = (torch.randn(batch, 3, 32, 32), tokens)
    return training_step(model, lambda: clip_loss(model, pair))


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Within this block, so many other processes compute without a pause.

    >>> with busy_neighbours(1):
    ...     total = sum(range(1000))
    """
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
