"""scheduler_config.json: the noise schedule and the sampler of a published pipeline.

A UNet's weights do not show on which noise levels they were trained, nor what they predict: that is
in a file of its own, in the folder `scheduler` beside `unet` and `vae`.

Papers: Denoising Diffusion Probabilistic Models (arXiv 2006.11239), Denoising Diffusion Implicit
Models (arXiv 2010.02502), Common Diffusion Noise Schedules and Sample Steps are Flawed (arXiv
2305.08891).
Differs from the papers: nothing; equal to diffusers' DDIMScheduler and DDPMScheduler, less what
their float32 rounds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from scratchmm.checkpoints.published_config import PublishedConfig, must_be, read_json, read_values
from scratchmm.diffusion.ddim import SPACINGS, spaced_timesteps
from scratchmm.diffusion.process import (
    Schedule,
    cosine_schedule,
    linear_schedule,
    scaled_linear_schedule,
    zero_terminal_snr,
)

NAME = "scheduler_config.json"
# Keys and the defaults of DDIMScheduler and DDPMScheduler.
OBEYED: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
    "prediction_type": "epsilon",
    "clip_sample": True,
    "clip_sample_range": 1.0,
    "set_alpha_to_one": True,
    "timestep_spacing": "leading",
    "steps_offset": 0,
    "variance_type": "fixed_small",
}
# Stable Diffusion 1 came with PNDM, another sampler over the same noise levels; it never clips.
OF_PNDM = {"set_alpha_to_one": False, "clip_sample": False}
FIXED: dict[str, tuple[Any, ...]] = {
    "_class_name": ("DDIMScheduler", "DDPMScheduler", "PNDMScheduler"),
    "thresholding": (False,),
    "predict_epsilon": (True,),  # of files from before prediction_type
}
# Our name for each of theirs.
BETAS = {"linear": linear_schedule, "scaled_linear": scaled_linear_schedule}
COSINE = "squaredcos_cap_v2"
TARGETS = {"epsilon": "noise", "sample": "x0", "v_prediction": "velocity"}
VARIANCES = {"fixed_small": "posterior", "fixed_small_log": "posterior", "fixed_large": "beta"}


class PublishedSampling(NamedTuple):
    """How a published model was trained and is sampled: arguments of our losses and samplers.

    >>> schedule = linear_schedule(1000)
    >>> sampling = PublishedSampling(schedule, "noise", None, 1.0, "leading", 1, "posterior")
    >>> sampling.ddim(4)["timesteps"], sampling.ddim(4)["stride"]
    ([751, 501, 251, 1], 250)
    """

    schedule: Schedule  # of its training
    target: str  # what the model predicts
    clamp: float | None  # the range that predicted x0 is clamped to
    final_alpha: float  # alpha_bar after the last step
    spacing: str  # of few timesteps
    offset: int  # of leading ones
    variance: str  # of a step by DDPM

    def ddim(self, steps: int) -> dict[str, Any]:
        """The arguments of `ddim_path` and `ddim_sample` that sample as DDIMScheduler, in `steps` steps.

        Raises ValueError on steps that the schedule has not, or that the offset pushes out of it.
        """
        length = len(self.schedule)
        offset = self.offset if self.spacing == "leading" else 0
        return {
            "timesteps": spaced_timesteps(length, steps, self.spacing, offset),
            "stride": length // steps,
            "target": self.target,
            "clamp": self.clamp,
            "follow_clamp": False,
            "final_alpha": self.final_alpha,
        }

    def ancestral(self) -> dict[str, Any]:
        """The arguments of `ancestral_path` and `ancestral_sample` that sample as DDPMScheduler."""
        return {"target": self.target, "variance": self.variance, "clamp": self.clamp}


def sampling_from(source: str | Path) -> PublishedSampling:
    """How a published diffusion model is trained and sampled, from its scheduler_config.json.

    source: the folder of a pipeline, its folder `unet`, `vae` or `scheduler`, a file in one of
    them, or the scheduler_config.json itself. A file of PNDMScheduler, with which Stable Diffusion
    1 was published, is read as diffusers' `DDIMScheduler.from_config` reads it: the same noise
    levels, another sampler. Keys that these classes do not have are ignored, as there.

    Raises FileNotFoundError where there is no such file, and ValueError that names the key and both
    values on what can't be done here: other schedulers (Euler, DPM-Solver ...) and schedules,
    thresholding, learned variances.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "scheduler").mkdir()
    >>> text = '{"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}'
    >>> (folder / "scheduler" / "scheduler_config.json").write_text(text) > 0
    True
    >>> sampling_from(folder / "unet").target
    'velocity'
    """
    path = scheduler_file(source)
    values = read_json(path)
    _check_pipeline(path, values)
    defaults = OBEYED | (OF_PNDM if values.get("_class_name") == "PNDMScheduler" else {})
    config = read_values(
        str(path), defaults | values, OBEYED, FIXED, ("trained_betas",), ("trained_betas",)
    )
    spacing = _known(config, "timestep_spacing", {name: name for name in SPACINGS})
    target = _known(config, "prediction_type", TARGETS)
    variance = _known(config, "variance_type", VARIANCES)
    schedule, settings = _schedule(config), config.values
    return PublishedSampling(
        schedule,
        target,
        settings["clip_sample_range"] if settings["clip_sample"] else None,
        1.0 if settings["set_alpha_to_one"] else float(schedule.alpha_bar[0]),
        spacing,
        settings["steps_offset"],
        variance,
    )


def scheduler_file(source: str | Path) -> Path:
    """The path of a pipeline's scheduler_config.json, from any of its folders and files.

    >>> scheduler_file("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: there is no scheduler_config.json in nowhere, in nowhere/scheduler or in scheduler
    """
    path = Path(source)
    if path.is_file() and path.suffix == ".json" and path.name.startswith("scheduler"):
        return path
    folder = path.parent if path.is_file() else path
    folders = (folder, folder / "scheduler", folder.parent / "scheduler")
    for place in folders:
        if (place / NAME).is_file():
            return place / NAME
    first, *others, last = map(str, folders)
    between = "".join(f", in {place}" for place in others)
    raise FileNotFoundError(f"there is no {NAME} in {first}{between} or in {last}")


def _check_pipeline(path: Path, values: Mapping[str, Any]) -> None:
    """Refuse a scheduler that is another class than the pipeline's own index says."""
    index = path.parent.parent / "model_index.json"
    if path.parent.name != "scheduler" or not index.is_file():
        return
    named, own = read_json(index).get("scheduler"), values.get("_class_name")
    if isinstance(named, list) and len(named) == 2 and own is not None and named[1] != own:
        raise ValueError(f"{index} says scheduler is {named[1]!r}, but {path} is of {own!r}")


def _known(config: PublishedConfig, key: str, names: Mapping[str, str]) -> str:
    """Our name for a value of theirs. Raises ValueError on one that we lack."""
    if config.values[key] not in names:
        raise ValueError(must_be(config.label, key, config.values[key], tuple(names)))
    return names[config.values[key]]


def _schedule(config: PublishedConfig) -> Schedule:
    values = config.values
    steps, kind, betas = (
        values["num_train_timesteps"],
        values["beta_schedule"],
        values["trained_betas"],
    )
    if kind not in (*BETAS, COSINE):
        raise ValueError(must_be(config.label, "beta_schedule", kind, (*BETAS, COSINE)))
    try:
        if betas is not None:
            if not isinstance(betas, list) or len(betas) != steps:
                count = len(betas) if isinstance(betas, list) else 1
                raise ValueError(f"{count} trained_betas for num_train_timesteps {steps}")
            schedule = Schedule(torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), 0))
        elif kind == COSINE:
            schedule = cosine_schedule(steps)
        else:
            schedule = BETAS[kind](steps, values["beta_start"], values["beta_end"])
        return zero_terminal_snr(schedule) if values["rescale_betas_zero_snr"] else schedule
    except ValueError as error:
        raise ValueError(f"{config.label} gives no schedule of noise: {error}") from None
