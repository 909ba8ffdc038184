"""A CLIP of single things of the world, for lessons that need one: kept, or trained in half a minute."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import split_combinations
from scratchmm.training import small_clip
from scratchmm.training.checkpoint import load_checkpoint
from scratchmm.training.fit import fit
from scratchmm.training.kept import MADE_BY, made_by, made_otherwise


def open_clip(
    folders: Sequence[Path],
    *,
    scenes: int = 12_000,
    steps: int = 600,
    seed: int = 0,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
) -> small_clip.SmallCLIP:
    """The CLIP kept in the first of the folders that has one, or one trained and kept in the first.

    It has seen what lesson 05's has: one thing an image, of combinations that are not held out. A
    CLIP is passed over that other code has trained, or this function with other settings; in the
    first folder it is removed. A training that was stopped goes on where it was. say: is told, say
    print, what is done.
    """
    told = say or (lambda text: None)
    recipe = {"scenes": scenes, "steps": steps, "seed": seed}
    made = made_by(small_clip.TRAINED_BY, recipe)
    for folder in folders:
        if (path := folder / "model.pt").exists():
            why = made_otherwise(load_checkpoint(path).get(MADE_BY), made)
            if not why:
                told(f"Taking the CLIP in {folder}.")
                return small_clip.load(folder)
            told(f"The CLIP in {folder} {why}: it is not taken.")
            if folder == folders[0]:
                for file in (path, folder / "checkpoint.pt"):
                    file.unlink(missing_ok=True)
    told(f"Training a CLIP, {steps} steps ...")
    data = captioned(scenes, split_combinations()[0], seed=seed)
    images = draw_many(data.scenes)
    clip = small_clip.build(images, data.texts, seed=seed)
    batches = small_clip.pair_batches(clip, images, data.texts, 128, seed)
    with torch.enable_grad():
        fit(
            clip.model, batches, small_clip.clip_loss, steps=steps, learning_rate=3e-3,
            weight_decay=0.5, seed=seed, progress=progress, folder=folders[0], log=say,
            settings={"scenes": scenes},
        )  # fmt: skip
    small_clip.save(clip, folders[0], made)
    return small_clip.load(folders[0])
