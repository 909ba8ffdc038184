"""Which definitions a figure depends on, and what of them counts."""

import shutil
from pathlib import Path

import pytest

from scratchmm.needed_code import BYSTANDERS, code_hash, files_of, needed

ROOT = Path(__file__).resolve().parents[1]


def tree(root: Path, **files: str) -> Path:
    """A package with these files, by name."""
    for name, text in files.items():
        path = root / "scratchmm" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def hashed(root: Path, **files: str) -> str:
    """The hash of scratchmm/a.py among these files, and no others."""
    shutil.rmtree(root / "scratchmm", ignore_errors=True)
    return code_hash(tree(root, **files) / "scratchmm" / "a.py", root)


BASE = {
    "a": "from scratchmm.b import f\nprint(f(1))\n",
    "b": "from scratchmm.c import g\nTWO = 2\n\n\ndef f(x):\n    return TWO * g(x)\n",
    "c": "class Base:\n    pass\n\n\nclass G(Base):\n    pass\n\n\ndef g(x):\n    return G, x\n",
}


@pytest.mark.parametrize(
    ("file", "was", "now"),
    [
        ("a", "f(1)", "f(2)"),
        ("b", "TWO = 2", "TWO = 3"),
        ("b", "TWO * g", "TWO + g"),
        ("c", "class Base:\n    pass", "class Base:\n    y = 1"),
        ("c", "class G(Base)", "class G(object)"),
        ("c", "def g(x)", "@Base\ndef g(x)"),
        ("c", "def g(x)", "def g(x, y=1)"),
    ],
)
def test_what_is_needed_through_other_files_counts(tmp_path: Path, file, was, now) -> None:
    changed = {**BASE, file: BASE[file].replace(was, now)}
    assert changed != BASE
    assert hashed(tmp_path, **changed) != hashed(tmp_path, **BASE)


@pytest.mark.parametrize(
    ("file", "more"),
    [
        ("b", "def unused():\n    return 1\n"),
        ("b", "THREE = 3\n"),
        ("c", "from scratchmm.d import h\n\n\ndef unused():\n    return h\n"),
        ("c", '"""A docstring."""  # at the end\n'),
        ("d", "print('nobody imports me')\n"),
    ],
)
def test_what_nothing_needs_does_not_count(tmp_path: Path, file, more) -> None:
    files = {**BASE, "d": "def h():\n    pass\n"}
    assert hashed(tmp_path, **{**files, file: files[file] + more}) == hashed(tmp_path, **files)


def test_a_definition_may_move_and_be_passed_on(tmp_path: Path) -> None:
    before = hashed(tmp_path, **BASE)
    moved = {**BASE, "b": BASE["b"].replace("scratchmm.c", "scratchmm.room.e")}
    moved["room__e"] = moved.pop("c")
    assert hashed(tmp_path, **moved) == before
    passed_on = {**moved, "c": "from scratchmm.room.e import g\n", "b": BASE["b"]}
    assert hashed(tmp_path, **passed_on) == before
    passed_on["room__e"] = passed_on["room__e"].replace("return G, x", "return x, G")
    assert hashed(tmp_path, **passed_on) != before
    one = BASE["c"] + BASE["b"].split("\n", 1)[1]
    assert hashed(tmp_path, a=BASE["a"], b=one) == before


MODULE = "def used():\n    return helper()\n\n\ndef helper():\n    return 1\n\n\n"
MODULE += "def other():\n    pass\n"


@pytest.mark.parametrize(
    ("script", "whole"),
    [
        ("from scratchmm.room import m\nm.used()\n", False),
        ("import scratchmm.room.m as m\nm.used()\n", False),
        ("from scratchmm.room.m import used\nused()\n", False),
        ("def run():\n    from scratchmm.room import m\n    m.used()\n", False),
        ("from scratchmm.room import m\nm.used()\nprint(m)\n", True),
        ("from scratchmm.room import m\ngetattr(m, 'used')()\n", True),
        ("import scratchmm.room.m\nscratchmm.room.m.used()\n", True),
        ("import scratchmm.room.m\n", True),
    ],
)
def test_of_a_module_counts_what_is_used_or_all(tmp_path: Path, script: str, whole: bool) -> None:
    def of(module: str) -> str:
        return hashed(tmp_path, a=script, room__m=module)

    before = of(MODULE)
    assert of(MODULE.replace("return 1", "return 2")) != before
    assert (of(MODULE.replace("pass", "return 3")) != before) == whole


