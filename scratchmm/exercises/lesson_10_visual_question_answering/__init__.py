"""The exercises of lesson 10: what was looked at, and how an answer is scored when people differ."""

from scratchmm.exercises.lesson_10_visual_question_answering import (
    check_vqa_accuracy,
    others_bank,
    vqa_accuracy_bank,
)

EXERCISES = (
    others_bank.exercise,
    vqa_accuracy_bank.exercise,
    check_vqa_accuracy.exercise,
)
