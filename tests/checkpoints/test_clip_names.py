"""CLIP's weights under the names that wrappers, open_clip and larger models give them."""

import pytest
import torch
from torch import nn

from scratchmm.checkpoints.clip import (
    _openai,
    _transformers,
    load_clip,
    load_clip_text,
    load_clip_vision,
)
from scratchmm.contrastive.clip import CLIP, CLIPConfig, CLIPVision
from scratchmm.language.text_transformer import TextConfig, TextTransformer
from scratchmm.vision.vit import ViTConfig

VISION = ViTConfig(32, 8, width=24, depth=2, heads=4, hidden=37, epsilon=1e-5)
TEXT = TextConfig(99, 13, width=42, depth=3, heads=7, hidden=29, end_token=98)
CONFIG = CLIPConfig(VISION, TEXT, embedding=17)


@pytest.fixture(scope="module")
def model():
    generator = torch.Generator().manual_seed(0)
    model = CLIP(CONFIG)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def published(model, naming):
    """The model's tensors under the names and in the shapes of a file."""
    ours, found = model.state_dict(), {}
    for place in (_openai if naming == "OpenAI" else _transformers)(CONFIG):
        value = torch.cat([ours[name] for name in place.ours]) if place.ours[1:] else None
        value = ours[place.ours[0]] if value is None else value
        value = value.T if place.transposed else value
        found[place.theirs] = value.reshape(place.shape or value.shape).clone()
    return found


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


NAMINGS = ("OpenAI", "transformers")
PREFIXES = ("module.", "_orig_mod.", "model.", "clip.", "module._orig_mod.", "model.module.clip.")


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_wrappers_put_before_all_names(model, naming, prefix):
    state = {prefix + name: tensor for name, tensor in published(model, naming).items()}
    assert same(load_clip(CLIP(CONFIG), state), model)
    text = load_clip_text(TextTransformer(TEXT), {"state_dict": state})
    assert same(text, model.text)


@pytest.mark.parametrize("naming", NAMINGS)
def test_other_prefixes_are_named_and_nothing_is_guessed(model, naming):
    state = {f"student.{name}": tensor for name, tensor in published(model, naming).items()}
    with pytest.raises(ValueError, match=r"under the prefix 'student\.': read_state"):
        load_clip(CLIP(CONFIG), state)
    state["loss.weight"] = torch.ones(2)
    with pytest.raises(ValueError, match=r"under the prefix 'student\.': read_state"):
        load_clip(CLIP(CONFIG), state)
    half = dict(published(model, naming))
    first = next(iter(half))
    half[f"module.{first}"] = half.pop(first)  # not before all: not a wrapper's
    with pytest.raises(ValueError, match=f"{first} is missing; module.{first} is surplus"):
        load_clip(CLIP(CONFIG), half)


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("extra", [{}, {"logit_bias": torch.tensor(-10.0)}])
def test_one_tower_of_a_whole_file(model, naming, extra):
    state = published(model, naming) | extra
    assert same(load_clip_text(TextTransformer(TEXT), state), model.text)
    assert same(load_clip_vision(CLIPVision(VISION), state), model.vision)


@pytest.mark.parametrize("naming", NAMINGS)
def test_one_tower_of_a_file_of_one_tower(model, naming):
    """With its projection (as CLIPTextModelWithProjection) or without, with its prefix or without."""
    state = published(model, naming)
    prefix = "visual." if naming == "OpenAI" else "vision_model."
    vision = {name: tensor for name, tensor in state.items() if name.startswith("vis")}
    bare = {n.removeprefix(prefix): t for n, t in vision.items() if n.startswith(prefix)}
    bare.pop("proj", None)
    text = {name: tensor for name, tensor in state.items() if name not in vision}
    for part in (vision, bare):
        assert same(load_clip_vision(CLIPVision(VISION), part), model.vision)
    assert same(load_clip_text(TextTransformer(TEXT), text), model.text)
    with pytest.raises(ValueError, match="the state dict has no text tower: it has vis"):
        load_clip_text(TextTransformer(TEXT), vision)
    with pytest.raises(ValueError, match="has no vision tower: it has text_m|of another model"):
        load_clip_vision(CLIPVision(VISION), text)


def test_towers_of_transformers_with_their_projections():
    transformers = pytest.importorskip("transformers")
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37)
    text = transformers.CLIPTextConfig(
        **sizes, vocab_size=99, max_position_embeddings=20, eos_token_id=98, projection_dim=11
    )
    theirs = transformers.CLIPTextModelWithProjection(text).eval()
    ours = TextTransformer(TextConfig(99, 20, 32, 2, 4, 37, 98))
    load_clip_text(ours, theirs.state_dict())
    tokens = torch.tensor([[97, 5, 7, 98]])
    torch.testing.assert_close(
        ours.eval()(tokens), theirs(input_ids=tokens).last_hidden_state, rtol=0, atol=1e-5
    )
    vision = transformers.CLIPVisionConfig(**sizes, image_size=32, patch_size=8, projection_dim=11)
    theirs = transformers.CLIPVisionModelWithProjection(vision).eval()
    ours = CLIPVision(ViTConfig(32, 8, width=32, depth=2, heads=4, hidden=37, epsilon=1e-5))
    load_clip_vision(ours, theirs.state_dict())
    images = torch.randn(2, 3, 32, 32)
    theirs = theirs.vision_model(images).pooler_output
    torch.testing.assert_close(ours.eval()(images), theirs, rtol=0, atol=1e-5)


def test_open_clips_names(model):
    """`text.` before the text tower alone, the causal mask, a bias of 0; and what is not ours."""
    plain = published(model, "OpenAI")
    seen = ("visual.", "logit_")
    state = {n if n.startswith(seen) else f"text.{n}": t for n, t in plain.items()}
    state["text.attn_mask"] = torch.full((13, 13), -torch.inf).triu(1)
    state["logit_bias"] = torch.zeros(())
    assert same(load_clip(CLIP(CONFIG), {f"module.{n}": t for n, t in state.items()}), model)
    assert same(load_clip_text(TextTransformer(TEXT), state), model.text)
    plain["attn_mask"] = torch.ones(13, 13, dtype=torch.bool).triu(1)
    assert same(load_clip(CLIP(CONFIG), plain), model)
    for mask in (torch.zeros(13, 13), torch.ones(13, 13).isinf(), torch.zeros(13)):
        with pytest.raises(ValueError, match="attn_mask that is not the causal mask"):
            load_clip(CLIP(CONFIG), plain | {"attn_mask": mask})
    with pytest.raises(ValueError, match="adds a logit_bias of -10 to its logits"):
        load_clip(CLIP(CONFIG), state | {"logit_bias": torch.tensor([-10.0])})


def test_a_wrapped_model_is_refused(model):
    state = published(model, "OpenAI")
    wrapped = CLIP(CONFIG)
    wrapped.vision.norm_after = nn.Sequential(wrapped.vision.norm_after)
    before = {name: tensor.clone() for name, tensor in wrapped.state_dict().items()}
    with pytest.raises(
        ValueError, match="CLIP has no two_tower.towers.image.norm_after.weight to fill"
    ):
        load_clip(wrapped, state)
    torch.testing.assert_close(dict(wrapped.state_dict()), before, rtol=0, atol=0)
    with torch.device("meta"):
        empty = CLIP(CONFIG)
    with pytest.raises(ValueError, match="CLIP is on the meta device and can't be filled"):
        load_clip(empty, state)
