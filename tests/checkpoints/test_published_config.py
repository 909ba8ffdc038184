"""config.json beside the weights of transformers' models: obeyed, or refused by key and both values."""

import json
from dataclasses import replace

import pytest
import torch

from scratchmm.checkpoints import bert, clip_config, published_config, vilt, vit
from scratchmm.checkpoints.bert import bert_config_from, load_bert
from scratchmm.checkpoints.clip import (
    _openai,
    clip_config_from,
    load_clip,
    load_clip_text,
    load_clip_vision,
)
from scratchmm.checkpoints.lxmert import load_lxmert
from scratchmm.checkpoints.vilt import load_vilt, vilt_config_from
from scratchmm.checkpoints.vit import load_vit, vit_config_from
from scratchmm.contrastive import clip as our_clip
from scratchmm.contrastive.clip import CLIP, CLIPVision
from scratchmm.fusion.bimodal import BimodalConfig, BimodalTransformer
from scratchmm.fusion.vilt import ViLT, ViLTForMaskedLM
from scratchmm.language import bert as our_bert
from scratchmm.language.bert import BERT, BERTForMaskedLM
from scratchmm.language.text_transformer import TextTransformer
from scratchmm.vision import vit as our_vit
from scratchmm.vision.vit import VisionTransformer, ViTClassifier

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

SIZES = {"num_hidden_layers": 2, "intermediate_size": 37}
TOKENS = torch.tensor([[97, 5, 7, 98], [97, 98, 98, 98], [97, 11, 98, 98]])


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return model.double().eval()


def some_images(size=28):
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1)).double()


def equal(ours, theirs, most=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=most)


def a_vit(kind="ViTForImageClassification", **more):
    config = {**SIZES, "hidden_size": 80, "num_attention_heads": 4, "image_size": 28}
    config |= {"patch_size": 14, "num_labels": 3, **more}
    return randomise(getattr(transformers, kind)(transformers.ViTConfig(**config)))


def a_bert(kind="BertModel", **more):
    config = {**SIZES, "vocab_size": 99, "hidden_size": 128, "num_attention_heads": 4}
    config |= {"max_position_embeddings": 24, **more}
    return randomise(getattr(transformers, kind)(transformers.BertConfig(**config)))


def clip_parts(text=None, vision=None):
    words = {**SIZES, "hidden_size": 42, "num_attention_heads": 7, "vocab_size": 99}
    words |= {"max_position_embeddings": 12, "bos_token_id": 97, "eos_token_id": 98, **(text or {})}
    image = {**SIZES, "hidden_size": 80, "num_attention_heads": 2, "image_size": 28}
    image |= {"patch_size": 14, **(vision or {})}
    return words, image


def a_clip(text=None, vision=None):
    words, image = clip_parts(text, vision)
    config = transformers.CLIPConfig(text_config=words, vision_config=image, projection_dim=24)
    return randomise(transformers.CLIPModel(config))


def a_vilt(kind="ViltModel", **more):
    config = {**SIZES, "vocab_size": 99, "hidden_size": 60, "num_attention_heads": 5}
    config |= {"image_size": 28, "patch_size": 14, "max_position_embeddings": 12, **more}
    return randomise(getattr(transformers, kind)(transformers.ViltConfig(**config)))


def saved(reference, folder):
    reference.save_pretrained(folder)
    return folder


def rewrite(folder, change):
    """The config.json of a folder with its values changed by a function."""
    path = folder / "config.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


# What can be done is obeyed


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"hidden_act": "gelu_new", "layer_norm_eps": 1e-6},
        {"hidden_act": "relu", "num_attention_heads": 16},
        {"hidden_act": "swish", "image_size": [28, 28]},
    ],
)
def test_vit(tmp_path, more):
    reference = a_vit(**more)
    saved(reference, tmp_path)
    config = vit_config_from(tmp_path)
    model = load_vit(ViTClassifier(config).double(), tmp_path).eval()
    equal(model(some_images()), reference(some_images()).logits)
    assert vit_config_from(tmp_path / "model.safetensors") == config
    encoder = load_vit(VisionTransformer(config).double(), tmp_path / "model.safetensors").eval()
    equal(encoder(some_images()), reference.vit(some_images()).last_hidden_state)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-3, "num_attention_heads": 8},
        {"hidden_act": "relu", "type_vocab_size": 1},
        {"hidden_act": "silu", "num_attention_heads": 1},
    ],
)
def test_bert(tmp_path, more):
    reference = a_bert(**more)
    saved(reference, tmp_path)
    model = load_bert(BERT(bert_config_from(tmp_path)).double(), tmp_path).eval()
    theirs = reference(TOKENS)
    equal(model(TOKENS), theirs.last_hidden_state)
    equal(model.pool(model(TOKENS)), theirs.pooler_output)


