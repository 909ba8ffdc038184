import itertools
import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.audio.waveform import resample
from scratchmm.data.world.captions import describe, wordings
from scratchmm.data.world.images import PAINT, draw, masks
from scratchmm.data.world.motion import Clip, Motion, exact_places
from scratchmm.data.world.scenes import COLORS, SHAPES, Scene, Thing, combinations, sample_scene
from scratchmm.data.world.sounds import (
    FADE,
    HARMONICS,
    PITCH,
    envelope,
    sound_of_clip,
    sound_of_scene,
    sound_of_scenes,
    tone,
)
from shape_comments import check_shape_comments

RATE = 16000


# What ears find out, without a look at how the sound was made


def heard_pitch(sound, rate):
    """By autocorrelation: after which time does the sound repeat itself?"""
    fine = 8  # places between two samples
    spectrum = torch.fft.rfft(sound.double(), 2 * len(sound)).abs() ** 2
    repeats = torch.fft.irfft(spectrum, 2 * fine * len(sound))
    lags = torch.arange(int(fine * rate / 640), int(fine * rate / 200))
    top = (repeats[lags] > repeats[lags - 1]) & (repeats[lags] >= repeats[lags + 1])
    tops = lags[top]
    # After two rounds it repeats itself as well: the first of the high tops is one round.
    return fine * rate / tops[repeats[tops] > 0.9 * repeats[tops].max()][0].item()


def heard_harmonics(sound, rate, pitch):
    """How strong the first ten multiples of the pitch are, of length 1."""
    spectrum = torch.fft.rfft(sound.double() * torch.hann_window(len(sound)).double()).abs()
    hertz = torch.fft.rfftfreq(len(sound), 1 / rate)
    near = [spectrum[(hertz - k * pitch).abs() < 0.4 * pitch] for k in range(1, 11)]
    strong = torch.stack([part.max() if len(part) else spectrum.new_tensor(0.0) for part in near])
    return strong / strong.norm()


def recipe(shape):
    strong = torch.tensor([HARMONICS[shape].get(k, 0.0) for k in range(1, 11)]).double()
    return strong / strong.norm()


def heard_place(sound):
    """From 0 (left) to 1, by the difference in level between the ears."""
    left, right = sound.double().square().mean(-1).sqrt()
    return (torch.atan2(right, left) / (math.pi / 2)).item()


def listen(sound, rate=RATE):
    """(color, shape, x) of a sound of one thing."""
    mixed = sound.sum(0)
    found = heard_pitch(mixed, rate)
    color = min(COLORS, key=lambda name: abs(math.log(PITCH[name] / found)))
    strong = heard_harmonics(mixed, rate, PITCH[color])
    shape = min(SHAPES, key=lambda name: (recipe(name) - strong).norm().item())
    return color, shape, heard_place(sound)


def look(scene):
    """(color, shape, x) of an image of one thing, by comparing it with what could be there."""
    image, (mask,) = draw(scene, 64), masks(scene, 64)
    paint = (image[:, mask].median(1).values + 1) / 2
    color = min(PAINT, key=lambda name: (torch.tensor(PAINT[name]) - paint).norm().item())
    thing = scene.things[0]
    others = [Thing(shape, color, thing.size, x=thing.x, y=thing.y) for shape in SHAPES]
    shape = next(o.shape for o in others if torch.equal(masks(Scene((o,)), 64)[0], mask))
    columns = mask.any(0).nonzero().double() + 0.5
    return color, shape, (columns.min() + columns.max()).item() / 2 / 64


@pytest.mark.parametrize("x", [0.0, 0.2, 0.5, 0.85, 1.0])
def test_all_64_are_heard_as_what_and_where_they_are(x):
    for color, shape in combinations():
        found = listen(sound_of_scene(Scene((Thing(shape, color, x=x),)), RATE))
        assert found[:2] == (color, shape)
        assert found[2] == pytest.approx(x, abs=1e-6)


