"""Exercise vqa.vqa_accuracy: score an answer by how many of ten people gave it."""

import functools
from collections import Counter

from scratchmm.exercises.format import Exercise
from scratchmm.metrics.vqa import comparable

exercise = Exercise(
    id="vqa.vqa_accuracy",
    order=20,
    target="scratchmm.metrics.vqa:vqa_accuracy",
    title="Three of ten are enough",
    goal="min(agreeing / 3, 1), averaged over the sets that leave one person out; ValueError below 4",
    minutes=15,
    difficulty=2,
    section="Scoring an answer",
    hints=(
        "Ten people, three of them said red. Leave out one of those three: 2 others agree, 2/3. "
        "Leave out one of the seven: 3 others agree, 1. The score of red is (3 * 2/3 + 7 * 1) / 10 "
        "= 0.9, not 1. Four who agree are enough for 1.",
        "People differ, so an answer is right in so far as people gave it; three of them make it "
        "wholly right. A person's own answer can only be compared with the other nine, so the "
        "model's is compared with nine at a time too. Two and Two. are the same answer: "
        "comparable says what two ways of writing have in common.",
        "Refuse fewer than four people. Clean the answer, and each person's. For each person: how "
        "many of the others agree with the answer? A third of that, at most 1. The mean over the "
        "people, of whom there need not be ten.",
        "agree = [comparable(person) == comparable(answer) for person in people]; each person "
        "leaves sum(agree) - one others who agree; "
        "return sum(min((sum(agree) - one) / 3, 1.0) for one in agree) / len(people)",
    ),
)


def asked(agreeing: int, of: int = 10) -> list[str]:
    """So many people say red, all others something of their own."""
    return ["red"] * agreeing + [f"thing {number}" for number in range(of - agreeing)]


def slow(answer: str, people: list[str]) -> float:
    """The oracle: leave one person out, count the others, one by one."""
    scores = []
    for person in range(len(people)):
        others = people[:person] + people[person + 1 :]
        count = 0
        for other in others:
            count += comparable(other) == comparable(answer)
        scores.append(1.0 if count >= 3 else count / 3)
    return sum(scores) / len(scores)


@exercise.holds("an answer that nobody gave scores 0, one that all ten gave scores 1")
def ends(vqa_accuracy, case):
    case.each(vqa_accuracy, (("blue", asked(4)), 0.0), (("red", asked(10)), 1.0))


@exercise.holds("given by 1, 2, 3 or 4 of ten people an answer scores 0.3, 0.6, 0.9 or 1")
def of_ten(vqa_accuracy, case):
    scores = {1: 0.3, 2: 0.6, 3: 0.9, 4: 1.0, 5: 1.0}
    case.each(vqa_accuracy, *((("red", asked(n)), score) for n, score in scores.items()))


@exercise.holds("it scores as much if others agree on something else: it need not be the majority")
def minority(vqa_accuracy, case):
    people = ["red"] * 2 + ["orange"] * 8
    case.each(vqa_accuracy, (("red", people), 0.6), (("orange", people), 1.0))


@exercise.holds("with 4, 5 or 7 people it is the mean over as many sets that leave one out")
def other_numbers(vqa_accuracy, case):
    crowds = [asked(n, of) for n, of in ((1, 4), (2, 5), (3, 5), (3, 7), (4, 4))]
    case.each(vqa_accuracy, *((("red", people), slow("red", people)) for people in crowds))


@exercise.holds("in whatever order people answered, the score is the same")
def shuffled(vqa_accuracy, case):
    people = ["red"] * 3 + ["blue"] * 2 + asked(0, of=3)
    mixed = [people[place] for place in case.permutation(8).tolist()]
    case.each(vqa_accuracy, *(((answer, mixed), slow(answer, mixed)) for answer in ("red", "blue")))


@exercise.holds("the answer and those of people are compared cleaned: The Red! and red are one")
def cleaned(vqa_accuracy, case):
    people = ["Two.", "two", " a two", *asked(1, of=7)]
    case.each(
        vqa_accuracy,
        (("two", people), 0.9),
        (("2", people), 0.9),
        (("The Red!", people), 0.3),
        (("RED", people), 0.3),
    )


@exercise.holds("whole answers are compared: 1 is not 10, and thing is not thing 3")
def whole_answers(vqa_accuracy, case):
    people = ["10", "1", "red ring", *asked(0, of=7)]
    case.each(vqa_accuracy, (("1", people), 0.3), (("red", people), 0.0), (("thing", people), 0.0))


@exercise.holds("the list of people's answers is left as it was")
def left_alone(vqa_accuracy, case):
    @functools.wraps(vqa_accuracy)
    def and_then(answer, people):
        vqa_accuracy(answer, people)
        return dict(Counter(people))

    got = case.call(and_then, "red", asked(3))
    case.equal(got, dict(Counter(asked(3))), "who said what, after the call")


@exercise.holds("three people and fewer are refused with a ValueError")
def refused(vqa_accuracy, case):
    case.refuses(ValueError, vqa_accuracy, "red", asked(2, of=3))
    case.refuses(ValueError, vqa_accuracy, "red", [])
