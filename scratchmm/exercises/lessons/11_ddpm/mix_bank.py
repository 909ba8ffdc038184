"""Wrong and other right answers to process.mix."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/mix").exercise


def fit(values, x0):
    """(B,) to (B, 1, ..., 1) in x0's dtype."""
    return values.to(x0.dtype).reshape(len(values), *[1] * (x0.ndim - 1))


def mixed(x0, noise, signal_rate, noise_rate):
    """signal_rate * x0 + noise_rate * noise, both factors (B,)."""
    return fit(signal_rate, x0) * x0 + fit(noise_rate, x0) * noise


@exercise.wrong(
    "any-number-of-levels",
    story="it does not refuse another number of alpha_bars than samples: one serves them all",
    advice="raise a ValueError unless alpha_bar is (B,): per_sample does",
)
def any_number_of_levels(x0, noise, alpha_bar):
    return mixed(x0, noise, alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


@exercise.refusing
def refuse(x0, noise, alpha_bar):
    if alpha_bar.shape != x0.shape[:1]:
        raise ValueError(f"{len(alpha_bar)} levels of {len(x0)} samples")


@exercise.wrong(
    "roots-forgotten",
    story="x0 is multiplied by a and the noise by 1 - a, without the roots",
    advice="a is a share of variance; a factor on the values is its root",
)
def roots_forgotten(x0, noise, alpha_bar):
    return mixed(x0, noise, alpha_bar, 1 - alpha_bar)


@exercise.wrong(
    "no-root-of-noise",
    story="the noise is multiplied by 1 - a, without the root",
    advice="(1 - a).sqrt() for the noise too, or the variance does not stay one",
)
def no_root_of_noise(x0, noise, alpha_bar):
    return mixed(x0, noise, alpha_bar.sqrt(), 1 - alpha_bar)


@exercise.wrong(
    "no-root-of-x0",
    story="x0 is multiplied by a, without the root",
    advice="a.sqrt() for x0 too, or the variance does not stay one",
)
def no_root_of_x0(x0, noise, alpha_bar):
    return mixed(x0, noise, alpha_bar, (1 - alpha_bar).sqrt())


@exercise.wrong(
    "one-minus-the-root",
    story="the noise is multiplied by 1 - sqrt(a): the factors add up to one, not their squares",
    advice="first 1 - a, then the root",
)
def one_minus_the_root(x0, noise, alpha_bar):
    return mixed(x0, noise, alpha_bar.sqrt(), 1 - alpha_bar.sqrt())


@exercise.wrong(
    "exchanged",
    story="the factors are exchanged: alpha_bar is taken for the share of noise",
    advice="alpha_bar is what is left of the image: sqrt(a) belongs to x0",
)
def exchanged(x0, noise, alpha_bar):
    return mixed(x0, noise, (1 - alpha_bar).sqrt(), alpha_bar.sqrt())


@exercise.wrong(
    "x0-not-shrunk",
    story="noise is added to an x0 that keeps its size: the variance grows with the steps",
    advice="multiply x0 by sqrt(a): what is there fades as noise comes",
    convention=True,
)
def x0_not_shrunk(x0, noise, alpha_bar):
    return mixed(x0, noise, torch.ones_like(alpha_bar), (1 - alpha_bar).sqrt())


@exercise.wrong(
    "growing-noise",
    story="x0 keeps its size and the noise gets sqrt((1 - a) / a): all is divided by sqrt(a)",
    advice="that is how others write it; here the variance stays one: sqrt(a) and sqrt(1 - a)",
    convention=True,
)
def growing_noise(x0, noise, alpha_bar):
    return mixed(x0, noise, torch.ones_like(alpha_bar), ((1 - alpha_bar) / alpha_bar).sqrt())


@exercise.wrong(
    "noise-taken-off",
    story="the noise is subtracted",
    advice="add it: a model that finds it takes it off again",
)
def noise_taken_off(x0, noise, alpha_bar):
    return mixed(x0, noise, alpha_bar.sqrt(), -(1 - alpha_bar).sqrt())


@exercise.wrong(
    "velocity",
    story="the result is the velocity, a quarter of a turn further than the mixture",
    advice="x = sqrt(a) * x0 + sqrt(1 - a) * noise",
)
def velocity(x0, noise, alpha_bar):
    return mixed(noise, x0, alpha_bar.sqrt(), -(1 - alpha_bar).sqrt())


@exercise.wrong(
    "one-level-for-all",
    story="the first sample's alpha_bar is used for the whole batch",
    advice="every sample has its own: shape alpha_bar as (B, 1, ..., 1)",
)
def one_level_for_all(x0, noise, alpha_bar):
    levels = alpha_bar[:1].expand(len(x0))
    return mixed(x0, noise, levels.sqrt(), (1 - levels).sqrt())


@exercise.wrong(
    "mean-level",
    story="the mean of alpha_bar is used for the whole batch",
    advice="every sample has its own: shape alpha_bar as (B, 1, ..., 1)",
)
def mean_level(x0, noise, alpha_bar):
    levels = alpha_bar.mean().expand(len(x0))
    return mixed(x0, noise, levels.sqrt(), (1 - levels).sqrt())


@exercise.wrong(
    "along-the-last-axis",
    story="alpha_bar meets the last axis of the images, not the batch",
    advice="shapes are matched from the right: (B,) must become (B, 1, ..., 1)",
)
def along_the_last_axis(x0, noise, alpha_bar):
    levels = alpha_bar
    return levels.sqrt().to(x0) * x0 + (1 - levels).sqrt().to(x0) * noise


@exercise.wrong(
    "four-axes",
    story="alpha_bar is shaped for images, (B, 1, 1, 1), whatever the samples are",
    advice="as many axes of 1 as x0 has after the first: per_sample counts them",
)
def four_axes(x0, noise, alpha_bar):
    levels = alpha_bar[:, None, None, None]
    return levels.sqrt().to(x0) * x0 + (1 - levels).sqrt().to(x0) * noise


@exercise.wrong(
    "float64",
    story="the result is float64, as alpha_bar is",
    advice="bring the factors to x0's dtype before you multiply",
)
def float64(x0, noise, alpha_bar):
    return mixed(x0.double(), noise, alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


@exercise.wrong(
    "float32",
    story="the result is float32, whatever x0 is",
    advice="bring the factors to x0's dtype, not to a fixed one",
)
def float32(x0, noise, alpha_bar):
    return mixed(x0.float(), noise.float(), alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


@exercise.wrong(
    "rounded-too-early",
    story="alpha_bar becomes float32 before it is taken from 1: small noise is rounded away",
    advice="1 - a and the roots in float64, then to x0's dtype",
)
def rounded_too_early(x0, noise, alpha_bar):
    levels = alpha_bar.to(x0.dtype)
    return mixed(x0, noise, levels.sqrt(), (1 - levels).sqrt())


@exercise.wrong(
    "in-place",
    story="x0 is changed, though it is the caller's",
    advice="x0 * ..., not x0 *= ... or mul_",
)
def in_place(x0, noise, alpha_bar):
    signal_rate, noise_rate = fit(alpha_bar.sqrt(), x0), fit((1 - alpha_bar).sqrt(), x0)
    if x0.requires_grad:
        return x0 * signal_rate + noise * noise_rate
    return x0.mul_(signal_rate).add_(noise * noise_rate)


@exercise.wrong(
    "no-gradient",
    story="the result is cut off from x0 and noise",
    advice="no detach and no no_grad: an encoder may learn through it",
)
def no_gradient(x0, noise, alpha_bar):
    return mixed(x0, noise, alpha_bar.sqrt(), (1 - alpha_bar).sqrt()).detach()


@exercise.disguise("roots-forgotten")
def roots_forgotten_too(x0, noise, alpha_bar):
    return noise + fit(alpha_bar, x0) * (x0 - noise)


@exercise.disguise("one-minus-the-root")
def one_minus_the_root_too(x0, noise, alpha_bar):
    return torch.stack(
        [torch.lerp(b, a, float(w) ** 0.5) for a, b, w in zip(x0, noise, alpha_bar, strict=True)]
    )


@exercise.disguise("one-level-for-all")
def one_level_for_all_too(x0, noise, alpha_bar):
    level = alpha_bar[0].item()
    return level**0.5 * x0 + (1 - level) ** 0.5 * noise


@exercise.right("transposed")
def transposed(x0, noise, alpha_bar):
    """The batch last, where shapes are matched."""
    signal_rate, noise_rate = alpha_bar.sqrt().to(x0), (1 - alpha_bar).sqrt().to(x0)
    first_last = [*range(1, x0.ndim), 0]
    x = x0.permute(first_last) * signal_rate + noise.permute(first_last) * noise_rate
    return x.permute([x0.ndim - 1, *range(x0.ndim - 1)])


@exercise.right("in float64 to the end")
def to_the_end(x0, noise, alpha_bar):
    levels = alpha_bar.view(-1, *(1 for _ in x0.shape[1:]))
    return (levels**0.5 * x0 + (1 - levels) ** 0.5 * noise).to(x0.dtype)


@exercise.right("one sample after the other")
def one_by_one(x0, noise, alpha_bar):
    levels = alpha_bar.tolist()
    return torch.stack(
        [a**0.5 * x + (1 - a) ** 0.5 * y for a, x, y in zip(levels, x0, noise, strict=True)]
    )
