"""Which lessons run at full length when their code changed and the time budget is too small for all.

The one with the oldest result comes first, so that over several runs none is left out for long.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

UNKNOWN_SECONDS = 300.0  # of a lesson that was never recorded
GENERATOR_SECONDS = 900.0  # of training the model that several lessons share: the first of them


def within(
    keys: Iterable[str],
    recorded: Mapping[str, Mapping[str, Any]],
    seconds: float,
    sharing: Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """The lessons that fit into so many seconds by their recorded times, and those that are left.

    The oldest result first; one that is too long for the rest of the budget does not stop a shorter
    one, but the oldest always runs, or a lesson longer than the budget would never run. sharing:
    those that share a generator, which the first of them trains.

    >>> known = {"01": {"seconds": 100.0, "day": "2026-02-01"}, "02": {"seconds": 50.0}}
    >>> within(["01", "02"], known, 60)
    (['02'], ['01'])
    >>> within(["01", "02"], known, 3600)
    (['02', '01'], [])
    """
    chosen: list[str] = []
    left: list[str] = []
    spent = shared = 0.0
    for key in sorted(keys, key=lambda key: (recorded.get(key, {}).get("day", ""), key)):
        needed = float(recorded.get(key, {}).get("seconds", UNKNOWN_SECONDS))
        needed += GENERATOR_SECONDS - shared if key in sharing else 0.0
        if not chosen or spent + needed <= seconds:
            chosen.append(key)
            spent += needed
            shared = GENERATOR_SECONDS if key in sharing else shared
        else:
            left.append(key)
    return chosen, left


def left_out(left: Iterable[str], recorded: Mapping[str, Mapping[str, Any]]) -> str:
    """A sentence about the lessons that ran only quick although their code changed, or nothing.

    >>> left_out(["01"], {"01": {"seconds": 90.0}})
    'left to the next run: 01 (by their records 1.5 minutes at full length, beyond the budget)'
    >>> left_out([], {})
    ''
    """
    left = list(left)
    if not left:
        return ""
    minutes = sum(float(recorded.get(key, {}).get("seconds", UNKNOWN_SECONDS)) for key in left) / 60
    return (
        f"left to the next run: {', '.join(left)} (by their records {minutes:.1f} minutes at full "
        "length, beyond the budget)"
    )
