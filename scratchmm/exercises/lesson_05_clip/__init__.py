"""The exercises of lesson 05: the contrastive loss, the temperature, CLIP, and a test of the loss."""

from scratchmm.exercises.lesson_05_clip import (
    check_loss,
    clip_bank,
    contrastive_loss_bank,
    temperature,
)

EXERCISES = (
    contrastive_loss_bank.exercise,
    check_loss.exercise,
    temperature.exercise,
    clip_bank.exercise,
)
