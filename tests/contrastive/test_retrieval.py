"""Top-k search against sorting everything."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.contrastive.retrieval import top_k


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
