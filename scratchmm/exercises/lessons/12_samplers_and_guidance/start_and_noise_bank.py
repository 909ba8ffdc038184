"""Wrong and other right answers to ddpm.start_and_noise."""

from scratchmm.diffusion.ddpm import Estimate
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("12_samplers_and_guidance/start_and_noise").exercise

ROOTS = "per_sample(alpha_bar.sqrt(), x), per_sample((1 - alpha_bar).sqrt(), x)"
FROM_NOISE = "Estimate((x - dirt * predicted) / image, predicted)"
FROM_START = "Estimate(predicted, (x - image * predicted) / dirt)"
FROM_VELOCITY = "Estimate(image * x - dirt * predicted, dirt * x + image * predicted)"

exercise.edit(
    "start-not-divided",
    (FROM_NOISE, "Estimate(x - dirt * predicted, predicted)"),
    story="the noise is taken out of x, but what is left is not divided by sqrt(a)",
    advice="what is left is sqrt(a) * start",
)
exercise.edit(
    "noise-not-divided",
    (FROM_START, "Estimate(predicted, x - image * predicted)"),
    story="the start is taken out of x, but what is left is not divided by sqrt(1 - a)",
    advice="what is left is sqrt(1 - a) * noise",
)
exercise.edit(
    "divided-by-the-other-root",
    (FROM_START, "Estimate(predicted, (x - image * predicted) / image)"),
    story="from the start, what is left of x is divided by sqrt(a), which is the start's own root",
    advice="what is left is sqrt(1 - a) * noise",
)
exercise.edit(
    "velocity-as-either",
    (FROM_VELOCITY, "Estimate((x - dirt * predicted) / image, (x - image * predicted) / dirt)"),
    story="the velocity is put in as if it were the noise, and again as if it were the start",
    advice="start = sqrt(a) * x - sqrt(1 - a) * v, noise = sqrt(1 - a) * x + sqrt(a) * v",
)
exercise.edit(
    "noise-is-the-difference",
    (FROM_START, "Estimate(predicted, x - predicted)"),
    story="the noise is x - start, as if it had been added to a whole image",
    advice="x = sqrt(a) * start + sqrt(1 - a) * noise, solved for the noise",
)
exercise.edit(
    "start-is-the-difference",
    (FROM_NOISE, "Estimate(x - predicted, predicted)"),
    story="the start is x - noise, as if the noise had been added to a whole image",
    advice="x = sqrt(a) * start + sqrt(1 - a) * noise, solved for the start",
)
exercise.edit(
    "added-back",
    ("(x - dirt * predicted) / image", "(x + dirt * predicted) / image"),
    story="the predicted noise is added to x instead of taken out",
    advice="x holds the noise: subtract its part",
)
exercise.edit(
    "no-roots",
    (ROOTS, "per_sample(alpha_bar, x), per_sample(1 - alpha_bar, x)"),
    story="a and 1 - a are taken without their square roots",
    advice="a is a share of variance: the parts themselves have its square root",
)
exercise.edit(
    "roots-exchanged",
    (ROOTS, "per_sample((1 - alpha_bar).sqrt(), x), per_sample(alpha_bar.sqrt(), x)"),
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
    (FROM_VELOCITY, "Estimate(image * x + dirt * predicted, dirt * x - image * predicted)"),
    story="the velocity is taken to point the other way, from the noise to the start",
    advice="velocity = sqrt(a) * noise - sqrt(1 - a) * start: start = sqrt(a) * x - sqrt(1 - a) * v",
)
exercise.edit(
    "velocity-noise-minus",
    ("dirt * x + image * predicted", "dirt * x - image * predicted"),
    story="from the velocity the start is right, but the noise has a minus for a plus",
    advice="noise = sqrt(1 - a) * x + sqrt(a) * velocity: put x and v in, and see the start drop out",
)
exercise.edit(
    "velocity-as-mixed",
    ("dirt * x + image * predicted)", "(x - image * (image * x - dirt * x)) / dirt)"),
    ("image * x - dirt * predicted,", "image * x - dirt * x,"),
    story="from the velocity the start is found without looking at it: x is used twice",
    advice="start = sqrt(a) * x - sqrt(1 - a) * velocity",
)
exercise.edit(
    "flow",
    (
        FROM_VELOCITY,
        "Estimate((x - dirt * predicted) / (image + dirt), "
        "(x + image * predicted) / (image + dirt))",
    ),
    story="the velocity is taken for noise - start, as in flow matching",
    advice="here x runs on a circle: velocity = sqrt(a) * noise - sqrt(1 - a) * start",
    convention=True,
)
exercise.edit(
    "score",
    (FROM_NOISE, "Estimate((x + dirt.square() * predicted) / image, -dirt * predicted)"),
    story="what is predicted is taken for the score, -noise / sqrt(1 - a), as in score matching",
    advice="here it is the noise itself",
    convention=True,
)
exercise.edit(
    "pair-exchanged",
    (FROM_NOISE, "Estimate(predicted, (x - dirt * predicted) / image)"),
    (FROM_START, "Estimate((x - image * predicted) / dirt, predicted)"),
    (FROM_VELOCITY, "Estimate(dirt * x + image * predicted, image * x - dirt * predicted)"),
    story="the pair is the noise and then the start",
    advice="the start comes first: Estimate(start=..., noise=...)",
)
exercise.edit(
    "names-exchanged",
    (
        "check_target(target, alpha_bar)",
        "check_target(target, alpha_bar)\n"
        '    target = {"noise": "start", "start": "noise"}.get(target, target)',
    ),
    story="a prediction of the noise is taken for the start, and one of the start for the noise",
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
    (ROOTS, "alpha_bar.sqrt().to(x.dtype), (1 - alpha_bar).sqrt().to(x.dtype)"),
    story="the levels (B,) are multiplied without a shape, so they meet the last axis, not the first",
    advice="shape them (B, 1, ..., 1) first",
)
exercise.edit(
    "clipped",
    ("(x - dirt * predicted) / image", "((x - dirt * predicted) / image).clamp(-1, 1)"),
    story="the start is clipped to -1..1 here, and then does not make up x with the noise",
    advice="latents have no bounds: who wants to clip does so later",
)
exercise.edit(
    "root-held-up",
    ("/ image", "/ image.clamp(min=0.01)"),
    story="the divisor is kept from getting small, so that the start stays small at nearly pure noise",
    advice="divide by sqrt(a) as it is; where a is 0, refuse",
)
exercise.edit(
    "root-of-noise-held-up",
    ("/ dirt", "/ dirt.clamp(min=0.01)"),
    story="1 - a is kept from getting small, so that the noise stays small at the first of many steps",
    advice="divide by sqrt(1 - a) as it is",
)
exercise.edit(
    "zero-refused-for-all",
    ("check_target(target, alpha_bar)",
     'check_target("noise", alpha_bar)\n    check_target(target, alpha_bar)'),
    story="an alpha_bar of 0 is refused whatever is predicted",
    advice='only "noise" says nothing of the start there: start and velocity do',
)  # fmt: skip
exercise.edit(
    "zero-accepted",
    ("check_target(target, alpha_bar)", "check_target(target)"),
    story='it does not refuse "noise" at an alpha_bar of 0, and divides by 0',
    advice="check_target(target, alpha_bar) raises the ValueError",
)
exercise.edit(
    "in-float64",
    (
        ROOTS,
        "per_sample(alpha_bar.sqrt(), x.double()), per_sample((1 - alpha_bar).sqrt(), x.double())",
    ),
    story="start and noise are float64, since the levels are",
    advice="bring the levels to the dtype of x",
)
exercise.edit(
    "x-scaled-in-place",
    (FROM_START, "Estimate(predicted, x.sub_(image * predicted) / dirt)"),
    story="the start is taken out of the caller's x itself",
    advice="x - ... makes a new tensor",
)
exercise.edit(
    "detached",
    ("image * x - dirt * predicted,", "(image * x - dirt * predicted).detach(),"),
    story="the start is cut off from the prediction, so that nothing learns by it",
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
        raise ValueError("x is noise, and no start is left in it")


def roots(x, alpha_bar):
    """sqrt(a) and sqrt(1 - a), for each sample."""
    level = alpha_bar.view(-1, *[1] * (x.dim() - 1))
    return level.sqrt().to(x.dtype), (1 - level).sqrt().to(x.dtype)


@exercise.disguise("roots-exchanged")
def roots_exchanged_too(predicted, x, alpha_bar, target):
    return by_the_start(predicted, x, 1 - alpha_bar, target)


@exercise.disguise("start-not-divided")
def start_not_divided_too(predicted, x, alpha_bar, target):
    near, far = roots(x, alpha_bar)
    if target == "noise":
        return x + far * -predicted, predicted
    return by_the_start(predicted, x, alpha_bar, target)


@exercise.disguise("velocity-backwards")
def velocity_backwards_too(predicted, x, alpha_bar, target):
    return by_the_start(-predicted if target == "velocity" else predicted, x, alpha_bar, target)


@exercise.right("by the start")
def by_the_start(predicted, x, alpha_bar, target):
    near, far = roots(x, alpha_bar)
    if target == "start":
        start = predicted
    elif target == "velocity":
        start = near * x - far * predicted
    elif target == "noise":
        return (x - far * predicted) / near, predicted
    else:
        raise ValueError(target)
    return start, (x - near * start) / far


@exercise.right("the velocity solved for the noise")
def solved(predicted, x, alpha_bar, target):
    near, far = roots(x, alpha_bar)
    rows = {
        "noise": lambda: Estimate(x / near - far / near * predicted, predicted),
        "start": lambda: Estimate(start=predicted, noise=x / far - near / far * predicted),
        "velocity": lambda: Estimate(x * near - predicted * far, predicted * near + x * far),
    }
    if target not in rows:
        raise ValueError(f"{target} is not among {', '.join(rows)}")
    return rows[target]()
