"""Training: one loop, its optimizer and schedule, checkpoints that survive a kill, the curve."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "optimizer": "adamw decay_groups warmup_cosine",
        "checkpoint": "save_checkpoint load_checkpoint",
        "sampling": "seeded shuffled_batches",
        "device": "pick_device seed_everything",
        "average": "Averaged",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
