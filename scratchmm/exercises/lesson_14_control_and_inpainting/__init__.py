"""The exercises of lesson 14: thin edges, control that says nothing at first, and the hole."""

from scratchmm.exercises.lesson_14_control_and_inpainting import (
    add_control_bank,
    blend_bank,
    thin_bank,
    zero_convolution_bank,
)

EXERCISES = (
    thin_bank.exercise,
    zero_convolution_bank.exercise,
    add_control_bank.exercise,
    blend_bank.exercise,
)
