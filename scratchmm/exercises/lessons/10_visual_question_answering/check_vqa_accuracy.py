"""Exercise test.vqa_accuracy: write the test that tells right scores from wrong ones."""

import math
from collections.abc import Callable

from scratchmm.exercises.format import Exercise, exercise_file
from scratchmm.exercises.kinds import Bank, judged_by_bank

scored = exercise_file("10_visual_question_answering/vqa_accuracy")

exercise = Exercise(
    id="test.vqa_accuracy",
    order=30,
    target="scratchmm.exercises.lessons.10_visual_question_answering.check_vqa_accuracy:check_accuracy",
    title="Write the test of the VQA accuracy",
    goal="accept every right vqa_accuracy, and reject at least 9 in 10 of the wrong ones",
    minutes=25,
    difficulty=3,
    section="Scoring an answer",
    needs=("vqa.vqa_accuracy",),
    forbidden=("scratchmm.metrics.vqa.vqa_accuracy",),
    hints="""
        1. Ten people say red: 1 by counting three who agree, by the majority, by the share, and by
           the right score. Three of ten say red: 1, 0, 0.3 and 0.9. Test where they differ.
        2. On which input does each mistake show? How many agree (0, 1, 2, 3, 4 of 10). How many
           answered (4, 5, 7). Who agrees on something else. How it is written (capitals, articles,
           periods, two and 2) on either side. A part of an answer (1 and 10). What is refused. What
           has become of the caller's list.
        3. A table of answer, people, score that you have worked out by hand: with a of m people who
           agree it is a (m - 1) / (3 m), at most 1. Call with a copy of the list; compare within a
           tolerance, for right answers add in another order; then compare the list with what it
           was. Three people must raise a ValueError, four must not.
        4. for answer, people, score in (("red", ["red"] * 3 + list("abcdefg"), 0.9), ("1", ["10",
           "1", *"abcdefgh"], 0.3), ("2", ["Two.", "two", *"bcdefghi"], 0.6), ...): given =
           list(people); assert math.isclose(candidate(answer, given), score, abs_tol=1e-6) and
           given == people
    """,
)


def check_accuracy(candidate: Callable[[str, list[str]], float]) -> None:
    """Raise AssertionError unless `candidate` is a right vqa_accuracy.

    candidate: a function (answer, people) -> score from 0 to 1, as the docstring of `vqa_accuracy`
    describes it. Right ones differ in how they are written, never in what they return beyond
    rounding. Work out what you expect yourself: the library's own is out of reach.

    >>> check_accuracy(lambda answer, people: people.count(answer) / len(people))
    Traceback (most recent call last):
    AssertionError: given by 4 of 10 people, an answer scores 0.4, not 1
    """
    for agreeing, asked in ((4, 10), (0, 10), (1, 10), (2, 10), (3, 10), (9, 10), (1, 4), (3, 7)):
        others = ["orange"] * 2 + [f"red {number}" for number in range(8)]
        people = ["red"] * agreeing + others[: asked - agreeing]
        given, expected = list(people), min(agreeing * (asked - 1) / (3 * asked), 1.0)
        got = candidate("red", given)
        told = f"given by {agreeing} of {asked} people, an answer scores {got:.4g}"
        assert math.isclose(got, expected, abs_tol=1e-6), f"{told}, not {expected:.4g}"
        assert given == people, "the list of people's answers was changed"
    people = ["Two.", "two", " a two", "The Red!", *"uvwxyz"]  # written in several ways
    for answer, expected in (("two", 0.9), ("2", 0.9), ("Red", 0.3), ("the red.", 0.3), ("a", 0)):
        got = candidate(answer, list(people))
        assert math.isclose(got, expected, abs_tol=1e-6), f"{answer!r} scores {got:.4g}"
    try:
        candidate("red", ["red"] * 3)
    except ValueError:
        return
    raise AssertionError("three people are taken as enough")


judged_by_bank(exercise, lambda: Bank.of(scored.exercise), enough=0.9)


crowd = scored.asked  # (agreeing, of=10): so many people say red, the others something of their own


def near(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=1e-6)


@exercise.wrong(
    "accepts-everything",
    story="nothing is asserted, so every answer is accepted",
    advice="compare what comes back with a number of your own, by an assert",
)
def accepts_everything(candidate):
    candidate("red", crowd(3))


@exercise.wrong(
    "rejects-everything",
    story="every answer is rejected, the right ones too: 3 of 10 score 0.9 and not 1",
    advice="try your test on your own vqa_accuracy first; work the scores out by hand",
)
def rejects_everything(candidate):
    raise AssertionError("wrong")


@exercise.wrong(
    "to-the-last-bit",
    story="scores are compared by ==, and right answers round differently",
    advice="math.isclose allows for rounding",
)
def to_the_last_bit(candidate):
    for agreeing, asked in ((1, 10), (2, 10), (3, 10), (4, 10), (2, 5), (3, 7)):
        sets = [agreeing - 1] * agreeing + [agreeing] * (asked - agreeing)
        expected = sum(min(others / 3, 1.0) for others in sets) / asked
        assert candidate("red", crowd(agreeing, asked)) == expected


