"""Exercises of lesson 07, fusion strategies.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/07_fusion_strategies.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from scratchmm.fusion.bilinear import _uniform
from scratchmm.fusion.bottleneck import Streams, mean_of_present
from scratchmm.fusion.late import check_votes
from scratchmm.fusion.modalities import (
    Cost,
    Features,
    Present,
    check_batch,
    check_names,
    check_widths,
    linear_cost,
    network,
    network_cost,
    presence_mask,
)
from scratchmm.fusion.modality_attention import block_cost
from scratchmm.layers.attention import padding_mask
from scratchmm.layers.tracing import numbers_are_known
from scratchmm.layers.transformer import Transformer, TransformerBlock
from scratchmm.sentences import check_count, check_number
from scratchmm.training.adaptive_loss import _distinct
from scratchmm.training.balanced import MOST_DRAWN
from scratchmm.training.modality_dropout import check_shares


# early.EarlyFusion: Side by side. 10 minutes, difficulty 1 of 5. In the lesson: "Early fusion".
# Given:
# - Cost(parameters: int, multiply_adds: int)
#     What a model costs.
# - check_widths(widths: Mapping[str, int], least: int=1) -> dict[str, int]
#     A copy of the widths; refuse too few modalities, empty widths, and names torch can't take.
# - network(inputs: int, hidden: int, outputs: int) -> nn.Sequential
#     A small network: Linear, GELU, Linear.
# - network_cost(inputs: int, hidden: int, outputs: int) -> Cost
#     Of a small network: two Linear layers.
class EarlyFusion(nn.Module):
    """One network over all features side by side: it may relate any number to any other.

    widths: of each modality; their order is the order in which they are joined. hidden: inside the
    network. With D the sum of the widths: parameters = (D + 1) hidden + (hidden + 1) K,
    multiply-adds = D hidden + hidden K. Both grow with the sum of the widths.

    >>> fusion = EarlyFusion({"image": 4, "words": 3}, outputs=2, hidden=5)
    >>> fusion({"words": torch.zeros(6, 3), "image": torch.zeros(6, 4)}).shape
    torch.Size([6, 2])
    >>> fusion.cost()
    Cost(parameters=52, multiply_adds=45)
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, hidden: int) -> None:
        raise NotImplementedError(
            "early.EarlyFusion: keep widths; sizes is (D, hidden, outputs), D their sum; network "
            "has those sizes"
        )

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        raise NotImplementedError(
            "early.EarlyFusion: all vectors side by side, in the order of widths, zeros where "
            "absent, through the network"
        )

    def cost(self) -> Cost:
        """By the formulas above."""
        return network_cost(*self.sizes)


# late.combine_decisions: The vote. 20 minutes, difficulty 3 of 5. In the lesson: "Late fusion".
# Comes after early.EarlyFusion.
# Given:
# - check_votes(logits: Tensor, present: Tensor) -> None
#     Refuse (ValueError) a presence that does not fit the logits.
# - numbers_are_known(x: Tensor) -> bool
#     Whether the values of x are available to Python, so that wrong ones can be refused.
def combine_decisions(logits: Tensor, present: Tensor, scores: Tensor | None = None) -> Tensor:
    """The logarithm of the weighted mean of the modalities' probabilities: (B, K).

    logits: (B, M, K); present: bool (B, M), at least one in each row, or it is refused (ValueError).
    scores: (M,), learned; the weights are their softmax over the modalities that are present. None:
    all weigh the same. The result is both log-probabilities and logits: cross_entropy takes it as it
    is. All is computed in logarithms, so that a probability of e^-200 is still there as -200.

    >>> logits = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]).log()
    >>> everyone = torch.tensor([[True, True]])
    >>> [round(p, 3) for p in combine_decisions(logits, everyone)[0].exp().tolist()]
    [0.7, 0.3]
    """
    raise NotImplementedError(
        "late.combine_decisions: log of the weighted mean of the probabilities of the modalities "
        "that are present"
    )


