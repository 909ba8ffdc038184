"""A small function with an exercise of its own, whose mutants can be counted by hand."""

from torch import Tensor


def pooled(x: Tensor, mask: Tensor, scale: float = 2.0) -> Tensor:
    """The mean of x (B, L, D) over the places where mask (B, L) is True, times a scale.

    >>> import torch
    >>> pooled(torch.ones(1, 2, 1), torch.tensor([[True, False]]))
    tensor([[2.]])
    """
    if x.dim() != 3:
        raise ValueError(f"x has {x.dim()} axes, not {1 + 2}")
    kept = x.masked_fill(~mask[:, :, None], 0.0)  # 0 is what adds nothing
    return scale * kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)
