"""Exercise features.spectral_centroid: how bright a sound is, in one number a frame."""

import torch
from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="features.spectral_centroid",
    order=60,
    target="scratchmm.audio.features:spectral_centroid",
    title="The centre of a spectrum",
    goal="the mean of the frequencies in Hz, each weighted by its magnitude; 0 for a silent frame",
    minutes=12,
    difficulty=2,
    section="A few numbers a frame",
    parts=("frequencies",),
    hints="""
        1. A spectrum of 3 frequencies at a rate of 8000 Hz: 0, 4000 Hz is half the rate, and 2000
           Hz lies between. With the magnitudes [0, 3, 1] the centre is (3 * 2000 + 1 * 4000) / 4 =
           2500 Hz. Twice as loud it is 2500 Hz again. With [0, 0, 0] there is nothing to divide by,
           and the answer is 0.
        2. A centre of mass: lay each magnitude as a weight at its frequency, and find where the row
           balances. Q frequencies come from frames of 2 * (Q - 1) samples: they go in equal steps
           from 0 to half the rate, both included. The lesson plots it over a spectrogram.
        3. hertz has the shape (Q), magnitude (..., Q, F): make hertz (Q, 1), so that it meets the
           axis before the last. Two sums over that axis give (..., F) each. Before dividing, put 1
           where the sum of the weights is 0: a 0 stays 0, and the gradient is a number too.
        4. hertz = torch.arange(Q) * rate / (2 * (Q - 1)); moment = (hertz[:, None] *
           magnitude).sum(-2); total = magnitude.sum(-2); return moment / torch.where(total > 0,
           total, 1)
    """,
)


def centre(magnitude: Tensor, rate: float) -> Tensor:
    """The oracle: one frame at a time, in float64; gradients go through it."""
    count = magnitude.shape[-2]
    columns = magnitude.double().transpose(-1, -2)
    found = []
    for column in columns.reshape(-1, count):
        total, moment = column.new_zeros(()), column.new_zeros(())
        for q in range(count):
            total = total + column[q]
            moment = moment + column[q] * (rate / 2 * q / (count - 1))
        found.append(moment / total if total > 0 else 0 * moment)
    return torch.stack(found).view(columns.shape[:-1]).to(magnitude.dtype)


def spectrum(case, B=2, Q=5, F=3, dtype=torch.float32):
    """Magnitudes that are nowhere 0."""
    return case.named(case.normal(B=B, Q=Q, F=F, dtype=dtype).abs() + 0.1, "B Q F")


@exercise.holds("a spectrum of one frequency has its centre there: q of Q lies at q * rate / size")
def one_frequency(spectral_centroid, case):
    cases = []
    for rate, count in ((8000, 5), (22050, 3), (16000, 4), (8000, 2)):
        alone = torch.eye(count)[None]
        hertz = torch.tensor([[rate * q / (2 * (count - 1)) for q in range(count)]])
        cases.append(((case.named(alone, "B Q F"), rate), hertz))
    case.each(spectral_centroid, *cases)


@exercise.holds("of several frequencies, each counts by its magnitude")
def weighted(spectral_centroid, case):
    magnitude = spectrum(case)
    case.equal(case.call(spectral_centroid, magnitude, 8000), centre(magnitude, 8000))
    case.unchanged()


@exercise.holds("loudness changes nothing, however quiet the sound")
def quiet(spectral_centroid, case):
    magnitude = spectrum(case, B=1)
    scaled = [case.named(loudness * magnitude, "B Q F") for loudness in (100.0, 1e-4, 1e-9)]
    case.each(spectral_centroid, *(((one, 8000), centre(magnitude, 8000)) for one in scaled))


@exercise.holds("a silent frame has the centre 0, and those beside it keep theirs")
def silence(spectral_centroid, case):
    magnitude = spectrum(case)
    magnitude[0, :, 1] = 0
    found = case.call(spectral_centroid, magnitude, 8000)
    case.finite(found)
    case.equal(found, centre(magnitude, 8000))


@exercise.holds("a single sound (Q, F) and channels (B, C, Q, F) do as well")
def axes(spectral_centroid, case):
    one = case.named(case.normal(Q=4, F=6).abs() + 0.1, "Q F")
    many = case.named(case.normal(B=2, C=3, Q=5, F=4).abs() + 0.1, "B C Q F")
    case.each(
        spectral_centroid,
        ((one, 11025), centre(one, 11025)),
        ((many, 11025), centre(many, 11025)),
    )


@exercise.holds("the centre has the precision of the spectrum")
def dtypes(spectral_centroid, case):
    magnitude = spectrum(case, Q=4, dtype=torch.float64)
    case.equal(case.call(spectral_centroid, magnitude, 16000), centre(magnitude, 16000))


