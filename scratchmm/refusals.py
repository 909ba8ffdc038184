"""How a refusal reaches the user: one sentence, from a command line, a lesson or the library itself.

Below the commands and the lessons, which both end in a sentence where their user gave what cannot be.
"""

import argparse
import traceback
from pathlib import Path
from typing import NoReturn

from scratchmm.sentences import shortened

LONGEST_WORD, LONGEST_SENTENCE = 200, 800  # letters; what is longer is shortened in the middle

# Here the library reads what its user gives: a ValueError that comes through is a refusal of that.
READERS = (
    "commands/", "data/", "checkpoints/", "vision/images.py", "files.py", "lesson.py",
    "recipes/datasets.py",
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
    home = Path(__file__).resolve().parent.as_posix() + "/"
    files = [Path(frame.filename).as_posix() for frame in traceback.extract_tb(error.__traceback__)]
    inside = [file.removeprefix(home) for file in files if file.startswith(home)]
    runners = ("exercises/", "commands/one_lesson.py")  # they run what others wrote
    library = [file for file in inside if not file.startswith(runners)]
    if isinstance(error, OSError):
        return bool(library)
    read = any(file.startswith(READERS) for file in library)
    while files and files[-1] == home + "sentences.py":  # which refuses for whoever calls it
        files.pop()
    owners = (home + "training/", home + "recipes/")  # fit itself refuses, or a recipe
    trained = bool(files) and files[-1].startswith(owners)
    return isinstance(error, ValueError) and (read or trained)


def check_seed(seed: int) -> None:
    """Refuse a seed that not every generator takes.

    >>> check_seed(-1)
    Traceback (most recent call last):
    ValueError: --seed -1 does not lie between 0 and 4294967295
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed {seed} does not lie between 0 and {2**32 - 1}")
