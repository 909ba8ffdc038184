"""Data augmentation for sounds: noise, time shifts, masked spectrograms; a whole batch at once.

Papers: SpecAugment (Park et al. 2019, arXiv 1904.08779), section 2, for spec_augment; noise is
mixed in as by Salamon and Bello (2016, arXiv 1608.04363), measured in decibels.
Dimensions: B batch, S samples of a sound, M mel bands, F frames, N holes (the paper's masks), L length.
Differs from the paper: no time warp, which was found to help least for its price (section 5); a
hole is at most a share of each sound's own frames, and not a number of frames with a share as its
bound, so that in a padded batch a short sound keeps as much of itself as a long one.
"""

import math

import torch
from torch import Generator, Tensor

MOST_HOLES = 1000  # in each direction


def add_noise(
    sounds: Tensor,
    generator: Generator,
    real: Tensor | None = None,
    low: float = 5.0,
    high: float = 30.0,
) -> Tensor:
    """Add white noise to each sound, at a signal-to-noise ratio from `low` to `high` decibels.

    sounds: float (B, S); real: bool (B, S), True on samples, padding behind them. Returns (B, S).
    Samples may exceed 1: nothing is clipped. Silence and padding stay as they are.

    >>> add_noise(torch.ones(2, 3), Generator(), low=200, high=300)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"noise from {low} to {high} decibels: the first must not be above")
    noise = torch.randn(sounds.shape, generator=generator, device=generator.device)  # (B, S)
    shares = torch.rand(len(sounds), generator=generator, device=generator.device)  # (B,)
    decibels = (low + (high - low) * shares).to(sounds)  # (B,)
    return mix_noise(sounds, noise.to(sounds), decibels, real)  # (B, S)


def mix_noise(
    sounds: Tensor, noise: Tensor, decibels: Tensor, real: Tensor | None = None
) -> Tensor:
    """Add noise at a signal-to-noise ratio of `decibels`: 10 log10(sound / noise), in power.

    The power of either is its mean square over the real samples: padding would count as silence.
    The padding stays as it is, silence stays silent, and noise of zeros adds nothing.

    sounds, noise: float (B, S); decibels: (B,); real: bool (B, S), or all are. Returns (B, S).

    >>> mix_noise(torch.tensor([[0.5, -0.5]]), torch.tensor([[3.0, 3.0]]), torch.tensor([20.0]))
    tensor([[ 0.5500, -0.4500]])
    """
    real = check_real(sounds, real)
    sound_power, noise_power = mean_square(sounds, real), mean_square(noise, real)  # each (B,)
    wanted = sound_power / 10 ** (decibels / 10)  # (B,)
    audible = noise_power > 0
    gain = torch.where(audible, wanted / noise_power.where(audible, 1.0), 0.0).sqrt()  # (B,)
    return sounds + gain[:, None] * noise.masked_fill(~real, 0.0)  # (B, S)


def mean_square(sounds: Tensor, real: Tensor) -> Tensor:
    """The power of each sound over its real samples, 0 where there is none.

    sounds: float (B, S); real: bool (B, S). Returns (B,).

    >>> mean_square(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]]))
    tensor([5.])
    """
    return sounds.masked_fill(~real, 0.0).square().sum(dim=1) / real.sum(dim=1).clamp(min=1)


def shift(
    sounds: Tensor, generator: Generator, real: Tensor | None = None, share: float = 0.1
) -> Tensor:
    """Shift each sound in time by up to a share of its own length, all distances equally likely.

    sounds: float (B, S); real: bool (B, S). Returns (B, S): a sound keeps its length, silence comes
    in at one end, and what leaves at the other is lost.

    >>> shift(torch.ones(2, 3), Generator(), share=0.0)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    check_share(share)
    real = check_real(sounds, real)
    most = (real.sum(dim=1) * share).long()  # (B,)
    shares = torch.rand(len(sounds), generator=generator, device=generator.device)  # (B,)
    by = whole(shares.to(sounds.device), 2 * most) - most  # (B,)
    return move(sounds, by, real)  # (B, S)


def move(sounds: Tensor, by: Tensor, real: Tensor | None = None) -> Tensor:
    """Shift each sound `by` samples later, or earlier if that is negative; silence comes in.

    sounds: float (B, S); by: int64 (B,); real: bool (B, S). Returns (B, S).

    >>> move(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), torch.tensor([1, -2]))
    tensor([[0., 1., 2.],
            [6., 0., 0.]])
    """
    real = check_real(sounds, real)
    source = torch.arange(sounds.shape[1], device=sounds.device) - by[:, None]  # (B, S)
    inside = (source >= 0) & (source < real.sum(dim=1, keepdim=True)) & real  # (B, S)
    moved = sounds.gather(1, source.clamp(0, max(sounds.shape[1] - 1, 0)))  # (B, S)
    return moved.masked_fill(~inside, 0.0)  # (B, S)


