"""The exercises of lesson 04: tokens learned, used and read back, batches, and where to read."""

from scratchmm.exercises.lesson_04_words import (
    decode,
    merge_word_bank,
    pad_batch_bank,
    pool_at_end_bank,
    train_merges_bank,
)

EXERCISES = (
    train_merges_bank.exercise,
    merge_word_bank.exercise,
    decode.exercise,
    pad_batch_bank.exercise,
    pool_at_end_bank.exercise,
)