@exercise.holds("the gradient reaches every magnitude")
def gradients(spectral_centroid, case):
    case.gradients(lambda x: spectral_centroid(x, 2), lambda x: centre(x, 2), spectrum(case))


@exercise.holds("the gradient of silence is a number too")
def gradient_of_silence(spectral_centroid, case):
    magnitude = spectrum(case)
    magnitude[1, :, 0] = 0
    magnitude.requires_grad_()
    found = case.call(spectral_centroid, magnitude, 8000)
    (slope,) = torch.autograd.grad(found.sum(), magnitude, allow_unused=True)
    case.finite(case.seen(slope))


exercise.mistakes("""
    size-is-the-count: number q is put at q * rate / Q, as if Q were the size of the frames
    - (rate / (2 * count - 2))
    + (rate / count)
    > the size is 2 * (Q - 1): frames of 8 samples have 5 frequencies

    by-power [convention]: the weights are the squares of the magnitudes
    - total = magnitude.sum(dim=-2)
    + magnitude = magnitude.square()
    + total = magnitude.sum(dim=-2)
    > weigh by the magnitude itself

    loudest: it is the frequency of the largest magnitude
    - return moment / torch.where(total > 0, total, 1)
    + return frequencies(magnitude, rate)[magnitude.argmax(dim=-2)] * (total > 0)
    > all frequencies count, each by its magnitude

    half-way: it is the frequency below which half of the magnitude lies: a median, not a mean
    - return moment / torch.where(total > 0, total, 1)
    + below = magnitude.cumsum(dim=-2) < total[..., None, :] / 2
    + return frequencies(magnitude, rate)[below.sum(dim=-2)]
    > a weighted mean

    along-time: the sum runs over the frames: one number for each frequency
    - total = magnitude.sum(dim=-2)
    + magnitude = magnitude.transpose(-1, -2)
    + total = magnitude.sum(dim=-2)
    > frequencies are the axis before the last: dim=-2

    nan-of-silence: a silent frame is divided by its sum, 0
    - torch.where(total > 0, total, 1)
    + total
    > put 1 for the sum where it is 0

    mended-after: nan is replaced after the division: the result is right, but its gradient is nan
    - return moment / torch.where(total > 0, total, 1)
    + return torch.where(total > 0, moment / total, 0)
    > put 1 for the sum before the division, where it is 0

    a-little-more: a small number is added to the sum, and draws quiet frames towards 0 Hz
    - torch.where(total > 0, total, 1)
    + (total + 1e-8)
    > only a sum that is 0 needs another divisor
""")

exercise.slips("""
    torch.arange(count, dtype=torch.float64) => torch.arange(1, count + 1, dtype=torch.float64)
    frequencies(magnitude, rate) => frequencies(magnitude, 1)
    torch.where(total > 0, total, 1) => magnitude.shape[-2]
    torch.where(total > 0, total, 1) => torch.where(total > 0, total, 1).detach()
    magnitude.sum(dim=-2) => magnitude.amax(dim=-2)
    magnitude.sum(dim=-2) => magnitude.sum(dim=(-2, -1))[..., None]
    total = magnitude.sum(dim=-2) => magnitude = magnitude.float(); total = magnitude.sum(dim=-2)
    moment / torch.where(total > 0, total, 1) => (moment / torch.where(total > 0, total, 1)).mean(-1)
    @ magnitude => @ magnitude.div_(torch.where(total > 0, total, 1)[..., None, :]) ;;
        moment / torch.where(total > 0, total, 1) => moment
    frequencies(magnitude, rate) => frequencies(magnitude, 2 * rate)
    dim=-2 => dim=1 ;; frequencies(magnitude, rate) @ magnitude => (frequencies(magnitude,
        rate)[:, None] * magnitude).sum(dim=1)
""")


def safe(total):
    return torch.where(total > 0, total, 1)


@exercise.right("shares first")
def shares_first(magnitude, rate):
    shares, count = magnitude / safe(magnitude.sum(-2, keepdim=True)), magnitude.shape[-2]
    hertz = torch.arange(count, dtype=torch.float64) * rate / (2 * (count - 1))
    return torch.einsum("...qf,q->...f", shares, hertz.to(magnitude.dtype))


@exercise.right("frequencies by linspace")
def by_linspace(magnitude, rate):
    hertz = torch.linspace(0, rate / 2, magnitude.shape[-2], dtype=magnitude.dtype)
    return (magnitude.transpose(-1, -2) @ hertz) / safe(magnitude.sum(-2))
