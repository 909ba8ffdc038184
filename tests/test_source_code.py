"""What of a source counts: all but comments, docstrings and blank lines."""

import io
import tokenize
from pathlib import Path

import pytest

from scratchmm.source_code import code_of

ROOT = Path(__file__).resolve().parents[1]


def test_docstrings_of_any_length_go_and_strings_stay() -> None:
    source = 'class A:\n    """One\n    two\n    """\n\n    def f(self):\n        "three"\n'
    source += '        return "#"\n'
    assert code_of(source) == 'class A:\n    def f(self):\n        return "#"'


def without_comments(source: str) -> str:
    """The source without comments, by the tokenizer alone."""
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())


@pytest.mark.parametrize(
    "source",
    [
        "x = 1  # why\n",
        "x = '#'\n",
        "x = '#'  # why\n",
        'x = "a#b" + c  # "d" # e\n',
        "x = f'{y:#x}'  # hexadecimal\n",
        "x = '''a\n# no comment\n'''\n",
        'x = """a\n# no comment\n""" # one\n',
        "x = 'a\\\n# no comment'\n",
        "x = 1 + \\\n    2  # why\n# all of the line\n",
        "def f():\n    y = 1  # why\n    return y\n",
    ],
)
def test_a_comment_is_what_the_tokenizer_calls_one(source: str) -> None:
    assert code_of(source) == without_comments(source)


@pytest.mark.parametrize("where", ["", "    "])
def test_docstrings_do_not_count_wherever_they_stand(where: str) -> None:
    inner = (
        "class A:\n    '''A # docstring.'''\n\n"
        "    def f(self):\n        '''Its # own.'''\n        return 1  # one\n"
    )
    plain = "class A:\n    def f(self):\n        return 1"
    text = "".join(where + line + "\n" for line in inner.splitlines())
    wanted = "\n".join(where + line for line in plain.splitlines())
    head = "if x:\n" if where else ""
    assert code_of(head + text) == head + wanted


def test_every_file_of_the_library_loses_its_comments_and_nothing_else() -> None:
    seen = 0
    for path in sorted((ROOT / "scratchmm").rglob("*.py"))[::7]:
        bare = code_of(path.read_text(encoding="utf-8"))
        assert without_comments(bare) == bare, path
        seen += 1
    assert seen > 20
