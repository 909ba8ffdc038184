"""Which files a figure depends on, and what of them counts."""

import io
import tokenize
from pathlib import Path

import pytest

from scratchmm.source_code import BYSTANDERS, closure, code_hash, code_of, files_of

ROOT = Path(__file__).resolve().parents[1]


def tree(root: Path, **files: str) -> Path:
    """A package with these files, by name."""
    for name, text in files.items():
        path = root / "scratchmm" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_all_that_is_imported_counts_from_wherever(tmp_path: Path) -> None:
    tree(
        tmp_path,
        a="from scratchmm.b import f\nimport torch\n",
        b="def f():\n    import scratchmm.room.c\n",
        room__c="from scratchmm.room import d\nfrom . import e\n",
        room__d="",
        room__e="",
        other="",
    )
    found = closure(tmp_path / "scratchmm" / "a.py", tmp_path)
    assert {path.name for path in found} == {"a.py", "b.py", "c.py", "d.py", "e.py"}


def test_what_only_prints_draws_or_writes_does_not_count(tmp_path: Path) -> None:
    assert all((ROOT / "scratchmm" / name).is_file() for name in BYSTANDERS)
    for name in ("scratchmm.whole_file", "scratchmm.plots", "scratchmm.commands.lessons", "torch"):
        assert files_of(name, ROOT) == set(), name
    path = ROOT / "scratchmm" / "training" / "fit.py"
    assert files_of("scratchmm.training.fit", ROOT) == {path}
    assert files_of("scratchmm.training", ROOT) == set()  # an __init__.py only offers names


def test_a_hash_is_of_the_code_alone(tmp_path: Path) -> None:
    def hashed(a: str, b: str = "y = 2\n") -> str:
        tree(tmp_path, a=a, b=b)
        return code_hash(tmp_path / "scratchmm" / "a.py", tmp_path)

    first = hashed("from scratchmm.b import y\nx = 1\n")
    assert len(first) == 16
    same = '"""Says hello."""\n\nfrom scratchmm.b import y  # why\n\n\nx = 1   \n'
    assert hashed(same) == first
    assert hashed(same, '"""Two\nlines."""\ny = 2  # two\n') == first
    assert hashed(same, "y = 3\n") != first and hashed(same.replace("1", "2")) != first
    both = [tmp_path / "scratchmm" / name for name in ("a.py", "b.py")]
    assert code_hash(both, tmp_path) == code_hash(both[::-1], tmp_path)


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
