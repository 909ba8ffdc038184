"""Lesson 17, sound and its features: from samples to numbers that describe a sound.

Question: a second of sound is 16,000 numbers, and no single one of them means anything. Which few
numbers describe what the ear hears?

Time: about 20 seconds on two cores (`--quick`: about 10). Images and sounds go to
runs/17_sound_and_its_features/ (`--quick`: to ..._quick/). It uses the world's own sounds, and a
recording where there is one: `--sound FILE` (WAV, FLAC or OGG) is yours; else LJSpeech or the
spoken digits from `--root FOLDER` (or SCRATCHMM_DATA).
Read beside it: scratchmm/audio/spectrum.py, mel.py, features.py, rhythm.py and waveform.py in the
same folder, then scratchmm/data/world/sounds.py.
Exercises: spectrum.frame, spectrum.stft, mel.mel_filters, spectrum.decibels, mel.dct,
features.spectral_centroid, features.zero_crossing_rate, rhythm.tempo, waveform.resample
(`python -m scratchmm learn check spectrum.frame`).
Papers: Signal Estimation from Modified Short-Time Fourier Transform (Griffin and Lim 1984),
equation 6; Comparison of Parametric Representations for Monosyllabic Word Recognition (Davis and
Mermelstein 1980); Beat Tracking by Dynamic Programming (Ellis 2007), section 3.2.
"""

# %% [markdown]
# # Sound and its features
#
# Sound is a change of air pressure. A microphone measures that pressure some thousand times a
# second, and this sequence of samples, the waveform, is all there is. Models of sound seldom take
# it as it is: their input is an image made of it, the spectrogram, with time across and frequency
# upwards.
#
# By the end you can compute that image and invert it without loss, know what each of its settings
# costs, describe a sound by a few numbers, find its beat, change its sample rate without adding
# tones that were never there, and compute from the world's sounds which thing sounds, and where.

# %%
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

# %%
from scratchmm import plots
from scratchmm.audio import augment, features, mel, rhythm, spectrum, waveform
from scratchmm.data.sets.folders import data_root
from scratchmm.data.world import sounds as world_sounds
from scratchmm.data.world.images import draw, draw_many
from scratchmm.data.world.motion import Clip, Motion
from scratchmm.data.world.scenes import (
    COLORS,
    SHAPES,
    Scene,
    Thing,
    sample_scene,
    split_combinations,
)
from scratchmm.lesson import LessonParser, report
from scratchmm.training.sampling import seeded

# %%
parser = LessonParser(__doc__, trains=False, devices=False)
parser.add_argument("--sound", help="a recording of yours: WAV, FLAC or OGG")
parser.add_argument("--root", help="the folder with ljspeech or fsdd (default: SCRATCHMM_DATA)")
options = parser.read("")  # in a notebook, flags go here: "--quick --steps 50"
out = options.folder("17_sound_and_its_features")
rate = 16000  # samples a second, of everything that follows


# %%
def save(figure, name):
    print("figure:", plots.save(figure, out / name))


def keep(name, sound, rate=rate):
    sound = waveform.normalise(sound, 0.9, channels=sound.dim() > 1)
    print("sound:", waveform.write_sound(out / name, sound, rate))


# %% [markdown]
# ## A row of numbers
#
# The world of the earlier lessons has sounds, too. Every thing plays a note: its shape is the
# timbre (what tells a flute from a violin on the same note), its colour the pitch, its place the
# balance of the left and the right channel. Eight things, one after the other, make a tune. And
# there is a recording of speech, if you have one: cut to five seconds, and its channels mixed to
# one.


# %%
def note(shape, color, seconds, x=0.5):
    """The sound of one thing: (S,)."""
    return waveform.mix_to_mono(
        world_sounds.sound_of_scene(Scene((Thing(shape, color, x=x),)), rate, seconds)
    )


# %%
def recording():
    """Five seconds of speech, and where it is from; None where there is none."""
    named = [Path(options.sound)] if options.sound else []
    try:
        folder = None if named else data_root(options.root)
    except ValueError:  # neither --root nor SCRATCHMM_DATA: the world's sounds will do
        return None
    found = named or sorted(folder.glob("ljspeech/wavs/*.wav"))[:1]
    found = found or [
        p for d in range(10) for p in folder.glob(f"fsdd/recordings/{d}_jackson_0.wav")
    ]
    if not found:
        return None
    sound = torch.cat([waveform.read_sound(path, rate=rate)[0] for path in found])[: 5 * rate]
    return waveform.normalise(waveform.trim(sound), 0.9), found[0].name


# %%
tune = torch.cat([note(shape, color, 0.6) for shape, color in zip(SHAPES, COLORS)])
tune = waveform.normalise(tune, 0.9)
said = recording()
name = said[1] if said else "the tune of the world"
sound = said[0] if said else tune
print("the sound:", name, "" if said else "(no recording: --sound FILE, --root or SCRATCHMM_DATA)")
print(f"{len(sound)} samples at {rate} Hz are {len(sound) / rate:.2f} s")
keep("tune.wav", tune)
keep("sound.wav", sound)


