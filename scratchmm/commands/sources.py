"""Text between markers, and a text written atomically with the folders above it."""

from pathlib import Path

from scratchmm.files import atomic_write


def replace_between(text: str, name: str, content: str) -> str:
    """The text with `content` between the lines `<!-- name -->` and `<!-- /name -->`.

    >>> replace_between("a\\n<!-- t -->\\nold\\n<!-- /t -->\\n", "t", "new")
    'a\\n<!-- t -->\\nnew\\n<!-- /t -->\\n'
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"the text needs the markers {start} and {end} once each")
    before, rest = text.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{content.strip()}\n{end}{after}"


def write_atomically(path: Path, text: str) -> None:
    """Writes a text atomically, after creating the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, text)
