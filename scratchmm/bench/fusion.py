"""Fusion strategies as widths and modalities grow: is the cost claimed the cost seen?

Each row sets a strategy at a larger size ("ours") beside itself at a smaller one ("peer"), one
training step each. The ratio is how many times the time grew, over how many times `cost()` says that
the multiply-adds grow: 1 where time goes by the claim, less where calls outweigh arithmetic or
larger products run faster. Parameters and multiply-adds are counted before anything is timed, and a
claim that is not what was counted is refused.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from scratchmm.bench.measure import Row, Work, compare
from scratchmm.fusion.bilinear import BilinearFusion
from scratchmm.fusion.bottleneck import BottleneckFusion
from scratchmm.fusion.early import EarlyFusion
from scratchmm.fusion.gated import GatedFusion
from scratchmm.fusion.late import LateFusion
from scratchmm.fusion.low_rank import LowRankFusion
from scratchmm.fusion.modalities import Cost
from scratchmm.fusion.modality_attention import AttentionFusion
from scratchmm.fusion.tensor_fusion import TensorFusion

OUTPUTS, LENGTH = 16, 8  # outputs of every strategy; tokens of a bottleneck's stream
GOAL = 1.5  # time may outgrow the claim by half: larger tensors leave the processor's cache


class Size(NamedTuple):
    """How many modalities of which width."""

    modalities: int
    width: int


class Growth(NamedTuple):
    """A strategy, and the sizes between which it grows."""

    make: Callable[[dict[str, int]], nn.Module]
    small: Size
    wider: Size
    more: Size


GROWTHS = {
    "early": Growth(
        lambda w: EarlyFusion(w, OUTPUTS, 512), Size(2, 512), Size(2, 1024), Size(4, 512)
    ),
    "late": Growth(
        lambda w: LateFusion(w, OUTPUTS, 512), Size(2, 512), Size(2, 1024), Size(4, 512)
    ),
    "attention": Growth(
        lambda w: AttentionFusion(w, OUTPUTS, 128, 4, 256),
        Size(2, 512),
        Size(2, 1024),
        Size(4, 512),
    ),
    "gated": Growth(
        lambda w: GatedFusion(w, OUTPUTS, 128, 4, 256), Size(2, 512), Size(2, 1024), Size(4, 512)
    ),
    "bilinear": Growth(
        lambda w: BilinearFusion(w, OUTPUTS), Size(2, 128), Size(2, 256), Size(4, 128)
    ),
    "tensor": Growth(lambda w: TensorFusion(w, OUTPUTS), Size(2, 127), Size(2, 255), Size(3, 47)),
    "low rank": Growth(
        lambda w: LowRankFusion(w, OUTPUTS, 32), Size(2, 512), Size(2, 1024), Size(4, 512)
    ),
    "bottleneck": Growth(
        lambda w: BottleneckFusion(w, OUTPUTS, 64, 4, 128), Size(2, 64), Size(2, 128), Size(4, 64)
    ),
}


def rows(
    device: str = "cpu",
    rounds: int = 9,
    batch: int = 128,
    growths: dict[str, Growth] | None = None,
    goal: float | None = GOAL,
) -> list[Row]:
    """Every strategy with wider modalities, and with more of them."""
    found = []
    for name, growth in (growths or GROWTHS).items():
        step, cost = prepared(name, growth.make, growth.small, batch, device)
        for size in (growth.wider, growth.more):
            larger, claimed = prepared(name, growth.make, size, batch, device)
            what = f"{growth.small.modalities} x {growth.small.width} to "
            row = compare(
                f"fusion {name}, {what}{size.modalities} x {size.width}",
                (told(name, size, claimed), larger),
                (told(name, growth.small, cost), step),
                device=device,
                rounds=rounds,
                goal=goal,
            )
            grown = claimed.multiply_adds / cost.multiply_adds
            found.append(row._replace(ratio=round(row.ours_ms / row.peer_ms / grown, 3)))
    return found


def told(name: str, size: Size, cost: Cost) -> str:
    """A size and its claimed cost, for the table.

    >>> told("early", Size(2, 8), Cost(1000, 2000))
    'early 2 x 8: 1,000 parameters, 2,000 multiply-adds'
    """
    where = f"{name} {size.modalities} x {size.width}"
    return f"{where}: {cost.parameters:,} parameters, {cost.multiply_adds:,} multiply-adds"


def prepared(
    name: str, make: Callable[[dict[str, int]], nn.Module], size: Size, batch: int, device: str
) -> tuple[Work, Cost]:
    """A training step of a strategy at a size, and its cost, which is counted first."""
    torch.manual_seed(0)
    widths = {f"m{index}": size.width for index in range(size.modalities)}
    model: Any = make(widths).to(device)
    streams = isinstance(model, BottleneckFusion)
    shape = (batch, LENGTH, size.width) if streams else (batch, size.width)
    features = {key: torch.randn(shape, device=device) for key in widths}
    claimed = model.cost(dict.fromkeys(widths, LENGTH)) if streams else model.cost()
    parameters = list(model.parameters())
    products = multiply_adds(lambda: model(features))
    seen = Cost(sum(parameter.numel() for parameter in parameters), products // batch)
    if claimed != seen:
        raise ValueError(f"{name} claims {claimed}, but {seen} were counted")

    def step() -> Tensor:
        loss = model(features).square().mean()
        return torch.autograd.grad(loss, parameters, allow_unused=True)[0]

    return step, claimed


class Products(TorchDispatchMode):
    """Counts the numbers that elementwise products of tensors give.

    >>> with Products() as products:
    ...     product = torch.ones(2, 1) * torch.ones(3)
    >>> products.count
    6
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Runs every operation, and counts if it is a product of two tensors."""
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.mul.Tensor and isinstance(args[1], Tensor):
            self.count += result.numel()
        return result


def multiply_adds(run: Work) -> int:
    """Those of all matrix products, as torch counts them, and of all elementwise products.

    >>> multiply_adds(lambda: torch.ones(2, 3) @ torch.ones(3, 5))
    30
    """
    with FlopCounterMode(display=False) as matrices, Products() as products:
        run()
    return matrices.get_total_flops() // 2 + products.count
