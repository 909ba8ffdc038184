"""Parts of error messages: quoted input shortened in the middle, and checks of sizes and numbers."""

import dataclasses
import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any, get_args

MOST = 2**20  # of any size of a model: a width of a billion would only fill the memory


def shortened(text: object, most: int = 80) -> str:
    """The text, or its beginning and its end with " ... " between them: at most `most` letters.

    >>> shortened("a" * 50 + "b" * 50, 15)
    'aaaaa ... bbbbb'
    >>> shortened(10**20)
    '100000000000000000000'
    """
    said = str(text)
    if len(said) <= most:
        return said
    kept = max(most - 5, 2)
    return f"{said[: kept - kept // 2]} ... {said[len(said) - kept // 2 :]}"


def check_count(name: str, value: object, *, least: int = 1, most: int = MOST) -> None:
    """Refuse what is no whole number from `least` to `most`; a bool is none, nor is 2.0 (ValueError).

    >>> check_count("steps", 0)
    Traceback (most recent call last):
    ValueError: steps is 0 and must be a whole number from 1 to 1048576
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and least <= value <= most):  # type: ignore[operator]
        said = f"{name} is {shortened(value, 40)} and must be a whole number"
        raise ValueError(f"{said} from {least} to {most}")


def check_number(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> None:
    """Refuse what is no finite number above `above`, from `least` to `most` (ValueError).

    >>> check_number("share", 1.5, least=0, most=1)
    Traceback (most recent call last):
    ValueError: share is 1.5 and must be a number from 0 to 1
    """
    try:
        number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number that no float reaches
        number = False
    if not (number and above < value and least <= value <= most):  # type: ignore[operator]
        ends = [f"above {above}"] if above > -math.inf else []
        ends += [f"from {least}" + " on" * (most == math.inf)] if least > -math.inf else []
        ends += [f"to {most}"] if most < math.inf else []
        kind = "number" if ends else "finite number"
        said = f"{name} is {shortened(value, 40)} and must be a {kind}"
        raise ValueError(" ".join([said, *ends]))


def check_sizes(config: Any, *, zero: Collection[str] = (), signed: Collection[str] = ()) -> None:
    """Refuse sizes of a config that no model can have: fields that are declared int or many int,
    and float, which are above 0.

    zero: the names of those that may be 0; signed: of those of float that may be any finite number.
    Raises ValueError with the name and the number.

    >>> @dataclasses.dataclass
    ... class Config:
    ...     depth: int = 12
    >>> check_sizes(Config(-3))
    Traceback (most recent call last):
    ValueError: depth is -3 and must be a whole number from 1 to 1048576
    """
    for field in dataclasses.fields(config):
        kinds, value = _kinds(field.type), getattr(config, field.name)
        name = field.name.replace("_", " ")
        for number in value if isinstance(value, tuple | list) else (value,):
            if number is None and type(None) in kinds:
                continue
            if int in kinds:
                check_count(name, number, least=0 if field.name in zero else 1)
            elif float in kinds:
                check_number(name, number, above=-math.inf if field.name in signed else 0)


def _kinds(declared: Any) -> set[Any]:
    """The types in an annotation: {int, NoneType} of tuple[int, ...] | None."""
    parts = get_args(declared)
    return set().union(*map(_kinds, parts)) if parts else {declared}
