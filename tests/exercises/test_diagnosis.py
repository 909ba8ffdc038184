"""Which mistake it looks like: named where it matches, and nothing invented where it does not."""

import pytest
import torch

from scratchmm.exercises import catalogue
from scratchmm.exercises.checking import judge
from scratchmm.exercises.diagnosis import diagnose, relations, transformation
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.grading import grade
from scratchmm.exercises.report import LINES, Report


def names(exercise, candidate):
    graded = grade(exercise, candidate)
    assert graded.status == "wrong"
    return [wrong.id for wrong in diagnose(exercise, graded, candidate)]


@pytest.mark.parametrize(
    "answer, expected",
    [
        (lambda x, by=2.0: torch.mul(x, by), ["no-shift"]),
        (lambda x, by=2.0: 3 + x + x, ["by-ignored"]),
        (lambda x, by=2.0: by * x + by * 3, ["shift-first"]),
        (lambda x, by=2.0: x * by + 3.5, []),
        (lambda x, by=2.0: x.sin() * by + 3, []),
        (lambda x, by=2.0: None, []),
    ],
)
def test_a_mistake_written_differently_is_named_and_another_is_not(fake, answer, expected):
    assert names(fake["fake.scaled"], answer) == expected


def test_two_matches_are_both_listed_unless_another_property_tells_them_apart(fake):
    exercise: Exercise = fake["fake.scaled"]
    exercise.wrong("never-shifted", story="s", advice="a")(lambda x, by=2.0: by * x)
    assert names(exercise, lambda x, by=2.0: x * by) == ["no-shift", "never-shifted"]
    # On x = 0, the first property, these agree; on the others they do not.
    exercise.wrong("squashed", story="s", advice="a")(lambda x, by=2.0: x.tanh())
    assert names(exercise, lambda x, by=2.0: x / (x.exp() + (-x).exp()) * 0 + x.tanh()) == [
        "squashed"
    ]


def test_a_match_that_another_one_beats_is_dropped_though_neither_agrees_everywhere(fake):
    exercise: Exercise = fake["fake.scaled"]

    @exercise.holds("the dtype stays")
    def dtype(scaled, case):
        case.call(scaled, case.normal(B=2, D=3, dtype=torch.float64))

    def answer(x, by=2.0):  # no shift, and a second mistake that no wrong answer makes
        return (x * by).float()

    # It gives 0 for x = 0 as `no-shift` does, but it is another thing on every other x.
    exercise.wrong("squashed", story="s", advice="a")(lambda x, by=2.0: x.tanh())
    assert names(exercise, answer) == ["no-shift"]


def test_a_match_that_fails_what_the_candidate_passed_is_not_the_candidate_s(fake):
    exercise: Exercise = fake["fake.scaled"]
    exercise.wrongs.clear()
    # Both agree where it fails. One is not it on the last property, the other fails the first.
    exercise.wrong("zero-missed", story="s", advice="a")(
        lambda x, by=2.0: x * 2 + 3 * bool(x.any())
    )
    exercise.wrong("last-differs", story="s", advice="a")(
        lambda x, by=2.0: x * 2 + 3 if by == 5 or not x.any() else x * 9
    )
    assert names(exercise, lambda x, by=2.0: 3 + x + x) == ["last-differs"]


def test_a_wrong_answer_behind_the_guard_is_named_in_a_learner_s_that_refuses(fake):
    exercise: Exercise = fake["fake.scaled"]

    @exercise.holds("an x of one axis is refused with a ValueError")
    def refused(scaled, case):
        case.refuses(ValueError, scaled, case.normal(D=3))

    def refuse(x, by=2.0):
        if x.dim() < 2:
            raise ValueError("one axis")

    def answer(x, by=2.0):
        refuse(x)
        return x * by

    assert names(exercise, answer) == []  # `no-shift` fails where this one does not
    exercise.refusing(refuse)
    exercise.wrong("never-shifted", story="s", advice="a")(lambda x, by=2.0: by * x)
    assert names(exercise, answer) == ["never-shifted"]
    assert names(exercise, lambda x, by=2.0: x * by) == ["no-shift"]  # which refuses as little


def test_an_exception_alone_names_nothing(fake):
    """Many mistakes end in the same one: any layer of the wrong width says that shapes do not fit."""
    exercise = fake["fake.scaled"]

    @exercise.wrong("matmul", story="s", advice="a")
    def matmul(x, by=2.0):
        return x @ x

    assert names(exercise, lambda x, by=2.0: torch.matmul(x, x)) == []
    assert names(exercise, lambda x, by=2.0: undefined) == []  # noqa: F821


x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "got, expected",
    [
        (x * 2.5, "the right answer times 2.5"),
        (-x, "the right answer with the opposite sign"),
        (x + 2, "the right answer plus 2"),
        (x.transpose(1, 2), "the right answer with its axes in the order (0, 2, 1)"),
        (x.flatten(1), "the right numbers in another shape"),
        (x.roll(1, 2), "the right answer shifted by one along axis 2"),
        (x.roll(-1, 1), "the right answer shifted by minus one along axis 1"),
        (x.flip(2), "the right answer reversed along axis 2"),
        (x.double(), "the right numbers as torch.float64 instead of torch.float32"),
        (x.tanh(), None),
        (torch.zeros_like(x), None),
    ],
)
def test_relations_to_the_right_answer(got, expected):
    assert relations(got, x)[:1] == ([] if expected is None else [expected])


