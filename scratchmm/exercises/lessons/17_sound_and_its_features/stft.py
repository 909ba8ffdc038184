"""Exercise spectrum.stft: which frequencies each frame of a sound has."""

import functools
import math

import torch
import torch.nn.functional as F

from scratchmm.audio.spectrum import check_sound, frame, hop_of, pad_ends, window_of
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="spectrum.stft",
    order=20,
    target="scratchmm.audio.spectrum:stft",
    title="Which frequencies",
    goal="frames times a window, and the Fourier transform of each: complex (..., Q, F)",
    minutes=20,
    difficulty=3,
    section="Which frequencies",
    needs=("spectrum.frame",),
    forbidden=("torch.stft",),
    hints="""
        1. The frame 1 0 -1 0 turns once round in 4 samples. Multiplied by a wave of 0 turns it sums
           to 0, by one of 1 turn to 2, by one of 2 turns (1 -1 1 -1) to 0: its spectrum is 0, 2, 0,
           and size // 2 + 1 = 3 numbers say all, since more turns than half the samples only repeat
           them.
        2. A frame cut out with sharp edges has frequencies that the sound has not: a window that
           fades in and out takes them away. And so that frame f lies around sample f * hop, half a
           frame is set before and behind the sound before it is cut.
        3. Refuse what is no sound. If centred, set size // 2 samples on both ends, of the pad_mode
           given. Cut frames (..., F, L), hop_of telling the hop. Multiply by the window (L,),
           which window_of brings to the right length and dtype. Transform the last axis with
           torch.fft.rfft: (..., F, Q). Time is the last axis of the result.
        4. check_sound(sound); sound = pad_ends(sound, size // 2, pad_mode) if centred; frames =
           frame(sound, size, hop_of(size, hop)); torch.fft.rfft(frames * window_of(size, window,
           sound)).transpose(-1, -2)
    """,
)


