"""VQA accuracy against leaving people out one by one, and answers that are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchmm.metrics.vqa import CONTRACTIONS, clean_answer, vqa_accuracies, vqa_accuracy


@given(st.lists(st.sampled_from(["red", "blue", "2"]), min_size=4, max_size=12))
def test_equals_leaving_one_out_by_hand(people):
    for answer in ("red", "blue", "2", "green"):
        scores = []
        for person in range(len(people)):
            others = people[:person] + people[person + 1 :]
            scores.append(min(1, others.count(answer) / 3))
        assert vqa_accuracy(answer, people) == pytest.approx(sum(scores) / len(scores))


@pytest.mark.parametrize(
    ("agree", "score"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (7, 1), (10, 1)]
)
def test_of_ten_people(agree, score):
    people = ["yes"] * agree + [f"other {i}" for i in range(10 - agree)]
    assert vqa_accuracy("yes", people) == pytest.approx(score)


def test_only_apostrophes_come_back_and_no_letters():
    for word, whole in CONTRACTIONS.items():
        assert word.replace("'", "") == whole.replace("'", "") and word != whole
    assert clean_answer("dont") == "don't" and clean_answer("on't") == "on't"


def test_both_sides_are_cleaned():
    people = ["Two.", "2", "the two", "two ", "three", "3!", "a 3", "3", "3", "3"]
    assert vqa_accuracy("two", people) == 1
    assert vqa_accuracy("3", people) == 1
    assert vqa_accuracy("four", people) == 0


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Yes", "yes"),
        ("  a\tred\nring  ", "red ring"),
        ("the a an", ""),
        ("another theme", "another theme"),
        ("none", "0"),
        ("zero", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("someone", "someone"),
        ("yes, it is", "yes it is"),
        ("red,blue", "red blue"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("well-known", "well known"),
        ("1,000", "1000"),
        ("1,000 t-shirts", "1000 tshirts"),  # a comma between digits: signs go without a space
        ("no - yes-no", "no yesno"),  # and a sign that once stands at a space goes everywhere
        ("3.5", "3.5"),
        ("p.m.", "pm"),
        ("5.", "5"),
        (".5", ".5"),
        ('"quoted"', "quoted"),
        ("a_b{c}[d]", "b c d"),  # the letter a is an article once it stands alone
        ("what?!", "what"),
        ("dont", "don't"),
        ("Don't", "don't"),
        ("couldntve", "couldntve"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("ows'at", "ows'at"),
        ("ow's'at", "'ow's'at"),
        ("oclock", "o'clock"),
        ("somebody'd", "somebodyd"),
        ("", ""),
    ],
)
def test_an_answer_is_cleaned(text, clean):
    assert clean_answer(text) == clean


@given(st.text("ab1,.'-/? the", max_size=12))
def test_cleaning_twice_changes_no_word_that_is_clean(text):
    once = clean_answer(text)
    assert once == once.strip() and "  " not in once and once == once.lower()
    assert not set(once) & set(';/[]"{}()=+\\_-><@`,?!')
    assert not set(once.split()) & {"a", "an", "the", "two"}


def test_means_are_those_of_questions_by_kind():
    people = [["yes"] * 10, ["red"] * 2 + ["x"] * 8, ["4"] * 10, ["5"] * 3 + ["6"] * 7]
    found = vqa_accuracies(["yes", "red", "3", "5"], people, ["e", "a", "c", "c"])
    assert found == pytest.approx({"all": 2.5 / 4, "e": 1, "a": 0.6, "c": 0.45})
    assert list(vqa_accuracies(["yes"], people[:1])) == ["all"]


def test_refusals():
    with pytest.raises(
        ValueError, match="^3 people answered: VQA accuracy needs at least 4, so th"
    ):
        vqa_accuracy("yes", ["yes"] * 3)
    with pytest.raises(
        ValueError, match="^2 answers, those of people to 1, 2 kinds: these are not"
    ):
        vqa_accuracies(["a", "b"], [["a"] * 10])
    with pytest.raises(ValueError, match="^1 answers, those of people to 1, 2 kinds"):
        vqa_accuracies(["a"], [["a"] * 10], ["x", "y"])
    with pytest.raises(ValueError, match="^there are 0 answers to score$"):
        vqa_accuracies([], [])


@pytest.mark.parametrize("people", [["a"] * 10, ["a"] * 9 + ["b"], ["A"] * 9 + ["8"]])
def test_the_letter_a_is_an_answer_and_no_answer_is_none(people):
    assert vqa_accuracy("a", people) == vqa_accuracy(" A ", people) == 1.0
    for answer in ("", "the", "an", "?", " "):
        assert vqa_accuracy(answer, people) == 0.0
    assert vqa_accuracy("", [""] * 10) == vqa_accuracy("?", ["?"] * 10) == 1.0
    assert vqa_accuracy("the dog", ["dog"] * 10) == 1.0  # beside a word, an article is none
