"""Wrong and other right answers to audio_cnn.class_activation."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("18_audio_cnn/class_activation").exercise

PRODUCT = '"kdm,bdmf->bkmf", weight, x'
ALL = f"torch.einsum({PRODUCT})"


def edit(id, new, *, story, advice, **told):
    """A wrong answer that returns another expression."""
    exercise.edit(id, (ALL, new), story=story, advice=advice, **told)


edit(
    "only-what-speaks-for-it",
    f"{ALL}.relu()",
    story="evidence against a class is cut off, as Grad-CAM does for showing",
    advice="leave what is negative: without it the mean is not the logit",
    convention=True,
)
edit(
    "absolute",
    f"{ALL}.abs()",
    story="evidence against a class is counted as evidence for it",
    advice="keep the sign",
)
edit(
    "softmax-over-classes",
    f"{ALL}.softmax(dim=1)",
    story="each cell's evidence is made into probabilities",
    advice="the logit is a mean of scores, not of probabilities: leave softmax away",
)
edit(
    "softmax-over-time",
    f"{ALL}.softmax(dim=3)",
    story="a softmax over time makes the frames compete",
    advice="evidence is what the cell adds to the logit: no softmax",
)
edit(
    "from-zero-to-one",
    f"(lambda e: (e - e.amin((2, 3), keepdim=True)) / (e.amax((2, 3), keepdim=True) - "
    f"e.amin((2, 3), keepdim=True)).clamp(min=1e-8))({ALL})",
    story="every map is stretched from 0 to 1, which is for showing",
    advice="stretch it when you draw it: here the mean has to be the logit",
    convention=True,
)
edit(
    "one-weight-for-all-bands",
    'torch.einsum("kd,bdmf->bkmf", weight.mean(dim=2), x)',
    story="a channel has one weight, its mean over the bands, as where both axes are pooled",
    advice="each band has weights of its own: weight[k, d, m]",
)
edit(
    "summed-over-the-weights'-bands",
    'torch.einsum("kdn,bdmf->bkmf", weight, x)',
    story="the weights of all bands are summed and used in every band",
    advice="the band of the weight is the band of the cell: the same letter",
)
edit(
    "mean-over-channels",
    f"{ALL} / x.shape[1]",
    story="the sum over channels is divided by how many they are",
    advice="the head sums: so must the evidence",
)
edit(
    "bands-upside-down",
    'torch.einsum("kdm,bdmf->bkmf", weight.flip(2), x)',
    story="the weights' bands are turned round: the lowest meets the highest",
    advice="band 0 of the weights belongs to band 0 of the grid",
)
edit(
    "channels-and-bands-mixed-up",
    'torch.einsum("kdm,bdmf->bkmf", weight.reshape(len(weight), -1, x.shape[1]).transpose(1, 2), x)',
    story="the weights are read as if bands came before channels",
    advice="the weight is (K, D, m) already: no reshape",
)
edit(
    "mean-already-taken",
    'torch.einsum("kdm,bdmf->bkmf", weight, x.mean(dim=3, keepdim=True).expand_as(x))',
    story="the mean over time is taken first, so all frames say the same",
    advice="the mean comes last: weigh every frame by itself",
)
edit(
    "bands-already-summed",
    'torch.einsum("kdm,bdmf->bkf", weight, x)',
    story="the bands are summed up: it says when, but not how high",
    advice="keep the bands: (B, K, m, f)",
)
edit(
    "time-and-bands-exchanged",
    'torch.einsum("kdm,bdmf->bkfm", weight, x)',
    story="frames come before bands",
    advice="the axes are (B, K, m, f), as in the spectrogram",
)
edit(
    "the-sounds-together",
    'torch.einsum("kdm,bdmf->kmf", weight, x).expand(len(x), -1, -1, -1)',
    story="the evidence is summed over the batch",
    advice="each sound has its own evidence: b stays",
)
edit(
    "detached",
    f"{ALL}.detach()",
    story="the numbers are right, but no gradient goes back",
    advice="no detach, no item",
)
edit(
    "in-float32",
    'torch.einsum("kdm,bdmf->bkmf", weight.float(), x.float())',
    story="the result is float32, whatever came in",
    advice="leave the dtype as it is",
)


@exercise.right("by broadcasting")
def by_broadcasting(x, weight):
    return (weight[None, :, :, :, None] * x[:, None]).sum(dim=2)


@exercise.right("band by band")
def band_by_band(x, weight):
    return torch.stack([weight[:, :, m] @ x[:, :, m] for m in range(x.shape[2])], dim=2)


@exercise.disguise("one-weight-for-all-bands")
def one_weight_for_all_bands_too(x, weight):
    return (weight.mean(2)[None, :, :, None, None] * x[:, None]).sum(2)


@exercise.disguise("only-what-speaks-for-it")
def only_what_speaks_for_it_too(x, weight):
    return by_broadcasting(x, weight).clamp(min=0)


@exercise.disguise("mean-over-channels")
def mean_over_channels_too(x, weight):
    return (weight[None, :, :, :, None] * x[:, None]).mean(dim=2)