def test_bert_that_guesses_words_has_the_activation_in_its_head_too(tmp_path):
    reference = a_bert("BertForMaskedLM", hidden_act="gelu_new")
    saved(reference, tmp_path)
    model = load_bert(BERTForMaskedLM(bert_config_from(tmp_path)).double(), tmp_path).eval()
    equal(model(TOKENS), reference(TOKENS).logits)


@pytest.mark.parametrize(
    ("text", "vision"),
    [
        ({"hidden_act": "gelu"}, {"hidden_act": "gelu"}),
        ({"hidden_act": "gelu", "layer_norm_eps": 1e-3}, {"num_attention_heads": 20}),
        ({"num_attention_heads": 2, "eos_token_id": 5}, {"layer_norm_eps": 1e-6}),
        ({"eos_token_id": 2}, {"hidden_act": "gelu_new"}),
    ],
)
def test_clip(tmp_path, text, vision):
    reference = a_clip(text, vision)
    saved(reference, tmp_path)
    model = load_clip(CLIP(clip_config_from(tmp_path)).double(), tmp_path).eval()
    tokens = TOKENS if text.get("eos_token_id") != 5 else torch.tensor([[97, 5, 98], [97, 98, 5]])
    theirs = reference(input_ids=tokens, pixel_values=some_images())
    ours = model(some_images(), tokens)
    equal(ours.image_embeddings, theirs.image_embeds)
    equal(ours.text_embeddings, theirs.text_embeds)
    equal(ours.logits, theirs.logits_per_image)


def test_the_towers_of_clip_alone(tmp_path):
    words, image = clip_parts({"hidden_act": "gelu"}, {"hidden_act": "gelu"})
    text = randomise(transformers.CLIPTextModel(transformers.CLIPTextConfig(**words)))
    vision = randomise(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**image)))
    saved(a_clip(words, image), tmp_path / "whole")
    config = clip_config_from(tmp_path / "whole")
    saved(text, tmp_path / "text")
    saved(vision, tmp_path / "vision")
    ours = load_clip_text(TextTransformer(config.text).double(), tmp_path / "text").eval()
    equal(ours(TOKENS), text(TOKENS).last_hidden_state)
    tower = load_clip_vision(CLIPVision(config.vision).double(), tmp_path / "vision").eval()
    equal(tower(some_images()), vision(some_images()).pooler_output)
    quick = TextTransformer(replace(config.text, activation="quick_gelu"))
    with pytest.raises(ValueError, match="says hidden_act is 'gelu', but this text tower was made"):
        load_clip_text(quick, tmp_path / "text")
    quick = CLIPVision(replace(config.vision, activation=None))
    with pytest.raises(ValueError, match="but this vision tower .* activation='quick_gelu'"):
        load_clip_vision(quick, tmp_path / "vision")


@pytest.mark.parametrize("kind", ["ViltModel", "ViltForMaskedLM"])
def test_vilt(tmp_path, kind):
    reference = a_vilt(kind, hidden_act="gelu_new", layer_norm_eps=1e-4)
    saved(reference, tmp_path)
    body = ViLT(vilt_config_from(tmp_path))
    model = load_vilt(body if kind == "ViltModel" else ViLTForMaskedLM(body), tmp_path)
    model = model.double().eval()
    theirs = reference(input_ids=TOKENS, pixel_values=some_images())
    if kind == "ViltModel":
        equal(model(TOKENS, some_images()).pooled, theirs.pooler_output)
    else:
        equal(model(TOKENS, some_images()), theirs.logits)


# What can't be done, or was not made so, is refused by key and both values


def an_lxmert(**more):
    config = {"vocab_size": 99, "hidden_size": 32, "num_attention_heads": 4, "l_layers": 1}
    config |= {"intermediate_size": 37, "r_layers": 1, "x_layers": 1, **more}
    return randomise(transformers.LxmertModel(transformers.LxmertConfig(**config)))


