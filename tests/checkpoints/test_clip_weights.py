"""CLIP against transformers, and against OpenAI's layout written down from nn.MultiheadAttention."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.checkpoints.clip import (
    clip_config_from,
    load_clip,
    load_clip_text,
    load_clip_vision,
)
from scratchmm.contrastive.clip import (
    CLIP,
    CLIPConfig,
    CLIPVision,
    clip_vit_b_16,
    clip_vit_b_32,
    clip_vit_l_14,
)
from scratchmm.language.text_transformer import TextConfig, TextTransformer
from scratchmm.layers.attention import watch_attention
from scratchmm.layers.transformer import hidden_states
from scratchmm.vision.vit import ViTConfig

# Every size differs from every other, so that no two axes can be mistaken for each other.
VISION = ViTConfig(32, 8, width=24, depth=2, heads=4, hidden=37, epsilon=1e-5)
TEXT = TextConfig(99, 13, width=42, depth=3, heads=7, hidden=29, end_token=98)
CONFIG = CLIPConfig(VISION, TEXT, embedding=17)


def randomise(model):
    """Every parameter and buffer: half of them are constant at first, and would prove nothing."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return model.double().eval()


def some_images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()


def texts():
    return torch.tensor(
        [[97, 5, 7, 98, 98, 98], [97, 11, 12, 13, 14, 98], [97, 98, 98, 98, 98, 98]]
    )


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


# transformers


def transformers_configs():
    transformers = pytest.importorskip("transformers")
    vision = transformers.CLIPVisionConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        image_size=32,
        patch_size=8,
    )
    text = transformers.CLIPTextConfig(
        hidden_size=42,
        num_hidden_layers=3,
        num_attention_heads=7,
        intermediate_size=29,
        vocab_size=99,
        max_position_embeddings=13,
        bos_token_id=97,
        eos_token_id=98,
        pad_token_id=98,
    )
    return transformers, vision, text


@pytest.fixture(scope="module")
def reference():
    transformers, vision, text = transformers_configs()
    config = transformers.CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=17
    )
    return randomise(transformers.CLIPModel(config))


def asked(reference, **more):
    return reference(
        input_ids=texts(), pixel_values=some_images(), output_hidden_states=True, **more
    )


def test_clip_gives_the_same_numbers(reference):
    model = load_clip(CLIP(CONFIG).double(), reference.state_dict()).eval()
    theirs = asked(reference)
    ours = model(some_images(), texts())
    equal(ours.image_embeddings, theirs.image_embeds)
    equal(ours.text_embeddings, theirs.text_embeds)
    equal(ours.logits, theirs.logits_per_image)
    equal(ours.scale, reference.logit_scale.exp())

    vision, text = theirs.vision_model_output, theirs.text_model_output
    equal(model.vision.tokens(some_images()), vision.last_hidden_state)
    equal(model.vision(some_images()), reference.vision_model(some_images()).pooler_output)
    equal(model.text(texts()), text.last_hidden_state)
    start = model.vision.norm_before(model.vision.embeddings(some_images()))
    for our, their in zip(
        hidden_states(model.vision.transformer, start), vision.hidden_states, strict=True
    ):
        equal(our, their)


def test_clip_looks_at_the_same_places(reference, monkeypatch):
    model = load_clip(CLIP(CONFIG).double(), reference.state_dict()).eval()
    # transformers shows weights only on the path that rounds its softmax to float32: not here
    monkeypatch.setattr(nn.functional, "softmax", lambda x, dim, dtype: x.softmax(dim))
    reference.set_attn_implementation("eager")
    theirs = asked(reference, output_attentions=True)
    reference.set_attn_implementation("sdpa")
    with watch_attention() as seen:
        model.vision.tokens(some_images())
        model.text(texts())
    expected = [*theirs.vision_model_output.attentions, *theirs.text_model_output.attentions]
    assert len(seen) == 5
    for our, their in zip(seen, expected, strict=True):
        equal(our, their)


