"""The exercises of lesson 11: images drown in noise, a network hears how far, and walks back."""

from scratchmm.exercises.lesson_11_ddpm import (
    ancestral_step_bank,
    cosine_schedule_bank,
    cosines_first_bank,
    diffusion_loss_bank,
    downsample_bank,
    mix_bank,
    noisy_last_step_bank,
    posterior_bank,
    residual_block_2d_bank,
    unet_up_bank,
)

EXERCISES = (
    cosine_schedule_bank.exercise,
    mix_bank.exercise,
    cosines_first_bank.exercise,
    residual_block_2d_bank.exercise,
    downsample_bank.exercise,
    unet_up_bank.exercise,
    diffusion_loss_bank.exercise,
    posterior_bank.exercise,
    ancestral_step_bank.exercise,
    noisy_last_step_bank.exercise,
)
