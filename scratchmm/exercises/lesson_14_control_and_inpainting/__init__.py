"""The exercises of lesson 14: thin edges, and control that says nothing at first."""

from scratchmm.exercises.lesson_14_control_and_inpainting import (
    add_control_bank,
    thin_bank,
    zero_convolution_bank,
)

EXERCISES = (
    thin_bank.exercise,
    zero_convolution_bank.exercise,
    add_control_bank.exercise,
)
