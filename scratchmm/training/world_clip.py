"""A CLIP of single things of the world, for lessons that need one: kept, or trained in half a minute."""

from collections.abc import Sequence
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
) -> small_clip.SmallCLIP:
    """The CLIP kept in the first of the folders that has one, or one trained and kept in the first.

    It has seen what lesson 05's has: one thing a picture, of combinations that are not held out.
    """
    for folder in folders:
        if (folder / "model.pt").exists():
            return small_clip.load(folder)
    data = captioned(scenes, split_combinations()[0], seed=seed)
    pictures = draw_many(data.scenes)
    clip = small_clip.build(pictures, data.texts, seed=seed)
    batches = small_clip.pair_batches(clip, pictures, data.texts, 128, seed)
    with torch.enable_grad():
        fit(
            clip.model, batches, small_clip.clip_loss, steps=steps, learning_rate=3e-3,
            weight_decay=0.5, seed=seed, progress=progress,
        )  # fmt: skip
    small_clip.save(clip, folders[0])
    return small_clip.load(folders[0])
