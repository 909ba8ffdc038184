"""The glossary: each term once, in order, short, with its file and its lesson; lessons lean on it."""

import ast
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

import pytest

TUTORIALS = Path(__file__).parents[1] / "tutorials"
GLOSSARY = TUTORIALS / "glossary.md"
LESSONS = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))
TWO_LINES = 210  # characters of a definition
ENTRY = re.compile(
    r"\*\*(?P<term>[^*]+)\*\*(?: \(also: (?P<also>(?:[^()]|\([^()]*\))+)\))?: (?P<text>.+?)"
    r"(?: Here also: (?P<here>[^.\[]+)\.)?"
    r" (?:`(?P<name>\w+)` in )?(?P<links>\[[^\[]+\]\([^()]+\)(?:, .*)?)"
)


class Entry(NamedTuple):
    letter: str  # the heading above it
    term: str
    also: list[str]
    text: str
    here: list[str]
    code: str | None  # the function or class of the file
    links: list[str]

    @property
    def names(self) -> list[str]:
        return [self.term, *self.also]

    @property
    def lesson(self) -> str:
        return self.links[-1]


def plain(text: str) -> str:
    """Without accents and case, so that e and é stand side by side."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().casefold()


def read_entries(text: str) -> list[Entry]:
    found, letter = [], ""
    for block in re.split(r"\n(?=## |- \*\*)", text)[1:]:
        words = " ".join(block.split())
        if words.startswith("## "):
            letter = words[3:]
            continue
        match = ENTRY.fullmatch(words.removeprefix("- "))
        assert match, f"the glossary's entry cannot be read: {words}"
        also, here = ((match[key] or "").split(", ") for key in ("also", "here"))
        links = re.findall(r"\]\(([^()]+)\)", match["links"])
        lists = [[name for name in names if name] for names in (also, here)]
        found.append(
            Entry(letter, match["term"], lists[0], match["text"], lists[1], match["name"], links)
        )
    return found


ENTRIES = read_entries(GLOSSARY.read_text(encoding="utf-8"))


def paragraphs(path: Path) -> list[str]:
    """Those of a lesson's markdown cells, each on one line; the three questions are left out."""
    cells = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    cells = [cell for cell in cells if cell.startswith(" [markdown]")]
    lines = "\n".join(re.sub(r"^# ?", "", cell.split("\n", 1)[1], flags=re.M) for cell in cells)
    before = lines.split("## Three questions")[0]
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", before) if part.strip()]


def terms_section(path: Path) -> str:
    """The paragraphs below "In the field's words"."""
    parts = paragraphs(path)
    return "\n".join(parts[parts.index("## In the field's words") + 1 :])


def pattern(name: str) -> re.Pattern[str]:
    """Where a name is used: as a whole word, also in the plural; capitals count in acronyms only."""
    words = r"[ -]".join(re.escape(word) for word in re.split(r"[ -]", name))
    acronym = " " not in name and sum(letter.isupper() for letter in name) >= 2
    return re.compile(rf"(?<![\w`]){words}(?:s|es)?(?![\w`])", 0 if acronym else re.IGNORECASE)


def uses(text: str, names: list[str]) -> bool:
    return any(pattern(name).search(text) for name in names)


def without_brackets(text: str) -> str:
    """ "scene (static) bias" as "scene bias"."""
    return re.sub(r"\s*\([^)]*\)", "", text)


def singular(term: str) -> str:
    """A bold term as the glossary may have it: without "(...)", a colon, or the plural."""
    bare = without_brackets(term).strip().rstrip(":.")
    return plain(bare).removesuffix("s").replace("-", " ")


def bold(text: str) -> set[str]:
    return {singular(found) for found in re.findall(r"\*\*([^*]+)\*\*", text)}


