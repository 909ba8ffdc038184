"""Parts of a model: learn at their own rates, or not at all.

A part is named by the beginning of its parameters' dotted names: "image" is all of model.image,
"image.blocks.0" its first block. Of several parts that fit, the longest name counts.

Idea: discriminative fine-tuning, Universal Language Model Fine-tuning (arXiv 1801.06146).
Differs from the paper: rates are named part by part, not derived from the depth.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from scratchmm.sentences import check_number
from scratchmm.training.optimizer import decay_groups


def param_groups(
    model: nn.Module, lr_factors: Mapping[str, float], weight_decay: float = 0.05
) -> list[dict[str, Any]]:
    """Groups for torch.optim.AdamW, each with a "factor" that its learning rate is multiplied by.

    Parts that `lr_factors` does not name have the factor 1. Who decays is decided as in
    `decay_groups`; frozen parameters are in no group. `training.fit(..., lr_factors=...)` makes and
    uses these groups.

    Raises ValueError on parts that are not there and on factors of 0 or less.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    >>> [(group["factor"], len(group["params"])) for group in param_groups(model, {"0": 0.1})]
    [(0.1, 1), (1.0, 1), (0.1, 1), (1.0, 1)]
    """
    for part, factor in lr_factors.items():
        _names(model, part)
        check_number(f"learning rate factor of {part!r}", factor, above=0)  # or freeze it
    factors = {id(p): _factor(name, lr_factors) for name, p in model.named_parameters()}
    groups = []
    for group in decay_groups(model, weight_decay):
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_factor.setdefault(factors[id(parameter)], []).append(parameter)
        for value, parameters in sorted(by_factor.items()):
            groups.append({**group, "params": parameters, "factor": value})
    return groups


def freeze(model: nn.Module, *parts: str) -> int:
    """Stop parts from learning; returns how many numbers that freezes.

    They get no gradient, and their modules stay in eval mode whenever they run: a batch norm that
    goes on counting its batches would still change, and dropout would make noise for nothing.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    >>> freeze(model, "0"), [p.requires_grad for p in model.parameters()]
    (8, [False, False, True, True])
    """
    parameters = _parameters(model, parts)
    for parameter in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None  # else momentum would go on with the old one
    for module in _modules(model, parts):
        if STAY not in vars(module):
            module.eval()
            setattr(module, STAY, module.register_forward_pre_hook(_stay_in_eval))
    return sum(parameter.numel() for parameter in parameters)


def unfreeze(model: nn.Module, *parts: str) -> int:
    """Let parts learn again; returns how many numbers. Their modules go into the model's own mode.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    >>> freeze(model, "0", "1"), unfreeze(model, "1")
    (11, 3)
    """
    parameters = _parameters(model, parts)
    for parameter in parameters:
        parameter.requires_grad_(True)
    for module in _modules(model, parts):
        if STAY in vars(module):
            vars(module).pop(STAY).remove()
            module.training = model.training
    return sum(parameter.numel() for parameter in parameters)


STAY = "_stays_in_eval"  # the name of the handle of the hook below


def _stay_in_eval(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    module.training = False  # model.train() may have come since


def _belongs(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def _names(model: nn.Module, part: str) -> list[str]:
    found = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    found = [name for name in found if _belongs(name, part)]
    if not found:
        there = ", ".join(name for name, _ in model.named_children())
        raise ValueError(f"the model has no part {part!r} with parameters, but {there}")
    return found


def _factor(name: str, lr_factors: Mapping[str, float]) -> float:
    fitting = [part for part in lr_factors if _belongs(name, part)]
    return lr_factors[max(fitting, key=len)] if fitting else 1.0


def _parameters(model: nn.Module, parts: tuple[str, ...]) -> list[nn.Parameter]:
    names = [name for part in parts for name in _names(model, part)]
    return list(dict.fromkeys(model.get_parameter(name) for name in names))


def _modules(model: nn.Module, parts: tuple[str, ...]) -> list[nn.Module]:
    named = model.named_modules()
    return [module for name, module in named if any(_belongs(name, part) for part in parts)]