def spec_augment(
    log_mel: Tensor,
    generator: Generator,
    real: Tensor | None = None,
    bands: float = 0.3,
    frames: float = 0.2,
    count: int = 2,
) -> Tensor:
    """Masks parts of each spectrogram (SpecAugment): `count` holes over bands, `count` over frames.

    A hole is 0 to a share of all bands, or of the sound's real frames, wide; each width is equally
    likely, and so is each position. It is filled with the mean of the sound's real cells, which
    carries no information. Holes may overlap.

    log_mel: float (B, M, F); real: bool (B, F), True on frames, padding behind them. Returns
    (B, M, F); the padding stays as it is.

    >>> log_mel = torch.arange(12.0).reshape(1, 3, 4)
    >>> spec_augment(log_mel, Generator(), bands=0.0, frames=0.0).equal(log_mel)
    True
    """
    for share in (bands, frames):
        check_share(share)
    if not 0 <= count <= MOST_HOLES:
        raise ValueError(f"{count} holes cannot be made: it is a number from 0 to {MOST_HOLES}")
    batch, mels, _ = log_mel.shape
    real = check_real(log_mel[:, 0], real)
    shares = torch.rand(2, batch, count, 2, generator=generator, device=generator.device)
    low, long = shares.to(log_mel.device)  # each (B, N, 2)
    heights = torch.full((batch,), mels, device=log_mel.device)  # (B,)
    lengths = real.sum(dim=1)  # (B,)
    holes = spans(low, heights, bands, mels)[:, :, None]  # (B, M, 1)
    holes = holes | spans(long, lengths, frames, real.shape[1])[:, None]  # (B, M, F)
    there = real[:, None].expand_as(log_mel)  # (B, M, F)
    cells = (lengths * mels).clamp(min=1)  # (B,)
    mean = log_mel.masked_fill(~there, 0.0).sum(dim=(1, 2)) / cells  # (B,)
    return torch.where(holes & there, mean[:, None, None], log_mel)  # (B, M, F)


def spans(shares: Tensor, lengths: Tensor, most: float, size: int) -> Tensor:
    """Where N random stretches lie in each row: True inside one of them.

    Of a row with length L, a stretch is w = 0, 1, ... up to most * L wide, each equally likely, and
    begins at 0, 1, ... up to L - w, each equally likely. The random numbers are an argument:
    shares[b, n] are two numbers from 0 up to 1, for the width and for the beginning, the lowest for
    the narrowest and the earliest.

    shares: float (B, N, 2); lengths: int64 (B,). Returns bool (B, size).

    >>> spans(torch.tensor([[[0.5, 0.99]]]), torch.tensor([6]), most=0.5, size=8).int()
    tensor([[0, 0, 0, 0, 1, 1, 0, 0]], dtype=torch.int32)
    """
    lengths = lengths[:, None]  # (B, 1)
    width = whole(shares[..., 0], (lengths * most).long())  # (B, N)
    start = whole(shares[..., 1], lengths - width)[..., None]  # (B, N, 1)
    place = torch.arange(size, device=shares.device)
    inside = (place >= start) & (place < start + width[..., None])
    return inside.any(dim=1)


def whole(shares: Tensor, most: Tensor) -> Tensor:
    """Numbers from 0 up to 1 as whole numbers 0, 1, ... most, all equally likely. int64.

    >>> whole(torch.tensor([0.0, 0.3, 0.7, 0.99]), torch.tensor(2))
    tensor([0, 0, 2, 2])
    """
    return (shares * (most + 1)).long().minimum(most)  # 1 itself is the last too


def check_share(share: float) -> None:
    """Refuse a share that is not from 0 to 1."""
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies from 0 to 1, not at {share}")


def check_real(sounds: Tensor, real: Tensor | None) -> Tensor:
    """The mask of a batch (B, S), all True if there is none; refuses one that does not fit."""
    if real is None:
        return torch.ones_like(sounds, dtype=torch.bool)
    if real.dtype != torch.bool or real.shape != sounds.shape:
        given = f"{real.dtype} {tuple(real.shape)}"
        raise ValueError(f"the mask is {given}, this batch needs bool {tuple(sounds.shape)}")
    return real
