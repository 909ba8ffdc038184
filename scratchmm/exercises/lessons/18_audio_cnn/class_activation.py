"""Exercise audio_cnn.class_activation: which bands and moments spoke for a class."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="audio_cnn.class_activation",
    order=50,
    target="scratchmm.audio.audio_cnn:class_activation",
    title="Where the evidence lies",
    goal="what every cell of the grid says for every class, by the head's own weights, (B, K, m, f)",
    minutes=15,
    difficulty=2,
    section="Where the evidence lies",
    needs=("audio_cnn.mean_over_time",),
    hints="""
        1. Two channels, one band, two frames: [1, 2] and [0, 1]. A class whose weights are 1 for
           the first channel and -1 for the second has the evidence [1, 1]. One whose weights are 0
           and 2 has [0, 2].
        2. The logit is a sum over channels and bands of a weight times a mean over time. A sum and
           a mean can change places: take the weighted sum in each frame first, and the mean of that
           is the same logit. What stood in each cell before the mean is its evidence.
        3. x is (B, D, m, f), the weight (K, D, m). For each sound, class, band and frame: multiply
           over channels and sum, with the weights of that band. Channels go away, bands and frames
           stay: (B, K, m, f). What speaks against a class is negative and stays so.
        4. torch.einsum("kdm,bdmf->bkmf", weight, x)
    """,
)


def given(case, B=2, D=3, m=4, f=6, K=5, dtype=torch.float32):
    x = case.normal(B=B, D=D, m=m, f=f, dtype=dtype)
    return x, case.normal(K=K, D=D, m=m, dtype=dtype)


def slow(x, weight):
    """The oracle: class by class, channel by channel, band by band."""
    (B, D, m, f), K = x.shape, len(weight)
    found = torch.zeros(B, K, m, f, dtype=x.dtype)
    for k in range(K):
        for d in range(D):
            for band in range(m):
                part = weight[k, d, band] * x[:, d, band]
                found = found + F.pad(part[:, None, None], (0, 0, band, m - 1 - band, k, K - 1 - k))
    return found


@exercise.holds("a class with weights for one channel only has that channel as its evidence")
def one_channel(class_activation, case):
    x, _ = given(case, D=3, K=3)
    weight = case.named(torch.eye(3)[:, :, None].expand(3, 3, 4).contiguous(), "K D m")
    case.equal(case.call(class_activation, x, weight), x)


@exercise.holds("[1, 2] with weight 1 and [0, 1] with weight -1 make the evidence [1, 1]")
def example(class_activation, case):
    x = case.named(torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]]]]), "B D m f")
    weight = case.named(torch.tensor([[[1.0], [-1.0]]]), "K D m")
    case.equal(case.call(class_activation, x, weight), torch.tensor([[[[1.0, 1.0]]]]))


@exercise.holds("a class with weights for one band only has no evidence in the others")
def one_band(class_activation, case):
    x, weight = given(case)
    weight = case.named(weight * (torch.arange(4) == 1), "K D m")
    case.equal(case.call(class_activation, x, weight), slow(x, weight))


@exercise.holds("each cell is a sum over channels, with the weights of its band")
def every_cell(class_activation, case):
    x, weight = given(case)
    case.equal(case.call(class_activation, x, weight), slow(x, weight))


@exercise.holds("its mean over time, summed over bands, is what the Linear head makes of the means")
def the_logits(class_activation, case):
    x, weight = given(case)
    got = case.call(class_activation, x, weight)
    expected = F.linear(x.mean(dim=3).flatten(1), weight.flatten(1))
    case.equal(got.mean(dim=3).sum(dim=2), expected, "the logits without their bias", 1e-4)


@exercise.holds("no sound's evidence depends on another sound")
def alone(class_activation, case):
    x, weight = given(case, B=3)
    louder = case.named(x * torch.tensor([1.0, 30.0, 0.0])[:, None, None, None], "B D m f")
    case.equal(case.call(class_activation, louder, weight), slow(louder, weight))


@exercise.holds("features and weights stay as they were; float64 stays float64")
def kinds(class_activation, case):
    x, weight = given(case, dtype=torch.float64)
    case.equal(case.call(class_activation, x, weight), slow(x, weight))
    case.unchanged()


@exercise.holds("gradients reach the features and the weights")
def gradients(class_activation, case):
    x, weight = given(case)
    case.gradients(class_activation, slow, x, weight)


exercise.mistakes("""
    only-what-speaks-for-it [convention]: evidence against a class is cut off, as Grad-CAM does for
    showing
    - return torch.einsum("kdm,bdmf->bkmf", weight, x)
    + return torch.einsum("kdm,bdmf->bkmf", weight, x).relu()
    > leave what is negative: without it the mean is not the logit

    softmax-over-classes: each cell's evidence is made into probabilities
    - return torch.einsum("kdm,bdmf->bkmf", weight, x)
    + return torch.einsum("kdm,bdmf->bkmf", weight, x).softmax(dim=1)
    > the logit is a mean of scores, not of probabilities: leave softmax away

    from-zero-to-one [convention]: every map is stretched from 0 to 1, which is for showing
    - return torch.einsum("kdm,bdmf->bkmf", weight, x)
    + maps = torch.einsum("kdm,bdmf->bkmf", weight, x)
    + low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    + return (maps - low) / (high - low).clamp(min=1e-8)
    > stretch it when you draw it: here the mean has to be the logit

    one-weight-for-all-bands: a channel has one weight, its mean over the bands, as where both axes
    are pooled
    - return torch.einsum("kdm,bdmf->bkmf", weight, x)
    + return torch.einsum("kd,bdmf->bkmf", weight.mean(dim=2), x)
    > each band has weights of its own: weight[k, d, m]

    channels-and-bands-mixed-up: the weights are read as if bands came before channels
    - return torch.einsum("kdm,bdmf->bkmf", weight, x)
    + mixed = weight.reshape(len(weight), -1, x.shape[1]).transpose(1, 2)
    + return torch.einsum("kdm,bdmf->bkmf", mixed, x)
    > the weight is (K, D, m) already: no reshape

    mean-already-taken: the mean over time is taken first, so all frames are alike
    - return torch.einsum("kdm,bdmf->bkmf", weight, x)
    + return torch.einsum("kdm,bdmf->bkmf", weight, x.mean(dim=3, keepdim=True).expand_as(x))
    > the mean comes last: weigh every frame by itself

    bands-already-summed: the bands are summed up: it says when, but not how high
    - return torch.einsum("kdm,bdmf->bkmf", weight, x)
    + return torch.einsum("kdm,bdmf->bkf", weight, x)
    > keep the bands: (B, K, m, f)
""")

exercise.slips("""
    weight, x) => weight, x) / x.shape[-1]
    weight, x) => weight, x) / x.shape[1]
    weight, x) => weight, x).abs()
    weight, x) => weight, x).softmax(dim=3)
    weight, x) => weight.flip(2), x)
    weight, x) => weight.float(), x.float())
    weight, x) => weight, x).sum(0).expand(len(x), -1, -1, -1)
    "kdm,bdmf->bkmf" => "kdn,bdmf->bkmf"
    "kdm,bdmf->bkmf" => "kdm,bdmf->bkfm"
""")


@exercise.right("by broadcasting")
def by_broadcasting(x, weight):
    return (weight[None, :, :, :, None] * x[:, None]).sum(dim=2)


@exercise.right("band by band")
def band_by_band(x, weight):
    return torch.stack([weight[:, :, m] @ x[:, :, m] for m in range(x.shape[2])], dim=2)
