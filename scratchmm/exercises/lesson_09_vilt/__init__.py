"""The exercises of lesson 09: words covered for a model to guess, and how well it guesses them."""

from scratchmm.exercises.lesson_09_vilt import mask_tokens_bank, masked_loss_bank

EXERCISES = (
    mask_tokens_bank.exercise,
    masked_loss_bank.exercise,
)