LXMERT = BimodalConfig(32, heads=4, hidden=37, words_depth=1, image_depth=1, depth=1)
FOREIGN = [
    (a_vit, "model_type", "deit", "'vit'"),
    (a_vit, "qkv_bias", False, "True"),
    (a_vit, "image_size", [14, 56], "squares"),
    (a_vit, "hidden_act", "mish", "'gelu'"),
    (a_bert, "model_type", "roberta", "'bert'"),
    (a_bert, "is_decoder", True, "False"),
    (a_bert, "position_embedding_type", "relative_key", "'absolute'"),
    (a_bert, "hidden_act", "mish", "'gelu'"),
    (a_bert, "num_attention_heads", "twelve", "12"),
    (a_bert, "num_attention_heads", None, "12"),
    (a_bert, "num_attention_heads", [4, 4], "12"),
    (a_bert, "layer_norm_eps", True, "1e-12"),
    (a_vilt, "max_image_length", 7, "-1"),
    (a_vilt, "qkv_bias", False, "True"),
    (a_clip, "model_type", "siglip", "'clip'"),
    (an_lxmert, "hidden_act", "relu", "'gelu'"),
    (an_lxmert, "model_type", "bert", "'lxmert'"),
]


@pytest.mark.parametrize(("make", "key", "value", "possible"), FOREIGN)
def test_what_the_model_cannot_do_is_refused(tmp_path, make, key, value, possible):
    saved(make(), tmp_path)
    kinds = {
        a_vit: (ViTClassifier, vit_config_from, load_vit),
        a_bert: (BERT, bert_config_from, load_bert),
        a_vilt: (ViLT, vilt_config_from, load_vilt),
        a_clip: (CLIP, clip_config_from, load_clip),
        an_lxmert: (BimodalTransformer, lambda _: LXMERT, load_lxmert),
    }
    kind, config_from, load = kinds[make]
    model = kind(config_from(tmp_path))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rewrite(tmp_path, lambda values: values.update({key: value}))
    with pytest.raises(ValueError) as refusal:
        load(model, tmp_path)
    said = str(refusal.value)
    assert "config.json" in said and key in said and repr(value) in said and possible in said
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    if make is not an_lxmert:
        with pytest.raises(ValueError, match=key):
            config_from(tmp_path)


@pytest.mark.parametrize(
    ("make", "kind", "config_from", "load", "change", "sentence"),
    [
        (a_vit, ViTClassifier, vit_config_from, load_vit, {"heads": 8}, "num_attention_heads is 4"),
        (
            a_vit,
            ViTClassifier,
            vit_config_from,
            load_vit,
            {"epsilon": 1e-6},
            "layer_norm_eps is 1e",
        ),
        (a_vit, ViTClassifier, vit_config_from, load_vit, {"activation": "relu"}, "hidden_act is"),
        (a_bert, BERT, bert_config_from, load_bert, {"heads": 2}, "num_attention_heads is 4"),
        (a_bert, BERT, bert_config_from, load_bert, {"activation": "relu"}, "hidden_act is 'gelu'"),
        (a_bert, BERT, bert_config_from, load_bert, {"epsilon": 1e-5}, "layer_norm_eps is 1e-12"),
        (a_vilt, ViLT, vilt_config_from, load_vilt, {"heads": 3}, "num_attention_heads is 5"),
        (a_vilt, ViLT, vilt_config_from, load_vilt, {"epsilon": 1e-5}, "layer_norm_eps is 1e-12"),
    ],
)
def test_a_model_made_otherwise_is_refused(
    tmp_path, make, kind, config_from, load, change, sentence
):
    saved(make(), tmp_path)
    ((field, value),) = change.items()
    model = kind(replace(config_from(tmp_path), **change))
    with pytest.raises(ValueError, match=f"config.json says {sentence}.*{field}={value!r}"):
        load(model, tmp_path)
    with pytest.raises(
        ValueError, match=f"config.json says {sentence}.*{field}={value!r} is given"
    ):
        config_from(tmp_path, **change)


