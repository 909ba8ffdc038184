"""`learn verify --mutants`: what a check lets through is counted and named."""

import json
import time

import pytest

from scratchmm.commands import main
from scratchmm.exercises import mutant_count, mutant_equal
from scratchmm.exercises.mutant_count import Count, closing_line, count_one, faults
from scratchmm.exercises.worker import TooLong, interrupted

SIGN = "sign: `scaled_x - _shift()` stood for `scaled_x + _shift()`"


def test_a_check_without_holes_rejects_them_all(fake):
    found = count_one("fake.scaled")
    # One line of each rule: a default, a first sample, a detached, a wide and a narrow result, the
    # in-place product, its two factors, the sum's sign and its two terms.
    assert (found.made, found.rejected, found.accepted, found.faults) == (11, 11, [], [])
    assert closing_line([found]) == "mutants 11/11 rejected (100.0 %), 0 more declared equal"


def test_what_is_let_through_is_named_and_what_is_declared_is_not(fake, monkeypatch):
    fake["fake.scaled"].properties[:] = []
    fake["fake.scaled"].holds("a product")(
        lambda scaled, case: case.equal(case.call(scaled, case.normal(B=2, D=3)).shape, (2, 3))
    )
    found = count_one("fake.scaled")
    assert SIGN in found.accepted and found.rejected + len(found.accepted) == found.made
    assert f"  accepted  {SIGN}" in found.lines()
    declared = {"fake.scaled": {"`scaled_x - _shift()` stood": "adding is as good"}}
    monkeypatch.setattr(mutant_equal, "EQUAL", declared)
    again = count_one("fake.scaled")
    assert again.lines()[-1] == f"  equal     {SIGN} (adding is as good)"
    assert again.equal == [SIGN] and SIGN not in again.accepted and again.faults == []
    declared["fake.scaled"]["no such thing"] = "for no reason"
    assert count_one("fake.scaled").faults == [
        "fake.scaled: no mutant that the check accepts is called 'no such thing'"
    ]


def test_a_slip_that_is_let_through_is_a_fault(fake):
    fake["fake.scaled"].slips("scaled_x + _shift() => _shift() + scaled_x")
    (fault,) = count_one("fake.scaled").faults
    assert fault == (
        "fake.scaled: the check accepts the slip: "
        "`_shift() + scaled_x` stood for `scaled_x + _shift()`"
    )


def test_a_slip_of_a_name_that_the_library_has_not_is_a_fault(fake):
    fake["fake.scaled"].slips("scaled_x + _shift() => scaled_x + shifted()")
    (fault,) = count_one("fake.scaled").faults
    assert fault.endswith("in which name 'shifted' is not defined")


def test_a_detached_result_without_a_gradient_is_no_mutant(fake, monkeypatch):
    before = [one.kind for one in mutant_count.mutants(fake["fake.scaled"])]
    assert "detached" in before
    # Nothing here is ever differentiated, or calls the answer at all.
    monkeypatch.setattr(mutant_count, "grade", lambda exercise, answer: Count("passed-by-all"))
    monkeypatch.setattr(Count, "status", "passed", raising=False)
    found = count_one("fake.scaled")
    assert found.made == len(before) - 2
    assert not any("detached" in one or "narrow" in one for one in found.accepted)


def test_a_mutant_that_never_ends_is_rejected(fake, monkeypatch):
    def endless(exercise, answer):
        while True:
            pass

    monkeypatch.setattr(mutant_count, "grade", endless)
    monkeypatch.setattr(mutant_count, "PATIENCE", 0.02)
    found = count_one("fake.scaled")
    assert found.made == found.rejected > 5


def test_too_few_rejected_of_all_is_a_fault_and_of_some_is_none():
    found = [Count("a.b", made=100, rejected=90, equal=["x"] * 5), Count("c.d", faults=["broken"])]
    assert closing_line(found) == "mutants 90/95 rejected (94.7 %), 5 more declared equal"
    assert faults(found, whole=False) == ["broken"]
    assert faults(found, whole=True) == ["broken", "94.7% of the mutants are rejected, not 98.0%"]
    found[0].rejected = 95
    assert faults(found, whole=True) == ["broken"]


def test_the_command_names_them_or_counts_them_only(fake, capsys, monkeypatch):
    fake["fake.scaled"].properties[1:] = []
    assert main(["learn", "verify", "--mutants", "fake.scaled"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fake.scaled: mutants ") and lines[-1].startswith("mutants ")
    assert any(line.startswith("  accepted  ") for line in lines)
    assert main(["learn", "verify", "fake.Scaler"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("references 1/1")
    assert lines[1] == "mutants 13/13 rejected (100.0 %), 0 more declared equal"
    assert main(["learn", "verify", "--mutants", "--json", "fake.scaled"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["mutants"][0]["id"] == "fake.scaled" and data["mutants"][0]["accepted"]
    assert data["faults"] == [] and data["line"].startswith("mutants ")


def test_a_real_exercise_counts_as_it_is_written_down():
    found = count_one("zero_shot.class_embeddings")
    assert found.faults == [] and found.accepted == [] and len(found.equal) == 2


def test_every_declared_one_belongs_to_an_exercise_and_has_a_reason():
    from scratchmm.exercises import catalogue

    for id, pieces in mutant_equal.EQUAL.items():
        assert id in catalogue.exercises() and all(pieces.values())
        names = [one.name for one in mutant_count.mutants(catalogue.find(id))]
        for piece in pieces:
            assert any(piece in name for name in names), f"{id}: {piece}"


def test_a_loop_is_interrupted_and_what_follows_is_not():
    with pytest.raises(TooLong), interrupted(0.05):
        while True:
            pass
    began = time.process_time()
    while time.process_time() - began < 0.15:
        pass
    with interrupted(5.0):
        pass
