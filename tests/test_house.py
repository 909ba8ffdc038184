"""What holds the house together: which way imports point, what every file owes its reader."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scratchmm"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = [
    {"claims", "layers", "file_kinds", "sentences", "image_formats", "lazily", "files"},
    {"vision", "language", "audio", "video"},
    {"contrastive", "fusion", "lmm", "diffusion", "audiovisual"},
]
MODELS = set().union(*FLOORS)
SERVANTS = {"data", "training", "metrics", "checkpoints", "exercises", "apps", "commands", "bench"}
BESIDE = {"data", "training", "metrics", "checkpoints", "recipes"}  # above models, below apps
ABOVE_APPS = {"commands", "exercises", "bench"}
EXTRAS = {"matplotlib", "tqdm", "transformers", "diffusers", "tokenizers", "safetensors", "librosa"}
EXTRAS |= {"scipy", "pytest"}
CORE = {"torch", "numpy", "einops", "PIL", "soundfile", "scratchmm"}


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imported(node: ast.AST) -> list[str]:
    """The absolute names that an import statement brings in; none for other nodes."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are written out in full, not with dots"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def imports(path: Path, *, anywhere: bool = True) -> set[str]:
    """Everything a file imports; anywhere=False: only what is imported as the file is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if anywhere:
        return {name for node in ast.walk(tree) for name in imported(node)}
    waiting, found = list(tree.body), set()
    while waiting:
        node = waiting.pop()
        found |= set(imported(node))
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += [] if typing_only else list(ast.iter_child_nodes(node))
    return found


def is_bank(path: Path) -> bool:
    """Wrong answers and checks of an exercise: read by the engine, not by a student."""
    return path.is_relative_to(PACKAGE / "exercises" / "lessons")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in MODELS], ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    here = next(level for level, rooms in enumerate(FLOORS) if room(path) in rooms)
    for name in imports(path):
        words = name.split(".")
        if words[0] != "scratchmm" or len(words) < 2:
            continue
        assert words[1] not in SERVANTS, f"a model imports {name}"
        there = next((level for level, rooms in enumerate(FLOORS) if words[1] in rooms), None)
        assert there is not None and there <= here, f"{relative(path)} looks up to {name}"
        if there == here and here == 1:
            assert words[1] == room(path), f"{relative(path)} looks into its neighbour {name}"


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in {*BESIDE, "apps"}], ids=relative)
def test_data_and_training_stand_below_recipes_below_apps_below_commands(path: Path) -> None:
    above = ABOVE_APPS | ({"apps"} if room(path) in BESIDE else set())
    above |= {"recipes"} if room(path) in BESIDE - {"recipes"} else set()
    for name in imports(path):
        words = name.split(".")
        looks_up = words[0] == "scratchmm" and bool(above.intersection(words[1:2]))
        assert not looks_up, f"{relative(path)} looks up to {name}"


LESSONS = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))


@pytest.mark.parametrize("path", LESSONS, ids=relative)
def test_lessons_import_recipes_and_no_command(path: Path) -> None:
    assert not [name for name in imports(path) if name.startswith("scratchmm.commands")]


@pytest.mark.parametrize("path", [f for f in FILES if room(f) == "layers"], ids=relative)
def test_layers_import_only_torch_and_einops(path: Path) -> None:
    allowed = {"torch", "einops", "scratchmm"} | sys.stdlib_module_names
    assert {name.split(".")[0] for name in imports(path)} <= allowed


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_extras_are_imported_only_where_they_are_used(path: Path) -> None:
    at_the_top = {name.split(".")[0] for name in imports(path, anywhere=False)}
    assert not at_the_top & EXTRAS
    assert at_the_top <= CORE | sys.stdlib_module_names


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text:
        return
    # An exercise is one page. Elsewhere code is counted, not lines: test_reading.py.
    if is_bank(path):
        assert len(text.splitlines()) <= 250
    assert ast.get_docstring(ast.parse(text)), "a file begins by saying what it holds"


@pytest.mark.parametrize("path", [f for f in FILES if not is_bank(f)], ids=relative)
def test_every_field_of_a_config_says_what_it_is(path: Path) -> None:
    """By a comment beside it, or on the line above."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
            for field in node.body:
                if isinstance(field, ast.AnnAssign):
                    assert field.end_lineno is not None
                    above, beside = lines[field.lineno - 2], lines[field.end_lineno - 1]
                    said = "# " in beside or above.strip().startswith("# ")
                    assert said, f"{relative(path)}: {node.name}.{ast.unparse(field.target)}"


