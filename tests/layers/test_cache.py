"""What a decoder keeps: beams are reordered and sentences end without a token being read again."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.layers.attention import ContextCache, KeyValueCache, causal_mask
from scratchmm.layers.transformer import (
    CrossAttentionBlock,
    PostNormCrossAttentionBlock,
    Transformer,
    TransformerBlock,
)

CROSS = pytest.mark.parametrize("kind", [CrossAttentionBlock, PostNormCrossAttentionBlock])


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module.double()


def decode(stack, x, steps, select=None, context=None, context_mask=None):
    """Token by token; before token t, if t is in steps, select(t) says which rows go on, and x, the
    context and its mask are reordered with the caches."""
    caches, pieces = stack.new_caches(), []
    for place in range(x.shape[1]):
        if place in steps:
            rows = select(place)
            for cache in caches:
                cache.select(rows)
            x, pieces = x[rows], [piece[rows] for piece in pieces]
            if context is not None:
                context, context_mask = context[rows], context_mask[rows]
        token, mask = x[:, place : place + 1], causal_mask(1, past=place)
        pieces.append(stack(token, context, mask, context_mask, caches))
    return torch.cat(pieces, dim=1), x, context, context_mask


def inputs(rows=4):
    x = torch.randn(rows, 6, 6, dtype=torch.float64)
    context = torch.randn(rows, 5, 7, dtype=torch.float64)
    real = torch.arange(5) < torch.tensor([5, 2, 3, 4, 1])[:rows, None]
    return x, context, real[:, None, None]


@CROSS
@given(seed=st.integers(0, 999), data=st.data())
@settings(max_examples=15, deadline=None)
def test_beams_in_any_order_equal_a_full_pass_over_what_they_became(kind, seed, data):
    stack = randomised(Transformer(kind(6, 2, 11, context_width=7) for _ in range(2)))
    torch.manual_seed(seed)
    x, context, mask = inputs()
    orders = {}

    def select(place):
        count = data.draw(st.integers(1, 5))
        before = len(orders[max(orders)]) if orders else 4
        rows = data.draw(st.lists(st.integers(0, before - 1), min_size=count, max_size=count))
        return orders.setdefault(place, torch.tensor(rows))

    got, x, context, mask = decode(stack, x, {2, 3, 5}, select, context, mask)
    expected = stack(x, context, causal_mask(6), mask)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@CROSS
def test_sentences_that_end_leave_the_others_as_they_are(kind):
    stack = randomised(Transformer(kind(6, 2, 11, context_width=7) for _ in range(2)))
    x, context, mask = inputs()
    alive = {2: torch.tensor([True, False, True, True]), 4: torch.tensor([False, True, True])}
    got, x, context, mask = decode(stack, x, alive, alive.get, context, mask)
    assert len(got) == 2
    expected = stack(x, context, causal_mask(6), mask)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_a_stack_without_context_is_reordered_too():
    stack = randomised(Transformer(TransformerBlock(6, 2, 11) for _ in range(2)))
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    rows = {1: torch.tensor([2, 2, 0, 1]), 3: torch.tensor([3, 0])}
    got, x, *_ = decode(stack, x, rows, rows.get)
    torch.testing.assert_close(got, stack(x, mask=causal_mask(5)), rtol=0, atol=1e-12)


@CROSS
def test_each_block_projects_its_context_once(kind):
    stack = randomised(Transformer(kind(6, 2, 11, context_width=7) for _ in range(3)))
    x, context, mask = inputs()
    projected = []
    for number, block in enumerate(stack.blocks):
        for part in (block.cross_attention.key, block.cross_attention.value):
            part.register_forward_hook(lambda *_, number=number: projected.append(number))
    rows = {3: torch.tensor([1, 1, 0])}
    decode(stack, x, rows, rows.get, context, mask)
    assert sorted(projected) == [0, 0, 1, 1, 2, 2]
    projected.clear()
    stack(x, context, mask=causal_mask(6))  # without a cache nothing is kept
    stack(x, 2 * context, mask=causal_mask(6))
    assert len(projected) == 12


def test_one_context_for_all_beams_stays_one():
    """An image's captions share its tokens: they need not be copied for each beam."""
    stack = randomised(
        Transformer(CrossAttentionBlock(6, 2, 11, context_width=7) for _ in range(2))
    )
    x = torch.randn(3, 4, 6, dtype=torch.float64)
    context = torch.randn(1, 5, 7, dtype=torch.float64)
    caches = stack.new_caches()
    begun = stack(x[:, :2], context, causal_mask(2), caches=caches)
    rows = torch.tensor([2, 0, 2, 1])
    for cache in caches:
        cache.select(rows)
        assert len(cache.context.key) == 1 and len(cache.key) == 4
    done = stack(x[rows, 2:], context, causal_mask(2, past=2), caches=caches)
    expected = stack(x[rows], context.expand(4, -1, -1), causal_mask(4))
    torch.testing.assert_close(torch.cat([begun[rows], done], 1), expected, rtol=0, atol=1e-12)


