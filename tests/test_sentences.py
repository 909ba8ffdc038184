"""Sizes that no model can have are refused by their name and number, in every config."""

import dataclasses
import importlib
import inspect
import math
import pkgutil
from typing import get_args

import numpy as np
import pytest

import scratchmm
from scratchmm.sentences import MOST, check_count, check_number, check_sizes

MODELS = ("vision", "language", "audio", "video", "contrastive", "fusion", "diffusion", "layers")
ZERO = {"end_token", "attended", "frequency_shift", "words_depth", "image_depth", "self_depth"}
SIGNED = {"shift"}


def configs():
    """A tiny one of each config of a model that there is."""
    found = {}
    for module in pkgutil.walk_packages(scratchmm.__path__, "scratchmm."):
        if module.name.split(".")[1] in MODELS:
            file = importlib.import_module(module.name)
            for name, kind in inspect.getmembers(file, dataclasses.is_dataclass):
                if name.endswith("Config") and kind.__module__ == module.name:
                    found[name] = file.tiny()
    return found


CONFIGS = configs()
FIELDS = [
    pytest.param(config, field, id=f"{name}.{field.name}")
    for name, config in CONFIGS.items()
    for field in dataclasses.fields(config)
]


def parts(declared):
    """int, tuple and so on, of tuple[int, ...] | None."""
    inside = get_args(declared)
    return set().union(*map(parts, inside)) if inside else {declared}


def refused(config, field, wrong):
    """What is said of a config whose field is wrong: one sentence that names it, and the number."""
    value = getattr(config, field.name)
    put = (wrong, *value[1:]) if isinstance(value, tuple) else wrong
    with pytest.raises(ValueError, match=f"^{field.name.replace('_', ' ')} is ") as refusal:
        dataclasses.replace(config, **{field.name: put})
    said = str(refusal.value)
    assert len(said) < 200 and (str(wrong) in said or len(str(wrong)) > 40)


def test_every_config_is_known_here():
    assert len(CONFIGS) == 18 and {"CLIPConfig", "CNNLSTMConfig", "ControlNetConfig"} <= {*CONFIGS}


@pytest.mark.parametrize(("config", "field"), FIELDS)
def test_what_cannot_be_is_refused_by_name_and_number_in_every_config(config, field):
    kinds = parts(field.type)
    if int in kinds:
        for wrong in (-1, math.nan, math.inf, 2.5, 1.0, True, "8", 2**31, 10**12, 10**4000):
            refused(config, field, wrong)
        if type(None) not in kinds:
            refused(config, field, None)
        zero = field.name in ZERO or (field.name == "depth" and hasattr(config, "widths"))
        if not zero:
            refused(config, field, 0)
    elif float in kinds:
        for wrong in (math.nan, math.inf, -math.inf, True, "8", None, 10**400):
            refused(config, field, wrong)
        if field.name not in SIGNED:
            refused(config, field, -1.0)
            refused(config, field, 0)
    else:
        known = {bool, str, type(None)} | {type(config) for config in CONFIGS.values()}
        assert kinds <= known, "a kind of field that nobody looks at"


@dataclasses.dataclass
class Some:
    width: int = 4
    levels: tuple[int, ...] = (1, 2)
    head_width: int | None = None
    heads: int | tuple[int, ...] = 8
    grid: tuple[int, int] | None = None
    share: float = 0.5
    named: bool = False


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 0}, f"width is 0 and must be a whole number from 1 to {MOST}"),
        ({"width": MOST + 1}, f"width is {MOST + 1} and"),
        ({"levels": (1, 0)}, "levels is 0 and"),
        ({"head_width": 0}, "head width is 0 and"),
        ({"width": True}, "width is True and"),
        ({"heads": 0}, "heads is 0 and"),
        ({"heads": (4, 0)}, "heads is 0 and"),
        ({"grid": (4, 0)}, "grid is 0 and"),
        ({"share": -1}, "^share is -1 and must be a number above 0$"),
        ({"share": math.nan}, "share is nan and"),
    ],
)
def test_the_sentence_names_the_size_and_the_number(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_sizes(Some(**change))


def test_what_is_fine_passes():
    check_sizes(Some(levels=()))
    check_sizes(Some(width=MOST, share=1, head_width=1, heads=[2, 3], grid=(2, 3), named=True))
    check_sizes(Some(share=-1.0), signed=("share",))
    check_sizes(Some(share=np.float32(0.5)))
    check_sizes(Some(width=np.int64(3)))
    check_sizes(Some(width=0, levels=(0,)), zero=("width", "levels"))


COUNTS = (0, -1, True, False, 1.0, 2.5, math.nan, math.inf, "3", None, MOST + 1, 2**31, 10**12)


@pytest.mark.parametrize("wrong", COUNTS)
def test_a_count_is_a_whole_number_in_its_bounds(wrong):
    with pytest.raises(
        ValueError, match=f"^steps is {wrong} and must be a whole number from 1 to "
    ):
        check_count("steps", wrong)
    for right in (1, MOST, np.int64(5)):
        check_count("steps", right)
    check_count("seed", 0, least=0)
    check_count("seed", 2**40, most=2**40)
    with pytest.raises(ValueError, match="^k is 4 and must be a whole number from 2 to 3$"):
        check_count("k", 4, least=2, most=3)


@pytest.mark.parametrize(
    ("bounds", "wrong", "right", "kind"),
    [
        ({}, (), (0, -1e300, 3), "a finite number"),
        ({"above": 0}, (0, -1.0), (1e-300, 7), "a number above 0"),
        ({"least": 0}, (-1e-9,), (0, 1e9), "a number from 0 on"),
        ({"least": 0, "most": 1}, (-0.1, 1.1, 2), (0, 1, np.float32(0.5)), "a number from 0 to 1"),
        ({"above": 0, "most": 1}, (0, 1.1), (0.1, 1.0), "a number above 0 to 1"),
        ({"most": 1}, (1.1,), (-7, 1), "a number to 1"),
    ],
)
def test_a_number_is_finite_and_in_its_bounds(bounds, wrong, right, kind):
    for value in (*wrong, math.nan, math.inf, -math.inf, True, "0.5", None, 1j, 10**400):
        with pytest.raises(ValueError, match=f" and must be {kind}$") as refusal:
            check_number("rate", value, **bounds)
        assert str(refusal.value).startswith("rate is ")
    for value in right:
        check_number("rate", value, **bounds)
