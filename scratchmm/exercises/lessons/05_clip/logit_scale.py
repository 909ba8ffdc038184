"""Exercise two_tower.LogitScale: a learned scale that can't run away and can't get stuck."""

import math

import torch
from torch import nn

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="two_tower.LogitScale",
    order=30,
    target="scratchmm.contrastive.two_tower:LogitScale",
    title="A temperature that learns",
    goal="the scale 1 / temperature, learned as its logarithm, at most the limit",
    minutes=15,
    difficulty=2,
    section="The temperature",
    methods={
        "__init__": "log_scale, a parameter without axes, begins at log(1 / initial)",
        "forward": "exp(log_scale), at most the limit, with a gradient even there",
    },
    hints=(
        "A temperature of 0.5 is a scale of 2, so log_scale begins at log 2 = 0.69. At log_scale = 5 "
        "the scale would be e^5 = 148: the limit makes it 100. There the gradient must still be a "
        "positive number: with a gradient of 0 no step would ever bring log_scale back below 4.6.",
        "Softmax reads ratios, so the scale should change by per cent, not by plus or minus: learn "
        "the logarithm. Above the limit, take away what is too much, but as a constant, so that "
        "backward does not see it. The lesson plots both kinds of clamp.",
        "__init__: call the parent's, make a parameter of a tensor of shape (), keep the logarithm "
        "of the limit as a plain number. forward: how much is log_scale above that, at least 0, "
        "detached; subtract it; then exp. Subtract before exp, or exp(1000) is inf.",
        "self.log_scale = nn.Parameter(torch.tensor(math.log(1 / initial))); in forward: "
        "excess = (self.log_scale - self.log_limit).clamp(min=0.0).detach(); "
        "return (self.log_scale - excess).exp()",
    ),
)


def at(case, scale_class, log_scale, **options):
    """A scale whose learned logarithm has been moved to this number."""
    logit_scale = case.call(scale_class, **options)
    with torch.no_grad():
        logit_scale.log_scale.fill_(log_scale)
    return logit_scale


@exercise.holds("it has one learned number, log_scale, a tensor without axes")
def one_number(scale_class, case):
    logit_scale = case.call(scale_class)
    case.true(isinstance(logit_scale, nn.Module), "an nn.Module", "something else")
    shapes = {name: list(x.shape) for name, x in logit_scale.named_parameters()}
    case.true(shapes == {"log_scale": []}, "the parameters {'log_scale': []}", shapes)


@exercise.holds("log_scale is all that is saved")
def saved(scale_class, case):
    names = list(case.call(scale_class).state_dict())
    case.equal(case.seen(names), ["log_scale"], "the names in state_dict()")


@exercise.holds("it begins at 1 / initial")
def begins(scale_class, case):
    for initial in (0.07, 0.5, 2.0):
        logit_scale = case.call(scale_class, initial=initial)
        case.equal(case.call(logit_scale), torch.tensor(1 / initial), f"initial {initial}")


@exercise.holds("log_scale is learned, and the scale is exp(log_scale), below 1 too")
def exponential(scale_class, case):
    for log_scale in (2.0, 0.5, -1.5):
        logit_scale = at(case, scale_class, log_scale)
        case.equal(case.call(logit_scale), torch.tensor(math.exp(log_scale)), f"at {log_scale}")


@exercise.holds("above the limit the scale is the limit: 100, or the one that was asked for")
def limit(scale_class, case):
    for options, log_scale in (({"limit": 5.0}, 6.0), ({"limit": 5.0}, 2.0), ({}, 5.0), ({}, 7.5)):
        logit_scale = at(case, scale_class, log_scale, **options)
        expected = torch.tensor(options.get("limit", 100.0))
        case.equal(case.call(logit_scale), expected, f"{options} at {log_scale}")


@exercise.holds("a log_scale of 1000 does not overflow")
def overflow(scale_class, case):
    logit_scale = at(case, scale_class, 1000.0)
    case.equal(case.call(logit_scale), torch.tensor(100.0), "at log_scale 1000")


