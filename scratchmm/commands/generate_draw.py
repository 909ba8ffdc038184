"""What `generate` draws with: the images it begins with, the model, and the way from noise."""

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.ddpm import q_sample
from scratchmm.diffusion.inpainting import edit, inpaint, last_of, paste, shrink_mask
from scratchmm.diffusion.style import in_colours_of
from scratchmm.diffusion.workbench import Draw, Score
from scratchmm.metrics.clip_score import clip_score
from scratchmm.metrics.image_quality import image_quality
from scratchmm.vision.images import center_crop, open_image, resize, to_tensor

if TYPE_CHECKING:
    from scratchmm.training.small_generator import SmallGenerator

SIZE, STRENGTH = 32, 0.6
Say = Callable[[str], None]


class Inputs(NamedTuple):
    """The images that a drawing begins with, each of one batch row, or None."""

    init: Tensor | None = None  # (1, 3, 32, 32) in [-1, 1]
    mask: Tensor | None = None  # bool (1, 1, 32, 32)
    colours: Tensor | None = None  # (1, 3, 32, 32) in [-1, 1]
    control: Tensor | None = None  # (1, 1 or 3, 32, 32) in [0, 1]
    strength: float = 1.0
    kind: str = ""
    told: Mapping[str, str | float] = {}  # for the manifest


def read_inputs(arguments: argparse.Namespace, say: Say) -> Inputs:
    """Read and check every image that is named on the command line."""
    found: dict[str, Any] = {"kind": arguments.kind or ""}
    if arguments.init is not None:
        image = open_image(arguments.init)
        found["init"] = to_tensor(squared(image, arguments.init, say))[None]
        found["strength"] = arguments.strength or (1.0 if arguments.mask else STRENGTH)
        if arguments.mask is not None:
            found["mask"] = read_mask(arguments.mask, image.size, arguments.init)
    if arguments.colours is not None:
        image = open_image(arguments.colours)
        found["colours"] = to_tensor(squared(image, arguments.colours, say))[None]
    if arguments.control is not None:
        found["control"] = read_control(arguments.control, arguments.kind, say)
    names = ("init", "mask", "colours", "control")
    told = {name: str(getattr(arguments, name)) for name in names if name in found}
    told |= {name: found[name] for name in ("strength", "kind") if found.get(name)}
    content = b"".join(found[name].numpy().tobytes() for name in names if name in found)
    told |= {"images": hashlib.sha256(content).hexdigest()[:8]} if content else {}
    return Inputs(**found, told=told)


def squared(image: Image.Image, path: Path, say: Say) -> Image.Image:
    """The middle square of an image, 32 pixels wide; one that was enlarged comes back exactly."""
    if image.size == (SIZE, SIZE):
        return image
    if image.width == image.height and image.width % SIZE == 0:
        small = image.resize((SIZE, SIZE), Image.Resampling.NEAREST)
        if small.resize(image.size, Image.Resampling.NEAREST).tobytes() == image.tobytes():
            return small
    say(f"{path}: the middle of {image.width} x {image.height} pixels, made {SIZE} x {SIZE}")
    return center_crop(resize(image, SIZE), SIZE)


def read_mask(path: Path, size: tuple[int, int], init: Path) -> Tensor:
    """A mask of the same size as the image: bool (1, 1, 32, 32), True where it is white."""
    image = open_image(path, background="black")
    if image.size != size:
        found, wanted = (" x ".join(map(str, sides)) for sides in (image.size, size))
        raise ValueError(f"the mask {path} has {found} pixels, but {init} has {wanted}")
    white = to_tensor(squared(image, path, lambda text: None)).mean(dim=0)[None, None] > 0
    if not white.any():
        raise ValueError(f"the mask {path} is empty: where it is white, there is drawn")
    return white


def read_control(path: Path, kind: str, say: Say) -> Tensor:
    """A control image (1, C, 32, 32) in [0, 1]; of a photo, its edges are looked for."""
    image = open_image(path, background="black")
    colours = (to_tensor(squared(image, path, say))[None] + 1) / 2
    grey = colours.mean(dim=1, keepdim=True)
    coloured = float((colours - grey).abs().max()) > 0.1
    if kind == "depth" and coloured:
        raise ValueError(
            f"{path} is no depth image: it has colours, and should go from black to white"
        )
    if kind == "pose" and float((colours.amax(1) > 0.2).float().mean()) > 0.5:
        raise ValueError(f"{path} is no pose: most of it should be black, and is not")
    if kind == "edges" and (coloured or not is_outline(grey)):
        from scratchmm.vision.canny import canny

        say(f"{path}: its edges are looked for, since it is no black image with white lines")
        grey = canny(2 * colours - 1)
    found = colours if kind == "pose" else grey
    if not (found > 0.2).any():
        raise ValueError(f"{path} shows no {kind}: there is nothing in it to follow")
    return found


