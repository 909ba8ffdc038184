"""Three other ways to compute `attend`: the same numbers with less memory or in less time.

tiled: never holds more than one tile of the scores, so that memory grows with the length and not
    with its square. Paper: FlashAttention (Dao et al. 2022, arXiv 2205.14135), algorithms 1 and 4;
    the running maximum and sum are from Online normalizer calculation for softmax (Milakov and
    Gimelshein 2018, arXiv 1805.02867).
fused: the plain formula, handed to torch.compile.
torch: torch's own kernel.

Dimensions: B batch, H heads, L queries, S keys, D width of a head, M and N the sides of one tile.
Differs from the paper: plain torch instead of a kernel, so that the saving is of memory, not of
    time; the running output is divided by the sum once at the end (as in FlashAttention-2).
"""

import math
import warnings
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.layers.attention import BACKENDS, attend
from scratchmm.layers.checks import broadcast_shape, check_attention_shapes
from scratchmm.layers.tracing import numbers_are_known

TILE = 512


class OnlineSoftmax(NamedTuple):
    """What must be remembered of the keys seen so far, for each query.

    maximum: (B, H, M, 1), the largest score; total: (B, H, M, 1), the sum of exp(score - maximum);
    output: (B, H, M, D), the sum of exp(score - maximum) * value. The attention is output / total.
    """

    maximum: Tensor
    total: Tensor
    output: Tensor


def online_softmax_step(state: OnlineSoftmax, scores: Tensor, value: Tensor) -> OnlineSoftmax:
    """Take one more tile of keys into account (Milakov and Gimelshein, algorithm 3).

    scores: (B, H, M, N), -inf where a key may not be seen; value: (B, H, N, D). What was summed
    under the old maximum is rescaled by exp(old maximum - new maximum). While a query has seen
    nothing, its maximum is -inf, and its total and output stay 0.

    >>> nothing = OnlineSoftmax(*torch.tensor([[-math.inf], [0.0], [0.0]]).view(3, 1, 1, 1, 1))
    >>> scores = torch.tensor([[[[0.0, 0.0]]]])
    >>> value = torch.tensor([[[[1.0], [3.0]]]])
    >>> state = online_softmax_step(nothing, scores, value)
    >>> state.total.item(), state.output.item()
    (2.0, 4.0)
    """
    maximum = torch.maximum(state.maximum, scores.amax(dim=-1, keepdim=True))  # (B, H, M, 1)
    # -inf - -inf is nan: where nothing has been seen yet, measure from 0 instead.
    origin = maximum.masked_fill(maximum == -math.inf, 0.0)
    weights = (scores - origin).exp()  # (B, H, M, N)
    rescale = (state.maximum - origin).exp()  # (B, H, M, 1)
    total = state.total * rescale + weights.sum(dim=-1, keepdim=True)  # (B, H, M, 1)
    output = state.output * rescale + weights @ value  # (B, H, M, D)
    return OnlineSoftmax(maximum, total, output)


