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
    hints="""
        1. Ten people, three of them said red. Leave out one of those three: 2 others agree, 2/3.
           Leave out one of the seven: 3 others agree, 1. The score of red is (3 * 2/3 + 7 * 1) / 10
           = 0.9, not 1. Four who agree are enough for 1.
        2. People differ, so an answer is right in so far as people gave it; three of them make it
           wholly right. A person's own answer can only be compared with the other nine, so the
           model's is compared with nine at a time too. Two and Two. are the same answer: comparable
           says what two ways of writing have in common.
        3. Refuse fewer than four people. Clean the answer, and each person's. For each person: how
           many of the others agree with the answer? A third of that, at most 1. The mean over the
           people, of whom there need not be ten.
        4. agree = [comparable(person) == comparable(answer) for person in people]; each person
           leaves sum(agree) - one others who agree; return sum(min((sum(agree) - one) / 3, 1.0) for
           one in agree) / len(people)
    """,
)


def asked(agreeing: int, of: int = 10) -> list[str]:
    """So many people say red, all others something of their own."""
    return ["red"] * agreeing + [f"thing {number}" for number in range(of - agreeing)]


def slow(answer: str, people: list[str]) -> float:
    """The oracle: leave one person out, count the others, one by one."""
    scores = []
    for person in range(len(people)):
        others = people[:person] + people[person + 1 :]
        count = sum(comparable(other) == comparable(answer) for other in others)
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


@exercise.holds("the answer and those of people are compared cleaned: The Red! and red are one")
def cleaned(vqa_accuracy, case):
    people = ["Two.", "two", " a two", *asked(1, of=7)]
    scores = {"two": 0.9, "2": 0.9, "The Red!": 0.3, "RED": 0.3}
    case.each(vqa_accuracy, *(((answer, people), score) for answer, score in scores.items()))


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


exercise.mistakes("""
    nobody-left-out: min(agreeing / 3, 1) over all people: 3 of 10 score 1 and not 0.9
    - left_out = [sum(agree) - one for one in agree]
    + left_out = [sum(agree) for _ in agree]
    > leave each person out once, count the others, and take the mean

    share-who-agree: the score is the share of people who agree
    - return sum(min(others / ENOUGH, 1.0) for others in left_out) / len(people)
    + return sum(others / (len(people) - 1) for others in left_out) / len(people)
    > three who agree are enough: agreeing / 3, at most 1

    three-or-nothing: three who agree score 1, fewer score 0
    - return sum(min(others / ENOUGH, 1.0) for others in left_out) / len(people)
    + return sum(float(others >= ENOUGH) for others in left_out) / len(people)
    > one or two score too: a third each, by / and not by //

    majority-only: only the most frequent answer counts: 1 for it, 0 for all others
    - return sum(min(others / ENOUGH, 1.0) for others in left_out) / len(people)
    + cleaned = [comparable(person) for person in people]
    + return float(comparable(answer) == max(cleaned, key=cleaned.count))
    > others are right too, in so far as people gave them

    one-always-left-out: (agreeing - 1) / 3: of those who agree one is always left out
    - return sum(min(others / ENOUGH, 1.0) for others in left_out) / len(people)
    + return min((sum(agree) - 1) / ENOUGH, 1.0)
    > each person is left out once, also those who said something else

    equal-ones-left-out: with a person all are left out who said the same
    - left_out = [sum(agree) - one for one in agree]
    + pairs = list(zip(agree, people))
    + left_out = [sum(one for one, other in pairs if other != person) for person in people]
    > leave out one place of the list, not an answer

    not-cleaned: answers are compared letter by letter: Two. and 2 count as different
    - agree = [comparable(person) == comparable(answer) for person in people]
    + agree = [person == answer for person in people]
    > compare comparable of both
""")

exercise.slips("""
    min(others / ENOUGH, 1.0) => min(others, 1.0)
    min(others / ENOUGH, 1.0) => others / ENOUGH
    / len(people) => / (len(people) - 1)
    comparable(person) == comparable(answer) => person == comparable(answer)
    comparable(person) == comparable(answer) => comparable(person) == answer
    comparable(person) == comparable(answer) => person.lower().strip() == answer.lower().strip()
    len(people) <= ENOUGH => len(people) <= ENOUGH + 1
    for one in agree] => for one in agree]; people.clear() ;; / len(people) => / len(agree)
    [sum(agree) - one for one in agree] => [sum(agree[i + 1:]) for i in range(len(agree))]
    sum(min( => min(min( ;; / len(people) =>
    answer) for person in people] => answer) for person in set(people)]
    / len(people) => / 10
    comparable(person) == comparable(answer) => comparable(answer) in comparable(person)
""")


@exercise.refusing
def refuse(answer, people):
    if len(people) < 4:
        raise ValueError(f"{len(people)} people")


@exercise.right("sets made and counted")
def sets_made(answer, people):
    cleaned, wanted = [comparable(person) for person in people], comparable(answer)
    total = 0.0
    for place in range(len(cleaned)):
        others = list(cleaned)
        del others[place]
        total += min(1.0, others.count(wanted) / 3)
    return total / len(cleaned)


@exercise.right("in one formula")
def one_formula(answer, people):
    agreeing = [comparable(person) for person in people].count(comparable(answer))
    # Where one who agrees is left out, one less agrees; from four on every set is full.
    return min(1.0, agreeing * (len(people) - 1) / (3 * len(people)))
