"""Rotary positions: query and key are turned by their place, so that scores know distances only.

Paper: RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al. 2021, arXiv
2104.09864), equations 14, 15 and 34.
Dimensions: B batch, H heads, G heads of keys, L length, D width of a head, P pairs that are turned.
Differs from the paper:
- Which two numbers make a pair: number i and number i + P (by halves, as in Llama, GPT-NeoX and
  Idefics), unless `interleaved` asks for the paper's 2 i and 2 i + 1 (as in GPT-J). Weights trained
  with the one are useless with the other, and no shape shows it.
- Angles are float64 and rounded at the end, as in embeddings.py, unless `computed_in` says else.
"""

import torch
from torch import Tensor

from scratchmm.layers.checks import check_divisible
from scratchmm.sentences import check_number


class RotaryPositions:
    """Turns query and key at the given positions: what `MultiHeadAttention` takes as `turn`.

    Pair i of a vector at position p is turned by the angle p * base^(-i / P): the product of a query
    at p and a key at q then depends on p - q only.

    positions: int64 (L,), or (B, L) where they differ in a batch (text that is padded on the left).
    Behind a cache of `past` tokens they begin at past. width: 2 P, how many numbers of each head
    are turned, the first ones; the others stay as they are. Make one in each forward pass, for all
    layers. computed_in: torch.float32 is what published code has, and float64 shows it.

    >>> turn = RotaryPositions(torch.arange(3), width=4)
    >>> query, key = turn(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
    >>> query[0, 0, 0].tolist()  # at position 0 nothing is turned
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        positions: Tensor,
        width: int,
        base: float = 10000.0,
        interleaved: bool = False,
        computed_in: torch.dtype = torch.float64,
    ) -> None:
        check_divisible("width", width, "a pair of numbers to turn,", 2)
        check_number("base", base, above=0.0)
        self.width, self.interleaved = width, interleaved
        exponent = torch.arange(0, width, 2, dtype=computed_in, device=positions.device) / width
        speed = 1.0 / base**exponent  # (P,)
        angle = positions.to(computed_in)[..., None, :, None] * speed  # (..., 1, L, P)
        self.cos, self.sin = angle.cos(), angle.sin()  # each (..., 1, L, P)

    def __call__(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """query: (B, H, L, D), key: (B, G, L, D), heads apart. Returns both, turned."""
        return self.turn(query), self.turn(key)

    def turn(self, x: Tensor) -> Tensor:
        """x: (B, H, L, D), turned at these positions: the same shape."""
        self._check(x)
        cos, sin = self.cos.to(x.dtype), self.sin.to(x.dtype)
        turned, rest = x[..., : self.width], x[..., self.width :]
        if self.interleaved:
            a, b = turned[..., ::2], turned[..., 1::2]  # each (B, H, L, P)
            turned = torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)
        else:
            a, b = turned.chunk(2, dim=-1)  # each (B, H, L, P)
            turned = torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
        return torch.cat([turned, rest], dim=-1)  # (B, H, L, D)

    def _check(self, x: Tensor) -> None:
        if x.shape[-1] < self.width:
            raise ValueError(f"heads of width {x.shape[-1]} have no {self.width} numbers to turn")
        if x.shape[-2] != self.cos.shape[-2]:
            raise ValueError(
                f"there are {self.cos.shape[-2]} positions, but {x.shape[-2]} queries or keys"
            )
