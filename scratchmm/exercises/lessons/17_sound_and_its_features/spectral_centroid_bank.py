"""Wrong and other right answers to features.spectral_centroid."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("17_sound_and_its_features/spectral_centroid").exercise


def hertz_of(magnitude, rate):
    count = magnitude.shape[-2]
    steps = torch.arange(count, dtype=torch.float64) * rate / (2 * (count - 1))
    return steps.to(magnitude.dtype)[:, None]


def safe(total):
    return torch.where(total > 0, total, 1)


def weighted(hertz, magnitude):
    """The mean of hertz, weighted, which all answers here that only differ before it share."""
    return (hertz * magnitude).sum(-2) / safe(magnitude.sum(-2))


@exercise.wrong(
    "up-to-the-rate",
    story="the frequencies go up to the rate, twice as far as they do",
    advice="the last of the Q frequencies is half the rate",
)
def up_to_the_rate(magnitude, rate):
    return weighted(2 * hertz_of(magnitude, rate), magnitude)


@exercise.wrong(
    "one-step-too-many",
    story="half the rate is cut into Q steps, so that the last frequency lies below it",
    advice="from 0 to half the rate, both included, there are Q - 1 steps",
)
def one_step_too_many(magnitude, rate):
    count = magnitude.shape[-2]
    return weighted(hertz_of(magnitude, rate) * (count - 1) / count, magnitude)


@exercise.wrong(
    "size-is-the-count",
    story="number q is put at q * rate / Q, as if Q were the size of the frames",
    advice="the size is 2 * (Q - 1): frames of 8 samples have 5 frequencies",
)
def size_is_the_count(magnitude, rate):
    count = magnitude.shape[-2]
    return weighted(2 * hertz_of(magnitude, rate) * (count - 1) / count, magnitude)


@exercise.wrong(
    "from-one",
    story="the frequencies are counted from 1: there is no 0 Hz",
    advice="the first of the Q frequencies is 0 Hz",
)
def from_one(magnitude, rate):
    return weighted(hertz_of(magnitude, rate) + rate / (2 * magnitude.shape[-2] - 2), magnitude)


@exercise.wrong(
    "numbers-not-hertz",
    story="the centre is the number of a frequency, not its hertz",
    advice="number q lies at q * rate / (2 * (Q - 1)) Hz",
)
def numbers_not_hertz(magnitude, rate):
    return weighted(hertz_of(magnitude, 2 * (magnitude.shape[-2] - 1)), magnitude)


@exercise.wrong(
    "share-of-the-rate",
    story="the centre is a share of the rate, not hertz",
    advice="multiply by the rate",
)
def share_of_the_rate(magnitude, rate):
    return weighted(hertz_of(magnitude, 1), magnitude)


@exercise.wrong(
    "by-power",
    story="the weights are the squares of the magnitudes",
    advice="weigh by the magnitude itself",
    convention=True,
)
def by_power(magnitude, rate):
    moment = (hertz_of(magnitude, rate) * magnitude.square()).sum(-2)
    return moment / safe(magnitude.square().sum(-2))


@exercise.wrong(
    "not-divided",
    story="the weighted frequencies are added, but not divided by the sum of the weights",
    advice="a mean: divide by the sum of the magnitudes",
)
def not_divided(magnitude, rate):
    return (hertz_of(magnitude, rate) * magnitude).sum(-2)


@exercise.wrong(
    "divided-by-the-count",
    story="the sum is divided by the number of frequencies, not by the sum of the weights",
    advice="divide by magnitude.sum(-2)",
)
def divided_by_the_count(magnitude, rate):
    return (hertz_of(magnitude, rate) * magnitude).mean(-2)


@exercise.wrong(
    "divided-by-the-largest",
    story="the sum is divided by the largest magnitude of the frame",
    advice="divide by the sum of the magnitudes",
)
def divided_by_the_largest(magnitude, rate):
    return (hertz_of(magnitude, rate) * magnitude).sum(-2) / safe(magnitude.amax(-2))


@exercise.wrong(
    "one-sum-for-all",
    story="every frame is divided by the sum of the whole spectrogram",
    advice="each frame has its own sum, (..., F)",
)
def one_sum_for_all(magnitude, rate):
    total = magnitude.sum((-2, -1))[..., None]
    return (hertz_of(magnitude, rate) * magnitude).sum(-2) / safe(total)


@exercise.wrong(
    "loudest",
    story="it is the frequency of the largest magnitude",
    advice="all frequencies count, each by its magnitude",
)
def loudest(magnitude, rate):
    return hertz_of(magnitude, rate)[magnitude.argmax(-2), 0] * (magnitude.sum(-2) > 0)


@exercise.wrong(
    "half-way",
    story="it is the frequency below which half of the magnitude lies: a median, not a mean",
    advice="a weighted mean",
)
def half_way(magnitude, rate):
    sums = magnitude.cumsum(-2)
    return hertz_of(magnitude, rate)[(sums < 0.5 * sums[..., -1:, :]).sum(-2), 0]


@exercise.wrong(
    "mean-over-frames",
    story="the frames are averaged: one number for each sound",
    advice="keep the axis of the frames: (..., F)",
)
def mean_over_frames(magnitude, rate):
    return weighted(hertz_of(magnitude, rate), magnitude).mean(-1)


@exercise.wrong(
    "along-time",
    story="the sum runs over the frames: one number for each frequency",
    advice="frequencies are the axis before the last: dim=-2",
)
def along_time(magnitude, rate):
    turned = magnitude.transpose(-1, -2)
    return weighted(hertz_of(turned, rate), turned)


@exercise.wrong(
    "nan-of-silence",
    story="a silent frame is divided by its sum, 0",
    advice="put 1 for the sum where it is 0",
)
def nan_of_silence(magnitude, rate):
    return (hertz_of(magnitude, rate) * magnitude).sum(-2) / magnitude.sum(-2)


@exercise.wrong(
    "mended-after",
    story="nan is replaced after the division: the result is right, but its gradient is nan",
    advice="put 1 for the sum before the division, where it is 0",
)
def mended_after(magnitude, rate):
    found = nan_of_silence(magnitude, rate)
    return torch.where(found.isnan(), 0, found)


@exercise.wrong(
    "a-little-more",
    story="a small number is added to the sum, and draws quiet frames towards 0 Hz",
    advice="only a sum that is 0 needs another divisor",
)
def a_little_more(magnitude, rate):
    return (hertz_of(magnitude, rate) * magnitude).sum(-2) / (magnitude.sum(-2) + 1e-8)


@exercise.wrong(
    "single-precision",
    story="the answer is float32 whatever came in",
    advice="bring the frequencies to the dtype of the spectrum",
)
def single_precision(magnitude, rate):
    return weighted(hertz_of(magnitude.float(), rate), magnitude.float())


@exercise.wrong(
    "written-over",
    story="the spectrum that was given is divided in place",
    advice="magnitude / total makes a new tensor, magnitude /= total does not",
)
def written_over(magnitude, rate):
    if magnitude.requires_grad:
        return weighted(hertz_of(magnitude, rate), magnitude)
    magnitude /= safe(magnitude.sum(-2, keepdim=True))
    return (hertz_of(magnitude, rate) * magnitude).sum(-2)


@exercise.wrong(
    "detached",
    story="the centre is cut off from the spectrum",
    advice="no detach(), item(), numpy() or no_grad()",
)
def detached(magnitude, rate):
    return weighted(hertz_of(magnitude, rate), magnitude).detach()


@exercise.wrong(
    "weights-detached",
    story="the sum of the weights is cut off, so that the gradient forgets the division",
    advice="no detach() on the divisor: it depends on the magnitudes too",
)
def weights_detached(magnitude, rate):
    return (hertz_of(magnitude, rate) * magnitude).sum(-2) / safe(magnitude.sum(-2)).detach()


@exercise.wrong(
    "batches-only",
    story="the frequencies are taken to be axis 1, which only a batch (B, Q, F) has there",
    advice="count the axes from the end: dim=-2",
)
def batches_only(magnitude, rate):
    return (hertz_of(magnitude, rate) * magnitude).sum(1) / safe(magnitude.sum(1))


@exercise.right("shares first")
def shares_first(magnitude, rate):
    shares = magnitude / safe(magnitude.sum(-2, keepdim=True))
    return torch.einsum("...qf,q->...f", shares, hertz_of(magnitude, rate)[:, 0])


@exercise.right("frequencies by linspace")
def by_linspace(magnitude, rate):
    hertz = torch.linspace(0, rate / 2, magnitude.shape[-2], dtype=magnitude.dtype)
    total = magnitude.sum(-2)
    silent = total == 0
    return (magnitude.transpose(-1, -2) @ hertz) / total.masked_fill(silent, 1)


@exercise.disguise("up-to-the-rate")
def up_to_the_rate_too(magnitude, rate):
    hertz = torch.linspace(0, rate, magnitude.shape[-2], dtype=magnitude.dtype)
    total = magnitude.sum(-2)
    return (magnitude.transpose(-1, -2) @ hertz) / total.masked_fill(total == 0, 1)


@exercise.disguise("by-power")
def by_power_too(magnitude, rate):
    return shares_first(magnitude**2, rate)


@exercise.disguise("nan-of-silence")
def nan_of_silence_too(magnitude, rate):
    shares = magnitude / magnitude.sum(-2, keepdim=True)
    return (shares * hertz_of(magnitude, rate)).sum(-2)
