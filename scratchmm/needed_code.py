"""Which code a figure depends on: a hash over a script and every definition that it needs.

A recorded result and a checkpoint depend on the code that made them: the script, the functions,
classes and constants of the package that it names, all that these name, and so on. The file and
line of a definition do not count, nor do comments, docstrings and code that only prints, plots or
writes files.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeGuard

from scratchmm.source_code import bare_lines, parsed

PACKAGE = "scratchmm"
# They print, plot and write, and cannot change a result.
BYSTANDERS = {f"commands/{name}.py" for name in ("__init__", "lessons", "lesson_run", "sources")}
BYSTANDERS |= {
    "claims.py",
    "plots.py",
    "plot_style.py",
    "files.py",
    "lesson.py",
    "recipes/artifact.py",
    "refusals.py",
    "sentences.py",
    "source_code.py",
    "needed_code.py",
}
BYSTANDERS |= {f"training/{name}.py" for name in ("curve", "run_folder", "fingerprint")}
BOUND = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
IMPORTS = ast.Import | ast.ImportFrom
ALL = "*"  # of a module: whatever of it is used


class Place(NamedTuple):
    """A name of a module; with None for the name, the module itself, of which something is used."""

    file: Path
    name: str | None


class Module:
    """A file of the package: its statements, the names they bind, and the names it imports."""

    def __init__(self, file: Path, root: Path) -> None:
        self.file, self.root = file, root
        source = file.read_text(encoding="utf-8")
        self.lines = bare_lines(source)
        self.body = [part for part in parsed(source).body if not is_docstring(part)]
        self.binds: dict[str, list[ast.stmt]] = {}
        self.always: list[ast.stmt] = []  # statements with an effect at import
        self.imported: dict[str, set[Place]] = {}
        for statement in self.body:
            names = bound_names(statement)
            for name in names:
                self.binds.setdefault(name, []).append(statement)
            if isinstance(statement, IMPORTS):
                self._note(self.imported, statement)
            elif not names and not only_for_types(statement):
                self.always.append(statement)
                for node in ast.walk(statement):  # such as: try: import
                    self._note(self.imported, node)

    def _note(self, known: dict[str, set[Place]], node: ast.AST) -> None:
        """Put the names that an import binds into `known`, with the places they refer to."""
        for local, places in imported_names(node, self.file, self.root):
            known.setdefault(local, set()).update(places)

    def statements(self, name: str | None) -> list[ast.stmt]:
        """The statements that bind a name, or all; with those that have an effect at import."""
        if name in (None, ALL):
            return self.body
        return self.binds.get(name or "", []) + self.always

    def imported_whole(self, statement: ast.stmt) -> list[Place]:
        """The modules of an `import scratchmm.a.b`: it may be there for their effects."""
        found = imported_names(statement, self.file, self.root)
        return [place for _, places in found for place in places if place.name == ALL]

    def text(self, statement: ast.stmt) -> str:
        """The lines of a statement without comments, docstrings and imports of the package."""
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(part.lineno for part in decorators)])
        gone: set[int] = set()
        for node in ast.walk(statement):
            if of_the_package(node):
                gone.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        numbers = range(first, (statement.end_lineno or first) + 1)
        lines = (self.lines[number - 1] for number in numbers if number not in gone)
        return "\n".join(line for line in lines if line)

    def needs(self, statement: ast.stmt) -> Iterator[tuple[str, Place]]:
        """The names in a statement and where each is bound: in this module, or in one it imports."""
        known = {name: set(places) for name, places in self.imported.items()}
        used: dict[str, set[str | None]] = {}  # a name, and which attributes of it: None for itself
        attributed = set()
        for node in ast.walk(statement):
            self._note(known, node)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used.setdefault(node.value.id, set()).add(node.attr)
                attributed.add(node.value)
            elif isinstance(node, ast.Name) and node not in attributed:
                used.setdefault(node.id, set()).add(None)
        for name, attributes in used.items():
            if name in self.binds:
                yield name, Place(self.file, name)
            for place in known.get(name, ()):
                if place.name is None and None not in attributes:
                    yield from ((f"{name}.{a}", Place(place.file, a)) for a in attributes)
                else:
                    yield name, place


def code_hash(scripts: Path | Iterable[Path], root: Path) -> str:
    """A hash over the code of one or more files and of every definition that they need."""
    first = [scripts] if isinstance(scripts, Path) else list(scripts)
    digest = hashlib.sha256()
    for text in sorted(needed(first, root)):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


def needed(scripts: Iterable[Path], root: Path) -> set[str]:
    """All statements of these files, and those that they need in turn, each with its names' meanings.

    The meaning of a name: the texts that bind it. So a change is seen, too, where two files
    exchange the values of a constant of one name.
    """
    library = Library(root)
    found: set[str] = set()
    seen: set[Place] = set()
    done: set[ast.stmt] = set()
    waiting = [Place(script, ALL) for script in scripts]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        module = library.module(place.file)
        for statement in module.statements(place.name):
            if statement in done:
                continue
            done.add(statement)
            if isinstance(statement, IMPORTS):
                waiting += module.imported_whole(statement)
                continue
            means = []
            for name, there in library.needs(module, statement):
                waiting.append(there)
                means.append(f"{name}: {library.meaning(there)}")
            found.add("\n".join([module.text(statement), *sorted(means)]))
    return found


class Library:
    """The modules of the package that were parsed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[Path, Module] = {}

    def module(self, file: Path) -> Module:
        """A file, read once."""
        if file not in self.modules:
            self.modules[file] = Module(file, self.root)
        return self.modules[file]

    def needs(self, module: Module, statement: ast.stmt) -> Iterator[tuple[str, Place]]:
        """The names in a statement and where each is defined, through any re-exports."""
        waiting = [*module.needs(statement)]
        while waiting:
            name, place = waiting.pop()
            there = self.module(place.file)
            passed_on = there.imported.get(place.name or "", set())
            if passed_on and place.name not in there.binds:
                waiting += [(name, origin) for origin in passed_on]
            else:
                yield name, place

    def meaning(self, place: Place) -> str:
        """A hash of the statements that bind a name."""
        module = self.module(place.file)
        texts = (module.text(bound) for bound in module.binds.get(place.name or "", []))
        return hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


