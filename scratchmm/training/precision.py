"""Which numbers a processor multiplies fastest: for `fit(precision=...)`.

Differs from the paper: nothing (there is none).
"""

import torch


def fast_precision() -> str:
    """ "bfloat16" where this processor multiplies such numbers faster than float32, else "float32".

    >>> fast_precision() in ("bfloat16", "float32")
    True
    """
    cpu = torch.cpu
    return (
        "bfloat16" if cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported() else "float32"
    )
