"""The exercises of lesson 01: attention, its masks, its cache, and how to tile it."""

from scratchmm.exercises.lesson_01_attention import (
    attend_bank,
    causal_mask,
    key_value_cache_bank,
    multi_head_attention_bank,
    online_softmax_step_bank,
    padding_mask,
)

EXERCISES = (
    attend_bank.exercise,
    causal_mask.exercise,
    padding_mask.exercise,
    multi_head_attention_bank.exercise,
    key_value_cache_bank.exercise,
    online_softmax_step_bank.exercise,
)
