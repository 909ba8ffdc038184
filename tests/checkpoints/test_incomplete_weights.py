"""Readers of sizes on weights with a part missing, as a single shard is, or with other axes."""

import pytest
import torch

from scratchmm.checkpoints.clip import clip_config_from
from scratchmm.checkpoints.vilt import vilt_config_from
from scratchmm.checkpoints.vit import vit_config_from

STACK = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=37)
WORDS = dict(STACK, vocab_size=99, max_position_embeddings=20)
PICTURE = dict(STACK, image_size=32, patch_size=8)


def clip(library):
    config = library.CLIPConfig(text_config=WORDS, vision_config=PICTURE, projection_dim=16)
    return clip_config_from, library.CLIPModel(config)


def vit(library):
    return vit_config_from, library.ViTForImageClassification(library.ViTConfig(**PICTURE))


def vilt(library):
    return vilt_config_from, library.ViltModel(library.ViltConfig(**{**WORDS, **PICTURE}))


FAMILIES = {"clip": clip, "vit": vit, "vilt": vilt}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_missing_is_named(family):
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        read, model = FAMILIES[family](transformers)
    state = model.state_dict()
    given = {"head_width": 8}
    expected = read(state, **given)
    folders = {".".join(name.split(".")[:depth]) for name in state for depth in (1, 2, 3)}
    refused = 0
    for left_out in sorted({*state, *folders}):
        part = {name: t for name, t in state.items() if not name.startswith(left_out)}
        try:
            assert type(read(part, **given)) is type(expected)
        except ValueError as error:
            assert "the state dict" in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 5
    for name in state:
        for shape in ((), (2,), (1, 2, 3, 4, 5)):
            changed = {**state, name: torch.empty(shape, device="meta")}
            try:
                assert type(read(changed, **given)) is type(expected)
            except ValueError as error:
                assert f"{name} is {shape} and should have" in str(error)
