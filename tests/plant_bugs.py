"""Plants small bugs in the library, one at a time, and runs the tests that should notice.

python tests/plant_bugs.py --room data --count 20 --seed 0

Every bug is one small change of one place: a comparison, an operand, a keyword, a statement, a
decorator (bugs.py). Which places is sampled with the seed, each kind of change as often as any
other. It is made in a copy of the tree, never here; there the examples of the file's docstrings run,
and the tests that mirror the file, until one fails. A test that fails without the bug as well counts
for nothing. The exit status is 1 if fewer than 95 % are caught; planted_bugs.md says what is done
about those that live.
"""

import argparse
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from bugs import Bug, bugs_of, planted

ROOT = Path(__file__).resolve().parents[1]
GOAL = 0.95
PRELOADED = ["torch", "numpy", "einops", "PIL", "soundfile", "pytest", "hypothesis"]
PRELOADED += ["transformers", "diffusers", "tokenizers", "librosa"]  # where they are
# A test of speed says nothing on a machine that is at work.
TIMED = "not is_fast and not a_second and not milliseconds and not costs_no_quadratic"


def rooms() -> dict[str, list[Path]]:
    """The files of each room of the library, but not the answers and checks of exercises."""
    found = defaultdict(list)
    for path in sorted((ROOT / "scratchmm").rglob("*.py")):
        parts = path.relative_to(ROOT / "scratchmm").parts
        if parts[:2] != ("exercises", "lessons"):
            found[parts[0] if len(parts) > 1 else "top"].append(path.relative_to(ROOT))
    return found


def sample(files: list[Path], count: int, seed: int, root: Path = ROOT) -> list[Bug]:
    """So many bugs, of every kind about as many, no two on one line."""
    rng, kinds = random.Random(seed), defaultdict(list)
    for path in files:
        for bug in bugs_of(path, (root / path).read_bytes()):
            kinds[bug.kind].append(bug)
    found: dict[tuple[Path, int], Bug] = {}
    while len(found) < count and kinds:
        kind = rng.choice(sorted(kinds))
        bug = kinds[kind].pop(rng.randrange(len(kinds[kind])))
        if not kinds[kind]:
            del kinds[kind]
        if planted((root / bug.path).read_bytes(), bug) is not None:
            found.setdefault((bug.path, bug.line), bug)
    return list(found.values())


def mirror_of(path: Path, root: Path = ROOT) -> list[str]:
    """The file itself, for its examples, and the tests that mirror it: by name, then by import.

    >>> mirror_of(Path("scratchmm/language/bert_words.py"))
    ['scratchmm/language/bert_words.py', 'tests/language/test_wordpiece.py']
    """
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    package, _, name = module.rpartition(".")
    part = rf"from {package} import (\([^)]*|[^\n]*)\b{name}\b"
    home = root / "tests" / "/".join(path.parts[1:-1])
    near, all_of = sorted(home.glob("test_*.py")), sorted((root / "tests").rglob("test_*.py"))
    found = [test for test in near if test.name.startswith(f"test_{name}")]
    for tests in (near, all_of):
        for test in tests if tests is near or not found else []:
            text = test.read_text(encoding="utf-8")
            whole = re.search(rf"(from|import) {module}\b", text)
            if test not in found and (whole or re.search(part, text)):
                found.append(test)
    return [str(path), *(str(test.relative_to(root)) for test in found or near)]


class Failures:
    """What pytest is given to tell the first test that failed."""

    def __init__(self) -> None:
        self.first = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.first = self.first or report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.first = self.first or f"--collect-only {report.nodeid}"


def run_tests(folder: str, words: list[str], pipe: Any) -> None:
    """In a process of its own: pytest in a folder; sends what failed first, "" if nothing did."""
    os.setsid()  # so that what it starts ends with it
    os.chdir(folder)
    sys.path[:] = [folder, *(place for place in sys.path if Path(place or ".").resolve() != ROOT)]
    os.environ.update(PYTHONPATH=folder, MPLBACKEND="agg")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    import pytest

    failures = Failures()
    status = pytest.main([*words, "-x", "-q", "-p", "no:cacheprovider", "--tb=no"], [failures])
    pipe.send(failures.first or ("the tests did not run" if status not in (0, 5) else ""))


class Copy:
    """A copy of the tree to plant bugs in."""

    def __init__(self, folder: str, limit: float) -> None:
        self.folder, self.limit, self.clock = Path(folder), limit, int(time.time()) - 10**7
        self.sound: dict[str, bool] = {}  # tests that failed on a bug: do they pass without?
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split("\0")  # fmt: skip
        for name in filter(None, listed):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                shutil.copyfile(ROOT / name, self.folder / name)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def write(self, path: Path, content: bytes) -> None:
        (self.folder / path).write_bytes(content)
        self.clock += 2  # compiled files are told apart by the time of their source
        os.utime(self.folder / path, (self.clock, self.clock))

    def first_failure(self, words: list[str]) -> str:
        """The first test that fails, "" if none does; "endless" beyond the limit."""
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=run_tests, args=(str(self.folder), words, theirs))
        process.start()
        theirs.close()
        try:
            if not ours.poll(self.limit):
                return "endless"
            return str(ours.recv())
        except EOFError:
            return "the process died"
        finally:
            try:
                os.killpg(process.pid or 0, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.join()

    def catches(self, bug: Bug) -> str:
        """The test that catches a bug, or ""."""
        source = (self.folder / bug.path).read_bytes()
        words = [*mirror_of(bug.path, self.folder), "-k", TIMED]
        while True:
            self.write(bug.path, planted(source, bug) or b"")
            failed = self.first_failure(words)
            self.write(bug.path, source)
            one_test = ".py" in failed
            again = failed.split(" ", 1) if failed.startswith("--collect-only ") else [failed]
            known = failed if one_test else f"{failed} {bug.path}"
            if failed and known not in self.sound:
                self.sound[known] = not self.first_failure(again if one_test else words)
            if not failed or self.sound[known]:
                return failed
            if not one_test:
                return ""  # without the bug it is as bad: nothing is known
            words += ["--deselect", failed]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--room", action="append", choices=sorted(rooms()), help="all if not given")
    parser.add_argument("--file", action="append", type=Path, help="only in these files")
    parser.add_argument("--count", type=int, default=20, help="bugs in a room (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="fixes which")
    parser.add_argument("--limit", type=float, default=300, help="seconds for a bug (default 300)")
    arguments = parser.parse_args()
    caught, planted_in, lived = Counter[str](), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(folder, arguments.limit)
        for room in arguments.room or sorted(rooms()):
            files = [f for f in rooms()[room] if not arguments.file or f in arguments.file]
            for bug in sample(files, arguments.count, arguments.seed, copy.folder):
                start = time.monotonic()
                by = copy.catches(bug)
                planted_in[room] += 1
                caught[room] += bool(by)
                lived += [] if by else [bug]
                seconds = f"{time.monotonic() - start:.0f} s"
                print(f"{'caught' if by else 'LIVED '} {seconds:>5}  {bug}  {by}", flush=True)
    print("", *(f"{bug}" for bug in lived), "", sep="\n")
    for room, count in planted_in.items():
        print(f"{room:12} {caught[room]:4} of {count:4}  {caught[room] / count:6.1%}")
    share = caught.total() / max(1, planted_in.total())
    print(f"{'all':12} {caught.total():4} of {planted_in.total():4}  {share:6.1%}")
    return int(share < GOAL)


if __name__ == "__main__":
    raise SystemExit(main())
