"""Exercise process.target_of: the noise, x0, or the velocity between them."""

import functools

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="process.target_of",
    order=10,
    target="scratchmm.diffusion.process:target_of",
    title="What to predict",
    goal="the noise, x0, or the velocity sqrt(a) * noise - sqrt(1 - a) * x0, by name",
    minutes=10,
    difficulty=2,
    section="Three things to predict",
    hints="""
        1. x0 = 1, noise = 2, a = 0.64: the roots are 0.8 and 0.6. A model of the noise should
           predict 2, a model of x0 1, and a model of the velocity 0.8 * 2 - 0.6 * 1 = 1. With a = 1
           the velocity is the noise, with a near 0 it is minus x0.
        2. x0 and noise are two directions at right angles, and x is a point on the circle between
           them. The velocity is where x moves as it gets noisier: the same circle, a quarter of a
           turn further. It determines x0 at every level, while at pure noise the noise does not.
        3. Refuse a target that is none of the three. Two of them are what came in. For the third,
           each sample has its own level: sqrt(a) and sqrt(1 - a), (B,), become (B, 1, ..., 1) in
           the images' dtype. Noise takes the root of a, x0 the other, and minus.
        4. check_target(target); near, far = per_sample(alpha_bar.sqrt(), x0), per_sample((1 -
           alpha_bar).sqrt(), x0); {'noise': noise, 'x0': x0, 'velocity': near * noise - far *
           x0}[target]
    """,
)


def levels(case, B):
    """alpha_bar (B,), from nearly clean to nearly noise; float64, as a schedule gives it."""
    order = case.permutation(B)
    return case.named(torch.linspace(0.95, 0.05, B, dtype=torch.float64)[order], "B")


def slow(x0, noise, alpha_bar):
    """The oracle: the velocity, one sample at a time."""
    near, far = alpha_bar.sqrt().to(x0), (1 - alpha_bar).sqrt().to(x0)
    return torch.stack([near[i] * noise[i] - far[i] * x0[i] for i in range(len(x0))])


@exercise.holds("a model of the noise predicts the noise, a model of x0 x0")
def by_name(target_of, case):
    x0, noise, alpha_bar = case.normal(B=3, D=2), case.normal(B=3, D=2), levels(case, 3)
    case.each(
        target_of,
        ((x0, noise, alpha_bar, "noise"), noise),
        ((x0, noise, alpha_bar, "x0"), x0),
    )


@exercise.holds("the velocity is sqrt(a) * noise - sqrt(1 - a) * x0")
def velocity(target_of, case):
    x0, noise = case.normal(B=4, D=3), case.normal(B=4, D=3)
    alpha_bar = case.named(torch.full((4,), 0.64, dtype=torch.float64), "B")
    got = case.call(target_of, x0, noise, alpha_bar, "velocity")
    case.equal(got, 0.8 * noise - 0.6 * x0)


@exercise.holds("where a is 1 the velocity is the noise, where it is 0 minus x0")
def both_ends(target_of, case):
    x0, noise = case.normal(B=3, D=4), case.normal(B=3, D=4)
    for level, expected in ((1.0, noise), (0.0, -x0)):
        alpha_bar = case.named(torch.full((3,), level, dtype=torch.float64), "B")
        case.equal(case.call(target_of, x0, noise, alpha_bar, "velocity"), expected)


@exercise.holds("each image has a level of its own, and the target has the dtype of the images")
def images(target_of, case):
    for dtype in (torch.float32, torch.float64):
        axes = {"B": 4, "C": 3, "H": 5, "W": 6}
        x0, noise = case.normal(**axes, dtype=dtype), case.normal(**axes, dtype=dtype)
        alpha_bar = levels(case, 4)
        got = case.call(target_of, x0, noise, alpha_bar, "velocity")
        case.equal(got, slow(x0, noise, alpha_bar))


@exercise.holds("x0, noise and levels stay as they were")
def unchanged(target_of, case):
    x0, noise = case.normal(B=3, D=4), case.normal(B=3, D=4)
    case.call(target_of, x0, noise, levels(case, 3), "velocity")
    case.unchanged()


@exercise.holds("the gradients reach x0, the noise and alpha_bar")
def gradients(target_of, case):
    given = case.normal(B=4, D=3), case.normal(B=4, D=3), levels(case, 4)

    def velocity(x0, noise, alpha_bar):
        return target_of(x0, noise, alpha_bar, "velocity")

    case.gradients(functools.wraps(target_of)(velocity), slow, *given)