@pytest.mark.parametrize("tower", ["text", "vision"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"heads": 1}, "num_attention_heads is"),
        ({"activation": "gelu"}, "hidden_act is 'quick_gelu'"),
        ({"epsilon": 1e-6}, "layer_norm_eps is 1e-05"),
        ({"end_token": 7}, "eos_token_id is 98"),
    ],
)
def test_a_tower_made_otherwise_is_refused(tmp_path, tower, change, sentence):
    if tower == "vision" and "end_token" in change:
        return
    saved(a_clip(), tmp_path)
    config = clip_config_from(tmp_path)
    made = CLIP(replace(config, **{tower: replace(getattr(config, tower), **change)}))
    with pytest.raises(
        ValueError, match=f"{tower}_config. says {sentence}.*this {tower} tower was made"
    ):
        load_clip(made, tmp_path)


def test_a_list_may_be_a_value_that_is_known_or_of_such_values():
    check = published_config.check_fixed
    for known in (["a", "a"], "a", [1, 2], []):
        check("c.json", {"key": known}, {"key": ("a", [1, 2])})
    for other in (["a", "b"], "b", [2, 1], [[1]]):
        with pytest.raises(ValueError, match="c.json .*key"):
            check("c.json", {"key": other}, {"key": ("a", [1, 2])})


def test_lxmert_of_other_heads_is_refused(tmp_path):
    saved(an_lxmert(), tmp_path)
    load_lxmert(BimodalTransformer(LXMERT), tmp_path)
    with pytest.raises(ValueError, match="num_attention_heads is 4, but .* heads=2"):
        load_lxmert(BimodalTransformer(replace(LXMERT, heads=2)), tmp_path)


def test_an_lxmert_layer_has_heads_of_its_own(tmp_path):
    layer = BimodalTransformer(LXMERT).layers[0]
    theirs = an_lxmert().encoder.x_layers[0]
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"model_type": "lxmert", "num_attention_heads": 8}')
    with pytest.raises(ValueError, match="num_attention_heads is 8, but .* heads=4"):
        load_lxmert(layer, tmp_path)


# How the file is found and read


def test_what_an_old_file_says_twice_counts_as_transformers_counts_it(tmp_path):
    saved(a_clip({"hidden_act": "gelu"}, {"hidden_act": "gelu"}), tmp_path)

    def twice(values):
        for tower in ("text_config", "vision_config"):
            values[f"{tower}_dict"] = dict(values[tower])
            values[tower]["hidden_act"] = "quick_gelu"

    rewrite(tmp_path, twice)
    assert clip_config_from(tmp_path).text.activation == "gelu"
    assert clip_config_from(tmp_path).vision.activation == "gelu"
    theirs = transformers.CLIPConfig.from_pretrained(tmp_path)
    assert theirs.text_config.hidden_act == theirs.vision_config.hidden_act == "gelu"


def test_a_file_that_is_silent_means_the_classs_defaults(tmp_path):
    """Published files of CLIP name only what their towers have other than usual."""
    saved(a_clip({"hidden_size": 64, "num_attention_heads": 8, "eos_token_id": 98}), tmp_path)

    def shorten(values):
        for key in ("num_attention_heads", "hidden_act", "layer_norm_eps", "model_type"):
            del values["text_config"][key]

    rewrite(tmp_path, shorten)
    text = clip_config_from(tmp_path).text
    assert (text.heads, text.activation, text.epsilon) == (8, "quick_gelu", 1e-5)
    theirs = transformers.CLIPConfig.from_pretrained(tmp_path).text_config
    assert (theirs.num_attention_heads, theirs.hidden_act) == (8, "quick_gelu")


def test_a_byte_order_mark_a_damaged_file_and_another_programs(tmp_path):
    reference = a_bert()
    saved(reference, tmp_path)
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    config = bert_config_from(tmp_path)
    assert config.heads == 4
    path.write_text("{")
    with pytest.raises(ValueError, match="config.json is damaged: it is no JSON"):
        load_bert(BERT(config), tmp_path)
    path.write_text("[3]")
    with pytest.raises(ValueError, match="config.json holds a list and no settings by key"):
        load_bert(BERT(config), tmp_path)
    path.write_text('{"steps": 3}')  # of something else: the weights are bare
    load_bert(BERT(replace(config, heads=2)), tmp_path)
    with pytest.raises(ValueError, match="no shape shows how many heads it has"):
        bert_config_from(tmp_path)


