"""Jobs: products of prompts, settings that are refused, a file name for each."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.apps.image_studio.jobs import Job, file_names, jobs_of, prompts_of


def test_prompts_are_the_product():
    styles, qualities = ["striped", "dotted", ""], ["", "small"]
    found = prompts_of("a red ring", styles, qualities)
    assert len(found) == 6 and found[0] == "a red ring, striped" and found[4] == "a red ring"
    for style in styles:
        for quality in qualities:
            words = [word for word in (style, quality) if word]
            assert ", ".join(["a red ring", *words]) in found
    assert prompts_of("a {quality} ring", ["dotted"], ["big"]) == ["a big ring, dotted"]
    assert prompts_of("a  ring") == ["a ring"]
    assert prompts_of("a ring", ["big", "big "]) == ["a ring, big"]
    with pytest.raises(ValueError, match="without a word"):
        prompts_of("{style}", ["", "a"])


def test_jobs_refuse_what_nobody_can_draw():
    wrong = [
        {"prompt": " "},
        {"prompt": "a", "steps": 0},
        {"prompt": "a", "steps": 2.5},
        {"prompt": "a", "scale": float("nan")},
        {"prompt": "a", "scale": float("inf")},
        {"prompt": "a", "seed": -1},
        {"prompt": "a", "seed": 2**32},
    ]
    for arguments in wrong:
        with pytest.raises(ValueError):
            Job(**arguments)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=60), st.integers(0, 2)), max_size=12))
def test_every_job_has_a_name_of_its_own(pairs):
    jobs = [Job("x" + text, seed=seed) for text, seed in pairs]
    named = file_names(jobs)
    assert set(named.values()) == set(jobs) and len(named) == len(set(jobs))
    for name in named:
        assert name.isascii() and len(name) < 80
        assert not set(name) & set('/\\:*?"<>| \n') and not name.startswith((".", "-"))


def test_rows_styles_qualities_and_seeds_multiply_and_a_row_overrides_the_defaults():
    rows = [{"prompt": "a {quality} ring", "seed": 5}, {"prompt": "a star", "steps": 3}]
    jobs = jobs_of(rows, {"seed": 8, "steps": 9}, ["", "dotted"], ["small"], count=2)
    assert [(job.prompt, job.seed, job.steps) for job in jobs] == [
        ("a small ring", 5, 9), ("a small ring", 6, 9),
        ("a small ring, dotted", 5, 9), ("a small ring, dotted", 6, 9),
        ("a star, small", 8, 3), ("a star, small", 9, 3),
        ("a star, dotted, small", 8, 3), ("a star, dotted, small", 9, 3),
    ]  # fmt: skip
    twice = jobs_of([{"prompt": "a"}, {"prompt": "a", "seed": 1}], {}, count=2)
    assert [job.seed for job in twice] == [0, 1, 2], "a job that two rows ask for is one"
