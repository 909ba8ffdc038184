"""What the benchmarks of whole models share: the peers' libraries, and one step of training."""

import os
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from scratchmm.bench.measure import Work
from scratchmm.training.optimizer import adamw


def quiet_transformers() -> Any:
    """The transformers library, which must not look for anything on the network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "the peer of this benchmark is transformers: pip install -e '.[parity]'"
        ) from error
    transformers.logging.set_verbosity_error()
    return transformers


def quiet_diffusers() -> Any:
    """The diffusers library, which must not look for anything on the network either."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import diffusers
    except ImportError as error:
        raise ImportError(
            "the peer of this benchmark is diffusers: pip install -e '.[parity]'"
        ) from error
    diffusers.utils.logging.set_verbosity_error()
    return diffusers


def training_step(model: nn.Module, loss: Callable[[], Tensor]) -> Work:
    """Forward, backward and a step of AdamW: the same optimizer for ours and for the peer."""
    optimizer = adamw(model, learning_rate=1e-6, weight_decay=0.05)

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
