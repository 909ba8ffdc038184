"""The exercises of lesson 12: three targets, fewer steps, guidance, and two measures."""

from scratchmm.exercises.lesson_12_samplers_and_guidance import (
    clip_score_bank,
    ddim_step_bank,
    frechet_distance_bank,
    guide_bank,
    prompt_dropout_bank,
    start_and_noise_bank,
    target_of_bank,
)

EXERCISES = (
    target_of_bank.exercise,
    start_and_noise_bank.exercise,
    ddim_step_bank.exercise,
    guide_bank.exercise,
    prompt_dropout_bank.exercise,
    frechet_distance_bank.exercise,
    clip_score_bank.exercise,
)
