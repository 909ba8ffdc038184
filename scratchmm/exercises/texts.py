r"""What an exercise writes as text: its hints, and its mistakes as patches of the library's source.

    no-scale: the scores are not divided by sqrt(D)
    - scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    + scores = query @ key.transpose(-2, -1)
    > a dot product of D numbers has a spread of sqrt(D); divide, or softmax saturates

One block a mistake, a blank line between two. First its id, marks in brackets if it has any, and
what was done. `-` is code that stands exactly once in the target or its parts, `+` takes its place,
`>` is the advice. A `-` behind a `+` begins another change. All changes are found in the library's
source as it is, token by token: how lines are broken, comments, and a comma before a closing bracket
count for nothing, and a docstring is one token. `+` lines get the indent of the place. Where nothing
takes the place of the code, there is no `+`, or an empty one before the next `-`.

Marks: `convention` (another field's way, not a mistake), `fresh` (it keeps a state between calls, so
it is compiled anew for each use), `twin=ID` (no input tells the two apart), `of=ID` (the mistake ID
in other words: a disguise, which needs neither story nor advice).

An ordinary mistake that needs no story is a slip, one a line: `stride=2 => stride=1`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from scratchmm.sentences import shortened

HINTS = 4
MARKS = ("convention", "fresh", "twin", "of")
HEAD = re.compile(r"(?P<id>[^\s:\[]+)(?: \[(?P<marks>[^\]]*)\])?(?::\s+(?P<story>.+))?")
TOKEN = re.compile(
    r"""
    (?P<nothing> \s+ | \#[^\n]* | \\\n )
    | [rRbBfFuU]{0,2} (?: \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3}
                        | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
    | \w+ | \*\*=? | //=? | <<=? | >>=? | [-+*/%@&|^=!<>:]= | -> | \.\.\. | .
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A word of code, and where it stands in the text."""

    word: str
    start: int
    end: int


@dataclass(frozen=True)
class Mistake:
    """One block, read. changes: each (code of the library's, code in its place)."""

    id: str
    story: str
    advice: str
    marks: dict[str, str]
    changes: tuple[tuple[str, str], ...]


def read_hints(text: str) -> tuple[str, ...]:
    """The four hints of one text, each begun by its number at the beginning of a line.

    Raises ValueError where the numbers are others than 1. to 4. in this order.

    >>> read_hints("1. what fails\\n2. the idea\\n3. a plan,\\n   by shapes\\n4. nearly the code")[2]
    'a plan, by shapes'
    """
    parts = re.split(r"(?m)^(\d+)\. ", textwrap.dedent(text).strip())
    before, numbers = parts[0], [int(number) for number in parts[1::2]]
    if before.strip() or numbers != [*range(1, HINTS + 1)]:
        found = ", ".join(f"{number}." for number in numbers) or "none"
        raise ValueError(f"hints begin with 1. to {HINTS}., each on a line of its own, not {found}")
    return tuple(" ".join(part.split()) for part in parts[2::2])


def read_mistakes(text: str) -> list[Mistake]:
    """The mistakes of a text, in its order. Raises ValueError, in a sentence, on a block that is none.

    >>> (one,) = read_mistakes('''
    ...     late [convention]: counted from 1
    ...     - range(n)
    ...     + range(1, n + 1)
    ...     > here the first is 0
    ... ''')
    >>> one.id, one.story, one.advice, one.marks
    ('late', 'counted from 1', 'here the first is 0', {'convention': ''})
    >>> one.changes
    (('range(n)', 'range(1, n + 1)'),)
    """
    blocks = re.split(r"\n\s*\n", textwrap.dedent(text).strip("\n").rstrip())
    return [_mistake(block.split("\n")) for block in blocks if block.strip()]


def read_slips(text: str) -> list[Mistake]:
    """Mistakes without a story, one a line: `code of the library's => what stands in its place`.

    ` ;; ` parts several changes of one slip, and a line that is indented further goes on with the one
    before it. Raises ValueError, in a sentence, on a line that is none.

    >>> (one,) = read_slips("n - 1 => n")
    >>> one.story, one.changes
    ('`n` stood for `n - 1`', (('n - 1', 'n'),))
    """
    lines = re.sub(r"\n +", " ", textwrap.dedent(text)).split("\n")
    return [_slip(line.strip()) for line in lines if line.strip()]


def _slip(line: str) -> Mistake:
    changes, told = list[tuple[str, str]](), list[str]()
    for part in line.split(" ;; "):
        old, arrow, new = (piece.strip() for piece in f"{part} ".partition(" => "))
        if not (old and arrow):
            raise ValueError(f"a slip is `code => what stands in its place`, not {_said(part)}")
        changes.append((old, new))
        told.append(
            f"{_said(new)} stood for {_said(old)}" if new else f"{_said(old)} were left out"
        )
    return Mistake(line, ", and ".join(told), "", {}, tuple(changes))


def _mistake(lines: list[str]) -> Mistake:
    marked = next((at for at, line in enumerate(lines) if line[:1] in ("-", "+", ">")), len(lines))
    head = " ".join(line.strip() for line in lines[:marked])
    found = HEAD.fullmatch(head)
    marks = _marks(found["id"], found["marks"] or "") if found else {}
    if found is None or not (found["story"] or "of" in marks):
        raise ValueError(f"a mistake begins with `id: what was done`, not with {_said(head)}")
    if strange := [line for line in lines[marked:] if line[:2].rstrip() not in ("-", "+", ">")]:
        raise ValueError(
            f"the mistake {found['id']!r} has the line {_said(strange[0])}: behind the story each "
            "begins with -, + or >, and a space"
        )
    advice = " ".join(line[2:].strip() for line in lines[marked:] if line[:1] == ">")
    changes = tuple(_changes(found["id"], lines[marked:]))
    if not changes:
        raise ValueError(f"the mistake {found['id']!r} changes nothing: no line begins with -")
    if not (advice or "of" in marks):
        raise ValueError(f"the mistake {found['id']!r} has no advice: no line begins with >")
    return Mistake(found["id"], found["story"] or "", advice, marks, changes)


def _marks(id: str, text: str) -> dict[str, str]:
    marks = {}
    for mark in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = mark.partition("=")
        if (
            name not in MARKS
            or bool(value) != (name in ("twin", "of"))
            or bool(equals) != bool(value)
        ):
            known = "convention, fresh, twin=ID and of=ID"
            raise ValueError(f"the mistake {id!r} has the mark {mark!r}: there are {known}")
        marks[name] = value
    return marks


def _changes(id: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each run of `-` lines with the run of `+` lines behind it."""
    signs = "".join(line[0] for line in lines)
    if re.search(r"(^|>)\+", signs):
        raise ValueError(f"the mistake {id!r} has a line with + and none with - before it")
    for run in re.finditer(r"(-+)(\+*)", signs):
        old, new = ("\n".join(x[2:] for x in lines[slice(*run.span(part))]) for part in (1, 2))
        yield old, new


def tokens(code: str) -> list[Token]:
    """The words of Python code or of a piece of it, without comments and commas that end a bracket.

    >>> [token.word for token in tokens("f(x, y,  # both\\n)[0] ** 2")]
    ['f', '(', 'x', ',', 'y', ')', '[', '0', ']', '**', '2']
    """
    found: list[Token] = []
    for match in TOKEN.finditer(code):
        if match["nothing"]:
            continue
        if match[0] in (")", "]", "}") and found and found[-1].word == ",":
            del found[-1]
        found.append(Token(match[0], *match.span()))
    return found


def places(source: str, code: str) -> list[tuple[int, int]]:
    """Where a piece of code stands in a source, as (start, end), however its lines are broken.

    >>> places("y = f(\\n    a,\\n    b,\\n)  # twice\\nz = f(a, c)", "f(a, b)")
    [(4, 22)]
    """
    there, wanted = tokens(source), [token.word for token in tokens(code)]
    words = [token.word for token in there]
    found = [
        at for at in range(len(words) - len(wanted) + 1) if words[at : at + len(wanted)] == wanted
    ]
    return [(there[at].start, there[at + len(wanted) - 1].end) for at in found if wanted]


def patched(source: str, mistake: Mistake) -> str:
    """A source with the changes of a mistake made.

    Raises ValueError where the code of one does not stand there exactly once, or two overlap.
    """
    spans = []
    for old, new in mistake.changes:
        found = places(source, old)
        if len(found) != 1:
            raise ValueError(
                f"the mistake {mistake.id!r} changes {_said(old)}, which stands {len(found)} times "
                "in the library's source, not once"
            )
        spans.append((*found[0], new))
    ends = len(source) + 1
    for start, end, new in sorted(spans, reverse=True):
        if end > ends:
            raise ValueError(f"two changes of the mistake {mistake.id!r} overlap")
        source, ends = _replaced(source, start, end, new), start
    return source


def _replaced(source: str, start: int, end: int, new: str) -> str:
    """Other code in the place of a piece, its lines with the indent of the place. Where nothing takes
    the place of whole lines, the lines go too."""
    first = source.rfind("\n", 0, start) + 1
    last = source.find("\n", end) % (len(source) + 1)
    alone = not source[first:start].strip() and not tokens(source[end:last])
    if not new and alone:
        return source[:first] + source[last + 1 :]
    line = source[first:]
    indent = line[: len(line) - len(line.lstrip(" "))]
    return source[:start] + new.replace("\n", f"\n{indent}") + source[end:]


def _said(code: str) -> str:
    return f"`{shortened(' '.join(code.split()))}`"
