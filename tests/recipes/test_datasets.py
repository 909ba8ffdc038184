"""What the recipes of images train on and are measured by."""

import pytest
import torch

from scratchmm.recipes.clip import new_clip
from scratchmm.recipes.datasets import (
    Part,
    check_name,
    name_similarity,
    pairs_part,
    read_set,
    sentence_similarity,
    zero_shot_accuracy,
)
from shape_comments import check_shape_comments


def test_a_quick_set_trains_on_the_first_images_and_asks_about_the_same() -> None:
    data = read_set("world", None, 16, 0, images=20, tested=7)
    first = data.first(5)
    assert torch.equal(first.images, data.images[:5]) and first.texts == data.texts[:5]
    assert first.labels is not None and data.labels is not None
    assert torch.equal(first.labels, data.labels[:5]) and first.tests is data.tests
    assert first.content() != data.content() != read_set("world", None, 16, 1, images=20).content()


def test_every_sentence_of_the_world_is_true_of_its_image_and_of_no_other_kind() -> None:
    part = read_set("world", None, 16, 0, images=3, tested=40).tests["unseen"]
    sentences, own, true = part.told()
    assert len(set(sentences)) == len(sentences) and true.shape == (40, len(sentences))
    assert true.gather(1, own[:, None]).all()
    for row, label in enumerate(part.labels.tolist()):
        color, shape = part.names[label].split()
        said = [sentences[j] for j in true[row].nonzero().flatten().tolist()]
        assert all(color in sentence and shape in sentence for sentence in said)


def test_the_names_are_the_sentences_where_there_are_no_others() -> None:
    images = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(3, 3, 4, 4)
    part = pairs_part(images, ["a cat", "an animal", "a dog"])
    assert part.told()[0] == part.names == ["a cat", "an animal", "a dog"]
    assert part.right().tolist() == [[True, True, False], [False, False, True]]
    assert torch.equal(part.told()[1], part.labels) and len(part.images) == 2


def test_a_name_that_is_no_set_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no data set 'emojis' .did you mean emoji?"):
        check_name("emojis")


def run_shapes() -> None:
    images = torch.rand(5, 3, 8, 8) * 2 - 1
    clip = new_clip(images, [*"abcde"], patch_size=4, width=12, depth=1, merges=2)
    part = Part(images, torch.tensor([0, 1, 0, 1, 2]), ["a", "b", "c"])
    name_similarity(clip, part)
    sentence_similarity(clip, part)
    zero_shot_accuracy(clip, part)
    pairs_part(images, ["a", "b", "c", "d", "a"])


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "recipes/datasets.py")
