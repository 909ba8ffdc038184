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
    hints=(
        "One channel, one band, the frames [1, 3, 9], of which the first two are real: the mean is "
        "2. It is not 4.33, with the padding counted, and not 1.33, with the padding set to zero but "
        "divided by 3. With no frame real it is 0.",
        "A batch is as long as its longest sound, so a short one is mostly padding. What it says must "
        "not depend on how much: neither the sum nor the number that it is divided by may count the "
        "padding. Bands stay apart: a vowel is told by the band that it sounds in.",
        "The mask (B, f) is shaped (B, 1, 1, f). Where it is False, set zeros in place of what stands "
        "there, which can be anything. The sum over the last axis, (B, D, m), is divided by each "
        "sound's own number of real frames, (B, 1, 1), of which there may be none.",
        "x.masked_fill(~real[:, None, None], 0.0).sum(dim=3) / "
        "real.sum(dim=1).clamp(min=1)[:, None, None]",
    ),
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


@exercise.holds("more padding changes nothing")
def more_padding(mean_over_time, case):
    x, real = padded(case)
    expected = slow(x, real)
    x = torch.cat([x, x[..., :5]], dim=3)
    real = torch.cat([real, torch.zeros(3, 5, dtype=torch.bool)], dim=1)
    case.equal(case.call(mean_over_time, x, real), expected)


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
