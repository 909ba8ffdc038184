"""What attention refuses, and that its checks cost nothing."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchmm.layers.checks import broadcast_shape

SHAPES = st.lists(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4), min_size=1, max_size=4)


@given(SHAPES)
def test_shapes_are_broadcast_and_refused_as_torch_does(shapes: list[list[int]]) -> None:
    shapes = [tuple(shape) for shape in shapes]
    try:
        expected = tuple(torch.broadcast_shapes(*shapes))
    except RuntimeError:
        with pytest.raises(ValueError, match="do not fit together"):
            broadcast_shape(*shapes)
    else:
        assert broadcast_shape(*shapes) == expected


def test_attention_imports_no_algebra() -> None:
    program = (
        "import sys, torch\n"
        "from scratchmm.layers.attention import attend, causal_mask\n"
        "before = set(sys.modules)\n"
        "attend(*torch.zeros(3, 1, 1, 2, 4), causal_mask(2), backend='torch')\n"
        "attend(*torch.zeros(3, 1, 1, 2, 4), causal_mask(2))\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - {'scratchmm'})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