@exercise.holds("below the limit the gradient of the scale is the scale itself")
def gradient_below(scale_class, case):
    logit_scale = at(case, scale_class, 1.2)
    scale = case.call(logit_scale)
    case.true(scale.requires_grad, "a result with a gradient", "one without")
    (gradient,) = torch.autograd.grad(scale, logit_scale.log_scale)
    case.equal(case.seen(gradient), torch.tensor(math.exp(1.2)), "gradient at log_scale 1.2")


@exercise.holds("above the limit the gradient still flows, so that the scale finds its way back")
def gradient_above(scale_class, case):
    logit_scale = at(case, scale_class, 5.5)
    (gradient,) = torch.autograd.grad(case.call(logit_scale), logit_scale.log_scale)
    alive = bool(torch.isfinite(gradient)) and gradient.item() > 1e-3
    case.true(alive, "a gradient above 0 at log_scale = 5.5", gradient)


@exercise.holds("reading the scale does not change log_scale")
def left_alone(scale_class, case):
    logit_scale = at(case, scale_class, 6.0)
    case.call(logit_scale)
    left = case.seen(logit_scale.log_scale.detach())
    case.equal(left, torch.tensor(6.0), "log_scale after the call, 6 before")


exercise.edit(
    "limit-saved",
    ("self.log_limit = math.log(limit)",
     'self.register_buffer("log_limit", torch.tensor(math.log(limit)))'),
    story="the limit is a buffer, which is saved with the weights and missing in those of others",
    advice="a plain number: self.limit = limit",
)  # fmt: skip
exercise.edit(
    "dead-above-limit",
    ("(self.log_scale - excess).exp()", "self.log_scale.clamp(max=self.log_limit).exp()"),
    story="clamp has no gradient above the limit, so an overshot scale is stuck there for ever",
    advice="subtract what is too much as a constant: .detach() on the excess",
)
exercise.edit(
    "excess-has-a-gradient",
    (".detach()", ""),
    story="the excess is subtracted with its gradient, and the two gradients cancel",
    advice="detach the excess, so that backward sees only log_scale",
    twin="dead-above-limit",
)
exercise.edit(
    "begins-at-the-temperature",
    ("math.log(1 / initial)", "math.log(initial)"),
    story="it begins at the logit_scale, 0.07, and not at the scale, 1 / 0.07",
    advice="log(1 / initial), which is -log(initial)",
)
exercise.edit(
    "logarithm-forgotten-at-the-start",
    ("math.log(1 / initial)", "1 / initial"),
    story="log_scale begins at 1 / initial itself, so the scale begins at e to that power",
    advice="what is learned is the logarithm: it begins at log(1 / initial)",
)
exercise.edit(
    "not-a-logarithm",
    ("math.log(1 / initial)", "1 / initial"),
    ("math.log(limit)", "limit"),
    ("(self.log_scale - excess).exp()", "self.log_scale - excess"),
    story="the scale itself is learned, not its logarithm",
    advice="a step of 0.01 should mean one per cent: learn the logarithm and return its exp",
)
exercise.edit(
    "logarithm-returned",
    ("(self.log_scale - excess).exp()", "self.log_scale - excess"),
    story="log_scale itself is returned",
    advice="the scale is exp(log_scale)",
)
exercise.edit(
    "temperature-returned",
    ("(self.log_scale - excess).exp()", "(excess - self.log_scale).exp()"),
    story="the temperature is returned, and not the scale, 1 / temperature",
    advice="similarities are multiplied by what comes back: return exp(+log_scale)",
    convention=True,
)
exercise.edit(
    "no-limit",
    ("(self.log_scale - excess).exp()", "self.log_scale.exp()"),
    story="the scale has no limit",
    advice="hold it at the limit, or a few confident steps make every loss explode",
)
exercise.edit(
    "limit-from-below",
    ("(self.log_scale - excess).exp()", "self.log_scale.clamp(min=self.log_limit).exp()"),
    story="the scale is held at the limit from below: it is never under it, and has no end above",
    advice="clamp(min=...) lifts what is small; the limit is the most that the scale may be",
)
exercise.edit(
    "limit-without-logarithm",
    ("math.log(limit)", "limit"),
    story="the logarithm is compared with the limit itself, so the limit is e^100",
    advice="log_scale reaches its limit at log(100) = 4.6",
)
exercise.edit(
    "limit-is-always-100",
    ("math.log(limit)", "math.log(100.0)"),
    story="the limit that was asked for is ignored: it is always 100",
    advice="use the argument",
)
exercise.edit(
    "initial-is-always-0.07",
    ("math.log(1 / initial)", "math.log(1 / 0.07)"),
    story="the temperature that was asked for is ignored: it is always 0.07",
    advice="use the argument",
)
exercise.edit(
    "never-below-one",
    ("(self.log_scale - excess).exp()", "(self.log_scale - excess).exp().clamp(min=1.0)"),
    story="the scale is held at 1 from below too, as the published training code does",
    advice="only the upper limit is asked for",
    convention=True,
)
exercise.edit(
    "not-a-parameter",
    ("nn.Parameter(torch.tensor(math.log(1 / initial)))", "torch.tensor(math.log(1 / initial))"),
    story="log_scale is a plain tensor, so the optimizer never sees it",
    advice="wrap it in nn.Parameter",
)
exercise.edit(
    "a-vector-of-one",
    ("torch.tensor(math.log(1 / initial))", "torch.tensor([math.log(1 / initial)])"),
    story="log_scale has an axis of length 1",
    advice="torch.tensor(number), without brackets, has no axes",
)
exercise.edit(
    "overflows-first",
    (
        "(self.log_scale - excess).exp()",
        "self.log_scale.exp() - (self.log_scale.exp() - math.exp(self.log_limit))"
        ".clamp(min=0.0).detach()",
    ),
    story="exp is taken before the limit, so a large log_scale gives inf - inf",
    advice="hold the logarithm at its limit first, then take exp",
)
exercise.edit(
    "detached",
    ("(self.log_scale - excess).exp()", "(self.log_scale - excess).exp().detach()"),
    story="the scale is cut off from log_scale, so it never learns",
    advice="no item(), no float(), no detach() on the result",
)
exercise.edit(
    "base-two",
    ("(self.log_scale - excess).exp()", "(self.log_scale - excess).exp2()"),
    ("math.log(1 / initial)", "math.log2(1 / initial)"),
    ("math.log(limit)", "math.log2(limit)"),
    story="the logarithm has base 2",
    advice="natural logarithm and exp, as the published weights have it",
    convention=True,
)