def test_sound_image_and_sentence_agree():
    for index, (color, shape) in enumerate(combinations()):
        size, x = ("small", "large")[index % 2], 0.25 + index % 9 / 16
        scene = Scene((Thing(shape, color, size, x=x, y=0.3 + index % 5 / 10),))
        heard, seen, told = listen(sound_of_scene(scene)), look(scene), describe(scene).split()[1:]
        assert heard[:2] == seen[:2] == tuple(told) == (color, shape)
        assert abs(heard[2] - seen[2]) < 0.02
        sentences = " ".join(wordings(scene))
        assert ("on the left" in sentences) == (heard[2] < 0.4)
        assert ("on the right" in sentences) == (heard[2] > 0.6)


@pytest.mark.parametrize(("rate", "seconds"), [(8000, 1.0), (22050, 0.5), (48000, 2.0)])
def test_at_other_rates_and_lengths_too(rate, seconds):
    for color, shape in combinations()[::5]:
        sound = sound_of_scene(Scene((Thing(shape, color, x=0.3),)), rate, seconds)
        assert sound.shape == (2, round(rate * seconds))
        assert listen(sound, rate)[:2] == (color, shape)


def test_no_two_timbres_are_near_each_other():
    """Some harmonic below 4 kHz differs by 6 decibels or more between any two."""
    for one, other in itertools.combinations(SHAPES, 2):
        levels = [20 * torch.log10(recipe(shape)[:6].clamp(min=1e-2)) for shape in (one, other)]
        assert (levels[0] - levels[1]).abs().max() > 6, (one, other)
    for one, other in itertools.combinations(SHAPES, 2):
        moments = torch.arange(100) / 100
        assert (envelope(one, moments) - envelope(other, moments)).abs().max() > 0.3


def test_timbres_are_what_they_are_called():
    """A pure tone, a square wave, a sawtooth, octaves, a strong third; the tone itself in each."""
    assert all(1 in parts and max(parts) <= 10 for parts in HARMONICS.values())
    assert list(HARMONICS["circle"]) == [1]
    odd, every = ({k: 1 / k for k in range(1, 11, step)} for step in (2, 1))
    for shape, parts in (("square", odd), ("diamond", every)):
        strong = torch.tensor([parts.get(k, 0.0) for k in range(1, 11)]).double()
        torch.testing.assert_close(recipe(shape), strong / strong.norm())
    assert list(HARMONICS["ring"]) == [1, 2, 4, 8]
    assert max(HARMONICS["cross"], key=HARMONICS["cross"].get) == 3
    assert min(k for k in HARMONICS["star"] if k != 1) >= 5


def test_the_pitches_are_a_scale_in_the_order_of_the_colours():
    steps = [PITCH[high] / PITCH[low] for low, high in itertools.pairwise(COLORS)]
    semitones = [12 * math.log2(step) for step in steps]
    assert all(round(number, 9) in (2, 3) for number in semitones)
    assert PITCH["red"] == 220 and PITCH["blue"] == pytest.approx(440)


def test_several_things_are_told_apart():
    """Which notes sound in each ear: the only weights of the 64 notes that give this sound."""
    notes = torch.stack([tone(shape, color, RATE, RATE) for color, shape in combinations()])
    rng = np.random.default_rng(5)
    for count in (1, 2, 3, 4, 5):
        scene = sample_scene(rng, count)
        weights = torch.linalg.lstsq(notes.double().T, sound_of_scene(scene).double().T).solution.T
        expected = torch.zeros(2, 64).double()
        for thing in scene.things:
            loud = {"small": 0.1, "large": 0.2}[thing.size]
            angle = thing.x * math.pi / 2
            parts = torch.tensor([math.cos(angle), math.sin(angle)]) * loud
            expected[:, combinations().index((thing.color, thing.shape))] += parts
        torch.testing.assert_close(weights, expected, rtol=0, atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(0, 1000))
