"""The exercises of lesson 02: the block, positions, what trains it, and a bug that trains well."""

from scratchmm.exercises.lesson_02_transformer import (
    decay_groups,
    feed_forward,
    leaking_mask,
    sinusoidal_positions,
    transformer_block,
    warmup_cosine,
)

EXERCISES = (
    feed_forward.exercise,
    transformer_block.exercise,
    sinusoidal_positions.exercise,
    leaking_mask.exercise,
    decay_groups.exercise,
    warmup_cosine.exercise,
)
