"""From noise to images with DDIM: plain, image to image, inpainting, in other colours, controlled.

Dimensions: B batch, H x W pixels; latents (B, Z, X, Y).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scratchmm.apps.image_studio.batch import Draw
from scratchmm.apps.image_studio.inputs import Inputs
from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.editing.inpainting import edit, inpaint, last_of, paste, shrink_mask
from scratchmm.diffusion.editing.style import in_colours_of
from scratchmm.diffusion.process import q_sample

if TYPE_CHECKING:
    from scratchmm.recipes.generator import TrainedTextToImage


def image_sampler(
    generator: "TrainedTextToImage",
    inputs: Inputs,
    folder: Path,
    *,
    progress: bool = False,
    log: Callable[[str], None],
) -> Draw:
    """The draw function of a batch: from noise alone, or from the images of `inputs`.

    folder: where the ControlNet of a control image is kept, trained first if it is not there.
    """
    if inputs.init is None and inputs.colours is None and inputs.control is None:
        return generator.draw
    model, predictor = generator.model, generator.predictor
    hint = inputs.control
    if hint is not None:
        from scratchmm.recipes import controlnet

        settings = replace(controlnet.SETTINGS, kind=inputs.kind)
        controlled = controlnet.load_or_train(
            folder, generator, settings, exact=False, progress=progress, log=log
        )

        def predictor(prompts: Sequence[str], **options: Any) -> Any:
            hints = hint.expand(len(prompts), -1, -1, -1)
            return controlled.predictor(prompts, hints, **options)

    def one(prompt: str, seed: int, steps: int, scale: float, negative: str) -> Tensor:
        """A batch of one image: so all of its randomness comes from its own seed."""
        predict = predictor([prompt], negative=negative, scale=scale)
        if inputs.colours is not None:
            style = model.space.to_latents(inputs.colours, torch.Generator().manual_seed(seed))
            predict = in_colours_of(predict, model.schedule, style, **model.sampling())
        return sample_image(generator, predict, inputs, seed, steps)

    @torch.no_grad()
    def draw(
        prompts: Sequence[str], *, seeds: Sequence[int], steps: int, scale: float, negative: str
    ) -> Tensor:
        pairs = zip(prompts, seeds, strict=True)
        return torch.cat([one(prompt, seed, steps, scale, negative) for prompt, seed in pairs])

    return draw


def sample_image(
    generator: "TrainedTextToImage", predict: Any, inputs: Inputs, seed: int, steps: int
) -> Tensor:
    """One image (1, 3, 32, 32): from noise, from a noised image, or inpainted under the mask."""
    model, noise = generator.model, generator.noise([seed])
    timesteps, options = spaced_timesteps(len(model.schedule), steps), model.sampling()
    if inputs.init is None:
        x = ddim_sample(predict, model.schedule, noise, timesteps, **options)
        return model.space.to_images(x).clamp(-1, 1)
    clean = model.space.to_latents(inputs.init, torch.Generator().manual_seed(seed))
    if inputs.mask is None:
        x = edit(predict, model.schedule, clean, inputs.strength, noise, timesteps, **options)
        return model.space.to_images(x).clamp(-1, 1)
    timesteps = last_of(timesteps, inputs.strength)
    if inputs.strength < 1:
        noise = q_sample(model.schedule, clean, torch.tensor(timesteps[:1]), noise)
    cells = shrink_mask(inputs.mask, (noise.shape[-2], noise.shape[-1]))
    x = inpaint(
        predict, model.schedule, clean, cells, noise, timesteps,
        repeats=min(2, len(timesteps)), generator=torch.Generator().manual_seed(seed), **options,
    )  # fmt: skip
    return paste(model.space.to_images(x).clamp(-1, 1), inputs.init, inputs.mask)
