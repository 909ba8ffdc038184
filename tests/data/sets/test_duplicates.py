"""What is the same, and which answers are right, against loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.data.sets.duplicates import gallery, right_answers, same_images, same_texts

KINDS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=12)


def table(kinds):
    images = torch.tensor([[float(kind)] * 12 for kind, _ in kinds]).view(-1, 3, 2, 2)
    return images, [f"{' ' * (i % 3)}Text  {text}" for i, (_, text) in enumerate(kinds)]


@given(KINDS, st.data())
@settings(max_examples=60, deadline=None)
def test_right_is_what_some_pair_says(kinds, data):
    images, texts = table(kinds)
    rows = data.draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=9))
    right = right_answers(images, texts)(torch.tensor(rows))
    said = set(kinds)
    assert right.tolist() == [[(kinds[i][0], kinds[j][1]) in said for j in rows] for i in rows]


@given(KINDS)
@settings(max_examples=60, deadline=None)
def test_everything_stands_once(kinds):
    found = gallery(*table(kinds))
    seen, told = (list(dict.fromkeys(part)) for part in zip(*kinds, strict=True))
    assert [kinds[row][0] for row in found.rows.tolist()] == seen
    assert [kinds[column][1] for column in found.columns.tolist()] == told
    assert found.relevant.tolist() == [[(p, t) in set(kinds) for t in told] for p in seen]


def test_more_images_than_one_block():
    images = torch.arange(600.0).view(600, 1, 1, 1)
    relevant = gallery(images, [str(i) for i in range(600)]).relevant
    assert relevant.equal(torch.eye(600, dtype=torch.bool))


def test_one_pixel_makes_another_image_and_cases_make_no_other_text():
    images = torch.zeros(3, 3, 2, 2)
    images[1, 2, 1, 1] = 1e-3
    assert same_images(images).tolist() == [0, 1, 0]
    assert same_texts(["A red ring", "a  red ring ", "a red ring!"]).tolist() == [0, 0, 1]


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_order_in_memory_changes_nothing(channels_last):
    images = torch.rand(4, 3, 5, 5)[torch.tensor([0, 1, 0, 3])]
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    assert same_images(images).tolist() == [0, 1, 0, 2]


def test_a_text_is_the_same_however_its_accents_are_written():
    texts = ["Caf\u00e9", "a dog", " cafe\u0301", "cafe"]
    assert same_texts(texts).tolist() == [0, 1, 0, 2]
    images = torch.arange(4.0).view(4, 1, 1, 1)
    assert gallery(images, texts).relevant[0].tolist() == [True, False, False]
