"""The training loop: one function, from the first batch to the last checkpoint.

What a resumed run needs is all in checkpoint.pt: the weights, the optimizer's moments, the states
of the random number generators, the curve so far. The batches need no state, for `batch_at(step)`
is a pure function. So a run that was killed at any step ends in the same numbers as one that was
not: bit for bit on the CPU.

Differs from the paper: nothing (there is none).
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scratchmm.sentences import check_count
from scratchmm.training.checkpoint import differences, load_checkpoint, save_checkpoint
from scratchmm.training.curve import COLUMNS, Row, curve_file, plot_curve, progress_bar
from scratchmm.training.device import (
    pick_device,
    random_states,
    restore_random_states,
    seed_everything,
    to_device,
)
from scratchmm.training.optimizer import adamw, set_learning_rate, warmup_cosine
from scratchmm.training.param_groups import param_groups
from scratchmm.training.run_folder import CODE, check_same_run, code_of_run, one_run_at_a_time
from scratchmm.training.threads import patient_threads

MOST_STEPS = 10**9  # years


@one_run_at_a_time
def fit(
    model: nn.Module,
    batch_at: Callable[[int], Any],
    loss: Callable[[Any, Any], torch.Tensor],
    *,
    steps: int,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.05,
    warmup: float = 0.1,
    max_grad_norm: float = 1.0,
    precision: str = "float32",
    device: str | torch.device = "cpu",
    folder: str | Path | None = None,
    save_every: int = 100,
    resume: bool = True,
    progress: bool = False,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    lr_factors: Mapping[str, float] | None = None,
    log: Callable[[str], None] | None = None,
) -> list[Row]:
    """Train `model` in place for `steps` steps and return the curve, one row a step.

    batch_at(step) gives the batch of step 0, 1, ... steps - 1 and must be a pure function of it;
    loss(model, batch) gives a scalar. `warmup` is the share of the steps that warms up;
    `max_grad_norm` the largest norm of the whole gradient (inf: no clipping). `precision` is
    "float32", or "bfloat16" for matrix products in autocast: faster on GPUs and on CPUs with AMX,
    and slower on the rest.

    With a `folder` it keeps checkpoint.pt (every `save_every` steps and at the end), curve.csv and
    curve.png there, and goes on from the checkpoint it finds (unless resume=False). `settings` are
    the caller's own (data, batch size, ...): with the loop's they are kept in the checkpoint, and a
    checkpoint of other settings is refused; so is one of other code of the model, the loss or the
    batches. Whoever reads data puts what was read among the settings (`content_of`). The seed fixes
    dropout and the like, in the global generators of torch, numpy and Python; the model's first
    weights are the caller's to seed. `lr_factors` multiplies the learning rate of parts of the
    model, by name (`training.param_groups`). `log` is called with a message, such as print, when a
    run goes on.

    Raises ValueError on a checkpoint of other settings or of another model, and when the loss or
    the gradient is no longer a finite number: the last good checkpoint stays. Raises OSError where
    another run is using the folder, and where a file can't be written.

    >>> model = nn.Linear(1, 1)
    >>> batch = (torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]]))  # y = 2 x + 1
    >>> squares = lambda model, batch: (model(batch[0]) - batch[1]).square().mean()
    >>> curve = fit(model, lambda step: batch, squares, steps=300, learning_rate=0.1)
    >>> len(curve), curve[-1]["loss"] < 0.01
    (300, True)
    """
    run: dict[str, Any] = {"steps": steps, "learning_rate": learning_rate, "warmup": warmup}
    run |= {"max_grad_norm": max_grad_norm, "weight_decay": weight_decay, "precision": precision}
    _check(**run, save_every=save_every, settings=settings or {})
    folder = None if folder is None else Path(folder)
    code = {CODE: code_of_run(model, loss, batch_at)} if folder else {}
    factors = {f"learning rate of {part}": value for part, value in (lr_factors or {}).items()}
    run |= {"seed": seed, **(settings or {}), **factors, **code}
    device = pick_device(device)
    model.to(device).train()
    groups = param_groups(model, lr_factors, weight_decay) if lr_factors else None
    optimizer = adamw(model, learning_rate, weight_decay, groups)
    seed_everything(seed)
    curve = _restore(folder, run, model, optimizer, resume, log) if folder else []
    start = time.perf_counter() - (curve[-1]["seconds"] if curve else 0.0)

    bar = progress_bar(steps, len(curve), progress)
    with patient_threads(), curve_file(folder, curve) as write, bar as show:
        for step in range(len(curve), steps):
            rate = warmup_cosine(step, steps, round(warmup * steps), learning_rate)
            set_learning_rate(optimizer, rate)
            batch = to_device(batch_at(step), device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                value = loss(model, batch)
            optimizer.zero_grad()
            value.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
            # The one wait for a GPU: what is no number must not reach the weights.
            reached, length = torch.stack([value.detach(), norm]).tolist()
            _check_finite(step, reached, length, folder)
            optimizer.step()

            curve.append(dict(zip(COLUMNS, (step, reached, rate, time.perf_counter() - start))))
            write(curve[-1])
            show(curve[-1])
            if folder and ((step + 1) % save_every == 0 or step + 1 == steps):
                _save(folder, run, model, optimizer, curve)
    if folder:
        plot_curve(curve, folder / "curve.png", log)
    return curve


def _check(
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    warmup: float,
    max_grad_norm: float,
    precision: str,
    save_every: int,
    settings: Mapping[str, Any],
    **rest: Any,
) -> None:
    """A rate below 0 would train uphill, and nan trains nothing: all without a word."""
    for name, value in (("steps", steps), ("save_every", save_every)):
        check_count(name, value, most=MOST_STEPS)
    if not 0 <= warmup <= 1:
        raise ValueError(f"warmup is {warmup} and must be a share of the steps, from 0 to 1")
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision {precision!r} is neither 'float32' nor 'bfloat16'")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is {learning_rate} and must be a number above 0")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay is {weight_decay} and must be a number from 0 on")
    if not max_grad_norm > 0:
        raise ValueError(f"max_grad_norm is {max_grad_norm} and must be above 0 (inf: no clipping)")
    for name, value in settings.items():
        plain = isinstance(value, (str, int, float, type(None)))
        if not plain:  # a checkpoint with anything else would not be read back
            raise ValueError(f"setting {name!r} is a {type(value).__name__}, not text or a number")


def _check_finite(step: int, loss: float, norm: float, place: Path | None) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
    kept = "nothing was saved yet"
    if place and (place / "checkpoint.pt").exists():
        kept = f"the last good checkpoint is kept in {place}"
    raise ValueError(f"{what} at step {step}; {kept}; a smaller learning rate often helps")


def _save(
    place: Path,
    settings: Mapping[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    curve: list[Row],
) -> None:
    if not (place / "curve.csv").is_file():  # then what is written from here on would be in pieces
        raise FileNotFoundError(
            f"{place / 'curve.csv'} was taken away while the run was writing it"
        )
    table = torch.tensor([[row[name] for name in COLUMNS] for row in curve], dtype=torch.float64)
    save_checkpoint(
        place / "checkpoint.pt",
        {
            "settings": dict(settings),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": random_states(),
            "curve": table,  # float64 holds steps and losses exactly
        },
    )


def _restore(
    place: Path,
    settings: Mapping[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    resume: bool,
    log: Callable[[str], None] | None,
) -> list[Row]:
    """Fill model, optimizer and random generators from the checkpoint; return the curve so far."""
    path = place / "checkpoint.pt"
    if not resume:
        path.unlink(missing_ok=True)  # else, killed before its first save, this run would become it
    if not path.exists():
        return []
    state = load_checkpoint(path)
    if not {"settings", "model", "optimizer", "random", "curve"} <= state.keys():
        raise ValueError(f"{path} is no checkpoint of a run: choose another folder")
    check_same_run(path, state["settings"], settings)
    wrong = differences(model.state_dict(), state["model"])
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ValueError(
            f"{path} is of another model: {wrong[0]}{more}; "
            "--fresh, or deleting that file, starts anew there"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    restore_random_states(state["random"])
    rows = [dict(zip(COLUMNS, row)) for row in state["curve"].tolist()]
    if rows and log:
        log(f"Going on where the last run in {place} stopped, after {len(rows):,} steps.")
    return [{**row, "step": int(row["step"])} for row in rows]
