"""RMSNorm: a layer norm without the mean: only the size of a vector is set, not where it starts.

Paper: Root Mean Square Layer Normalization (Zhang and Sennrich 2019, arXiv 1910.07467), equation 4.
Dimensions: D width; `...` stands for the axes before it.
Differs from the paper: a small number is added to the mean of the squares, as everywhere in use.
"""

import torch
from torch import Tensor, nn

from scratchmm.sentences import check_count, check_number


class RMSNorm(nn.Module):
    """gain * x / sqrt(mean(x^2) + epsilon), the mean over the last axis. No bias.

    width: D; `weight` is the gain, (D,), one at first.

    computed_in: the dtype of x / sqrt(...), x's own and float32 at least where it is None. The
    published code of Llama computes in float32 whatever comes in, which float64 shows: give
    torch.float32 to be equal to it there. The result has x's dtype.

    >>> RMSNorm(width=2, epsilon=0.0)(torch.tensor([[3.0, 3.0], [0.1, -0.1]]))
    tensor([[ 1.,  1.],
            [ 1., -1.]], grad_fn=<MulBackward0>)
    """

    def __init__(
        self, width: int, epsilon: float = 1e-6, computed_in: torch.dtype | None = None
    ) -> None:
        super().__init__()
        check_count("width", width)
        check_number("epsilon", epsilon, least=0.0)
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon, self.computed_in = epsilon, computed_in

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., D). Returns the same shape and dtype."""
        wide = x.to(self.computed_in or torch.promote_types(x.dtype, torch.float32))
        size = wide.square().mean(dim=-1, keepdim=True)  # (..., 1)
        # Not in half precision: the square of 256 leaves float16.
        return self.weight * (wide * torch.rsqrt(size + self.epsilon)).to(x.dtype)
