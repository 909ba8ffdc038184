"""Exercise augment.mix_noise: noise as loud as it is asked to be, in decibels."""

import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="augment.mix_noise",
    order=30,
    target="scratchmm.audio.augment:mix_noise",
    title="Noise that is measured",
    goal="the sound plus noise, scaled so that the sound's power lies so many decibels above its own",
    minutes=20,
    difficulty=3,
    section="Noise that is measured",
    parts=("mean_square",),
    hints="""
        1. A sound of power 0.25 and noise of power 9, to be mixed at 20 decibels: the noise in the
           result must have the power 0.0025, a hundredth of the sound's. So the noise, +3 and +3,
           becomes +0.05 and +0.05.
        2. Decibels compare powers: 10 log10(sound / noise), and power is the mean of the squares.
           The noise comes as loud as it happens to be, so its power is measured as well. Padding
           counted in would make a short sound seem quiet.
        3. Powers of sound and noise, (B,), over the real samples only. The power that the noise has
           to have is the sound's divided by 10^(decibels / 10). What multiplies samples is the root
           of what multiplies power. Noise without power stays as it is, and so does all that is
           padding.
        4. p, q = mean_square(sounds, real), mean_square(noise, real); gain = (p / 10 ** (decibels /
           10) / q).sqrt(), 0 where q is 0; sounds + gain[:, None] * noise.masked_fill(~real, 0.0)
    """,
)


def given(case, lengths=(7, 3, 5), S=7, dtype=torch.float32):
    """Sounds of these lengths with zeros behind them, noise everywhere, decibels, and the mask."""
    B = len(lengths)
    real = case.named(torch.arange(S) < torch.tensor(lengths)[:, None], "B S")
    sounds = case.normal(B=B, S=S, dtype=dtype) + 0.5
    sounds = case.named(sounds.masked_fill(~real, 0.0), "B S")
    noise = case.named(3 * case.normal(B=B, S=S, dtype=dtype) - 1, "B S")
    decibels = torch.tensor([3.0, 11.0, -4.0], dtype=dtype)[:B]
    return sounds, noise, case.named(decibels, "B"), real


def slow(sounds, noise, decibels, real=None):
    """The oracle: sound by sound, with the formula turned round in logarithms."""
    found = sounds.clone()
    for b, row in enumerate(sounds):
        there = torch.ones_like(row, dtype=torch.bool) if real is None else real[b]
        one, other = (x[b][there].double().square().sum().item() for x in (sounds, noise))
        if one > 0 and other > 0:
            missing = 10 * math.log10(one / other) - decibels[b].item()
            found[b, there] += 10 ** (missing / 20) * noise[b][there]
    return found


@exercise.holds("0.5, -0.5 with the noise 3, 3 at 20 decibels is 0.55, -0.45")
def example(mix_noise, case):
    sounds = case.named(torch.tensor([[0.5, -0.5]]), "B S")
    noise, decibels = torch.tensor([[3.0, 3.0]]), torch.tensor([20.0])
    got = case.call(mix_noise, sounds, case.named(noise, "B S"), case.named(decibels, "B"))
    case.equal(got, torch.tensor([[0.55, -0.45]]))


@exercise.holds("at 0 decibels the noise is as strong as the sound")
def as_strong(mix_noise, case):
    sounds, noise, decibels, _ = given(case, (7, 7))
    inputs = sounds, noise, case.named(torch.zeros_like(decibels), "B")
    case.equal(case.call(mix_noise, *inputs), slow(*inputs))


@exercise.holds("each sound has its own decibels, and its own power")
def own_decibels(mix_noise, case):
    sounds, noise, decibels, _ = given(case, (7, 7, 7))
    sounds = case.named(sounds * torch.tensor([[1.0], [0.1], [5.0]]), "B S")
    case.equal(case.call(mix_noise, sounds, noise, decibels), slow(sounds, noise, decibels))


@exercise.holds("how loud the noise came makes no difference")
def loudness_of_noise(mix_noise, case):
    sounds, noise, decibels, _ = given(case, (7, 7, 7))
    expected = slow(sounds, noise, decibels)
    noise = case.named(noise * torch.tensor([[20.0], [1e-5], [1.0]]), "B S")
    case.equal(case.call(mix_noise, sounds, noise, decibels), expected)


@exercise.holds("powers are those of the real samples, and noise goes to them only")
def padding(mix_noise, case):
    inputs = given(case)
    case.equal(case.call(mix_noise, *inputs), slow(*inputs))


