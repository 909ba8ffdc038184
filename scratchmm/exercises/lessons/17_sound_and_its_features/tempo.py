"""Exercise rhythm.tempo: which of the beats that repeat people would tap."""

import math

import torch
from torch import Tensor

from scratchmm.audio.rhythm import likeness
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="rhythm.tempo",
    order=80,
    target="scratchmm.audio.rhythm:tempo",
    title="The tempo that people tap",
    goal="60 * rate / (hop * lag) for the best lag: alike, near 120, below 320; 0 without onsets",
    minutes=20,
    difficulty=3,
    section="The beat",
    hints="""
        1. At 8000 Hz and a hop of 200 there are 2400 frames a minute, and onsets every 10 frames
           are 240 beats a minute. They are alike 10, 20 and 30 frames later: 240, 120 and 80 have
           nearly the same likeness, and 120 is what people tap.
        2. likeness(onsets, lags) is how alike the onsets are to themselves so many frames later; at
           lag 0 that is 1 and says nothing. Its logarithm is a score, the prior another: a bell
           over log2(tempo) around 120. Add them, as the lesson plots.
        3. 8 s are int(8 * rate) // hop frames: lags (..., L) from 1 to one less. Tempos (L), prior
           (L), minus infinity from 320 on. argmax over the last axis gives (...), indices into the
           tempos. Without onsets 0; an empty axis has no argmax, so refuse that first.
        4. alike = likeness(onsets, longest)[..., 1:]; tempos = 60 * rate / (hop * torch.arange(1,
           longest)); prior = -0.5 * torch.log2(tempos / LIKELY) ** 2; prior[tempos >= FASTEST] =
           -torch.inf; best = (torch.log1p(1e6 * alike) + prior).argmax(-1); torch.where((onsets >
           0).any(-1), tempos[best], 0)
    """,
)


def alike_by_lags(onsets: Tensor, lags: int) -> Tensor:
    """How alike float64 onsets (N, F) are to themselves, lag by lag: (N, lags)."""
    half = lags // 2
    ramp = torch.arange(half, dtype=torch.float64) / half
    longer = torch.cat([onsets[:, :1] * ramp, onsets, onsets[:, -1:] * ramp.flip(0)], dim=1)
    bell = torch.hann_window(lags, dtype=torch.float64)
    windows = longer.unfold(1, lags, 1)[:, : onsets.shape[1]] * bell
    sums = [(windows[..., : lags - lag] * windows[..., lag:]).sum(-1) for lag in range(lags)]
    energy = sums[0].clamp(min=1e-300)
    return torch.stack([(one / energy).mean(1) for one in sums], dim=1)


def tapped(onsets: Tensor, rate: int, hop: int) -> Tensor:
    """The oracle: every sound and every lag in turn."""
    longest = int(8.0 * rate) // hop
    rows = onsets.double().reshape(-1, onsets.shape[-1])
    found = []
    for row, alike in zip(rows, alike_by_lags(rows, longest).tolist(), strict=True):
        scores = {}
        for lag in range(1, longest):
            beats = 60 * rate / (hop * lag)
            if beats < 320:
                guess = -0.5 * math.log2(beats / 120) ** 2
                scores[beats] = math.log(1 + 1e6 * max(alike[lag], 0)) + guess
        found.append(max(scores, key=scores.__getitem__) if (row > 0).any() else 0.0)
    return torch.tensor(found, dtype=torch.float64).view(onsets.shape[:-1]).to(onsets.dtype)


