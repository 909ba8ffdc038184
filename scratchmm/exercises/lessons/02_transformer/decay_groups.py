"""Exercise optimizer.decay_groups: what weight decay may shrink, and what it must leave alone."""

import torch
from torch import nn

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="optimizer.decay_groups",
    order=50,
    target="scratchmm.training.optimizer:decay_groups",
    title="What may shrink",
    goal="two groups for AdamW: the matrices that multiply an input, with weight decay; the rest, "
    "with none",
    minutes=15,
    difficulty=2,
    section="Weight decay",
    hints="""
        1. nn.Linear(3, 2) has a weight (2, 3) and a bias (2,): the weight belongs in the first
           group, the bias in the second. nn.LayerNorm(2) has a weight (2,) and a bias (2,): both
           belong in the second. A table called positions, (5, 2), belongs there too.
        2. Decay pulls numbers towards 0, where a norm's gain silences its layer and a table of
           positions forgets where things stand. The number of axes tells matrices from the rest;
           the names in UNDECAYED are the exceptions. The lesson draws what is in each group.
        3. Go through the parameters by name, each once; skip those that do not learn. First list:
           two axes or more, and no part of the name (encoder.positions.weight has three) is in
           UNDECAYED. Second: the rest. Return both as dictionaries, the second's weight_decay 0.
        4. for name, parameter in model.named_parameters(): if parameter.requires_grad: matrix =
           parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split('.')); append it to one of two
           lists; return [{'params': decayed, 'weight_decay': weight_decay}, {'params': spared,
           'weight_decay': 0.0}]
    """,
)


class Sample(nn.Module):
    """A little of everything: matrices, norms, a scalar, tables, a convolution, embeddings."""

    def __init__(self, tables=False):
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.first = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 3, bias=False))
        self.convolution = nn.Conv1d(3, 4, 2)
        self.scale = nn.Parameter(torch.zeros(()))
        if tables:
            self.positions = nn.Parameter(torch.zeros(6, 3))
            self.inner = nn.Module()
            self.inner.class_token = nn.Parameter(torch.zeros(1, 1, 3))
            self.inner.positions = nn.Embedding(6, 2)
            self.positions_of_words = nn.Linear(3, 3)  # a matrix, whatever its name says


def adamw_step(groups, learning_rate):
    """What torch.optim.AdamW does where all gradients are 0; its own default decay is 0.01."""
    with torch.no_grad():
        for group in groups:
            for parameter in group["params"]:
                parameter.mul_(1 - learning_rate * group.get("weight_decay", 0.01))


MATRICES = ("embedding.weight", "first.0.weight", "first.2.weight", "convolution.weight")


def names(model, groups):
    """The names of the parameters in each group: by identity, so that a copy has none."""
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return [sorted(known.get(id(p), "a copy") for p in group["params"]) for group in groups]


def expected_names(model, decayed):
    return [sorted(decayed), sorted({n for n, _ in model.named_parameters()} - {*decayed})]


@exercise.holds("there are two groups, each with its params and its weight_decay: the one given, 0")
def two(decay_groups, case):
    groups = case.call(decay_groups, case.fill(Sample()), 0.3)
    case.equal([sorted(group) for group in groups], [["params", "weight_decay"]] * 2, "keys")
    case.equal([float(group["weight_decay"]) for group in groups], [0.3, 0.0], "weight_decay")


@exercise.holds("what has two axes or more is decayed; biases, norms and scalars are not")
def by_axes(decay_groups, case):
    model = case.fill(Sample())
    groups = case.call(decay_groups, model, 0.3)
    case.equal(names(model, groups), expected_names(model, MATRICES), "parameters of the groups")


@exercise.holds("a table named in UNDECAYED is spared, wherever its name stands between the dots")
def tables(decay_groups, case):
    model = case.fill(Sample(tables=True))
    groups = case.call(decay_groups, model, 0.3)
    decayed = (*MATRICES, "positions_of_words.weight")
    case.equal(names(model, groups), expected_names(model, decayed), "parameters of the groups")


@exercise.holds("a parameter that does not learn is in neither group")
def frozen(decay_groups, case):
    model = case.fill(Sample())
    model.first.requires_grad_(False)
    groups = case.call(decay_groups, model, 0.3)
    kept = ["convolution.weight", "embedding.weight"], ["convolution.bias", "scale"]
    case.equal(names(model, groups), [*kept], "parameters of the groups")


