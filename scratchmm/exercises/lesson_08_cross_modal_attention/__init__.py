"""The exercises of lesson 08: one modality asks another, two streams, and who may look where."""

from scratchmm.exercises.lesson_08_cross_modal_attention import (
    cross_modal_attention_bank,
    half_masked_bank,
    masked_mean,
    two_stream_layer_bank,
)

EXERCISES = (
    cross_modal_attention_bank.exercise,
    two_stream_layer_bank.exercise,
    masked_mean.exercise,
    half_masked_bank.exercise,
)
