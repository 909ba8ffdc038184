"""Wrong and other right answers to audio_cnn.mean_over_time."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("18_audio_cnn/mean_over_time").exercise


def zeros_in_padding(x, real):
    return torch.where(real[:, None, None], x, torch.zeros((), dtype=x.dtype))


def count(real):
    return real.sum(dim=1).clamp(min=1)[:, None, None]


@exercise.wrong(
    "plain-mean",
    story="the mean goes over all frames, padding and all",
    advice="a short sound in a long batch is mostly padding: leave it out of sum and number",
)
def plain_mean(x, real):
    return x.mean(dim=3)


@exercise.wrong(
    "divided-by-all",
    story="the padding is set to zero, but the sum is divided by the number of all frames",
    advice="zeros count too, when a mean is taken: divide by each sound's own number",
)
def divided_by_all(x, real):
    return zeros_in_padding(x, real).mean(dim=3)


@exercise.wrong(
    "all-in-the-sum",
    story="it is divided by the real frames only, but the sum holds the padding too",
    advice="set the padding to zero before you sum",
)
def all_in_the_sum(x, real):
    return x.sum(dim=3) / count(real)


@exercise.wrong(
    "inverted",
    story="the mask is read the other way round: the mean goes over the padding",
    advice="True marks the frames of the sound",
)
def inverted(x, real):
    return zeros_in_padding(x, ~real).sum(dim=3) / count(~real)


@exercise.wrong(
    "bands-too",
    story="the mean goes over the bands too, as it does over both axes of an image",
    advice="keep the bands, (B, D, m): here a sound in another band is another sound",
    convention=True,
)
def bands_too(x, real):
    return (zeros_in_padding(x, real).sum(dim=3) / count(real)).mean(dim=2)


@exercise.wrong(
    "over-bands",
    story="the mean goes over the bands, and the frames stay",
    advice="frames are the last axis: that one goes",
)
def over_bands(x, real):
    return zeros_in_padding(x, real).mean(dim=2)


@exercise.wrong(
    "loudest-frame",
    story="the largest value over time is taken, not the mean",
    advice="every real frame counts alike: sum them and divide",
    convention=True,
)
def loudest_frame(x, real):
    return x.masked_fill(~real[:, None, None], -torch.inf).amax(dim=3)


@exercise.wrong(
    "only-summed",
    story="the real frames are summed and not divided, so that long sounds are large",
    advice="divide by how many they are",
)
def only_summed(x, real):
    return zeros_in_padding(x, real).sum(dim=3)


@exercise.wrong(
    "number-of-the-longest",
    story="every sound is divided by the number of real frames of the longest",
    advice="each has its own number, (B, 1, 1)",
)
def number_of_the_longest(x, real):
    return zeros_in_padding(x, real).sum(dim=3) / count(real).max()


@exercise.wrong(
    "mean-number",
    story="every sound is divided by the batch's mean number of real frames",
    advice="sum the mask over time only: real.sum(dim=1)",
)
def mean_number(x, real):
    return zeros_in_padding(x, real).sum(dim=3) / (real.sum() / len(real)).clamp(min=1)


@exercise.wrong(
    "one-too-many",
    story="1 is added to the number of frames, against division by zero",
    advice="clamp(min=1) changes only where there is none",
)
def one_too_many(x, real):
    return zeros_in_padding(x, real).sum(dim=3) / (real.sum(dim=1)[:, None, None] + 1)


@exercise.wrong(
    "nothing-by-nothing",
    story="where no frame is real, zero is divided by zero",
    advice="let the number be at least 1: the sum is zero anyway",
)
def nothing_by_nothing(x, real):
    return zeros_in_padding(x, real).sum(dim=3) / real.sum(dim=1)[:, None, None]


@exercise.wrong(
    "times-the-mask",
    story="the padding is multiplied by zero, and what is no number stays none",
    advice="masked_fill or torch.where put a zero in its place, whatever it was",
)
def times_the_mask(x, real):
    return (x * real[:, None, None]).sum(dim=3) / count(real)


@exercise.wrong(
    "first-frames",
    story="as many frames as are real are taken from the beginning, wherever the real ones are",
    advice="use the mask itself, not only how many there are",
)
def first_frames(x, real):
    begin = torch.arange(real.shape[1]) < real.sum(dim=1, keepdim=True)
    return zeros_in_padding(x, begin).sum(dim=3) / count(real)


@exercise.wrong(
    "first-mask",
    story="the first sound's mask serves for the whole batch",
    advice="each sound has its own row of the mask: (B, 1, 1, f)",
)
def first_mask(x, real):
    real = real[:1].expand_as(real)
    return zeros_in_padding(x, real).sum(dim=3) / count(real)


@exercise.wrong(
    "zeros-written-into-it",
    story="the zeros are written into the caller's features",
    advice="masked_fill without the _ gives a new tensor",
)
def zeros_written_into_it(x, real):
    with torch.no_grad():
        x.masked_fill_(~real[:, None, None], 0.0)
    return x.sum(dim=3) / count(real)


@exercise.wrong(
    "in-float32",
    story="the result is float32, whatever the features are",
    advice="leave the dtype to the features",
)
def in_float32(x, real):
    return zeros_in_padding(x, real).float().sum(dim=3) / count(real)


@exercise.wrong(
    "detached",
    story="the numbers are right, but no gradient goes back",
    advice="stay with tensors: no item(), no detach()",
)
def detached(x, real):
    return (zeros_in_padding(x, real).sum(dim=3) / count(real)).detach()


@exercise.right("by shares of each frame")
def by_shares(x, real):
    shares = real.to(x.dtype) / real.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("bdmf,bf->bdm", zeros_in_padding(x, real), shares)


@exercise.right("sound by sound")
def one_by_one(x, real):
    nothing = x.new_zeros(x.shape[1:3])
    rows = [
        sound[..., there].mean(dim=2) if there.any() else nothing for sound, there in zip(x, real)
    ]
    return torch.stack(rows)


@exercise.right("nan-mean")
def nan_mean(x, real):
    return x.masked_fill(~real[:, None, None], torch.nan).nanmean(dim=3).nan_to_num(0.0)


@exercise.disguise("divided-by-all")
def divided_by_all_too(x, real):
    return torch.einsum("bdmf,bf->bdm", zeros_in_padding(x, real), real.to(x)) / x.shape[-1]


@exercise.disguise("nothing-by-nothing")
def nothing_by_nothing_too(x, real):
    return torch.stack([sound[..., there].mean(dim=2) for sound, there in zip(x, real)])


@exercise.disguise("plain-mean")
def plain_mean_too(x, real):
    return x.sum(dim=-1) / real.shape[1]
