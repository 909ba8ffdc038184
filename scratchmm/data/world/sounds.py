"""The sound of scenes and clips: shape is timbre, colour is pitch, position is stereo, size is level.

Every thing plays one note for as long as it is visible. The shape determines the harmonics of the
note and its envelope; the colour its pitch; the position from left to right the balance of the two
channels. The sound of a scene is the sum of the sounds of its things. Height and texture have no
effect.

The sound is computed from the same facts as images, clips and captions, so all agree.

B scenes, T things, S samples; every sound has two channels, left and right.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.audio.sound_files import check_rate
from scratchmm.data.world.motion import Clip, exact_places
from scratchmm.data.world.scenes import COLORS, MOST_THINGS, Scene, Thing
from scratchmm.sentences import check_number

# Semitones above the A of 220 Hz: a scale of five notes, of which any two sound well together.
PITCH = {c: 220 * 2 ** (s / 12) for c, s in zip(COLORS, (0, 3, 5, 7, 10, 12, 15, 17), strict=True)}
# Which multiples of the pitch sound, and how strong.
HARMONICS = {
    "circle": {1: 1.0},  # a pure tone: nothing is rounder
    "square": {k: 1 / k for k in (1, 3, 5, 7, 9)},  # a square wave
    "triangle": {1: 1.0, 4: 0.8, 10: 0.3},  # a bar that is struck
    "diamond": {k: 1 / k for k in range(1, 11)},  # a sawtooth, bright
    "star": {1: 1.0, 5: 0.6, 6: 0.6, 7: 0.6},  # glitters far above the tone
    "ring": {1: 1.0, 2: 0.8, 4: 0.6, 8: 0.4},  # octaves, a bell
    "cross": {1: 0.6, 3: 1.0},  # the third is the strongest: nasal
    "heart": {1: 1.0, 2: 1.0},
}
# Envelopes: (strokes as parts of a period, seconds of a period, seconds until a stroke has fallen to
# 0.37, the lowest level).
STROKES = {
    "circle": ((0.0,), 1.0, 1.0, 1.0),  # steady
    "square": ((0.0, 0.75), 1.0, 0.2, 0.2),  # a long one and a short one
    "triangle": ((0.0,), 0.5, 0.12, 0.0),
    "diamond": ((0.0,), 0.25, 0.1, 0.6),  # trembles
    "star": ((0.0,), 0.125, 0.05, 0.1),  # twinkles
    "ring": ((0.0,), 1.0, 0.4, 0.0),  # rings out
    "cross": ((0.0, 0.25), 1.0, 0.1, 0.1),  # one, two, and a rest
    "heart": ((0.0, 0.35), 1.0, 0.08, 0.3),  # beats
}
LOUDNESS = {"small": 0.5, "large": 1.0}
LONGEST = 600  # seconds
FADE = 0.005  # seconds in which a sound begins and ends: a jump would be heard as a click
Kind = tuple[str, str]  # (shape, color)


def sound_of_scene(scene: Scene, rate: int = 16000, seconds: float = 1.0) -> Tensor:
    """The sound of a scene: float32 (2, S), left and right, in [-1, 1].

    S is rate * seconds, rounded. The level of a thing does not depend on the others.

    >>> left, right = sound_of_scene(Scene((Thing("ring", "blue", x=0.1),)), rate=8000, seconds=0.5)
    >>> left.shape, bool(left.abs().max() > 5 * right.abs().max())
    (torch.Size([4000]), True)
    """
    samples, places = _samples(rate, seconds), [[thing.x] for thing in scene.things]
    return _mix(scene.things, torch.tensor(places), torch.ones(1), int(rate), samples)


def sound_of_scenes(scenes: Sequence[Scene], rate: int = 16000, seconds: float = 1.0) -> Tensor:
    """The sounds of scenes: float32 (B, 2, S).

    >>> sound_of_scenes([Scene(()), Scene(())], seconds=0.1).shape
    torch.Size([2, 2, 1600])
    """
    sounds = [sound_of_scene(scene, rate, seconds) for scene in scenes]
    return torch.stack(sounds) if sounds else torch.empty(0, 2, _samples(rate, seconds))


def sound_of_clip(clip: Clip, rate: int = 16000, seconds: float = 1.0) -> Tensor:
    """The sound of a clip: float32 (2, S). Positions vary over time; what is not visible is silent.

    The first sample belongs to the first frame, the last to the last.

    >>> from scratchmm.data.world.motion import Motion
    >>> star = Thing("star", "red", x=0.2, dx=0.6)
    >>> sound = sound_of_clip(Clip(Scene((star,)), (Motion("goes"),))).abs()
    >>> begin, end = sound[:, :4000].amax(1), sound[:, -4000:].amax(1)
    >>> bool(begin[0] > begin[1]), bool(end[0] < end[1])
    (True, True)
    """
    samples = _samples(rate, seconds)
    if not clip.scene.things:
        return torch.zeros(2, samples)
    where, seen = exact_places(clip, samples)  # arrays, S before T
    across = torch.from_numpy(where[:, :, 0].T.copy()).float()
    there = _softly(torch.from_numpy(seen.T.copy()), max(1, int(rate * FADE / 2)))
    return _mix(clip.scene.things, across, there, int(rate), samples)


def _mix(
    things: tuple[Thing, ...], across: Tensor, there: Tensor, rate: int, samples: int
) -> Tensor:
    """Tones at places (T, S or 1) from 0 (left) to 1, at the levels `there` (T or 1, S or 1)."""
    if not things:
        return torch.zeros(2, samples)
    tones = torch.stack([tone(t.shape, t.color, rate, samples) for t in things])  # (T, S)
    loud = torch.tensor([LOUDNESS[t.size] for t in things]) / max(MOST_THINGS, len(things))
    tones = tones * loud[:, None] * there
    # Equal power: the squares of the two parts have the sum 1, so no place is louder than another.
    angle = across.clamp(0, 1) * (math.pi / 2)
    ears = torch.stack([(tones * angle.cos()).sum(0), (tones * angle.sin()).sum(0)])  # (2, S)
    return ears.clamp_(-1, 1)  # the last bit of the sum of a crowd


@lru_cache(maxsize=128)
def tone(shape: str, color: str, rate: int, samples: int) -> Tensor:
    """The note of a shape in a colour, alone: float32 (S,) in [-1, 1]; not to be written into.

    Harmonics that the rate can't hold are left out.

    >>> tone("circle", "red", 8000, 4000).shape
    torch.Size([4000])
    """
    with torch.inference_mode(False):  # kept beyond the call, it must serve training too
        return _tone(shape, PITCH[color], rate, samples)


def _tone(shape: str, pitch: float, rate: int, samples: int) -> Tensor:
    place = torch.arange(samples).double()
    phase = (place * (pitch / rate) % 1).float()  # in rounds; float32 would drift away in time
    parts = {k: strong for k, strong in HARMONICS[shape].items() if k * pitch < rate / 2}
    waves = [strong * torch.sin(2 * math.pi * k * phase) for k, strong in parts.items()]
    wave = torch.stack(waves).sum(0) / sum(HARMONICS[shape].values())  # (S,), no more than 1
    left = torch.minimum(place, samples - 1 - place) + 0.5  # samples to the nearer end
    fade = (left / (rate * FADE)).clamp(max=1).float()
    return wave * envelope(shape, (place / rate).float()) * fade


def envelope(shape: str, time: Tensor) -> Tensor:
    """The envelope of a shape's note at times in seconds (a tensor of any shape): in [0, 1].

    >>> envelope("circle", torch.tensor([0.0, 0.25, 0.5])).tolist()
    [1.0, 1.0, 1.0]
    """
    strokes, length, fall, lowest = STROKES[shape]
    loud = torch.zeros_like(time)
    for stroke in strokes:
        since = (time - stroke * length) % length
        # From where the last stroke had fallen to, up again within FADE and not at once.
        begin = math.exp(-length / fall)
        rise = begin + (1 - begin) * (since / FADE).clamp(max=1)
        loud = torch.maximum(loud, rise.minimum(torch.exp(-since / fall)))
    return lowest + (1 - lowest) * loud


def _softly(seen: Tensor, half: int) -> Tensor:
    """Bool (T, S) to numbers that rise from 0 and fall to 0 softly, and are 0 where it is False."""
    hidden = F.max_pool1d(1 - seen.float(), 2 * half + 1, stride=1, padding=half)
    return F.avg_pool1d(1 - hidden, 2 * half + 1, stride=1, padding=half, count_include_pad=False)


def _samples(rate: int, seconds: float) -> int:
    lowest = math.ceil(2 * max(PITCH.values()))
    if check_rate(rate) < lowest:
        raise ValueError(
            f"{rate} Hz is too low for the highest note: it needs at least {lowest} Hz"
        )
    check_number("seconds", seconds, above=0, most=LONGEST)
    if round(rate * seconds) < 1:
        raise ValueError(f"{seconds} seconds at {rate} Hz hold no sample")
    return round(rate * seconds)