# %%
def axis_of(values, seconds):
    """The times of frames that lie evenly over a sound of so many seconds."""
    return np.linspace(0, seconds, len(values))


loudest = int(sound.abs().argmax())
start = max(0, min(loudest - 400, len(sound) - 800))
part = sound[start : start + 800]
figure, axes = plt.subplots(1, 2, figsize=(9, 2.2), layout="constrained")
axes[0].plot(axis_of(sound, len(sound) / rate), sound, color=plots.LINES[0], linewidth=0.4)
axes[0].axvspan(start / rate, start / rate + 0.05, color=plots.LINES[1], alpha=0.5)
axes[0].set(title=plots.shorten(name, 40), xlabel="seconds", ylabel="pressure", ylim=(-1, 1))
axes[1].plot(np.arange(len(part)) / rate * 1000, part, color=plots.LINES[1])
axes[1].set(title="50 milliseconds of it", xlabel="milliseconds", ylim=(-1, 1))
save(figure, "waveform.png")

# %% [markdown]
# ## Cut into frames
#
# In 50 milliseconds of a vowel or a tone something repeats, and in five seconds hardly anything. So
# a sound is cut into frames that are short enough for the sound to stay the same, and long enough
# to measure how often it repeats. They overlap: a new one begins every `hop` samples, and half a
# frame of silence is put before and behind, so that frame f lies around sample f * hop.
#
# **Question.** One second at 16,000 Hz, frames of 1,024 samples, a hop of 256: how many frames, and
# how many numbers in all?

# %%
second = torch.cat([sound, torch.zeros(rate)])[:rate]
frames = spectrum.frame(spectrum.pad_ends(second, 512, "constant"), 1024, 256)
print(f"{len(second)} samples -> frames {tuple(frames.shape)}, {frames.numel()} numbers")
print(
    "one frame and the next overlap by", int((frames[3, 256:] == frames[4, :-256]).sum()), "samples"
)

# %% [markdown]
# **Answer.** 1 + 16000 // 256 = 63 frames, and about four times as many numbers as before: with a
# hop of a quarter, every sample is in four frames. So far the samples are only rearranged.
#
# ## Which frequencies
#
# A frame is compared with waves of 0, 1, 2 ... periods. How well each fits is the spectrum (the
# Fourier transform): of 1,024 samples it has 513 numbers, 15.6 Hz apart. They are complex: the
# magnitude of one is the strength of its wave, the angle its phase. The squared magnitude is the
# power.
#
# But a wave of 32.5 periods fits none of them, and it is cut off where the frame ends.
# **Question.** A loud tone, and one with a thousandth of its amplitude at a much higher frequency.
# In decibels, ten for each factor of ten in power, the second is 60 dB weaker. Will the spectrum
# show both?

