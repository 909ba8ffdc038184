"""The exercises of lesson 15: the arc between two embeddings, and the drawn one that says most."""

from scratchmm.exercises.lesson_15_unclip import closest_bank, slerp_bank

EXERCISES = (
    closest_bank.exercise,
    slerp_bank.exercise,
)