# open_clip's own file, which stands beside its own names


def open_clip_folder(folder, reference, **more):
    """A CLIPModel's weights and settings as open_clip publishes them."""
    model = load_clip(CLIP(clip_config_from(reference)), reference)
    state, ours = {}, model.state_dict()
    for place in _openai(model.config):
        parts = [ours[name] for name in place.ours]
        tensor = torch.cat(parts) if parts[1:] else parts[0]
        tensor = tensor.T if place.transposed else tensor
        state[place.theirs] = tensor.reshape(place.shape or tensor.shape).contiguous().clone()
    folder.mkdir()
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    vision, text = model.config.vision, model.config.text
    settings = {
        "embed_dim": 24,
        "vision_cfg": {"width": vision.width, "head_width": vision.width // vision.heads}
        | {"image_size": vision.image_size, "patch_size": vision.patch_size, "mlp_ratio": 0.5},
        "text_cfg": {"width": text.width, "heads": text.heads, "vocab_size": text.vocabulary},
    }
    for key, value in more.items():
        place = settings
        *towers, key = key.split("__")
        for tower in towers:
            place = place[tower]
        place[key] = value
    text = json.dumps({"model_cfg": settings, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}})
    (folder / "open_clip_config.json").write_text(text)
    return folder


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_open_clips_settings(tmp_path, activation):
    tower = {"hidden_act": activation, "layer_norm_eps": 1e-6}
    reference = a_clip(tower, tower)
    saved(reference, tmp_path / "theirs")
    more = {f"{name}_cfg__norm_kwargs": {"eps": 1e-6} for name in ("vision", "text")}
    if activation == "quick_gelu":  # else silent: open_clip's usual GELU is the exact one
        more["quick_gelu"] = True
    folder = open_clip_folder(tmp_path / "open", tmp_path / "theirs", **more)
    config = clip_config_from(folder)
    assert config == clip_config_from(tmp_path / "theirs")
    model = load_clip(CLIP(config).double(), folder).eval()
    theirs = reference(input_ids=TOKENS, pixel_values=some_images())
    equal(
        model(some_images(), TOKENS).logits, theirs.logits_per_image, most=1e-5
    )  # stored as float32
    with pytest.raises(
        ValueError, match=f"open_clip_config.json says quick_gelu is .*{activation}"
    ):
        other = "gelu" if activation == "quick_gelu" else "quick_gelu"
        load_clip(CLIP(our_clip.with_activation(config, other)), folder)
    with pytest.raises(ValueError, match=r"\(vision_cfg\) says head_width is 40 \(heads=2 here\)"):
        load_clip(CLIP(replace(config, vision=replace(config.vision, heads=4))), folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text_cfg__no_causal_mask", True),
        ("text_cfg__pool_type", "last"),
        ("text_cfg__act_kwargs", {"approximate": "tanh"}),
        ("vision_cfg__act_kwargs", {"approximate": "tanh"}),
        ("vision_cfg__pool_type", "avg"),
        ("vision_cfg__final_ln_after_pool", True),
    ],
)
def test_what_open_clips_towers_can_and_ours_cannot_is_refused(tmp_path, key, value):
    saved(a_clip(), tmp_path / "theirs")
    folder = open_clip_folder(tmp_path / "open", tmp_path / "theirs", quick_gelu=True)
    model = CLIP(clip_config_from(folder))
    load_clip(model, folder)
    other = open_clip_folder(
        tmp_path / "other", tmp_path / "theirs", quick_gelu=True, **{key: value}
    )
    with pytest.raises(ValueError, match=f"says {key.split('__')[1]} is "):
        load_clip(model, other)
    (other / "open_clip_config.json").write_text('{"vision_cfg": 3}')
    with pytest.raises(ValueError, match="says nothing of a vision_cfg"):
        load_clip(model, other)


# Bare weights


