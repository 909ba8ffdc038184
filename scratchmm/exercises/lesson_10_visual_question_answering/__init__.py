"""The exercises of lesson 10: how an answer is scored when people differ, and what was looked at."""

from scratchmm.exercises.lesson_10_visual_question_answering import (
    check_vqa_accuracy,
    others_bank,
    vqa_accuracy_bank,
)

EXERCISES = (
    vqa_accuracy_bank.exercise,
    check_vqa_accuracy.exercise,
    others_bank.exercise,
)
