"""Which samples stand in which batch: a pure function of the step, so a resumed run sees the same.

Differs from the paper: nothing (there is none).
"""

from collections.abc import Callable
from functools import lru_cache

import torch

from scratchmm.sentences import check_count

MOST_SAMPLES = 2**28
MOST_SEED = 2**43  # times 1,000,003 it is still one of torch's seeds


def seeded(seed: int, step: int) -> torch.Generator:
    """A generator that the seed and the step (or epoch) alone decide.

    The seed is multiplied, not added: seed 1 at step 0 must not repeat seed 0 at step 1. Steps below
    0 are for what no training step draws, such as the changes of held-out samples.

    >>> torch.rand(2, generator=seeded(0, 1)).equal(torch.rand(2, generator=seeded(1, 0)))
    False
    """
    check_count("seed", seed, least=0, most=MOST_SEED)
    check_count("step", step, least=-MOST_SEED, most=MOST_SEED)
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def shuffled_batches(count: int, batch_size: int, seed: int = 0) -> Callable[[int], torch.Tensor]:
    """A function from the step (0, 1, 2, ...) to the sample indices of its batch.

    Every epoch is a new permutation of `range(count)`, cut into whole batches; the few samples
    left over sit that epoch out. No sample stands twice in a batch: for the contrastive loss a
    twin would be a wrong negative.

    Returns a function step -> int64 (B,). Raises ValueError if a batch can't be filled.

    >>> batch_at = shuffled_batches(count=6, batch_size=3, seed=0)
    >>> sorted(torch.cat([batch_at(0), batch_at(1)]).tolist())
    [0, 1, 2, 3, 4, 5]
    >>> bool((batch_at(7) == batch_at(7)).all())
    True
    """
    check_count("count", count, most=MOST_SAMPLES)
    check_count("batch size", batch_size)
    if batch_size > count:
        raise ValueError(f"batch size {batch_size} is larger than the {count} samples there are")
    per_epoch = count // batch_size

    @lru_cache(maxsize=2)  # drawing 60,000 numbers at every step would cost more than the batch
    def permutation(epoch: int) -> torch.Tensor:
        # a product, not a sum: seed 1 in epoch 0 must not repeat seed 0 in epoch 1
        generator = seeded(seed, epoch)
        return torch.randperm(count, generator=generator)

    def batch_at(step: int) -> torch.Tensor:
        epoch, place = divmod(step, per_epoch)
        return permutation(epoch)[place * batch_size : (place + 1) * batch_size].clone()

    return batch_at