def pulses(case, *steps, F=90):
    """Onsets (B, F), in each sound one every so many frames."""
    onsets = torch.zeros(len(steps), F)
    for row, step in zip(onsets, steps, strict=True):
        row[step // 2 :: step] = 1.0
    return case.named(onsets, "B F")


def pairs(case, *places, F=100):
    """Onsets (B, F), weak everywhere and strong at these places."""
    onsets = torch.full((len(places), F), 1e-3)
    for row, strong in zip(onsets, places, strict=True):
        row[list(strong)] = 1.0
    return case.named(onsets, "B F")


# 4000 Hz and a hop of 200 are 1200 frames a minute: a lag of 10 is 120, and lags go up to 159.


@exercise.holds("a beat every 0.5 s is 120 a minute, whatever the rate and the hop")
def clear(tempo, case):
    rates = ((4000, 200), (8000, 400), (3000, 100), (4000, 250))
    calls = [(pulses(case, *[rate // (2 * hop)] * 2), rate, hop) for rate, hop in rates]
    case.each(tempo, *((call, torch.full((2,), 120.0)) for call in calls))


@exercise.holds("slower and faster beats have their own tempo, one for each sound of (..., F)")
def others(tempo, case):
    onsets, one = pulses(case, 12, 10, 8, 14), case.named(pulses(case, 12)[0], "F")
    many = case.named(pulses(case, 10, 12, 8, 15, 7, 9).view(2, 3, -1), "B C F")
    case.each(
        tempo,
        ((onsets, 4000, 200), torch.tensor([100.0, 120.0, 150.0, 1200 / 14])),
        ((one, 4000, 200), torch.tensor(100.0)),
        ((many, 4000, 200), tapped(many, 4000, 200)),
    )


@exercise.holds("every other beat is alike too: the likelier tempo, nearer to 120, is tapped")
def octaves(tempo, case):
    onsets = pulses(case, 5, 4, 18, 21)
    case.equal(case.call(tempo, onsets, 4000, 200), tapped(onsets, 4000, 200))


@exercise.holds("nearer is by octaves: 60 and 240 a minute are as far from 120")
def by_octaves(tempo, case):
    onsets = pairs(case, (30, 36, 60, 77), (30, 35, 60, 70), (20, 24, 70, 85))
    onsets[1, 60:] *= 0.75  # the pair at 120 a minute is less alike than that at 240
    case.equal(case.call(tempo, onsets, 4000, 200), tapped(onsets, 4000, 200))


@exercise.holds("no tempo is 320 or more, however alike the onsets are at that lag")
def limit(tempo, case):
    onsets = pairs(case, (20, 23), (20, 22), (20, 24), F=40)
    cases = [((onsets, rate, 200), tapped(onsets, rate, 200)) for rate in (4000, 3200)]
    case.each(tempo, *cases)


@exercise.holds("of any onsets, the lag with the best sum of both scores is taken")
def best(tempo, case):
    for rate, hop in ((2000, 160), (1500, 100), (2000, 200)):
        onsets = case.normal(B=3, F=40, dtype=torch.float64).clamp_(min=0)
        case.equal(case.call(tempo, onsets, rate, hop), tapped(onsets, rate, hop))
        case.unchanged()


@exercise.holds("without any onsets the tempo is 0; quiet onsets have the tempo of loud ones")
def silence(tempo, case):
    onsets = pulses(case, 10, 12, 15)
    onsets[1] = 0
    case.each(
        tempo,
        ((case.named(torch.zeros(2, 40), "B F"), 4000, 200), torch.zeros(2)),
        ((onsets, 4000, 200), torch.tensor([120.0, 0.0, 80.0])),
        ((case.named(1e-4 * onsets, "B F"), 4000, 200), torch.tensor([120.0, 0.0, 80.0])),
    )


@exercise.holds("where 8 s hold 2 frames there is one lag, and its tempo is the answer")
def one_lag(tempo, case):
    onsets = case.named(case.normal(B=2, F=9).abs(), "B F")
    case.equal(case.call(tempo, onsets, 1000, 4000), torch.full((2,), 15.0))


@exercise.holds("nan, a sound without any frame, and 8 s of less than 2 frames: ValueError")
def refused(tempo, case):
    for places in ((1, 7), (slice(None), 0)):
        onsets = pulses(case, 12, 10)
        onsets[places] = torch.nan
        case.refuses(ValueError, tempo, onsets, 4000, 200)
    case.refuses(ValueError, tempo, torch.zeros(2, 0), 4000, 200)
    for rate, hop in ((8000, 40000), (100, 512)):
        case.refuses(ValueError, tempo, pulses(case, 4, 5), rate, hop)


exercise.mistakes("""
    one-lag-off: the likeness at lag 0 is taken for that at lag 1: all lags are off by one
    - likeness(onsets, longest)[..., 1:]
    + likeness(onsets, longest)[..., :-1]
    > leave lag 0 out: [..., 1:] of the likeness belongs to the lags from 1

    guess-only-limits: only the likeness counts: the fastest of the octaves wins
    - prior = -0.5 * torch.log2(tempos / LIKELY) ** 2
    + prior = torch.zeros_like(tempos)
    > add -log2(tempo / 120) ** 2 / 2

    in-beats-not-octaves: the prior is a bell over the tempo: 240 is as far from 120 as 0
    - torch.log2(tempos / LIKELY) ** 2
    + ((tempos - LIKELY) / LIKELY) ** 2
    > a bell over log2(tempo / 120)

    a-guess-for-silence [convention]: silence is given the likeliest tempo, near 120
    - return torch.where((onsets > 0).any(dim=-1), tempos.to(onsets)[best], 0)
    + return tempos.to(onsets)[best]
    > 0 where no onset is above 0

    quiet-is-silent: quiet onsets are taken for none
    - (onsets > 0).any(dim=-1)
    + (onsets.sum(dim=-1) > 1)
    > 0 only where no onset is above 0

    one-for-the-batch: the scores are averaged over the batch: all sounds have one tempo
    - best = (torch.log1p(1e6 * alike) + prior.to(alike)).argmax(dim=-1)
    + score = (torch.log1p(1e6 * alike) + prior.to(alike)).reshape(-1, longest - 1).mean(dim=0)
    + best = score.expand(alike.shape).argmax(dim=-1)
    > argmax over the last axis alone
""")

exercise.slips("""
    tempos.to(onsets)[best] => lags.to(onsets)[best]
    tempos.to(onsets)[best] => tempos.to(onsets)[best].round()
    torch.log2(tempos / LIKELY) => torch.log(tempos / LIKELY)
    -0.5 * torch.log2 => -1 * torch.log2
    tempos / LIKELY => tempos / 90
    log1p(1e6 * alike) => log1p(alike)
    tempos >= FASTEST => tempos > FASTEST / 2
    prior[tempos >= FASTEST] = -torch.inf => pass
    tempos.to(onsets)[best], 0 => 60 / tempos.to(onsets)[best], 0
    int(SECONDS * rate) => int(SECONDS / 2 * rate)
    alike = likeness => onsets /= onsets.amax(dim=-1, keepdim=True).clamp(min=1e-9); alike = likeness
    torch.log1p(1e6 * alike) => alike
    -0.5 => 0.5
""")


def options(onsets, rate, hop):
    """Lags, tempos, and how likely each is, as a factor."""
    longest = int(8 * rate) // hop
    if longest < 2 or onsets.numel() == 0 or onsets.isnan().any():
        raise ValueError("less than 2 lags, no frames, or nan")
    tempos = 60 * rate / hop / torch.arange(1, longest).double()
    return longest, tempos, torch.exp(-((tempos / 120).log2() ** 2) / 2) * (tempos < 320)


@exercise.right("a product of factors")
def product(onsets, rate, hop=512):
    longest, tempos, likely = options(onsets, rate, hop)
    alike = likeness(onsets, longest)[..., 1:].double()
    best = ((1 + 1e6 * alike) * likely).max(dim=-1).indices
    return tempos[best].to(onsets.dtype) * (onsets.amax(-1) > 0)


@exercise.right("sound by sound")
def sound_by_sound(onsets, rate, hop=512):
    longest, tempos, likely = options(onsets, rate, hop)
    allowed, found = tempos < 320, []
    for row in onsets.reshape(-1, onsets.shape[-1]):
        alike = likeness(row, longest)[1:].double()
        score = (1 + 1e6 * alike[allowed]).log() + likely[allowed].log()
        found.append(float(tempos[allowed][score.argmax()]) if row.any() else 0.0)
    return torch.tensor(found, dtype=onsets.dtype).view(onsets.shape[:-1])
