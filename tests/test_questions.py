"""Every lesson names the field's words and ends with three questions, whose answers stand apart."""

import re
from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).parents[1] / "tutorials").glob("[0-9][0-9]_*.py"))
ANSWERS = LESSONS[0].parent / "answers.md"


def section(text: str, heading: str) -> str:
    """What stands below a heading of a percent script, up to the next cell."""
    after = text.split(f"# ## {heading}\n", 1)
    assert len(after) == 2, f"there is no section {heading!r}"
    return after[1].split("\n# %%", 1)[0]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_ends_with_terms_what_it_leaves_out_and_three_questions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    words = section(text, "In the field's words")
    assert len(re.findall(r"\*\*[^*]+\*\*", words.replace("\n#", ""))) >= 4
    assert "**Left out here:**" in words
    questions = re.findall(r"^# ([1-9])\. ", section(text, "Three questions"), re.MULTILINE)
    assert questions == ["1", "2", "3"]


def test_each_question_has_an_answer_and_each_answer_a_lesson() -> None:
    parts = re.split(r"^## \[(\w+)\]\((\w+\.py)\)$", ANSWERS.read_text("utf-8"), flags=re.MULTILINE)
    assert parts[1::3] == [path.stem for path in LESSONS]
    assert parts[2::3] == [path.name for path in LESSONS]
    for name, text in zip(parts[1::3], parts[3::3], strict=True):
        assert re.findall(r"^([1-9])\. ", text, re.MULTILINE) == ["1", "2", "3"], name