@exercise.wrong(
    "limits-the-parameter",
    story="the parameter itself is clamped while it is read",
    advice="the published code clamps it after each optimizer step; here reading changes nothing",
    method="forward",
    convention=True,
)
def limits_the_parameter(self):
    with torch.no_grad():
        self.log_scale.clamp_(max=self.log_limit)
    return self.log_scale.exp()


@exercise.disguise("dead-above-limit")
class Minimum(nn.Module):
    def __init__(self, initial=0.07, limit=100.0):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(initial)))
        self.limit = limit

    def forward(self):
        return torch.minimum(self.log_scale, torch.tensor(self.limit).log()).exp()


@exercise.disguise("not-a-logarithm")
class Plain(nn.Module):
    def __init__(self, initial=0.07, limit=100.0):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(1 / initial))
        self.limit = limit

    def forward(self):
        return self.log_scale + (self.log_scale.clamp(max=self.limit) - self.log_scale).detach()


@exercise.right("straight through")
class StraightThrough(nn.Module):
    def __init__(self, initial=0.07, limit=100.0):
        super().__init__()
        self.log_scale = nn.Parameter(-torch.tensor(initial).log())
        self.limit = limit

    def forward(self):
        held = self.log_scale.clamp(max=math.log(self.limit))
        return (self.log_scale + (held - self.log_scale).detach()).exp()


class Held(torch.autograd.Function):
    """exp up to a limit, with the gradient of exp at what came out."""

    @staticmethod
    def forward(context, log_scale, limit):
        scale = log_scale.clamp(max=math.log(limit)).exp()
        context.save_for_backward(scale)
        return scale

    @staticmethod
    def backward(context, upstream):
        return upstream * context.saved_tensors[0], None


@exercise.right("a backward of its own")
class OwnBackward(nn.Module):
    def __init__(self, initial=0.07, limit=100.0):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.limit = limit
        with torch.no_grad():
            self.log_scale -= math.log(initial)

    def forward(self):
        return Held.apply(self.log_scale, self.limit)
