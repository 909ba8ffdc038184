"""Exercise transformer.FeedForward: the small network that works on each position alone."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="transformer.FeedForward",
    order=10,
    target="scratchmm.layers.transformer:FeedForward",
    title="Every position thinks for itself",
    goal="widen each position, bend it, narrow it again",
    minutes=10,
    difficulty=1,
    section="The feed-forward network",
    methods={
        "__init__": "keep the activation, and two Linear layers with biases: expand (width to "
        "hidden) and contract (hidden to width)",
        "forward": "expand, then the activation, then contract",
    },
    hints=(
        "Take width 1, hidden 2, no biases, expand weights 1 and -1, contract weights 1 and 1, and "
        "ReLU: x = 3 becomes (3, -3), then (3, 0), then 3; x = -3 becomes 3 too. That is |x|, which "
        "no Linear layer can do. Without the activation between, both give 0.",
        "Two Linear layers after each other are one Linear layer; what stands between them makes "
        "the network more than that. The same two layers serve every position, and no position "
        "hears of another: attention does that. The lesson shows what is lost without it.",
        "__init__: call nn.Module's first, then make the two layers, (D -> hidden) and (hidden -> D), "
        "and keep the function that was given. forward: (..., D) -> (..., hidden) -> the same -> "
        "(..., D). Linear works on the last axis and leaves the others alone.",
        "super().__init__(); self.expand = nn.Linear(width, hidden); "
        "self.contract = nn.Linear(hidden, width); self.activation = activation; and in forward "
        "return self.contract(self.activation(self.expand(x)))",
    ),
)


def oracle(network, x, bend=None):
    """The formula in matrix products, with the exact GELU written out."""
    if bend is None:
        bend = lambda y: y * (1 + torch.erf(y / math.sqrt(2))) / 2  # noqa: E731
    wide = torch.einsum("...d,hd->...h", x, network.expand.weight) + network.expand.bias
    narrow = torch.einsum("...h,dh->...d", bend(wide), network.contract.weight)
    return narrow + network.contract.bias


@exercise.holds("there are two Linear layers with biases, expand and contract, and nothing else")
def parameters(network_class, case):
    network = case.build(network_class, 3, 7)
    case.equal(
        {name: tuple(parameter.shape) for name, parameter in network.named_parameters()},
        {
            "expand.weight": (7, 3),
            "expand.bias": (7,),
            "contract.weight": (3, 7),
            "contract.bias": (3,),
        },
        "parameters",
    )


@exercise.holds("the result has the shape of x, for one position or for many")
def shape(network_class, case):
    network = case.build(network_class, 3, 7)
    case.shape(case.call(network, case.normal(B=2, L=5, D=3)), "B L D")
    case.shape(case.call(network, case.normal(D=3)), "D")
    case.shape(case.call(network, case.normal(B=2, F=4, N=6, D=3)), "B F N D")


@exercise.holds(
    "with ReLU, expand = (1, -1) and contract = (1, 1) it is |x|, as no Linear layer is"
)
def absolute(network_class, case):
    network = case.call(network_class, 1, 2, activation=F.relu)
    with torch.no_grad():
        for layer, weight in ((network.expand, [[1.0], [-1.0]]), (network.contract, [[1.0, 1.0]])):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.zero_()
    x = case.normal(L=6, D=1)
    case.equal(case.call(network, x), x.abs())


@exercise.holds("expand, then the activation that was given, then contract")
def given_activation(network_class, case):
    network = case.build(network_class, 3, 7, torch.sin)
    x = case.normal(B=2, L=5, D=3)
    case.equal(case.call(network, x), oracle(network, x, torch.sin))


@exercise.holds("where no activation is given it is GELU, the exact one: x times Phi(x)")
def gelu(network_class, case):
    network = case.build(network_class, 3, 7)
    x = case.normal(B=2, L=5, D=3)
    case.equal(case.call(network, x), oracle(network, x))


@exercise.holds("changing one position changes that position only")
def alone(network_class, case):
    network = case.build(network_class, 3, 7)
    x = case.normal(B=2, L=5, D=3)
    other = x.clone()
    other[:, 2] = case.normal(B=2, D=3)
    before, after = case.call(network, x), case.call(network, case.named(other, "B L D"))
    changed = (before - after).abs().amax((0, 2)) > 1e-5
    case.equal(changed.tolist(), [False, False, True, False, False], "which positions changed")


@exercise.holds("x is left as it was")
def unchanged(network_class, case):
    network = case.build(network_class, 3, 7)
    case.call(network, case.normal(B=2, L=5, D=3))
    case.unchanged()


@exercise.holds("the gradients reach x, both weights and both biases")
def gradients(network_class, case):
    network = case.build(network_class, 3, 7).double()
    x = case.normal(B=2, L=5, D=3)
    case.gradients(network, lambda x: oracle(network, x), x, parameters=network)


@exercise.wrong(
    "no-activation",
    story="there is no activation between the two layers",
    advice="two Linear layers after each other are one Linear layer: bend between them",
    method="forward",
)
def no_activation(self, x):
    return self.contract(self.expand(x))


@exercise.wrong(
    "activation-last",
    story="the activation comes after contract instead of between the layers",
    advice="expand, activation, contract: what leaves the network may be of any sign",
    method="forward",
)
def activation_last(self, x):
    return self.activation(self.contract(self.expand(x)))


@exercise.wrong(
    "activation-twice",
    story="the activation is applied once more after contract",
    advice="nothing comes after contract",
    method="forward",
)
def activation_twice(self, x):
    return self.activation(self.contract(self.activation(self.expand(x))))


@exercise.wrong(
    "activation-first",
    story="the activation is applied to x, before expand",
    advice="x must come in unbent, or half of what it says is lost; bend what expand made",
    method="forward",
)
def activation_first(self, x):
    return self.contract(self.expand(self.activation(x)))


@exercise.wrong(
    "always-gelu",
    story="the activation that was given is not used: it is always GELU",
    advice="call self.activation; CLIP brings one of its own",
    method="forward",
)
def always_gelu(self, x):
    return self.contract(F.gelu(self.expand(x)))


@exercise.wrong(
    "always-relu",
    story="the activation that was given is not used: it is always ReLU",
    advice="call self.activation; its default is GELU",
    method="forward",
)
def always_relu(self, x):
    return self.contract(F.relu(self.expand(x)))


@exercise.wrong(
    "gelu-by-tanh",
    story="GELU is approximated by tanh, as in GPT-2; here the exact one is asked for",
    advice="keep the default of the signature, F.gelu",
    convention=True,
)
class GeluByTanh(nn.Module):
    def __init__(self, width, hidden, activation=lambda x: F.gelu(x, approximate="tanh")):
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.activation = activation

    def forward(self, x):
        return self.contract(self.activation(self.expand(x)))


@exercise.wrong(
    "residual-inside",
    story="x is added inside the network",
    advice="the block adds x; here it would be added twice",
    method="forward",
)
def residual_inside(self, x):
    return x + self.contract(self.activation(self.expand(x)))


@exercise.wrong(
    "norm-inside",
    story="x is normalised inside the network",
    advice="the block normalises, with a norm that has parameters",
    method="forward",
)
def norm_inside(self, x):
    return self.contract(self.activation(self.expand(F.layer_norm(x, x.shape[-1:]))))


exercise.edit(
    "no-bias",
    ("nn.Linear(width, hidden)", "nn.Linear(width, hidden, bias=False)"),
    ("nn.Linear(hidden, width)", "nn.Linear(hidden, width, bias=False)"),
    story="the layers have no biases",
    advice="nn.Linear has a bias unless it is told otherwise; published weights bring one",
)
exercise.edit(
    "four-times",
    ("nn.Linear(width, hidden)", "nn.Linear(width, 4 * width)"),
    ("nn.Linear(hidden, width)", "nn.Linear(4 * width, width)"),
    story="the inner width is always four times the outer one",
    advice="four times is common, but here `hidden` says it",
)
exercise.edit(
    "other-names",
    ("self.expand = ", "self.up = "),
    ("self.contract = ", "self.down = "),
    ("self.contract(self.activation(self.expand(x)))", "self.down(self.activation(self.up(x)))"),
    story="the layers have other names than expand and contract",
    advice="weights are loaded by name: self.expand and self.contract",
)


@exercise.wrong(
    "positions-mixed",
    story="the numbers are centred over the positions, so that positions hear of each other",
    advice="no mean, sum or softmax over the length: this network works on each position alone",
    method="forward",
)
def positions_mixed(self, x):
    mean = x.mean(-2, keepdim=True) if x.dim() > 1 else 0
    return self.contract(self.activation(self.expand(x - mean)))


@exercise.wrong(
    "flattened",
    story="batch and positions are merged into one axis and not parted again",
    advice="Linear works on the last axis of any tensor: there is nothing to flatten",
    method="forward",
)
def flattened(self, x):
    return self.contract(self.activation(self.expand(x.reshape(-1, x.shape[-1]))))


@exercise.wrong(
    "overwrites",
    story="the caller's x is overwritten",
    advice="nothing that ends in an underscore and no += on x: the block still needs it",
    method="forward",
)
def overwrites(self, x):
    given = x.detach()
    x = self.contract(self.activation(self.expand(x.clone())))
    given.copy_(x.detach())
    return x


@exercise.wrong(
    "detached",
    story="no gradient passes through the activation, so expand never learns",
    advice="no detach, no no_grad, no .data",
    method="forward",
)
def detached(self, x):
    return self.contract(self.activation(self.expand(x)).detach())


@exercise.disguise("no-activation")
class OneMatrix(nn.Module):
    def __init__(self, width, hidden, activation=F.gelu):
        super().__init__()
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        weight = self.contract.weight @ self.expand.weight
        return x @ weight.T + self.contract(self.expand.bias)


@exercise.right("matrix products")
class MatrixProducts(nn.Module):
    def __init__(self, width, hidden, activation=F.gelu):
        super().__init__()
        self.bend = activation
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x):
        wide = self.bend(x @ self.expand.weight.mT + self.expand.bias)
        return wide @ self.contract.weight.mT + self.contract.bias


@exercise.right("F.linear", method="forward")
def with_linear(self, x):
    x = F.linear(x, self.expand.weight, self.expand.bias)
    x = self.activation(x)
    return F.linear(x, self.contract.weight, self.contract.bias)