class _TiledAttention(torch.autograd.Function):
    """For query, key, value and mask whose batches and heads are the same, and a bias's, or 1.

    Forward keeps only the output O and, a number a query, the log of the softmax's sum, lse.

    Backward computes each tile of the weights again from them. With scale = 1 / sqrt(D), for query
    i and key j, g the gradient that arrives at O:

        S_ij = scale * q_i . k_j + b_ij     P_ij = exp(S_ij - lse_i)          O_i = sum_j P_ij v_j
        dv_j = sum_i P_ij g_i               dP_ij = g_i . v_j
        dS_ij = P_ij (dP_ij - sum_n P_in dP_in)          the derivative of a softmax
              = P_ij (dP_ij - g_i . O_i)                 because sum_n P_in (g_i . v_n) = g_i . O_i
        dq_i = scale * sum_j dS_ij k_j      dk_j = scale * sum_i dS_ij q_i    db_ij = dS_ij

    The last step of dS is the point: g_i . O_i needs no row of P, so that a tile suffices.

    lse is an output too, with a gradient h of its own: d lse_i / d S_ij = P_ij, so h_i is added to
    the bracket of dS. Then backward is made of things that can be differentiated, and so autograd
    finds the gradient of a gradient through it. Where one number of the bias serves several scores,
    their gradients are summed tile by tile: nothing is ever larger than the bias itself.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        outputs, log_sums = [], []  # of each tile of queries: vmap can't write into a part
        for rows in _tiles(query.shape[-2]) or [slice(0)]:
            block = query[..., rows, :]
            state = OnlineSoftmax(
                torch.full_like(block[..., :1], -math.inf),
                torch.zeros_like(block[..., :1]),
                block.new_zeros(*block.shape[:-1], value.shape[-1]),
            )
            for columns in _tiles(key.shape[-2]):
                scores = _scores(block, key[..., columns, :], mask, bias, rows, columns)
                if scores is not None:
                    state = online_softmax_step(state, scores, value[..., columns, :])
            blind = state.total == 0
            outputs.append(state.output / state.total.masked_fill(blind, 1.0))
            # +inf for a query that sees nothing: exp(score - inf) = 0, and so are its gradients.
            log_sums.append((state.maximum + state.total.log()).masked_fill(blind, math.inf))
        return torch.cat(outputs, dim=-2), torch.cat(log_sums, dim=-2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs, *output)

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, Tensor | None]:
        gradient, of_log_sum = gradients
        query, key, value, mask, bias, output, log_sum = ctx.saved_tensors
        scale = 1 / math.sqrt(query.shape[-1])
        # g_i . O_i - h_i, (B, H, L, 1)
        mean = (gradient * output).sum(dim=-1, keepdim=True) - of_log_sum
        # Made from mean, which under vmap has the hidden axis of whatever has one.
        d_query, d_key, d_value = (mean.new_zeros(part.shape) for part in (query, key, value))
        d_bias = mean.new_zeros(bias.shape) if ctx.needs_input_grad[4] else None
        for rows in _tiles(query.shape[-2]):
            for columns in _tiles(key.shape[-2]):
                block, keys = query[..., rows, :], key[..., columns, :]
                scores = _scores(block, keys, mask, bias, rows, columns)
                if scores is None:
                    continue
                weights = (scores - log_sum[..., rows, :]).exp()  # (B, H, M, N)
                g = gradient[..., rows, :]
                d_value[..., columns, :] += weights.transpose(-2, -1) @ g
                d_weights = g @ value[..., columns, :].transpose(-2, -1)  # (B, H, M, N)
                d_scores = weights * (d_weights - mean[..., rows, :])  # (B, H, M, N)
                if d_bias is not None:
                    tile = _tile(d_bias, rows, columns)
                    tile += d_scores.sum_to_size(tile.shape)
                d_query[..., rows, :] += scale * d_scores @ keys
                d_key[..., columns, :] += scale * d_scores.transpose(-2, -1) @ block
        return d_query, d_key, d_value, None, d_bias


def tiled_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """`attend` tile by tile: memory linear in the length, if that of mask and bias is.

    Shapes, mask, bias and result as there. Sums in float32 at least, whatever the inputs' dtype.

    >>> q, k, v = torch.ones(1, 2, 3, 4), torch.ones(1, 2, 5, 4), torch.ones(1, 2, 5, 4)
    >>> tiled_attention(q, k, v).shape
    torch.Size([1, 2, 3, 4])
    """
    check_attention_shapes(query, key, value, mask, bias)
    wide = torch.promote_types(query.dtype, torch.float32)
    outer = broadcast_shape(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    # Views: what repeats costs nothing, and autograd adds up the gradients of what was repeated.
    parts = [part.to(wide).expand(*outer, -1, -1) for part in (query, key, value)]
    if mask is not None:
        mask = mask.expand(*outer, query.shape[-2], key.shape[-2])
    if bias is not None:
        bias = bias.to(wide)[(None,) * (len(outer) + 2 - bias.ndim)]  # as many axes as the scores
    output = _TiledAttention.apply(*parts, mask, bias)[0]
    return output.to(query.dtype)  # (B, H, L, D)


_compiled: Any = None
_fusing_failed = False


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """`attend` through torch.compile, which makes one loop of scale, mask and softmax.

    The first call of a kind compiles, which takes seconds. Where that is impossible (there is no
    C++ compiler, say) it warns once, in a sentence, and carries on with the plain formula.

    >>> fused_attention.__module__
    'scratchmm.layers.fast_attention'
    """
    global _compiled, _fusing_failed
    check_attention_shapes(query, key, value, mask, bias)
    if _fusing_failed or torch.compiler.is_compiling():
        return _formula(query, key, value, mask, bias)
    if _compiled is None:
        _compiled = torch.compile(_formula)
    try:
        return _compiled(query, key, value, mask, bias)
    except Exception as failure:  # noqa: BLE001  (torch.compile fails in many ways)
        output = _formula(query, key, value, mask, bias)  # a caller's mistake raises here
        _fusing_failed = True
        reason = str(failure).strip().splitlines()[0] if str(failure).strip() else "no reason given"
        warnings.warn(
            "attention can't be fused here, and carries on with the plain formula: torch.compile "
            f"needs a working C++ compiler such as g++ ({type(failure).__name__}: {reason})",
            stacklevel=2,
        )
        return output


def torch_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """`attend` by torch's own kernel, F.scaled_dot_product_attention.

    On a CPU that kernel's gradients are far off in half precision: there it gets float32, and
    everywhere where the bias is float32, which half precision may not hold.

    >>> torch_attention(*torch.zeros(3, 1, 1, 2, 4)).shape
    torch.Size([1, 1, 2, 4])
    """
    check_attention_shapes(query, key, value, mask, bias)
    wide = _kernel_dtype(query, bias)
    if query.dtype != wide:
        parts = (query.to(wide), key.to(wide), value.to(wide))
        return torch_attention(*parts, mask, bias).to(query.dtype)
    if bias is not None:
        bias = torch.atleast_2d(bias.to(wide))  # over the keys alone it is a row, as elsewhere
    if mask is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)  # (B, H, L, D)
    # A row that may see nothing would be nan in some of its kernels: open it, then clear it.
    mask = torch.atleast_2d(mask)
    blind = ~mask.any(dim=-1, keepdim=True)
    # The kernel takes either bools or numbers to add.
    mask = mask | blind if bias is None else bias.masked_fill(~(mask | blind), -math.inf)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return output.masked_fill(blind, 0.0)  # (B, H, L, D)


def _kernel_dtype(query: Tensor, bias: Tensor | None) -> torch.dtype:
    """What torch's kernel is given: the query's dtype, unless that would lose the bias or more."""
    half = query.dtype in (torch.float16, torch.bfloat16)
    if half and (query.device.type == "cpu" or (bias is not None and bias.dtype != query.dtype)):
        return torch.float32
    return query.dtype


def _formula(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None
) -> Tensor:
    return attend(query, key, value, mask, bias=bias, backend="plain")


def _tile(part: Tensor, rows: slice, columns: slice) -> Tensor:
    """One tile of a mask or bias, whose axis of 1 serves all queries, or all keys."""
    everything = slice(None)
    return part[
        ...,
        rows if part.shape[-2] > 1 else everything,
        columns if part.shape[-1] > 1 else everything,
    ]


def _tiles(length: int) -> list[slice]:
    return [slice(start, start + TILE) for start in range(0, length, TILE)]


def _scores(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    rows: slice,
    columns: slice,
) -> Tensor | None:
    """One tile of masked scores (B, H, M, N), or None where nobody may see any of its keys."""
    tile = None if mask is None else mask[..., rows, columns]
    if tile is not None and numbers_are_known(tile) and not tile.any():
        return None
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (B, H, M, N)
    if bias is not None:
        scores = scores + _tile(bias, rows, columns)  # (B, H, M, N)
    return scores if tile is None else scores.masked_fill(~tile, -math.inf)


BACKENDS.update(tiled=tiled_attention, fused=fused_attention, torch=torch_attention)
