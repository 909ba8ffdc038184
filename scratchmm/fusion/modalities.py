"""What every fusion strategy shares: features by name, a presence mask, and its cost.

A strategy is made for named modalities, `widths = {"image": 64, "words": 32}`, and called with
`features`, a tensor for each name in any order, and `present`, a mask for each name that may be
absent. A name left out of `features` is absent for the whole batch. What an absent modality's
numbers are does not matter; they may even be nan.

Paper: Multimodal Machine Learning: A Survey and Taxonomy (Baltrusaitis et al. 2017, arXiv
1705.09406), section 6, where the strategies' names come from.
Dimensions: B batch, M modalities, D width, K outputs.
Differs from the paper: nothing is computed here but small networks.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from scratchmm.layers.tracing import numbers_are_known
from scratchmm.sentences import check_count

Features = Mapping[str, Tensor]
Present = Mapping[str, Tensor]


class Cost(NamedTuple):
    """What a model costs.

    multiply_adds: for one sample, the products in all matrix multiplications and of features with
    features. Biases, sums, norms, softmaxes and activations are left out.
    """

    parameters: int
    multiply_adds: int

    def plus(self, *others: "Cost") -> "Cost":
        """This and the others together.

        >>> Cost(3, 2).plus(Cost(10, 10), Cost(100, 100))
        Cost(parameters=113, multiply_adds=112)
        """
        costs = [self, *others]
        return Cost(sum(c.parameters for c in costs), sum(c.multiply_adds for c in costs))

    def times(self, count: int) -> "Cost":
        """As many of this.

        >>> Cost(3, 2).times(10)
        Cost(parameters=30, multiply_adds=20)
        """
        return Cost(self.parameters * count, self.multiply_adds * count)


def linear_cost(inputs: int, outputs: int) -> Cost:
    """Of a Linear layer with its bias.

    >>> linear_cost(3, 5)
    Cost(parameters=20, multiply_adds=15)
    """
    return Cost((inputs + 1) * outputs, inputs * outputs)


def network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A small network: Linear, GELU, Linear.

    >>> network(3, 5, 2)(torch.zeros(4, 3)).shape
    torch.Size([4, 2])
    """
    for name, value in (("inputs", inputs), ("hidden", hidden), ("outputs", outputs)):
        check_count(name, value)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def network_cost(inputs: int, hidden: int, outputs: int) -> Cost:
    """Of a small network: two Linear layers.

    >>> network_cost(3, 5, 2)
    Cost(parameters=32, multiply_adds=25)
    """
    return linear_cost(inputs, hidden).plus(linear_cost(hidden, outputs))


