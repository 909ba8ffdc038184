"""The exercises of lesson 09: one stream, words covered for a model to guess, and wrong pairs."""

from scratchmm.exercises.lesson_09_vilt import (
    mask_tokens_bank,
    masked_loss_bank,
    matching_negatives_bank,
    vilt_embeddings_bank,
)

EXERCISES = (
    vilt_embeddings_bank.exercise,
    mask_tokens_bank.exercise,
    masked_loss_bank.exercise,
    matching_negatives_bank.exercise,
)
