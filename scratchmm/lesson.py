"""What every lesson begins and ends with: its flags, its folder, the style of its plots, its result.

    parser = LessonParser(__doc__)
    options = parser.read("")  # in a notebook, flags go here: "--quick --device cuda"
    out = options.folder("01_attention")
    steps = options.training_steps(400, quick=150)
    ...
    report("digits found", recall, 0.99, unjudged=options.unjudged)

In a shell the command line counts. Elsewhere the lesson is no script and has none: the text given
to `read` counts, and where it is empty the environment variable SCRATCHMM_FLAGS.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from scratchmm.plot_style import STYLE
from scratchmm.refusals import Parser, check_seed, refused, sentence

FLAGS = "SCRATCHMM_FLAGS"  # where a notebook's flags may stand, for all lessons
MINE = "SCRATCHMM_MINE"  # set while a lesson runs on a learner's answers
FIGURE_FILE = "SCRATCHMM_FIGURE_FILE"  # where a lesson leaves its result for who runs it


class LessonOptions(argparse.Namespace):
    """What was asked of a lesson, and what follows from it.

    `unjudged` says why the results of this run are reported but not judged; "" if they are.

    >>> options = LessonParser("A lesson.", trains=True).read("--steps 100")
    >>> options.training_steps(400, quick=20), options.other_steps(200, quick=10)
    (100, 50)
    >>> options.unjudged, str(options.place("runs/generator"))
    ('100 of 400 steps', 'runs/generator_100_steps')
    """

    quick: bool = False
    seed: int = 0
    steps: int | None = None
    device: str = "cpu"
    unjudged: str = ""
    share: float = 1.0  # of the lesson's own number of steps

    def training_steps(self, full: int, *, quick: int) -> int:
        """How long the lesson's main training is: --steps, or else the lesson's own number."""
        usual = quick if self.quick else full
        chosen = self.steps or usual
        self.share = chosen / usual
        if chosen < full and not self.quick:
            self.unjudged = f"{chosen:,} of {full:,} steps"
        return chosen

    def other_steps(self, full: int, *, quick: int) -> int:
        """How long another training of the lesson is: longer or shorter as the main one is."""
        return max(1, round(self.share * (quick if self.quick else full)))

    def steps_given(self) -> dict[str, int]:
        """For a training with a number of its own: {"steps": N} if --steps was given, else {}."""
        if self.steps and not self.quick:
            self.unjudged = f"--steps {self.steps:,}"
        return {"steps": self.steps} if self.steps else {}

    def place(self, path: str) -> Path:
        """A folder of the runs with these settings, so that no run is taken for another's."""
        steps = f"_{self.steps}_steps" if self.steps else ""
        return Path(path + "_quick" * self.quick + steps + "_mine" * (MINE in os.environ))

    def folder(self, name: str) -> Path:
        """The folder runs/NAME for the images of this run; it is made where it is missing.

        Images are drawn in the library's style from here on, if matplotlib is in use.
        """
        folder = self.place(f"runs/{name}")
        folder.mkdir(parents=True, exist_ok=True)
        if "matplotlib" in sys.modules:
            sys.modules["matplotlib"].rcParams.update(STYLE)
        return folder