@exercise.wrong(
    "all-or-nobody",
    story="only answers that all or none have given are tried, where most mistakes agree",
    advice="let 1, 2, 3 and 4 of ten agree",
)
def all_or_nobody(candidate):
    assert near(candidate("red", crowd(10)), 1.0)
    assert near(candidate("blue", crowd(10)), 0.0)


@exercise.wrong(
    "between-0-and-1",
    story="it is only asked that scores lie between 0 and 1",
    advice="wrong scores do so too: work out what they should be",
)
def between_0_and_1(candidate):
    for agreeing in range(11):
        assert 0 <= candidate("red", crowd(agreeing)) <= 1


@exercise.wrong(
    "more-is-more",
    story="it is only asked that an answer scores more the more people gave it",
    advice="wrong scores grow too: compare with numbers",
)
def more_is_more(candidate):
    scores = [candidate("red", crowd(agreeing)) for agreeing in range(5)]
    assert scores == sorted(scores) and scores[0] < scores[4]


@exercise.wrong(
    "three-of-ten-only",
    story="only three of ten are tried: 0.9",
    advice="several mistakes give 0.9 as well: try 1, 2, 4 and 9 of ten, and other numbers asked",
)
def three_of_ten_only(candidate):
    assert near(candidate("red", crowd(3)), 0.9)


@exercise.wrong(
    "one-way-of-writing",
    story="everybody writes the answer in the same way, so what is cleaned does not show",
    advice="let the model write The Red! and people Two. and 2",
)
def one_way_of_writing(candidate):
    for agreeing, asked in ((0, 10), (1, 10), (2, 10), (3, 10), (9, 10), (1, 4), (3, 7)):
        expected = min(agreeing * (asked - 1) / (3 * asked), 1.0)
        assert near(candidate("red", crowd(agreeing, asked)), expected)


@exercise.wrong(
    "ten-people-only",
    story="always ten people are asked, nothing is to be refused, and the list is not looked at again",
    advice="ask 4 and 7, ask 3 for the ValueError, and compare the list with a copy",
)
def ten_people_only(candidate):
    for agreeing in range(11):
        assert near(candidate("red", crowd(agreeing)), min(agreeing * 0.3, 1.0))
    people = ["Two.", "two", " a two", "The Red!", *"uvwxyz"]
    for answer, expected in (("two", 0.9), ("2", 0.9), ("Red", 0.3), ("the red.", 0.3), ("r", 0)):
        assert near(candidate(answer, list(people)), expected)


@exercise.wrong(
    "refusals-only",
    story="only what is refused is tried, and no score",
    advice="right and wrong scores differ in numbers: compare these",
)
def refusals_only(candidate):
    candidate("red", crowd(2, 4))
    try:
        candidate("red", crowd(2, 3))
    except ValueError:
        return
    raise AssertionError("three people are taken as enough")


@exercise.right("the sets, one by one")
def sets_one_by_one(candidate):
    for agreeing in (0, 1, 2, 3, 4, 7):
        for asked in (4, 7, 10):
            flags = ([1] * agreeing + [0] * 10)[:asked]
            sets = [flags[:i] + flags[i + 1 :] for i in range(asked)]
            expected = sum(min(sum(others) / 3, 1) for others in sets) / asked
            ways = ["Two.", "2", " a two", "TWO!", "two", "the two", "2."]
            people = [ways[i % 7] if one else f"2 {i}" for i, one in enumerate(flags)]
            for answer in ("two", "2", "Two,"):
                kept = people.copy()
                assert abs(candidate(answer, kept) - expected) < 1e-6
                assert kept == people
    for asked in (0, 3):
        try:
            candidate("2", ["2"] * asked)
        except ValueError:
            continue
        raise AssertionError(f"{asked} people are accepted")


@exercise.right("a table")
def with_a_table(candidate):
    tens = {0: 0.0, 1: 0.3, 2: 0.6, 3: 0.9, 4: 1.0, 5: 1.0, 10: 1.0}
    rows = [("red", crowd(n), score) for n, score in tens.items()]
    rows += [("red", crowd(1, 4), 0.25), ("A RED", crowd(2, 5), 8 / 15), ("red", crowd(4, 4), 1.0)]
    rows += [("1", ["10", "1", *"uvwxyzst"], 0.3), ("3", ["three"] * 2 + list("uvwxyzst"), 0.6)]
    rows += [("red", ["red"] * 2 + ["blue"] * 8, 0.6), ("blue", ["red"] * 4 + ["Blue"] * 6, 1.0)]
    for answer, people, score in rows:
        given = list(people)
        assert near(candidate(answer, given), score) and given == people