def test_a_scene_sounds_as_the_sum_of_its_things_and_never_too_loud(count, seed):
    scene = sample_scene(np.random.default_rng(seed), count)
    sound = sound_of_scene(scene, 8000, 0.3)
    parts = sum(sound_of_scene(Scene((thing,)), 8000, 0.3) for thing in scene.things)
    torch.testing.assert_close(sound, parts)
    assert sound.dtype == torch.float32 and sound.abs().max() <= 1
    torch.testing.assert_close(sound, sound_of_scene(scene, 8000, 0.3), rtol=0, atol=0)
    torch.testing.assert_close(sound_of_scenes([scene] * 2, 8000, 0.3)[1], sound)


def test_a_crowd_beyond_the_worlds_is_no_louder_than_one():
    crowd = Scene(tuple(Thing("circle", "red", x=0.0) for _ in range(40)))
    assert 0.5 < sound_of_scene(crowd).abs().max() <= 1


def test_no_place_is_louder_than_another_and_sizes_are():
    def power(x, size="large"):
        return sound_of_scene(Scene((Thing("ring", "cyan", size, x=x),))).square().sum().item()

    for x in (0.0, 0.1, 0.37, 1.0):
        assert power(x) == pytest.approx(power(0.5), rel=1e-4)
        assert power(x, "small") == pytest.approx(power(0.5) / 4, rel=1e-4)


def test_silence():
    assert not sound_of_scene(Scene(()), 8000).any()
    assert not sound_of_clip(Clip(Scene(())), 8000).any()
    assert sound_of_scenes([], 8000).shape == (0, 2, 8000)


def test_a_sound_heard_without_gradients_serves_training():
    tone.cache_clear()
    with torch.inference_mode():
        sound_of_scene(Scene((Thing("ring", "red"),)), 8000)
    assert not tone("ring", "red", 8000, 8000).is_inference()


def test_it_begins_and_ends_without_a_click():
    for color, shape in combinations():
        sound = sound_of_scene(Scene((Thing(shape, color),)), RATE, 0.37)[0]
        assert sound[[0, -1]].abs().max() < 0.01 * 0.2
        fastest = 2 * math.pi * max(HARMONICS[shape]) * PITCH[color] / RATE + 1 / (FADE * RATE)
        assert sound.diff().abs().max() < 0.2 * min(2.0, 2 * fastest)


def test_another_rate_gives_the_same_sound():
    for shape, color in zip(SHAPES, COLORS):
        scene = Scene((Thing(shape, color, x=0.4),))
        found = resample(sound_of_scene(scene, 48000), 48000, 16000)
        torch.testing.assert_close(found, sound_of_scene(scene, 16000), rtol=0, atol=3e-3)


def test_nothing_is_above_half_the_rate():
    """A harmonic beyond it would come back as a wrong tone below."""
    for shape in SHAPES:
        sound = tone(shape, "white", 4000, 4000).double() * torch.hann_window(4000).double()
        spectrum = torch.fft.rfft(sound).abs()
        hertz = torch.fft.rfftfreq(4000, 1 / 4000)
        nearest = (hertz / PITCH["white"]).round().clamp(1, 3) * PITCH["white"]
        assert spectrum[(hertz - nearest).abs() > 150].max() < 0.02 * spectrum.max()


# Clips


def test_what_moves_is_heard_moving():
    going = Thing("circle", "blue", x=0.2, dx=0.6)
    bouncing = Thing("circle", "red", x=0.6, dx=0.35)
    for thing, motion in ((going, Motion("goes")), (bouncing, Motion("bounces"))):
        clip = Clip(Scene((thing,)), (motion,))
        sound, (where, _) = sound_of_clip(clip), exact_places(clip, RATE)
        for start in range(400, RATE - 800, 700):
            window = slice(start, start + 400)
            expected = where[window, 0, 0].mean()
            assert heard_place(sound[:, window]) == pytest.approx(expected, abs=2e-3)
        assert listen(sound)[:2] == (thing.color, thing.shape)


