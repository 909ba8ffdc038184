"""Wrong and other right answers to vqa.vqa_accuracy."""

from collections import Counter

from scratchmm.exercises.format import exercise_file
from scratchmm.metrics.vqa import comparable

exercise = exercise_file("10_visual_question_answering/vqa_accuracy").exercise
slow = exercise_file("10_visual_question_answering/vqa_accuracy").slow

exercise.edit(
    "nobody-left-out",
    ("[sum(agree) - one for one in agree]", "[sum(agree) for _ in agree]"),
    story="min(agreeing / 3, 1) over all people: nobody is left out, so 3 of 10 score 1 and not 0.9",
    advice="leave each person out once, count the others, and take the mean",
)
exercise.edit(
    "share-who-agree",
    ("min(others / ENOUGH, 1.0)", "others / (len(people) - 1)"),
    story="the score is the share of people who agree",
    advice="three who agree are enough: agreeing / 3, at most 1",
)
exercise.edit(
    "three-or-nothing",
    ("min(others / ENOUGH, 1.0)", "float(others >= ENOUGH)"),
    story="three who agree score 1, fewer score 0",
    advice="one or two score too: a third each",
)
exercise.edit(
    "one-is-enough",
    ("min(others / ENOUGH, 1.0)", "min(others, 1.0)"),
    story="one person who agrees is enough for a score of 1",
    advice="a third for each, at most 1",
)
exercise.edit(
    "not-held-at-one",
    ("min(others / ENOUGH, 1.0)", "others / ENOUGH"),
    story="agreeing / 3 grows beyond 1",
    advice="no set of people gives more than 1: min(agreeing / 3, 1)",
)
exercise.edit(
    "whole-thirds",
    ("min(others / ENOUGH, 1.0)", "min(others // ENOUGH, 1)"),
    story="// rounds down, so one or two who agree score 0",
    advice="divide with /",
    twin="three-or-nothing",
)
exercise.edit(
    "always-ten",
    ("/ len(people)", "/ 10"),
    story="the sum is divided by ten, however many people answered",
    advice="divide by the number of people",
)
exercise.edit(
    "divided-by-the-others",
    ("/ len(people)", "/ (len(people) - 1)"),
    story="the sum is divided by the number of the others, nine, though ten sets were added",
    advice="one set for each person: divide by the number of people",
)
exercise.edit(
    "not-divided",
    (" / len(people)", ""),
    story="the scores of the sets are added, but no mean is taken",
    advice="divide by the number of people",
)
exercise.edit(
    "not-cleaned",
    ("comparable(person) == comparable(answer)", "person == answer"),
    story="answers are compared letter by letter: Two. and 2 count as different",
    advice="compare comparable of both",
)
exercise.edit(
    "people-not-cleaned",
    ("comparable(person) == comparable(answer)", "person == comparable(answer)"),
    story="the model's answer is cleaned, those of people are not",
    advice="comparable on both sides",
)
exercise.edit(
    "answer-not-cleaned",
    ("comparable(person) == comparable(answer)", "comparable(person) == answer"),
    story="people's answers are cleaned, the model's is not",
    advice="comparable on both sides",
)
exercise.edit(
    "only-small-letters",
    (
        "comparable(person) == comparable(answer)",
        "person.lower().strip() == answer.lower().strip()",
    ),
    story="capitals and spaces are ignored, but not articles, punctuation or written numbers",
    advice="comparable does all of it",
)
exercise.edit(
    "a-part-is-enough",
    (
        "comparable(person) == comparable(answer)",
        "comparable(answer) in comparable(person)",
    ),
    story="in finds a part of a text too: 1 agrees with 10, red with red ring",
    advice="whole answers must be equal: ==",
)
exercise.edit(
    "not-refused",
    ("len(people) <= ENOUGH", "len(people) < 1"),
    story="three people are taken as enough",
    advice="with one of three left out, no three can agree: raise ValueError below four",
)
exercise.edit(
    "four-refused",
    ("len(people) <= ENOUGH", "len(people) <= ENOUGH + 1"),
    story="four people are refused",
    advice="with one of four left out, three can still agree: refuse three and fewer",
)
exercise.edit(
    "each-answer-once",
    ("for person in people]", "for person in sorted(set(people))]"),
    story="equal answers of people are counted once",
    advice="each person counts, whatever the others said",
)


