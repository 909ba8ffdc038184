"""Wrong and other right answers to waveform.resample."""

import math

import torch
import torch.nn.functional as F

from scratchmm.audio.sound_files import check_rate
from scratchmm.audio.waveform import ROLLOFF, windowed_sinc
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("17_sound_and_its_features/resample").exercise


def weighed(sound, places, cutoff):
    """The sum at these places of the old samples."""
    distance = places[:, None] - torch.arange(sound.shape[-1]).double()
    return sound @ windowed_sinc(distance, cutoff).to(sound).T


def places_of(sound, old, new):
    check_rate(old), check_rate(new)
    return torch.arange(math.ceil(sound.shape[-1] * new / old)).double() * old / new


def lower_of(old, new):
    return ROLLOFF * min(1.0, new / old)


@exercise.wrong(
    "tones-come-back",
    story="the cutoff stays 0.95 when samples get fewer, so that what the new rate can't hold comes "
    "back as other tones",
    advice="the cutoff is a part of half the old rate: 0.95 * min(1, new / old)",
)
def tones_come_back(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    return weighed(sound, places_of(sound, old_rate, new_rate), ROLLOFF)


@exercise.wrong(
    "cutoff-above-one",
    story="the cutoff grows with the new rate, so that the weights of the old samples overshoot",
    advice="more samples hold no more than there was: min(1, new / old)",
)
def cutoff_above_one(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    places = places_of(sound, old_rate, new_rate)
    return weighed(sound, places, ROLLOFF * new_rate / old_rate)


@exercise.wrong(
    "no-room-to-fall",
    story="the cutoff is half the lower rate itself: the filter falls too late, half of it beyond",
    advice="ROLLOFF times that, so that it has fallen by then",
)
def no_room_to_fall(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    return weighed(sound, places_of(sound, old_rate, new_rate), min(1.0, new_rate / old_rate))


@exercise.wrong(
    "too-loud",
    story="the sinc is made wider but not lower, so that fewer samples are louder ones",
    advice="windowed_sinc has its height from the cutoff: give it that, not a stretched distance",
)
def too_loud(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    places, part = places_of(sound, old_rate, new_rate), min(1.0, new_rate / old_rate)
    distance = (places[:, None] - torch.arange(sound.shape[-1]).double()) * part
    return sound @ windowed_sinc(distance, ROLLOFF).to(sound).T


@exercise.wrong(
    "scaled-in-place",
    story="the sinc is made wider, and for that the given sound itself is made lower",
    advice="windowed_sinc has its height from the cutoff; leave the sound that is given alone",
)
def scaled_in_place(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    places, cutoff = places_of(sound, old_rate, new_rate), lower_of(old_rate, new_rate)
    distance = (places[:, None] - torch.arange(sound.shape[-1]).double()) * cutoff
    with torch.no_grad():
        sound *= cutoff
    return sound @ windowed_sinc(distance, 1.0).to(sound).T


@exercise.wrong(
    "rounded-down",
    story="the number of samples is rounded down, so the end is lost",
    advice="rounded up: math.ceil, or -(-samples * new // old)",
)
def rounded_down(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    places = places_of(sound, old_rate, new_rate)
    length = sound.shape[-1] * new_rate // old_rate
    return weighed(sound, places[:length], lower_of(old_rate, new_rate))


@exercise.wrong(
    "rounded",
    story="the number of samples is rounded to the nearest, so that the end is lost half of the time",
    advice="rounded up: math.ceil, or -(-samples * new // old)",
)
def rounded(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    places = places_of(sound, old_rate, new_rate)
    length = round(sound.shape[-1] * new_rate / old_rate)
    return weighed(sound, places[:length], lower_of(old_rate, new_rate))


@exercise.wrong(
    "straight-lines",
    story="between two samples a straight line is drawn; it dulls the sound and holds nothing back",
    advice="the sum over all old samples, weighed by windowed_sinc of their distance",
)
def straight_lines(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    places = places_of(sound, old_rate, new_rate)
    before = places.floor().long()
    part = (places - before).to(sound)
    padded = F.pad(sound, (0, 1))
    return padded[..., before] * (1 - part) + padded[..., before + 1] * part


@exercise.wrong(
    "nearest-sample",
    story="each new sample is the old one before it",
    advice="the sum over all old samples, weighed by windowed_sinc of their distance",
)
def nearest_sample(sound, old_rate, new_rate):
    return sound[..., places_of(sound, old_rate, new_rate).floor().long()]


@exercise.wrong(
    "wrong-way-round",
    story="sample m is looked for at m new / old, so the sound gets slower instead of finer",
    advice="m / new seconds are m old / new of the old samples",
)
def wrong_way_round(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    places = places_of(sound, old_rate, new_rate) * (new_rate / old_rate) ** 2
    return weighed(sound, places, lower_of(old_rate, new_rate))


@exercise.wrong(
    "middles",
    story="a sample is taken for a stretch of time and laid by its middle, as pixels are, so that "
    "all is shifted by a part of a sample",
    advice="a sample is a moment: sample 0 stays at 0",
    convention=True,
)
def middles(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    shift = (old_rate / new_rate - 1) / 2
    places = places_of(sound, old_rate, new_rate) + shift
    return weighed(sound, places, lower_of(old_rate, new_rate))


@exercise.wrong(
    "stretched-to-the-ends",
    story="the last new sample is laid on the last old one, which changes the pitch a little",
    advice="the places are m old / new, wherever the last one falls",
)
def stretched_to_the_ends(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    length = len(places_of(sound, old_rate, new_rate))
    places = torch.linspace(0, sound.shape[-1] - 1, length, dtype=torch.float64)
    return weighed(sound, places, lower_of(old_rate, new_rate))


@exercise.wrong(
    "weights-made-one",
    story="the weights of each new sample are divided by their sum, as if the sound went on beyond "
    "its ends",
    advice="windowed_sinc's weights are right as they are; beyond its ends a sound is silent",
)
def weights_made_one(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    cutoff, places = lower_of(old_rate, new_rate), places_of(sound, old_rate, new_rate)
    return weighed(sound, places, cutoff) / weighed(torch.ones_like(sound[..., :]), places, cutoff)


@exercise.wrong(
    "goes-round",
    story="the spectrum is cut or filled with zeros: a sound that begins again at its end",
    advice="beyond its ends a sound is silent; torch.fft sees it in a circle",
)
def goes_round(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    length = len(places_of(sound, old_rate, new_rate))
    return torch.fft.irfft(torch.fft.rfft(sound), length) * (length / sound.shape[-1])


@exercise.wrong(
    "filtered-at-the-same-rate",
    story="at the same rate the sound goes through the filter too and loses what is above 0.95",
    advice="if the rates are equal, return the sound",
)
def filtered_at_the_same_rate(sound, old_rate, new_rate):
    places = places_of(sound, old_rate, new_rate)
    return weighed(sound, places, lower_of(old_rate, new_rate))


@exercise.wrong(
    "one-long-sound",
    story="all sounds of the batch are strung together, so that each is heard in its neighbour",
    advice="only the last axis is time: the sums go over that one",
)
def one_long_sound(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    row, samples = sound.reshape(-1), sound.shape[-1]
    places = places_of(sound, old_rate, new_rate)
    starts = torch.arange(len(row) // samples)[:, None] * samples
    found = weighed(row, (starts + places).flatten(), lower_of(old_rate, new_rate))
    return found.reshape(*sound.shape[:-1], -1)


@exercise.wrong(
    "always-float64",
    story="the result is float64, whatever the sound is",
    advice="work the weights out in float64, then give them the sound's dtype",
)
def always_float64(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    places = places_of(sound, old_rate, new_rate)
    return weighed(sound.double(), places, lower_of(old_rate, new_rate))


@exercise.wrong(
    "rates-not-checked",
    story="rates that are none are divided by, or give no sound at all",
    advice="check_rate for both, first of all",
)
def rates_not_checked(sound, old_rate, new_rate):
    if old_rate == new_rate or not old_rate > 0 or not new_rate > 0:
        return sound
    length = math.ceil(sound.shape[-1] * new_rate / old_rate)
    places = torch.arange(length).double() * old_rate / new_rate
    return weighed(sound, places, lower_of(old_rate, new_rate))


@exercise.wrong(
    "one-side-only",
    story="only old samples before the new one are summed, so that half of each sinc is missing",
    advice="the distance may be negative: all old samples count, before and after",
)
def one_side_only(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    distance = places_of(sound, old_rate, new_rate)[:, None] - torch.arange(sound.shape[-1])
    weights = windowed_sinc(distance, lower_of(old_rate, new_rate)) * (distance >= 0)
    return sound @ weights.to(sound).T


exercise.edit(
    "filters-one-after-another",
    (".transpose(1, 2).flatten(1)", ".flatten(1)"),
    story="all results of the first filter come first, then all of the second: time is in disorder",
    advice="the filters take turns: rounds before filters, then flatten",
)
exercise.edit(
    "short-filters",
    ("math.ceil(ZEROS / _cutoff(old, new))", "ZEROS // 2"),
    story="the sum ends 32 samples away, where the window has not yet",
    advice="the window reaches ZEROS / cutoff samples to either side",
)


@exercise.right("all at once")
def all_at_once(sound, old_rate, new_rate):
    old, new = check_rate(old_rate), check_rate(new_rate)
    if old == new:
        return sound
    return weighed(sound, places_of(sound, old, new), lower_of(old, new))


@exercise.right("zeros between, filter, every so many")
def zeros_between(sound, old_rate, new_rate):
    old, new = check_rate(old_rate), check_rate(new_rate)
    if old == new:
        return sound
    old, new = old // math.gcd(old, new), new // math.gcd(old, new)
    samples = sound.shape[-1]
    spread = sound.new_zeros(*sound.shape, new)
    spread[..., 0] = sound
    spread = spread.reshape(-1, 1, samples * new)
    reach = samples * new
    taps = windowed_sinc(torch.arange(-reach, reach + 1).double() / new, lower_of(old, new))
    found = F.conv1d(F.pad(spread, (reach, reach)), taps.to(sound)[None, None])
    return found[..., : samples * new : old].reshape(*sound.shape[:-1], -1)


@exercise.right("one place after another")
def one_place_after_another(sound, old_rate, new_rate):
    check_rate(old_rate)
    check_rate(new_rate)
    if old_rate == new_rate:
        return sound.clone()
    rows, old_places = [], torch.arange(sound.shape[-1], device=sound.device).double()
    m = 0
    while m * old_rate < sound.shape[-1] * new_rate:
        weights = windowed_sinc(old_places - m * old_rate / new_rate, lower_of(old_rate, new_rate))
        rows.append((sound * weights.to(sound.dtype)).sum(-1))
        m += 1
    return torch.stack(rows, dim=-1)


@exercise.disguise("tones-come-back")
def tones_come_back_too(sound, old_rate, new_rate):
    if check_rate(old_rate) == check_rate(new_rate):
        return sound
    length = -(-sound.shape[-1] * new_rate // old_rate)
    weights = [
        windowed_sinc(torch.arange(sound.shape[-1]).double() - m * old_rate / new_rate, 0.95)
        for m in range(length)
    ]
    return (sound[..., None, :] * torch.stack(weights).to(sound)).sum(-1)


@exercise.disguise("straight-lines")
def straight_lines_too(sound, old_rate, new_rate):
    if old_rate == new_rate:
        return sound
    places = places_of(sound, old_rate, new_rate)
    distance = (places[:, None] - torch.arange(sound.shape[-1])).abs()
    return sound @ (1 - distance).clamp(min=0).to(sound).T


@exercise.disguise("wrong-way-round")
def wrong_way_round_too(sound, old_rate, new_rate):
    if check_rate(old_rate) == check_rate(new_rate):
        return sound
    m = torch.arange(-(-sound.shape[-1] * new_rate // old_rate)).double()
    return weighed(sound, m * new_rate / old_rate, lower_of(old_rate, new_rate))
