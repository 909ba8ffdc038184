"""Interpolation between embeddings, and between noises, along the arc that joins them.

Paper: Hierarchical Text-Conditional Image Generation with CLIP Latents (Ramesh et al. 2022,
arXiv 2204.06125), section 3.2; the formula from Animating Rotation with Quaternion Curves (Shoemake
1985).
Dimensions: B batch, E width of the embeddings, K points along an arc.
Differs from the paper: nothing.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from scratchmm.layers.vectors import cosine
from scratchmm.sentences import check_number


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """On the arc from start to end: share 0 is start, 1 is end, and steps turn by equal angles.

    (sin((1 - share) * angle) * start + sin(share * angle) * end) / sin(angle), where angle is that
    between start and end; where it is nearly 0, or one of them is all zeros and has no direction,
    the straight line. Elsewhere a straight line would pass where no embedding lies. start, end:
    (B, E), of any length. Returns (B, E). Raises ValueError where they are opposite: there is no one
    arc between.

    >>> slerp(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 0.5)
    tensor([[0.7071, 0.7071]])
    """
    check_number("share", share)
    alike = cosine(start, end)  # (B,)
    if bool((alike < -1 + 1e-6).any()):
        row = int((alike < -1 + 1e-6).nonzero()[0])
        raise ValueError(f"embedding {row} and its end are opposite: there is no one arc between")
    angle = alike.acos()[:, None]  # (B, 1)
    # Nearly parallel vectors have no angle to divide by, and there the line is the arc.
    straight = angle < 1e-3
    straight |= ~(start.any(dim=-1, keepdim=True) & end.any(dim=-1, keepdim=True))
    sine = torch.where(straight, 1.0, angle.sin())
    from_start = torch.where(straight, 1 - share, ((1 - share) * angle).sin() / sine)
    from_end = torch.where(straight, share, (share * angle).sin() / sine)
    return (from_start * start + from_end * end).to(start.dtype)  # (B, E)


def arc(ends: Tensor, shares: Sequence[float]) -> Tensor:
    """Vectors (K, E) on the arc between two, (2, E), at these shares of it; see `slerp`.

    Raises ValueError on another number than two, and on opposite ones.

    >>> arc(torch.eye(2), [0.0, 0.5, 1.0])[1]
    tensor([0.7071, 0.7071])
    """
    if len(ends) != 2:
        raise ValueError(f"an arc joins 2 vectors, not {len(ends)}")
    return torch.cat([slerp(ends[:1], ends[1:], share) for share in shares])  # (K, E)
