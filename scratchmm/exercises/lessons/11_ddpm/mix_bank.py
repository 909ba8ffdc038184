"""Wrong and other right answers to schedule.mix."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/mix").exercise


def fit(values, start):
    """(B,) to (B, 1, ..., 1) in the start's dtype."""
    return values.to(start.dtype).reshape(len(values), *[1] * (start.ndim - 1))


def mixed(start, noise, image, dirt):
    """image * start + dirt * noise, both factors (B,)."""
    return fit(image, start) * start + fit(dirt, start) * noise


@exercise.wrong(
    "any-number-of-levels",
    story="it does not refuse another number of alpha_bars than samples: one serves them all",
    advice="raise a ValueError unless alpha_bar is (B,): per_sample does",
)
def any_number_of_levels(start, noise, alpha_bar):
    return mixed(start, noise, alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


@exercise.refusing
def refuse(start, noise, alpha_bar):
    if alpha_bar.shape != start.shape[:1]:
        raise ValueError(f"{len(alpha_bar)} levels of {len(start)} samples")


@exercise.wrong(
    "roots-forgotten",
    story="the start is multiplied by a and the noise by 1 - a, without the roots",
    advice="a is a share of variance; a factor on the values is its root",
)
def roots_forgotten(start, noise, alpha_bar):
    return mixed(start, noise, alpha_bar, 1 - alpha_bar)


@exercise.wrong(
    "no-root-of-noise",
    story="the noise is multiplied by 1 - a, without the root",
    advice="(1 - a).sqrt() for the noise too, or the variance does not stay one",
)
def no_root_of_noise(start, noise, alpha_bar):
    return mixed(start, noise, alpha_bar.sqrt(), 1 - alpha_bar)


@exercise.wrong(
    "no-root-of-start",
    story="the start is multiplied by a, without the root",
    advice="a.sqrt() for the start too, or the variance does not stay one",
)
def no_root_of_start(start, noise, alpha_bar):
    return mixed(start, noise, alpha_bar, (1 - alpha_bar).sqrt())


@exercise.wrong(
    "one-minus-the-root",
    story="the noise is multiplied by 1 - sqrt(a): the factors add up to one, not their squares",
    advice="first 1 - a, then the root",
)
def one_minus_the_root(start, noise, alpha_bar):
    return mixed(start, noise, alpha_bar.sqrt(), 1 - alpha_bar.sqrt())


@exercise.wrong(
    "exchanged",
    story="the factors are exchanged: alpha_bar is taken for the share of noise",
    advice="alpha_bar is what is left of the image: sqrt(a) belongs to the start",
)
def exchanged(start, noise, alpha_bar):
    return mixed(start, noise, (1 - alpha_bar).sqrt(), alpha_bar.sqrt())


@exercise.wrong(
    "start-not-shrunk",
    story="noise is added to a start that keeps its size: the variance grows with the steps",
    advice="multiply the start by sqrt(a): what is there fades as noise comes",
    convention=True,
)
def start_not_shrunk(start, noise, alpha_bar):
    return mixed(start, noise, torch.ones_like(alpha_bar), (1 - alpha_bar).sqrt())


@exercise.wrong(
    "growing-noise",
    story="the start keeps its size and the noise gets sqrt((1 - a) / a): all is divided by sqrt(a)",
    advice="that is how others write it; here the variance stays one: sqrt(a) and sqrt(1 - a)",
    convention=True,
)
def growing_noise(start, noise, alpha_bar):
    return mixed(start, noise, torch.ones_like(alpha_bar), ((1 - alpha_bar) / alpha_bar).sqrt())


@exercise.wrong(
    "noise-taken-off",
    story="the noise is subtracted",
    advice="add it: a model that finds it takes it off again",
)
def noise_taken_off(start, noise, alpha_bar):
    return mixed(start, noise, alpha_bar.sqrt(), -(1 - alpha_bar).sqrt())


@exercise.wrong(
    "velocity",
    story="the result is the velocity, a quarter of a turn further than the mixture",
    advice="x = sqrt(a) * start + sqrt(1 - a) * noise",
)
def velocity(start, noise, alpha_bar):
    return mixed(noise, start, alpha_bar.sqrt(), -(1 - alpha_bar).sqrt())


@exercise.wrong(
    "one-level-for-all",
    story="the first sample's alpha_bar is used for the whole batch",
    advice="every sample has its own: shape alpha_bar as (B, 1, ..., 1)",
)
def one_level_for_all(start, noise, alpha_bar):
    levels = alpha_bar[:1].expand(len(start))
    return mixed(start, noise, levels.sqrt(), (1 - levels).sqrt())


@exercise.wrong(
    "mean-level",
    story="the mean of alpha_bar is used for the whole batch",
    advice="every sample has its own: shape alpha_bar as (B, 1, ..., 1)",
)
def mean_level(start, noise, alpha_bar):
    levels = alpha_bar.mean().expand(len(start))
    return mixed(start, noise, levels.sqrt(), (1 - levels).sqrt())


@exercise.wrong(
    "along-the-last-axis",
    story="alpha_bar meets the last axis of the images, not the batch",
    advice="shapes are matched from the right: (B,) must become (B, 1, ..., 1)",
)
def along_the_last_axis(start, noise, alpha_bar):
    levels = alpha_bar
    return levels.sqrt().to(start) * start + (1 - levels).sqrt().to(start) * noise


@exercise.wrong(
    "four-axes",
    story="alpha_bar is shaped for images, (B, 1, 1, 1), whatever the samples are",
    advice="as many axes of 1 as the start has after the first: per_sample counts them",
)
def four_axes(start, noise, alpha_bar):
    levels = alpha_bar[:, None, None, None]
    return levels.sqrt().to(start) * start + (1 - levels).sqrt().to(start) * noise


@exercise.wrong(
    "float64",
    story="the result is float64, as alpha_bar is",
    advice="bring the factors to the start's dtype before you multiply",
)
def float64(start, noise, alpha_bar):
    return mixed(start.double(), noise, alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


@exercise.wrong(
    "float32",
    story="the result is float32, whatever the start is",
    advice="bring the factors to the start's dtype, not to a fixed one",
)
def float32(start, noise, alpha_bar):
    return mixed(start.float(), noise.float(), alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


@exercise.wrong(
    "rounded-too-early",
    story="alpha_bar becomes float32 before it is taken from 1: small noise is rounded away",
    advice="1 - a and the roots in float64, then to the start's dtype",
)
def rounded_too_early(start, noise, alpha_bar):
    levels = alpha_bar.to(start.dtype)
    return mixed(start, noise, levels.sqrt(), (1 - levels).sqrt())


@exercise.wrong(
    "in-place",
    story="the start is changed, though it is the caller's",
    advice="start * ..., not start *= ... or mul_",
)
def in_place(start, noise, alpha_bar):
    image, dirt = fit(alpha_bar.sqrt(), start), fit((1 - alpha_bar).sqrt(), start)
    if start.requires_grad:
        return start * image + noise * dirt
    return start.mul_(image).add_(noise * dirt)


@exercise.wrong(
    "no-gradient",
    story="the result is cut off from start and noise",
    advice="no detach and no no_grad: an encoder may learn through it",
)
def no_gradient(start, noise, alpha_bar):
    return mixed(start, noise, alpha_bar.sqrt(), (1 - alpha_bar).sqrt()).detach()


@exercise.disguise("roots-forgotten")
def roots_forgotten_too(start, noise, alpha_bar):
    return noise + fit(alpha_bar, start) * (start - noise)


@exercise.disguise("one-minus-the-root")
def one_minus_the_root_too(start, noise, alpha_bar):
    return torch.stack(
        [torch.lerp(b, a, float(w) ** 0.5) for a, b, w in zip(start, noise, alpha_bar, strict=True)]
    )


@exercise.disguise("one-level-for-all")
def one_level_for_all_too(start, noise, alpha_bar):
    level = alpha_bar[0].item()
    return level**0.5 * start + (1 - level) ** 0.5 * noise


@exercise.right("transposed")
def transposed(start, noise, alpha_bar):
    """The batch last, where shapes are matched."""
    image, dirt = alpha_bar.sqrt().to(start), (1 - alpha_bar).sqrt().to(start)
    first_last = [*range(1, start.ndim), 0]
    x = start.permute(first_last) * image + noise.permute(first_last) * dirt
    return x.permute([start.ndim - 1, *range(start.ndim - 1)])


@exercise.right("in float64 to the end")
def to_the_end(start, noise, alpha_bar):
    levels = alpha_bar.view(-1, *(1 for _ in start.shape[1:]))
    return (levels**0.5 * start + (1 - levels) ** 0.5 * noise).to(start.dtype)


@exercise.right("one sample after the other")
def one_by_one(start, noise, alpha_bar):
    levels = alpha_bar.tolist()
    return torch.stack(
        [a**0.5 * x + (1 - a) ** 0.5 * y for a, x, y in zip(levels, start, noise, strict=True)]
    )