def summed(sound, size, hop, window=None):
    """The oracle, of a sound that is not centred: every frame times waves that are written out."""
    n = torch.arange(size, dtype=torch.float64)
    if window is None:
        window = 0.5 - 0.5 * torch.cos(2 * math.pi * n / size)
    turns = 2 * math.pi / size * torch.arange(size // 2 + 1.0).double()[:, None] * n
    columns = []
    for start in range(0, sound.shape[-1] - size + 1, hop):
        part = sound[..., start : start + size].double() * window.double()
        across = [(part[..., None, :] * wave).sum(-1) for wave in (turns.cos(), -turns.sin())]
        columns.append(torch.complex(*across))
    kind = torch.complex128 if sound.dtype == torch.float64 else torch.complex64
    return torch.stack(columns, dim=-1).to(kind)


def centred(sound, size, mode="constant"):
    """The sound with half a frame before and behind it."""
    half = (size // 2, size // 2)
    mode = "replicate" if mode == "edge" else mode
    return F.pad(sound[None], half, mode=mode)[0]


@exercise.holds("two turns in a frame of 8 samples: 4 at frequency 2, and nothing elsewhere")
def two_turns(stft, case):
    tone = case.named(torch.cos(2 * math.pi * 2 * torch.arange(8) / 8 + 1), "S")
    got = torch.as_tensor(case.call(stft, tone, 8, 3, torch.ones(8), False))
    case.true(got.is_complex() and got.shape == (5, 1), "complex (Q=5, F=1)", got)
    case.equal(got.abs(), torch.tensor([0.0, 0, 4, 0, 0])[:, None], "the magnitudes", 1e-3)


@exercise.holds("with a window of ones, every number is the sum of a frame times a wave")
def waves(stft, case):
    sound, window = case.normal(S=19), torch.ones(8)
    case.equal(case.call(stft, sound, 8, 3, window, False), summed(sound, 8, 3, window))
    case.unchanged()


@exercise.holds("frames are faded in and out by the periodic Hann window")
def faded(stft, case):
    sound = case.normal(S=23)
    case.equal(case.call(stft, sound, 10, 3, None, False), summed(sound, 10, 3))


@exercise.holds("centred, half a frame of zeros lies before and behind the sound")
def in_the_middle(stft, case):
    calls = []
    for samples, size, hop in ((17, 8, 3), (4, 10, 2), (1, 6, 4), (25, 9, 4)):
        sound = case.normal(S=samples)
        calls.append(((sound, size, hop), summed(centred(sound, size), size, hop)))
    case.each(stft, *calls)


@exercise.holds("pad_mode: the ends are the sound's reflection or its edge samples")
def ends(stft, case):
    sound = case.normal(S=17)
    wanted = {mode: summed(centred(sound, 8, mode), 8, 3) for mode in ("reflect", "edge")}
    case.each(stft, *(((sound, 8, 3, None, True, mode), wanted[mode]) for mode in wanted))


@exercise.holds("the hop is a quarter of the size unless it is given")
def quarter(stft, case):
    sound = case.normal(S=29)
    case.equal(case.call(stft, sound, 12), summed(centred(sound, 12), 12, 3))


@exercise.holds("a window shorter than a frame lies in its middle, with zeros around it")
def short_window(stft, case):
    sound, window = case.normal(S=21), case.normal(L=5).abs() + 0.5
    whole = torch.cat([torch.zeros(2), window, torch.zeros(3)])
    case.equal(case.call(stft, sound, 10, 4, window, False), summed(sound, 10, 4, whole))


@exercise.holds("a batch (B, S) and channels (B, C, S): each sound by itself, float64 in float64")
def axes(stft, case):
    sounds = case.normal(B=2, S=19, dtype=torch.float64), case.normal(B=3, C=2, S=19)
    case.each(stft, *(((sound, 8, 5, None, False), summed(sound, 8, 5)) for sound in sounds))


@exercise.holds("gradients reach the sound, and a window that is learned")
def gradients(stft, case):
    sound, window = case.normal(B=2, S=13), case.normal(L=6)

    @functools.wraps(stft)
    def parts(sound, window):
        return torch.view_as_real(stft(sound, 6, 4, window, False))

    def oracle(sound, window):
        return torch.view_as_real(summed(sound, 6, 4, window))

    case.gradients(parts, oracle, sound, window)


@exercise.holds("whole numbers, and a hop below 1, 0 too, are refused with a ValueError")
def refused(stft, case):
    case.refuses(ValueError, stft, case.integers(-99, 99, S=19), 8)
    for hop in (0, -2):
        case.refuses(ValueError, stft, case.normal(S=19), 8, hop)


exercise.mistakes("""
    symmetric-window [convention]: the Hann window ends in a zero as it begins with one: the
    symmetric one, for filters
    - windowed = frames * window_of(size, window, sound)
    + window = torch.hann_window(size, periodic=False) if window is None else window
    + windowed = frames * window_of(size, window, sound)
    > the periodic one, whose next sample would be the zero: window_of has it

    window-on-the-frequencies: the window is multiplied onto the spectrum
    - windowed = frames * window_of(size, window, sound)
    + windowed = frames
    - torch.fft.rfft(windowed)
    + (torch.fft.rfft(frames) * window_of(size, window, sound)[: size // 2 + 1])
    > it fades the samples of a frame: multiply before the transform

    always-reflected [convention]: the ends are a reflection whatever pad_mode is, as in torch.stft
    - pad_ends(sound, size // 2, pad_mode)
    + pad_ends(sound, size // 2, "reflect")
    > hand pad_mode on: zeros unless something else is given

    half-the-size [convention]: the hop is half the size where none is given
    - hop_of(size, hop)
    + max(1, size // 2) if hop is None else hop
    > a quarter: hop_of knows

    zero-is-none: a hop of 0 is not refused: `or` takes it for none given
    - hop_of(size, hop)
    + hop or max(1, size // 4)
    > test whether hop is None: hop_of does, and refuses what is below 1

    magnitude: only the magnitudes are returned, not the phases
    - return torch.fft.rfft(windowed).transpose(-1, -2)
    + return torch.fft.rfft(windowed).transpose(-1, -2).abs()
    > the complex numbers themselves: the way back needs both

    divided-by-the-root [convention]: the sums are divided by the root of the size
    - torch.fft.rfft(windowed)
    + torch.fft.rfft(windowed, norm="ortho")
    > they are plain sums

    last-frame-dropped [convention]: the last frame is dropped, as Whisper does
    - return torch.fft.rfft(windowed).transpose(-1, -2)
    + return torch.fft.rfft(windowed).transpose(-1, -2)[..., : max(1, frames.shape[-2] - 1)]
    > keep it: F = 1 + S // hop where centred

    whole-numbers-too: whole numbers are taken for samples, 32767 times too loud
    - check_sound(sound)
    + sound = sound if sound.is_floating_point() else sound.float()
    > refuse them with a ValueError: check_sound does
""")

exercise.slips("""
    window_of(size, window, sound) => window_of(size, window, sound) ** 2
    window_of(size, window, sound) =>
        window_of(size, torch.hamming_window(size) if window is None else window, sound)
    window_of(size, window, sound) =>
        window_of(size, window if window is None else F.pad(window, (0, size - len(window))), sound)
    pad_ends(sound, size // 2, pad_mode) => F.pad(sound, (0, size // 2 * 2))
    check_sound(sound) => check_sound(sound); sound = sound.float()
    rfft(windowed).transpose(-1, -2) => rfft(windowed).transpose(-1, -2)[..., : size // 2, :]
    torch.fft.rfft(windowed).transpose(-1, -2) => torch.fft.rfft(windowed, dim=-2)
    torch.fft.rfft(windowed) => torch.fft.rfft(windowed).abs().square()
    torch.fft.rfft(windowed) => torch.fft.rfft(windowed).real.to(frames)
    torch.fft.rfft(windowed) => torch.fft.rfft(windowed).conj()
    torch.fft.rfft(windowed) => torch.fft.rfft(windowed, norm="forward")
    torch.fft.rfft(windowed) => (torch.fft.rfft(windowed) / window_of(size, window, sound).sum())
    torch.fft.rfft => torch.fft.fft
""")


def prepared(sound, size, hop, window, centred, pad_mode):
    """The frames, faded."""
    check_sound(sound)
    if centred:
        sound = pad_ends(sound, size // 2, pad_mode)
    return frame(sound, size, hop_of(size, hop)) * window_of(size, window, sound)


@exercise.right("a matrix of waves")
def waves_answer(sound, size=1024, hop=None, window=None, centred=True, pad_mode="constant"):
    frames = prepared(sound, size, hop, window, centred, pad_mode)
    turns = 2 * math.pi / size * torch.arange(size // 2 + 1).double()[:, None] * torch.arange(size)
    parts = [(wave.to(frames) @ frames.mT) for wave in (turns.cos(), -turns.sin())]
    return torch.complex(*parts)


@exercise.right("all frequencies, and the upper half left out")
def lower_half(sound, size=1024, hop=None, window=None, centred=True, pad_mode="constant"):
    frames = prepared(sound, size, hop, window, centred, pad_mode)
    return torch.fft.fft(frames).movedim(-1, -2)[..., : size // 2 + 1, :]
