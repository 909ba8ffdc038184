"""Exercise audio_cnn.mean_over_time: a sound of any length becomes features of one size."""

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="audio_cnn.mean_over_time",
    order=20,
    target="scratchmm.audio.audio_cnn:mean_over_time",
    title="Sounds of any length",
    goal="the mean of every channel and band over the real frames of each sound, (B, D, m)",
    minutes=15,
    difficulty=2,
    section="Sounds of any length",
    hints="""
        1. One channel, one band, the frames [1, 3, 9], of which the first two are real: the mean
           is 2. It is not 4.33, with the padding counted, and not 1.33, with the padding set to
           zero but divided by 3. With no frame real it is 0.
        2. A batch is as long as its longest sound, so a short one is mostly padding. What it says
           must not depend on how much: neither the sum nor the number that it is divided by may
           count the padding. Bands stay apart: a vowel is told by the band that it sounds in.
        3. The mask (B, f) is shaped (B, 1, 1, f). Where it is False, set zeros in place of what
           stands there, which can be anything. The sum over the last axis, (B, D, m), is divided
           by each sound's own number of real frames, (B, 1, 1), of which there may be none.
        4. x.masked_fill(~real[:, None, None], 0.0).sum(dim=3) / real.sum(dim=1).clamp(min=1)[:,
           None, None]
    """,
)
LENGTHS = (2, 6, 4)


def padded(case, lengths=LENGTHS, f=6, D=3, m=4, dtype=torch.float32):
    """Features of sounds of these lengths, and their mask."""
    x = case.normal(B=len(lengths), D=D, m=m, f=f, dtype=dtype)
    real = case.named(torch.arange(f) < torch.tensor(lengths)[:, None], "B f")
    return x + 1, real  # no mean is 0 by chance


def slow(x, real):
    """The oracle: cell by cell."""
    found = torch.zeros(x.shape[:3], dtype=x.dtype)
    for b, frames in enumerate(real.tolist()):
        there = [t for t, told in enumerate(frames) if told]
        for t in there:
            found[b] = found[b] + x[b, :, :, t] / len(there)
    return found


@exercise.holds("without padding it is the mean over the frames; channels and bands stay apart")
def no_padding(mean_over_time, case):
    x, real = padded(case, (6, 6))
    case.equal(case.call(mean_over_time, x, real), x.mean(dim=3))


@exercise.holds("of the frames 1, 3, 9 with the first two real the mean is 2")
def example(mean_over_time, case):
    x = case.named(torch.tensor([[[[1.0, 3.0, 9.0]]]]), "B D m f")
    real = case.named(torch.tensor([[True, True, False]]), "B f")
    case.equal(case.call(mean_over_time, x, real), torch.tensor([[[2.0]]]))


@exercise.holds("each sound of a batch has its own number of real frames")
def own_length(mean_over_time, case):
    x, real = padded(case)
    case.equal(case.call(mean_over_time, x, real), slow(x, real))


@exercise.holds("real frames may stand anywhere")
def anywhere(mean_over_time, case):
    x, _ = padded(case)
    real = torch.tensor([[0, 1, 0, 0, 1, 1], [0, 0, 0, 1, 0, 0], [1, 0, 1, 1, 1, 0]]) > 0
    real = case.named(real, "B f")
    case.equal(case.call(mean_over_time, x, real), slow(x, real))


@exercise.holds("a sound without a real frame gives zeros")
def nothing_real(mean_over_time, case):
    x, real = padded(case, (0, 3, 1))
    case.equal(case.call(mean_over_time, x, real), slow(x, real))


@exercise.holds("padding may hold anything, even what is no number")
def garbage(mean_over_time, case):
    x, real = padded(case)
    dirty = case.named(torch.where(real[:, None, None], x, torch.nan), "B D m f")
    case.equal(case.call(mean_over_time, dirty, real), slow(x, real))


@exercise.holds("the result is float64 where the features are, and they stay as they were")
def kinds(mean_over_time, case):
    x, real = padded(case, dtype=torch.float64)
    case.equal(case.call(mean_over_time, x, real), slow(x, real))
    case.unchanged()


