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
    hints="""
        1. A temperature of 0.5 is a scale of 2, so log_scale begins at log 2 = 0.69. At log_scale =
           5 the scale would be e^5 = 148: the limit makes it 100. There the gradient must still be
           positive: with a gradient of 0 no step would ever bring log_scale back below 4.6.
        2. Softmax depends on ratios, so the scale should change by per cent, not by plus or minus:
           learn the logarithm. Above the limit, subtract the excess, but as a constant of which
           backward knows nothing. The lesson plots both kinds of clamp.
        3. __init__: call the parent's, make a parameter of a tensor of shape (), keep the logarithm
           of the limit as a plain number. forward: how much is log_scale above that, at least 0,
           detached; subtract it; then exp. Subtract before exp, or exp(1000) is inf.
        4. self.log_scale = nn.Parameter(torch.tensor(math.log(1 / initial))); in forward: excess =
           (self.log_scale - self.log_limit).clamp(min=0.0).detach(); return (self.log_scale -
           excess).exp()
    """,
)


def at(case, scale_class, log_scale, **options):
    """A scale whose learned logarithm has been moved to this number."""
    logit_scale = case.call(scale_class, **options)
    with torch.no_grad():
        logit_scale.log_scale.fill_(log_scale)
    return logit_scale


@exercise.holds("it has one learned number, log_scale, without axes, and saves nothing else")
def one_number(scale_class, case):
    logit_scale = case.call(scale_class)
    case.true(isinstance(logit_scale, nn.Module), "an nn.Module", "something else")
    shapes = {name: list(x.shape) for name, x in logit_scale.named_parameters()}
    case.true(shapes == {"log_scale": []}, "the parameters {'log_scale': []}", shapes)
    names = list(logit_scale.state_dict())
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


exercise.mistakes("""
    limit-saved: the limit is a buffer, so it is saved with the weights and missing in others'
    - self.log_limit = math.log(limit)
    + self.register_buffer("log_limit", torch.tensor(math.log(limit)))
    > a plain number: self.limit = limit

    dead-above-limit: clamp has no gradient above the limit, so an overshot scale never comes back
    - return (self.log_scale - excess).exp()
    + return self.log_scale.clamp(max=self.log_limit).exp()
    > subtract the excess as a constant, with .detach()

    not-a-logarithm: the scale itself is learned, not its logarithm
    - math.log(1 / initial)
    + 1 / initial
    - math.log(limit)
    + limit
    - return (self.log_scale - excess).exp()
    + return self.log_scale - excess
    > a step of 0.01 should mean one per cent: learn the logarithm and return its exp

    temperature-returned [convention]: the temperature is returned, not the scale 1 / temperature
    - return (self.log_scale - excess).exp()
    + return (excess - self.log_scale).exp()
    > similarities are multiplied by the result: return exp(+log_scale)

    never-below-one [convention]: the scale is at least 1 too, as in the published training code
    - return (self.log_scale - excess).exp()
    + return (self.log_scale - excess).exp().clamp(min=1.0)
    > only the upper limit is asked for

    overflows-first: exp is taken before the limit, so a large log_scale gives inf - inf
    - return (self.log_scale - excess).exp()
    + scale = self.log_scale.exp()
    + return scale - (scale - math.exp(self.log_limit)).clamp(min=0.0).detach()
    > hold the logarithm at its limit first, then take exp

    base-two [convention]: the logarithm has base 2
    - math.log(1 / initial)
    + math.log2(1 / initial)
    - math.log(limit)
    + math.log2(limit)
    - return (self.log_scale - excess).exp()
    + return (self.log_scale - excess).exp2()
    > natural logarithm and exp, as the published weights have it

    limits-the-parameter [convention]: forward clamps the parameter itself
    - return (self.log_scale - excess).exp()
    + with torch.no_grad():
    +     self.log_scale.clamp_(max=self.log_limit)
    + return self.log_scale.exp()
    > the published code clamps it after each optimizer step; here forward changes nothing
""")

exercise.slips("""
    nn.Parameter(torch => (torch
    math.log(1 / initial) => 1 / initial
    math.log(1 / initial) => math.log(initial)
    (self.log_scale - excess).exp() => self.log_scale.clamp(min=self.log_limit).exp()
    torch.tensor(math.log(1 / initial)) => torch.tensor([math.log(1 / initial)])
""")


@exercise.right("straight through")
class StraightThrough(nn.Module):
    def __init__(self, initial=0.07, limit=100.0):
        super().__init__()
        self.log_scale = nn.Parameter(-torch.tensor(initial).log())
        self.limit = limit

    def forward(self):
        held = self.log_scale.clamp(max=math.log(self.limit))
        return (self.log_scale + (held - self.log_scale).detach()).exp()


@exercise.right("a factor of 1 that carries the gradient", method="forward")
def factor_of_one(self):
    held = self.log_scale.detach().clamp(max=self.log_limit).exp()
    return held * (self.log_scale - self.log_scale.detach()).exp()
