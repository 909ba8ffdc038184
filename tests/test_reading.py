"""What a reader needs: a model is understood from few files, a file fits in the head."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from scratchmm.needed_code import Library, Module, Place
from scratchmm.source_code import code_of

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scratchmm"
MODELS = "layers vision language audio video contrastive fusion lmm diffusion speech audiovisual"
ROOMS = [*MODELS.split(), "video_language"]
FILES = sorted(file for room in ROOMS for file in (PACKAGE / room).rglob("*.py"))
LIBRARY = Library(ROOT)
MOST_FILES, MOST_LINES, MOST_LINES_OF_A_FILE = 6, 500, 250
# These two lists may only shrink: an entry that is no longer needed fails.
NEED_MORE: set[str] = set()
SUBCLASSES: set[str] = set()


def needed(library: Library, file: Path, name: str) -> dict[Place, int]:
    """The definitions that one needs, itself among them, each with its lines of code.

    Not followed is what only refuses (check_...).
    """
    lines: dict[Place, int] = {}
    waiting = [Place(file, name)]
    while waiting:
        place = waiting.pop()
        if place in lines or (place.name or "").lstrip("_").startswith("check_"):
            continue
        module = library.module(place.file)
        statements = module.binds.get(place.name or "", [])
        lines[place] = sum(len(module.text(statement).splitlines()) for statement in statements)
        for statement in statements:
            waiting += [there for _, there in library.needs(module, statement)]
    return {place: count for place, count in lines.items() if count}


def size_of(library: Library, file: Path, name: str) -> tuple[int, int]:
    """How many files and how many lines of code a definition needs."""
    lines = needed(library, file, name)
    return len({place.file for place in lines}), sum(lines.values())


def classes(module: Module) -> Iterator[ast.ClassDef]:
    """The classes at the top of a module."""
    return (node for node in module.body if isinstance(node, ast.ClassDef))


def is_model(node: ast.ClassDef) -> bool:
    """Whether a class has a forward pass of its own, and is public."""
    methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    return "forward" in methods and not node.name.startswith("_")


def bases_in(library: Library, module: Module, node: ast.ClassDef) -> Iterator[Place]:
    """The base classes of a class that stand in the package."""
    for base in node.bases:
        for _, place in library.needs(module, ast.Expr(base)):
            if any(isinstance(bound, ast.ClassDef) for bound in bound_by(library, place)):
                yield place


def bound_by(library: Library, place: Place) -> list[ast.stmt]:
    """The statements that bind a name."""
    return library.module(place.file).binds.get(place.name or "", [])


def is_module(library: Library, module: Module, node: ast.ClassDef) -> bool:
    """Whether a class is an nn.Module, itself or through classes of the package."""
    if any(ast.unparse(base) in ("nn.Module", "torch.nn.Module") for base in node.bases):
        return True
    return any(
        isinstance(bound, ast.ClassDef) and is_module(library, library.module(place.file), bound)
        for place in bases_in(library, module, node)
        for bound in bound_by(library, place)
    )


def subclasses(library: Library, files: list[Path], package: Path) -> set[str]:
    """The models that are subclasses of a model of the package, each with its file."""
    return {
        f"{file.relative_to(package).as_posix()} {node.name}"
        for file in files
        for node in classes(library.module(file))
        if is_module(library, library.module(file), node)
        and list(bases_in(library, library.module(file), node))
    }


CLASSES = [
    (file, node.name) for file in FILES for node in classes(LIBRARY.module(file)) if is_model(node)
]


def label(file: Path, name: str) -> str:
    return f"{file.relative_to(PACKAGE).as_posix()} {name}"


def test_the_models_are_found() -> None:
    assert len(CLASSES) > 60 and (PACKAGE / "contrastive" / "clip.py", "CLIP") in CLASSES


@pytest.mark.parametrize(("file", "name"), CLASSES, ids=[label(*model) for model in CLASSES])
def test_a_model_is_understood_from_six_files_and_500_lines(file: Path, name: str) -> None:
    files, lines = size_of(LIBRARY, file, name)
    fits = files <= MOST_FILES and lines <= MOST_LINES
    place = label(file, name)
    if place in NEED_MORE:
        assert not fits, f"{place} needs {files} files, {lines} lines: take it off NEED_MORE"
    else:
        by_file: dict[str, int] = {}
        for there, count in needed(LIBRARY, file, name).items():
            by_file[there.file.name] = by_file.get(there.file.name, 0) + count
        assert fits, f"{place} needs {files} files and {lines} lines of code: {by_file}"


def test_no_exception_is_left_over() -> None:
    assert {label(*model) for model in CLASSES} >= NEED_MORE


def test_no_model_is_a_subclass_of_another() -> None:
    """Models are composed: what differs is an argument, or a small class beside."""
    assert subclasses(LIBRARY, FILES, PACKAGE) == SUBCLASSES


@pytest.mark.parametrize(
    "file",
    [file for file in sorted(PACKAGE.rglob("*.py")) if "lessons" not in file.parts],
    ids=lambda file: file.relative_to(PACKAGE).as_posix(),
)
def test_a_file_has_at_most_250_lines_of_code(file: Path) -> None:
    """Docstrings, comments and blank lines are not counted."""
    count = len(code_of(file.read_text(encoding="utf-8")).splitlines())
    assert count <= MOST_LINES_OF_A_FILE, f"{count} lines of code"


# --- the measure itself -------------------------------------------------------------------------

MODEL = '''
"""A model."""
from torch import nn
from scratchmm.layers.part import Part
from scratchmm.layers import help


class Model(nn.Module):
    """Its docstring does not count."""

    def __init__(self):
        super().__init__()
        self.part = Part()  # nor does a comment

    def forward(self, x):
        check_x(x)
        return help.double(self.part(x))


def check_x(x):
    heavy(x)


class Other(Part):
    pass
'''
PART = """
from torch import nn


