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
    hints=(
        "nn.Linear(3, 2) has a weight (2, 3) and a bias (2,): the weight belongs in the first group, "
        "the bias in the second. nn.LayerNorm(2) has a weight (2,) and a bias (2,): both belong in "
        "the second. A table called positions, (5, 2), belongs there too.",
        "Decay pulls numbers towards 0. A matrix at 0 is a simple function; a norm's gain at 0 "
        "silences its layer, and a table of positions at 0 forgets where things stand. The number "
        "of axes tells matrices from the rest; the names in UNDECAYED are the exceptions. The "
        "lesson draws what is in each group.",
        "Go through the parameters by name, each once; skip those that do not learn. A name such as "
        "encoder.positions.weight has three parts: if none of them is in UNDECAYED and the parameter "
        "has two axes or more, it goes in the first list, else in the second. Return two "
        "dictionaries, each with its params and its weight_decay, which for the second is 0.",
        "for name, parameter in model.named_parameters(): if parameter.requires_grad: matrix = "
        "parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split('.')); append it to one of two "
        "lists; return [{'params': decayed, 'weight_decay': weight_decay}, "
        "{'params': spared, 'weight_decay': 0.0}]",
    ),
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


def split(model, weight_decay, decays, spared_decay=0.0, frozen=False, again=False):
    """Two groups by a rule on name and parameter, with the knobs that wrong answers turn."""
    groups = [
        {"params": [], "weight_decay": weight_decay},
        {"params": [], "weight_decay": spared_decay},
    ]
    for name, parameter in model.named_parameters(remove_duplicate=not again):
        if frozen or parameter.requires_grad:
            groups[0 if decays(name, parameter) else 1]["params"].append(parameter)
    return groups


UNDECAYED = {"positions", "class_token"}


def right_rule(name, parameter):
    return parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))


@exercise.wrong(
    "all-decayed",
    story="everything is decayed, biases and norms too",
    advice="only what multiplies an input: two axes or more",
)
def all_decayed(model, weight_decay):
    return split(model, weight_decay, lambda name, parameter: True)


@exercise.wrong(
    "none-decayed",
    story="nothing is decayed",
    advice="matrices are: two axes or more",
)
def none_decayed(model, weight_decay):
    return split(model, weight_decay, lambda name, parameter: False)


@exercise.wrong(
    "exchanged",
    story="the two groups are exchanged: biases and norms are decayed, matrices are not",
    advice="ndim >= 2 is what decay may shrink",
)
def exchanged(model, weight_decay):
    return split(model, weight_decay, lambda name, parameter: not right_rule(name, parameter))


@exercise.wrong(
    "spared-first",
    story="the group without decay comes first",
    advice="the decayed group is the first of the two",
)
def spared_first(model, weight_decay):
    return split(model, weight_decay, right_rule)[::-1]


@exercise.wrong(
    "decay-left-out",
    story="the second group has no weight_decay, and AdamW's own default is not 0 but 0.01",
    advice="say weight_decay 0.0 in the second group",
)
def decay_left_out(model, weight_decay):
    decayed, spared = split(model, weight_decay, right_rule)
    return [decayed, {"params": spared["params"]}]


@exercise.wrong(
    "decay-twice",
    story="both groups have the decay that was given",
    advice="the second group's weight_decay is 0.0",
)
def decay_twice(model, weight_decay):
    return split(model, weight_decay, right_rule, spared_decay=weight_decay)


@exercise.wrong(
    "biases-only",
    story="only biases are spared: the gains of norms and the scalar are shrunk",
    advice="ask for the number of axes instead of the name: a norm's weight has one",
)
def biases_only(model, weight_decay):
    return split(
        model,
        weight_decay,
        lambda name, p: not name.endswith("bias") and UNDECAYED.isdisjoint(name.split(".")),
    )


@exercise.wrong(
    "norms-by-name",
    story="a norm is recognised by 'norm' in its name, and here it has another one",
    advice="ask for the number of axes: in a Sequential a norm is called 1.weight",
)
def norms_by_name(model, weight_decay):
    def rule(name, parameter):
        spared = parameter.ndim == 0 or "norm" in name or name.endswith("bias")
        return not spared and UNDECAYED.isdisjoint(name.split("."))

    return split(model, weight_decay, rule)