@exercise.holds("gradients reach the real frames, and those alone")
def gradients(mean_over_time, case):
    x, real = padded(case)
    case.gradients(lambda x: mean_over_time(x, real), lambda x: slow(x, real), x)


exercise.mistakes("""
    plain-mean: the mean goes over all frames, padding and all
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return x.mean(dim=3)
    > a short sound in a long batch is mostly padding: leave it out of sum and number

    plain-mean-too [of=plain-mean]
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return x.sum(dim=-1) / real.shape[1]

    divided-by-all: the padding is set to zero, but the sum is divided by the number of all frames
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return counted / real.shape[1]
    > zeros count too, when a mean is taken: divide by each sound's own number

    all-in-the-sum: it is divided by the real frames only, but the sum holds the padding too
    - counted = x.masked_fill(~real[:, None, None], 0.0).sum(dim=3)
    + counted = x.sum(dim=3)
    > set the padding to zero before you sum

    bands-too [convention]: the mean goes over the bands too, as it does over both axes of an image
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return (counted / real.sum(dim=1).clamp(min=1)[:, None, None]).mean(dim=2)
    > keep the bands, (B, D, m): here a sound in another band is another sound

    over-bands: the mean goes over the bands, and the frames stay
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return x.masked_fill(~real[:, None, None], 0.0).mean(dim=2)
    > frames are the last axis: that one goes

    loudest-frame [convention]: the largest value over time is taken, not the mean
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return x.masked_fill(~real[:, None, None], -torch.inf).amax(dim=3)
    > every real frame counts alike: sum them and divide

    number-of-the-longest: every sound is divided by the number of real frames of the longest
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return counted / real.sum(dim=1).max().clamp(min=1)
    > each has its own number, (B, 1, 1)

    mean-number: every sound is divided by the batch's mean number of real frames
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return counted / (real.sum() / len(real)).clamp(min=1)
    > sum the mask over time only: real.sum(dim=1)

    one-too-many: 1 is added to the number of frames, against division by zero
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return counted / (real.sum(dim=1)[:, None, None] + 1)
    > clamp(min=1) changes only where there is none

    nothing-by-nothing: where no frame is real, zero is divided by zero
    - return counted / real.sum(dim=1).clamp(min=1)[:, None, None]
    + return counted / real.sum(dim=1)[:, None, None]
    > let the number be at least 1: the sum is zero anyway

    times-the-mask: the padding is multiplied by zero, and nan times zero is nan
    - counted = x.masked_fill(~real[:, None, None], 0.0).sum(dim=3)
    + counted = (x * real[:, None, None]).sum(dim=3)
    > masked_fill or torch.where put a zero in its place, whatever it was

    first-frames: as many frames as are real are taken from the beginning, wherever the real ones
    are
    - counted = x.masked_fill(~real[:, None, None], 0.0).sum(dim=3)
    + begin = torch.arange(real.shape[1]) < real.sum(dim=1, keepdim=True)
    + counted = x.masked_fill(~begin[:, None, None], 0.0).sum(dim=3)
    > use the mask itself, not only how many there are

    zeros-written-into-it: the zeros are written into the caller's features
    - counted = x.masked_fill(~real[:, None, None], 0.0).sum(dim=3)
    + x.detach().masked_fill_(~real[:, None, None], 0.0)
    + counted = x.masked_fill(~real[:, None, None], 0.0).sum(dim=3)
    > masked_fill without the _ gives a new tensor

    in-float32: the result is float32, whatever the features are
    - counted = x.masked_fill(~real[:, None, None], 0.0).sum(dim=3)
    + counted = x.float().masked_fill(~real[:, None, None], 0.0).sum(dim=3)
    > leave the dtype to the features
""")


@exercise.right("by shares of each frame")
def by_shares(x, real):
    shares = real.to(x.dtype) / real.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("bdmf,bf->bdm", torch.where(real[:, None, None], x, 0.0), shares)


@exercise.right("sound by sound")
def one_by_one(x, real):
    nothing = x.new_zeros(x.shape[1:3])
    rows = [
        sound[..., there].mean(dim=2) if there.any() else nothing for sound, there in zip(x, real)
    ]
    return torch.stack(rows)
