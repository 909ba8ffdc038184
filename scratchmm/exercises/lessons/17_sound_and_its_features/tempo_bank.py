"""Wrong and other right answers to rhythm.tempo."""

import torch

from scratchmm.audio.rhythm import likeness
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("17_sound_and_its_features/tempo").exercise

PRIOR = "-0.5 * torch.log2(tempos / LIKELY) ** 2"
SCORE = "torch.log1p(1e6 * alike) + prior.to(alike)"
RETURN = "torch.where((onsets > 0).any(dim=-1), tempos.to(onsets)[best], 0)"
LONGEST = "int(SECONDS * rate) // hop"

exercise.edit(
    "one-lag-off",
    ("likeness(onsets, longest)[..., 1:]", "likeness(onsets, longest)[..., :-1]"),
    story="the likeness at lag 0 is taken for that at lag 1: all lags are off by one",
    advice="leave lag 0 out: [..., 1:] of the likeness belongs to the lags from 1",
)
exercise.edit(
    "beats-a-second",
    ("60 * rate / (hop * lags)", "rate / (hop * lags)"),
    story="beats a second, which all lie far below 120",
    advice="a minute has 60 seconds",
)
exercise.edit(
    "seconds-for-beats",
    (RETURN, "60 / (tempos.to(onsets)[best]) * (onsets > 0).any(dim=-1)"),
    story="the seconds from beat to beat are returned",
    advice="beats a minute: 60 divided by the seconds",
)
exercise.edit(
    "the-lag-itself",
    (RETURN, "torch.where((onsets > 0).any(dim=-1), lags.to(onsets)[best], 0)"),
    story="the number of frames from beat to beat is returned",
    advice="60 * rate / (hop * lag)",
)
exercise.edit(
    "hop-forgotten",
    ("60 * rate / (hop * lags)", "60 * rate / lags"),
    story="a lag is counted in samples and not in frames",
    advice="a frame is `hop` samples long: 60 * rate / (hop * lag)",
)
exercise.edit(
    "without-a-guess",
    (SCORE, "torch.log1p(1e6 * alike) + prior.to(alike).clamp(-0.0)"),
    story="only the likeness counts, up to the fastest tempo and beyond",
    advice="add the prior, which prefers tempos near 120",
)
exercise.edit(
    "guess-only-limits",
    (PRIOR, "torch.zeros_like(tempos)"),
    story="only the likeness counts below 320: the fastest of the octaves wins",
    advice="add -log2(tempo / 120) ** 2 / 2",
)
exercise.edit(
    "natural-logarithm",
    (PRIOR, "-0.5 * torch.log(tempos / LIKELY) ** 2"),
    story="the guess is over the natural logarithm of the tempo, a broader bell",
    advice="an octave is one deviation: log2",
)
exercise.edit(
    "in-beats-not-octaves",
    (PRIOR, "-0.5 * ((tempos - LIKELY) / LIKELY) ** 2"),
    story="the guess is a bell over the tempo: 240 is as far from 120 as 0",
    advice="a bell over log2(tempo / 120)",
)
exercise.edit(
    "not-halved",
    (PRIOR, "-(torch.log2(tempos / LIKELY) ** 2)"),
    story="the guess weighs twice as much: its square is not halved",
    advice="-0.5 * log2(tempo / 120) ** 2",
)
exercise.edit(
    "around-100",
    (PRIOR, "-0.5 * torch.log2(tempos / 90) ** 2"),
    story="the guess has its middle elsewhere than at 120",
    advice="LIKELY is 120",
)
exercise.edit(
    "no-logarithm",
    (SCORE, "alike + prior.to(alike)"),
    story="the likeness itself is added to the guess, which then decides nearly alone",
    advice="log(1 + 10**6 * likeness)",
)
exercise.edit(
    "small-logarithm",
    (SCORE, "torch.log1p(alike) + prior.to(alike)"),
    story="the factor of a million is missing in the logarithm",
    advice="log(1 + 10**6 * likeness)",
)
exercise.edit(
    "guess-subtracted",
    (SCORE, "torch.log1p(1e6 * alike) + torch.where(prior.isinf(), prior, -prior).to(alike)"),
    story="the guess is subtracted: tempos far from 120 are preferred",
    advice="add the prior, which is 0 at 120 and below 0 elsewhere",
)
exercise.edit(
    "no-limit",
    ("prior[tempos >= FASTEST] = -torch.inf", "pass"),
    story="tempos of 320 and more are allowed",
    advice="minus infinity where the tempo is not below FASTEST",
)
exercise.edit(
    "320-itself",
    ("tempos >= FASTEST", "tempos > FASTEST"),
    story="a tempo of exactly 320 is allowed",
    advice="minus infinity where the tempo is not below FASTEST",
)
exercise.edit(
    "slower-than-the-limit",
    ("tempos >= FASTEST", "tempos > FASTEST / 2"),
    story="the limit is too low: tempos above 160 are never found",
    advice="minus infinity where the tempo is not below FASTEST, 320",
)
exercise.edit(
    "a-guess-for-silence",
    (RETURN, "tempos.to(onsets)[best]"),
    story="silence is given the tempo that one would guess anyway, near 120",
    advice="0 where no onset is above 0",
    convention=True,
)
exercise.edit(
    "quiet-is-silent",
    ("(onsets > 0).any(dim=-1)", "(onsets.sum(dim=-1) > 1)"),
    story="quiet onsets are taken for none",
    advice="0 only where no onset is above 0",
)
exercise.edit(
    "any-sound",
    ("(onsets > 0).any(dim=-1)", "(onsets > 0).any()"),
    story="one sound with onsets gives the silent ones beside it a tempo",
    advice="ask each sound for itself: any(dim=-1)",
)
exercise.edit(
    "one-for-the-batch",
    (SCORE, "(torch.log1p(1e6 * alike) + prior.to(alike)).expand(*alike.shape).reshape(-1, "
    "alike.shape[-1]).mean(0).expand(alike.shape)"),
    story="the scores are averaged over the batch: all sounds have one tempo",
    advice="argmax over the last axis alone",
)  # fmt: skip
exercise.edit(
    "four-seconds",
    (LONGEST, "int(SECONDS / 2 * rate) // hop"),
    story="onsets are compared within 4 s and not 8",
    advice="SECONDS is 8",
)
exercise.edit(
    "argmax-of-nothing",
    ("if not onsets.dim() or not onsets.shape[-1]:", "if False:"),
    story="a sound without frames is not looked at apart",
    advice="if the last axis is empty, raise a ValueError",
)
exercise.edit(
    "three-frames-wanted",
    ("if longest < 2:", "if longest < 3:"),
    story="8 s that hold 2 frames are refused, though there is a lag of 1 in them",
    advice="raise a ValueError where n is below 2",
)
exercise.edit(
    "nan-not-refused",
    ('check_numbers(onsets, "onsets")', "pass"),
    story="it does not refuse onsets that are nan",
    advice='check_numbers(onsets, "onsets") raises the ValueError',
)
exercise.edit(
    "not-refused",
    ("if longest < 2:", "longest = max(longest, 2)\n    if False:"),
    story="a hop longer than 8 s is taken as it comes",
    advice="raise a ValueError where 8 s hold less than 2 frames",
)
exercise.edit(
    "rounded",
    (RETURN, "torch.where((onsets > 0).any(dim=-1), tempos.to(onsets)[best], 0).round()"),
    story="the tempo is rounded to whole beats",
    advice="60 * rate / (hop * lag), as it comes",
)
exercise.edit(
    "loudest-is-one",
    (
        "alike = likeness(onsets, longest)",
        "onsets /= onsets.amax(dim=-1, keepdim=True).clamp(min=1e-9)\n"
        "    alike = likeness(onsets, longest)",
    ),
    story="the caller's onsets are scaled in place",
    advice="onsets / loudest makes a new tensor, and likeness does not need it",
)