@pytest.mark.parametrize("path", [f for f in FILES if not is_bank(f)], ids=relative)
def test_everything_public_is_documented(path: Path) -> None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            place = f"{relative(path)}:{node.lineno} {node.name}"
            assert ast.get_docstring(node), f"{place} has no docstring"
            methods = node.body if isinstance(node, ast.ClassDef) else []
            for method in methods:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    assert ast.get_docstring(method), f"{place}.{method.name} has no docstring"


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in MODELS], ids=relative)
def test_public_parts_of_models_have_an_example(path: Path) -> None:
    """A published size needs none (a function without arguments), nor what only checks or hurries."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        bases = [ast.unparse(base) for base in getattr(node, "bases", [])]
        plain = "NamedTuple" in bases or any("Config" in name for name in [node.name])
        size = isinstance(node, ast.FunctionDef) and not node.args.args
        check = node.name.startswith("check_") or path.name.startswith("fast_")
        if not plain and not size and not check:
            assert ">>>" in (ast.get_docstring(node) or ""), f"{relative(path)} {node.name}"


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in MODELS], ids=relative)
def test_a_models_file_gives_paper_dimensions_and_differences(path: Path) -> None:
    if path.name == "__init__.py":
        return
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    if "nn.Module)" in path.read_text(encoding="utf-8"):
        for words in ("Paper", "arXiv", "Dimensions:", "Differs from the paper"):
            assert words in docstring, words


SILENT = [f for f in FILES if room(f) not in ("commands", "exercises") and f.name != "lesson.py"]


@pytest.mark.parametrize("path", SILENT, ids=relative)
def test_only_commands_and_what_lessons_end_with_print(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            raise AssertionError(f"{relative(path)}:{node.lineno} prints")


def test_no_notebook_is_committed() -> None:
    assert not [p for p in ROOT.rglob("*.ipynb") if "runs" not in p.parts]


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150, f"README.md has {len(lines)} lines; it is for five minutes"
    top = lines[:25]
    install = 'python -m pip install -c constraints.txt -e ".[tutorials{}]" && python -m {}'
    for command in (install.format("", "scratchmm tour"), install.format(",test", "pytest")):
        assert any(command in line for line in top), command


def test_dependencies_are_the_five_and_the_constraints_pin_all() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(project["dependencies"]) == ["einops", "numpy", "pillow", "soundfile", "torch"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in pinned)
    names = {line.split("==")[0].lower().replace("_", "-") for line in pinned}
    wanted = set(project["dependencies"]).union(*project["optional-dependencies"].values())
    assert wanted <= names
    assert "torch==2.13.0" in pinned


def fresh(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_costs_little() -> None:
    """At most 0.15 s over torch's own import; tried again if the machine was busy."""
    code = (
        "import torch, time; start = time.perf_counter(); import scratchmm;"
        "print(time.perf_counter() - start)"
    )
    assert any(float(fresh(code)) < 0.15 for _ in range(3))


def test_importing_everything_touches_no_gpu_and_no_extra() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if path.name != "__main__.py"
    ]
    code = (
        "import importlib, sys, torch, torch._dynamo\n"  # which brings tqdm, if it is there
        "before = set(sys.modules)\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(torch.cuda.is_initialized(), torch.get_default_device())\n"
        f"print(sorted((set(sys.modules) - before) & {EXTRAS!r}))"
    )
    assert fresh(code).splitlines() == ["False cpu", "[]"]


def test_configs_cannot_be_changed_behind_a_models_back() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
                how = [ast.unparse(decorator) for decorator in node.decorator_list]
                named = "NamedTuple" in [ast.unparse(base) for base in node.bases]
                assert named or how == ["dataclass(frozen=True)"], f"{relative(path)} {node.name}"
