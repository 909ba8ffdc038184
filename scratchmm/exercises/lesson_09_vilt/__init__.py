"""The exercises of lesson 09: words covered for a model to guess, and pairs that do not match."""

from scratchmm.exercises.lesson_09_vilt import (
    mask_tokens_bank,
    masked_loss_bank,
    matching_negatives_bank,
)

EXERCISES = (
    mask_tokens_bank.exercise,
    masked_loss_bank.exercise,
    matching_negatives_bank.exercise,
)
