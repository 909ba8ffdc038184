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
    title="The feed-forward network",
    goal="expand each position, apply the activation, contract it again",
    minutes=10,
    difficulty=1,
    section="The feed-forward network",
    methods={
        "__init__": "keep the activation, and two Linear layers with biases: expand (width to "
        "hidden) and contract (hidden to width)",
        "forward": "expand, then the activation, then contract",
    },
    hints="""
        1. Take width 1, hidden 2, no biases, expand weights 1 and -1, contract weights 1 and 1, and
           ReLU: x = 3 becomes (3, -3), then (3, 0), then 3; x = -3 becomes 3 too. That is |x|,
           which no Linear layer can do. Without the activation between, both give 0.
        2. Two Linear layers after each other are one Linear layer; what stands between them makes
           the network more than that. The same two layers serve every position, and no position
           depends on another: attention mixes them. The lesson shows what is lost without it.
        3. __init__: call nn.Module's first, then make the two layers, (D -> hidden) and (hidden ->
           D), and keep the function that was given. forward: (..., D) -> (..., hidden) -> the same
           -> (..., D). Linear works on the last axis and leaves the others alone.
        4. super().__init__(); self.expand = nn.Linear(width, hidden); self.contract =
           nn.Linear(hidden, width); self.activation = activation; and in forward return
           self.contract(self.activation(self.expand(x)))
    """,
)


def exact_gelu(x):
    """x times Phi(x)."""
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def oracle(network, x, activation=exact_gelu):
    """The formula in matrix products, with the exact GELU written out."""
    wide = torch.einsum("...d,hd->...h", x, network.expand.weight) + network.expand.bias
    narrow = torch.einsum("...h,dh->...d", activation(wide), network.contract.weight)
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


@exercise.holds("the result has the shape of x, for one position or many; x is left as it was")
def shape(network_class, case):
    network = case.build(network_class, 3, 7)
    case.shape(case.call(network, case.normal(B=2, L=5, D=3)), "B L D")
    case.shape(case.call(network, case.normal(D=3)), "D")
    case.shape(case.call(network, case.normal(B=2, F=4, N=6, D=3)), "B F N D")
    case.unchanged()


@exercise.holds("changing one position changes that position only")
def alone(network_class, case):
    network = case.build(network_class, 3, 7)
    x = case.normal(B=2, L=5, D=3)
    other = x.clone()
    other[:, 2] = case.normal(B=2, D=3)
    before, after = case.call(network, x), case.call(network, case.named(other, "B L D"))
    changed = (before - after).abs().amax((0, 2)) > 1e-5
    case.equal(changed.tolist(), [False, False, True, False, False], "which positions changed")


@exercise.holds("with ReLU, expand = (1, -1) and contract = (1, 1) it is |x|, not linear")
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


@exercise.holds("the gradients reach x, both weights and both biases")
def gradients(network_class, case):
    network = case.build(network_class, 3, 7).double()
    x = case.normal(B=2, L=5, D=3)
    case.gradients(network, lambda x: oracle(network, x), x, parameters=network)


exercise.mistakes("""
    no-activation: there is no activation between the two layers
    - return self.contract(self.activation(self.expand(x)))
    + return self.contract(self.expand(x))
    > two Linear layers after each other are one Linear layer: the activation stands between

    activation-last: the activation comes after contract instead of between the layers
    - return self.contract(self.activation(self.expand(x)))
    + return self.activation(self.contract(self.expand(x)))
    > expand, activation, contract: the result may be of any sign

    activation-twice: the activation is applied once more after contract
    - return self.contract(self.activation(self.expand(x)))
    + return self.activation(self.contract(self.activation(self.expand(x))))
    > nothing comes after contract

    activation-first: the activation is applied to x, before expand
    - return self.contract(self.activation(self.expand(x)))
    + return self.contract(self.expand(self.activation(x)))
    > before expand it destroys half of x; apply it to what expand made

    gelu-by-tanh [convention]: GELU is approximated by tanh, as in GPT-2
    - activation: Activation = F.gelu
    + activation: Activation = partial(F.gelu, approximate="tanh")
    > keep the default of the signature, F.gelu, which is exact

    residual-inside: x is added inside the network
    - return self.contract(self.activation(self.expand(x)))
    + return x + self.contract(self.activation(self.expand(x)))
    > the block adds x; here it would be added twice

    norm-inside: x is normalized inside the network
    - return self.contract(self.activation(self.expand(x)))
    + return self.contract(self.activation(self.expand(F.layer_norm(x, x.shape[-1:]))))
    > the block normalizes, with a norm that has parameters

    four-times: the inner width is always four times the outer one
    - self.expand = nn.Linear(width, hidden)
    - self.contract = nn.Linear(hidden, width)
    + self.expand = nn.Linear(width, 4 * width)
    + self.contract = nn.Linear(4 * width, width)
    > four times is common, but the argument `hidden` decides

    other-names: the layers have other names than expand and contract
    - self.expand = nn.Linear(width, hidden)
    - self.contract = nn.Linear(hidden, width)
    + self.up = nn.Linear(width, hidden)
    + self.down = nn.Linear(hidden, width)
    - return self.contract(self.activation(self.expand(x)))
    + return self.down(self.activation(self.up(x)))
    > weights are loaded by name: self.expand and self.contract

    positions-mixed: the mean over the positions is subtracted, so that positions depend on each
    other
    - return self.contract(self.activation(self.expand(x)))
    + mean = x.mean(-2, keepdim=True) if x.dim() > 1 else 0
    + return self.contract(self.activation(self.expand(x - mean)))
    > no mean, sum or softmax over the length: this network works on each position alone

    overwrites: the caller's x is overwritten
    - return self.contract(self.activation(self.expand(x)))
    + found = self.contract(self.activation(self.expand(x.clone())))
    + x.data.copy_(found)
    + return found
    > nothing that ends in an underscore and no += on x: the block still needs it
""")

exercise.slips("""
    self.contract(self.activation(self.expand(x))) => self.contract(F.relu(self.expand(x)))
    self.contract(self.activation(self.expand(x)))
        => self.contract(self.activation(self.expand(x)).detach())
    nn.Linear(width, hidden) => nn.Linear(width, hidden, bias=False) ;;
        nn.Linear(hidden, width) => nn.Linear(hidden, width, bias=False)
    self.expand(x) => self.expand(x.reshape(-1, x.shape[-1]))
""")


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
