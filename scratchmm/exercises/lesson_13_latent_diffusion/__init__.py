"""The exercises of lesson 13: latents are drawn, held near normal, and brought to a deviation of 1."""

from scratchmm.exercises.lesson_13_latent_diffusion import (
    draw_bank,
    kl_to_normal_bank,
    measure_bank,
)

EXERCISES = (draw_bank.exercise, kl_to_normal_bank.exercise, measure_bank.exercise)
