"""The shape comments of the library are executed; and the checker that does it is checked."""

import importlib.util
import textwrap
from pathlib import Path

import pytest

from shape_comments import check_shapes, find_comments

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scratchmm"


def test_every_file_with_shape_comments_has_a_test_of_its_own_that_executes_them() -> None:
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE)
        if name.parts[0] in ("commands", "exercises"):  # run whole by their own tests
            continue
        if find_comments(file.read_text(encoding="utf-8"), file.name)[0]:
            test = ROOT / "tests" / name.parent / f"test_{name.name}"
            called = f'check_shape_comments(run_shapes, "{name.as_posix()}")'
            assert test.is_file(), f"{name.as_posix()} has shape comments, but no {test.name}"
            assert called in test.read_text(encoding="utf-8"), f"{test.name} runs none of them"


# --- the checker itself -------------------------------------------------------------------------


def check_source(tmp_path: Path, source: str, call: str, **known: int):
    """Checks a little module while `call` runs in it."""
    path = tmp_path / "little.py"
    path.write_text("import torch\n" + textwrap.dedent(source), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("little", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return check_shapes([path], lambda: eval(call, vars(module)), known)


TRUE = """
def split(x, heads):
    '''x: (B, L, D). Returns (B, H, L, D // H).'''
    y = (
        x.unflatten(-1, (heads, -1))
        .transpose(1, 2)
    )  # (B, H, L, D // H), heads before positions
    a, b = y, y + 1  # each (B, H, L, D // H)
    z = torch.cat([a[:, :, :1], b], dim=2)  # (B, H, 1 + L, D // H)
    for _ in range(2):
        z = z + 1  # (B, H, 1 + L, D // H)
    if heads:
        return z[:, :, 1:]  # (B, H, L, D // H)
"""


def test_true_comments_hold(tmp_path: Path) -> None:
    report = check_source(tmp_path, TRUE, "split(torch.zeros(2, 5, 12), 3)")
    assert report.wrong == []
    assert report.unexecuted == []
    assert report.checked == 6  # y, the pair, the sum, two rounds of the loop, the return


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(B, H, L, D // H), heads", "(B, L, H, D // H), heads"),  # transposed
        ("each (B, H, L, D // H)", "each (B, H, D, L)"),
        ("2)  # (B, H, 1 + L, D // H)", "2)  # (B, H, L, D // H)"),
        ("+ 1  # (B, H, 1 + L, D // H)", "+ 1  # (B, H, 2 + L, D // H)"),
        ("1:]  # (B, H, L, D // H)", "1:]  # (B, H, L)"),  # another number of axes
        ("1:]  # (B, H, L, D // H)", "1:]  # (B, H, L, Q // H)"),  # a letter that nothing binds
        ("# each", "#"),  # a tuple is no tensor
        ("x: (B, L, D)", "x: (L, B, D)"),
        ("Returns (B, H, L, D // H)", "Returns (B, L, H, D // H)"),
    ],
)
def test_a_wrong_comment_is_found(tmp_path: Path, old: str, new: str) -> None:
    assert old in TRUE
    report = check_source(tmp_path, TRUE.replace(old, new, 1), "split(torch.zeros(2, 5, 12), 3)")
    assert report.wrong


def test_the_place_and_both_numbers_are_named(tmp_path: Path) -> None:
    source = "def f(x):\n    y = x.T  # (A, B)\n    return y  # (B, A)\n"
    report = check_source(tmp_path, source, "f(torch.zeros(2, 3))")
    assert report.wrong == [
        "little.py:4: # (B, A): the shape is (3, 2), but B is 2",
        "little.py:4: # (B, A): the shape is (3, 2), but A is 3",
    ]


def test_a_comment_that_never_ran_is_reported(tmp_path: Path) -> None:
    report = check_source(tmp_path, TRUE, "split(torch.zeros(2, 5, 12)[:0], 3) if 0 else None")
    assert len(report.unexecuted) == 5


def test_letters_belong_to_one_call(tmp_path: Path) -> None:
    source = "def f(x):\n    return x + 1  # (B, D)\n"
    both = "[f(torch.zeros(2, 3)), f(torch.zeros(4, 5))]"
    assert not check_source(tmp_path, source, both).wrong
    assert check_source(tmp_path, source, both, D=3).wrong  # unless they are pinned for the run


def test_a_letter_known_only_in_a_sum_is_solved_for(tmp_path: Path) -> None:
    source = "def f(x):\n    y = x + 1  # (B, P + S)\n    return y[:, 1:]  # (B, S)\n"
    assert not check_source(tmp_path, source, "f(torch.zeros(2, 3))").wrong


def test_a_statement_that_raised_is_not_checked(tmp_path: Path) -> None:
    source = """
    def f(x):
        y = x
        try:
            y = torch.zeros(0).item()  # (B, D)
        except RuntimeError:
            y = x.flatten()  # (E,)
        return y  # (E,)
    """
    report = check_source(tmp_path, source, "f(torch.zeros(2, 3))")
    assert report.wrong == []
    assert len(report.unexecuted) == 1


def test_a_return_through_with_and_finally(tmp_path: Path) -> None:
    source = """
    def f(x):
        try:
            with torch.no_grad():
                return x[0]  # (B, D)
        finally:
            x = 1
    """
    report = check_source(tmp_path, source, "f(torch.zeros(2, 3))")
    assert len(report.wrong) == 1


def test_the_ellipsis_stands_for_any_axes(tmp_path: Path) -> None:
    source = "def f(x):\n    a = x[0, 0]  # (D,)\n    return x  # (..., D)\n"
    assert not check_source(tmp_path, source, "f(torch.zeros(2, 3, 4))").wrong
    wrong = source.replace("x[0, 0]", "x[0, :, 0]")
    assert check_source(tmp_path, wrong, "f(torch.zeros(2, 3, 4))").wrong


def test_what_is_appended_is_checked(tmp_path: Path) -> None:
    source = "def f(x):\n    rows = []\n    rows.append(x[0])  # (D,)\n    return x  # (B, D)\n"
    assert not check_source(tmp_path, source, "f(torch.zeros(2, 3))").wrong
    wrong = source.replace("x[0]", "x[:, 0]")
    assert check_source(tmp_path, wrong, "f(torch.zeros(2, 3))").wrong


def test_a_comment_at_no_statement_is_refused(tmp_path: Path) -> None:
    source = "def f(x):\n    print(x)  # (B, D)\n"
    assert "no assignment" in check_source(tmp_path, source, "f(torch.zeros(2, 3))").wrong[0]


def test_prose_in_brackets_is_no_shape(tmp_path: Path) -> None:
    source = "def f(x):\n    y = x  # (registers itself)\n    return y  # (see below, and there)\n"
    assert check_source(tmp_path, source, "f(torch.zeros(2, 3))").checked == 0
