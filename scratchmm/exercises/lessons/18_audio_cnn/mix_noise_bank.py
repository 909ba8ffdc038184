"""Wrong and other right answers to augment.mix_noise."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("18_audio_cnn/mix_noise").exercise

WANTED = "wanted = sound_power / 10 ** (decibels / 10)"
POWERS = "mean_square(sounds, real), mean_square(noise, real)"
RESULT = "sounds + gain[:, None] * noise.masked_fill(~real, 0.0)"
GAIN = "torch.where(audible, wanted / noise_power.where(audible, 1.0), 0.0).sqrt()"


def wrong(id, old, new, *, story, advice, **told):
    exercise.edit(id, (old, new), story=story, advice=advice, **told)


wrong(
    "twenty-for-power",
    WANTED,
    "wanted = sound_power / 10 ** (decibels / 20)",
    story="powers are divided by 10^(decibels / 20), which is for amplitudes",
    advice="10 for powers, 20 for amplitudes: the root comes later",
    convention=True,
)
wrong(
    "a-little-added",
    GAIN,
    "(wanted / (noise_power + 1e-10)).sqrt()",
    story="a little is added to the noise's power, so that faint noise stays too faint",
    advice="divide by the power itself, and add nothing only where it is 0",
)
wrong(
    "without-the-root",
    GAIN,
    GAIN.removesuffix(".sqrt()"),
    story="samples are multiplied by what the power has to be multiplied by",
    advice="power is the square: multiply samples by the root",
)
wrong(
    "noise-above-the-sound",
    WANTED,
    "wanted = sound_power * 10 ** (decibels / 10)",
    story="the noise lies so many decibels above the sound, not below",
    advice="the more decibels, the quieter the noise: divide",
)
wrong(
    "natural-logarithm",
    WANTED,
    "wanted = sound_power / (decibels / 10).exp()",
    story="e is taken for the base, not 10",
    advice="decibels are tenths of a power of ten",
)
wrong(
    "padding-in-the-powers",
    POWERS,
    "sounds.square().mean(dim=1), noise.square().mean(dim=1)",
    story="powers are taken over the padding too, where a short sound is silent",
    advice="over the real samples only, in sum and number",
)
wrong(
    "padding-in-the-noise's-power",
    POWERS,
    "mean_square(sounds, real), noise.square().mean(dim=1)",
    story="the noise's power is taken over all samples, the sound's over the real ones",
    advice="measure both where both are heard",
)
wrong(
    "padding-in-the-sound's-power",
    POWERS,
    "sounds.square().mean(dim=1), mean_square(noise, real)",
    story="the sound's power is taken over the padding too",
    advice="silence behind a sound does not make it quiet: real samples only",
)
wrong(
    "noise-taken-for-one",
    POWERS,
    "mean_square(sounds, real), mean_square(torch.ones_like(noise), real)",
    story="the noise is taken to have a power of 1, and is not measured",
    advice="drawn noise is only about as strong as it should be: measure it",
)
wrong(
    "sound-not-measured",
    POWERS,
    "mean_square(torch.ones_like(sounds), real), mean_square(noise, real)",
    story="the sound is taken to have a power of 1, so quiet ones drown",
    advice="decibels are between this sound and its noise: measure the sound",
)
wrong(
    "peaks",
    POWERS,
    "sounds.masked_fill(~real, 0.0).abs().amax(dim=1).square(), "
    "noise.masked_fill(~real, 0.0).abs().amax(dim=1).square()",
    story="the loudest samples are compared, not the powers",
    advice="power is the mean of the squares",
    convention=True,
)
wrong(
    "mean-of-magnitudes",
    POWERS,
    "mean_square(sounds.abs().sqrt(), real).square(), mean_square(noise.abs().sqrt(), real).square()",
    story="the mean of the magnitudes is squared, in place of the mean of the squares",
    advice="square first, then the mean",
)
wrong(
    "around-the-mean",
    POWERS,
    "*((x.masked_fill(~real, torch.nan) - x.masked_fill(~real, torch.nan)"
    ".nanmean(1, keepdim=True)).square().nanmean(1).nan_to_num(0.0) for x in (sounds, noise)),",
    story="the variance is taken for the power: what a sound is on average is lost",
    advice="do not take the mean away before you square",
)
wrong(
    "one-power-for-all",
    POWERS,
    "mean_square(sounds, real).mean().expand(len(sounds)), mean_square(noise, real)",
    story="all sounds are taken to be as strong as they are on average",
    advice="each sound has its own power, (B,)",
)
wrong(
    "one-level-for-all",
    WANTED,
    "wanted = sound_power / 10 ** (decibels[0] / 10)",
    story="the first sound's decibels are used for all",
    advice="each sound has its own, (B,)",
)
wrong(
    "noise-in-the-padding",
    RESULT,
    "sounds + gain[:, None] * noise",
    story="noise goes on in the padding, where the sound has ended",
    advice="only the real samples get noise",
)
wrong(
    "padding-made-silent",
    RESULT,
    "(sounds + gain[:, None] * noise).masked_fill(~real, 0.0)",
    story="the padding is set to zero",
    advice="leave it as it is",
)
wrong(
    "clipped",
    RESULT,
    f"({RESULT}).clamp(-1, 1)",
    story="what passes 1 is cut off, which is another noise",
    advice="leave it: whoever writes a file may make it quieter",
)
wrong(
    "as-loud-as-before",
    RESULT,
    f"({RESULT}) / (1 + 10 ** (-decibels / 10)).sqrt()[:, None]",
    story="the mixture is made as strong as the sound was",
    advice="add the noise and leave the sound as it is",
    convention=True,
)
wrong(
    "only-the-noise",
    RESULT,
    "gain[:, None] * noise.masked_fill(~real, 0.0)",
    story="only the noise is returned",
    advice="add it to the sound",
)
wrong(
    "divided-by-silence",
    GAIN,
    "(wanted / noise_power).sqrt()",
    story="noise of zeros is divided by its power, which is 0",
    advice="where the noise has no power, nothing is to be added",
)
wrong(
    "written-into-the-sound",
    f"return {RESULT}",
    "return sounds.add_(gain[:, None] * noise.masked_fill(~real, 0.0))",
    story="the caller's sounds are overwritten",
    advice="return a new tensor",
)


@exercise.right("by roots of sums")
def by_roots(sounds, noise, decibels, real=None):
    real = torch.ones_like(sounds) if real is None else real.to(sounds)
    one, other = ((x * real).norm(dim=1, keepdim=True) for x in (sounds, noise))
    unit = torch.nn.functional.normalize(noise * real, dim=1)
    return sounds + one * unit * 10 ** (-decibels[:, None] / 20)


@exercise.right("sound by sound")
def one_by_one(sounds, noise, decibels, real=None):
    found = sounds.clone()
    for b in range(len(sounds)):
        there = slice(None) if real is None else real[b]
        sound, dirt = sounds[b, there], noise[b, there]
        if len(dirt) and dirt.any():
            ratio = sound.square().mean() / dirt.square().mean()
            found[b, there] = sound + dirt * (ratio * 10 ** (-decibels[b] / 10)) ** 0.5
    return found


@exercise.disguise("padding-in-the-sound's-power")
def padding_in_the_sounds_power_too(sounds, noise, decibels, real=None):
    real = torch.ones_like(sounds) if real is None else real.to(sounds)
    noise = noise * real
    mean = (noise * noise).sum(dim=1) / real.sum(dim=1).clamp(min=1)
    ratio = sounds.pow(2).mean(1) / mean.clamp(min=1e-20) * 10 ** (-decibels / 10)
    return sounds + noise * ratio.sqrt()[:, None]


@exercise.disguise("twenty-for-power")
def twenty_for_power_too(sounds, noise, decibels, real=None):
    return by_roots(sounds, noise, decibels / 2, real)


@exercise.disguise("noise-above-the-sound")
def noise_above_the_sound_too(sounds, noise, decibels, real=None):
    return by_roots(sounds, noise, -decibels, real)
