"""Exercise adaptive_loss.ratio_weights: the loss that fell least counts more."""

import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="adaptive_loss.ratio_weights",
    order=140,
    target="scratchmm.training.adaptive_loss:ratio_weights",
    title="The loss that fell least counts more",
    goal="K times the softmax of (last / before) / temperature; a loss that was 0 has the ratio 1",
    minutes=10,
    difficulty=2,
    section="Several losses",
    hints="""
        1. Two losses fell from [2, 2] to [1, 2]: the ratios are [0.5, 1]. At temperature 1 the
           weights are 2 * [e^0.5, e^1] / (e^0.5 + e^1) = [0.755, 1.245]: the first has learned
           something, the second not, so the second counts more. Their sum is 2, as without weights.
        2. How large a loss is tells little: a cross-entropy over 3000 answers is larger than one
           over two. What is left of it tells whether it still falls. A softmax turns what is left
           into weights above 0; the temperature sets how far apart they may lie.
        3. Refuse a temperature that is not above 0. Ratios (K,): last over before; where before is
           0 nothing can be divided, and 1 stands for it. Divide by the temperature, softmax over
           the K losses, times K.
        4. ratio = last / before, but 1 where before is not above 0 (torch.where); return len(last)
           * torch.softmax(ratio / temperature, dim=0)
    """,
)


def losses(case, K=5):
    """Two periods of losses, from 0.5 to 2.5 or so, of sizes without relation to their ratios."""
    last, before = (case.normal(K=K).abs() + 0.5 for _ in range(2))
    return case.named(last, "K"), case.named(before, "K")


def slow(last, before, temperature=2.0):
    """The oracle: number by number."""
    pairs = zip(last.tolist(), before.tolist(), strict=True)
    ratios = [one / other if other else 1.0 for one, other in pairs]
    powers = [math.exp((ratio - max(ratios)) / temperature) for ratio in ratios]
    return torch.tensor([len(ratios) * power / sum(powers) for power in powers])


@exercise.holds("losses that all fell alike have weights of 1, whatever their sizes")
def alike(ratio_weights, case):
    _, before = losses(case)
    case.equal(case.call(ratio_weights, case.named(before / 4, "K"), before), torch.ones(5))


@exercise.holds("the weights have the sum K, however many losses there are")
def sums(ratio_weights, case):
    for K in (3, 4, 1):
        weights = case.call(ratio_weights, *losses(case, K))
        case.shape(weights, "K")
        case.equal(weights.sum(), torch.tensor(float(K)), "the sum of the weights")


@exercise.holds("a loss of which less is left counts less")
def fell(ratio_weights, case):
    before = torch.tensor([8.0, 4.0, 1.0])
    weights = case.call(ratio_weights, torch.tensor([2.0, 2.0, 1.0]), before)
    falling = weights.argsort().tolist()
    case.true(falling == [0, 1, 2], "weights that rise from the first to the last", weights)


@exercise.holds("the weights are K times the softmax of the ratios over the temperature")
def formula(ratio_weights, case):
    last, before = losses(case)
    case.equal(case.call(ratio_weights, last, before), slow(last, before), "at temperature 2")
    for temperature in (0.5, 5.0):
        got = case.call(ratio_weights, last, before, temperature)
        case.equal(got, slow(last, before, temperature), f"at temperature {temperature}")


@exercise.holds("measured in other units, losses have the same weights")
def units(ratio_weights, case):
    last, before = losses(case)
    scale = torch.tensor([1.0, 100.0, 1e-5, 7.0, 3.0])
    got = case.call(ratio_weights, case.named(scale * last, "K"), case.named(scale * before, "K"))
    case.equal(got, slow(last, before))


@exercise.holds("a loss that was 0 has the ratio 1, whatever it is now")
def was_zero(ratio_weights, case):
    last, before = losses(case)
    last[1] = before[1] = before[3] = 0
    case.equal(case.call(ratio_weights, last, before), slow(last, before))


