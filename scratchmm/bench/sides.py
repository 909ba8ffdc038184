"""Two models with the same weights side by side: forward and training step, eager and compiled."""

import copy
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from scratchmm.bench.measure import Row, Work, compare, same
from scratchmm.bench.peers import training_step
from scratchmm.layers.attention import attention_backend

# Goals of time. On a CPU the peer is always eager; on a GPU it is compiled where ours is.
GOALS: Mapping[str, float] = {"eager": 1.0, "compiled": 0.9}
GPU_GOALS: Mapping[str, float] = {"eager": 1.0, "compiled": 1.0}


class Side(NamedTuple):
    """One of the two that are compared: a model that makes one plain tensor of the inputs."""

    name: str
    model: nn.Module


class Works(NamedTuple):
    """What is timed of a side, run in one way."""

    name: str
    forward: Callable[[], Tensor]  # without a graph
    step: Work  # of training: forward, backward, AdamW


def forward_and_step(
    case: str,
    ours: Side,
    peer: Side,
    inputs: tuple[Tensor, ...],
    *,
    device: str,
    rounds: int,
    goals: Mapping[str, float] | None = None,
    dtype: torch.dtype = torch.float32,
) -> list[Row]:
    """Two rows for each kind of `goals`; in dtype, after a look in float32 that both agree."""
    on_gpu = device.startswith("cuda")
    same(plain(ours.model, inputs), plain(peer.model, inputs), f"what both say in {case}")
    ours, peer, inputs = in_dtype(ours, dtype), in_dtype(peer, dtype), cast(inputs, dtype)
    found, eager = [], works(peer, "eager", inputs)
    for kind, goal in (goals or (GPU_GOALS if on_gpu else GOALS)).items():
        own = works(ours, kind, inputs)
        other = works(peer, kind, inputs) if on_gpu and kind != "eager" else eager
        if dtype == torch.float32:
            same(own.forward(), plain(ours.model, inputs), f"{case}: eager and {kind}")
        common: Any = {"device": device, "rounds": rounds, "goal": goal}
        for what, one, two in (
            ("forward", own.forward, other.forward),
            ("training step", own.step, other.step),
        ):
            row = compare(f"{case} {what}, {kind}", (own.name, one), (other.name, two), **common)
            found.append(row)
    return found


def works(side: Side, kind: str, inputs: tuple[Tensor, ...]) -> Works:
    """The forward pass, and a training step (of the mean of squares) on a copy of its own."""
    name = f"{side.name}, {kind}"
    if kind == "compiled" and not can_compile():
        kind, name = "eager", f"{side.name}, eager: there is no C++ compiler to compile with"
    use: Any = side.model
    trained = copy.deepcopy(side.model).train()
    run: Any = trained
    if kind == "compiled":
        use, run = frozen(side.model, inputs), torch.compile(trained)

    def loss() -> Tensor:
        with attention_backend("torch"):
            return run(*inputs).float().square().mean()

    return Works(name, lambda: plain(use, inputs), training_step(trained, loss))


def plain(model: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    """What a forward pass gives when nothing is to be learned from it."""
    with torch.no_grad(), attention_backend("torch"):
        return model(*inputs)


def frozen(model: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """A copy compiled for use: its weights no longer change, so a CPU packs them once."""
    import torch._inductor.config as inductor

    compiled: Any = torch.compile(copy.deepcopy(model).eval())
    with inductor.patch(freezing=not inputs[0].is_cuda):
        plain(compiled, inputs)  # what is compiled is fixed by the first call
    return compiled


def can_compile() -> bool:
    """Whether torch.compile finds the C++ compiler that it asks for."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def in_dtype(side: Side, dtype: torch.dtype) -> Side:
    """The same side in another precision."""
    return Side(side.name, side.model.to(dtype).eval())


def cast(inputs: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Real numbers in another precision; timesteps stay whole.

    >>> [x.dtype for x in cast((torch.zeros(1), torch.tensor([1])), torch.bfloat16)]
    [torch.bfloat16, torch.int64]
    """
    return tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)