@pytest.mark.parametrize(
    "does",
    [
        "TABLE['f'] = f\n",
        "TABLE.update(f=f)\n",
        "if True:\n    from scratchmm.c import g as f\n",
        "try:\n    import scratchmm.c\nexcept ImportError:\n    f = None\n",
        "f.name = 'f'\n",
    ],
)
def test_what_a_module_does_at_import_counts_with_any_of_its_names(tmp_path: Path, does) -> None:
    module = "TABLE = {}\n\n\ndef f(x):\n    return x\n\n\ndef unused():\n    pass\n\n\n"
    script = "from scratchmm.b import f\nf(1)\n"
    parts = {"a": script, "c": "def g(x):\n    return 2 * x\n"}
    assert hashed(tmp_path, b=module + does, **parts) != hashed(tmp_path, b=module, **parts)


def test_what_only_types_need_does_not_count(tmp_path: Path) -> None:
    script = "from scratchmm.b import f\nf(1)\n"
    module = "from typing import TYPE_CHECKING\n{}\n\ndef f(x: 'G'):\n    return x\n"
    types = "if TYPE_CHECKING:\n    from scratchmm.c import G\n"
    with_types, without = (
        hashed(tmp_path, a=script, b=module.format(part), c="class G: pass\n")
        for part in (types, "")
    )
    assert with_types == without


def test_an_exchange_of_equal_names_between_files_is_noticed(tmp_path: Path) -> None:
    script = "from scratchmm.b import f\nfrom scratchmm.c import g\nprint(f(), g())\n"
    b, c = "SIZE = 1\n\n\ndef f():\n    return SIZE\n", "SIZE = 2\n\n\ndef g():\n    return SIZE\n"
    exchanged = {"b": b.replace("1", "2"), "c": c.replace("2", "1")}
    assert hashed(tmp_path, a=script, b=b, c=c) != hashed(tmp_path, a=script, **exchanged)


def test_comments_docstrings_and_imports_of_the_package_do_not_count(tmp_path: Path) -> None:
    before = hashed(tmp_path, **BASE)
    assert len(before) == 16
    told = '"""Says\nhello."""\n\nfrom scratchmm.b import f  # why\n\n\nprint(f(1))   \n'
    assert hashed(tmp_path, **{**BASE, "a": told}) == before
    renamed = "from scratchmm.b import f as f\nimport numpy\nprint(f(1))\n"
    assert hashed(tmp_path, **{**BASE, "a": renamed}) == before  # what is used of numpy would count


def test_several_scripts_in_any_order(tmp_path: Path) -> None:
    tree(tmp_path, **BASE)
    both = [tmp_path / "scratchmm" / name for name in ("a.py", "b.py")]
    assert (
        code_hash(both, tmp_path) == code_hash(both[::-1], tmp_path) != code_hash(both[1], tmp_path)
    )


def test_what_only_prints_draws_or_writes_does_not_count(tmp_path: Path) -> None:
    assert all((ROOT / "scratchmm" / name).is_file() for name in BYSTANDERS)
    for name in ("scratchmm.files", "scratchmm.plots", "scratchmm.commands.lessons", "torch"):
        assert files_of(name, ROOT) == set(), name
    path = ROOT / "scratchmm" / "training" / "fit.py"
    assert files_of("scratchmm.training.fit", ROOT) == {path}
    assert files_of("scratchmm.training", ROOT) == set()  # an __init__.py only offers names


@pytest.mark.parametrize(
    ("file", "was", "now", "lessons"),
    [
        ("layers/attention.py", "math.sqrt(query.shape[-1])", "2.0", {"01", "05", "12", "15"}),
        ("diffusion/ddim.py", "torch.no_grad()", "torch.enable_grad()", {"12", "15"}),
        ("training/fit.py", "value.backward()", "(2 * value).backward()", {"05", "12", "15"}),
        ("contrastive/clip.py", "def tiny() -> CLIPConfig:", "def small() -> CLIPConfig:", set()),
    ],
)
def test_a_change_of_the_library_reaches_the_lessons_that_run_it(
    tmp_path: Path, file, was, now, lessons
) -> None:
    for part in ("scratchmm", "tutorials"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("exercises"))
    scripts = [*(tmp_path / "tutorials").glob("[01][125]_*.py")]  # 01 02 05 11 12 15

    def hashes() -> dict[str, str]:
        return {script.name[:2]: code_hash(script, tmp_path) for script in scripts}

    before = hashes()
    path = tmp_path / "scratchmm" / file
    source = path.read_text()
    assert source.count(was) >= 1
    path.write_text(source.replace(was, now, 1))
    changed = {
        script.name[:2]
        for script in scripts
        if code_hash(script, tmp_path) != before[script.name[:2]]
    }
    assert lessons <= changed and (lessons or not changed)


def test_the_library_itself_is_read_whole() -> None:
    texts = needed([ROOT / "scratchmm" / "contrastive" / "clip.py"], ROOT)
    assert any(text.startswith("def attend(") for text in texts)
    assert not any(text.startswith("class LSTM") for text in texts)