def test_clip_has_the_same_gradients(reference):
    model = load_clip(CLIP(CONFIG).double(), reference.state_dict()).eval()
    upstream = torch.randn(3, 3, generator=torch.Generator().manual_seed(2)).double()
    (model(some_images(), texts()).logits * upstream).sum().backward()
    reference.zero_grad()
    (
        reference(input_ids=texts(), pixel_values=some_images()).logits_per_image * upstream
    ).sum().backward()
    # the gradients travel through the same table as the weights
    gradients = {name: p.grad for name, p in reference.named_parameters()}
    assert all(
        gradient.abs().max() > 1e-8
        for name, gradient in gradients.items()
        if "k_proj.bias" not in name
    )
    carrier = load_clip(CLIP(CONFIG).double(), gradients)
    for (name, our), their in zip(model.named_parameters(), carrier.parameters(), strict=True):
        torch.testing.assert_close(our.grad, their.detach(), rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("suffix", [".bin", ".safetensors", "folder", "sharded"])
def test_clip_from_saved_files(reference, tmp_path, suffix):
    if suffix == ".bin":
        path = tmp_path / "pytorch_model.bin"
        torch.save(reference.state_dict(), path)
    elif suffix == ".safetensors":
        safetensors = pytest.importorskip("safetensors.torch")
        path = tmp_path / "model.safetensors"
        safetensors.save_file(reference.state_dict(), path)
    else:
        path = tmp_path
        limit = "60KB" if suffix == "sharded" else "5GB"
        reference.save_pretrained(path, max_shard_size=limit)
        assert (suffix == "sharded") == (path / "model.safetensors.index.json").exists()
    model = load_clip(CLIP(CONFIG).double(), path).eval()
    equal(model(some_images(), texts()).logits, asked(reference).logits_per_image)


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_text_tower(prefix):
    transformers, _, text = transformers_configs()
    reference = randomise(transformers.CLIPTextModel(text))
    state = {
        prefix + name.removeprefix("text_model."): t for name, t in reference.state_dict().items()
    }
    model = load_clip_text(TextTransformer(TEXT).double(), state).eval()
    output = reference(input_ids=texts())
    equal(model(texts()), output.last_hidden_state)


@pytest.mark.parametrize("prefix", ["", "vision_model."])
def test_image_tower(prefix):
    transformers, vision, _ = transformers_configs()
    reference = randomise(transformers.CLIPVisionModel(vision))
    state = {
        prefix + name.removeprefix("vision_model."): t for name, t in reference.state_dict().items()
    }
    model = load_clip_vision(CLIPVision(VISION).double(), state).eval()
    output = reference(pixel_values=some_images())
    equal(model.tokens(some_images()), output.last_hidden_state)
    equal(model(some_images()), output.pooler_output)


def test_the_config_from_transformers_shapes(reference):
    state = reference.state_dict()
    assert clip_config_from(state, head_width=6) == CONFIG


def test_old_counters_are_left_out_knowingly(reference):
    state = reference.state_dict()
    state["text_model.embeddings.position_ids"] = torch.arange(13)[None]
    state["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    load_clip(CLIP(CONFIG), state)
    state["text_model.embeddings.positions"] = torch.arange(13)[None]
    with pytest.raises(ValueError, match="text_model.embeddings.positions is surplus"):
        load_clip(CLIP(CONFIG), state)


# OpenAI's own layout, written down here from torch's modules.


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class ResidualAttentionBlock(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, hidden))
        self.mlp.add_module("gelu", QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(hidden, width))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x, mask=None):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Blocks(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.resblocks = nn.ModuleList(
            ResidualAttentionBlock(config.width, config.heads, config.hidden)
            for _ in range(config.depth)
        )

    def forward(self, x, mask=None):
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Visual(nn.Module):
    def __init__(self, config, embedding):
        super().__init__()
        patch, tokens = config.patch_size, (config.image_size // config.patch_size) ** 2 + 1
        self.conv1 = nn.Conv2d(3, config.width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(config.width))
        self.positional_embedding = nn.Parameter(torch.empty(tokens, config.width))
        self.ln_pre = nn.LayerNorm(config.width)
        self.transformer = Blocks(config)
        self.ln_post = nn.LayerNorm(config.width)
        self.proj = nn.Parameter(torch.empty(config.width, embedding))

    def forward(self, x):
        x = self.conv1(x).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1)
        x = self.ln_pre(x + self.positional_embedding).permute(1, 0, 2)
        x = self.transformer(x).permute(1, 0, 2)
        return self.ln_post(x[:, 0]) @ self.proj


class OpenAI(nn.Module):
    def __init__(self, config):
        super().__init__()
        text = config.text
        self.visual = Visual(config.vision, config.embedding)
        self.transformer = Blocks(text)
        self.token_embedding = nn.Embedding(text.vocabulary, text.width)
        self.positional_embedding = nn.Parameter(torch.empty(text.context_length, text.width))
        self.ln_final = nn.LayerNorm(text.width)
        self.text_projection = nn.Parameter(torch.empty(text.width, config.embedding))
        self.logit_scale = nn.Parameter(torch.ones([]))

    def encode_text(self, tokens):
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        length = tokens.shape[1]
        mask = torch.full((length, length), -math.inf, dtype=x.dtype).triu(1)
        x = self.ln_final(self.transformer(x.permute(1, 0, 2), mask).permute(1, 0, 2))
        return x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ self.text_projection

    def forward(self, images, tokens):
        image = F.normalize(self.visual(images), dim=1)
        return self.logit_scale.exp() * image @ F.normalize(self.encode_text(tokens), dim=1).t()


def test_openais_layout(tmp_path):
    reference = randomise(OpenAI(CONFIG))
    state = reference.state_dict()
    for name, value in [("input_resolution", 32), ("context_length", 13), ("vocab_size", 99)]:
        state[name] = torch.tensor(value)  # as the published archive's state dict has them
    torch.save(state, tmp_path / "ViT-tiny.pt")
    model = load_clip(CLIP(CONFIG).double(), tmp_path / "ViT-tiny.pt").eval()
    ours = model(some_images(), texts())
    equal(ours.image_embeddings, F.normalize(reference.visual(some_images()), dim=-1))
    equal(ours.text_embeddings, F.normalize(reference.encode_text(texts()), dim=-1))
    equal(ours.logits, reference(some_images(), texts()))

    upstream = torch.randn(3, 3, generator=torch.Generator().manual_seed(2)).double()
    (ours.logits * upstream).sum().backward()
    (reference(some_images(), texts()) * upstream).sum().backward()
    gradients = {name: p.grad for name, p in reference.named_parameters()}
    carrier = load_clip(CLIP(CONFIG).double(), gradients)
    for (name, our), their in zip(model.named_parameters(), carrier.parameters(), strict=True):
        torch.testing.assert_close(our.grad, their.detach(), rtol=1e-9, atol=1e-10, msg=name)


def test_the_config_from_openais_shapes():
    state = OpenAI(CONFIG).state_dict()
    assert clip_config_from(state, head_width=6) == CONFIG


def test_half_precision_weights_fill_a_float_model():
    reference = randomise(OpenAI(CONFIG))
    model = load_clip(CLIP(CONFIG), reference.half().state_dict())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    equal(model.text.positions.detach(), reference.positional_embedding.detach().float())


# Sizes, and what is refused


def parameters(build, config):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(config).parameters())


