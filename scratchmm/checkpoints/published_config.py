"""config.json: the settings beside published weights that no tensor's shape determines.

Heads, activations, epsilons, padding and scales leave no trace in shapes: with a wrong one every
tensor fits and the outputs differ. A loader gives two tables: the keys that the model obeys, each
with the published class's default, and the keys that must have one of a few values, since the model
supports no others.
"""

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scratchmm.checkpoints.files import Source, label_of
from scratchmm.layers.checks import check_divisible

# transformers' and diffusers' names of what layers/transformer.py has under one name.
ACTIVATION_NAMES = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


class Setting(NamedTuple):
    """The setting of a config.json for one field of our config.

    >>> Setting("config.json", "num_attention_heads", 12, 12).ours
    12
    """

    label: str  # of the file

    key: str  # its name in the file
    theirs: Any  # the value there, or the published class's default
    ours: Any  # the equivalent value of our field


class PublishedConfig(NamedTuple):
    """The settings of a config.json: those it names, over the defaults of the published class."""

    label: str  # the file's name in error messages
    values: Mapping[str, Any]  # by key

    def setting(self, key: str, ours: Any = None) -> Setting:
        """The setting of a key; `ours` is its value in our config, if it differs from theirs."""
        theirs = self.values[key]
        return Setting(self.label, key, theirs, theirs if ours is None else ours)

    def activation(self, key: str) -> Setting:
        """The setting of an activation, by our name. Raises ValueError on one that we lack."""
        theirs = self.values[key]
        if theirs not in ACTIVATION_NAMES:
            raise ValueError(must_be(self.label, key, theirs, tuple(ACTIVATION_NAMES)))
        return self.setting(key, ACTIVATION_NAMES[theirs])

    def square(self, key: str) -> Setting:
        """The setting of a size that may be written as (height, width): they must be equal."""
        theirs = self.values[key]
        if isinstance(theirs, list) and len(set(theirs)) != 1:
            raise ValueError(f"{self.label} says {key} is {theirs}, and this model takes squares")
        return self.setting(key, theirs[0] if isinstance(theirs, list) else theirs)


Settings = Mapping[str, Setting]  # by the names of our config's fields


def read_config(
    source: Source,
    obeyed: Mapping[str, Any],
    fixed: Mapping[str, tuple[Any, ...]],
    part: str = "",
    nullable: Collection[str] = (),
    lists: Collection[str] = (),
) -> PublishedConfig | None:
    """The config.json in a source's folder; None for a dict of tensors, or where there is none.

    A file that names none of the keys is another program's, and is passed over. obeyed: keys and
    the published class's defaults; fixed: keys and the values that they may have, the default first
    (of a list, each entry). part: the tower to read, of a file that describes two. nullable, lists:
    keys whose value may be null, or several in place of one. Raises ValueError on a file that is no
    JSON, and on a value that is of another kind than usual or that the model can't have.
    """
    path = config_beside(source)
    if path is None:
        return None
    values, label = read_json(path), str(path)
    if part and not values.keys().isdisjoint(("text_config", "vision_config")):
        values, label = _tower(values, part, label), f"{label} ({part})"
    elif values.keys().isdisjoint(obeyed.keys() | fixed.keys()):
        return None
    return read_values(label, values, obeyed, fixed, nullable, lists)


def read_values(
    label: str,
    values: Mapping[str, Any],
    obeyed: Mapping[str, Any],
    fixed: Mapping[str, tuple[Any, ...]],
    nullable: Collection[str] = (),
    lists: Collection[str] = (),
) -> PublishedConfig:
    """The settings of a file whose values by key are at hand; arguments and errors: `read_config`.

    >>> read_values("config.json", {"heads": 3}, {"heads": 12, "depth": 6}, {}).values
    {'heads': 3, 'depth': 6}
    """
    check_fixed(label, values, fixed)
    values = {key: values.get(key, default) for key, default in obeyed.items()}
    for key, value in values.items():
        parts = value if key in lists and isinstance(value, list) and value else [value]
        null = value is None and key in nullable
        if not null and not all(_is_like(one, obeyed[key]) for one in parts):
            raise ValueError(f"{label} says {key} is {value!r}, where {obeyed[key]!r} is usual")
    return PublishedConfig(label, values)


def check_fixed(
    label: str, values: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]]
) -> None:
    """Refuse a value that the model does not support: ValueError that names the key and both values."""
    for key, allowed in fixed.items():
        value = values.get(key, allowed[0])
        parts = value if isinstance(value, list) and value not in allowed else [value]
        if not all(one in allowed for one in parts):
            raise ValueError(must_be(label, key, value, allowed))


def config_beside(source: Source, name: str = "config.json") -> Path | None:
    """Where the config.json of weights lies: in the folder that they are in, or that is given.

    >>> config_beside({}) is None
    True
    """
    if isinstance(source, Mapping):
        return None
    path = Path(source)
    path = (path if path.is_dir() else path.parent) / name
    return path if path.is_file() else None


