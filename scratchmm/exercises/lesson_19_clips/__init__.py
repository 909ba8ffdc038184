"""The exercises of lesson 19: over time and space, and what to remember."""

from scratchmm.exercises.lesson_19_clips import (
    conv3d_bank,
    lstm_cell_bank,
    temporal_receptive_field,
)

EXERCISES = (
    conv3d_bank.exercise,
    temporal_receptive_field.exercise,
    lstm_cell_bank.exercise,
)