def test_one_row_becomes_many():
    cache = KeyValueCache()
    key, value = torch.randn(2, 1, 2, 3, 4)
    cache.extend(key, value)
    cache.context.project(lambda x: (x, 2 * x), torch.randn(1, 2, 5, 4))
    cache.select(torch.zeros(6, dtype=torch.int64))
    assert cache.key.equal(key.expand(6, -1, -1, -1)) and cache.value.shape == (6, 2, 3, 4)
    assert cache.context.key.shape == (1, 2, 5, 4)


def test_select_takes_keys_values_and_context_together_and_makes_copies():
    cache = KeyValueCache()
    key, value = torch.randn(2, 4, 2, 3, 5)
    cache.extend(key, value)
    context_key, context_value = torch.randn(2, 4, 2, 6, 5)
    cache.context.project(lambda _: (context_key, context_value), torch.zeros(4, 6, 7))
    rows = torch.tensor([3, 1, 1])
    cache.select(rows)
    for got, all_of_it in (
        (cache.key, key),
        (cache.value, value),
        (cache.context.key, context_key),
        (cache.context.value, context_value),
    ):
        assert got.equal(torch.stack([all_of_it[3], all_of_it[1], all_of_it[1]]))
    cache.key.zero_()
    assert key.any()


def test_an_empty_cache_may_be_selected_from():
    cache = KeyValueCache()
    cache.select(torch.tensor([1, 0]))
    assert len(cache) == len(cache.context) == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (torch.zeros(2), r"^rows is torch.float32 \(2,\), not int64 or bool with one axis"),
        (torch.zeros(2, 1).long(), r"^rows is torch.int64 \(2, 1\), not int64 or bool with one"),
        (torch.zeros(2).int(), "^rows is torch.int32"),
    ],
)
def test_what_names_no_rows_is_refused(rows, said):
    with pytest.raises(ValueError, match=said):
        KeyValueCache().select(rows)


def test_another_context_than_the_one_that_is_kept_is_refused():
    cache = ContextCache()
    cache.project(lambda x: (x[:, None], x[:, None]), torch.zeros(2, 5, 7))
    with pytest.raises(ValueError, match="^the context has 6 tokens, but the cache keeps 5: anoth"):
        cache.project(lambda x: (x, x), torch.zeros(2, 6, 7))


def test_what_is_kept_lies_in_one_piece():
    """Each token reads all of it, and would first copy a view with gaps."""
    cache, context = KeyValueCache(), torch.randn(3, 7, 6)
    split = lambda x: x.unflatten(-1, (2, 3)).transpose(1, 2)  # noqa: E731
    for part in cache.context.project(lambda x: (split(x), split(2 * x)), context):
        assert part.is_contiguous()
    assert cache.context.value.equal(2 * split(context))


def test_caches_share_nothing():
    one, other = KeyValueCache(), KeyValueCache()
    one.context.project(lambda x: (x[:, None], x[:, None]), torch.zeros(2, 5, 7))
    assert len(one.context) == 5 and len(other.context) == 0 == len(one)


def test_gradients_flow_back_into_a_kept_context():
    stack = randomised(Transformer([CrossAttentionBlock(6, 2, 11, context_width=7)]))
    x, context, mask = inputs()
    context.requires_grad_()
    found = []
    for caches in (None, stack.new_caches()):
        if caches is None:
            output = stack(x, context, causal_mask(6), mask)
        else:
            parts = [
                stack(x[:, t : t + 1], context, causal_mask(1, t), mask, caches) for t in range(6)
            ]
            output = torch.cat(parts, dim=1)
        found.append(torch.autograd.grad(output.square().sum(), context)[0])
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-11)