class LessonParser(Parser):
    """A parser with the flags that every lesson has; a lesson adds its own.

    description: the lesson's docstring, of which the first line is shown. `trains` says whether
    there is a training that --steps can lengthen, `devices` whether it can run on a GPU.

    >>> options = LessonParser("A lesson.").read("--quick --seed 3")
    >>> options.quick, options.seed, options.steps, options.device, options.unjudged
    (True, 3, None, 'cpu', 'quick run')
    >>> LessonParser("A lesson.", trains=False).read("--steps 9")
    Traceback (most recent call last):
    ValueError: --steps 9: this lesson trains no model of its own
    """

    def __init__(self, description: str | None, trains: bool = True, devices: bool = True) -> None:
        super().__init__(description=(description or "").split("\n", maxsplit=1)[0])
        self.trains, self.devices = trains, devices
        self.add_argument("--quick", action="store_true", help="run whole, on less")
        self.add_argument("--seed", type=int, default=0, help="fixes all that is random")
        self.add_argument("--steps", type=int, help="of the main training; others in proportion")
        self.add_argument("--device", default="cpu", help="to train on: cpu, cuda, mps or auto")

    def read(self, flags: str = "") -> LessonOptions:
        """The options of this run: a script's from its command line, else those in `flags`.

        From here on a script ends in a sentence, not a traceback, where its user gave what cannot
        be. Raises ValueError on a seed, a number of steps or a device that cannot be.
        """
        file = sys._getframe(1).f_globals.get("__file__")  # the lesson's
        script = is_script(file)
        if script:
            sys.excepthook = in_a_sentence
        words = None if script else shlex.split(flags or os.environ.get(FLAGS, ""))
        options = self.parse_args(words, LessonOptions())
        check_seed(options.seed)
        self._check(options)
        options.unjudged = "quick run" if options.quick else ""
        return options

    def _check(self, options: Any) -> None:
        from scratchmm.training.device import pick_device

        if options.steps is not None and options.steps < 1:
            raise ValueError(f"--steps {options.steps} trains nothing: at least 1")
        if options.steps is not None and not self.trains:
            raise ValueError(f"--steps {options.steps}: this lesson trains no model of its own")
        options.device = str(pick_device(options.device))
        if options.device != "cpu" and not self.devices:
            raise ValueError(f"--device {options.device}: this lesson runs on the CPU only")


def is_script(file: str | None) -> bool:
    """Whether this file is the script that the command line is for.

    An editor's cells may have a `__file__` too, but the command line there is the kernel's.

    >>> is_script(None), is_script(sys.argv[0])
    (False, True)
    """
    return bool(file and sys.argv[0]) and Path(file or "").resolve() == Path(sys.argv[0]).resolve()


def in_a_sentence(kind: Any, error: BaseException, trace: Any) -> None:
    """Shows an error that ends a lesson: a sentence for what its user gave, else a traceback."""
    if isinstance(error, Exception) and refused(error):
        print(f"error: {sentence(error)}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def show_curve(folder: str | Path, image: str | Path) -> None:
    """Print how the loss fell in the training that a folder is of, and draw its curve.

    A model that was taken from elsewhere has left no curve, and this is said.
    """
    from scratchmm.plots import curve
    from scratchmm.training.curve import read_curve

    path = Path(folder) / "curve.csv"
    if not path.exists():
        print(f"{folder} holds no loss curve: its model was trained elsewhere")
        return
    rows = read_curve(path)
    first, last = rows[0]["loss"], rows[-1]["loss"]
    print(
        f"{folder}: {len(rows):,} steps, loss {first:.3g} at the first and {last:.3g} at the last"
    )
    print("figure:", curve(rows, image))


def report(
    name: str,
    reached: float,
    expected: float,
    *,
    quick: bool = False,
    unjudged: str = "",
    unit: str = "",
    higher_is_better: bool = True,
) -> None:
    """The last line of a lesson: what was reached beside what was expected.

    At full length a result that falls short (or is not a number) ends the script with status 1.
    A quick run, or one of fewer steps, trains too little to be judged: it proves only that the
    lesson runs. `unjudged` says which (see `LessonOptions`); quick=True is "quick run".

    >>> report("accuracy", 0.98, 0.97)
    accuracy: reached 0.98, expected at least 0.97
    >>> report("seconds", 3.0, 2.5, unjudged="quick run", unit=" s", higher_is_better=False)
    seconds: reached 3 s, expected at most 2.5 s (quick run: not judged)
    """
    unjudged = unjudged or "quick run" * quick
    reached, expected = float(reached), float(expected)
    side = "at least" if higher_is_better else "at most"
    line = f"{name}: reached {reached:.4g}{unit}, expected {side} {expected:.4g}{unit}"
    print(line + (f" ({unjudged}: not judged)" if unjudged else ""), flush=True)
    if FIGURE_FILE in os.environ:
        figure = {"name": name, "reached": reached, "expected": expected, "unit": unit}
        figure["higher_is_better"] = higher_is_better
        Path(os.environ[FIGURE_FILE]).write_text(json.dumps(figure), encoding="utf-8")
    enough = reached >= expected if higher_is_better else reached <= expected
    if not unjudged and not enough:  # written so that nan is not enough
        raise SystemExit(f"{name} fell short of what the lesson expects")
