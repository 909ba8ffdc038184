"""The learner's folder: where it is, how it begins, how one exercise in it begins again."""

from __future__ import annotations

import difflib
import os
import shlex
from pathlib import Path

from scratchmm.exercises import catalogue, source
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.progress import FILE
from scratchmm.exercises.stubs import definition, sources, stub_file
from scratchmm.files import atomic_write

ROOT = Path(__file__).resolve().parents[2]
STUBS = ROOT / "tutorials" / "exercises"
DEFAULT = "exercises"


def folder_of(given: str | None) -> Path:
    """The learner's folder: the one given, this one if it is one, or `exercises` in this one."""
    if given:
        return Path(given)
    here = Path.cwd()
    return here if here != STUBS and _has_stubs(here) else Path(DEFAULT)


def option(folder: Path) -> str:
    """What a printed command says of a folder, so that it can be copied; "" where it finds it alone.

    >>> option(Path("my answers"))
    " --folder 'my answers'"
    """
    return "" if folder == folder_of(None) else f" --folder {shlex.quote(str(folder))}"


def _has_stubs(folder: Path) -> bool:
    """Whether `learn start` has written here: progress, or a file that begins as the stubs do."""
    if (folder / FILE).exists():
        return True
    for path in folder.glob("[0-9][0-9]_*.py"):
        with path.open(encoding="utf-8", errors="replace") as file:
            if "Exercises of lesson" in file.readline():
                return True
    return False


def existing(folder: Path) -> Path:
    """The folder, if it is there. Raises FileNotFoundError with what to do."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder} here; `python -m scratchmm learn start{option(folder)}` "
            "makes one"
        )
    return folder


def in_file(path: Path, exercises: list[Exercise]) -> list[Exercise]:
    """The exercises that a file answers: of the lesson that it is called after, else by its names."""
    text = source.read(path)
    held = [one for one in exercises if source.spans(text, one.name)]
    found = [one for one in held if one.lesson == path.stem] or held
    if not found:
        raise ValueError(f"{path} defines nothing that an exercise asks for")
    return found


def start(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the stubs that are not there yet. Returns (written, kept); overwrites nothing."""
    if folder.resolve() == STUBS.resolve():
        raise ValueError(f"{folder} holds the library's own stubs: start in another folder")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    written, kept = [], []
    for lesson, exercises in catalogue.lessons().items():
        path = folder / f"{lesson}.py"
        if path.exists() or path.is_symlink():
            kept.append(path)
            continue
        atomic_write(path, stub_file(exercises))
        written.append(path)
    return written, kept


def write_stubs(folder: Path = STUBS, *, check: bool = False) -> list[str]:
    """Generate the stubs of all lessons; return the names of the files that were not up to date.

    check: only look.
    """
    wanted = {f"{name}.py": stub_file(group) for name, group in catalogue.lessons().items()}
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("[0-9]*_*.py")}
    known = wanted if "SCRATCHMM_LESSONS" in os.environ else {**wanted, **present}
    stale = [name for name in sorted(known) if wanted.get(name) != present.get(name)]
    for name in [] if check else stale:
        folder.mkdir(parents=True, exist_ok=True)
        if name in wanted:
            atomic_write(folder / name, wanted[name])
        else:
            (folder / name).unlink()
    return stale


def reset(folder: Path, exercise: Exercise) -> Path:
    """Put the stub of one exercise back in place of the learner's code. Returns the backup.

    No other line changes. Where the answer was deleted, the stub is added at the end; a file that is
    no Python any more is mended too, as far as the answer can be found in it.
    """
    path = folder / f"{exercise.lesson}.py"
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; `learn start` writes it anew")
    text = source.read(path)
    if twice := source.duplicates(text, exercise.name):
        raise ValueError(f"{path.name} defines {exercise.name} {twice}: delete one of them first")
    lines, stub = text.split("\n"), definition(exercise).split("\n")
    if found := source.spans(text, exercise.name):
        first, last = found[0]
        lines[first:last] = stub
    else:
        while lines and not lines[-1].strip():
            lines.pop()
        lines += ["", "", *stub, ""]
    number = 1
    while (backup := path.with_name(f"{path.name}.backup-{number}")).exists():
        number += 1
    atomic_write(backup, path.read_bytes())
    source.write(path, "\n".join(lines))
    return backup


def difference(path: Path, exercise: Exercise) -> list[str]:
    """The learner's code and the library's, as a unified diff."""
    text = source.read(path)
    found = source.spans(text, exercise.name)
    if not found:
        raise ValueError(f"{path.name} defines no {exercise.name}")
    first, last = found[-1]  # Python takes the last
    mine = text.split("\n")[first:last]
    library = sources(exercise, exercise.parts) + definition(exercise, solved=True)
    names = (f"yours: {path.name}", f"the library's: {exercise.target}")
    return [*difflib.unified_diff(mine, library.split("\n"), *names, n=99, lineterm="")]
