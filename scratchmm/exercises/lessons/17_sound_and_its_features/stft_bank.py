"""Wrong and other right answers to spectrum.stft."""

import math

import torch

from scratchmm.audio.spectrum import check_sound, frame, hop_of, pad_ends, window_of
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("17_sound_and_its_features/stft").exercise

PAD = "sound = pad_ends(sound, size // 2, pad_mode)"
FRAMES = "frame(sound, size, hop_of(size, hop))"
FADED = "frames * window_of(size, window, sound)"
RESULT = "torch.fft.rfft(windowed).transpose(-1, -2)"

exercise.edit(
    "no-window",
    (FADED, "frames"),
    story="frames are transformed as they were cut, with sharp edges",
    advice="multiply each by the window first",
)
exercise.edit(
    "symmetric-window",
    (
        FADED,
        "frames * (torch.hann_window(size, periodic=False).to(sound) if window is None"
        " else window_of(size, window, sound))",
    ),
    story="the Hann window ends in a zero as it begins with one: the symmetric one, for filters",
    advice="the periodic one, whose next sample would be the zero: window_of has it",
    convention=True,
)
exercise.edit(
    "hamming",
    (
        FADED,
        "frames * (torch.hamming_window(size).to(sound) if window is None"
        " else window_of(size, window, sound))",
    ),
    story="the window is Hamming's, which does not fade to 0",
    advice="Hann's: window_of has it",
    convention=True,
)
exercise.edit(
    "window-twice",
    (FADED, "frames * window_of(size, window, sound) ** 2"),
    story="the window is applied twice",
    advice="once here; the second time is on the way back",
)
exercise.edit(
    "window-on-the-frequencies",
    (FADED, "frames"),
    (RESULT, "(torch.fft.rfft(frames) * window_of(size, window, sound)[: size // 2 + 1]).mT"),
    story="the window is multiplied onto the spectrum",
    advice="it fades the samples of a frame: multiply before the transform",
)
exercise.edit(
    "window-at-the-front",
    (
        FADED,
        "frames * F.pad(window_of(size if window is None else len(window), window, sound),"
        " (0, size - (size if window is None else len(window))))",
    ),
    story="a window shorter than a frame lies at its start",
    advice="it lies in the middle: window_of puts zeros on both sides",
)
exercise.edit(
    "never-centred",
    ("if centred:", "if False:"),
    story="nothing is set before and behind the sound, though centred is True",
    advice="size // 2 samples on both ends, so that frame f lies around sample f * hop",
)
exercise.edit(
    "always-centred",
    ("if centred:", "if True:"),
    story="the sound is padded even where centred is False",
    advice="then frame 0 begins at sample 0",
)
exercise.edit(
    "a-whole-frame-on-the-ends",
    (PAD, "sound = pad_ends(sound, size, pad_mode)"),
    story="a whole frame is set on both ends, not half of one",
    advice="size // 2: then the middle of frame 0 is sample 0",
)
exercise.edit(
    "all-behind",
    (PAD, "sound = F.pad(sound, (0, size // 2 * 2))"),
    story="the zeros are all set behind the sound",
    advice="half of them before, half behind",
)
exercise.edit(
    "always-zeros",
    (PAD, 'sound = pad_ends(sound, size // 2, "constant")'),
    story="the ends are zeros whatever pad_mode says",
    advice="hand pad_mode on",
)
exercise.edit(
    "always-reflected",
    (PAD, 'sound = pad_ends(sound, size // 2, "reflect")'),
    story="the ends are the sound's reflection whatever pad_mode says, as in torch.stft",
    advice="hand pad_mode on: zeros unless something else is asked for",
    convention=True,
)
exercise.edit(
    "half-the-size",
    (FRAMES, "frame(sound, size, max(1, size // 2) if hop is None else hop)"),
    story="the hop is half the size where none is given",
    advice="a quarter: hop_of knows",
    convention=True,
)
exercise.edit(
    "hop-not-heard",
    (FRAMES, "frame(sound, size, hop_of(size, None))"),
    story="the hop is always a quarter of the size",
    advice="only unless one is given: hop_of(size, hop)",
)
exercise.edit(
    "both-halves",
    (RESULT, "torch.fft.fft(windowed).transpose(-1, -2)"),
    story="all `size` frequencies are returned; the upper half mirrors the lower",
    advice="of samples that are real, size // 2 + 1 say everything: torch.fft.rfft",
)
exercise.edit(
    "half-a-rate-missing",
    (RESULT, "torch.fft.rfft(windowed).transpose(-1, -2)[..., : max(1, size // 2), :]"),
    story="size // 2 frequencies are returned: the last one is missing",
    advice="from 0 to half the rate there are size // 2 + 1",
)
exercise.edit(
    "axes-exchanged",
    (RESULT, "torch.fft.rfft(windowed)"),
    story="the result is (..., F, Q): a row a frame",
    advice="time is the last axis: (..., Q, F)",
)
exercise.edit(
    "along-the-frames",
    (RESULT, "torch.fft.rfft(windowed, dim=-2)"),
    story="the transform runs along the frames, not along the samples of each",
    advice="transform the axis of the samples, then exchange the two",
)
exercise.edit(
    "magnitude",
    (RESULT, "torch.fft.rfft(windowed).transpose(-1, -2).abs()"),
    story="only how strong each frequency is comes back, not where in its turn it is",
    advice="the complex numbers themselves: the way back needs both",
)
exercise.edit(
    "power-at-once",
    (RESULT, "torch.fft.rfft(windowed).transpose(-1, -2).abs().square()"),
    story="the power is returned",
    advice="the complex numbers themselves; power() comes after",
)
exercise.edit(
    "real-part",
    (RESULT, "torch.fft.rfft(windowed).transpose(-1, -2).real.to(frames.dtype)"),
    story="only the real part is returned, which a shifted tone does not have",
    advice="both parts: a complex tensor",
)
exercise.edit(
    "turned-the-other-way",
    (RESULT, "torch.fft.rfft(windowed).transpose(-1, -2).conj()"),
    story="the waves turn the other way: exp(+2 pi i ...)",
    advice="exp(-2 pi i q n / size), as torch.fft.rfft does it",
)
exercise.edit(
    "divided-by-the-root",
    (RESULT, 'torch.fft.rfft(windowed, norm="ortho").transpose(-1, -2)'),
    story="the sums are divided by the root of the size",
    advice="they are plain sums",
    convention=True,
)
exercise.edit(
    "divided-by-the-size",
    (RESULT, 'torch.fft.rfft(windowed, norm="forward").transpose(-1, -2)'),
    story="the sums are divided by the size",
    advice="they are plain sums",
    convention=True,
)
exercise.edit(
    "divided-by-the-window",
    (RESULT, "(torch.fft.rfft(windowed) / window_of(size, window, sound).sum()).transpose(-1, -2)"),
    story="the sums are divided by the sum of the window, so that a tone has its own height",
    advice="they are plain sums",
    convention=True,
)
exercise.edit(
    "last-frame-dropped",
    (RESULT, "torch.fft.rfft(windowed).transpose(-1, -2)[..., : max(1, frames.shape[-2] - 1)]"),
    story="the last frame is dropped, as Whisper does",
    advice="keep it: F = 1 + S // hop where centred",
    convention=True,
)
exercise.edit(
    "always-float32",
    ("check_sound(sound)", "check_sound(sound)\n    sound = sound.float()"),
    story="the sound is made float32 first",
    advice="work in the precision that it has",
)
exercise.edit(
    "window-not-learned",
    (FADED, "frames * window_of(size, window, sound).detach()"),
    story="the window is cut off from its gradient",
    advice="no detach(): a window may be learned",
)
exercise.edit(
    "faded-in-place",
    (
        FADED,
        "(frames if sound.requires_grad else sound.mul_(0.5).unfold(-1, size, hop_of(size, hop))"
        " * 2) * window_of(size, window, sound)",
    ),
    story="the caller's samples themselves are changed",
    advice="frames are a view of the sound: frames * window makes new ones",
)
exercise.edit(
    "zero-is-none",
    ("hop_of(size, hop)", "hop or max(1, size // 4)"),
    story="it does not refuse a hop of 0: `or` takes it for none given",
    advice="ask whether hop is None: hop_of does, and refuses what is below 1",
)
exercise.edit(
    "whole-numbers-too",
    ("check_sound(sound)", "sound = sound if sound.is_floating_point() else sound.float()"),
    story="whole numbers are taken for samples, 32767 times too loud",
    advice="refuse them with a ValueError: check_sound does",
)


