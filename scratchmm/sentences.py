"""What a refusal quotes of its user's is shortened in the middle: a sentence stays a sentence."""

import dataclasses
from collections.abc import Collection
from numbers import Integral
from typing import Any

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


def check_sizes(config: Any, *, zero: Collection[str] = ()) -> None:
    """Refuse sizes of a config that no model can have: fields that are declared int, or many int.

    zero: the names of those that may be 0. Raises ValueError with the name and the number.

    >>> @dataclasses.dataclass
    ... class Config:
    ...     depth: int = 12
    >>> check_sizes(Config(-3))
    Traceback (most recent call last):
    ValueError: depth is -3 and must be a whole number from 1 to 1048576
    """
    for field in dataclasses.fields(config):
        if field.type not in (int, int | None, tuple[int, ...]):
            continue
        value = getattr(config, field.name)
        least = 0 if field.name in zero else 1
        for number in value if isinstance(value, tuple | list) else (value,):
            if number is None and field.type == int | None:
                continue
            whole = isinstance(number, Integral) and not isinstance(number, bool)
            if not (whole and least <= number <= MOST):
                name = field.name.replace("_", " ")
                said = f"{name} is {shortened(number, 40)} and must be a whole number"
                raise ValueError(f"{said} from {least} to {MOST}")
