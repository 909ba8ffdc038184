"""Low-rank fusion is exactly the tensor fusion whose weights it factorises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.strategies import OUTPUTS, WIDTHS, features, make, randomise, run_shapes
from scratchmm.fusion.low_rank import LowRankFusion
from scratchmm.fusion.tensor_fusion import TensorFusion
from shape_comments import check_shape_comments


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_it_equals_tensor_fusion_with_its_tensor(widths: list[int], batch: int, rank: int) -> None:
    sizes = {f"m{index}": width for index, width in enumerate(widths)}
    model = randomise(LowRankFusion(sizes, 5, rank))
    whole = TensorFusion(sizes, 5).double()
    assert model.tensor().shape == whole.tensor().shape
    whole.output.weight.data = model.tensor().flatten(1)
    inputs = features(batch, sizes)
    torch.testing.assert_close(model(inputs), whole(inputs))
    for name in list(sizes)[1:]:  # with one absent too
        inputs.pop(name)
        torch.testing.assert_close(model(inputs), whole(inputs))


def test_its_tensor_is_a_sum_of_outer_products() -> None:
    model = make("low rank")
    sound, image, words = (model.factors[name] for name in WIDTHS)
    got = model.tensor()
    for k, s, p, w in ((0, 0, 0, 0), (3, 4, 5, 3), (6, 1, 5, 2)):
        expected = sum(sound[r, k, s] * image[r, k, p] * words[r, k, w] for r in range(2))
        torch.testing.assert_close(got[k, s, p, w], expected)


def test_a_rank_high_enough_gives_any_tensor() -> None:
    """Every matrix is a sum of outer products of its singular vectors."""
    whole = randomise(TensorFusion({"a": 2, "b": 4}, 3))
    model = LowRankFusion({"a": 2, "b": 4}, 3, rank=3).double()
    left, values, right = torch.linalg.svd(whole.tensor(), full_matrices=False)
    model.factors["a"].data = (left * values[:, None, :]).permute(2, 0, 1)
    model.factors["b"].data = right.permute(1, 0, 2)
    torch.testing.assert_close(model.tensor(), whole.tensor())
    inputs = {"a": torch.randn(6, 2).double(), "b": torch.randn(6, 4).double()}
    torch.testing.assert_close(model(inputs), whole(inputs))


def test_its_output_starts_with_the_scale_of_its_input() -> None:
    torch.manual_seed(0)
    sizes = {"a": 40, "b": 50, "c": 60}
    for rank in (1, 16):
        model = LowRankFusion(sizes, 200, rank)
        inputs = {name: torch.randn(50, size) for name, size in sizes.items()}
        assert 0.6 < model(inputs).std() < 1.5


def test_the_cost_grows_with_the_sum_where_tensor_fusion_grows_with_the_product() -> None:
    with torch.device("meta"):
        low = [LowRankFusion({"a": n, "b": n + 1, "c": n + 2}, 10, 4) for n in (100, 200)]
        whole = [TensorFusion({"a": n, "b": n + 1, "c": n + 2}, 10) for n in (100, 200)]
    assert low[1].cost().parameters / low[0].cost().parameters == pytest.approx(2, rel=0.02)
    assert whole[1].cost().parameters / whole[0].cost().parameters == pytest.approx(8, rel=0.06)


def test_no_rank_is_refused() -> None:
    with pytest.raises(ValueError, match="rank 0 is not at least 1"):
        LowRankFusion(WIDTHS, OUTPUTS, 0)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/low_rank.py")
