"""Exercise adaptive_loss.UncertaintyWeights: losses over a noise that is learned, at a price."""

import functools
import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="adaptive_loss.UncertaintyWeights",
    order=150,
    target="scratchmm.training.adaptive_loss:UncertaintyWeights",
    title="What is noisy counts less",
    goal="each loss times exp(-s), halved if it is squared, plus s / 2, added up",
    minutes=15,
    difficulty=3,
    section="Several losses",
    needs=("adaptive_loss.ratio_weights",),
    methods={
        "weights": "exp(-s), times the factor of each loss (1, or a half for squared ones)",
        "forward": "the weighted losses, picked by name, plus s / 2 for each, added up",
    },
    hints=(
        "One loss of 3 with s = log 2, a variance of 2: it adds 3 / 2 + log(2) / 2 = 1.85. As a mean "
        "squared error it adds 3 / 4 + log(2) / 2. With all s at 0, losses of 1 and 2 add up to 3: "
        "nothing is weighed yet, and there is no price.",
        "A loss divided by its noise becomes small if only the noise is called large. So noise has a "
        "price, s / 2, which is the logarithm of the standard deviation in a normal density. Between "
        "the two lies a best s, and it is found by the optimizer, because s is a parameter.",
        "weights: s (K,) to exp(-s), times self.factors. forward: pick the losses in the order of "
        "self.names, as they may come in any order, and stack them to (K,). Times the weights, plus "
        "half of s, and the sum over K.",
        "weights: self.factors * (-self.log_variances).exp(); forward: values = torch.stack("
        "[losses[name] for name in self.names]), then (self.weights * values + "
        "self.log_variances / 2).sum()",
    ),
)
NAMES = ("match", "box", "answer")
ORDERS = (NAMES, ("answer", "match", "box"), ("box", "answer", "match"))


def made(case, uncertainty_weights, squared=("box",), noises=None):
    """One for three losses, the second of them squared, with these logarithms of the variance."""
    module = case.call(uncertainty_weights, list(NAMES), list(squared))
    if noises is None:
        noises = case.normal(K=3)
    with torch.no_grad():
        module.log_variances.copy_(torch.as_tensor(noises))
    return module


def total(module):
    """The module as a function of its losses in the order of NAMES, which hands them over by name."""

    def weigh(match, box, answer, order=NAMES):
        losses = dict(zip(NAMES, (match, box, answer), strict=True))
        return module({name: losses[name] for name in order})

    return weigh


def numbers(case):
    """Three losses, all above 0."""
    return [one.clone() for one in case.normal(K=3).abs() + 0.5]


def slow(module, match, box, answer, order=NAMES, halved=("box",)):
    """The oracle: loss by loss, by name."""
    terms = []
    for place, (name, loss) in enumerate(zip(NAMES, (match, box, answer), strict=True)):
        s = module.log_variances[place]
        terms.append(loss / (s.exp() * (2 if name in halved else 1)) + s / 2)
    return terms[0] + terms[1] + terms[2]


@exercise.holds("with variances of 1 the losses are added up; squared ones count half")
def begins(uncertainty_weights, case):
    losses = [torch.tensor(loss) for loss in (1.0, 4.0, 2.5)]
    for squared, expected in (((), 7.5), (("box",), 5.5), (("answer", "match"), 5.75)):
        module = made(case, uncertainty_weights, squared, torch.zeros(3))
        got = case.call(total(module), *losses)
        case.equal(got, torch.tensor(expected), f"squared: {', '.join(squared) or 'none'}")


@exercise.holds("losses of 0 leave the price of noise: s / 2 for each, squared or not")
def price(uncertainty_weights, case):
    for noises in ((1.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.5, 0.25, -2.0)):
        module = made(case, uncertainty_weights, noises=torch.tensor(noises))
        got = case.call(total(module), *torch.zeros(3))
        case.equal(got, torch.tensor(sum(noises) / 2), f"s = {list(noises)}")


@exercise.holds("a loss counts exp(-s): a variance of 4 quarters it, squared or not")
def divided(uncertainty_weights, case):
    loss = torch.tensor([10.0, 30.0, 20.0])
    module = made(case, uncertainty_weights, noises=torch.tensor([4.0, 2.0, 0.5]).log())
    got = case.call(total(module), *loss) - module.log_variances.sum() / 2
    case.equal(got, torch.tensor(10 / 4 + 30 / 2 / 2 + 20 / 0.5), "the total without its price")


@exercise.holds("the total is that of the losses one by one")
def one_by_one(uncertainty_weights, case):
    module, losses = made(case, uncertainty_weights), numbers(case)
    case.equal(case.call(total(module), *losses), slow(module, *losses))


@exercise.holds("losses are known by their names: they may come in any order")
def any_order(uncertainty_weights, case):
    module, losses = made(case, uncertainty_weights), numbers(case)
    weigh, expected = total(module), slow(module, *losses)
    case.each(weigh, *(((*losses, order), expected) for order in ORDERS))


@exercise.holds("weights are the factors that the losses have now, in the order of the names")
def factors(uncertainty_weights, case):
    module = made(case, uncertainty_weights)

    @functools.wraps(uncertainty_weights)
    def weights():
        return module.weights

    match, box, answer = module.log_variances.tolist()
    expected = [math.exp(-match), math.exp(-box) / 2, math.exp(-answer)]
    case.equal(case.call(weights), torch.tensor(expected), "weights")


@exercise.holds("the gradients reach the losses and the logarithms of the variances")
def gradients(uncertainty_weights, case):
    module, losses = made(case, uncertainty_weights).double(), numbers(case)
    case.gradients(total(module), lambda *given: slow(module, *given), *losses, parameters=module)


@exercise.holds(
    "for a loss that stays the best variance is twice the loss, for a squared one the loss"
)
def best(uncertainty_weights, case):
    losses = [torch.tensor(loss) for loss in (1.5, 0.7, 4.0)]
    at = torch.tensor([3.0, 0.7, 8.0]).log()
    module = made(case, uncertainty_weights, noises=at)
    result = case.call(total(module), *losses)
    case.true(result.requires_grad, "a total with a gradient", "one without")
    (slope,) = torch.autograd.grad(result, module.log_variances, allow_unused=True)
    slope = torch.full((3,), torch.nan) if slope is None else slope
    case.equal(case.seen(slope), torch.zeros(3), "the slope at the best s", 1e-3)
