"""Balanced sampling: rare answers and rare combinations of modalities are met as often as others.

A model that sees "yes" nine times out of ten learns to say yes; one that seldom gets a sample
without its image never learns to do without. What is evened out is any label: an answer, a kind
of question, the pattern of modalities that are present, or several of them at once in a tuple.

Differs from the paper: nothing (there is none).
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import Sampler

from scratchmm.sentences import check_count
from scratchmm.training.sampling import seeded

MOST_DRAWN = 2**28  # samples at once


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
    if not labels:
        raise ValueError(f"{count} samples cannot be drawn from 0 labels")
    check_count("count", count, most=MOST_DRAWN)
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    rounds = -(-count // len(members))  # rounded up
    columns = []
    for indices in members.values():
        again = -(-rounds // len(indices))
        turns = [torch.randperm(len(indices), generator=generator) for _ in range(again)]
        columns.append(torch.tensor(indices)[torch.cat(turns)[:rounds]])
    table = torch.stack(columns, dim=1)  # a row for each round, a column for each label
    mixed = torch.rand(table.shape, generator=generator).argsort(dim=1)
    return table.gather(1, mixed).flatten()[:count]


def balanced_batches(
    labels: Sequence[Hashable], batch_size: int, seed: int = 0
) -> Callable[[int], Tensor]:
    """A function from the step (0, 1, 2, ...) to the indices (B,) of its batch, for `training.fit`.

    A pure function of the step. As many samples as there are labels make an epoch; a sample with a
    rare label may come twice in a batch.

    >>> batch_at = balanced_batches(["yes"] * 90 + ["no"] * 10, batch_size=20)
    >>> int((batch_at(7) >= 90).sum())
    10
    """
    check_count("batch size", batch_size, most=len(labels))
    per_epoch = len(labels) // batch_size

    @lru_cache(maxsize=2)
    def order(epoch: int) -> Tensor:
        generator = seeded(seed, epoch)
        return balanced_order(labels, per_epoch * batch_size, generator)

    def batch_at(step: int) -> Tensor:
        epoch, place = divmod(step, per_epoch)
        return order(epoch)[place * batch_size : (place + 1) * batch_size].clone()

    return batch_at


class BalancedSampler(Sampler[int]):
    """The same for torch's DataLoader: `DataLoader(data, batch_size, sampler=BalancedSampler(...))`.

    Draws `count` samples an epoch, as many as there are labels by default. Every pass is another
    order; set_epoch says which, and the next pass goes on from there.

    >>> sampler = BalancedSampler(["yes", "yes", "yes", "no"])
    >>> len(sampler), list(sampler).count(3)
    (4, 2)
    """

    def __init__(self, labels: Sequence[Hashable], count: int | None = None, seed: int = 0) -> None:
        self.labels = list(labels)
        self.count = len(self.labels) if count is None else count
        self.seed = seed
        self.epoch = 0
        if not self.labels:
            raise ValueError(f"{self.count} samples cannot be drawn from 0 labels")
        check_count("count", self.count, most=MOST_DRAWN)

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass that of this epoch, after a resume for instance."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = seeded(self.seed, self.epoch)
        self.epoch += 1
        return iter(balanced_order(self.labels, self.count, generator).tolist())

    def __len__(self) -> int:
        return self.count


def balanced_weights(*levels: Sequence[Hashable]) -> Tensor:
    """Chances float64 (N,), summing to 1, that even out nested labels: kinds, then answers in kinds.

    Every label of the first level gets the same sum of chances, every label of the second the same
    part of its label of the first, and so on. For torch.utils.data.WeightedRandomSampler.

    >>> balanced_weights(["count", "count", "count", "exist"], ["1", "1", "2", "no"]).tolist()
    [0.125, 0.125, 0.25, 0.5]
    """
    lengths = [len(level) for level in levels]
    if not lengths or min(lengths) < 1 or len(set(lengths)) > 1:
        raise ValueError(f"levels of lengths {lengths} do not belong to the same samples")
    weights = torch.ones(lengths[0], dtype=torch.float64)
    above: list[tuple[Hashable, ...]] = [()] * lengths[0]
    for level in levels:
        below = [(*path, label) for path, label in zip(above, level)]
        parts = Counter(path[:-1] for path in set(below))  # how many labels share a label above
        weights /= torch.tensor([parts[path] for path in above])
        above = below
    twins = Counter(above)
    return weights / torch.tensor([twins[path] for path in above])


def patterns(present: Mapping[str, Tensor]) -> list[tuple[str, ...]]:
    """Which modalities each sample has, as labels to balance: from bool tensors (N,) by name.

    >>> patterns({"image": torch.tensor([True, False]), "words": torch.tensor([True, True])})
    [('image', 'words'), ('words',)]
    """
    lengths = {name: len(flags) for name, flags in present.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the modalities have different numbers of samples: {lengths}")
    rows = zip(*(flags.tolist() for flags in present.values()))
    return [tuple(name for name, here in zip(present, row) if here) for row in rows]
