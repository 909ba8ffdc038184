"""Wrong and other right answers to ddim.ddim_step."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("12_samplers_and_guidance/ddim_step").exercise

DIRECTION = "(1 - before - variance).clamp(min=0).sqrt()"
VARIANCE = "eta**2 * step_variance(now, before)"
RESULT = "return Step(x if noise is None else x + per_sample(variance.sqrt(), x) * noise, x0)"
LEVEL = "schedule.at(previous, _checked_alpha(final_alpha))"
FOLLOWS = "if clamp is not None and follow_clamp:"

exercise.edit(
    "not-moved",
    (LEVEL, f"{LEVEL} * 0 + now"),
    (VARIANCE, "eta**2 * step_variance(now, schedule.at(previous, final_alpha))"),
    story="x0 and noise are mixed at the level they were taken from, so x goes nowhere",
    advice="take x apart at the level of timesteps, and mix at the level of previous",
)
exercise.edit(
    "levels-exchanged",
    (
        "x0, predicted_noise = x0_and_noise(predicted, x, now, target)",
        "x0, predicted_noise = x0_and_noise(predicted, x, before.clamp(max=0.9999), target)",
    ),
    ("per_sample(before.sqrt(), x) * x0", "per_sample(now.sqrt(), x) * x0"),
    (DIRECTION, "(1 - now - variance).clamp(min=0).sqrt()"),
    story="x is taken apart at the level of previous, and mixed at that of timesteps",
    advice="x is at timesteps now: take it apart there",
)
exercise.edit(
    "one-timestep-only",
    (LEVEL, "schedule.at(timesteps - 1, _checked_alpha(final_alpha))"),
    story="the step leads to the timestep just before, whatever previous says",
    advice="previous may be any number of timesteps earlier: that is what saves steps",
)
exercise.edit(
    "final-alpha-ignored",
    (LEVEL, "schedule.at(previous, 1.0)"),
    story="at timestep -1 alpha_bar is taken for 1, whatever final_alpha says",
    advice="schedule.at(previous, final_alpha)",
)
exercise.edit(
    "first-level-at-the-end",
    (LEVEL, "schedule.at(previous, float(schedule.alpha_bar[0]))"),
    story="at timestep -1 alpha_bar is that of timestep 0, as Stable Diffusion takes it, so that a "
    "little noise stays",
    advice="here it is final_alpha, 1 if nothing else is said",
    convention=True,
)
exercise.edit(
    "target-ignored",
    (
        "x0, predicted_noise = x0_and_noise(predicted, x, now, target)",
        "x0, predicted_noise = x0_and_noise(predicted, x, now, 'noise')",
    ),
    story="the prediction is taken for the noise, whatever target says",
    advice="hand target on to x0_and_noise",
)
exercise.edit(
    "noise-as-predicted",
    (FOLLOWS, "if False:"),
    story="the noise stays as predicted when x0 is clamped, as in diffusers, unless it is "
    "told use_clipped_model_output",
    advice="here the noise is worked out anew from the clamped x0, unless follow_clamp is False",
    convention=True,
)
exercise.edit(
    "prediction-for-noise",
    ("per_sample(direction, x) * predicted_noise", "per_sample(direction, x) * predicted"),
    story="what is mixed with x0 is the prediction itself, be it noise, x0 or velocity",
    advice="the noise that x0_and_noise finds, or the one worked out anew after clamping",
)
exercise.edit(
    "no-chance-at-the-end",
    ("x if noise is None else", "x if noise is None or bool((previous < 0).any()) else"),
    story="where one sample's step ends at -1, none of the batch gets drawn noise",
    advice="each sample has a variance of its own; at -1 it is 0 by itself if final_alpha is 1",
)
exercise.edit(
    "variance-of-the-way-back",
    ("step_variance(now, before)", "step_variance(before, now)"),
    story="the two levels are exchanged in the variance: of 0 at the end comes no number",
    advice="step_variance(now, before): (1 - before) / (1 - now) * (1 - now / before)",
)
exercise.edit(
    "always-follows",
    (FOLLOWS, "if clamp is not None:"),
    story="the noise is worked out anew from the clamped x0, although follow_clamp is False",
    advice="only if clamp is not None and follow_clamp",
)
exercise.edit(
    "not-clamped",
    ("x0 = clamped(x0, clamp)", "pass"),
    story="x0 is never clamped",
    advice="hold it to -clamp..clamp unless clamp is None",
)
exercise.edit(
    "clamped-to-one",
    ("x0 = clamped(x0, clamp)", "x0 = x0 if clamp is None else x0.clamp(-1, 1)"),
    story="x0 is held to -1..1, whatever clamp says",
    advice="to -clamp..clamp",
)
exercise.edit(
    "x-clamped",
    (RESULT, RESULT.replace("return Step(x ", "x = clamped(x, clamp)\n    return Step(x ")),
    story="x is clamped as well as x0",
    advice="only x0 has bounds: x still holds noise",
)
exercise.edit(
    "x0-before-clamping",
    ("x0 = clamped(x0, clamp)", "unheld, x0 = x0, clamped(x0, clamp)"),
    (RESULT, RESULT.replace(", x0)", ", unheld)")),
    story="x0 is returned as it was before it was clamped",
    advice="return x0 that went into x",
)
exercise.edit(
    "chance-on-top",
    (DIRECTION, "(1 - before).sqrt()"),
    story="noise is drawn on top of all the predicted noise: x gets noisier than its level",
    advice="the predicted noise gets what is left: sqrt(1 - before - variance)",
)
exercise.edit(
    "deviations-subtracted",
    (DIRECTION, "((1 - before).sqrt() - variance.sqrt())"),
    story="the predicted noise gets sqrt(1 - before) - sigma: deviations are subtracted",
    advice="variances add up, deviations do not: sqrt(1 - before - sigma^2)",
)
exercise.edit(
    "variance-for-deviation",
    ("per_sample(variance.sqrt(), x) * noise", "per_sample(variance, x) * noise"),
    story="the drawn noise is multiplied by the variance",
    advice="by its square root, the deviation",
)
exercise.edit(
    "eta-not-squared",
    (VARIANCE, "eta * step_variance(now, before)"),
    story="the variance is multiplied by eta",
    advice="eta belongs to the deviation: the variance takes eta^2",
)
exercise.edit(
    "eta-is-one",
    (VARIANCE, "(eta > 0) * step_variance(now, before)"),
    story="any eta above 0 draws as much noise as eta 1",
    advice="the deviation is eta times the posterior's",
)
exercise.edit(
    "eta-ignored",
    (VARIANCE, "(noise is not None) * step_variance(now, before)"),
    story="noise that is given is mixed in, whatever eta says",
    advice="the deviation is eta times the posterior's: none with eta 0",
)
exercise.edit(
    "larger-variance",
    (
        "per_sample(variance.sqrt(), x) * noise",
        "per_sample(eta * (1 - now / before).sqrt(), x) * noise",
    ),
    story="the drawn noise has the larger deviation sqrt(1 - now / before), the paper's sigma-hat",
    advice="sigma of equation 16: eta times the root of (1 - before) / (1 - now) (1 - now / before)",
    convention=True,
)
exercise.edit(
    "beta-throughout",
    (VARIANCE, "(eta**2 * (1 - now / before)).minimum(1 - before)"),
    story="the variance is the noise that the way from previous adds, 1 - now / before",
    advice="that is before x is known: times (1 - before) / (1 - now)",
)
exercise.edit(
    "all-noise-drawn",
    (
        "per_sample(direction, x) * predicted_noise",
        "per_sample(direction, x) * (predicted_noise if eta == 0 else noise)",
    ),
    (RESULT, "return Step(x, x0)"),
    (DIRECTION, "(1 - before).sqrt()"),
    story="with chance all the noise is drawn anew, and the predicted one is dropped",
    advice="the drawn noise takes the place of a part: its variance is eta^2 of the posterior's",
)
exercise.edit(
    "pair-exchanged",
    (
        RESULT,
        RESULT.replace("return Step(x ", "moved = (x ").replace(", x0)", ")\n    return x0, moved"),
    ),
    story="the pair is x0 and then x",
    advice="x comes first: Step(x=..., x0=...)",
)
exercise.edit(
    "one-level-for-all",
    ("before = schedule", "now = now[:1].expand(len(x))\n    before = schedule"),
    (
        "x0, predicted_noise = x0",
        "before = before[:1].expand(len(x))\n    x0, predicted_noise = x0",
    ),
    story="the first sample's timesteps are used for the whole batch",
    advice="levels are (B,): a number for each sample",
)
exercise.edit(
    "in-float64",
    (RESULT, RESULT.replace("Step(x if", "Step(x.double() if").replace("x +", "x.double() +")),
    story="x becomes float64, since the levels are",
    advice="bring the levels to the dtype of x: per_sample does",
)
exercise.edit(
    "clamped-in-place",
    (
        "x0 = clamped(x0, clamp)",
        "held = clamped(x0, clamp)\n    x0 = predicted.copy_(held) if clamp else held",
    ),
    ("x0_and_noise(predicted, x", "x0_and_noise(predicted.clone(), x"),
    story="the clamped x0 is written into the caller's prediction",
    advice="make new tensors: clamp, not clamp_ or copy_",
)
exercise.edit(
    "chance-not-refused",
    ("_check_eta(eta, noise)", "pass"),
    story="an eta outside of 0 to 1, or one above 0 without noise, is taken as it comes",
    advice="without noise the step would lose variance: raise a ValueError",
)
exercise.edit(
    "times-not-refused",
    ("(previous.cpu() < timesteps.cpu()).all()", "True"),
    story="a previous timestep that is not earlier is taken as it comes",
    advice="raise a ValueError unless all of previous are below timesteps",
)


exercise.edit(
    "final-alpha-not-refused",
    (LEVEL, "schedule.at(previous, final_alpha)"),
    story="it does not refuse a final_alpha of 0 or below, or above 1",
    advice="alpha_bar is a share of variance: raise a ValueError unless 0 < final_alpha <= 1",
)
exercise.edit(
    "any-target",
    ("predicted, x, now, target)", 'predicted, x, now, target if target in ("noise", "x0") else '
     '"velocity")'),
    story="it does not refuse a target that is none: it is taken for the velocity",
    advice="x0_and_noise refuses it: hand it the target as it is",
)  # fmt: skip
exercise.edit(
    "any-clamp",
    ("x0 = clamped(x0, clamp)",
     "x0 = x0 if clamp is None else x0.clamp(-clamp, clamp)"),
    story="it does not refuse a clamp of 0, or one below",
    advice="raise a ValueError unless clamp > 0: clamped does",
)  # fmt: skip


@exercise.refusing
def refuse(schedule, predicted, x, timesteps, previous, noise=None, *, target="noise", clamp=None,
           final_alpha=1.0, **options):  # fmt: skip
    if target not in ("noise", "x0", "velocity"):
        raise ValueError(f"target {target}")
    if clamp is not None and clamp <= 0 or not 0 < final_alpha <= 1:
        raise ValueError(f"clamp {clamp}, final_alpha {final_alpha}")


def levels(schedule, timesteps, previous, final_alpha):
    """alpha_bar now and before, after the refusals that every answer here makes as asked."""
    if bool((previous >= timesteps).any()):
        raise ValueError(f"{previous} is not before {timesteps}")
    before = [final_alpha if t < 0 else float(schedule.alpha_bar[t]) for t in previous.tolist()]
    return schedule.alpha_bar[timesteps], torch.tensor(before, dtype=torch.float64)


def parts_of(predicted, x, near, far, target):
    """Start and noise of x."""
    if target == "noise":
        return (x - far * predicted) / near, predicted
    if target == "x0":
        return predicted, (x - near * predicted) / far
    return near * x - far * predicted, far * x + near * predicted


@exercise.right("shaped at once")
def shaped_at_once(schedule, predicted, x, timesteps, previous, noise=None, *, target="noise",
                   eta=0.0, clamp=None, follow_clamp=True, final_alpha=1.0):  # fmt: skip
    if eta < 0 or eta > 1 or (noise is None and eta != 0):
        raise ValueError(f"eta {eta}")
    found = levels(schedule, timesteps, previous, final_alpha)
    a, b = (level.view(-1, *[1] * (x.dim() - 1)) for level in found)
    near, far = a.sqrt().to(x), (1 - a).sqrt().to(x)
    x0, noise_rate = parts_of(predicted, x, near, far, target)
    if clamp is not None:
        x0 = torch.clamp(x0, -clamp, clamp)
        noise_rate = (x - near * x0) / far if follow_clamp else noise_rate
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    moved = b.sqrt().to(x) * x0 + (1 - b - sigma**2).relu().sqrt().to(x) * noise_rate
    return (moved + sigma.to(x) * noise if eta > 0 else moved), x0


@exercise.right("sample by sample")
def sample_by_sample(schedule, predicted, x, timesteps, previous, noise=None, *, target="noise",
                     eta=0.0, clamp=None, follow_clamp=True, final_alpha=1.0):  # fmt: skip
    drawn = torch.zeros_like(x) if noise is None and eta == 0 else noise
    if drawn is None or not 0 <= eta <= 1:
        raise ValueError("no chance")
    rows, starts = [], []
    pairs = zip(*levels(schedule, timesteps, previous, final_alpha), strict=True)
    for i, (a, b) in enumerate(pairs):
        near, far = float(a) ** 0.5, float(1 - a) ** 0.5
        x0, noise_rate = parts_of(predicted[i], x[i], near, far, target)
        if clamp is not None:
            x0 = x0.clamp(min=-clamp).clamp(max=clamp)
            if follow_clamp:
                noise_rate = (x[i] - near * x0) / far
        variance = float(eta**2 * (1 - b) * (1 - a / b) / (1 - a))
        rest = max(float(1 - b) - variance, 0) ** 0.5
        rows.append(float(b) ** 0.5 * x0 + rest * noise_rate + variance**0.5 * drawn[i])
        starts.append(x0)
    return torch.stack(rows), torch.stack(starts)


@exercise.disguise("not-moved")
def not_moved_too(schedule, predicted, x, timesteps, previous, noise=None, **options):
    x0 = shaped_at_once(schedule, predicted, x, timesteps, previous, noise, **options)[1]
    return x.clone(), x0


@exercise.disguise("pair-exchanged")
def pair_exchanged_too(*arguments, **options):
    return sample_by_sample(*arguments, **options)[::-1]


@exercise.disguise("always-follows")
def always_follows_too(*arguments, follow_clamp=True, **options):
    return sample_by_sample(*arguments, **options)
