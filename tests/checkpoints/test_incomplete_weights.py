"""Readers of sizes on weights with a part missing, as a single shard is, or with other axes."""

import pytest
import torch

from scratchmm.checkpoints.bert import bert_config_from
from scratchmm.checkpoints.clip import clip_config_from
from scratchmm.checkpoints.controlnet import controlnet_config_from
from scratchmm.checkpoints.prior import prior_config_from
from scratchmm.checkpoints.resnet import resnet_config_from
from scratchmm.checkpoints.unet import unet_config_from
from scratchmm.checkpoints.vae import vae_config_from
from scratchmm.checkpoints.vilt import vilt_config_from
from scratchmm.checkpoints.vit import vit_config_from

STACK = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=37)
WORDS = dict(STACK, vocab_size=99, max_position_embeddings=20)
IMAGE = dict(STACK, image_size=32, patch_size=8)
RESNET = dict(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
DOWN = dict(
    block_out_channels=(32, 64),
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    layers_per_block=1,
    cross_attention_dim=16,
)
UNET = dict(DOWN, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
FAMILIES = {
    "CLIPModel": (clip_config_from, dict(head_width=8)),
    "ViTForImageClassification": (vit_config_from, dict(head_width=8)),
    "ViltModel": (vilt_config_from, dict(head_width=8)),
    "BertModel": (bert_config_from, dict(head_width=8)),
    "ResNetForImageClassification": (resnet_config_from, {}),
    "UNet2DConditionModel": (unet_config_from, dict(heads=4)),
    "AutoencoderKL": (vae_config_from, {}),
    "ControlNetModel": (controlnet_config_from, dict(heads=4)),
    "PriorTransformer": (prior_config_from, dict(heads=4)),
}


def published(family):
    """The state dict of a small model of the published class, without numbers."""
    transformers = pytest.importorskip("transformers")
    diffusers = pytest.importorskip("diffusers")
    configs = {
        "CLIPModel": lambda: transformers.CLIPConfig(text_config=WORDS, vision_config=IMAGE),
        "ViTForImageClassification": lambda: transformers.ViTConfig(**IMAGE),
        "ViltModel": lambda: transformers.ViltConfig(**{**WORDS, **IMAGE}),
        "BertModel": lambda: transformers.BertConfig(**WORDS),
        "ResNetForImageClassification": lambda: transformers.ResNetConfig(**RESNET),
    }
    with torch.device("meta"):
        if family in configs:
            return getattr(transformers, family)(configs[family]()).state_dict()
        sizes = {"UNet2DConditionModel": UNET, "ControlNetModel": DOWN}.get(family, {})
        if family == "PriorTransformer":
            sizes = dict(
                num_attention_heads=4, attention_head_dim=8, num_layers=1, embedding_dim=16
            )
        return getattr(diffusers, family)(**sizes).state_dict()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_missing_is_named(family):
    state = published(family)
    read, given = FAMILIES[family]
    expected = read(state, **given)
    folders = {".".join(name.split(".")[:depth]) for name in state for depth in (1, 2, 3)}
    refused = 0
    for left_out in sorted({*state, *folders}):
        part = {name: t for name, t in state.items() if not name.startswith(left_out)}
        try:
            assert type(read(part, **given)) is type(expected)
        except ValueError as error:
            assert "unpack" not in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 3
    for name in state:
        for shape in ((), (2,), (1, 2, 3, 4, 5)):
            changed = {**state, name: torch.empty(shape, device="meta")}
            try:
                assert type(read(changed, **given)) is type(expected)
            except ValueError as error:
                assert "unpack" not in str(error) and "\n" not in str(error)