def test_what_bare_weights_are_assumed_to_be():
    with pytest.raises(ValueError, match="a ViT 80 wide, no shape shows .*: give heads"):
        vit_config_from(a_vit().state_dict())
    assert vit_config_from(a_vit().state_dict(), heads=4).heads == 4
    with pytest.raises(ValueError, match="a BERT 128 wide"):
        bert_config_from(a_bert().state_dict())
    assert bert_config_from(a_bert().state_dict(), head_width=32).heads == 4
    with pytest.raises(ValueError, match="width 128 is not divisible by a head's width of 60"):
        bert_config_from(a_bert().state_dict(), head_width=60)
    with pytest.raises(ValueError, match="which count positions from 2"):
        bert_config_from(a_bert(type_vocab_size=1).state_dict(), heads=4)
    with pytest.raises(ValueError, match="a ViLT 60 wide"):
        vilt_config_from(a_vilt().state_dict())
    state = a_clip().state_dict()
    with pytest.raises(ValueError, match="a vision tower 80 wide, .*: give vision_heads"):
        clip_config_from(state)
    with pytest.raises(ValueError, match="a text tower 42 wide, .*: give text_heads"):
        clip_config_from(state, vision_heads=2)
    config = clip_config_from(state, vision_heads=2, text_heads=7, activation="gelu")
    assert (config.vision.heads, config.text.heads) == (2, 7)
    assert (config.vision.activation, config.text.activation) == ("gelu", "gelu")


def test_a_image_of_no_square_is_not_taken_for_one():
    state = a_vit(image_size=[14, 42]).state_dict()
    with pytest.raises(ValueError, match="positions for 3 patches, which make no square"):
        vit_config_from(state, heads=4)


# The published sizes


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (our_clip.clip_vit_b_32(), 151_277_313),
        (our_clip.clip_vit_b_16(), 149_620_737),
        (our_clip.clip_vit_l_14(), 427_616_513),
        (our_clip.clip_vit_l_14_336(), 427_944_193),
        (our_clip.clip_vit_h_14(), 986_109_441),
        (our_clip.clip_vit_bigg_14(), 2_539_567_105),
    ],
)
def test_clips_of_published_sizes(config, count):
    tower = {}
    for name, ours in (("text", config.text), ("vision", config.vision)):
        tower[f"{name}_config"] = {
            "hidden_size": ours.width,
            "num_hidden_layers": ours.depth,
            "num_attention_heads": ours.heads,
            "intermediate_size": ours.hidden,
            "hidden_act": ours.activation or "quick_gelu",
        }
    tower["vision_config"] |= {"image_size": config.vision.image_size}
    tower["vision_config"] |= {"patch_size": config.vision.patch_size}
    theirs = transformers.CLIPConfig(**tower, projection_dim=config.embedding)
    with torch.device("meta"):
        model, reference = CLIP(config), transformers.CLIPModel(theirs)
    assert sum(p.numel() for p in model.parameters()) == count
    assert sum(p.numel() for p in reference.parameters()) == count
    # From shapes alone: heads and the GELU of those that only LAION has.
    read = clip_config_from(reference.state_dict())
    assert read == config


@pytest.mark.parametrize(
    ("config", "count"),
    [(our_vit.vit_l_16_384(), 304_715_752), (our_vit.vit_h_14(), 632_045_800)],
)
def test_vits_of_published_sizes(config, count):
    theirs = transformers.ViTConfig(
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        intermediate_size=config.hidden,
        image_size=config.image_size,
        patch_size=config.patch_size,
        num_labels=1000,
    )
    with torch.device("meta"):
        model, reference = ViTClassifier(config), transformers.ViTForImageClassification(theirs)
    assert sum(p.numel() for p in model.parameters()) == count
    assert sum(p.numel() for p in reference.parameters()) == count
    assert vit_config_from(reference.state_dict()) == config


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (our_bert.minilm_l6(), 22_713_216),
        (our_bert.minilm_l12(), 33_360_000),
        (our_bert.bert_large(), 335_141_888),
    ],
)
def test_berts_of_published_sizes(config, count):
    theirs = transformers.BertConfig(
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        intermediate_size=config.hidden,
    )
    with torch.device("meta"):
        model, reference = BERT(config), transformers.BertModel(theirs)
    assert sum(p.numel() for p in model.parameters()) == count
    assert sum(p.numel() for p in reference.parameters()) == count
    assert bert_config_from(reference.state_dict()) == config


# Each key of a published class is obeyed, refused, seen in shapes, or harmless

