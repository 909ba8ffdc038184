"""What diffusers calls the parts of the blocks that its UNets and its autoencoder share.

Attention has had two sets of names there: older files say `query` and `proj_attn`, newer ones `to_q`
and `to_out.0`.

Paper: Denoising Diffusion Probabilistic Models (arXiv 2006.11239), appendix B.
Differs from the paper: nothing.
"""

from collections.abc import Mapping

from torch import Tensor

BLOCK = {
    "norm1": "first_norm",
    "conv1": "first",
    "norm2": "second_norm",
    "conv2": "second",
    "conv_shortcut": "shortcut",
}
ATTENTION = {
    "group_norm": "norm",
    "to_q": "attention.query",
    "to_k": "attention.key",
    "to_v": "attention.value",
    "to_out.0": "attention.output",
}
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def attention_names(state: Mapping[str, Tensor], part: str) -> dict[str, str]:
    """Their names of an attention's layers to ours, old or new as `part`, one of theirs, has them.

    >>> attention_names({"mid.query.weight": Tensor()}, "mid")["proj_attn"]
    'attention.output'
    """
    if f"{part}.query.weight" not in state:
        return ATTENTION
    return {OLD.get(their, their): our for their, our in ATTENTION.items()}
