"""Attention: each backend beside torch's own kernel, the memory of tiled beside plain's, and a
decoder that keeps its context beside one that projects it for every token.
"""

import torch
from torch import Tensor

from scratchmm.bench.measure import Row, Work, compare, same
from scratchmm.layers.attention import ContextCache, KeyValueCache, attend
from scratchmm.layers.transformer import CrossAttentionBlock

SHAPE = (2, 8, 1024, 64)  # batch, heads, length, width of a head
LONG = (1, 1, 8192, 64)
GOALS = {"fused": 1.3, "tiled": None, "plain": None}  # of time, against torch's kernel
MEMORY_GOAL = 0.1  # of tiled against plain
DECODER = (384, 6, 1500)  # Whisper tiny's width and heads, and its tokens of 30 seconds of sound
TOKENS = 8
KEPT_GOAL = 1 / 8  # of a token's time where the context is kept, against projected each time


def rows(
    device: str = "cpu",
    rounds: int = 15,
    shape: tuple[int, ...] = SHAPE,
    long: tuple[int, ...] = LONG,
    goals: dict[str, float | None] | None = None,
    decoder: tuple[int, int, int] = DECODER,
    kept_goal: float = KEPT_GOAL,
) -> list[Row]:
    """Forward, and forward with backward, of fused, tiled and plain; memory at `long`; a decoder.

    decoder: the width, the heads and the context's tokens of the block that decodes.
    """
    tensors = inputs(shape, device)
    found = []
    for backend, goal in (goals or GOALS).items():
        ours, peer = run(backend, tensors), run("torch", tensors)
        same(ours(), peer(), f"{backend} and torch", 1e-4)
        for name, backward in (("forward", False), ("forward and backward", True)):
            found.append(
                compare(
                    f"attention {backend} {name} {shape}",
                    (f"attend {backend}", run(backend, tensors, backward)),
                    ("F.scaled_dot_product_attention", run("torch", tensors, backward)),
                    device=device,
                    rounds=rounds,
                    goal=goal,
                )
            )
    tensors = inputs(long, device)
    for name, backward in (("forward", False), ("forward and backward", True)):
        found.append(
            compare(
                f"attention memory of tiled {name} {long}",
                ("attend tiled", run("tiled", tensors, backward)),
                ("attend plain", run("plain", tensors, backward)),
                device=device,
                rounds=min(rounds, 3),
                goal=MEMORY_GOAL,
                memory=True,
            )
        )
    return [*found, token_by_token(device, rounds, decoder, kept_goal)]


def token_by_token(device: str, rounds: int, decoder: tuple[int, int, int], goal: float) -> Row:
    """Tokens one by one through a block of a decoder, its context kept, or projected for each.

    Several, since one alone would find in the chip's caches what the other side has left there.
    """
    width, heads, length = decoder
    torch.manual_seed(0)
    block = CrossAttentionBlock(width, heads, 4 * width).to(device).eval()
    x, context = torch.randn(1, TOKENS, width).to(device), torch.randn(1, length, width).to(device)
    kept = ContextCache()

    def decode(keep: bool) -> Tensor:
        cache = KeyValueCache()
        with torch.no_grad():
            for token in x.split(1, dim=1):
                cache.context = kept if keep else ContextCache()
                last = block(token, context, cache=cache)
        return last

    same(decode(keep=True), decode(keep=False), "a kept and a projected context", 1e-4)
    return compare(
        f"attention {TOKENS} tokens, one by one, against {length} of a context, width {width}, "
        f"{heads} heads",
        ("a block of a decoder, context kept", lambda: decode(keep=True)),
        ("the same, context projected", lambda: decode(keep=False)),
        device=device,
        rounds=rounds,
        goal=goal,
    )


def inputs(shape: tuple[int, ...], device: str) -> list[Tensor]:
    """Query, key and value, and a gradient that arrives from above, always the same."""
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator).to(device) for _ in range(4)]
    return [*(tensor.requires_grad_() for tensor in tensors[:3]), tensors[3]]


def run(backend: str, tensors: list[Tensor], backward: bool = False) -> Work:
    """One attention as a piece of work; without backward it runs without a graph, as in use."""
    query, key, value, upstream = tensors

    def work() -> Tensor:
        if not backward:
            with torch.no_grad():
                return attend(query, key, value, backend=backend)
        output = attend(query, key, value, backend=backend)
        gradients = torch.autograd.grad(output, [query, key, value], upstream)
        return gradients[0]

    return work
