"""The bias report on models whose bias is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchmm.metrics.bias import Bias, bias_by_group, modality_bias, others

N = 600


@pytest.fixture
def data():
    """Classes 0 to 3: the image knows one bit, the words the other; the sound knows nothing."""
    generator = torch.Generator().manual_seed(0)
    image, words, sound = torch.randint(2, (3, N), generator=generator)
    inputs = {"image": image, "words": words, "sound": sound}
    return inputs, 2 * image + words


def whole(given):
    return 2 * given["image"] + given["words"]


def test_a_model_that_uses_both_loses_half_without_either(data):
    found = modality_bias(whole, *data, rounds=8)
    for name in ("image", "words"):
        assert found[name].intact == 1
        assert found[name].shuffled == pytest.approx(0.5, abs=0.05)
        zeros = (data[0][name] == 0).double().mean().item()
        assert found[name].blanked == pytest.approx(zeros)
    assert found["sound"] == Bias(1, 1, 1)


def test_a_model_that_never_looks_is_found_out(data):
    def blind(given):
        return given["words"]

    found = modality_bias(blind, *data)
    assert found["image"].shuffled == found["image"].blanked == found["image"].intact
    assert found["words"].shuffled < found["words"].intact


def test_logits_and_classes_are_answers(data):
    logits = modality_bias(lambda given: torch.eye(4)[whole(given)], *data, seed=5)
    assert logits == modality_bias(whole, *data, seed=5)


def test_groups_are_scored_apart(data):
    inputs, targets = data
    groups = ["even" if target % 2 == 0 else "odd" for target in targets]

    def never_odd(given):
        return whole(given) // 2 * 2

    found = bias_by_group(never_odd, inputs, targets, groups)
    assert found["words"] == {"even": Bias(1, 1, 1), "odd": Bias(0, 0, 0)}
    assert found["image"]["even"].shuffled == pytest.approx(0.5, abs=0.1)
    assert found["image"]["odd"].shuffled == 0
    whole_set = modality_bias(never_odd, inputs, targets)["image"]
    share = groups.count("even") / N
    assert whole_set.intact == pytest.approx(share)
    assert whole_set.shuffled == pytest.approx(share * found["image"]["even"].shuffled)


def test_texts_are_shuffled_and_blanked_too():
    inputs = {"words": ["a", "b", "c", ""], "more": torch.zeros(4, 2)}
    seen = []

    def answer(given):
        seen.append((list(given["words"]), given["more"].clone()))
        return torch.tensor(["abc".find(word) if word else 3 for word in given["words"]])

    found = modality_bias(answer, inputs, torch.arange(4), rounds=2)
    assert found["words"] == Bias(1.0, 0.0, 0.25)
    texts = [words for words, _ in seen]
    assert texts[0] == ["a", "b", "c", ""] and texts[3] == [""] * 4
    assert sorted(texts[1]) == sorted(texts[2]) == ["", "a", "b", "c"]
    assert inputs["words"] == ["a", "b", "c", ""]


def test_a_blank_of_ones_own():
    inputs = {"tokens": torch.tensor([[1, 2], [3, 4]])}

    def padding(tokens):
        return torch.full_like(tokens, 9)

    found = modality_bias(
        lambda given: (given["tokens"][:, 0] == 9).long(), inputs, torch.ones(2).long(),
        blank={"tokens": padding},
    )  # fmt: skip
    assert found["tokens"] == Bias(0, 0, 1)


@given(st.integers(2, 40), st.integers(0, 20))
def test_nobody_keeps_their_own(count, seed):
    order = others(count, torch.Generator().manual_seed(seed))
    assert sorted(order.tolist()) == list(range(count))
    assert not (order == torch.arange(count)).any()


def test_the_seed_decides_and_the_global_generator_is_left_alone(data):
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    one, same, other = (modality_bias(whole, *data, seed=seed) for seed in (1, 1, 2))
    assert one == same and one != other
    torch.testing.assert_close(torch.rand(2), expected)


def test_refusals(data):
    inputs, targets = data
    with pytest.raises(ValueError, match="^modality 'sound' has 3 samples, the targets 600$"):
        modality_bias(whole, inputs | {"sound": torch.zeros(3)}, targets)
    with pytest.raises(ValueError, match="^1 samples cannot be shuffled: at least 2 are needed$"):
        modality_bias(whole, {"a": torch.zeros(1)}, torch.zeros(1))
    with pytest.raises(ValueError, match="^2 groups are named for 600 samples$"):
        bias_by_group(whole, inputs, targets, ["a", "b"])
    with pytest.raises(ValueError, match="^modality 'smell' is none of image, words, sound$"):
        modality_bias(whole, inputs, targets, blank={"smell": torch.zeros_like})
    with pytest.raises(ValueError, match="^rounds is 0 and must be"):
        modality_bias(whole, inputs, targets, rounds=0)
    with pytest.raises(ValueError, match="^5 answers came for 600 samples$"):
        modality_bias(lambda given: whole(given)[:5], inputs, targets)
