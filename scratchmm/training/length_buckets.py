"""Batches of samples that are about equally long, so that little of a batch is padding.

Differs from the paper: nothing (there is none).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch

from scratchmm.sentences import check_count
from scratchmm.training.sampling import seeded

SPREAD = 0.2  # a sample may seem up to this share longer than it is


def length_buckets(
    lengths: Sequence[int], batch_size: int, seed: int = 0
) -> Callable[[int], torch.Tensor]:
    """A function from the step (0, 1, 2, ...) to the sample indices of its batch, alike in length.

    In each epoch the samples are sorted by length, cut into batches, and the batches shuffled. The
    length is multiplied by a random number from 1 to 1.2 first, so that no two epochs have the
    same batches. Every sample comes once an epoch; one batch of them is smaller if they do not
    divide.

    Returns a function step -> int64 (B,). Raises ValueError without samples or for a batch size
    below 1.

    >>> batch_at = length_buckets([10, 90, 11, 91], batch_size=2)
    >>> sorted(sorted(batch_at(step).tolist()) for step in (0, 1))
    [[0, 2], [1, 3]]
    """
    count = len(lengths)
    if count == 0:
        raise ValueError("there are 0 lengths, so no batch can be filled")
    check_count("batch size", batch_size)
    exact = torch.as_tensor(lengths, dtype=torch.float64)  # (N,)

    @lru_cache(maxsize=2)
    def batches(epoch: int) -> list[torch.Tensor]:
        generator = seeded(seed, epoch)
        seeming = exact * (1 + SPREAD * torch.rand(count, generator=generator))
        parts = seeming.argsort().split(batch_size)
        return [parts[i] for i in torch.randperm(len(parts), generator=generator).tolist()]

    per_epoch = -(-count // batch_size)

    def batch_at(step: int) -> torch.Tensor:
        epoch, place = divmod(step, per_epoch)
        return batches(epoch)[place].clone()

    return batch_at