class Part(nn.Module):
    def forward(self, x):
        return x


class Unused:
    pass
"""
HELP = "def double(x):\n    return FACTOR * x\n\n\nFACTOR = 2\n\n\ndef heavy(x):\n    return x\n"


def small_package(root: Path, model: str = MODEL) -> tuple[Library, Path]:
    layers = root / "scratchmm" / "layers"
    layers.mkdir(parents=True, exist_ok=True)
    for name, text in (("model", model), ("part", PART), ("help", HELP)):
        (layers / f"{name}.py").write_text(text)
    return Library(root), layers / "model.py"


def test_definitions_are_counted_with_what_they_need(tmp_path: Path) -> None:
    library, file = small_package(tmp_path)
    counted = {place.name: count for place, count in needed(library, file, "Model").items()}
    assert counted == {"Model": 7, "Part": 3, "double": 2, "FACTOR": 1}
    assert size_of(library, file, "Model") == (3, 13)


def test_what_a_model_imports_anew_is_counted(tmp_path: Path) -> None:
    heavier = MODEL.replace("return help.double", "return help.heavy")
    library, file = small_package(tmp_path, heavier)
    assert {place.name for place in needed(library, file, "Model")} == {"Model", "Part", "heavy"}
    inside = MODEL.replace(
        "        check_x(x)\n",
        "        from scratchmm.layers.part import Unused\n        Unused()\n",
    )
    library, file = small_package(tmp_path, inside)
    assert "Unused" in {place.name for place in needed(library, file, "Model")}


def test_a_subclass_is_told_from_a_part(tmp_path: Path) -> None:
    library, file = small_package(tmp_path)
    assert subclasses(library, [file], tmp_path / "scratchmm") == {"layers/model.py Other"}
    assert subclasses(library, [file.with_name("part.py")], tmp_path / "scratchmm") == set()
