"""Wrong and other right answers to process.x0_and_noise."""

from scratchmm.diffusion.process import Estimate
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("12_samplers_and_guidance/x0_and_noise").exercise

SIGNAL_RATE = "per_sample(alpha_bar.sqrt(), x)"
NOISE_RATE = "per_sample((1 - alpha_bar).sqrt(), x)"
FROM_NOISE = "Estimate((x - noise_rate * predicted) / signal_rate, predicted)"
FROM_X0 = "Estimate(predicted, (x - signal_rate * predicted) / noise_rate)"
X0_OF_VELOCITY = "x0 = signal_rate * x - noise_rate * predicted"
NOISE_OF_VELOCITY = "Estimate(x0, noise_rate * x + signal_rate * predicted)"

exercise.edit(
    "x0-not-divided",
    (FROM_NOISE, "Estimate(x - noise_rate * predicted, predicted)"),
    story="the noise is taken out of x, but what is left is not divided by sqrt(a)",
    advice="what is left is sqrt(a) * x0",
)
exercise.edit(
    "noise-not-divided",
    (FROM_X0, "Estimate(predicted, x - signal_rate * predicted)"),
    story="x0 is taken out of x, but what is left is not divided by sqrt(1 - a)",
    advice="what is left is sqrt(1 - a) * noise",
)
exercise.edit(
    "divided-by-the-other-root",
    (FROM_X0, "Estimate(predicted, (x - signal_rate * predicted) / signal_rate)"),
    story="from x0, what is left of x is divided by sqrt(a), which is x0's own root",
    advice="what is left is sqrt(1 - a) * noise",
)
exercise.edit(
    "velocity-as-either",
    (X0_OF_VELOCITY, "x0 = (x - noise_rate * predicted) / signal_rate"),
    (NOISE_OF_VELOCITY, "Estimate(x0, (x - signal_rate * predicted) / noise_rate)"),
    story="the velocity is put in as if it were the noise, and again as if it were x0",
    advice="x0 = sqrt(a) * x - sqrt(1 - a) * v, noise = sqrt(1 - a) * x + sqrt(a) * v",
)
exercise.edit(
    "noise-is-the-difference",
    (FROM_X0, "Estimate(predicted, x - predicted)"),
    story="the noise is x - x0, as if it had been added to a whole image",
    advice="x = sqrt(a) * x0 + sqrt(1 - a) * noise, solved for the noise",
)
exercise.edit(
    "x0-is-the-difference",
    (FROM_NOISE, "Estimate(x - predicted, predicted)"),
    story="x0 is x - noise, as if the noise had been added to a whole image",
    advice="x = sqrt(a) * x0 + sqrt(1 - a) * noise, solved for x0",
)
exercise.edit(
    "added-back",
    ("(x - noise_rate * predicted) / signal_rate", "(x + noise_rate * predicted) / signal_rate"),
    story="the predicted noise is added to x instead of taken out",
    advice="x holds the noise: subtract its part",
)
exercise.edit(
    "no-roots",
    (SIGNAL_RATE, "per_sample(alpha_bar, x)"),
    (NOISE_RATE, "per_sample(1 - alpha_bar, x)"),
    story="a and 1 - a are taken without their square roots",
    advice="a is a share of variance: the parts themselves have its square root",
)
exercise.edit(
    "roots-exchanged",
    (SIGNAL_RATE, "per_sample((1 - alpha_bar) ** 0.5, x)"),
    (NOISE_RATE, "per_sample(alpha_bar.sqrt(), x)"),
    story="the two roots are exchanged, as if a were the share of noise",
    advice="a falls from 1, the clean image, to 0",
)
exercise.edit(
    "one-minus-the-root",
    ("(1 - alpha_bar).sqrt()", "(1 - alpha_bar.sqrt())"),
    story="the part of the noise is 1 - sqrt(a)",
    advice="sqrt(1 - a): the squares of the two parts add up to 1, not the parts",
)
exercise.edit(
    "velocity-backwards",
    (X0_OF_VELOCITY, "x0 = signal_rate * x + noise_rate * predicted"),
    (NOISE_OF_VELOCITY, "Estimate(x0, noise_rate * x - signal_rate * predicted)"),
    story="the velocity is taken to point the other way, from the noise to x0",
    advice="velocity = sqrt(a) * noise - sqrt(1 - a) * x0: x0 = sqrt(a) * x - sqrt(1 - a) * v",
)
exercise.edit(
    "velocity-noise-minus",
    ("noise_rate * x + signal_rate * predicted", "noise_rate * x - signal_rate * predicted"),
    story="from the velocity x0 is right, but the noise has a minus for a plus",
    advice="noise = sqrt(1 - a) * x + sqrt(a) * velocity: put x and v in, and see x0 drop out",
)
exercise.edit(
    "velocity-as-mixed",
    (X0_OF_VELOCITY, "x0 = signal_rate * x - noise_rate * x"),
    (NOISE_OF_VELOCITY, "Estimate(x0, (x - signal_rate * x0) / noise_rate)"),
    story="from the velocity x0 is found without looking at it: x is used twice",
    advice="x0 = sqrt(a) * x - sqrt(1 - a) * velocity",
)
exercise.edit(
    "flow",
    (X0_OF_VELOCITY, "x0 = (x - noise_rate * predicted) / (signal_rate + noise_rate)"),
    (NOISE_OF_VELOCITY, "Estimate(x0, (x + signal_rate * predicted) / (signal_rate + noise_rate))"),
    story="the velocity is taken for noise - x0, as in flow matching",
    advice="here x runs on a circle: velocity = sqrt(a) * noise - sqrt(1 - a) * x0",
    convention=True,
)
exercise.edit(
    "score",
    (
        "(x - noise_rate * predicted) / signal_rate, predicted",
        "(x + noise_rate**2 * predicted) / signal_rate, -noise_rate * predicted",
    ),
    story="what is predicted is taken for the score, -noise / sqrt(1 - a), as in score matching",
    advice="here it is the noise itself",
    convention=True,
)
exercise.edit(
    "pair-exchanged",
    (FROM_NOISE, "Estimate(predicted, (x - noise_rate * predicted) / signal_rate)"),
    (FROM_X0, "Estimate((x - signal_rate * predicted) / noise_rate, predicted)"),
    (NOISE_OF_VELOCITY, "Estimate(noise_rate * x + signal_rate * predicted, x0)"),
    story="the pair is the noise and then x0",
    advice="x0 comes first: Estimate(x0=..., noise=...)",
)
exercise.edit(
    "names-exchanged",
    (
        "check_target(target, alpha_bar)",
        "check_target(target, alpha_bar)\n"
        '    target = {"noise": "x0", "x0": "noise"}.get(target, target)',
    ),
    story="a prediction of the noise is taken for x0, and one of x0 for the noise",
    advice="target says what the model predicts",
)
exercise.edit(
    "one-level-for-all",
    ("per_sample(alpha_bar.sqrt(), x)", "per_sample(alpha_bar[:1].sqrt().expand(len(x)), x)"),
    ("per_sample((1 - alpha_bar).sqrt()", "per_sample((1 - alpha_bar[:1]).sqrt().expand(len(x))"),
    story="the first sample's level is used for the whole batch",
    advice="alpha_bar is (B,): shape it (B, 1, ..., 1), a number for each sample",
)
exercise.edit(
    "level-along-the-last-axis",
    (SIGNAL_RATE, "alpha_bar.sqrt().to(x.dtype)"),
    (NOISE_RATE, "(1 - alpha_bar).sqrt().to(x.dtype)"),
    story="the levels (B,) are multiplied without a shape, so they meet the last axis, not the first",
    advice="shape them (B, 1, ..., 1) first",
)
exercise.edit(
    "clamped",
    (FROM_NOISE, "Estimate(((x - noise_rate * predicted) / signal_rate).clamp(-1, 1), predicted)"),
    story="x0 is clamped to -1..1 here, and then does not make up x with the noise",
    advice="latents have no bounds: who wants to clamp does so later",
)
exercise.edit(
    "root-held-up",
    ("/ signal_rate", "/ signal_rate.clamp(min=0.01)"),
    story="the divisor is kept from getting small, so that x0 stays small at nearly pure noise",
    advice="divide by sqrt(a) as it is; where a is 0, refuse",
)
exercise.edit(
    "root-of-noise-held-up",
    ("/ noise_rate", "/ noise_rate.clamp(min=0.01)"),
    story="1 - a is kept from getting small, so that the noise stays small at the first of many steps",
    advice="divide by sqrt(1 - a) as it is",
)
exercise.edit(
    "zero-refused-for-all",
    ("check_target(target, alpha_bar)",
     'check_target("noise", alpha_bar)\n    check_target(target, alpha_bar)'),
    story="an alpha_bar of 0 is refused whatever is predicted",
    advice='only "noise" determines no x0 there: x0 and velocity do',
)  # fmt: skip
exercise.edit(
    "zero-accepted",
    ("check_target(target, alpha_bar)", "check_target(target)"),
    story='it does not refuse "noise" at an alpha_bar of 0, and divides by 0',
    advice="check_target(target, alpha_bar) raises the ValueError",
)
exercise.edit(
    "in-float64",
    (SIGNAL_RATE, "per_sample(alpha_bar.sqrt(), x.double())"),
    (NOISE_RATE, "per_sample((1 - alpha_bar).sqrt(), x.double())"),
    story="x0 and noise are float64, since the levels are",
    advice="bring the levels to the dtype of x",
)
exercise.edit(
    "x-scaled-in-place",
    (FROM_X0, "Estimate(predicted, x.sub_(signal_rate * predicted) / noise_rate)"),
    story="x0 is taken out of the caller's x itself",
    advice="x - ... makes a new tensor",
)
exercise.edit(
    "detached",
    (X0_OF_VELOCITY, "x0 = (signal_rate * x - noise_rate * predicted).detach()"),
    story="x0 is cut off from the prediction, so that nothing learns by it",
    advice="no detach() and no no_grad(): whoever wants that asks for it",
)
exercise.edit(
    "any-name",
    ("check_target(target, alpha_bar)", "pass"),
    story="a name that is none is taken for the velocity",
    advice="raise a ValueError unless it is one of the three: check_target does",
)


