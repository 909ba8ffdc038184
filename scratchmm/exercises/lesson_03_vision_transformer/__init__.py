"""The exercises of lesson 03: patches, their tokens, CLS, positions, and where CLS looks."""

from scratchmm.exercises.lesson_03_vision_transformer import (
    attention_rollout,
    patch_embedding,
    patchify,
    resize_positions,
    vit_embeddings,
)

EXERCISES = (
    patchify.exercise,
    patch_embedding.exercise,
    vit_embeddings.exercise,
    attention_rollout.exercise,
    resize_positions.exercise,
)
