"""Run one lesson as a script, so that what the library refuses of its user's is a sentence.

`python -m scratchmm.commands.one_lesson tutorials/NN_topic.py [the lesson's flags]`
"""

import argparse
import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from scratchmm.commands import guarded
from scratchmm.refusals import Parser, check_seed, refused
from scratchmm.training.threads import patient_threads


def run_lesson(path: Path, flags: Sequence[str]) -> int:
    """Run a lesson as a script, with these flags. Returns its exit status.

    What the library refuses of its user's is raised, for a sentence; any other error is shown with
    its traceback, for it may well be the learner's own code.
    """
    check_flags(flags)
    before = sys.argv, sys.path[:], argparse.ArgumentParser.error
    sys.argv = [str(path), *flags]
    sys.path.insert(0, str(path.parent))
    argparse.ArgumentParser.error = Parser.error  # type: ignore[method-assign, assignment]
    try:
        with patient_threads():
            runpy.run_path(str(path), run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)  # as Python itself does
            return 1
        return stop.code or 0
    except Exception as error:
        if isinstance(error, ImportError) and str(error.name).split(".")[0] == "matplotlib":
            raise ImportError("lessons need matplotlib: pip install -e '.[tutorials]'") from error
        if refused(error):
            raise
        traceback.print_exc()
        return 1
    finally:
        sys.argv, sys.path[:], argparse.ArgumentParser.error = before  # type: ignore[method-assign]
    return 0


def check_flags(flags: Sequence[str]) -> None:
    """Refuse a seed that no lesson can use, before the lesson begins and leaves a folder."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--seed", type=int, default=0)
    try:
        check_seed(parser.parse_known_args(list(flags))[0].seed)
    except argparse.ArgumentError:
        pass  # no number at all: the lesson's own parser says so


if __name__ == "__main__":
    raise SystemExit(guarded(lambda: run_lesson(Path(sys.argv[1]), sys.argv[2:])))