# gated.Gate: A gate between two sources. 15 minutes, difficulty 2 of 5. In the lesson: "Gated
# fusion". Comes after early.EarlyFusion.
class Gate(nn.Module):
    """For every feature: how much of the modality's own, how much of what it attended to.

    gate = sigmoid(Linear(own, attended)), of the width itself; 1 keeps its own.

    >>> gate = Gate(width=4)
    >>> mixed, opened = gate(torch.ones(2, 3, 4), torch.ones(2, 3, 4))
    >>> mixed.unique().tolist(), opened.shape
    ([1.0], torch.Size([2, 3, 4]))
    """

    def __init__(self, width: int) -> None:
        raise NotImplementedError(
            "gated.Gate: a Linear layer decide, from both sides joined to the width"
        )

    def forward(
        self, own: Tensor, attended: Tensor, answered: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """own, attended: (..., D). Returns the mixture and the gate, each (..., D).

        answered: bool (...); where False nothing was there to attend to, and the gate is 1.
        """
        raise NotImplementedError(
            "gated.Gate: the mixture and the gate; 1 keeps one's own, as where nothing was answered"
        )


# bilinear.BilinearFusion: Every number with every other. 20 minutes, difficulty 3 of 5. In the
# lesson: "Bilinear fusion". Comes after early.EarlyFusion. Without torch.nn.functional.bilinear,
# torch.bilinear, the library's bilinear.
# Given:
# - _uniform(outputs: int, left: int, right: int) -> Tensor
#     Initial weights, as nn.Bilinear draws them: within one over the root of the left width.
class BilinearFusion(nn.Module):
    """The sum of a bilinear form over every pair of modalities, and a bias. Two: nn.Bilinear.

    A pair with an absent modality adds nothing, so one modality alone leaves the bias.
    Over the pairs of widths (D, S): parameters = sum of D S K, plus K; multiply-adds = sum of
    (D + 1) S K. Both grow with the product of two widths, and with the square of the modalities.

    >>> fusion = BilinearFusion({"image": 4, "words": 3}, outputs=2)
    >>> fusion({"words": torch.zeros(6, 3), "image": torch.zeros(6, 4)}).shape
    torch.Size([6, 2])
    >>> fusion.cost()
    Cost(parameters=26, multiply_adds=30)
    """

    def __init__(self, widths: Mapping[str, int], outputs: int) -> None:
        super().__init__()
        self.widths = check_widths(widths, least=2)
        self.pairs = list(combinations(self.widths, 2))
        self.weights = nn.ParameterList(
            nn.Parameter(_uniform(outputs, widths[left], widths[right]))
            for left, right in self.pairs
        )
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        raise NotImplementedError(
            "bilinear.BilinearFusion: the bias, and for each pair (left, right) left^T W_k right "
            "for each output k"
        )

    def cost(self) -> Cost:
        """By the formulas above."""
        sizes = [(self.widths[left], self.widths[right]) for left, right in self.pairs]
        outputs = len(self.bias)
        parameters = sum(left * right for left, right in sizes) * outputs + outputs
        return Cost(parameters, sum((left + 1) * right for left, right in sizes) * outputs)


# tensor_fusion.append_one: A 1 behind. 5 minutes, difficulty 1 of 5. In the lesson: "Tensor
# fusion". Comes after early.EarlyFusion.
def append_one(x: Tensor) -> Tensor:
    """(B, D) with a 1 behind: (B, D + 1), in the dtype of x, on its device.

    >>> append_one(torch.tensor([[5.0, 7.0]])).tolist()
    [[5.0, 7.0, 1.0]]
    """
    raise NotImplementedError(
        "tensor_fusion.append_one: each vector with a 1 behind its last number: (B, D + 1)"
    )


# tensor_fusion.outer_product: Tensor fusion. 15 minutes, difficulty 2 of 5. In the lesson: "Tensor
# fusion". Comes after early.EarlyFusion.
def outer_product(vectors: Sequence[Tensor]) -> Tensor:
    """All products of one number from each vector: (B, P), the last vector's index fastest.

    vectors: a (B, D) each, their widths may differ; P is the product of the widths.

    >>> outer_product([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0, 1.0]])]).tolist()
    [[3.0, 5.0, 1.0, 6.0, 10.0, 2.0]]
    """
    raise NotImplementedError(
        "tensor_fusion.outer_product: every product of one number from each vector, the last "
        "vector's index fastest"
    )


# tensor_fusion.TensorFusion: What the appended 1 keeps. 15 minutes, difficulty 3 of 5. In the
# lesson: "Tensor fusion". Comes after tensor_fusion.append_one, tensor_fusion.outer_product.
class TensorFusion(nn.Module):
    """A Linear layer over the outer product of all modalities, each with a 1 appended.

    An absent modality is (0, ..., 0, 1): the interactions of the others without it stay.
    With P the product of (D + 1) over the modalities: parameters = P K, multiply-adds = P K, plus
    one for each product in the tensor (P, and what was there before each modality joined). They
    grow with the product of all widths: a thousandfold for each further modality of 1,000.

    >>> fusion = TensorFusion({"image": 4, "words": 3}, outputs=2)
    >>> fusion({"words": torch.zeros(6, 3), "image": torch.zeros(6, 4)}).shape
    torch.Size([6, 2])
    >>> fusion.cost()
    Cost(parameters=40, multiply_adds=60)
    """

    def __init__(self, widths: Mapping[str, int], outputs: int) -> None:
        raise NotImplementedError(
            "tensor_fusion.TensorFusion: keep widths; output is a Linear layer without bias, from "
            "as many products as there are, a 1 appended to each modality, to outputs"
        )

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        raise NotImplementedError(
            "tensor_fusion.TensorFusion: append a 1 to each vector, zeros where absent; "
            "outer_product; output"
        )

    def tensor(self) -> Tensor:
        """The weights as a tensor: (K, D + 1, S + 1, ...), an axis for each modality."""
        sizes = [width + 1 for width in self.widths.values()]
        return self.output.weight.unflatten(1, sizes)

    def cost(self) -> Cost:
        """By the formulas above."""
        grown = [width + 1 for width in self.widths.values()]
        products = sum(math.prod(grown[:count]) for count in range(2, len(grown) + 1))
        weights = self.output.weight.numel()
        return Cost(weights, weights + products)


# low_rank.LowRankFusion: A tensor that is never made. 25 minutes, difficulty 4 of 5. In the lesson:
# "Low-rank fusion". Comes after tensor_fusion.append_one.
class LowRankFusion(nn.Module):
    """Equals TensorFusion with the weights `tensor()`, at a cost that grows with the sum of widths.

    Over the M modalities: parameters = R K sum of (D + 1); multiply-adds = the same, plus
    (M - 1) R K for the products.

    >>> fusion = LowRankFusion({"image": 4, "words": 3}, outputs=2, rank=5)
    >>> fusion({"words": torch.zeros(6, 3), "image": torch.zeros(6, 4)}).shape
    torch.Size([6, 2])
    >>> fusion.tensor().shape, fusion.cost()
    (torch.Size([2, 5, 4]), Cost(parameters=90, multiply_adds=100))
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, rank: int) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        if rank < 1:
            raise ValueError(f"rank {rank} is not at least 1")
        # Around 1/sqrt(D + 1) each projection has variance 1, and so has their product; the sum of
        # R of them gets its share of the scale from the first factor.
        self.factors = nn.ParameterDict(
            {
                name: nn.Parameter(torch.randn(rank, outputs, width + 1) * (width + 1) ** -0.5)
                for name, width in widths.items()
            }
        )
        first = next(iter(self.widths))
        self.factors[first].data *= rank**-0.5

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        raise NotImplementedError(
            "low_rank.LowRankFusion: each vector with its 1 through its factors to (B, R, K); "
            "multiply the modalities, add the ranks"
        )

    def tensor(self) -> Tensor:
        """The weights of the TensorFusion that this equals: (K, D + 1, S + 1, ...)."""
        raise NotImplementedError(
            "low_rank.LowRankFusion: the weights (K, D + 1, S + 1, ...) that this equals: a sum "
            "over ranks of outer products"
        )

    def cost(self) -> Cost:
        """By the formulas above."""
        rank, outputs, _ = next(iter(self.factors.values())).shape
        parameters = rank * outputs * sum(width + 1 for width in self.widths.values())
        return Cost(parameters, parameters + (len(self.widths) - 1) * rank * outputs)


# bottleneck.BottleneckLayer: Through the bottleneck. 20 minutes, difficulty 3 of 5. In the lesson:
# "Bottleneck tokens". Comes after attention.padding_mask, transformer.TransformerBlock.
# Given:
# - TransformerBlock(width: int, heads: int, hidden: int, activation: Activation=F.gelu, epsilon:
#       float=1e-05)
#     Pre-norm block: x + attention(norm(x)), then x + feed_forward(norm(x)).
# - mean_of_present(tensors: list[Tensor], present: Tensor) -> Tensor
#     The mean over the modalities that a sample has: (B, N, D).
# - padding_mask(real: Tensor) -> Tensor
#     Mask out padding: real, bool (B, S), True on real tokens, becomes (B, 1, 1, S).
class BottleneckLayer(nn.Module):
    """Each stream's block sees its own tokens and the bottleneck's; the bottleneck's copies are
    then averaged (equations 8 and 9).

    >>> layer = BottleneckLayer(["image", "words"], width=6, heads=2, hidden=5)
    >>> streams = {"image": torch.zeros(1, 4, 6), "words": torch.zeros(1, 3, 6)}
    >>> real = {name: torch.ones(x.shape[:2]).bool() for name, x in streams.items()}
    >>> streams, shared = layer(streams, torch.zeros(1, 2, 6), real, torch.ones(1, 2).bool())
    >>> streams["words"].shape, shared.shape
    (torch.Size([1, 3, 6]), torch.Size([1, 2, 6]))
    """

    def __init__(self, names: list[str], width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(
            {name: TransformerBlock(width, heads, hidden) for name in names}
        )

    def forward(
        self, streams: Streams, shared: Tensor, real: Streams, present: Tensor
    ) -> tuple[Streams, Tensor]:
        """streams: a (B, L, D) for each name; shared: (B, N, D), the bottleneck.

        real: bool (B, L) for each stream, True on real tokens. present: bool (B, M), a column for
        each stream in their order. Returns the new streams and the new bottleneck.
        """
        raise NotImplementedError(
            "bottleneck.BottleneckLayer: each stream with the bottleneck through its block; a mean "
            "of the copies"
        )


# modality_attention.AttentionFusion: A token a modality. 20 minutes, difficulty 3 of 5. In the
# lesson: "Attention over modalities". Comes after attention.padding_mask.
# Given:
# - Transformer(blocks: Iterable[nn.Module])
#     Blocks one after the other.
# - block_cost(length: int, width: int, hidden: int) -> Cost
#     Of a TransformerBlock on so many tokens: four projections, attention, feed-forward, two norms.
# - check_count(name: str, value: object, *, least: int=1, most: int=MOST) -> None
#     Refuse what is no whole number from `least` to `most`; a bool is none, nor is 2.0
#     (ValueError).
# - linear_cost(inputs: int, outputs: int) -> Cost
#     Of a Linear layer with its bias.
class AttentionFusion(nn.Module):
    """A token a modality and an answer token, through transformer blocks; absent ones are masked.

    `watch_attention` gives the weights; the answer token is first. With d = width, h = hidden
    and L = M + 1 tokens: parameters = sum of (D + 1) d, plus d, plus depth times (4 (d + 1) d +
    (d + 1) h + (h + 1) d + 4 d), plus 2 d, plus (d + 1) K. multiply-adds = sum of D d, plus depth
    times L (4 d d + 2 d h + 2 L d), plus d K: linear in the widths, nearly so in the modalities.

    >>> fusion = AttentionFusion({"image": 4, "words": 3}, outputs=2, width=6, heads=2, hidden=5)
    >>> fusion({"words": torch.zeros(7, 3), "image": torch.zeros(7, 4)}).shape
    torch.Size([7, 2])
    >>> fusion.cost()
    Cost(parameters=349, multiply_adds=774)
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        outputs: int,
        width: int,
        heads: int,
        hidden: int,
        depth: int = 1,
    ) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        self.sizes = (width, hidden, depth, outputs)
        for name, value in zip(("width", "hidden", "depth", "outputs"), self.sizes, strict=True):
            check_count(name, value)
        self.tokens = nn.ModuleDict({name: nn.Linear(size, width) for name, size in widths.items()})
        self.answer = nn.Parameter(torch.randn(width) * width**-0.5)
        self.transformer = Transformer(TransformerBlock(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, outputs)

    def forward(self, features: Features, present: Present | None = None) -> Tensor:
        """features and present: as for `modalities.collect`. Returns (B, K)."""
        raise NotImplementedError(
            "modality_attention.AttentionFusion: the answer token, then a token a modality, "
            "through the transformer; the first through norm and output"
        )

    def cost(self) -> Cost:
        """By the formulas above."""
        width, hidden, depth, outputs = self.sizes
        tokens = [linear_cost(size, width) for size in self.widths.values()]
        learned = Cost(width + 2 * width, 0)  # the answer token and the last norm
        blocks = block_cost(1 + len(self.widths), width, hidden).times(depth)
        return learned.plus(blocks, linear_cost(width, outputs), *tokens)


# modalities.collect: Which modalities are present?. 15 minutes, difficulty 2 of 5. In the lesson:
# "Missing modalities".
# Given:
# - check_batch(features: Features, shapes: Mapping[str, tuple[int, ...]]) -> int
#     The batch size; refuse features of other widths or of different batches.
# - check_names(what: str, given: Mapping[str, object], known: Mapping[str, object]) -> None
#     Refuse names that the model was not made for.
# - presence_mask(features: Features, widths: Mapping[str, int], present: Present | None, batch:
#       int) -> Tensor
#     Which modality each sample has: bool (B, M), in the order of `widths`.
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
    raise NotImplementedError(
        "modalities.collect: vectors in the order of widths, zeros where absent; and which are "
        "present, bool (B, M)"
    )


# modality_dropout.modality_dropout: Now and then without. 25 minutes, difficulty 3 of 5. In the
# lesson: "Missing modalities". Comes after modalities.collect.
# Given:
# - check_shares(present: Mapping[str, Tensor], shares: Mapping[str, float]) -> None
#     Refuse chances outside 0 to 1, of names that are none, and batches that differ.
def modality_dropout(
    present: Mapping[str, Tensor],
    share: float | Mapping[str, float],
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """What is left: bool (B,) by name, from what was there, bool (B,) by name.

    share: the chance from 0 to 1 that a modality is hidden, one for all or one by name (a name left
    out is never hidden). Of M modalities hidden with chance p, each is in the end missing in
    p - p^M / M of the samples, since one always stays. Hand the result to a model as its `present`.
    With a step's own generator the batch stays a pure function of the step.

    Raises ValueError on shares outside 0 to 1, on names that are none, and on different batch sizes.

    >>> both = everything(["image", "words"], batch=1000)
    >>> left = modality_dropout(both, 0.5, torch.Generator().manual_seed(0))
    >>> bool((left["image"] | left["words"]).all()), bool(left["image"].all())
    (True, False)
    """
    raise NotImplementedError(
        "modality_dropout.modality_dropout: hide each modality of each sample by chance; a sample "
        "that would lose all keeps one"
    )


# balanced.balanced_order: Every label as often as any other. 25 minutes, difficulty 3 of 5. In the
# lesson: "Balanced batches".
def balanced_order(labels: Sequence[Hashable], count: int, generator: torch.Generator) -> Tensor:
    """Indices int64 (count,) of samples, every label as often as any other (one more or less).

    Each run of as many samples as there are labels has every label once, so batches are even too.
    Within a label no sample comes twice before all have come once, each time in a new order.
    Raises ValueError without labels, and for a count below 1.

    >>> labels = ["yes", "yes", "yes", "no"]
    >>> order = balanced_order(labels, 6, torch.Generator().manual_seed(0))
    >>> sorted(order.tolist())
    [0, 1, 2, 3, 3, 3]
    """
    raise NotImplementedError(
        "balanced.balanced_order: indices in runs of one sample of each label, shuffled; no sample "
        "twice before its turn"
    )


# adaptive_loss.ratio_weights: The loss that fell least counts more. 10 minutes, difficulty 2 of 5.
# In the lesson: "Several losses".
# Given:
# - check_number(name: str, value: object, *, above: float=-math.inf, least: float=-math.inf, most:
#       float=math.inf) -> None
#     Refuse what is no finite number above `above`, from `least` to `most` (ValueError).
def ratio_weights(last: Tensor, before: Tensor, temperature: float = 2.0) -> Tensor:
    """Weights (K,) with the sum K from the losses of the last period and the one before, each (K,).

    weight_k = K * softmax over k of (last_k / before_k) / temperature. A loss of which half is left
    counts less than one that stayed; one that was 0 counts as if it had stayed. The higher the
    temperature, the more even the weights; one of 0 or less is a ValueError.

    >>> weights = ratio_weights(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.0]), temperature=0.5)
    >>> [round(weight, 3) for weight in weights.tolist()]
    [0.538, 1.462]
    """
    raise NotImplementedError(
        "adaptive_loss.ratio_weights: K times the softmax of (last / before) / temperature; a loss "
        "that was 0 has the ratio 1"
    )


# adaptive_loss.UncertaintyWeights: What is noisy counts less. 15 minutes, difficulty 3 of 5. In the
# lesson: "Several losses". Comes after adaptive_loss.ratio_weights.
# Given:
# - _distinct(names: Sequence[str]) -> list[str]
class UncertaintyWeights(nn.Module):
    """Weigh losses by learned noise: forward(losses by name) -> scalar.

    With s = log of the noise's variance, a loss L adds exp(-s) * L + s / 2; a mean squared error
    (named in `squared`) adds exp(-s) / 2 * L + s / 2. For a loss that stays, the best variance is
    2 L, or L. Make it a part of the model, so that the optimizer learns `log_variances` (K,) too.

    >>> weigh = UncertaintyWeights(["match", "answer"])
    >>> weigh({"match": torch.tensor(1.0), "answer": torch.tensor(2.0)}).item()
    3.0
    """

    factors: Tensor

    def __init__(self, names: Sequence[str], squared: Collection[str] = ()) -> None:
        super().__init__()
        self.names = _distinct(names)
        for name in squared:
            if name not in self.names:
                raise ValueError(f"loss {name!r} is none of {', '.join(self.names)}")
        self.log_variances = nn.Parameter(torch.zeros(len(self.names)))
        factors = [0.5 if name in squared else 1.0 for name in self.names]
        self.register_buffer("factors", torch.tensor(factors), persistent=False)

    @property
    def weights(self) -> Tensor:
        """The factors (K,) that the losses have now, in the order of `names`."""
        raise NotImplementedError(
            "adaptive_loss.UncertaintyWeights: exp(-s), times the factor of each loss (1, or a "
            "half for squared ones)"
        )

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Scalar losses by name to their sum with the price of noise, a scalar; see above."""
        raise NotImplementedError(
            "adaptive_loss.UncertaintyWeights: the weighted losses, picked by name, plus s / 2 for "
            "each, added up"
        )