def checked(people):
    """Refuse too few."""
    if len(people) < 4:
        raise ValueError(f"{len(people)} people")


@exercise.wrong(
    "majority-only",
    story="only the most frequent answer counts: 1 for it, 0 for all others",
    advice="others are right too, in so far as people gave them",
)
def majority_only(answer, people):
    checked(people)
    first = Counter(comparable(person) for person in people).most_common(1)[0][0]
    return float(comparable(answer) == first)


@exercise.wrong(
    "worst-set",
    story="of the sets that leave one out the worst is taken, not the mean",
    advice="add the scores of all sets and divide by their number",
)
def worst_set(answer, people):
    checked(people)
    agree = [comparable(person) == comparable(answer) for person in people]
    return min(min((sum(agree) - one) / 3, 1.0) for one in agree)


@exercise.wrong(
    "one-always-taken-off",
    story="(agreeing - 1) / 3: one of those who agree is always left out, never one of the others",
    advice="each person is left out once, also those who said something else",
)
def one_always_taken_off(answer, people):
    checked(people)
    agreeing = sum(comparable(person) == comparable(answer) for person in people)
    return min((agreeing - 1) / 3, 1.0)


@exercise.wrong(
    "all-alike-left-out",
    story="with a person all are left out who said the same",
    advice="leave out one place of the list, not an answer",
)
def all_alike_left_out(answer, people):
    checked(people)
    total, wanted = 0.0, comparable(answer)
    for person in people:
        others = [comparable(other) for other in people if other != person]
        total += min(others.count(wanted) / 3, 1.0)
    return total / len(people)


@exercise.wrong(
    "taken-out-for-good",
    story="people are removed from the list itself, and never come back",
    advice="make a new list for each person: people[:i] + people[i + 1:]",
)
def taken_out_for_good(answer, people):
    checked(people)
    count, score = len(people), 0.0
    for _ in range(count):
        people.pop(0)
        agree = sum(comparable(person) == comparable(answer) for person in people)
        score += min(agree / 3, 1.0)
    return score / count


@exercise.wrong(
    "put-back-in-another-list",
    story="the score is right, but the caller's list has lost its people",
    advice="work on a copy: list(people)",
)
def put_back_in_another_list(answer, people):
    checked(people)
    score = slow(answer, list(people))
    people.clear()
    return score


@exercise.disguise("nobody-left-out")
def nobody_left_out_too(answer, people):
    checked(people)
    return min(sum(comparable(answer) == comparable(one) for one in people) / 3.0, 1.0)


@exercise.disguise("three-or-nothing")
def three_or_nothing_too(answer, people):
    checked(people)
    agree = [comparable(person) == comparable(answer) for person in people]
    return sum(sum(agree[:i] + agree[i + 1 :]) > 2 for i in range(len(agree))) / len(agree)


@exercise.disguise("share-who-agree")
def only_the_person(answer, people):
    checked(people)
    return sum(comparable(person) == comparable(answer) for person in people) / len(people)


@exercise.right("sets made and counted")
def sets_made(answer, people):
    checked(people)
    cleaned, wanted = [comparable(person) for person in people], comparable(answer)
    total = 0.0
    for place in range(len(cleaned)):
        others = list(cleaned)
        del others[place]
        total += min(1.0, others.count(wanted) / 3)
    return total / len(cleaned)


@exercise.right("in one formula")
def one_formula(answer, people):
    if len(people) < 4:
        raise ValueError("too few people")
    wanted = comparable(answer)
    agreeing = len([person for person in people if comparable(person) == wanted])
    # those who agree see one less of them, the others all; from four on every set is full
    return min(1.0, agreeing * (len(people) - 1) / (3 * len(people)))
