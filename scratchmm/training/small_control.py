"""A ControlNet for a laptop: outlines, depth or poses say where the small generator is to draw.

The model is `diffusion.controlnet.Controlled` over the UNet of a `SmallGenerator`; here is what
surrounds it: scenes with a sentence and a control image each, a training, and a file to keep it in.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.control_images import KINDS, control_images
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import split_combinations
from scratchmm.diffusion.controlnet import Controlled, ControlNet, controlnet_from_unet
from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.guidance import guided, prompt_dropout
from scratchmm.diffusion.process import Model, diffusion_loss
from scratchmm.diffusion.unet import UNet
from scratchmm.training.checkpoint import differences, load_checkpoint, save_checkpoint
from scratchmm.training.fingerprint import fingerprint
from scratchmm.training.fit import fit
from scratchmm.training.generator_stages import latents_of
from scratchmm.training.kept import MADE_BY, made_by, reopened
from scratchmm.training.precision import fast_precision
from scratchmm.training.sampling import shuffled_batches
from scratchmm.training.small_generator import SmallGenerator

HINT_WIDTHS = (16, 32, 48, 64)  # three halvings: 32 x 32 pixels to the 4 x 4 cells of the latents
BATCH = 64
RECIPE: dict[str, Any] = {"scenes": 8000, "steps": 600, "seed": 0}
DROPOUT_PROBABILITY = 0.3  # of the prompts, so that the control has to be looked at


@dataclass
class SmallControl:
    """A generator that is also shown a control image of one kind."""

    generator: SmallGenerator
    control: ControlNet
    kind: str

    def predictor(
        self,
        prompts: Sequence[str],
        hints: Tensor,
        *,
        negative: str = "",
        scale: float = 4.0,
        strength: float = 1.0,
    ) -> Model:
        """A model of (x, timesteps) alone, for any sampler: prompts, hints and guidance inside.

        hints: float (B, C, 32, 32) in [0, 1], one for each prompt. strength: how much they count; 0
        is the generator itself. Guidance is over the prompt: the hint is shown both times.
        """
        if len(hints) != len(prompts):
            raise ValueError(f"there are {len(hints)} control images for {len(prompts)} prompts")
        model = Controlled(unet_of(self.generator), self.control, strength)
        with torch.no_grad():
            asked = self.generator.condition(prompts)
            away = self.generator.condition([negative])
        predict = guided(model, away, scale)

        def controlled(x: Tensor, timesteps: Tensor) -> Tensor:
            return predict(x, timesteps, **asked, hint=hints)

        return controlled

    @torch.no_grad()
    def draw(
        self,
        prompts: Sequence[str],
        hints: Tensor,
        *,
        seeds: Sequence[int],
        steps: int = 20,
        **options: Any,
    ) -> Tensor:
        """Images (B, 3, 32, 32) in [-1, 1]; as many seeds as prompts. options: as of `predictor`."""
        if len(seeds) != len(prompts):
            raise ValueError(f"there are {len(seeds)} seeds for {len(prompts)} prompts")
        model = self.generator.model
        way = spaced_timesteps(len(model.schedule), steps)
        predictor, noise = self.predictor(prompts, hints, **options), self.generator.noise(seeds)
        latents = ddim_sample(predictor, model.schedule, noise, way, **model.sampling())
        return model.space.to_images(latents).clamp(-1, 1)


def unet_of(generator: SmallGenerator) -> UNet:
    """The UNet of a generator, which is the base of its ControlNets."""
    unet = generator.model.unet
    assert isinstance(unet, UNet)
    return unet


def build(generator: SmallGenerator, kind: str, *, seed: int = 0) -> SmallControl:
    """A control that has learned nothing yet: it changes nothing.

    >>> from scratchmm.training.small_generator import untrained
    >>> control = build(untrained(), "edges")
    >>> control.draw(["a red star"], torch.ones(1, 1, 32, 32), seeds=[1], steps=2).shape
    torch.Size([1, 3, 32, 32])
    """
    if kind not in KINDS:
        raise ValueError(f"control {kind!r} is none of {', '.join(KINDS)}")
    channels = control_images([], kind).shape[1]
    torch.manual_seed(seed)
    control = controlnet_from_unet(unet_of(generator), channels, HINT_WIDTHS)
    return SmallControl(generator, control.eval(), kind)


def train_control(
    control: SmallControl, *, scenes: int, steps: int, seed: int = 0, **options: Any
) -> list[dict[str, float]]:
    """Train it in place, on captioned scenes of seen combinations. Returns the curve.

    options: as of `training.fit`. The generator stays as it is, its text encoder included.
    """
    generator, network = control.generator, control.control
    model = Controlled(unet_of(generator), network)
    data = captioned(scenes, split_combinations()[0], seed=seed + 1)
    hints = control_images(data.scenes, control.kind)
    latents = latents_of(generator.model.space, draw_many(data.scenes), seed)
    tokens, real = generator.tokens(data.texts)
    indices = shuffled_batches(scenes, min(BATCH, scenes), seed)
    with torch.no_grad():
        empty = generator.condition([""])

    def batch_at(step: int) -> tuple[Tensor, ...]:
        chosen = indices(step)
        return latents[chosen], hints[chosen], tokens[chosen], real[chosen]

    def loss(_: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        base = generator.model
        with torch.no_grad():
            told: dict[str, Any] = base.condition(*batch[2:])
        told = {**prompt_dropout(told, empty, DROPOUT_PROBABILITY), "hint": batch[1]}
        return diffusion_loss(model, base.schedule, batch[0], target=base.target, **told)

    options = {"learning_rate": 2e-3, "weight_decay": 0.01, "seed": seed} | options
    curve = fit(network, batch_at, loss, steps=steps, precision=fast_precision(), **options)
    network.eval()
    return curve


def open_control(
    folder: Path,
    generator: SmallGenerator,
    kind: str,
    *,
    exact: bool = True,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> SmallControl:
    """The control of this kind kept in the folder, or one trained and kept there.

    A training that was stopped goes on where it was. exact: a control that other code, another
    recipe or another generator has made is trained anew; if not, it is taken as it is. options: what
    differs from RECIPE, and more of `train_control`. Raises ValueError on a file that is none, and
    where it is to be taken as it is, on one of another generator.
    """
    folder, told, recipe = Path(folder), say or (lambda text: None), RECIPE | options
    path, base = folder / f"control_{kind}.pt", fingerprint(generator.model)
    place, made = folder / f"steering_{kind}", made_by(__name__, recipe | {"generator": base})
    control = build(generator, kind, seed=recipe["seed"])

    def load(path: Path) -> SmallControl:
        state, wanted = load_checkpoint(path), control.control.state_dict()
        if state.get("base") != base or differences(wanted, state.get("control", {})):
            raise ValueError(f"{path} is no control of this generator: remove it to train it anew")
        filled = deepcopy(control.control)  # `control` itself may be trained yet
        filled.load_state_dict(state["control"])
        return SmallControl(generator, filled, kind)

    half = place / "checkpoint.pt"
    kept = reopened(path, made, load, exact=exact, checkpoints=[half], say=say)
    if kept is not None:
        return kept
    told(f"Learning to follow an image of {kind} ...")
    settings: dict[str, Any] = {
        "settings": {"base": base, "scenes": recipe["scenes"]},
        "progress": progress,
        "log": say,
        "folder": place,
    }
    train_control(control, **settings | recipe)
    state = {"base": base, "control": control.control.state_dict(), MADE_BY: made}
    save_checkpoint(path, state)
    half.unlink(missing_ok=True)  # finished
    return control
