"""Wrong and other right answers to process.target_of."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("12_samplers_and_guidance/target_of").exercise

VELOCITY = "return mix(noise, -x0, alpha_bar)"
ROOTS = "near, far = per_sample(alpha_bar.sqrt(), x0), per_sample((1 - alpha_bar).sqrt(), x0)"
LAST = 'return noise if target == "noise" else x0'


def otherwise(id, formula, *, story, advice, convention=False):
    """A wrong answer with another formula of the two roots, near and far, for the velocity."""
    changed = (VELOCITY, f"{ROOTS}\n        return {formula}")
    exercise.edit(id, changed, story=story, advice=advice, convention=convention)


otherwise(
    "velocity-backwards",
    "far * x0 - near * noise",
    story="the velocity points the other way: from the noise to x0",
    advice="it is where x moves as it gets noisier: the noise with plus, x0 with minus",
)
otherwise(
    "ingredients-exchanged",
    "near * x0 - far * noise",
    story="the velocity has x0 and noise exchanged",
    advice="the noise takes sqrt(a), and x0 sqrt(1 - a) with a minus",
)
otherwise(
    "plus-for-minus",
    "near * noise + far * x0",
    story="x0 and noise are added",
    advice="sqrt(a) * noise minus sqrt(1 - a) * x0",
)
otherwise(
    "roots-exchanged",
    "far * noise - near * x0",
    story="the two roots are exchanged",
    advice="the noise takes sqrt(a): where nothing is noisy yet, the velocity is the noise",
)
otherwise(
    "the-mixture",
    "near * x0 + far * noise",
    story="the velocity is x itself, the mixture that the model is shown",
    advice="a quarter of a turn further: sqrt(a) * noise - sqrt(1 - a) * x0",
)
otherwise(
    "no-roots",
    "near.square() * noise - far.square() * x0",
    story="a and 1 - a are taken without their square roots",
    advice="a is a share of variance: the parts themselves have its square root",
)
otherwise(
    "one-minus-the-root",
    "near * noise - (1 - near) * x0",
    story="x0 is multiplied by 1 - sqrt(a)",
    advice="sqrt(1 - a): the squares of the two parts add up to 1, not the parts",
)
otherwise(
    "flow",
    "noise - x0",
    story="the velocity is noise - x0, as in flow matching, where x runs on a straight line",
    advice="here x runs on a circle: sqrt(a) * noise - sqrt(1 - a) * x0",
    convention=True,
)
exercise.edit(
    "score",
    (
        LAST,
        'return -noise / per_sample((1 - alpha_bar).sqrt(), x0) if target == "noise" else x0',
    ),
    story="for the noise the score is returned, -noise / sqrt(1 - a), as in score matching",
    advice="the noise itself, as it was mixed in",
    convention=True,
)
exercise.edit(
    "names-exchanged",
    (LAST, 'return x0 if target == "noise" else noise'),
    story="for the noise x0 is returned, and for x0 the noise",
    advice="a model is to predict what its target says",
)
exercise.edit(
    "what-the-noise-adds",
    (
        LAST,
        'return per_sample((1 - alpha_bar).sqrt(), x0) * noise if target == "noise" else x0',
    ),
    story="for the noise the part of it that is in x is returned, sqrt(1 - a) * noise",
    advice="the noise of variance one, before it is mixed in",
)
exercise.edit(
    "one-level-for-all",
    ("-x0, alpha_bar)", "-x0, alpha_bar[:1].expand(len(x0)))"),
    story="the first sample's level is used for the whole batch",
    advice="alpha_bar is (B,): shape it (B, 1, ..., 1), a number for each sample",
)
exercise.edit(
    "level-along-the-last-axis",
    (VELOCITY, "return alpha_bar.sqrt().to(noise.dtype) * noise - (1 - alpha_bar).sqrt() * x0"),
    story="the levels (B,) are multiplied without a shape, so they meet the last axis, not the first",
    advice="shape them (B, 1, ..., 1) first",
)
exercise.edit(
    "in-float64",
    (VELOCITY, "return mix(noise.double(), -x0.double(), alpha_bar)"),
    story="the target is float64, since the levels are",
    advice="bring the levels to the images' dtype",
)
exercise.edit(
    "x0-negated-in-place",
    (
        VELOCITY,
        "return mix(noise, x0.neg_(), alpha_bar) if not x0.requires_grad else "
        "mix(noise, -x0, alpha_bar)",
    ),
    story="the caller's x0 is turned to its negative",
    advice="-x0 makes a new tensor",
)
exercise.edit(
    "detached",
    ("return mix(noise, -x0, alpha_bar)", "return mix(noise, -x0, alpha_bar).detach()"),
    story="the target is cut off from what it was made of",
    advice="no detach() and no no_grad(): whoever wants that asks for it",
)
exercise.edit(
    "any-name",
    ("check_target(target)", "pass"),
    story="a name that is none is taken for x0",
    advice="raise a ValueError unless it is one of the three: check_target does",
)


@exercise.disguise("velocity-backwards")
def velocity_backwards_too(x0, noise, alpha_bar, target):
    return (
        -by_table(x0, noise, alpha_bar, target)
        if target == "velocity"
        else by_table(x0, noise, alpha_bar, target)
    )


@exercise.disguise("no-roots")
def no_roots_too(x0, noise, alpha_bar, target):
    if target != "velocity":
        return by_table(x0, noise, alpha_bar, target)
    level = alpha_bar.to(x0.dtype).view(-1, *[1] * (x0.dim() - 1))
    return level * (noise + x0) - x0


@exercise.disguise("flow")
def flow_too(x0, noise, alpha_bar, target):
    choices = {"noise": noise, "x0": x0, "velocity": -(x0 - noise)}
    if target not in choices:
        raise ValueError(target)
    return choices[target]


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
    rows = [
        angle[i].cos().item() * noise[i] - angle[i].sin().item() * x0[i] for i in range(len(x0))
    ]
    return torch.stack(rows)
