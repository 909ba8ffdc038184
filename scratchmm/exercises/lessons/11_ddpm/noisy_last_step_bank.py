"""Wrong and other right answers to bug.noisy_last_step: checks that miss some, or blame good ones."""

import torch

from scratchmm.diffusion.ddpm import ancestral_sample
from scratchmm.diffusion.process import cosine_schedule, diffusion_loss
from scratchmm.exercises.format import exercise_file

others = exercise_file("11_ddpm/noisy_last_step_others")
exercise = exercise_file("11_ddpm/noisy_last_step").exercise

assert others.exercise is exercise  # importing them gives the exercise its properties
SPREAD = 0.2


def some_image():
    return torch.linspace(0.4, -0.4, 12)


def drawn(diffuser_class, variances, image=None, *, steps=50, count=300):
    """What is drawn with a perfect model of images around one, less that one: (B, X)."""
    schedule = cosine_schedule(steps)
    levels = schedule.alpha_bar.tolist()
    image = some_image() if image is None else image

    def knows(x, timesteps):
        left = levels[int(timesteps[0])]  # all walk together
        part = (1 - left) ** 0.5 / (left * variances**2 + 1 - left)
        return part * (x - left**0.5 * image)

    x = torch.randn(count, len(image))
    return diffuser_class(schedule).sample(knows, x, torch.Generator().manual_seed(1)) - image


def ends_at_the_one(diffuser_class, image=None):
    assert drawn(diffuser_class, 0.0, image, count=20).abs().max() < 1e-3


def within(deviation, part=0.25, variances=SPREAD):
    return abs(float(deviation) / variances - 1) < part


def mean_is_right(error):
    assert error.mean(0).square().mean().sqrt() < SPREAD / 4


def from_sample_to_sample(error):
    assert within(error.var(0).mean().sqrt())


def inside_a_image(error):
    assert within(error.var(1).mean().sqrt())


@exercise.wrong(
    "accepts-everything",
    story="nothing is asserted, so every diffuser is accepted",
    advice="compare what is drawn with what the model knows, by an assert",
)
def accepts_everything(diffuser_class):
    drawn(diffuser_class, SPREAD, steps=50, count=2)


@exercise.wrong(
    "rejects-everything",
    story="every diffuser is rejected, the right ones too",
    advice="mend a copy of NoisyLastStep: your check must accept it",
)
def rejects_everything(diffuser_class):
    raise AssertionError("grain")


@exercise.wrong(
    "loss-is-right",
    story="the loss is compared with that of the library, and it is right in all of them",
    advice="no training draws an image: call sample",
    twin="accepts-everything",
)
def loss_is_right(diffuser_class):
    schedule, x0 = cosine_schedule(50), torch.randn(5, 3)
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    found = diffuser_class(schedule).loss(lambda x, timesteps: 0.5 * x, x0, one)
    expected = diffusion_loss(lambda x, timesteps: 0.5 * x, schedule, x0, generator=other)
    assert torch.allclose(found, expected)


@exercise.wrong(
    "trained-a-little",
    story="it is asked that the loss falls in training, and it does in all of them",
    advice="no training draws an image: call sample",
    twin="accepts-everything",
)
def trained_a_little(diffuser_class):
    diffuser, x0 = diffuser_class(cosine_schedule(50)), torch.full((64, 3), 0.3)
    weight, losses = torch.zeros(1, requires_grad=True), []

    def scaled(x, timesteps):
        return weight * x

    for _ in range(4):
        chance = torch.Generator().manual_seed(0)
        losses.append(diffuser.loss(scaled, x0, chance))
        gradient = torch.autograd.grad(losses[-1], weight)[0]
        weight.data -= 0.1 * gradient
    assert losses[-1] < losses[0]


@exercise.wrong(
    "shape-only",
    story="only the shape and the finiteness of what is drawn are looked at",
    advice="grain has the right shape",
    twin="accepts-everything",
)
def shape_only(diffuser_class):
    error = drawn(diffuser_class, SPREAD)
    assert error.shape == (300, 12) and error.isfinite().all()


@exercise.wrong(
    "end-only",
    story="only one image is known to the model, and every way ends there",
    advice="too much noise on the way, or too little, shows only where images differ",
)
def end_only(diffuser_class):
    ends_at_the_one(diffuser_class)


@exercise.wrong(
    "way-only",
    story="only images that differ are drawn, and a little grain is lost among them",
    advice="a model that knows one image alone shows the grain",
)
def way_only(diffuser_class):
    error = drawn(diffuser_class, SPREAD)
    mean_is_right(error), from_sample_to_sample(error), inside_a_image(error)


@exercise.wrong(
    "samples-only",
    story="deviations are taken across the batch only: inside an image all may be alike",
    advice="each value is by itself too: take deviations along both axes",
)
def samples_only(diffuser_class):
    ends_at_the_one(diffuser_class)
    error = drawn(diffuser_class, SPREAD)
    mean_is_right(error), from_sample_to_sample(error)


@exercise.wrong(
    "mean-only",
    story="only the mean of what is drawn is looked at, not how much it differs",
    advice="without noise on the way all images are the mean: take deviations too",
)
def mean_only(diffuser_class):
    ends_at_the_one(diffuser_class)
    mean_is_right(drawn(diffuser_class, SPREAD))


@exercise.wrong(
    "too-little-only",
    story="it is asked that images differ enough, but not that they may differ too much",
    advice="the deviation has an upper bound too",
)
def too_little_only(diffuser_class):
    ends_at_the_one(diffuser_class)
    error = drawn(diffuser_class, SPREAD)
    assert min(error.var(0).mean().sqrt(), error.var(1).mean().sqrt()) > 0.75 * SPREAD