@exercise.holds("any other target is refused with a ValueError")
def refused(target_of, case):
    x0, noise, alpha_bar = case.normal(B=2, D=3), case.normal(B=2, D=3), levels(case, 2)
    for name in ("epsilon", "Noise", ""):
        case.refuses(ValueError, target_of, x0, noise, alpha_bar, name)


exercise.mistakes("""
    velocity-backwards: the velocity points the other way, from the noise to x0
    - return mix(noise, -x0, alpha_bar)
    + return -mix(noise, -x0, alpha_bar)
    > it is where x moves as it gets noisier: the noise with plus, x0 with minus

    ingredients-exchanged: x0 and noise are exchanged
    - return mix(noise, -x0, alpha_bar)
    + return mix(x0, -noise, alpha_bar)
    > the noise takes sqrt(a), and x0 sqrt(1 - a) with a minus

    the-mixture: the velocity is x itself, the mixture that is the model's input
    - return mix(noise, -x0, alpha_bar)
    + return mix(x0, noise, alpha_bar)
    > a quarter of a turn further: sqrt(a) * noise - sqrt(1 - a) * x0

    no-roots: a and 1 - a are used without their square roots
    - return mix(noise, -x0, alpha_bar)
    + return per_sample(alpha_bar, x0) * noise - per_sample(1 - alpha_bar, x0) * x0
    > a is a share of variance: the parts themselves have its square root

    one-minus-the-root: x0 is multiplied by 1 - sqrt(a)
    - return mix(noise, -x0, alpha_bar)
    + near = per_sample(alpha_bar.sqrt(), x0)
    + return near * noise - (1 - near) * x0
    > sqrt(1 - a): the squares of the two parts add up to 1, not the parts

    flow [convention]: the velocity is noise - x0, as in flow matching, where x is on a line
    - return mix(noise, -x0, alpha_bar)
    + return noise - x0
    > here x is on a circle: sqrt(a) * noise - sqrt(1 - a) * x0

    score [convention]: the target of the noise is the score, -noise / sqrt(1 - a), as in score
    matching
    - return noise if target == "noise" else x0
    + score = -noise / per_sample((1 - alpha_bar).sqrt(), x0)
    + return score if target == "noise" else x0
    > the noise itself, as it was mixed in

    what-the-noise-adds: the target of the noise is its part of x, sqrt(1 - a) * noise
    - return noise if target == "noise" else x0
    + added = per_sample((1 - alpha_bar).sqrt(), x0) * noise
    + return added if target == "noise" else x0
    > the noise of variance one, before it is mixed in

    level-along-the-last-axis: the levels (B,) are multiplied without a shape, along the last axis
    - return mix(noise, -x0, alpha_bar)
    + return alpha_bar.sqrt().to(noise.dtype) * noise - (1 - alpha_bar).sqrt() * x0
    > shape them (B, 1, ..., 1) first
""")

exercise.slips("""
    mix(noise, -x0, alpha_bar) => mix(noise.double(), -x0.double(), alpha_bar)
    mix(noise, -x0, alpha_bar) => mix(noise, x0.neg_(), alpha_bar)
""")


@exercise.disguise("no-roots")
def no_roots_too(x0, noise, alpha_bar, target):
    if target != "velocity":
        return by_table(x0, noise, alpha_bar, target)
    level = alpha_bar.to(x0.dtype).view(-1, *[1] * (x0.dim() - 1))
    return level * (noise + x0) - x0


@exercise.right("a table")
def by_table(x0, noise, alpha_bar, target):
    shape = (len(x0), *[1] * (x0.dim() - 1))
    near = alpha_bar.sqrt().to(x0).view(shape)
    far = (1 - alpha_bar).sqrt().to(x0).view(shape)
    choices = {"noise": noise, "x0": x0, "velocity": near * noise - far * x0}
    if target not in choices:
        raise ValueError(f"no target is called {target}")
    return choices[target]


@exercise.right("by the angle")
def by_the_angle(x0, noise, alpha_bar, target):
    if target == "noise":
        return noise.clone()
    if target == "x0":
        return x0.clone()
    if target != "velocity":
        raise ValueError(f"{target!r}")
    angle = torch.arccos(alpha_bar.sqrt())
    near, far = angle.cos().to(x0), angle.sin().to(x0)
    return torch.einsum("b,b...->b...", near, noise) - torch.einsum("b,b...->b...", far, x0)
