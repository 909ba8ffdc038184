"""Top-k search against sorting everything."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.contrastive.retrieval import top_k
from shape_comments import check_shape_comments


@given(Q=st.integers(0, 4), G=st.integers(1, 17), block=st.integers(1, 20), data=st.data())
@settings(max_examples=60, deadline=None)
def test_equals_sorting_everything_for_any_block(Q, G, block, data):
    k = data.draw(st.integers(1, G))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    queries, gallery = (torch.randn(n, 3, generator=generator) for n in (Q, G))
    found = top_k(queries, gallery, k, block=block)
    scores, indices = (queries @ gallery.T).sort(dim=1, descending=True)
    torch.testing.assert_close(found.scores, scores[:, :k])
    torch.testing.assert_close(found.indices, indices[:, :k])
    assert found.indices.dtype == torch.int64


def test_never_more_than_a_block_of_similarities(monkeypatch):
    widths = []
    original = torch.Tensor.topk
    monkeypatch.setattr(
        torch.Tensor, "topk", lambda s, *a, **k: widths.append(s.shape[1]) or original(s, *a, **k)
    )
    top_k(torch.randn(2, 3), torch.randn(50, 3), k=4, block=10)
    assert max(widths) == 14 and len(widths) == 5
    widths.clear()
    top_k(torch.zeros(1, 3), torch.zeros(4097, 3), k=1)
    assert widths == [4096, 2]


@pytest.mark.parametrize("k", [0, 4])
def test_refuses_more_than_there_are(k):
    with pytest.raises(ValueError, match=f"^asked for the best {k} of a gallery of 3$"):
        top_k(torch.zeros(2, 5), torch.zeros(3, 5), k)
    assert top_k(torch.zeros(2, 5), torch.zeros(3, 5), 3).scores.shape == (2, 3)


def test_the_search_stays_on_the_device_of_its_inputs():
    queries, gallery = torch.empty(3, 5, device="meta"), torch.empty(11, 5, device="meta")
    found = top_k(queries, gallery, 2, block=4)
    assert found.indices.device.type == found.scores.device.type == "meta"


def test_the_nearest_alone():
    found = top_k(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), k=1)
    assert found.indices.tolist() == [[1]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_equal_rows_come_in_their_order_whatever_the_block(dtype):
    """37 numbers wide: products of other block sizes are summed in another order."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randn(3, 37, generator=generator).to(dtype)
    gallery = kinds[torch.randint(3, (60,), generator=generator)]
    queries = torch.randn(5, 37, generator=generator).to(dtype)
    if dtype == torch.float64:  # has no wider sum: take numbers whose products are exact
        kinds, queries, gallery = kinds.round(), queries.round(), gallery.round()
    whole = top_k(queries, gallery, 60, block=60)
    for query, scores, indices in zip(queries, *whole, strict=True):
        exact = (gallery.double() @ query.double()).to(dtype).double()
        order = sorted(range(60), key=lambda row: (-exact[row].item(), row))
        assert indices.tolist() == order and scores.double().equal(exact[order])
    for block in (1, 2, 7, 16, 59, 4096):
        for k in (1, 5, 23, 60):
            found = top_k(queries, gallery, k, block=block)
            assert found.indices.equal(whole.indices[:, :k]), (block, k)
            assert found.scores.equal(whole.scores[:, :k])


@pytest.mark.parametrize("block", [1, 2, 3, 4096])
def test_a_row_with_a_nan_is_nobodys_neighbour(block):
    gallery = torch.eye(5)
    gallery[0, 4] = gallery[3, 3] = float("nan")
    gallery[2] = -1.0
    found = top_k(gallery[[1, 4]], gallery, 5, block=block)
    assert found.indices.tolist() == [[1, 4, 2, 0, 3], [4, 1, 2, 0, 3]]
    assert found.scores[0].tolist() == [1.0, 0.0, -1.0, -torch.inf, -torch.inf]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_query_that_is_no_vector_has_no_neighbours(wrong):
    queries = torch.ones(3, 2)
    queries[1, 0] = wrong
    with pytest.raises(ValueError, match="^query 1 of 3 is not all finite numbers$"):
        top_k(queries, torch.ones(4, 2), 1)


def test_searches_that_do_not_fit_are_refused():
    queries, gallery = torch.zeros(1, 4), torch.zeros(5, 4)
    with pytest.raises(ValueError, match=r"\(1, 3\) and a gallery of \(5, 4\) are not as wide"):
        top_k(queries[:, :3], gallery, 2)
    with pytest.raises(ValueError, match=r"\(4,\) and a gallery of \(5, 4\)"):
        top_k(queries[0], gallery, 2)
    for block in (0, -3):
        with pytest.raises(ValueError, match=f"in blocks of {block} rows: at least 1"):
            top_k(queries, gallery, 2, block=block)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_ranked_before_it_is_rounded(dtype):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2050, 64, generator=generator)
    rows = torch.nn.functional.normalize(rows, dim=-1).to(dtype)
    queries, gallery = rows[:50], rows[50:]
    right = (queries.double() @ gallery.double().T).topk(5)
    for block in (300, 4096):
        found = top_k(queries, gallery, 5, block=block)
        assert torch.equal(found.indices, right.indices)
        assert torch.equal(found.scores, right.values.to(dtype))
    large = top_k(4000 * queries[:1], 4000 * queries[:20], 3)  # beyond what float16 holds
    assert large.indices.tolist() == top_k(queries[:1], queries[:20], 3).indices.tolist()


def test_whole_numbers_are_refused_by_name():
    whole, rows = torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"^queries: torch.int64 and not floating-point numbers$"):
        top_k(whole, rows, 1)
    with pytest.raises(ValueError, match=r"^gallery: torch.int64 and not floating-point numbers$"):
        top_k(rows, whole, 1)


def run_shapes() -> None:
    import torch

    from scratchmm.contrastive import retrieval

    retrieval.top_k(torch.randn(3, 5), torch.randn(11, 5), k=2, block=4)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "contrastive/retrieval.py")
