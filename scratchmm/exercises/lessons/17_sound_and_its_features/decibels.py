"""Exercise spectrum.decibels: power on the scale of the ear, silence included."""

import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="spectrum.decibels",
    order=40,
    target="scratchmm.audio.spectrum:decibels",
    title="Silence has a logarithm too",
    goal="10 log10(power / reference), held up at the floor and at `span` below the loudest",
    minutes=15,
    difficulty=2,
    section="Silence has a logarithm too",
    needs=("spectrum.stft",),
    hints="""
        1. Power 100 is 20 decibels, 1 is 0, and 0 would be minus infinity: it counts as the floor,
           1e-10, which is -100. With a span of 80 silence is raised to 20 - 80 = -60.
        2. A logarithm of 0 is infinite, and so is its slope: hold the power up before the logarithm,
           not after. What is loudest must not depend on the neighbours in the batch.
        3. Refuse a floor or reference not above 0 and a span below 0. Hold the power up at the
           floor, take 10 log10 of it, subtract 10 log10 of the reference (held up as well). Unless
           span is None or there is nothing: the maximum over the last two axes (a list or a number
           has fewer), kept as axes of 1, less the span, holds the result up.
        4. level = 10 * powers.clamp(min=floor).log10() - 10 * math.log10(max(reference, floor));
           loudest = level.amax(dim=(-2, -1), keepdim=True); return level.maximum(loudest - span),
           with tuple(range(-min(2, level.dim()), 0)) for those axes
    """,
)


def written_out(power, reference=1.0, floor=1e-10, span=80.0):
    """The oracle: number by number, spectrogram by spectrogram."""
    sounds = power.reshape(-1, math.prod(power.shape[-2:]))
    rows = []
    for sound in sounds.tolist():
        row = [10 * math.log10(max(x, floor) / max(reference, floor)) for x in sound]
        rows.append(row if span is None else [max(x, max(row) - span) for x in row])
    return torch.tensor(rows, dtype=power.dtype).view(power.shape)


def powers(case, spread=2.0, dtype=torch.float32, **axes):
    """Powers that lie some 10 * spread decibels around 1."""
    return case.named((case.normal(**axes, dtype=dtype) * spread * 2.3).exp(), " ".join(axes))


@exercise.holds("1 is 0 decibels, 100 is 20, a thousandth is -30")
def known(decibels, case):
    power = case.named(torch.tensor([[1.0, 100.0, 0.001]]), "Q F")
    case.equal(case.call(decibels, power), torch.tensor([[0.0, 20.0, -30.0]]))


@exercise.holds("power equal to the reference is 0; a reference below the floor is the floor")
def relative(decibels, case):
    power = powers(case, Q=3, F=4)
    choices = [(power, 0.02, 1e-10, None), (power, 7.0, 1e-10, None), (power, 1e-6, 1e-3, None)]
    case.each(decibels, *[(given, written_out(*given)) for given in choices])


@exercise.holds("silence counts as the floor")
def silence(decibels, case):
    power = case.named(torch.tensor([[0.0, 1e-12, 1e-9, 1e-3], [2e-3, 1e-2, 0.1, 0.0]]), "Q F")
    choices = [(power, 1.0, floor, None) for floor in (1e-10, 2e-3)]
    case.each(decibels, *[(given, written_out(*given)) for given in choices])


@exercise.holds("what lies more than span (80 unless given) below the loudest is raised to there")
def spans(decibels, case):
    power = powers(case, Q=4, F=5)
    quiet = case.named(1e-6 * power, "Q F")  # all of it far below 0 decibels
    choices = [(power, 3.0, 1e-10, span) for span in (20.0, 7.5, 0.0)]
    choices += [(quiet, 1.0, 1e-10, 12.0), (case.named(power**4, "Q F"),)]
    case.each(decibels, *[(given, written_out(*given)) for given in choices])


@exercise.holds("the loudest of each sound counts: no sound depends on its neighbours")
def neighbours(decibels, case):
    loudness = torch.tensor([1.0, 1e4, 1e-3])[:, None, None]
    batch = case.named(powers(case, B=3, Q=4, F=5) * loudness, "B Q F")
    choices = [(batch, 1.0, 1e-10, 15.0), (powers(case, B=2, C=3, Q=2, F=3), 1.0, 1e-10, 9.0)]
    case.each(decibels, *[(given, written_out(*given)) for given in choices])


@exercise.holds("a list of powers (F,) and a single number do as well, and so does nothing at all")
def few_axes(decibels, case):
    row, one = (powers(case, F=5), 1.0, 1e-10, 12.0), case.named(torch.tensor(4.0), "")
    answers = [(given, written_out(*given)) for given in (row, (one,))]
    nothing = case.named(torch.zeros(3, 0), "Q F")
    case.each(decibels, *answers, ((nothing,), nothing))


@exercise.holds("the dtype is the power's own")
def precise(decibels, case):
    power = powers(case, Q=3, F=4, dtype=torch.float64)
    case.equal(case.call(decibels, power), written_out(power))


