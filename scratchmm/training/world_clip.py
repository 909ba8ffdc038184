"""A CLIP of single things of the world, for lessons that need one: kept, or trained in half a minute."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from scratchmm.data.captioned import captioned
from scratchmm.data.drawing import draw_many
from scratchmm.data.world import split_combinations
from scratchmm.training import small_clip
from scratchmm.training.fit import fit


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

    It has seen what lesson 05's has: one thing a picture, of combinations that are not held out. A
    training that was stopped goes on where it was. say: is told, say print, what is done.
    """
    told = say or (lambda text: None)
    for folder in folders:
        if (folder / "model.pt").exists():
            told(f"Taking the CLIP in {folder}.")
            return small_clip.load(folder)
    told(f"Training a CLIP, {steps} steps ...")
    data = captioned(scenes, split_combinations()[0], seed=seed)
    pictures = draw_many(data.scenes)
    clip = small_clip.build(pictures, data.texts, seed=seed)
    batches = small_clip.pair_batches(clip, pictures, data.texts, 128, seed)
    with torch.enable_grad():
        fit(
            clip.model, batches, small_clip.clip_loss, steps=steps, learning_rate=3e-3,
            weight_decay=0.5, seed=seed, progress=progress, folder=folders[0], say=say,
        )  # fmt: skip
    small_clip.save(clip, folders[0])
    return small_clip.load(folders[0])
