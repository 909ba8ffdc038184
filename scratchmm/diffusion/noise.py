"""The noise of samples, and the random generators it is drawn from.

Samplers take one generator for each sample, such as `seeded_each(seeds)`: then a sample's randomness
is its own, and its seed gives the same image alone and in any batch. With a single generator the
noise of all samples is drawn in one call, as by torch.randn. Without any it is torch's global
generator, as in torch's own functions.
Dimensions: B batch; `...` stands for the other axes of a sample.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Generators = torch.Generator | Sequence[torch.Generator] | None


def draw_noise(like: Tensor, generator: Generators = None) -> Tensor:
    """Normal noise as large as `like`, drawn on the CPU: one seed, one image, on any machine.

    generator: one for all of it, or one for each sample of like: (B, ...). Raises ValueError on
    another number of them.

    >>> draw_noise(torch.zeros(2, 3), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3])
    >>> one, two = draw_noise(torch.zeros(2, 3), seeded_each([7, 8]))
    >>> bool((draw_noise(torch.zeros(1, 3), seeded_each([8])) == two).all())
    True
    """
    if generator is None or isinstance(generator, torch.Generator):
        return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)
    check_each(generator, like.shape[0])
    drawn = [torch.randn(like.shape[1:], generator=own, dtype=like.dtype) for own in generator]
    return torch.stack(drawn).to(like.device) if drawn else torch.empty_like(like)


def seeded_each(seeds: Sequence[int]) -> list[torch.Generator]:
    """A generator for each seed.

    >>> [torch.rand(1, generator=own).item() > 0 for own in seeded_each([3, 4])]
    [True, True]
    """
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def check_each(generators: Sequence[torch.Generator], batch: int) -> None:
    """Refuse another number of generators than samples.

    >>> check_each([torch.Generator()], 2)
    Traceback (most recent call last):
    ValueError: there are 1 generators for 2 samples
    """
    if len(generators) != batch:
        raise ValueError(f"there are {len(generators)} generators for {batch} samples")