@exercise.refusing
def refuse(onsets, rate, hop=512):
    if onsets.isnan().any():
        raise ValueError("onsets are nan")


def options(rate, hop):
    """Lags, tempos, and how likely each is, as a factor."""
    longest = int(8 * rate) // hop
    if longest < 2:
        raise ValueError("less than 2 frames")
    lags = torch.arange(1, longest).double()
    tempos = 60 * rate / hop / lags
    likely = torch.exp(-((tempos / 120).log2() ** 2) / 2) * (tempos < 320)
    return lags, tempos, likely


@exercise.right("a product of factors")
def product(onsets, rate, hop=512):
    lags, tempos, likely = options(rate, hop)
    if onsets.numel() == 0:
        raise ValueError("no frames")
    alike = likeness(onsets, len(lags) + 1)[..., 1:].double()
    best = ((1 + 1e6 * alike) * likely).max(dim=-1).indices
    return tempos[best].to(onsets.dtype) * (onsets.amax(-1) > 0)


@exercise.right("sound by sound")
def sound_by_sound(onsets, rate, hop=512):
    lags, tempos, likely = options(rate, hop)
    found = []
    if onsets.numel() == 0:
        raise ValueError("no frames")
    for row in onsets.reshape(-1, onsets.shape[-1]):
        alike = likeness(row, len(lags) + 1)[1:].double()
        allowed = tempos < 320
        score = (1 + 1e6 * alike[allowed]).log() + likely[allowed].log()
        found.append(float(tempos[allowed][score.argmax()]) if row.any() else 0.0)
    return torch.tensor(found, dtype=onsets.dtype).view(onsets.shape[:-1])


@exercise.disguise("guess-only-limits")
def guess_only_limits_too(onsets, rate, hop=512):
    lags, tempos, likely = options(rate, hop)
    if onsets.numel() == 0:
        raise ValueError("no frames")
    alike = likeness(onsets, len(lags) + 1)[..., 1:] * (tempos < 320).to(onsets.dtype)
    return tempos[alike.argmax(-1)].to(onsets.dtype) * (onsets.amax(-1) > 0)


@exercise.disguise("a-guess-for-silence")
def a_guess_for_silence_too(onsets, rate, hop=512):
    lags, tempos, likely = options(rate, hop)
    if onsets.numel() == 0:
        raise ValueError("no frames")
    alike = likeness(onsets, len(lags) + 1)[..., 1:].double()
    return tempos[((1 + 1e6 * alike) * likely).argmax(-1)].to(onsets.dtype)