@exercise.holds("padding stays as it is, and what stands in it is in no power")
def garbage(mix_noise, case):
    sounds, *others, real = given(case)
    inputs = case.named(sounds.masked_fill(~real, 9.0), "B S"), *others, real
    case.equal(case.call(mix_noise, *inputs), slow(*inputs))


@exercise.holds("silence stays silent; noise of nothing but zeros adds nothing")
def silence(mix_noise, case):
    sounds, noise, decibels, real = given(case, (7, 0, 5))
    sounds = case.named(sounds * torch.tensor([[0.0], [1.0], [1.0]]), "B S")
    noise = case.named(noise * torch.tensor([[1.0], [1.0], [0.0]]), "B S")
    inputs = sounds, noise, decibels, real
    case.equal(case.call(mix_noise, *inputs), slow(*inputs))


@exercise.holds("the dtype is the sound's, and sounds and noise stay as they were")
def kinds(mix_noise, case):
    inputs = given(case, dtype=torch.float64)
    case.equal(case.call(mix_noise, *inputs), slow(*inputs))
    case.unchanged()


exercise.mistakes("""
    twenty-for-power [convention]: powers are divided by 10^(decibels / 20), which is for amplitudes
    - wanted = sound_power / 10 ** (decibels / 10)
    + wanted = sound_power / 10 ** (decibels / 20)
    > 10 for powers, 20 for amplitudes: the root comes later

    a-little-added: a little is added to the noise's power, so that faint noise stays too faint
    - gain = torch.where(audible, wanted / noise_power.where(audible, 1.0), 0.0).sqrt()
    + gain = (wanted / (noise_power + 1e-10)).sqrt()
    > divide by the power itself, and add nothing only where it is 0

    padding-in-the-powers: powers are taken over the padding too, where a short sound is silent
    - sound_power, noise_power = mean_square(sounds, real), mean_square(noise, real)
    + sound_power, noise_power = sounds.square().mean(dim=1), noise.square().mean(dim=1)
    > over the real samples only, in sum and number

    sound-not-measured: the sound is taken to have a power of 1, so quiet ones are covered by the noise
    - sound_power, noise_power = mean_square(sounds, real), mean_square(noise, real)
    + sound_power, noise_power = real.any(dim=1).to(sounds), mean_square(noise, real)
    > decibels are between this sound and its noise: measure the sound

    peaks [convention]: the loudest samples are compared, not the powers
    - sound_power, noise_power = mean_square(sounds, real), mean_square(noise, real)
    + both = torch.stack([sounds, noise]).masked_fill(~real, 0.0)
    + sound_power, noise_power = both.abs().amax(dim=2).square()
    > power is the mean of the squares

    mean-of-magnitudes: the mean of the magnitudes is squared, in place of the mean of the squares
    - sound_power, noise_power = mean_square(sounds, real), mean_square(noise, real)
    + both = torch.stack([sounds, noise]).masked_fill(~real, 0.0).abs().sum(dim=2)
    + sound_power, noise_power = (both / real.sum(dim=1).clamp(min=1)).square()
    > square first, then the mean

    around-the-mean: the variance is taken for the power: what a sound is on average is lost
    - sound_power, noise_power = mean_square(sounds, real), mean_square(noise, real)
    + both = torch.stack([sounds, noise]).masked_fill(~real, torch.nan)
    + both = (both - both.nanmean(dim=2, keepdim=True)).square().nanmean(dim=2)
    + sound_power, noise_power = both.nan_to_num(0.0)
    > do not take the mean away before you square

    as-loud-as-before [convention]: the mixture is made as strong as the sound was
    - return sounds + gain[:, None] * noise.masked_fill(~real, 0.0)
    + louder = (1 + 10 ** (-decibels / 10)).sqrt()[:, None]
    + return (sounds + gain[:, None] * noise.masked_fill(~real, 0.0)) / louder
    > add the noise and leave the sound as it is
""")

exercise.slips("""
    10 ** (decibels / 10) => (decibels / 10).exp()
    mean_square(noise, real) => noise.square().mean(dim=1)
    mean_square(sounds, real) => sounds.square().mean(dim=1)
    mean_square(sounds, real) => mean_square(sounds, real).mean().expand(len(sounds))
    sounds + gain[:, None] => sounds.masked_fill(~real, 0.0) + gain[:, None]
    sounds + gain[:, None] * noise.masked_fill(~real, 0.0) =>
        (sounds + gain[:, None] * noise.masked_fill(~real, 0.0)).clamp(-1, 1)
    torch.where(audible, wanted / noise_power.where(audible, 1.0), 0.0) => wanted / noise_power
""")


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