def bound_names(statement: ast.stmt) -> list[str]:
    """The names that a definition or an assignment at the top of a module binds; else none.

    >>> [bound_names(statement) for statement in ast.parse("a = b, c = 1, 2\\nprint(a)").body]
    [['a', 'b', 'c'], []]
    """
    if isinstance(statement, BOUND):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    else:
        return []
    named = [
        node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
    ]
    plain = all(isinstance(t, ast.Name | ast.Tuple | ast.List) for t in targets)
    return named if plain else []  # table["key"] = value is something that the module does


def is_docstring(statement: ast.stmt) -> bool:
    """Whether a statement is a constant by itself, such as a docstring."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def only_for_types(statement: ast.stmt) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, which has no effect at import."""
    test = statement.test if isinstance(statement, ast.If) else None
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def of_the_package(node: ast.AST) -> TypeGuard[ast.stmt]:
    """Whether a node is an import of the package: the imported code counts, its location does not."""
    if isinstance(node, ast.ImportFrom):
        return bool(node.level) or (node.module or "").split(".")[0] == PACKAGE
    return isinstance(node, ast.Import) and node.names[0].name.split(".")[0] == PACKAGE


def imported_names(node: ast.AST, file: Path, root: Path) -> Iterator[tuple[str, set[Place]]]:
    """The names that an import binds to something of the package, each with what it stands for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            # `import scratchmm.a.b` binds the first name; which attributes are used is not analysed.
            name = None if alias.asname else ALL
            places = {Place(found, name) for found in files_of(alias.name, root)}
            yield alias.asname or alias.name.split(".")[0], places
    elif isinstance(node, ast.ImportFrom):
        parts = file.relative_to(root).with_suffix("").parts
        above = ".".join(parts[: len(parts) - node.level]) if node.level else ""
        base = ".".join(piece for piece in (above, node.module or "") if piece)
        for alias in node.names:
            modules = {Place(found, None) for found in files_of(f"{base}.{alias.name}", root)}
            own = {Place(found, alias.name) for found in files_of(base, root)}
            yield alias.asname or alias.name, modules or own


def files_of(module: str, root: Path) -> set[Path]:
    """The file of a module of the package. Not the __init__.py above it: that only re-exports."""
    words = module.split(".")
    if words[0] != PACKAGE:
        return set()
    skip = {root / PACKAGE / name for name in BYSTANDERS}
    return {file for file in {root.joinpath(*words).with_suffix(".py")} - skip if file.is_file()}