def is_outline(grey: Tensor) -> bool:
    """Whether an image (1, 1, H, W) in [0, 1] has thin white lines on black, and nothing else."""
    between = ((grey > 0.2) & (grey < 0.8)).any()
    thick = (-F.max_pool2d(-grey, 3, stride=1) > 0.5).any()
    return not between and not thick and bool((grey > 0.5).any())


def scorer(clip: Path | None) -> Score:
    """What tells the quality of an image; with a folder of a trained CLIP also its CLIPScore."""
    if clip is None:
        return lambda image, prompt: _quality(image)
    from scratchmm.training import small_clip

    judge = small_clip.load(clip)

    def score(image: Tensor, prompt: str) -> dict[str, float]:
        images, texts = judge.embed_images(image[None]), judge.embed_texts([prompt])
        return {**_quality(image), "clip_score": float(clip_score(images, texts))}

    return score


def _quality(image: Tensor) -> dict[str, float]:
    return {name: float(value) for name, value in image_quality(image[None])._asdict().items()}


def open_model(folder: Path, arguments: argparse.Namespace, say: Say) -> "SmallGenerator":
    """The generator of the cache folder, trained first if it is not there."""
    from scratchmm.training.small_generator import open_generator

    if arguments.fresh:
        # The model, what was trained on top of it, and trainings that were stopped half-way.
        for name in ("generator.pt", "control*.pt", "*/checkpoint.pt"):
            for path in [*folder.glob(name)]:
                path.unlink()
    there = (folder / "generator.pt").exists()
    try:
        return open_generator(folder, exact=False, progress=not arguments.json, say=say)
    except ValueError as error:
        raise ValueError(f"{error}: --fresh trains it anew" if there else error) from error


def check_steps(generator: "SmallGenerator", steps: int) -> None:
    """Refuse more steps than the model's schedule has."""
    spaced_timesteps(len(generator.model.schedule), steps)


def drawer(
    generator: "SmallGenerator",
    inputs: Inputs,
    folder: Path,
    arguments: argparse.Namespace,
    say: Say,
) -> Draw:
    """What draws a batch: from noise alone, or from the images that are given."""
    if inputs.init is None and inputs.colours is None and inputs.control is None:
        return generator.draw
    model, predictor = generator.model, generator.predictor
    hint = inputs.control
    if hint is not None:
        from scratchmm.training.small_control import open_control

        controlled = open_control(
            folder, generator, inputs.kind, exact=False, progress=not arguments.json, say=say
        )

        def predictor(prompts: Sequence[str], **options: Any) -> Any:
            hints = hint.expand(len(prompts), -1, -1, -1)
            return controlled.predictor(prompts, hints, **options)

    def one(prompt: str, seed: int, steps: int, scale: float, negative: str) -> Tensor:
        """One image by itself: what is drawn by chance on the way then comes from its seed."""
        predict = predictor([prompt], negative=negative, scale=scale)
        if inputs.colours is not None:
            style = model.space.to_latents(inputs.colours, torch.Generator().manual_seed(seed))
            predict = in_colours_of(predict, model.schedule, style, **model.sampling())
        return from_inputs(generator, predict, inputs, seed, steps)

    @torch.no_grad()
    def draw(
        prompts: Sequence[str], *, seeds: Sequence[int], steps: int, scale: float, negative: str
    ) -> Tensor:
        pairs = zip(prompts, seeds, strict=True)
        return torch.cat([one(prompt, seed, steps, scale, negative) for prompt, seed in pairs])

    return draw


def from_inputs(
    generator: "SmallGenerator", predict: Any, inputs: Inputs, seed: int, steps: int
) -> Tensor:
    """One image (1, 3, 32, 32): from noise, from a noised image, or only under the mask."""
    model, noise = generator.model, generator.noise([seed])
    way, options = spaced_timesteps(len(model.schedule), steps), model.sampling()
    if inputs.init is None:
        x = ddim_sample(predict, model.schedule, noise, way, **options)
        return model.space.to_images(x).clamp(-1, 1)
    start = model.space.to_latents(inputs.init, torch.Generator().manual_seed(seed))
    if inputs.mask is None:
        x = edit(predict, model.schedule, start, inputs.strength, noise, way, **options)
        return model.space.to_images(x).clamp(-1, 1)
    way = last_of(way, inputs.strength)
    if inputs.strength < 1:
        noise = q_sample(model.schedule, start, torch.tensor(way[:1]), noise)
    cells = shrink_mask(inputs.mask, (noise.shape[-2], noise.shape[-1]))
    x = inpaint(
        predict, model.schedule, start, cells, noise, way,
        repeats=min(2, len(way)), generator=torch.Generator().manual_seed(seed), **options,
    )  # fmt: skip
    return paste(model.space.to_images(x).clamp(-1, 1), inputs.init, inputs.mask)