@exercise.holds("a parameter that two layers share is there once")
def shared(decay_groups, case):
    model = case.fill(nn.Sequential(nn.Linear(3, 5), nn.Linear(3, 5)))
    model[1].weight = model[0].weight
    groups = case.call(decay_groups, model, 0.3)
    expected = [["0.weight"], ["0.bias", "1.bias"]]
    case.equal(names(model, groups), expected, "parameters of the groups")


@exercise.holds("a step of AdamW with gradient 0 shrinks the matrices and nothing else")
def a_step(decay_groups, case):
    model = case.fill(Sample())
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    groups = case.call(decay_groups, model, 0.5)
    adamw_step(groups, learning_rate=0.1)
    for name, parameter in model.named_parameters():
        kept = 1 - 0.1 * 0.5 if name in MATRICES else 1.0
        case.equal(parameter.detach(), before[name] * kept, name)


exercise.mistakes("""
    decay-left-out: the second group has no weight_decay, and AdamW's own default is 0.01, not 0
    - {"params": spared, "weight_decay": 0.0}
    + {"params": spared}
    > set weight_decay 0.0 in the second group

    biases-only: only biases are spared: the gains of norms and the scalar are shrunk
    - matrix = parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))
    + matrix = not name.endswith("bias") and UNDECAYED.isdisjoint(name.split("."))
    > ask for the number of axes instead of the name: a norm's weight has one

    norms-by-name: a norm is recognised by 'norm' in its name, and here it has another one
    - matrix = parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))
    + named = parameter.ndim == 0 or "norm" in name or name.endswith("bias")
    + matrix = not named and UNDECAYED.isdisjoint(name.split("."))
    > ask for the number of axes: in a Sequential a norm is called 1.weight

    embeddings-spared [convention]: embeddings of tokens are spared, as in minGPT; here they are decayed
    - matrix = parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))
    + matrix = parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))
    + matrix = matrix and "embedding" not in name
    > the rule is the number of axes, and only the names in UNDECAYED are exceptions

    tables-decayed: the tables named in UNDECAYED are decayed
    - matrix = parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))
    + matrix = parameter.ndim >= 2
    > positions and class tokens are matrices by shape only: they are added, not multiplied

    whole-name: the whole dotted name is looked up in UNDECAYED, so tables inside a module are missed
    - matrix = parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))
    + matrix = parameter.ndim >= 2 and name not in UNDECAYED
    > inner.positions has two parts: compare each, with name.split('.')

    substring: a name that only contains 'positions' is spared too
    - matrix = parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))
    + matrix = parameter.ndim >= 2 and not any(table in name for table in UNDECAYED)
    > compare whole parts: positions_of_words is not positions
""")

exercise.slips("""
    decayed, "weight_decay": weight_decay => spared, "weight_decay": 0.0 ;;
        spared, "weight_decay": 0.0 => decayed, "weight_decay": weight_decay
    UNDECAYED.isdisjoint(name.split(".")) => name.rpartition(".")[2] not in UNDECAYED
    decayed if matrix else spared => spared if matrix else decayed
    0.0 => weight_decay
    .append(parameter) => .append(parameter.data)
    model.named_parameters() => model.named_parameters(remove_duplicate=False)
    if not parameter.requires_grad: continue =>
    parameter.ndim >= 2 => parameter.ndim == 2
""")


UNDECAYED = {"positions", "class_token"}


@exercise.right("two comprehensions")
def comprehensions(model, weight_decay):
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    big = [p for n, p in learning if p.dim() > 1 and not UNDECAYED & set(n.split("."))]
    chosen = set(map(id, big))
    small = [p for _, p in learning if id(p) not in chosen]
    return [dict(params=big, weight_decay=weight_decay), dict(params=small, weight_decay=0)]


@exercise.right("module by module")
def module_by_module(model, weight_decay):
    done, groups = set(), ([], [])
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in done or not parameter.requires_grad:
                continue
            done.add(id(parameter))
            spared = parameter.dim() < 2 or not UNDECAYED.isdisjoint([*path.split("."), name])
            groups[spared].append(parameter)
    decays = (weight_decay, 0.0)
    return [{"weight_decay": w, "params": p} for w, p in zip(decays, groups, strict=True)]
