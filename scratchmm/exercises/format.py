"""What an exercise is made of: a target in the library, properties, and banks of answers.

README.md in this folder shows a complete one.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import ModuleType
from typing import Any, TypeVar

from scratchmm.exercises.patches import patched_answer, patched_texts
from scratchmm.exercises.texts import Mistake, read_hints, read_mistakes, read_slips

Answer = TypeVar("Answer", bound=Callable[..., Any])
Read = TypeVar("Read")


@dataclass(frozen=True)
class Property:
    """One thing that every right answer does. The sentence is what the learner reads.

    >>> Property("adding 0 changes nothing", lambda add, case: None).sentence
    'adding 0 changes nothing'
    """

    sentence: str
    function: Callable[..., None]


@dataclass(frozen=True)
class BankAnswer:
    """An answer that the check must judge as declared: wrong (with a story) or right (without).

    twin: the id of a wrong answer that no input tells from this one. mistake: for a disguise, the
    id of the wrong answer that it writes in another way. convention: not a mistake, but another
    field's way. fresh: built anew each time, because it keeps a state that it should not. texts: for
    a patch of the library's source, that source and the patched one.

    >>> BankAnswer("seven", build=lambda: 7).answer
    7
    """

    id: str
    story: str = ""
    advice: str = ""
    twin: str = ""
    mistake: str = ""
    convention: bool = False
    fresh: bool = False
    build: Callable[[], Any] = field(default=lambda: None, repr=False)
    texts: Callable[[], tuple[str, str]] | None = field(default=None, repr=False)

    @property
    def answer(self) -> Any:
        """The function or class itself, built when it is first wanted."""
        return self.build() if self.fresh else self._kept

    @cached_property
    def _kept(self) -> Any:
        return self.build()


@dataclass(eq=False)
class Exercise:
    """A function or class of the library that a learner writes again, with all that judges it.

    order: its place in the lesson, after those of smaller numbers. target: "module:name". methods:
    for a class, each method to blank and its goal; the others stay. drop: methods that the stub
    leaves out. unused: parameters, and what they need, that the goal leaves out: no mutant touches
    them. forbidden: dotted names that raise while the learner's code runs. parts: helpers in
    the target's module that belong to the solution: learners may not call the library's. shown:
    names in that module whose source the stub repeats whole. adapt: (learner's, library's) -> what
    `learn run --mine` puts into the library. hints: one text, each of the four begun with its
    number, as in `1. what fails`; kept as a tuple.

    >>> exercise = Exercise("math.floor", "math:floor", title="", goal="round down", minutes=1,
    ...     difficulty=1, section="", hints="1. a\\n2. b\\n3. c\\n4. d")
    >>> exercise.name, exercise.reference(2.5), exercise.hints
    ('floor', 2, ('a', 'b', 'c', 'd'))
    """

    id: str
    target: str
    title: str
    goal: str
    minutes: int
    difficulty: int
    section: str
    hints: str | Sequence[str]
    order: int = 0
    needs: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    methods: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    adapt: Callable[[Any, Any], Any] | None = None
    judges: bool = False  # whether the answer is a test, set by judged_by_bank
    lesson: str = ""  # set by the catalogue from the name of the lesson's module
    guard: Callable[..., None] | None = None  # set by refusing
    properties: list[Property] = field(default_factory=list)
    wrongs: list[BankAnswer] = field(default_factory=list)
    rights: list[BankAnswer] = field(default_factory=list)
    disguises: list[BankAnswer] = field(default_factory=list)
    short: list[Mistake] = field(default_factory=list)  # set by slips

    def __post_init__(self) -> None:
        if isinstance(self.hints, str):
            self.hints = self._read(read_hints, self.hints)

    @property
    def name(self) -> str:
        """The name that the learner writes: `attend`."""
        return self.target.partition(":")[2]

    @property
    def module(self) -> ModuleType:
        """The module of the library where the target stands."""
        return importlib.import_module(self.target.partition(":")[0])

    @property
    def reference(self) -> Any:
        """The library's own function or class."""
        return getattr(self.module, self.name)

    def holds(self, sentence: str) -> Callable[[Answer], Answer]:
        """Decorator: a property `(candidate, case)`. The order of writing is the order of checking,
        so the cheapest come first."""

        def keep(function: Answer) -> Answer:
            self.properties.append(Property(sentence, function))
            return function

        return keep

    def wrong(
        self,
        id: str,
        *,
        story: str,
        advice: str,
        method: str = "",
        twin: str = "",
        convention: bool = False,
        fresh: bool = False,
    ) -> Callable[[Answer], Answer]:
        """Decorator: a wrong answer. With `method`, the library's class with that method replaced.
        With `fresh`, what is decorated makes the answer, anew for each use.

        story: what was done ("the scores are not divided by sqrt(D)"). advice: what to look at.
        """

        def keep(answer: Answer) -> Answer:
            build = answer if fresh else self._building(answer, method)
            wrong = BankAnswer(id, story, advice, twin, "", convention, fresh, build)
            self.wrongs.append(wrong)
            return answer

        return keep

    def mistakes(self, text: str) -> None:
        """Wrong answers as patches of the library's own source; `texts.py` has the format.

        Raises ValueError on a block that is none. That a patch fits the library is found out when
        its answer is wanted, as `verify` does for all.
        """
        for one in self._read(read_mistakes, text):
            build, texts = partial(patched_answer, self, one), partial(patched_texts, self, one)
            if "of" in one.marks:
                self._disguise(one.marks["of"], build)
                continue
            if one.id in {other.id for other in self.wrongs}:
                raise ValueError(f"{self.id}: two mistakes are called {one.id!r}")
            told = (one.id, one.story, one.advice, one.marks.get("twin", ""), "")
            kinds = ("convention" in one.marks, "fresh" in one.marks)
            self.wrongs.append(BankAnswer(*told, *kinds, build, texts))

    def slips(self, text: str) -> None:
        """Ordinary mistakes that the engine does not make by itself, one a line: `stride=2 => stride=1`.

        They join the mutants: the learner is told the place and no story, and the check must reject
        every one. Raises ValueError on a line that is none.
        """
        self.short.extend(self._read(read_slips, text))

    def _read(self, reader: Callable[[str], Read], text: str) -> Read:
        try:
            return reader(text)
        except ValueError as error:
            raise ValueError(f"{self.id}: {error}") from None

    def right(self, id: str, *, method: str = "") -> Callable[[Answer], Answer]:
        """Decorator: another correct way to write it, which the check must accept."""

        def keep(answer: Answer) -> Answer:
            self.rights.append(BankAnswer(id, build=self._building(answer, method)))
            return answer

        return keep

    def disguise(self, mistake: str, *, method: str = "") -> Callable[[Answer], Answer]:
        """Decorator: the wrong answer `mistake`, written differently; it must be named as that."""

        def keep(answer: Answer) -> Answer:
            self._disguise(mistake, self._building(answer, method))
            return answer

        return keep

    def _disguise(self, mistake: str, build: Callable[[], Any]) -> None:
        id = f"{mistake} in disguise {len(self.disguises) + 1}"
        self.disguises.append(BankAnswer(id, mistake=mistake, build=build))

    def refusing(self, guard: Answer) -> Answer:
        """Decorator: raises for the arguments that the docstring refuses.

        Functions that are written below it, right or wrong, ask it first: then a wrong answer makes
        its own mistake only, and names it in a learner's answer that refuses as it should.
        """
        self.guard = guard
        return guard

    def _building(self, answer: Any, method: str) -> Callable[[], Any]:
        if not method:
            if self.guard is not None and not isinstance(answer, type):
                answer = guarded(answer, self.guard)
            return lambda: answer
        return lambda: type(self.name, (self.reference,), {method: answer})


def exercise_file(place: str) -> ModuleType:
    """The module of an exercise's file, which no import statement can name: its folder begins with a
    digit.

    >>> exercise_file("01_attention/padding_mask").exercise.id
    'attention.padding_mask'
    """
    return importlib.import_module(f"scratchmm.exercises.lessons.{place.replace('/', '.')}")


def guarded(answer: Callable[..., Any], guard: Callable[..., None]) -> Callable[..., Any]:
    """The function, behind a guard of its arguments.

    >>> guarded(lambda x: 2 * x, print)(3)
    3
    6
    """

    @functools.wraps(answer)
    def asked(*args: Any, **kwargs: Any) -> Any:
        guard(*args, **kwargs)
        return answer(*args, **kwargs)

    return asked
