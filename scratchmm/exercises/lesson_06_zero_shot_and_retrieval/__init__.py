"""The exercises of lesson 06: names as a classifier, search, and how to count what was found."""

from scratchmm.exercises.lesson_06_zero_shot_and_retrieval import (
    class_embeddings,
    recall_at_k_bank,
    top_k,
    zero_shot,
)

EXERCISES = (
    class_embeddings.exercise,
    zero_shot.exercise,
    recall_at_k_bank.exercise,
    top_k.exercise,
)