@exercise.wrong(
    "exactly-two",
    story="only what has exactly two axes is decayed, and a convolution has more",
    advice="two axes or more",
)
def exactly_two(model, weight_decay):
    return split(model, weight_decay, lambda name, p: p.ndim == 2 and right_rule(name, p))


@exercise.wrong(
    "embeddings-spared",
    story="embeddings of tokens are spared, as minGPT does it; here they are decayed",
    advice="the rule is the number of axes, and only the names in UNDECAYED are exceptions",
    convention=True,
)
def embeddings_spared(model, weight_decay):
    return split(
        model, weight_decay, lambda name, p: right_rule(name, p) and "embedding" not in name
    )


@exercise.wrong(
    "tables-decayed",
    story="the tables named in UNDECAYED are decayed",
    advice="positions and class tokens are matrices by shape only: they are added, not multiplied",
)
def tables_decayed(model, weight_decay):
    return split(model, weight_decay, lambda name, parameter: parameter.ndim >= 2)


@exercise.wrong(
    "whole-name",
    story="the whole dotted name is looked up in UNDECAYED, so tables inside a module are missed",
    advice="inner.positions has two parts: compare each, with name.split('.')",
)
def whole_name(model, weight_decay):
    return split(model, weight_decay, lambda name, p: p.ndim >= 2 and name not in UNDECAYED)


@exercise.wrong(
    "last-part",
    story="only the last part of the name is looked up, and for an Embedding that is 'weight'",
    advice="inner.positions.weight has three parts: compare each",
)
def last_part(model, weight_decay):
    return split(
        model,
        weight_decay,
        lambda name, p: p.ndim >= 2 and name.rpartition(".")[2] not in UNDECAYED,
    )


@exercise.wrong(
    "substring",
    story="a name that only contains 'positions' is spared too",
    advice="compare whole parts: positions_of_words is not positions",
)
def substring(model, weight_decay):
    return split(
        model,
        weight_decay,
        lambda name, p: p.ndim >= 2 and not any(table in name for table in UNDECAYED),
    )


@exercise.wrong(
    "frozen-too",
    story="parameters that do not learn are in the groups",
    advice="skip those whose requires_grad is False",
)
def frozen_too(model, weight_decay):
    return split(model, weight_decay, right_rule, frozen=True)


@exercise.wrong(
    "shared-twice",
    story="a parameter that two layers share is in a group twice, which AdamW refuses",
    advice="named_parameters() of the whole model lists each once; walking the layers does not",
)
def shared_twice(model, weight_decay):
    return split(model, weight_decay, right_rule, again=True)


@exercise.wrong(
    "copies",
    story="the groups hold copies (data, detach or clone), so a step moves nothing in the model",
    advice="put the parameters themselves in the lists",
)
def copies(model, weight_decay):
    groups = split(model, weight_decay, right_rule)
    return [{**group, "params": [p.data for p in group["params"]]} for group in groups]


@exercise.disguise("biases-only")
def biases_only_too(model, weight_decay):
    spared = [p for n, p in model.named_parameters() if n.rpartition(".")[2] == "bias"]
    kept = {id(p) for p in spared}
    tables = [
        p
        for n, p in model.named_parameters()
        if id(p) not in kept and {"positions", "class_token"} & {*n.split(".")}
    ]
    kept |= {id(p) for p in tables}
    decayed = [p for p in model.parameters() if id(p) not in kept]
    both = ((decayed, weight_decay), (spared + tables, 0.0))
    return [
        {"params": [p for p in group if p.requires_grad], "weight_decay": decay}
        for group, decay in both
    ]


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
            spared = len(parameter.shape) < 2 or any(
                part in UNDECAYED for part in [*path.split("."), name]
            )
            groups[spared].append(parameter)
    return [
        {"weight_decay": weight_decay, "params": groups[0]},
        {"weight_decay": 0.0, "params": groups[1]},
    ]
