"""The exercises of lesson 01: attention, its masks, its cache, and how to tile it."""

from scratchmm.exercises.lesson_01_attention import attend, padding_mask

EXERCISES = (attend.exercise, padding_mask.exercise)
