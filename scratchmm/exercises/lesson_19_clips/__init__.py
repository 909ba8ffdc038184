"""The exercises of lesson 19: which frames, over time and space, and what to remember of them."""

from scratchmm.exercises.lesson_19_clips import (
    conv3d_bank,
    lstm_cell_bank,
    reads_across_bank,
    sample_frames_bank,
    temporal_receptive_field,
)

EXERCISES = (
    sample_frames_bank.exercise,
    conv3d_bank.exercise,
    temporal_receptive_field.exercise,
    lstm_cell_bank.exercise,
    reads_across_bank.exercise,
)
