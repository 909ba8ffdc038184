"""Sizes that no model can have are refused by their name and number, in every config."""

import dataclasses
import math

import numpy as np
import pytest

from scratchmm.audio import audio_cnn
from scratchmm.diffusion import unet, vae
from scratchmm.fusion import vilt
from scratchmm.language import bert, text_transformer
from scratchmm.sentences import MOST, check_sizes
from scratchmm.video import cnn3d
from scratchmm.vision import resnet, vit

CONFIGS = [
    vit.tiny(), resnet.tiny(), text_transformer.TextConfig(), bert.tiny(), unet.UNetConfig(),
    vae.VAEConfig(), audio_cnn.tiny(), vilt.tiny(), cnn3d.tiny(),
]  # fmt: skip
MAY_BE_ZERO = {"end_token", "attended", "frequency_shift", "depth"}


SIZES = [
    pytest.param(config, field, id=f"{type(config).__name__}.{field.name}")
    for config in CONFIGS
    for field in dataclasses.fields(config)
    if field.type in (int, tuple[int, ...])
]


@pytest.mark.parametrize(("config", "field"), SIZES)
def test_no_size_below_one_none_that_is_no_number_and_none_beyond_all_memory(config, field):
    value = getattr(config, field.name)
    for wrong in (-3, math.nan, math.inf, 2.5, True, "8", 10**12, 10**4000, None):
        put = (wrong, *value[1:]) if isinstance(value, tuple) else wrong
        with pytest.raises((ValueError, TypeError)) as refusal:
            dataclasses.replace(config, **{field.name: put})
        assert len(str(refusal.value)) < 300
    if field.name not in MAY_BE_ZERO:
        put = (0, *value[1:]) if isinstance(value, tuple) else 0
        with pytest.raises(ValueError):
            dataclasses.replace(config, **{field.name: put})


@dataclasses.dataclass
class Some:
    width: int = 4
    levels: tuple[int, ...] = (1, 2)
    head_width: int | None = None
    share: float = 0.5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 0}, f"width is 0 and must be a whole number from 1 to {MOST}"),
        ({"width": MOST + 1}, f"width is {MOST + 1} and"),
        ({"levels": (1, 0)}, "levels is 0 and"),
        ({"head_width": 0}, "head width is 0 and"),
        ({"width": True}, "width is True and"),
    ],
)
def test_the_sentence_names_the_size_and_the_number(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_sizes(Some(**change))


def test_what_is_fine_passes():
    check_sizes(Some(levels=()))
    check_sizes(Some(width=MOST, share=-1.0, head_width=1))
    check_sizes(Some(width=np.int64(3)))
    check_sizes(Some(width=0, levels=(0,)), zero=("width", "levels"))
