"""One of every fusion strategy, in sizes that all differ."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from scratchmm.fusion.bilinear import BilinearFusion
from scratchmm.fusion.early import EarlyFusion
from scratchmm.fusion.gated import GatedFusion
from scratchmm.fusion.late import LateFusion, WeightedLateFusion
from scratchmm.fusion.low_rank import LowRankFusion
from scratchmm.fusion.modalities import Encoded
from scratchmm.fusion.modality_attention import AttentionFusion
from scratchmm.fusion.tensor_fusion import TensorFusion

WIDTHS = {"sound": 4, "image": 5, "words": 3}
OUTPUTS = 7
MAKERS: dict[str, Callable[[Mapping[str, int]], nn.Module]] = {
    "early": lambda widths: EarlyFusion(widths, OUTPUTS, hidden=11),
    "late": lambda widths: LateFusion(widths, OUTPUTS, hidden=11),
    "weighted late": lambda widths: WeightedLateFusion(widths, OUTPUTS, hidden=11),
    "attention": lambda widths: AttentionFusion(widths, OUTPUTS, 6, 2, hidden=11, depth=2),
    "gated": lambda widths: GatedFusion(widths, OUTPUTS, 6, 2, hidden=11),
    "bilinear": lambda widths: BilinearFusion(widths, OUTPUTS),
    "tensor": lambda widths: TensorFusion(widths, OUTPUTS),
    "low rank": lambda widths: LowRankFusion(widths, OUTPUTS, rank=2),
    "encoded": lambda widths: Encoded(
        widths, TensorFusion({name: width % 3 + 1 for name, width in widths.items()}, OUTPUTS)
    ),
}


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter random, float64."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.double().parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).double() * 0.5
    return model


def make(name: str, widths: Mapping[str, int] = WIDTHS) -> nn.Module:
    return randomise(MAKERS[name](widths))


def features(
    batch: int = 2, widths: Mapping[str, int] = WIDTHS, seed: int = 1
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(batch, width, generator=generator).double()
        for name, width in widths.items()
    }


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import (
        bilinear,
        early,
        gated,
        late,
        low_rank,
        modalities,
        modality_attention,
        tensor_fusion,
    )

    widths, present = {"a": 5, "b": 4}, {"a": torch.tensor([True, False, True])}
    given = {"a": torch.randn(3, 5), "b": torch.randn(3, 4)}
    narrow = tensor_fusion.TensorFusion({"a": 2, "b": 6}, 7)
    for model in (
        early.EarlyFusion(widths, 7, 11),
        late.LateFusion(widths, 7, 11),
        late.WeightedLateFusion(widths, 7, 11),
        bilinear.BilinearFusion(widths, 7),
        low_rank.LowRankFusion(widths, 7, rank=8),
        gated.GatedFusion(widths, 7, 10, 2, 11),
        modality_attention.AttentionFusion(widths, 7, 10, 2, 11),
        modalities.Encoded(widths, narrow),
    ):
        model(given, present)
    low_rank.LowRankFusion({"a": 5, "b": 4}, 7, rank=8).tensor()