@exercise.refusing
def refuse(predicted, x, alpha_bar, target):
    if target == "noise" and bool((alpha_bar == 0).any()):
        raise ValueError("x is noise, and no x0 is left in it")


def roots(x, alpha_bar):
    """sqrt(a) and sqrt(1 - a), for each sample."""
    level = alpha_bar.view(-1, *[1] * (x.dim() - 1))
    return level.sqrt().to(x.dtype), (1 - level).sqrt().to(x.dtype)


@exercise.disguise("roots-exchanged")
def roots_exchanged_too(predicted, x, alpha_bar, target):
    return by_x0(predicted, x, 1 - alpha_bar, target)


@exercise.disguise("x0-not-divided")
def x0_not_divided_too(predicted, x, alpha_bar, target):
    near, far = roots(x, alpha_bar)
    if target == "noise":
        return x + far * -predicted, predicted
    return by_x0(predicted, x, alpha_bar, target)


@exercise.disguise("velocity-backwards")
def velocity_backwards_too(predicted, x, alpha_bar, target):
    return by_x0(-predicted if target == "velocity" else predicted, x, alpha_bar, target)


@exercise.right("by x0")
def by_x0(predicted, x, alpha_bar, target):
    near, far = roots(x, alpha_bar)
    if target == "x0":
        x0 = predicted
    elif target == "velocity":
        x0 = near * x - far * predicted
    elif target == "noise":
        return (x - far * predicted) / near, predicted
    else:
        raise ValueError(target)
    return x0, (x - near * x0) / far


@exercise.right("the velocity solved for the noise")
def solved(predicted, x, alpha_bar, target):
    near, far = roots(x, alpha_bar)
    rows = {
        "noise": lambda: Estimate(x / near - far / near * predicted, predicted),
        "x0": lambda: Estimate(x0=predicted, noise=x / far - near / far * predicted),
        "velocity": lambda: Estimate(x * near - predicted * far, predicted * near + x * far),
    }
    if target not in rows:
        raise ValueError(f"{target} is not among {', '.join(rows)}")
    return rows[target]()