# %%
size, t = 512, torch.arange(512) / rate
step = rate / size
hertz = torch.arange(size // 2 + 1) * step
tests = {
    "32 periods, no window": (32.0, torch.ones(size)),
    "32.5 periods, no window": (32.5, torch.ones(size)),
    "32.5 periods, Hann window": (32.5, spectrum.hann(size)),
}


def two_tones(turns):
    weak = torch.sin(2 * math.pi * 100 * step * t) / 1000
    return torch.sin(2 * math.pi * turns * step * t) + weak


# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 2.5), sharey=True, layout="constrained")
for axis, (title, (turns, window)) in zip(axes, tests.items()):
    found = spectrum.stft(two_tones(turns), size, window=window, centred=False)
    level = spectrum.decibels(spectrum.power(found), span=None)[:, 0]
    level = level - level.max()
    floor = float(level[torch.cat([torch.arange(85, 95), torch.arange(106, 116)])].mean())
    print(f"{title:26} at the weak tone {level[100]:6.1f} dB, around it {floor:6.1f} dB")
    axis.plot(hertz, level.clamp(min=-120), color=plots.LINES[0])
    axis.axvline(100 * step, color=plots.WRONG, linewidth=0.8, linestyle=":")
    axis.set(title=title, xlabel="hertz", ylim=(-120, 5))
axes[0].set_ylabel("decibels below the loudest")
axes[0].annotate(
    "the weak tone", (100 * step, -25), color=plots.WRONG, ha="left", xytext=(3300, -25)
)
save(figure, "leakage.png")

# %% [markdown]
# **Answer.** With 32 whole periods it does. With half a period more, the cut spreads power over all
# frequencies (leakage), and more than the weak tone has. The Hann window fades every frame in and
# out: the peak gets a little wider, and the weak tone is visible again. So frames are always
# windowed.
#
# Frame by frame this is an image: the spectrogram. **Question.** What does a longer frame show
# better, and what worse?


# %%
def show(axis, image, high, seconds, **settings):
    """A spectrogram (Q, F), time across in seconds, `high` at its top."""
    settings |= {"extent": (0, seconds, 0, high), "interpolation": "antialiased"}
    shown = axis.imshow(image, origin="lower", aspect="auto", cmap="magma", **settings)
    axis.spines[:].set_visible(False)
    return shown


# %%
piece = tune[: int(2.4 * rate)]  # circle, square, triangle, diamond
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), sharey=True, layout="constrained")
for axis, size in zip(axes, (128, 1024, 8192)):
    level = spectrum.decibels(spectrum.power(spectrum.stft(piece, size, min(size // 4, 256))))
    show(axis, level[: int(3000 / rate * size)], 3000, 2.4)
    axis.set(
        title=f"{size} samples: {1000 * size / rate:.0f} ms, {rate / size:.0f} Hz", xlabel="seconds"
    )
axes[0].set_ylabel("hertz")
save(figure, "frame_sizes.png")

# %% [markdown]
# **Answer.** Long frames separate tones of close frequencies, and smear in time what happens within
# them; short ones do the opposite. Milliseconds times hertz is the same in all three: 1,000.
#
# And the inverse loses nothing: every frame is windowed once more, all are added where they
# overlap, and each sample is divided by the sum of the squared windows there. That is the sound.

# %%
there = spectrum.stft(sound)
back = spectrum.istft(there, length=len(sound))
error = float((back - sound).abs().max())
print(f"STFT {tuple(there.shape)} and its inverse: largest difference {error:.1e} of 1")
if error > 1e-5:
    raise SystemExit("the inverse STFT does not give the sound")
quiet = there * (torch.arange(513) * rate / 1024 < 1000)[:, None]
keep("below_1000_hertz.wav", spectrum.istft(quiet, length=len(sound)))

# %% [markdown]
# The last file is the same sound with everything above 1,000 Hz set to zero: changed in the
# spectrogram, and turned into sound again.
#
# ## As the ear hears pitch
#
# 100 and 200 Hz are an octave apart, 5,000 and 5,100 sound alike. A mel is a step of pitch that the
# ear hears as equally large everywhere. Triangular filters of equal width in mels sum neighbouring
# frequencies to mel bands: 513 numbers become 40 or 80. Two scales are in use, and both are called
# mel.
#
# **Question.** A model trained on one of them is of little use with features of the other. How far
# are they apart?

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
grid = torch.arange(513) * rate / 1024
for scale, color in zip(("slaney", "htk"), plots.LINES):
    mels = mel.hertz_to_mel(grid.double(), scale)
    axes[0].plot(grid, mels / mels[-1], color=color, label=scale)
    filters = mel.mel_filters(rate, 1024, 12, scale=scale, area=None)
    axis = axes[1 if scale == "slaney" else 2]
    axis.plot(grid, filters.T, color=color, linewidth=1)
    axis.set(title=f"12 bands, {scale}, all of height 1", xlabel="hertz")
axes[0].set(title="pitch, the highest is 1", xlabel="hertz")
axes[0].legend(frameon=False)
save(figure, "mel_filters.png")

# %%
for scale in ("slaney", "htk"):
    points = mel.mel_points(42, 0, rate / 2, scale)[1:-1]
    low = int((points < 1000).sum())
    print(f"{scale:7} of 40 bands {low} have their centre below 1000 Hz; ", end="")
    print("numbers 10, 20, 30 at", *points[[9, 19, 29]].round().int().tolist(), "Hz")
empty = int((mel.mel_filters(rate, 256, 128).sum(1) == 0).sum())
print(f"128 bands over frames of 256 samples: {empty} of them contain no frequency bin")

# %% [markdown]
# **Answer.** Both give about a third of their bands to the lowest eighth of the frequencies, but
# band 20 is not band 20. Whisper, a published model of speech, and librosa, a library for sound,
# use Slaney's; check which one a model was trained with. And the last line: bands that are narrower
# than the distance of two frequency bins are always empty.
#
# ## Silence has a logarithm too
#
# The ear hears ratios: ten times the power is one step louder, wherever it begins. So power is
# taken as a logarithm, in decibels. **Question.** What is it for a second of silence, and what is
# the gradient there?

# %%
silent = torch.zeros(rate, requires_grad=True)
bare = spectrum.power(spectrum.stft(silent)).log10()
bare.sum().backward()
print(f"log10 of silence: {bare.min().item()}, its gradient: {silent.grad.max().item()}")
silent.grad = None
level = mel.log_mel(silent, rate)
level.sum().backward()
print(f"decibels with a floor: {level.min().item()}, gradient: {silent.grad.max().item()}")
if not (level.isfinite().all() and silent.grad.isfinite().all()):
    raise SystemExit("the decibels of silence are not finite")

# %%
powers = spectrum.power(spectrum.stft(sound))
steps = {
    "power": powers / powers.max(),
    "decibels, floor 1e-10": spectrum.decibels(powers, span=None),
    "decibels, 80 below the loudest": spectrum.decibels(powers),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), sharey=True, layout="constrained")
for axis, (title, image) in zip(axes, steps.items()):
    shown = show(axis, image[:257], rate / 4, len(sound) / rate)
    axis.set(title=title, xlabel="seconds")
    figure.colorbar(shown, ax=axis).outline.set_visible(False)
axes[0].set_ylabel("hertz")
save(figure, "decibels.png")

# %% [markdown]
# **Answer.** Minus infinity, and a gradient that is not a number and would spoil every weight it
# reaches. A floor under the power, applied *before* the logarithm, gives a finite value and the
# gradient 0.
#
# In the figure, power itself is black with a few spots: the loudest hide all else. In decibels the
# quiet parts are visible too, and with them the background noise; the span cuts off what lies far
# below the loudest point of each sound.
#
# ## A few numbers a frame
#
# 40 mel bands, and neighbours are highly correlated. The discrete cosine transform writes a column
# as waves of 0, 1, 2 ... half periods across the bands, and the first of them hold its overall
# shape: these are the MFCC (mel-frequency cepstral coefficients). **Question.** What is lost with
# 13 waves of 40?

# %%
bands = mel.log_mel(sound, rate, 1024, 256, mels=40)
column = int(bands.sum(0).argmax())  # where the most bands are strong
waves = mel.dct(40, 40).float()
figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
for k in range(4):
    axes[0].plot(waves[k], color=plots.LINES[k], label=f"wave {k}")
axes[0].set(title="the first four waves", xlabel="mel band", ylim=(-0.24, 0.36))
axes[0].legend(frameon=False, ncols=4, fontsize=7, loc="upper center")
axes[1].plot(bands[:, column], color=plots.QUIET, label="40 bands")
for count, color in zip((4, 13), plots.LINES):
    smooth = mel.mfcc(bands, count)[:, column] @ waves[:count]
    axes[1].plot(smooth, color=color, label=f"from {count} waves")
axes[1].set(title="the loudest frame", xlabel="mel band", ylabel="decibels")
axes[1].legend(frameon=False, fontsize=7)
save(figure, "mfcc.png")

# %%
for count in (4, 13, 40):
    error = (waves[:count].T @ mel.mfcc(bands, count) - bands).square().mean().sqrt()
    print(f"{count:2} waves of 40: error {float(error):5.2f} dB (RMS)")

# %% [markdown]
# **Answer.** The fine ripple; the envelope stays. In speech the envelope carries the vowel, and the
# ripple the pitch of the voice. That is why 13 coefficients were enough for speech recognition for
# thirty years.
#
# Other features are a single number a frame: the centroid, the spectrum's centre of mass (how
# bright); the roll-off, below which 85 % of it lies; zero crossings, how often the sign changes;
# the level (RMS, root mean square). **Question.** All eight shapes play the same note here. Which
# is the brightest?

# %%
heard = torch.stack([note(shape, "red", 1.0) for shape in SHAPES])
sizes = spectrum.stft(heard, 2048, 512).abs()
loud = features.rms(heard)
numbers = {
    "centroid Hz": features.spectral_centroid(sizes, rate),
    "roll-off Hz": features.spectral_rolloff(sizes, rate),
    "crossings": features.zero_crossing_rate(heard),
    "level": loud,
}
means = {name: (x * loud).sum(1) / loud.sum(1) for name, x in numbers.items()}  # loud frames count
print("220 Hz   ", *(f"{name:>12}" for name in means))
for row, shape in enumerate(SHAPES):
    print(f"{shape:9}", *(f"{float(x[row]):12.4g}" for x in means.values()))

# %%
noise = torch.randn(1, 4 * rate, generator=seeded(options.seed, 0))
crossings = features.zero_crossing_rate(noise)[0, 4:-4].mean()
print(f"a tone of 220 Hz should cross zero in {2 * 220 / rate:.4f} of the steps, ", end="")
print(f"the circle does in {float(means['crossings'][0]):.4f}; noise in {float(crossings):.2f}")

# %%
figure, axes = plt.subplots(3, 8, figsize=(12, 4.2), layout="constrained")
images = draw_many([Scene((Thing(shape, "red"),)) for shape in SHAPES], 64)
for row, shape in enumerate(SHAPES):
    axes[0, row].imshow(((images[row] + 1) / 2).permute(1, 2, 0))
    axes[0, row].set(title=shape, xticks=[], yticks=[])
    axes[1, row].plot(axis_of(heard[row], 1), heard[row], color=plots.LINES[0], linewidth=0.4)
    axes[1, row].set(ylim=(-0.15, 0.15), yticks=[], xticks=[])
    level = spectrum.decibels(spectrum.power(spectrum.stft(heard[row], 1024, 128)), span=60)
    show(axes[2, row], level[:257], 4000, 1)
    axes[2, row].set(xlabel="seconds", xticks=[0, 1], yticks=[0, 2000, 4000] if row == 0 else [])
axes[2, 0].set_ylabel("hertz")
save(figure, "shapes.png")

# %% [markdown]
# **Answer.** The star: three of its four harmonics lie at 5 to 7 times the pitch, and the figure
# shows them. The circle has one and lies lowest. Zero crossings have another order, with the
# triangle first: they are counted in time, and a high harmonic adds crossings only where it
# outweighs the lower ones. A tone crosses zero twice a period, noise at about every second sample.
# (The circle's figure is a little too low, since the frames at both ends lie partly beyond the
# sound.)
#
# ## The beat
#
# Where something begins, the spectrum rises. How much, in decibels, averaged over bands, is the
# onset strength. A beat is a time shift at which the onsets correlate with themselves (the
# autocorrelation); measured in frames it is called a lag. **Question.** If they correlate at half a
# second, they do at one second too. Which of the two do people tap?


# %%
def drum(beats, seconds=12.0):
    """A short note again and again, so many times a minute, and a weaker one halfway."""
    hit = note("triangle", "green", 0.2)
    hit = hit * torch.linspace(1, 0, len(hit)) ** 2
    sound, gap = torch.zeros(int(seconds * rate)), 60 / beats * rate
    for count in range(int(2 * seconds * beats / 60) - 1):
        start = int(count * gap / 2)
        sound[start : start + len(hit)] += hit[: len(sound) - start] * (1.0, 0.2)[count % 2]
    return sound


# %%
onsets = rhythm.onset_strength(drum(100), rate, 256)
lags = int(rhythm.SECONDS * rate) // 256
alike = rhythm.likeness(onsets, lags)[1:]
tempos = 60 * rate / (256 * torch.arange(1, lags))
prior = -0.5 * torch.log2(tempos / rhythm.LIKELY) ** 2
score = torch.log1p(1e6 * alike) + prior

# %%
figure, axes = plt.subplots(1, 4, figsize=(12, 2.6), layout="constrained")
first = onsets[: 4 * rate // 256]
axes[0].plot(axis_of(first, 4), first, color=plots.LINES[0])
axes[0].set(title="onset strength, 100 beats a minute", xlabel="seconds", ylabel="decibels")
curves = {"autocorrelation": alike, "prior of tempos": prior, "score": score}
for axis, (title, values), color in zip(axes[1:], curves.items(), plots.LINES[1:]):
    shown = (tempos > 30) & (tempos < rhythm.FASTEST)
    axis.plot(tempos[shown], values[shown], color=color)
    axis.set(title=title, xlabel="beats a minute", xscale="log")
    axis.set_xticks([40, 60, 100, 200], ["40", "60", "100", "200"])
    axis.minorticks_off()
best = float(rhythm.tempo(onsets, rate, 256))
axes[3].axvline(best, color=plots.WRONG, linewidth=0.8, linestyle=":")
save(figure, "tempo.png")

# %%
for beats in (50, 80, 100, 120, 150, 200):
    found = float(rhythm.tempo(rhythm.onset_strength(drum(beats), rate, 256), rate, 256))
    print(f"played {beats:3}, found {found:5.1f}, that is {found / beats:.2f} times")

# %% [markdown]
# **Answer.** The one closer to 120 beats a minute: a prior about people, a bell curve on a
# logarithmic scale, added to the logarithm of the autocorrelation. A tempo far from 120 may
# therefore be found at twice or half its value, and a listener may well agree. A lag is a whole
# number of frames, so even a right answer is off by a beat or two.
#
# ## All on one page


# %%
def page(sound, title, file):
    """Every feature of a sound, under its waveform, on one axis of time."""
    seconds, hop = len(sound) / rate, 256
    found = spectrum.stft(sound, 1024, hop)
    bands = mel.log_mel(sound, rate, 1024, hop, mels=64)
    grid = {"height_ratios": (1, 2, 1.6, 1.4, 1.6, 1, 1, 1)}
    shape = {"figsize": (9, 12), "layout": "constrained", "gridspec_kw": grid}
    figure, axes = plt.subplots(8, 1, sharex=True, **shape)
    axes[0].plot(axis_of(sound, seconds), sound, color=plots.LINES[0], linewidth=0.4)
    draw_images(axes[1:5], found, bands, seconds)
    draw_numbers(axes, sound, found, seconds)
    axes[0].set(title=title, ylabel="waveform")
    axes[7].set(xlabel="seconds", xlim=(0, seconds))
    save(figure, file)


# %%
def draw_images(axes, found, bands, seconds):
    """The four features that are images: spectrogram, mel bands, MFCC and notes."""
    powers = spectrum.power(found)
    waves = mel.mfcc(bands, 14)[1:]  # without the loudness; each row by its own spread:
    waves = (waves - waves.mean(1, keepdim=True)) / waves.std(1, keepdim=True).clamp(min=1e-6)
    images = (spectrum.decibels(powers), bands, waves, features.chroma(powers, rate))
    tops = (rate / 2 / 1000, 64, 13, 12)
    names = ("kilohertz", "mel band", "MFCC 1 to 13", "note")
    for axis, image, top, name in zip(axes, images, tops, names):
        show(axis, image, top, seconds)
        axis.set_ylabel(name)
    axes[3].set_yticks([note + 0.5 for note in range(0, 12, 2)], features.NOTES[::2])


# %%
def draw_numbers(axes, sound, found, seconds):
    """The features that are one number a frame: two over the spectrogram, three below."""
    centre, edge = (f(found.abs(), rate) / 1000 for f in over)
    axes[1].plot(axis_of(centre, seconds), centre, "white", linewidth=0.9, label="centroid")
    axes[1].plot(axis_of(edge, seconds), edge, "#7fd6ff", linewidth=0.9, label="roll-off")
    axes[1].legend(fontsize=7, loc="upper right", labelcolor="white", facecolor="#333333")
    rows = [f(sound, 1024, 256) for f in below] + [rhythm.onset_strength(sound, rate, 256, 1024)]
    names = ("zero crossings", "level (RMS)", "onsets (dB)")
    for axis, name, values, color in zip(axes[5:], names, rows, plots.LINES):
        axis.plot(axis_of(values, seconds), values, color=color)
        axis.set_ylabel(name)
    beats = float(rhythm.tempo(rows[-1], rate, 256))
    axes[7].set_title(f"tempo {beats:.0f} a minute", fontsize=8)


# %%
over = (features.spectral_centroid, features.spectral_rolloff)
below = (features.zero_crossing_rate, features.rms)
page(tune, "the tune of the world", "page_of_the_tune.png")
if said:
    page(sound, plots.shorten(name, 40), "page_of_the_recording.png")

# %% [markdown]
# Read it from above: what the waveform hides, the spectrogram shows; every row below it holds less
# information, in fewer numbers. The row of notes is called chroma: how strong each of the 12 notes
# is, whatever its octave. In the tune they climb there, and the A after 3 seconds stands where the
# first A stood. The note after it is a C and shows as G: it is the cross's, whose third harmonic is
# stronger than its pitch. The tempo is that of the notes, 0.6 seconds each. Speech gets one too,
# whether it has a beat or not.
#
# ## Another rate
#
# A model that was trained at 8,000 Hz needs sound at 8,000 Hz. Half the samples: so why not drop
# every second one? **Question.** A tone of 5,000 Hz, every second sample dropped. Which tone does
# it become at 8,000 Hz?

# %%
t = torch.arange(2 * rate, dtype=torch.float64) / rate  # float32 would add noise at -64 dB
tone = torch.sin(2 * math.pi * 5000 * t)
ways = {"dropped": tone[::2], "resampled": waveform.resample(tone, rate, 8000)}
for title, half in ways.items():
    power = spectrum.power(spectrum.stft(half, 1024, centred=False)).mean(-1)
    strongest, level = (
        int(power.argmax()) * 8000 / 1024,
        10 * half[1000:-1000].square().mean().log10(),
    )
    print(f"{title:10} level {float(level):7.1f} dB", end="")
    print(f", a tone of {strongest:.0f} Hz" if level > -60 else ", no tone")

# %%
sweep = torch.sin(2 * math.pi * 2000 * t**2)  # 4000 t Hz: up to 8000 after 2 s
sounds_shown = {
    "16,000 Hz: a rising tone": (sweep, rate),
    "8,000 Hz, every second dropped": (sweep[::2], 8000),
    "8,000 Hz, by a sinc filter": (waveform.resample(sweep, rate, 8000), 8000),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), sharey=True, layout="constrained")
for axis, (title, (x, its_rate)) in zip(axes, sounds_shown.items()):
    level = spectrum.decibels(spectrum.power(spectrum.stft(x, its_rate // 32)))
    show(axis, level, its_rate / 2, 2)
    axis.set(title=title, xlabel="seconds", ylim=(0, 8000))
axes[0].set_ylabel("hertz")
save(figure, "resampling.png")
for name, half in (("dropped.wav", sweep[::2]), ("filtered.wav", sounds_shown[title][0])):
    keep(name, half, 8000)

# %% [markdown]
# **Answer.** 3,000 Hz, as loud as before: at 8,000 Hz both have the same samples, and nothing
# afterwards can tell them apart. In the figure the tone is reflected at 4,000 Hz and comes back
# down (aliasing). So frequencies that the new rate cannot represent are first removed, by a
# low-pass filter: each new sample is a sum of old ones, weighted by a windowed sin(pi t) / (pi t)
# (a sinc function), t their distance.
#
# ## The world has sounds
#
# Shape is timbre, colour is pitch, place is stereo: so the sound determines what is there. A thing
# that goes from left to right shows the place alone.

# %%
star = Thing("star", "cyan", x=0.2, dx=0.6)
passing = world_sounds.sound_of_clip(Clip(Scene((star,)), (Motion("goes"),)), rate, 2.0)
keep("star_passes.wav", passing)
level = features.rms(passing, 4096, 512)
angle = torch.atan2(level[1], level[0]) / (math.pi / 2)
figure, axes = plt.subplots(1, 3, figsize=(10, 2.5), layout="constrained")
axes[0].imshow(((draw(Scene((star,)), 64) + 1) / 2).permute(1, 2, 0))
axes[0].set(title="the first frame", xticks=[], yticks=[])
for ear, color, values in zip(("left", "right"), plots.LINES, level):
    axes[1].plot(axis_of(values, 2), values, color=color, label=ear)
axes[1].set(title="level of each channel", xlabel="seconds", ylim=(0, None))
axes[1].legend(frameon=False)
axes[2].plot(axis_of(angle, 2), angle, color=plots.LINES[2])
axes[2].set(title="the estimated place", xlabel="seconds", ylabel="0 left, 1 right", ylim=(0, 1))
save(figure, "place.png")

# %% [markdown]
# Now new sounds, in noise: of any combination, size and place, and from 30 dB above the noise down
# to as strong as the noise. Nothing is trained. Three rules use the spectrum, averaged over time:
#
# - **Colour:** the lowest frequency with a tenth of the loudest power or more is the pitch.
# - **Place:** at that frequency, the amplitude in the right channel against that in the left.
# - **Shape:** the amplitudes of the harmonics (multiples of the pitch, 1 to 10 times): the shape
#   whose list is closest.
#
# **Question.** In how many are all three right? (A place counts as right within 0.05 of the width.)


# %%
def spectrum_of(sounds, size=4096):
    """The power in both channels, averaged over time: (B, 2, Q)."""
    return spectrum.power(spectrum.stft(sounds, size)).mean(-1)


def hear_color(powers, step):
    """The bin (B,) of the pitch in the spectrum, and the number (B,) of the colour."""
    both, rows = powers.sum(1), torch.arange(len(powers))
    lowest = (both > 0.1 * both.amax(1, keepdim=True)).int().argmax(1)
    near = torch.stack([both[rows, lowest + more] for more in range(6)], 1)  # up to its peak
    place = lowest + near.argmax(1)
    pitches = torch.tensor(list(world_sounds.PITCH.values())).log()
    return place, ((place * step).log()[:, None] - pitches).abs().argmin(1)


# %%
def hear_place(powers, place):
    """0 (left) to 1 (right), from the amplitude of the pitch in both channels: (B,)."""
    left, right = powers[torch.arange(len(powers)), :, place].sqrt().unbind(1)
    return torch.atan2(right, left) / (math.pi / 2)


def hear_shape(powers, color, step):
    """The number of the shape whose harmonics are nearest in direction: (B,)."""
    pitch = torch.tensor(list(world_sounds.PITCH.values()))[color]
    places = (pitch[:, None] * torch.arange(1, 11) / step).round().long()  # (B, 10)
    strong = sum(powers.sum(1).gather(1, places + off) for off in range(-2, 3)).sqrt()
    known = [[world_sounds.HARMONICS[s].get(k, 0.0) for k in range(1, 11)] for s in SHAPES]
    known = torch.nn.functional.normalize(torch.tensor(known), dim=1)
    return (strong @ known.T).argmax(1)


# %%
def new_sounds(count, seed, combinations=None, low=0.0, high=30.0):
    """Things, and their sounds (B, 2, S) in noise."""
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng, 1, combinations) for _ in range(count)]
    sounds = world_sounds.sound_of_scenes(scenes, rate).flatten(
        1
    )  # both channels as one sound: one noise level
    noisy = augment.add_noise(sounds, seeded(seed, 1), low=low, high=high)
    return [scene.things[0] for scene in scenes], noisy.unflatten(1, (2, -1))


def truth(things):
    """Numbers of colour and shape, and the place: each (B,)."""
    colors, shapes = (
        torch.tensor([names.index(getattr(t, kind)) for t in things])
        for kind, names in (("color", COLORS), ("shape", SHAPES))
    )
    return colors, shapes, torch.tensor([t.x for t in things])


# %%
count = 64 if options.quick else 500
things, sounds = new_sounds(count, options.seed + 17)
powers, step = torch.cat([spectrum_of(part) for part in sounds.split(50)]), rate / 4096
place, color = hear_color(powers, step)
across, shape = hear_place(powers, place), hear_shape(powers, color, step)
colors, shapes, places = truth(things)
right = {"colour": color == colors, "shape": shape == shapes}
right["place"] = (across - places).abs() < 0.05
right["all three"] = right["colour"] & right["shape"] & right["place"]
shares = {name: float(values.float().mean()) for name, values in right.items()}
for name, share in shares.items():
    print(f"{name:9} right in {share:.3f} of {count} sounds")

# %%
rows = [int((shapes == number).nonzero()[0]) for number in range(8) if (shapes == number).any()]
figure, axes = plt.subplots(2, len(rows), figsize=(1.5 * len(rows), 4), layout="constrained")
for column, row in enumerate(rows):
    axes[0, column].imshow(((draw(Scene((things[row],)), 64) + 1) / 2).permute(1, 2, 0))
    heard_as = f"{COLORS[color[row]]} {SHAPES[shape[row]]}\nat {across[row]:.2f}"
    axes[0, column].set(title=heard_as, xticks=[], yticks=[])
    level = spectrum.decibels(
        spectrum.power(spectrum.stft(sounds[row].mean(0), 1024, 128)), span=50
    )
    show(axes[1, column], level[:385], 6000, 1)
    axes[1, column].set(xlabel="seconds", xticks=[0, 1], yticks=[])
axes[1, 0].set(ylabel="hertz", yticks=[0, 3000, 6000])
figure.suptitle("true image, and above it the attributes from the sound: 0 is left, 1 is right")
save(figure, "heard.png")

# %% [markdown]
# **Answer.** In nearly all. That is no wonder, since the rules use how the sounds were made. A
# model without these rules must learn from examples. So the same question for the shape, with MFCC:
# the mean and the deviation over time of the first 7, 12 or 19 coefficients (without coefficient 0,
# the loudness), and the shape whose mean over the examples is closest. The examples are of 52
# combinations of colour and shape; 12 are never among them.
#
# **Question.** Will it recognise a shape in a colour that its examples do not have?


# %%
def fingerprint(sounds, count):
    """Mean and deviation of the MFCC 1 to `count` of both channels mixed: (B, 2 * count)."""
    bands = mel.log_mel(waveform.mix_to_mono(sounds), rate, 1024, 256, mels=40)
    waves = mel.mfcc(bands, count + 1)[:, 1:]
    return torch.cat([waves.mean(-1), waves.std(-1)], 1)


seen, unseen = split_combinations()
examples, their_sounds = new_sounds(count, options.seed + 18, seen, low=20)
trials = {"seen": new_sounds(count, options.seed + 19, seen, low=20)}
trials["unseen"] = new_sounds(count, options.seed + 20, unseen, low=20)
numbers, table = truth(examples)[1], {}

# %%
for waves in (7, 12, 19):
    known = fingerprint(their_sounds, waves)
    middle, spread = known.mean(0), known.std(0)
    centres = [((known - middle) / spread)[numbers == n].mean(0) for n in range(8)]
    for trial, (these, those) in trials.items():
        found = torch.cdist((fingerprint(those, waves) - middle) / spread, torch.stack(centres))
        hit = float((found.argmin(1) == truth(these)[1]).float().mean())
        table[f"{waves} MFCC, {trial}"] = hit
        print(f"{waves:2} MFCC, combinations {trial:11}: shape right in {hit:.2f}")
path = out / "mfcc_shapes.png"
print("figure:", plots.bars(table, path, label="shapes right; combinations seen or unseen"))

# %% [markdown]
# **Answer.** Less often than in colours of its examples, and the gap is widest with 19
# coefficients. The bands do not move with the pitch: the same shape, higher, fills other bands, and
# the higher coefficients encode where every harmonic lies. A rule that counts from the pitch is
# invariant to that. Features decide what is easy for a model, and what it must learn from examples.
# The next lesson trains a network on mel bands.

# %% [markdown]
# ## In the field's words
#
# The **short-time Fourier transform** (STFT) with a **Hann window**; its squared magnitude is the
# **spectrogram**. Long windows resolve frequencies, short ones times: the **time-frequency
# trade-off** (uncertainty principle). Frequencies above half the rate fold back: **aliasing**,
# above the **Nyquist frequency**. Energy in bins where no tone is: **spectral leakage**. **Mel
# filter bank**, **log-mel**, **cepstral coefficients** (MFCC, by a discrete cosine transform),
# **spectral centroid**, **roll-off**, **zero-crossing rate**, **chroma**, **onset strength**,
# **tempo** by autocorrelation. Computing the samples again from overlapping frames is
# **overlap-add**.
#
# **Left out here:** The constant-Q transform, pitch trackers (YIN), phase reconstruction
# (Griffin-Lim), source separation, and learned front ends that replace the filter bank.
#
# All terms, with their files: [glossary](glossary.md).

# %% [markdown]
# ## Three questions
#
# For pen and paper; the answers are in [answers.md](answers.md).
#
# 1. Sound at 16 kHz, windows of 400 samples, hop 160. What is the distance of two frequency bins,
#    and how many frames has a second?
#
# 2. A tone of 9 kHz is recorded at 16 kHz without a filter. What does the spectrogram show?
#
# 3. Why a logarithm on mel energies, and why then a cosine transform?

# %% [markdown]
# ## What was reached

# %%
report(
    "colour, shape and place from the sound", shares["all three"], 0.97, unjudged=options.unjudged
)
