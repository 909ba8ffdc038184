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

from scratchmm import __version__
from scratchmm.refusals import Parser, sentence
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