def used_unsaid(path: Path, entries: list[Entry]) -> list[str]:
    """Terms of later lessons that a lesson uses and neither defines nor says where they are.

    It defines what is bold in its own section of terms. It says where if that section links the
    glossary's letter under one of the term's names, or if the first paragraph that uses the term
    names the home lesson ("lesson 12") or links to it.
    """
    section, missing = terms_section(path), []
    linked = {
        (letter, singular(name))
        for name, letter in re.findall(r"\[([^\]]+)\]\(glossary\.md#(\w)\)", section)
    }
    for entry in entries:
        names = {singular(name) for name in entry.names}
        if entry.lesson[:2] <= path.name[:2] or names & bold(section):
            continue
        if names & {name for letter, name in linked if letter == entry.letter.lower()}:
            continue
        using = next((part for part in paragraphs(path) if uses(part, entry.names)), "")
        number = rf"\blessons? (?:\d\d(?:,| and| to)? )*{entry.lesson[:2]}\b"
        told = re.compile(rf"{number}|\({re.escape(entry.lesson)}\)")
        if using and not told.search(using):
            missing.append(f"{entry.term} (lesson {entry.lesson[:2]}): {using[:90]}")
    return missing


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.term)
def test_an_entry_is_short_and_has_its_file_and_its_lesson(entry: Entry) -> None:
    assert len(entry.text) <= TWO_LINES, len(entry.text)
    assert entry.text.endswith(".")
    *files, lesson = entry.links
    assert lesson in [path.name for path in LESSONS]
    assert len(files) == (1 if entry.code else 0), "one function or class and its file, or neither"
    for file in files:
        assert file.startswith("../scratchmm/") and file.endswith(".py")
        tree = ast.parse((TUTORIALS / file).read_text(encoding="utf-8"))
        assert entry.code in [getattr(node, "name", "") for node in tree.body], entry.code


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.term)
def test_the_home_lesson_speaks_of_the_term(entry: Entry) -> None:
    text = "\n".join(paragraphs(TUTORIALS / entry.lesson))
    assert uses(text + without_brackets(text), [*entry.names, *entry.here])


def test_words_of_the_house_are_those_that_lessons_use() -> None:
    text = "\n".join(part for path in LESSONS for part in paragraphs(path))
    assert not [word for entry in ENTRIES for word in entry.here if not uses(text, [word])]


def test_terms_are_sorted_below_their_letters_and_no_name_stands_twice() -> None:
    terms = [plain(entry.term) for entry in ENTRIES]
    assert terms == sorted(terms)
    assert [entry.letter.lower() for entry in ENTRIES] == [term[0] for term in terms]
    names = [singular(name) for entry in ENTRIES for name in entry.names]
    assert not [name for name in names if names.count(name) > 1]


def test_the_letters_on_top_are_those_below() -> None:
    text = GLOSSARY.read_text(encoding="utf-8")
    headings = re.findall(r"^## (\w)$", text, re.MULTILINE)
    assert re.findall(r"\[(\w)\]\(#(\w)\)", text) == [(c, c.lower()) for c in headings]


def test_lines_are_short_enough_to_read() -> None:
    lines = GLOSSARY.read_text(encoding="utf-8").splitlines()
    long = [line for line in lines if len(line) > 105 and "](" not in line]
    assert not long


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_bold_term_of_a_lesson_has_an_entry(path: Path) -> None:
    names = {singular(name) for entry in ENTRIES for name in entry.names}
    assert not bold(terms_section(path)) - names - {"left out here"}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_links_the_glossary_once_where_its_terms_stand(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("](glossary.md)") == 1
    assert "](glossary.md)" in terms_section(path)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_what_a_lesson_uses_first_it_defines_or_says_where(path: Path) -> None:
    assert not used_unsaid(path, ENTRIES)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_link_to_a_letter_names_a_term_of_it(path: Path) -> None:
    known = {(e.letter.lower(), singular(name)) for e in ENTRIES for name in e.names}
    for name, letter in re.findall(r"\[([^\]]+)\]\(glossary\.md#(\w)\)", terms_section(path)):
        assert (letter, singular(name)) in known, name
