"""Where a run computes and which random numbers it draws: the one place that decides either.

Nothing here touches CUDA before somebody asks for it by name.

Differs from the paper: nothing (there is none).
"""

import random
from typing import Any

import numpy as np
import torch


def pick_device(name: str | torch.device = "cpu") -> torch.device:
    """The device of that name: "cpu", "cuda" (or "cuda:1"), "mps", or "auto" for the best there is.

    Raises ValueError if torch can't see such a device here.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if str(name) == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device {name!r} is none of cpu, cuda, mps and auto") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device {str(name)!r} is none of cpu, cuda, mps and auto")
    if device.type == "mps" and not _has_mps():
        raise ValueError("device 'mps' was asked for, and torch sees no Apple GPU here")
    if device.type == "cuda":
        seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= seen:
            raise ValueError(f"device {str(name)!r} was asked for, and torch sees {seen} CUDA GPUs")
    return device


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def seed_everything(seed: int) -> None:
    """Fix the random numbers of Python, numpy and torch (every device) with one seed.

    >>> seed_everything(3); first = torch.rand(2)
    >>> seed_everything(3); bool((torch.rand(2) == first).all())
    True
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # numpy takes 32 bits
    torch.manual_seed(seed)  # CUDA's and MPS's generators too, without starting either


def random_states() -> dict[str, Any]:
    """The state of every random number generator, as plain data that a checkpoint can hold.

    >>> states = random_states(); drawn = torch.rand(2)
    >>> restore_random_states(states); bool((torch.rand(2) == drawn).all())
    True
    """
    numpy_state: Any = np.random.get_state()  # (name, 624 words, position, two more)
    return {
        "python": random.getstate(),
        "numpy": [*numpy_state[:1], numpy_state[1].tolist(), *numpy_state[2:]],
        "torch": torch.get_rng_state(),
        # is_initialized: asking a GPU that nobody uses for its state would start it
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "mps": torch.mps.get_rng_state() if _has_mps() else None,
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put every generator back to what `random_states` returned (GPUs: only those present here)."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(states["torch"].cpu())
    if torch.cuda.is_initialized() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
    if _has_mps() and states["mps"] is not None:
        torch.mps.set_rng_state(states["mps"].cpu())


def to_device(batch: Any, device: torch.device) -> Any:
    """The same batch with every tensor on the device: tensors, tuples, lists and dicts of them.

    >>> to_device((torch.zeros(2), ["a word"]), torch.device("cpu"))
    (tensor([0., 0.]), ['a word'])
    """
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: to_device(part, device) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):  # a NamedTuple takes its parts apart
        return type(batch)(*(to_device(part, device) for part in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(to_device(part, device) for part in batch)
    return batch
