"""Small images varied for training, a whole batch at once, fixed by a generator.

Differs from the paper: nothing (there is none).
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from scratchmm.sentences import check_count

MOST = 4096  # pixels that an image is moved


def random_shift(images: Tensor, generator: Generator, most: int = 2) -> Tensor:
    """Move each image by up to `most` pixels either way; its edge is repeated where it left.

    (B, C, H, W) in and out.

    >>> random_shift(torch.ones(2, 1, 4, 3), Generator(), most=1).shape
    torch.Size([2, 1, 4, 3])
    """
    check_count("most", most, least=0, most=MOST)
    batch, _, height, width = images.shape
    padded = F.pad(images, (most, most, most, most), mode="replicate")
    down, across = torch.randint(0, 2 * most + 1, (2, batch, 1), generator=generator)
    rows = (down + torch.arange(height))[:, None, :, None]  # (B, 1, H, 1)
    columns = (across + torch.arange(width))[:, None, None, :]  # (B, 1, 1, W)
    which = torch.arange(batch)[:, None, None, None]  # (B, 1, 1, 1)
    channels = torch.arange(images.shape[1])[None, :, None, None]  # (1, C, 1, 1)
    return padded[which, channels, rows, columns]


def mirror(images: Tensor, generator: Generator) -> Tensor:
    """Mirror half of the images, left to right: (B, C, H, W) in and out.

    Not for digits or arrows, where left and right mean something.

    >>> mirror(torch.ones(2, 1, 4, 3), Generator()).shape
    torch.Size([2, 1, 4, 3])
    """
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def shift_and_flip(images: Tensor, generator: Generator) -> Tensor:
    """Move each image by up to two pixels and mirror half of them: (B, C, H, W) in and out.

    >>> shift_and_flip(torch.ones(2, 1, 4, 3), Generator()).shape
    torch.Size([2, 1, 4, 3])
    """
    return mirror(random_shift(images, generator), generator)


def mix_colors(images: Tensor, generator: Generator) -> Tensor:
    """Each image (B, 3, H, W) in colours of its own: every channel a random mean of all three.

    Who is to know shapes has to see them in any colour: else a heart is known by being red.

    >>> mix_colors(torch.ones(2, 3, 4, 4), Generator()).mean().item()
    1.0
    """
    shares = torch.rand(len(images), 3, 3, generator=generator)
    shares = shares / shares.sum(dim=2, keepdim=True)
    return torch.einsum("boi,bihw->bohw", shares, images)
