"""What a decoder keeps while it writes, so that no token passes through a layer twice.

One `KeyValueCache` belongs to one block. In it lie
- the keys and values of the block's self-attention, which grow with every token: `extend`;
- in `context`, those of its attention to a context, projected at the first token: `project`.
`select` keeps some rows of the batch of both, in any order: beams that are reordered, sentences that
have ended.

Paper: Fast Transformer Decoding (Shazeer 2019, arXiv 1911.02150), section 2.4, for both halves.
Dimensions: B batch, H heads of keys and values, L length, S length of the context, D width of a head.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Projection = Callable[[Tensor], tuple[Tensor, Tensor]]


class ContextCache:
    """The keys and values of a context that does not change: projected once, at the first call.

    >>> cache, context = ContextCache(), torch.zeros(2, 5, 8)
    >>> key, value = cache.project(lambda x: (x[:, None], x[:, None]), context)
    >>> cache.project(lambda x: 1 / 0, context)[0] is key, len(cache)  # later calls project nothing
    (True, 5)
    """

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.key is None else self.key.shape[-2]

    def project(self, projection: Projection, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, D): at the first call projection(context), later what was kept.

        Of a later context (B, S, C) only the length is looked at: another one is a ValueError.
        """
        if self.key is None or self.value is None:
            key, value = projection(context)
            # Heads apart are a view with gaps, which every token would copy before it reads them.
            self.key, self.value = key.contiguous(), value.contiguous()
        elif len(self) != context.shape[-2]:
            raise ValueError(
                f"the context has {context.shape[-2]} tokens, but the cache keeps {len(self)}: "
                "another context needs another cache"
            )
        return self.key, self.value

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, as `KeyValueCache.select` does."""
        # One context for the whole batch goes on to serve whatever rows there are.
        if self.key is not None and self.value is not None and len(self.key) > 1:
            self.key, self.value = self.key[rows], self.value[rows]


class KeyValueCache:
    """The keys and values that one attention layer has already computed, while text is written.

    Decoding in any chunking then equals the full pass: old keys do not depend on new words.
    context: what the same block's attention to a context keeps, if it has one.

    >>> cache = KeyValueCache()
    >>> keys, values = cache.extend(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4))
    >>> keys, values = cache.extend(torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4))
    >>> keys.shape, len(cache)
    (torch.Size([1, 2, 4, 4]), 4)
    """

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None
        self.context = ContextCache()

    def __len__(self) -> int:
        return 0 if self.key is None else self.key.shape[-2]

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append key and value (B, H, L, D) along the length; return all (B, H, past + L, D)."""
        if self.key is not None and self.value is not None:
            key = torch.cat([self.key, key], dim=-2)
            value = torch.cat([self.value, value], dim=-2)
        self.key, self.value = key, value
        return key, value

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, here and in the context's.

        rows: int64 (new B,), where each new row stood before, any of them more than once; or bool
        (B,), True for the sentences that go on.

        >>> cache = KeyValueCache()
        >>> keys, values = cache.extend(torch.arange(3.0).view(3, 1, 1, 1), torch.zeros(3, 1, 1, 1))
        >>> cache.select(torch.tensor([2, 0, 0, 1]))
        >>> cache.key.flatten().tolist()
        [2.0, 0.0, 0.0, 1.0]
        """
        check_rows(rows)
        if self.key is not None and self.value is not None:
            self.key, self.value = self.key[rows], self.value[rows]
        self.context.select(rows)


def check_rows(rows: Tensor) -> None:
    """Refuse what does not name rows of a batch.

    >>> check_rows(torch.zeros(2, 3))
    Traceback (most recent call last):
    ValueError: rows is torch.float32 (2, 3), not int64 or bool with one axis, the batch's
    """
    if rows.dtype not in (torch.int64, torch.bool) or rows.ndim != 1:
        raise ValueError(
            f"rows is {rows.dtype} {tuple(rows.shape)}, not int64 or bool with one axis, the batch's"
        )