def collect(
    features: Features, widths: Mapping[str, int], present: Present | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Vectors in the order of `widths`, zeros where absent; and the presence mask, bool (B, M).

    features: a (B, D) for each name, with that name's width D. present: a bool (B,) for each name
    that is absent in some samples. A sample without any modality is a ValueError, as are unknown
    names, shapes that do not fit, and a mask of what has no features.

    >>> features = {"words": torch.tensor([[5.0], [torch.nan]])}
    >>> present = {"words": torch.tensor([True, False])}
    >>> collect(features, {"image": 2, "words": 1}, present)
    Traceback (most recent call last):
    ValueError: sample 1 has no modality: at least one of image and words must be present
    """
    check_names("features", features, widths)
    batch = check_batch(features, {name: (width,) for name, width in widths.items()})
    there = presence_mask(features, widths, present, batch)  # (B, M)
    like = next(iter(features.values()))
    vectors = {}
    for index, (name, width) in enumerate(widths.items()):
        vector = features[name] if name in features else like.new_zeros(batch, width)
        # masked_fill, not a product: nan times zero is nan, also in the gradient.
        vectors[name] = vector.masked_fill(~there[:, index, None], 0.0)
    return vectors, there


def presence_mask(
    features: Features, widths: Mapping[str, int], present: Present | None, batch: int
) -> Tensor:
    """Which modality each sample has: bool (B, M), in the order of `widths`.

    >>> features = {"words": torch.zeros(2, 3), "image": torch.zeros(2, 1)}
    >>> present = {"words": torch.tensor([True, False])}
    >>> presence_mask(features, {"image": 1, "words": 3}, present, 2).tolist()
    [[True, True], [True, False]]
    """
    present = present or {}
    check_names("the presence masks", present, widths)
    device = next(iter(features.values())).device
    columns = []
    for name in widths:
        given = torch.full((batch,), name in features, device=device)
        mask = present[name].to(device) if name in present else given
        check_presence(name, mask, given)
        columns.append(mask)
    there = torch.stack(columns, dim=1)  # (B, M)
    check_any_present(there, widths)
    return there


class Encoded(nn.Module):
    """Each modality through a layer of its own first, Linear and GELU, to the widths of a strategy.

    Tensor and bilinear fusion grow so fast with the widths that they need narrow ones.
    parameters = sum over modalities of (D + 1) d, plus the strategy's; multiply-adds = sum of D d,
    plus the strategy's: D the given width, d the strategy's.

    >>> from scratchmm.fusion.tensor_fusion import TensorFusion
    >>> narrow = TensorFusion({"image": 4, "words": 3}, 10)
    >>> model = Encoded({"image": 64, "words": 32}, narrow)
    >>> model({"words": torch.zeros(2, 32), "image": torch.zeros(2, 64)}).shape
    torch.Size([2, 10])
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        inner: dict[str, int] = getattr(fusion, "widths")  # noqa: B009  (mypy sees a Module)
        check_names("the widths", widths, inner)
        self.fusion = fusion
        self.layers = nn.ModuleDict({name: nn.Linear(widths[name], inner[name]) for name in widths})

    def forward(self, features: Features, present: Present | None = None, **more: Any) -> Tensor:
        """features and present: as for `collect`. Returns what the strategy returns, (B, K)."""
        vectors, there = collect(features, self.widths, present)
        masks = {name: there[:, index] for index, name in enumerate(self.widths)}
        encoded = {
            name: nn.functional.gelu(layer(vectors[name])) for name, layer in self.layers.items()
        }
        return self.fusion(encoded, masks, **more)  # (B, K)

    def cost(self) -> Cost:
        """Of the layers and the strategy."""
        layers = (linear_cost(m.in_features, m.out_features) for m in self._linear())
        return self.fusion.cost().plus(*layers)  # type: ignore[operator]

    def _linear(self) -> list[nn.Linear]:
        return [layer for layer in self.layers.values() if isinstance(layer, nn.Linear)]


def check_widths(widths: Mapping[str, int], least: int = 1) -> dict[str, int]:
    """A copy of the widths; refuse too few modalities, empty widths, and names torch can't take.

    >>> check_widths({"image": 0})
    Traceback (most recent call last):
    ValueError: modality 'image' has width 0, but it must be at least 1
    """
    if len(widths) < least:
        raise ValueError(f"this needs at least {least} modalities, not {len(widths)}")
    for name, width in widths.items():
        if width < 1:
            raise ValueError(f"modality {name!r} has width {width}, but it must be at least 1")
        check_count(f"width of modality {name!r}", width)
        if not name or "." in name or hasattr(nn.ModuleDict, name):
            raise ValueError(
                f"no modality can be called {name!r}: choose another word without dots"
            )
    return dict(widths)


def check_names(what: str, given: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Refuse names that the model was not made for.

    >>> check_names("features", {"sound": 1}, {"image": 1, "words": 1})
    Traceback (most recent call last):
    ValueError: features name the modality 'sound', but this model takes image and words
    """
    for name in given:
        if name not in known:
            takes = " and ".join(known)
            raise ValueError(f"{what} name the modality {name!r}, but this model takes {takes}")


def check_batch(features: Features, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The batch size; refuse features of other widths or of different batches.

    shapes: of one sample of each modality; 0 stands for any length.

    >>> check_batch({"a": torch.zeros(2, 3), "b": torch.zeros(4, 5)}, {"a": (3,), "b": (5,)})
    Traceback (most recent call last):
    ValueError: modality 'b' has a batch of 4, but modality 'a' has one of 2
    """
    if not features:
        raise ValueError(f"there are no features: at least one of {' and '.join(shapes)} is needed")
    first = next(iter(features))
    for name, feature in features.items():
        shape = shapes[name]
        if feature.dim() != 1 + len(shape):
            axes = "(batch, length, width)" if len(shape) > 1 else "(batch, width)"
            found = tuple(feature.shape)
            raise ValueError(f"modality {name!r} has shape {found}, but this model takes {axes}")
        if feature.shape[-1] != shape[-1]:
            width, wanted = feature.shape[-1], shape[-1]
            raise ValueError(f"modality {name!r} has width {width}, but this model takes {wanted}")
        if feature.shape[0] != features[first].shape[0]:
            sizes = (
                f"{feature.shape[0]}, but modality {first!r} has one of {features[first].shape[0]}"
            )
            raise ValueError(f"modality {name!r} has a batch of {sizes}")
    return features[first].shape[0]


def check_presence(name: str, mask: Tensor, given: Tensor) -> None:
    """Refuse a presence mask of another type or shape, and a presence without features.

    >>> check_presence("words", torch.ones(3).bool(), torch.ones(2).bool())
    Traceback (most recent call last):
    ValueError: the presence mask of 'words' has shape (3,), but the batch is 2, so it must be (2,)
    """
    if mask.dtype != torch.bool:
        raise ValueError(f"the presence mask of {name!r} is {mask.dtype}, not torch.bool")
    if mask.shape != given.shape:
        found, batch = tuple(mask.shape), given.shape[0]
        raise ValueError(
            f"the presence mask of {name!r} has shape {found}, but the batch is {batch}, "
            f"so it must be ({batch},)"
        )
    if numbers_are_known(mask) and bool((mask & ~given).any()):
        sample = int((mask & ~given).nonzero()[0])
        raise ValueError(f"modality {name!r} is present in sample {sample}, but has no features")


def check_any_present(there: Tensor, names: Mapping[str, object]) -> None:
    """Refuse a sample without any modality. there: bool (B, M).

    >>> check_any_present(torch.tensor([[True, False], [False, False]]), {"image": 1, "words": 1})
    Traceback (most recent call last):
    ValueError: sample 1 has no modality: at least one of image and words must be present
    """
    if numbers_are_known(there) and not bool(there.any(dim=1).all()):
        sample = int((~there.any(dim=1)).nonzero()[0])
        needed = " and ".join(names)
        raise ValueError(
            f"sample {sample} has no modality: at least one of {needed} must be present"
        )
