"""Exercise adaptive_loss.UncertaintyWeights: losses weighted by a learned noise, at a price."""

import functools
import math

import torch

from scratchmm.exercises.format import Exercise
from scratchmm.training.adaptive_loss import UncertaintyWeights

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
    hints="""
        1. One loss of 3 with s = log 2, a variance of 2: it adds 3 / 2 + log(2) / 2 = 1.85. As a
           mean squared error it adds 3 / 4 + log(2) / 2. With all s at 0, losses of 1 and 2 add up
           to 3: nothing is weighed yet, and there is no price.
        2. A loss divided by its noise becomes small if only the noise is called large. So noise has
           a price, s / 2, which is the logarithm of the standard deviation in a normal density.
           Between the two lies a best s, and it is found by the optimizer, because s is a
           parameter.
        3. weights: s (K,) to exp(-s), times self.factors. forward: pick the losses in the order of
           self.names, as they may come in any order, and stack them to (K,). Times the weights,
           plus half of s, and the sum over K.
        4. weights: self.factors * (-self.log_variances).exp(); forward: values =
           torch.stack([losses[name] for name in self.names]), then (self.weights * values +
           self.log_variances / 2).sum()
    """,
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
    """The module as a function of its losses in the order of NAMES."""

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


@exercise.holds("the best variance is twice the loss, or the loss itself if it is squared")
def best(uncertainty_weights, case):
    losses = [torch.tensor(loss) for loss in (1.5, 0.7, 4.0)]
    at = torch.tensor([3.0, 0.7, 8.0]).log()
    module = made(case, uncertainty_weights, noises=at)
    result = case.call(total(module), *losses)
    case.true(result.requires_grad, "a total with a gradient", "one without")
    (slope,) = torch.autograd.grad(result, module.log_variances, allow_unused=True)
    slope = torch.full((3,), torch.nan) if slope is None else slope
    case.equal(case.seen(slope), torch.zeros(3), "the slope at the best s", 1e-3)


exercise.mistakes("""
    no-price: noise costs nothing, so the model calls everything noise and the loss goes to 0
    - + self.log_variances / 2
    > add s / 2 for each loss

    price-not-halved [convention]: the price is s, not s / 2
    - / 2
    > it is the logarithm of the standard deviation: half of that of the variance

    price-above-zero [convention]: the price is log(1 + variance), which can't fall below 0, as
    others have it
    - self.log_variances / 2
    + torch.nn.functional.softplus(self.log_variances)
    > a loss may well fall below 0 here: the price is s / 2

    logarithm-of-the-deviation [convention]: s is taken for the logarithm of the standard deviation
    - return self.factors * torch.exp(-self.log_variances)
    + return self.factors * torch.exp(-2 * self.log_variances)
    - / 2
    > it is that of the variance: exp(-s), and s / 2

    half-for-all [convention]: every loss is halved, as if all were mean squared errors
    - return self.factors * torch.exp(-self.log_variances)
    + return torch.exp(-self.log_variances) / 2
    > self.factors says which are: a half for those, 1 for all others

    logarithm-forgotten: s is taken for the variance itself: at 0 it divides by 0
    - return self.factors * torch.exp(-self.log_variances)
    + return self.factors / self.log_variances
    > s is a logarithm: exp(-s) is 1 / variance, and never fails

    as-they-come: losses are taken in the order in which they come, not by name
    - values = _in_order(losses, self.names)
    + values = torch.stack([*losses.values()])
    > [losses[name] for name in self.names]

    weights-of-sum-one: the weights are made to have the sum 1
    - return self.factors * torch.exp(-self.log_variances)
    + return (self.factors * torch.exp(-self.log_variances)).softmax(0)
    > each loss has a noise of its own: no softmax

    weights-of-the-right-total: the total is right, but weights lack the half of squared losses
    - return self.factors * torch.exp(-self.log_variances)
    + return torch.exp(-self.log_variances)
    - .weights
    + .factors * self.weights
    > weights are the factors that the losses really have: self.factors * exp(-s)
""")

exercise.slips("""
    torch.exp(-self.log_variances) => torch.exp(-2 * self.log_variances)
    self.log_variances / 2) => self.log_variances.clamp(min=0) / 2)
    torch.exp(-self.log_variances) => torch.exp(-self.log_variances / 2)
    values + self.log_variances / 2 => (values + self.log_variances / 2)
    values = _in_order(losses, self.names) => values = _in_order(losses, self.names).detach()
    _in_order(losses, self.names) => torch.stack([losses[name] for name in sorted(losses)])
    self.log_variances / 2 => self.factors * self.log_variances / 2
    self.factors => 1.5 - self.factors
""")


@exercise.disguise("as-they-come", method="forward")
def as_they_come_too(self, losses):
    pairs = zip(losses.items(), self.weights, strict=True)
    return sum(weight * loss for (_, loss), weight in pairs) + self.log_variances.sum() / 2


@exercise.right("loss by loss", method="forward")
def loss_by_loss(self, losses):
    result = 0.5 * self.log_variances.sum()
    for name, weight in zip(self.names, self.weights, strict=True):
        result = result + weight * losses[name]
    return result


@exercise.right("the deviation squared")
class DeviationSquared(UncertaintyWeights):
    @property
    def weights(self):
        return self.factors / (self.log_variances / 2).exp().square()

    def forward(self, losses):
        deviation = (self.log_variances / 2).exp()
        values = torch.stack([losses[name] for name in self.names])
        return torch.dot(self.weights, values) + deviation.log().sum()