def test_relations_of_other_kinds():
    mask = torch.tensor([True, False, False])
    assert relations(~mask, mask) == ["the right answer with True and False exchanged"]
    assert relations((x * 2, x), (x, x * 2)) == ["the right results in the opposite order"]
    assert relations("abc", "abd") == []
    order = torch.tensor([4, 1, 3, 0])
    assert relations(order.roll(1), order) == ["the right answer shifted by one along axis 0"]


def test_a_transformation_is_told_where_no_wrong_answer_matches(fake):
    exercise = fake["fake.scaled"]
    turned = lambda x, by=2.0: (x * by + 3) * -1  # noqa: E731
    graded = grade(exercise, turned)
    assert transformation(exercise, graded, turned) == "the right answer with the opposite sign"


def test_the_message_says_it_all_in_twelve_lines(fake):
    exercise = fake["fake.scaled"]
    exercise.wrongs[0].__dict__["story"] = "a story " * 40
    exercise.wrongs[0].__dict__["advice"] = "some advice " * 40
    report = judge(exercise, lambda x, by=2.0: x * by, {})
    lines = report.lines()
    assert len(lines) <= LINES and max(map(len, lines)) <= 100
    text = "\n".join(lines)
    for part in ("wrong at property 1 of 4", "zero becomes the shift", "(B=2, D=3)", "[0, 0]",
                 "expected   3", "got        0", "a story", "some advice", "learn hint"):  # fmt: skip
        assert part in text, part


def test_the_hint_is_told_however_long_the_rest(fake):
    long = "word " * 60
    found = [dict(id="a", story=long, advice=long, convention=False)]
    report = Report("a.b", "wrong", 1, 2, long, long, long, long, "", found, "", long)
    lines = report.lines()
    assert len(lines) == LINES and max(map(len, lines)) <= 100
    assert lines[-1].endswith("learn hint a.b") and "looks like" in "".join(lines)


def test_what_happened_is_told_in_full_before_anything_else_grows():
    got = "the call scratchmm.layers.attention.attention_weights is what this exercise asks you to write"
    called = f"merge_word(symbols='abc', ranks={ {(a, 'b'): i for i, a in enumerate('abcdefgh')} })"
    found = [dict(id="a", story="story " * 40, advice="advice " * 40, convention=False)] * 2
    lines = Report(
        "a.b", "wrong", 1, 2, "property", called, "your own code", got, "", found
    ).lines()
    text = " ".join(" ".join(lines).split())
    assert len(lines) <= LINES and max(map(len, lines)) <= 100
    assert got in text and called in text


def test_an_answer_of_an_exercise_is_told_as_what_it_is():
    attend = catalogue.find("attend")

    def cleaned(query, key, value, mask=None):
        scores = query @ key.mT / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return (scores.softmax(-1) @ value).nan_to_num(0.0)

    def by_topk(similarity, k, relevant=None):
        relevant = torch.eye(len(similarity), dtype=torch.bool) if relevant is None else relevant
        return relevant.gather(1, similarity.topk(k).indices).any(1).float().mean().item()

    def unchecked(images, patch):
        x = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
        return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    assert names(attend, cleaned) == ["result-cleaned"]
    assert names(catalogue.find("recall_at_k"), by_topk) == ["more-than-there-are"]
    assert names(catalogue.find("patchify"), unchecked) == ["refused-by-accident"]


def test_a_demand_on_what_the_trace_does_not_hold_names_a_mistake(fake):
    exercise = fake["fake.scaled"]
    exercise.properties.clear()

    @exercise.holds("a table that the call is handed stays as it was")
    def unchanged(scaled, case):
        table = {"x": case.normal(B=2, D=3)}
        before = table["x"].clone()
        case.call(lambda table: scaled(table["x"]), table)
        case.true(torch.equal(table["x"], before), "the table as it was", "another one")

    assert names(exercise, lambda x, by=2.0: x.copy_(3 + by * x)) == ["in-place"]


def test_an_overwritten_argument_is_told_whichever_property_fails_first(fake):
    """The first property compares with x, which the answer has changed by then."""
    exercise: Exercise = fake["fake.scaled"]
    exercise.wrongs[:] = [wrong for wrong in exercise.wrongs if wrong.id != "in-place"]

    @exercise.holds("x stays as it was")
    def unchanged(scaled, case):
        case.call(scaled, case.normal(B=2, D=3))
        case.unchanged()

    def overwrites(x, by=2.0):
        result = x * by + 3
        x.detach().sub_(1)
        return result

    report = judge(exercise, overwrites, {})
    assert report.number < len(exercise.properties)
    assert [told["story"] for told in report.looks_like] == ["x is overwritten in place"]
    assert judge(exercise, lambda x, by=2.0: x.sin() * by + 3, {}).looks_like == []


def test_a_mistake_that_takes_the_refusal_with_it_is_named_where_the_learner_refuses():
    """The written mistake clamps timesteps, so it accepts those that are to be refused."""
    exercise = catalogue.find("inpainting.blend")

    def never_clean(schedule, inside, known, mask, timesteps, noise):
        schedule.at(timesteps, final_alpha=1.0)  # refuses what it should
        levels = schedule.alpha_bar[timesteps.clamp(min=0)].to(known).view(-1, 1, 1, 1)
        outside = levels.sqrt() * known + (1 - levels).sqrt() * noise
        return torch.where(mask, inside, outside)

    (match,) = diagnose(exercise, grade(exercise, never_clean), never_clean)
    assert match.id == "first-level-for-the-clean"