def check_model(model: str, ours: object, settings: Settings) -> None:
    """Refuse to fill a model that was made otherwise than its weights were trained.

    ours: the model's config. Raises ValueError that names the key and both values.

    >>> from types import SimpleNamespace
    >>> heads = {"heads": Setting("a/config.json", "num_attention_heads", 12, 12)}
    >>> check_model("BERT", SimpleNamespace(heads=6), heads)
    Traceback (most recent call last):
    ValueError: a/config.json says num_attention_heads is 12, but this BERT was made with heads=6
    """
    for field, setting in settings.items():
        value = getattr(ours, field)
        if value != setting.ours:
            raise ValueError(
                f"{_said(field, setting)}, but this {model} was made with {field}={value!r}"
            )


def check_depth(model: str, depth: int, source: Source, part: str = "") -> None:
    """Refuse a config.json of transformers that names another depth than the model's.

    The published class leaves out the blocks beyond it without a word, or makes some anew. A file
    that does not say it is passed over. part: see `read_config`.
    """
    path = config_beside(source)
    if path is None:
        return
    values = read_json(path)
    if part and part in values:
        values = _tower(values, part, str(path))
    said = values.get("num_hidden_layers", depth)
    if said != depth:
        raise ValueError(
            f"{path} says num_hidden_layers is {said!r}, but this {model} was made with "
            f"depth={depth}"
        )


def settle(settings: Settings, **given: Any) -> dict[str, Any]:
    """Our config's fields from config.json or, where it lacks them, as given; None: not given.

    Raises ValueError where both are there and differ.

    >>> settle({}, heads=4, epsilon=None)
    {'heads': 4}
    """
    fields = {field: setting.ours for field, setting in settings.items()}
    for field, value in given.items():
        if value is None:
            continue
        if field in fields and fields[field] != value:
            raise ValueError(f"{_said(field, settings[field])}, but {field}={value!r} is given")
        fields[field] = value
    return fields


def heads_of_width(width: int, heads: int | None, head_width: int | None) -> int | None:
    """The number of heads as given by itself or by their width; None if by neither.

    >>> heads_of_width(384, None, 32)
    12
    """
    if heads is not None or head_width is None:
        return heads
    check_divisible("width", width, "a head's width of", head_width)
    return width // head_width


def assume_heads(source: Source, what: str, width: int, known: Mapping[int, int], name: str) -> int:
    """The heads of a published model of this width, where no file gives their number.

    known: heads by width. name: of the argument for it. Raises ValueError on other widths.

    >>> assume_heads({}, "BERT", 768, {768: 12}, "heads")
    12
    >>> assume_heads({}, "BERT", 128, {768: 12}, "heads")
    Traceback (most recent call last):
    ValueError: the state dict is a BERT 128 wide, no shape shows how many heads it has, and no \
config.json lies beside it: give heads
    """
    if width not in known:
        raise ValueError(
            f"{label_of(source)} is a {what} {width} wide, no shape shows how many heads it has, "
            f"and no config.json lies beside it: give {name}"
        )
    return known[width]


def must_be(label: str, key: str, value: Any, allowed: tuple[Any, ...]) -> str:
    """The error message for a value that a model does not support.

    >>> must_be("config.json", "qkv_bias", False, (True,))
    'config.json says qkv_bias is False, and this model can only have True'
    """
    possible = " or ".join(repr(one) for one in allowed)
    return f"{label} says {key} is {value!r}, and this model can only have {possible}"


def _said(field: str, setting: Setting) -> str:
    plain = type(setting.ours) is type(setting.theirs) and setting.ours == setting.theirs
    meaning = "" if plain else f" ({field}={setting.ours!r} here)"
    return f"{setting.label} says {setting.key} is {setting.theirs!r}{meaning}"


def _tower(values: Mapping[str, Any], part: str, label: str) -> dict[str, Any]:
    """The settings of one tower, with the type of the whole model."""
    # Old files have it twice, and transformers takes the second.
    inner = values.get(f"{part}_dict") or values.get(part) or {}
    if not isinstance(inner, dict):
        raise ValueError(f"{label} says {part} is {inner!r}, which are no settings by key")
    whole = {key: values[key] for key in ("model_type",) if key in values}
    return {key: value for key, value in inner.items() if key != "model_type"} | whole


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value is of the kind of a key's usual one; None: a number, or none."""
    if isinstance(value, bool) or isinstance(usual, bool | str):
        return type(value) is type(usual)
    if value is None:
        return usual is None
    kind = int if isinstance(usual, int) else int | float
    return isinstance(value, kind) and math.isfinite(value)


def read_json(path: Path) -> dict[str, Any]:
    """The settings of a file by key; ValueError if it is no JSON, or holds something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is damaged: it is no JSON") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__} and no settings by key")
    return values