def test_up_and_down_are_not_heard_and_rest_is_as_in_a_image():
    resting = Scene((Thing("star", "green", x=0.7),))
    falling = Clip(Scene((Thing("star", "green", x=0.7, y=0.3, dy=0.4),)), (Motion("goes"),))
    for clip in (Clip(resting), falling):
        torch.testing.assert_close(sound_of_clip(clip), sound_of_scene(resting))


@pytest.mark.parametrize("kind", ["appears", "disappears"])
def test_what_is_not_seen_is_silent(kind):
    moment = 0.4 + 0.25 / PITCH["red"]  # where the wave is at its highest: a click would be heard
    clip = Clip(Scene((Thing("circle", "red"),)), (Motion(kind, moment),))
    sound, (_, seen) = sound_of_clip(clip), exact_places(clip, RATE)
    seen = torch.from_numpy(seen[:, 0])
    assert not sound[:, ~seen].any()
    torch.testing.assert_close(
        seen.double().mean().item(),
        1 - moment if kind == "appears" else moment,
        rtol=0,
        atol=1e-3,
    )
    away = int(2 * FADE * RATE)  # this far from the moment it sounds as if it stood there always
    known = seen.clone()
    edge = int(moment * RATE)
    known[edge - away : edge + away] = False
    torch.testing.assert_close(sound[:, known], sound_of_scene(clip.scene)[:, known])
    steepest = sound_of_scene(clip.scene).diff().abs().max()
    assert sound.diff().abs().max() < 1.3 * steepest  # no click where it begins or ends


def test_each_thing_of_a_clip_moves_for_itself():
    things = (Thing("star", "red", x=0.3, dx=0.4), Thing("ring", "blue", x=0.6, y=0.2))
    motions = (Motion("goes"), Motion("appears", 0.5))
    both = sound_of_clip(Clip(Scene(things), motions))
    alone = [sound_of_clip(Clip(Scene((t,)), (m,))) for t, m in zip(things, motions)]
    torch.testing.assert_close(both, alone[0] + alone[1])


# What can't be heard, and how fast it is


@pytest.mark.parametrize(
    ("rate", "seconds", "match"),
    [
        (0, 1.0, "rate is 0"),
        (8000.5, 1.0, "rate is 8000.5"),
        (1000, 1.0, "needs at least 1175 Hz"),
        (8000, 0.0, "^seconds is 0.0 and must be a number above 0 to 600$"),
        (8000, -1.0, "^seconds is -1.0 and"),
        (8000, 1e-5, "hold no sample"),
        (8000, math.nan, "^seconds is nan and"),
        (8000, math.inf, "^seconds is inf and"),
        (8000, 1e12, "^seconds is 1000000000000.0 and"),
    ],
)
def test_what_has_no_sound_is_refused(rate, seconds, match):
    for scene in (Scene(()), Scene((Thing("star", "red"),))):
        with pytest.raises(ValueError, match=match):
            sound_of_scene(scene, rate, seconds)
        with pytest.raises(ValueError, match=match):
            sound_of_clip(Clip(scene), rate, seconds)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_the_shortest_sounds(samples):
    scene = Scene((Thing("heart", "red"),))
    for sound in (
        sound_of_scene(scene, 8000, samples / 8000),
        sound_of_clip(Clip(scene), 8000, samples / 8000),
    ):
        assert sound.shape == (2, samples) and sound.isfinite().all()


def test_a_sound_takes_less_than_two_milliseconds():
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, 1 + index % 5) for index in range(60)]

    def once():
        tone.cache_clear()
        start = time.process_time()
        sound_of_scenes(scenes)
        return (time.process_time() - start) / len(scenes)

    assert min(once() for _ in range(3)) < 0.002


def run_shapes() -> None:
    from scratchmm.data.world import scenes, sounds

    things = (scenes.Thing("star", "red"), scenes.Thing("ring", "blue", x=0.3))
    sounds.sound_of_scenes([scenes.Scene(things)] * 3, 8000, 0.01)
    sounds.sound_of_clip(sounds.Clip(scenes.Scene(things)), 8000, 0.01)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "data/world/sounds.py")
