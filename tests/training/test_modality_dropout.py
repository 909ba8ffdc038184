import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.training.modality_dropout import everything, hide, modality_dropout
from shape_comments import check_shape_comments


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 9), st.floats(0, 1), st.integers(0, 9))
def test_nothing_appears_and_the_last_stays(count, batch, share, seed):
    there = torch.rand(count, batch, generator=seeded(seed)) < 0.6
    present = {f"m{i}": row.clone() for i, row in enumerate(there)}
    left = modality_dropout(present, share, seeded(seed))
    assert list(left) == list(present)
    after = torch.stack(list(left.values()))
    assert after.dtype == torch.bool and after.shape == there.shape
    assert not (after & ~there).any()
    torch.testing.assert_close(after.any(0), there.any(0))  # a sample that had none still has none
    torch.testing.assert_close(torch.stack(list(present.values())), there)  # inputs unchanged
    if share == 0:
        torch.testing.assert_close(after, there)
    if share == 1:
        torch.testing.assert_close(after.sum(0), there.any(0).long())


@pytest.mark.parametrize(("count", "share"), [(2, 0.3), (3, 0.5), (2, 1.0), (6, 0.8)])
def test_as_many_go_as_the_docstring_says(count, share):
    names = [f"m{i}" for i in range(count)]
    left = modality_dropout(everything(names, 20_000), share, seeded())
    expected = share - share**count / count
    for flags in left.values():
        assert 1 - flags.double().mean().item() == pytest.approx(expected, abs=0.015)


def test_modalities_and_samples_are_hidden_independently():
    left = modality_dropout(everything(["a", "b", "c"], 20_000), {"a": 0.5, "b": 0.4}, seeded())
    assert left["c"].all()  # not named: never hidden, so none of the others must be saved
    both = (~left["a"] & ~left["b"]).double().mean().item()
    assert both == pytest.approx(0.2, abs=0.015)
    assert 1 - left["b"].double().mean().item() == pytest.approx(0.4, abs=0.015)


def test_the_last_one_is_chosen_among_those_that_were_there():
    present = everything(["a", "b", "c"], 9000) | {"b": torch.zeros(9000, dtype=torch.bool)}
    left = modality_dropout(present, 1.0, seeded())
    assert not left["b"].any()
    assert left["a"].double().mean().item() == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(left["c"], ~left["a"])


def test_the_generator_decides():
    present = everything(["a", "b"], 200)
    one, same, other = (modality_dropout(present, 0.5, seeded(seed))["a"] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    torch.manual_seed(3)
    first = modality_dropout(present, 0.5)["a"]
    torch.manual_seed(3)
    torch.testing.assert_close(modality_dropout(present, 0.5)["a"], first)


def test_what_is_hidden_is_gone():
    images = torch.full((3, 2, 4, 5), torch.nan)
    images[1] = 7
    words = torch.arange(6).reshape(3, 2)
    present = {"image": torch.tensor([False, True, False])}
    found = hide({"image": images, "words": words}, present)
    assert found["image"].sum() == 7 * 40 and torch.equal(found["image"][1], images[1])
    assert torch.equal(found["words"], words) and images.isnan().any()
    found = hide({"words": words}, {"words": torch.tensor([True, False, True])})
    assert found["words"].tolist() == [[0, 1], [0, 0], [4, 5]]
    assert found["words"].dtype == torch.int64


def test_refusals():
    both = everything(["a", "b"], 3)
    with pytest.raises(ValueError, match="^modality 'c' is none of a, b$"):
        modality_dropout(both, {"c": 0.5})
    with pytest.raises(ValueError, match="^modality 'a' is hidden with a chance of 1.5, not of 0"):
        modality_dropout(both, 1.5)
    with pytest.raises(ValueError, match="^modality 'b' has 4 samples and modality 'a' 3$"):
        modality_dropout(both | everything(["b"], 4), 0.5)
    with pytest.raises(ValueError, match="^there are 0 modalities to hide$"):
        modality_dropout({}, 0.5)
    with pytest.raises(ValueError, match="^modality 'c' is none of a$"):
        hide({"a": torch.ones(3)}, everything(["c"], 3))
    with pytest.raises(ValueError, match="^modality 'a' has 2 samples, but its presence is of 3$"):
        hide({"a": torch.ones(2)}, everything(["a"], 3))


def run_shapes() -> None:
    from scratchmm.training import modality_dropout

    present = modality_dropout.everything(["a", "b", "c"], batch=5)
    modality_dropout.modality_dropout(present, 0.5)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "training/modality_dropout.py")
