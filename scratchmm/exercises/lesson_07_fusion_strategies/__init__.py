"""The exercises of lesson 07: ways to let several modalities give one answer."""

from scratchmm.exercises.lesson_07_fusion_strategies import (
    append_one,
    balanced_order_bank,
    bilinear_bank,
    bottleneck_bank,
    early_bank,
    gate_bank,
    gather_bank,
    late_bank,
    low_rank_bank,
    modality_attention_bank,
    modality_dropout_bank,
    outer_product_bank,
    ratio_weights,
    tensor_fusion_bank,
    uncertainty_weights_bank,
)

EXERCISES = (
    early_bank.exercise,
    late_bank.exercise,
    gate_bank.exercise,
    bilinear_bank.exercise,
    append_one.exercise,
    outer_product_bank.exercise,
    tensor_fusion_bank.exercise,
    low_rank_bank.exercise,
    bottleneck_bank.exercise,
    modality_attention_bank.exercise,
    gather_bank.exercise,
    modality_dropout_bank.exercise,
    balanced_order_bank.exercise,
    ratio_weights.exercise,
    uncertainty_weights_bank.exercise,
)
