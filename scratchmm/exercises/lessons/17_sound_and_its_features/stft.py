"""Exercise spectrum.stft: which frequencies each frame of a sound has."""

import functools
import math

import torch
import torch.nn.functional as F

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
    hints=(
        "The frame 1 0 -1 0 turns once round in 4 samples. Multiplied by a wave of 0 turns it sums to "
        "0, by one of 1 turn to 2, by one of 2 turns (1 -1 1 -1) to 0: its spectrum is 0, 2, 0, and "
        "size // 2 + 1 = 3 numbers say all, since more turns than half the samples only repeat them.",
        "A frame cut out with sharp edges has frequencies that the sound has not: a window that fades "
        "in and out takes them away. And so that frame f lies around sample f * hop, half a frame is "
        "set before and behind the sound before it is cut.",
        "Refuse what is no sound. If centred, set size // 2 samples on both ends, of the pad_mode "
        "asked for. Cut frames (..., F, L), hop_of telling the hop. Multiply by the window (L,), which "
        "window_of brings to the right length and dtype. Transform the last axis with "
        "torch.fft.rfft: (..., F, Q). Time is the last axis of the result.",
        "check_sound(sound); sound = pad_ends(sound, size // 2, pad_mode) if centred; frames = "
        "frame(sound, size, hop_of(size, hop)); torch.fft.rfft(frames * window_of(size, window, "
        "sound)).transpose(-1, -2)",
    ),
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
    tone = case.named(torch.cos(2 * math.pi * 2 * torch.arange(8) / 8), "S")
    expected = torch.tensor([[0.0], [0], [4], [0], [0]])
    got = case.call(stft, tone, 8, 3, torch.ones(8), False)
    case.true(
        isinstance(got, torch.Tensor) and got.is_complex() and got.shape == (5, 1),
        "complex (Q=5, F=1)",
        got,
    )
    case.equal(got.real, expected, "the real part", tolerance=1e-3)


@exercise.holds("with a window of ones, every number is the sum of a frame times a wave")
def waves(stft, case):
    sound, window = case.normal(S=19), torch.ones(8)
    case.equal(case.call(stft, sound, 8, 3, window, False), summed(sound, 8, 3, window))


@exercise.holds("frames are faded in and out by the periodic Hann window")
def faded(stft, case):
    sound = case.normal(S=23)
    case.equal(case.call(stft, sound, 10, 3, None, False), summed(sound, 10, 3))


@exercise.holds("centred, half a frame of zeros lies before and behind the sound")
def in_the_middle(stft, case):
    calls = []
    for samples, size, hop in ((17, 8, 3), (4, 10, 2), (1, 6, 4)):
        sound = case.normal(S=samples)
        calls.append(((sound, size, hop), summed(centred(sound, size), size, hop)))
    case.each(stft, *calls)


@exercise.holds("pad_mode: the ends are the sound's reflection or its edge samples")
def ends(stft, case):
    calls = []
    for mode in ("reflect", "edge"):
        sound = case.normal(S=17)
        wanted = summed(centred(sound, 8, mode), 8, 3)
        calls.append(((sound, 8, 3, None, True, mode), wanted))
    case.each(stft, *calls)


@exercise.holds("the hop is a quarter of the size unless it is given")
def quarter(stft, case):
    sound = case.normal(S=29)
    case.equal(case.call(stft, sound, 12), summed(centred(sound, 12), 12, 3))


@exercise.holds("a window shorter than a frame lies in its middle, with zeros around it")
def short_window(stft, case):
    sound, window = case.normal(S=21), case.normal(L=5).abs() + 0.5
    whole = torch.cat([torch.zeros(2), window, torch.zeros(3)])
    case.equal(case.call(stft, sound, 10, 4, window, False), summed(sound, 10, 4, whole))


@exercise.holds("an odd size has (size + 1) / 2 frequencies, none of them at half the rate")
def odd(stft, case):
    sound = case.normal(S=25)
    case.equal(case.call(stft, sound, 9, 4), summed(centred(sound, 9), 9, 4))


@exercise.holds("a batch (B, S) and channels (B, C, S): each sound by itself")
def axes(stft, case):
    batch, channels = case.normal(B=2, S=19), case.normal(B=3, C=2, S=13)
    case.each(
        stft,
        ((batch, 8, 5, None, False), summed(batch, 8, 5)),
        ((channels, 6, 2, None, False), summed(channels, 6, 2)),
    )


@exercise.holds("a sound of float64 is transformed in float64")
def precise(stft, case):
    sound = case.normal(S=19, dtype=torch.float64)
    case.equal(case.call(stft, sound, 8, 5, None, False), summed(sound, 8, 5))


@exercise.holds("gradients reach the sound, and a window that is learned")
def gradients(stft, case):
    sound, window = case.normal(B=2, S=13), case.normal(L=6)

    @functools.wraps(stft)
    def parts(sound, window):
        return torch.view_as_real(stft(sound, 6, 4, window, False))

    def oracle(sound, window):
        return torch.view_as_real(summed(sound, 6, 4, window))

    case.gradients(parts, oracle, sound, window)


@exercise.holds("the sound is left as it was")
def unchanged(stft, case):
    case.call(stft, case.normal(S=19), 8, 3, None, False)
    case.unchanged()


@exercise.holds("samples that are whole numbers are refused with a ValueError")
def whole_numbers(stft, case):
    case.refuses(ValueError, stft, case.integers(-99, 99, S=19), 8)


@exercise.holds("a hop below 1 is refused with a ValueError, 0 too")
def no_hop(stft, case):
    for hop in (0, -2):
        case.refuses(ValueError, stft, case.normal(S=19), 8, hop)
