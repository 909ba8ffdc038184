"""The command line: `python -m scratchmm tour | learn | train | generate | bench | ...`.

Each command is a module of this folder with two functions: `add(subparsers)` declares its
arguments, `run(arguments)` does the work and returns the exit status. A module is imported
only when its command is called, so that `--help` never waits for torch.

Exit status: 0 success, 1 an error, 2 a command line that cannot be understood, 130 interrupted.
`learn check` has a scale of its own. An error is one sentence on stderr; `--debug` adds the
traceback.
"""

import argparse
import difflib
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from scratchmm import __version__
from scratchmm.sentences import shortened
from scratchmm.training.threads import patient_threads

COMMANDS = {
    "tour": "train a CLIP from scratch in a minute and see what it learned",
    "learn": "write the library again: exercises with checks and hints",
    "train": "train a model on the generated world, a real set or your own pairs",
    "generate": "draw images of words",
    "bench": "time and weigh the library beside its peers",
    "data": "look at the data, draw the world, download a real set",
    "lessons": "run the lessons, shown as they run",
}

LONGEST_WORD, LONGEST_SENTENCE = 200, 800  # letters; what is longer is shortened in the middle

# Here the library reads what its user gives: a ValueError that comes through is a refusal of that.
READERS = (
    "commands/", "data/", "checkpoints/", "vision/images.py", "files.py",
    "training/checkpoint.py", "training/curve.py", "apps/image_studio/inputs.py",
    "apps/image_studio/models.py", "apps/image_studio/output.py", "apps/image_studio/prompt_table.py",
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses in one sentence.

    >>> Parser(prog="demo").parse_args(["--colour"])
    Traceback (most recent call last):
        ...
    SystemExit: 2
    """

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2 and one sentence."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def build_parser(command: str | None) -> Parser:
    """The parser for one command; the other commands are only named, not imported.

    >>> "tour" in build_parser(None).format_help()
    True
    """
    parser = Parser(prog="python -m scratchmm", description="Multimodal AI written out by hand.")
    parser.add_argument("--version", action="version", version=f"scratchmm {__version__}")
    # Declared for --help; main() takes it out first, so that it may stand anywhere.
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if name == command:
            importlib.import_module(f"{__name__}.{name}").add(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; never raises.

    >>> main(["tuor"])
    2
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    return guarded(lambda: dispatch(words), debug)


def guarded(action: Callable[[], int], debug: bool = False) -> int:
    """Does it and returns the exit status; an error becomes a sentence on stderr.

    >>> guarded(lambda: 0)
    0
    """
    try:
        with stopped_kindly():
            status = action()
        sys.stdout.flush()  # a reader that has gone is noticed here, not at interpreter exit
        return status
    except SystemExit as stop:  # argparse, after --help or a refusal
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except KeyboardInterrupt as stop:
        kept = getattr(stop, "__notes__", [])  # what is kept of a run, and how it goes on
        print(*kept, *stop.args or ["interrupted"], sep="\n", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `| head` has left: what is still buffered must go nowhere, or Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the one place where an error becomes a sentence
        if debug:
            traceback.print_exc()
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 1


@contextmanager
def stopped_kindly() -> Iterator[None]:
    """While the block runs, SIGTERM (of batch systems, containers) ends it as Ctrl-C does: tidily.

    So does SIGHUP, of a terminal that is closed, unless nohup has switched it off.
    """

    owner = os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a child, which inherits this and is ended as ever
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        names = []  # only there may a program say what a signal does
    numbers = [getattr(signal, name) for name in names]
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def dispatch(words: list[str]) -> int:
    """Finds the command's module, reads its arguments and runs it."""
    command = words[0] if words else None
    if command is None:
        build_parser(None).print_help()
        return 2
    if not command.startswith("-") and command not in COMMANDS:
        print(f"error: {unknown(command)}", file=sys.stderr)
        return 2
    arguments = build_parser(command).parse_args(words)
    run: Callable[[argparse.Namespace], int] = importlib.import_module(f"{__name__}.{command}").run
    if command == "bench":  # times threads as torch has them
        return run(arguments)
    with patient_threads():
        return run(arguments)


def unknown(command: str) -> str:
    """The sentence for a command that does not exist.

    >>> unknown("lesons")
    "there is no command 'lesons': did you mean lessons?"
    """
    near = difflib.get_close_matches(command, COMMANDS)
    if near:
        return f"there is no command {command!r}: did you mean {' or '.join(near)}?"
    return f"there is no command {command!r}: the commands are {', '.join(COMMANDS)}"


def sentence(error: Exception) -> str:
    """One line that says what went wrong.

    >>> sentence(FileNotFoundError(2, "No such file or directory", "pairs.tsv"))
    'No such file or directory: pairs.tsv'
    >>> sentence(KeyError("red"))
    "unexpected KeyError: 'red' (--debug shows where)"
    """
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {shortened(error.filename, LONGEST_WORD)}"
    words = [shortened(word, LONGEST_WORD) for word in str(error).split()]
    text = shortened(" ".join(words), LONGEST_SENTENCE)
    if isinstance(error, (ValueError, OSError, ImportError)) and text:
        return text
    return f"unexpected {type(error).__name__}{text and f': {text}'} (--debug shows where)"


def refused(error: BaseException) -> bool:
    """Whether the library refused what its user gave: then its sentence says all there is to say.

    An error of a model's own code, or of a learner's, is none: there a traceback shows the line.

    >>> refused(ValueError("raised by nobody's reader"))
    False
    """
    home = Path(__file__).resolve().parents[1].as_posix() + "/"
    files = [Path(frame.filename).as_posix() for frame in traceback.extract_tb(error.__traceback__)]
    inside = [file.removeprefix(home) for file in files if file.startswith(home)]
    runners = ("exercises/", "commands/one_lesson.py")  # they run what others wrote
    library = [file for file in inside if not file.startswith(runners)]
    if isinstance(error, OSError):
        return bool(library)
    read = any(file.startswith(READERS) for file in library)
    while files and files[-1] == home + "sentences.py":  # which refuses for whoever calls it
        files.pop()
    trained = bool(files) and files[-1].startswith(home + "training/")  # fit itself refuses
    return isinstance(error, ValueError) and (read or trained)


def check_seed(seed: int) -> None:
    """Refuse a seed that not every generator takes.

    >>> check_seed(-1)
    Traceback (most recent call last):
    ValueError: --seed -1 does not lie between 0 and 4294967295
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed {seed} does not lie between 0 and {2**32 - 1}")