SHAPES = {"hidden_size", "num_hidden_layers", "intermediate_size", "patch_size", "num_channels"}
SHAPES |= {"vocab_size", "max_position_embeddings", "type_vocab_size", "projection_dim"}
SHAPES |= {"modality_type_vocab_size", "l_layers", "x_layers", "r_layers"}
# Of training, of heads that are not read, of what a caller does, of which token pads.
HARMLESS = {"initializer_range", "initializer_factor", "hidden_dropout_prob", "attention_dropout"}
HARMLESS |= {"attention_probs_dropout_prob", "classifier_dropout", "logit_scale_init_value"}
HARMLESS |= {"encoder_stride", "pooler_output_size", "pooler_act", "use_cache", "num_images"}
HARMLESS |= {"pad_token_id", "bos_token_id", "tie_word_embeddings", "text_config", "vision_config"}


@pytest.mark.parametrize(
    ("name", "module", "more"),
    [
        ("ViTConfig", vit, set()),
        ("BertConfig", bert, {"eos_token_id"}),
        ("ViltConfig", vilt, set()),
        ("CLIPVisionConfig", clip_config, set()),
        ("CLIPTextConfig", clip_config, set()),
        ("CLIPConfig", clip_config, set()),
    ],
)
def test_every_setting_of_the_published_class_is_known(name, module, more):
    theirs = getattr(transformers, name)().to_dict()
    keys = theirs.keys() - transformers.PreTrainedConfig().to_dict().keys()
    tables = [v for k, v in vars(module).items() if k in ("OBEYED", "FIXED", "VISION", "TEXT")]
    known = set().union(*tables)
    assert keys - known - SHAPES - HARMLESS - more == set()
    defaults = {"ViTConfig": "OBEYED", "BertConfig": "OBEYED", "ViltConfig": "OBEYED"}
    defaults |= {"CLIPVisionConfig": "VISION", "CLIPTextConfig": "TEXT"}
    if name in defaults:
        for key, value in getattr(module, defaults[name]).items():
            assert theirs[key] == value, key
    for key, allowed in getattr(module, "FIXED", {}).items():
        assert theirs.get(key, allowed[0]) == allowed[0], key


def test_the_names_of_activations_are_transformers():
    from transformers.activations import ACT2FN

    from scratchmm.layers.transformer import ACTIVATIONS

    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    for name, ours in published_config.ACTIVATION_NAMES.items():
        torch.testing.assert_close(ACTIVATIONS[ours](x), ACT2FN[name](x), rtol=0, atol=1e-10)


def test_another_depth_than_the_file_s_is_refused(tmp_path):
    path = tmp_path / "config.json"
    settings = {"num_hidden_layers": 2, "text_config": {"num_hidden_layers": 3}}
    path.write_text(json.dumps(settings))
    published_config.check_depth("BERT", 2, tmp_path)
    published_config.check_depth("text tower", 3, tmp_path / "model.safetensors", "text_config")
    with pytest.raises(ValueError, match="num_hidden_layers is 2, but this BERT .* depth=3"):
        published_config.check_depth("BERT", 3, tmp_path)
    with pytest.raises(ValueError, match="num_hidden_layers is 3, but this text tower"):
        published_config.check_depth("text tower", 2, tmp_path, "text_config")
    path.write_text("{}")  # and one that does not say it is passed over
    published_config.check_depth("BERT", 7, tmp_path)


CONFIGS = {"bert": "BertConfig", "vit": "ViTConfig", "vilt": "ViltConfig"}


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_loader_compares_the_depth(tmp_path, kind):
    sizes = {"hidden_size": 24, "num_attention_heads": 3, **SIZES}
    config = getattr(transformers, CONFIGS[kind])(**sizes)
    published = {"bert": "BertModel", "vit": "ViTModel", "vilt": "ViltModel"}[kind]
    getattr(transformers, published)(config).save_pretrained(tmp_path)
    readers = {
        "bert": (bert_config_from, BERT, load_bert),
        "vit": (vit_config_from, VisionTransformer, load_vit),
        "vilt": (vilt_config_from, ViLT, load_vilt),
    }
    sizes_from, ours, load = readers[kind]
    load(ours(sizes_from(tmp_path)), tmp_path)
    said = json.loads((tmp_path / "config.json").read_text()) | {"num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"num_hidden_layers is 1, but this .* depth=2"):
        load(ours(sizes_from(tmp_path)), tmp_path)