@exercise.holds("a loss that has become a thousandfold overflows nowhere")
def exploded(ratio_weights, case):
    last, before = losses(case)
    last = case.named(torch.tensor([1.0, 1000.0, 1.0, 1.0, 1.0]) * last, "K")
    got = case.call(ratio_weights, last, before)
    case.finite(got)
    case.equal(got, slow(last, before))


@exercise.holds("both losses are left as they were")
def unchanged(ratio_weights, case):
    last, before = losses(case)
    before[2] = 0
    case.call(ratio_weights, last, before)
    case.unchanged()


@exercise.holds("a temperature of 0 or below is refused with a ValueError")
def refused(ratio_weights, case):
    for temperature in (0.0, -1.0):
        case.refuses(ValueError, ratio_weights, *losses(case), temperature)


def checked(temperature):
    """Refuse what is not above 0."""
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}")


def guarded(last, before):
    """last / before, and 1 where before is 0."""
    zero = before == 0
    return (last / before.masked_fill(zero, 1.0)).masked_fill(zero, 1.0)


exercise.mistakes("""
    fastest-counts-most: the softmax is of the negative ratios: the loss that fell most counts most
    - return len(ratio) * (ratio / temperature).softmax(dim=0)
    + return len(ratio) * (-ratio / temperature).softmax(dim=0)
    > the loss that fell least counts more: no minus

    sum-of-one: the weights have the sum 1, so the whole loss, and every step, is K times smaller
    - return len(ratio) * (ratio / temperature).softmax(dim=0)
    + return (ratio / temperature).softmax(dim=0)
    > softmax times K

    shares-of-the-ratios: the weights are the ratios over their sum: there is no softmax, and no
    temperature
    - return len(ratio) * (ratio / temperature).softmax(dim=0)
    + return len(ratio) * (ratio / ratio.sum())
    > softmax of ratio / temperature

    no-max-subtracted: exp of a large ratio overflows: inf / inf
    - return len(ratio) * (ratio / temperature).softmax(dim=0)
    + return len(ratio) * ((ratio / temperature).exp() / (ratio / temperature).exp().sum())
    > torch.softmax subtracts the largest first

    zero-divided: a loss that was 0 divides by 0: nan or inf for all weights
    - ratio = torch.where(before > 0, last / before, torch.ones_like(last))
    + ratio = last / before
    > torch.where(before > 0, last / before, 1)

    zero-and-a-little: a little is added to before, so what was 0 and is not makes an enormous ratio
    - ratio = torch.where(before > 0, last / before, torch.ones_like(last))
    + ratio = last / (before + 1e-8)
    > the ratio is 1 where before is 0

    zero-written-over: a 1 is written into the caller's losses where they were 0
    - ratio = torch.where(before > 0, last / before, torch.ones_like(last))
    + zero = before == 0
    + before[zero] = 1.0
    + ratio = torch.where(zero, before, last / before)
    > make new tensors: no method that ends in an underscore, no assignment to places
""")

exercise.slips("""
    (ratio / temperature).softmax(dim=0) => ratio ** (1 / temperature) / (ratio ** (1 /
        temperature)).sum()
    before > 0 => before > 1e-3
    last / before => before / last
    len(ratio) => 2
    ratio / temperature => ratio
    (ratio / temperature).softmax(dim=0) => ratio.softmax(dim=0) / temperature
    torch.ones_like => torch.zeros_like
    check_number("temperature", temperature, above=0) =>
    last / before => last - before
""")


@exercise.right("exponentials")
def exponentials(last, before, temperature=2.0):
    checked(temperature)
    powers = ((guarded(last, before) - guarded(last, before).max()) / temperature).exp()
    return powers / powers.mean()


@exercise.right("one after the other")
def one_after_the_other(last, before, temperature=2.0):
    checked(temperature)
    ratios = torch.stack([a / b if b else b + 1 for a, b in zip(last, before, strict=True)])
    return (ratios / temperature - (ratios / temperature).logsumexp(0)).exp() * ratios.numel()