def test_the_published_size():
    assert parameters(CLIP, clip_vit_b_32()) == 151_277_313


@pytest.mark.parametrize("config", [clip_vit_b_32(), clip_vit_b_16(), clip_vit_l_14()])
def test_the_published_configs_come_back_from_their_shapes(config):
    with torch.device("meta"):
        state = OpenAI(config).state_dict()
    assert clip_config_from(state) == config


def untouched_after(state, sentence, config=CONFIG):
    model = CLIP(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=sentence) as caught:
        load_clip(model, state)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    return str(caught.value)


def test_every_difference_is_listed_and_nothing_is_copied():
    state = randomise(OpenAI(CONFIG)).state_dict()
    del state["transformer.resblocks.2.ln_2.bias"]
    state["visual.proj"] = state["visual.proj"].T
    state["transformer.resblocks.3.ln_1.weight"] = torch.ones(42)
    # the same number of pixels in a patch, cut in another way
    state["visual.conv1.weight"] = state["visual.conv1.weight"].reshape(24, 12, 4, 4)
    sentence = untouched_after(state, "the state dict does not fit CLIP: ")
    assert "transformer.resblocks.2.ln_2.bias is missing" in sentence
    assert "visual.proj is (17, 24) and should be (24, 17)" in sentence
    assert "transformer.resblocks.3.ln_1.weight is surplus" in sentence
    assert "visual.conv1.weight is (24, 12, 4, 4) and should be (24, 3, 8, 8)" in sentence
    assert sentence.count(";") == 3 and "\n" not in sentence


def test_a_fused_matrix_of_another_size():
    state = OpenAI(CONFIG).state_dict()
    state["transformer.resblocks.0.attn.in_proj_weight"] = torch.zeros(42, 42)
    untouched_after(state, r"attn.in_proj_weight is \(42, 42\) and should be \(126, 42\)")


def test_other_models():
    untouched_after(nn.Linear(2, 3).state_dict(), "of another model: it has weight and 1 other")
    untouched_after({}, "does not fit CLIP: vision_model.*is missing.* and 74 more")
    deeper = CLIPConfig(VISION, TextConfig(99, 13, 42, 5, 7, 29, 98), 17)
    sentence = untouched_after(OpenAI(deeper).state_dict(), "4.mlp.c_fc.bias is surplus")
    assert sentence.count("surplus") == 20 and sentence.endswith("and 4 more")


def test_a_config_cannot_be_read_off_another_model():
    with pytest.raises(ValueError, match="the state dict is no CLIP with a Vision Transformer"):
        clip_config_from(nn.Linear(2, 3).state_dict())
