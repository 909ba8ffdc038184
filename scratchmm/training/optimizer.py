"""AdamW, what it may shrink, and how fast it walks: warm up in a line, cool down on a cosine.

Papers: "Decoupled Weight Decay Regularization" (arXiv 1711.05101) for AdamW; "SGDR: Stochastic
Gradient Descent with Warm Restarts" (arXiv 1608.03983) for the cosine, here without restarts.

Differs from the paper: decay is multiplied by the learning rate, as torch.optim.AdamW does;
and it is applied to matrices only, as CLIP's and ViT's authors do.
"""

import math
from typing import Any

import torch
from torch import nn

from scratchmm.sentences import check_number

# Tables and tokens that are matrices by shape and offsets by meaning: they are added to what the
# network sees, so shrinking them to zero would erase a place, not simplify a function.
UNDECAYED = frozenset({"positions", "class_token"})


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters that learn in two: those which weight decay shrinks, and the rest.

    Decay says "prefer a small function". That holds for matrices that multiply an input. It does
    not hold for biases and norms (one axis: shrinking a norm's gain to 0 silences a layer), for
    scalars (CLIP's temperature would drift to 1), nor for the tables named in `UNDECAYED`.
    So: decayed if it has two or more axes and no part of its dotted name is in `UNDECAYED`.

    Returns two groups for torch.optim.AdamW, the decayed one first; each parameter once.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    >>> decayed, spared = decay_groups(model, 0.05)
    >>> [tuple(p.shape) for p in decayed["params"]], decayed["weight_decay"]
    ([(2, 3)], 0.05)
    >>> [tuple(p.shape) for p in spared["params"]], spared["weight_decay"]
    ([(2,), (2,), (2,)], 0.0)
    """
    check_number("weight_decay", weight_decay, least=0)
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():  # a shared parameter comes once
        if not parameter.requires_grad:
            continue
        matrix = parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))
        (decayed if matrix else spared).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]


def adamw(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    groups: list[dict[str, Any]] | None = None,
) -> torch.optim.AdamW:
    """AdamW over `decay_groups`, with beta_2 = 0.98: short runs need a shorter memory than 0.999.

    Groups of one's own (`training.param_groups`) take the place of decay_groups.

    >>> adamw(nn.Linear(3, 2), learning_rate=1e-3, weight_decay=0.05).param_groups[0]["lr"]
    0.001
    """
    groups = decay_groups(model, weight_decay) if groups is None else groups
    # fused: one call for all parameters; for small models the plain loop over them is slower
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), eps=1e-8, fused=True)


def warmup_cosine(step: int, steps: int, warmup: int, peak: float, floor: float = 0.0) -> float:
    """The learning rate at a step (0, 1, ... steps - 1): up in a line, then down half a cosine.

    During the first `warmup` steps it is peak * (step + 1) / warmup, so that the first step already
    moves; then floor + (peak - floor) * (1 + cos(pi * p)) / 2, with p from 0 at step `warmup` to 1
    at step `steps`. From there on it stays at `floor`.

    >>> [round(warmup_cosine(step, 6, 2, 1.0), 3) for step in range(7)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= steps:
        return floor
    part = (step - warmup) / (steps - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * part)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group: the rate times the group's own factor, if it has one.

    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = torch.optim.SGD([{"params": [weight], "factor": 0.1}], lr=1.0)
    >>> set_learning_rate(optimizer, 0.5)
    >>> optimizer.param_groups[0]["lr"]
    0.05
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)