@exercise.wrong(
    "bright-images",
    story="all images are bright, and who cuts off what is below 0 is not noticed",
    advice="let the images that the model knows have dark values too: -1 is black",
)
def bright_images(diffuser_class):
    bright = torch.linspace(0.6, 0.7, 12)
    ends_at_the_one(diffuser_class, bright)
    error = drawn(diffuser_class, 0.1, bright)
    assert error.mean(0).square().mean().sqrt() < 0.025
    for axis in (0, 1):
        assert within(error.var(axis).mean().sqrt(), variances=0.1)


@exercise.wrong(
    "too-strict",
    story="the deviation must be right to 9 %, which 50 steps do not give to right diffusers either",
    advice="a step takes the mean for the image: allow a quarter, as the docstring says",
)
def too_strict(diffuser_class):
    ends_at_the_one(diffuser_class)
    error = drawn(diffuser_class, SPREAD, count=2000)
    mean_is_right(error)
    assert within(error.var(0).mean().sqrt(), 0.09) and within(error.var(1).mean().sqrt(), 0.09)


@exercise.wrong(
    "too-few-steps",
    story="10 steps are all that is given, and then right diffusers are far off as well",
    advice="50 steps or more",
)
def too_few_steps(diffuser_class):
    ends_at_the_one(diffuser_class)
    error = drawn(diffuser_class, SPREAD, steps=10)
    mean_is_right(error), from_sample_to_sample(error), inside_a_image(error)


@exercise.wrong(
    "beyond-white",
    story="the model knows values beyond -1 ... 1, which a right diffuser may cut off",
    advice="images lie in -1 ... 1: keep image and variances inside",
)
def beyond_white(diffuser_class):
    ends_at_the_one(diffuser_class, torch.linspace(-3, 3, 12))
    error = drawn(diffuser_class, SPREAD)
    mean_is_right(error), from_sample_to_sample(error), inside_a_image(error)


@exercise.wrong(
    "the-same-numbers",
    story="what is drawn is compared with the library's, number for number, for one seed",
    advice="right diffusers use chance in other ways, or not at all: compare mean and deviation",
)
def the_same_numbers(diffuser_class):
    schedule, x = cosine_schedule(50), torch.randn(2, 3)
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    found = diffuser_class(schedule).sample(lambda x, timesteps: 0.9 * x, x, one)
    expected = ancestral_sample(
        lambda x, timesteps: 0.9 * x, schedule, x, generator=other, variance="beta"
    )
    assert torch.allclose(found, expected, rtol=1e-2, atol=1e-2)


@exercise.wrong(
    "chance-forbidden",
    story="two seeds must lead from the same noise to the same image, also where images differ",
    advice="chance is part of the way in DDPM: look at the mean and the deviation of many",
)
def chance_forbidden(diffuser_class):
    torch.manual_seed(0)
    schedule, x, found = cosine_schedule(50), torch.randn(4, 3), []
    for seed in (1, 2):
        chance = torch.Generator().manual_seed(seed)
        found.append(diffuser_class(schedule).sample(lambda x, timesteps: 0.9 * x, x, chance))
    assert torch.allclose(*found, atol=1e-3)


@exercise.disguise("end-only")
def end_only_too(diffuser_class):
    schedule = cosine_schedule(100)

    def knows(x, timesteps):
        left = schedule.alpha_bar[timesteps].float()[:, None]
        return (x - 0.5 * left.sqrt() * torch.tensor([1.0, -1.0])) / (1 - left).sqrt()

    found = diffuser_class(schedule).sample(knows, torch.randn(8, 2))
    torch.testing.assert_close(found, torch.tensor([[0.5, -0.5]] * 8), rtol=0, atol=1e-3)


@exercise.disguise("way-only")
def way_only_too(diffuser_class):
    error = drawn(diffuser_class, 0.25, torch.tensor([0.2, -0.2, 0.0, 0.1, -0.1]), count=900)
    assert error.mean().abs() < 0.06
    assert 0.19 < error.std(0).mean() < 0.31 and 0.19 < error.std(1).mean() < 0.31


@exercise.right("all that is drawn at once")
def at_once(diffuser_class):
    ends_at_the_one(diffuser_class)
    error = drawn(diffuser_class, SPREAD)
    mean_is_right(error), from_sample_to_sample(error), inside_a_image(error)


@exercise.right("two values and how they go together")
def covariance(diffuser_class):
    image = torch.tensor([-0.3, 0.35])
    assert (drawn(diffuser_class, 0.0, image, steps=60, count=9).abs() < 1e-3).all()
    error = drawn(diffuser_class, SPREAD, image, steps=60, count=2500)
    found = error.T.cov() / SPREAD**2
    assert (error.mean(0).abs() < 0.05).all(), "the mean"
    assert ((found.diag() > 0.5) & (found.diag() < 1.5)).all(), "the variances"
    assert found[0, 1].abs() < 0.3, "one value tells of the other"


@exercise.right("dark and bright by themselves")
def dark_and_bright(diffuser_class):
    for level in (-0.5, 0.5):
        image = torch.full((20,), level)
        torch.testing.assert_close(
            drawn(diffuser_class, 0.0, image, count=10), torch.zeros(10, 20), rtol=0, atol=1e-3
        )
        error = drawn(diffuser_class, 0.15, image, count=200)
        assert error.mean().abs() < 0.037
        for axis in (0, 1):
            assert within(error.std(axis).mean(), variances=0.15)