@exercise.disguise("both-halves")
def both_halves_too(sound, size=1024, hop=None, window=None, centred=True, pad_mode="constant"):
    frames = prepared(sound, size, hop, window, centred, pad_mode)
    return torch.fft.fft(frames.mT, dim=-2)


@exercise.disguise("axes-exchanged")
def axes_exchanged_too(sound, size=1024, hop=None, window=None, centred=True, pad_mode="constant"):
    return waves(sound, size, hop, window, centred, pad_mode).mT


def prepared(sound, size, hop, window, centred, pad_mode):
    """The frames, faded."""
    check_sound(sound)
    if centred:
        sound = pad_ends(sound, size // 2, pad_mode)
    return frame(sound, size, hop_of(size, hop)) * window_of(size, window, sound)


@exercise.right("a matrix of waves")
def waves(sound, size=1024, hop=None, window=None, centred=True, pad_mode="constant"):
    frames = prepared(sound, size, hop, window, centred, pad_mode)
    turns = 2 * math.pi / size * torch.arange(size // 2 + 1).double()[:, None] * torch.arange(size)
    parts = [(wave.to(frames) @ frames.mT) for wave in (turns.cos(), -turns.sin())]
    return torch.complex(*parts)


@exercise.right("all frequencies, and the upper half left out")
def lower_half(sound, size=1024, hop=None, window=None, centred=True, pad_mode="constant"):
    frames = prepared(sound, size, hop, window, centred, pad_mode)
    return torch.fft.fft(frames).movedim(-1, -2)[..., : size // 2 + 1, :]


@exercise.right("frame by frame")
def one_by_one(sound, size=1024, hop=None, window=None, centred=True, pad_mode="constant"):
    frames = prepared(sound, size, hop, window, centred, pad_mode)
    return torch.stack([torch.fft.rfft(one) for one in frames.unbind(-2)], dim=-1)
