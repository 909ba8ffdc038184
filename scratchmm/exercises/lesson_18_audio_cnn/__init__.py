"""The exercises of lesson 18: sounds of any length, varied, and what the network heard in them."""

from scratchmm.exercises.lesson_18_audio_cnn import (
    class_activation_bank,
    fails_alone_bank,
    mean_over_time_bank,
    mix_noise_bank,
    pad_together_bank,
    spans_bank,
)

EXERCISES = (
    pad_together_bank.exercise,
    mean_over_time_bank.exercise,
    mix_noise_bank.exercise,
    spans_bank.exercise,
    class_activation_bank.exercise,
    fails_alone_bank.exercise,
)