@exercise.holds("the gradient is 10 / (ln 10 * power)")
def gradients(decibels, case):
    power = powers(case, Q=3, F=4)
    case.gradients(
        lambda x: decibels(x, 2.0, 1e-10, 500.0),
        lambda x: 10 / math.log(10) * x.log() - 10 * math.log10(2),
        power,
    )


@exercise.holds("where the power is 0 the gradient is a number, and it is 0")
def gradient_of_silence(decibels, case):
    power = case.named(torch.zeros(3, 4), "Q F").requires_grad_()
    level = case.call(decibels, power, 1.0, 1e-10, None)
    case.true(level.requires_grad, "a result with a gradient", "one cut off from the power")
    (slope,) = torch.autograd.grad(level.sum(), power)
    case.equal(case.seen(slope), torch.zeros(3, 4), "the gradient")


@exercise.holds("the powers are left as they were")
def unchanged(decibels, case):
    case.call(decibels, case.named(torch.tensor([[0.0, 0.1, 5.0]]), "Q F"), 1.0, 0.5)
    case.unchanged()


@exercise.holds("floor or reference not above 0, or a span below 0, are refused (ValueError)")
def refused(decibels, case):
    power = powers(case, Q=2, F=3)
    for choices in ((1.0, 0.0), (1.0, -1e-3), (0.0, 1e-10), (-2.0, 1e-10), (1.0, 1e-10, -1.0)):
        case.refuses(ValueError, decibels, power, *choices)


exercise.mistakes("""
    of-amplitude [convention]: 20 log10: the formula for amplitudes
    - level = 10 * powers.clamp(min=floor).log10() - 10 * math.log10(max(reference, floor))
    + level = 20 * powers.clamp(min=floor).log10() - 20 * math.log10(max(reference, floor))
    > power is amplitude squared, so 10 log10 of it is the same as 20 log10 of the amplitude

    floor-added [convention]: the floor is added to every power, which lifts quiet ones
    - level = 10 * powers.clamp(min=floor).log10() - 10 * math.log10(max(reference, floor))
    + level = 10 * (powers + floor).log10() - 10 * math.log10(max(reference, floor))
    > the larger of the two: clamp(min=floor)

    held-up-too-late: the logarithm is held up, not the power: its slope at 0 is infinite, times 0
    is no number
    - powers.clamp(min=floor).log10()
    + powers.log10().clamp(min=math.log10(floor))
    > clamp the power, then take the logarithm

    relative-to-the-loudest [convention]: the loudest point is 0 decibels, whatever the reference
    - math.log10(max(reference, floor))
    + (powers.amax().clamp(min=floor).log10() if powers.numel() else 0)
    > relative to `reference`: who wants the loudest hands it over

    below-0-decibels: cut off at -span decibels, as if the loudest were 0
    - return level.maximum(loudest - span)
    + return level.clamp(min=-span)
    > the loudest point less the span

    loudest-of-the-batch [convention]: the loudest point of the whole batch counts, as in librosa
    - loudest = level.amax(dim=tuple(range(-min(2, level.dim()), 0)), keepdim=True)
    + loudest = level.max()
    > of each sound's last two axes, or a loud neighbour changes a quiet sound

    span-of-0-is-none: a span of 0 is taken for None
    - if span is None or not level.numel():
    + if not span or not level.numel():
    > `is None`: 0 is a number like others
""")

exercise.slips("""
    .log10() - => .log() - ;; math.log10 => math.log
    10 * powers => powers ;; 10 * math => math
    powers.clamp => (powers if powers.requires_grad else powers.clamp_(min=floor)).clamp
    powers.clamp => powers.float().clamp
    tuple(range(-min(2, level.dim()), 0)) => (-2, -1)
    max(reference, floor) => reference
""")


def check(reference, floor, span):
    if floor <= 0 or reference <= 0 or (span is not None and span < 0):
        raise ValueError(f"{reference}, {floor}, {span}")


@exercise.right("divided first")
def divided(powers, reference=1.0, floor=1e-10, span=80.0):
    check(reference, floor, span)
    level = 10 * (torch.clip(powers, floor) / max(reference, floor)).log10()
    if span is None or level.numel() == 0:
        return level
    loudest = level.amax(dim=(-2, -1) if level.dim() > 1 else (), keepdim=True)
    return torch.where(level < loudest - span, loudest - span, level)


@exercise.right("by the natural logarithm, sound by sound")
def by_ln(powers, reference=1.0, floor=1e-10, span=80.0):
    check(reference, floor, span)
    if powers.dim() > 2:
        return torch.stack([by_ln(one, reference, floor, span) for one in powers])
    scale = 10 / math.log(10)
    level = scale * (powers.clamp(min=floor).log() - math.log(max(reference, floor)))
    if span is None or powers.numel() == 0:
        return level
    return level.clamp(min=level.max().item() - span)
