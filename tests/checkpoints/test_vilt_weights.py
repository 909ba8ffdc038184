"""ViLT against transformers: the model and its heads for matching, masked words and questions."""

import pytest
import torch
from torch import nn

from scratchmm.checkpoints.vilt import load_vilt, vilt_config_from
from scratchmm.fusion.vilt import (
    ViLT,
    ViLTConfig,
    ViLTForMaskedLM,
    ViLTForMatching,
    ViLTForVQA,
    vilt_b_32,
)
from scratchmm.layers.attention import watch_attention
from scratchmm.layers.transformer import hidden_states

# Every size differs from every other, so that no two axes can be mistaken for each other.
CONFIG = ViLTConfig(
    vocabulary=99,
    context_length=13,
    image_size=24,
    patch_size=8,
    width=28,
    depth=3,
    heads=4,
    hidden=37,
    types=5,
)
KINDS = {
    "ViltModel": ViLT,
    "ViltForImageAndTextRetrieval": ViLTForMatching,
    "ViltForMaskedLM": ViLTForMaskedLM,
    "ViltForQuestionAnswering": lambda vilt: ViLTForVQA(vilt, answers=11),
}


def randomise(model):
    """Every parameter and buffer: ViLT's position tables are zeros at first."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return model.double().eval()


def published(kind):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViltConfig(
        vocab_size=99,
        max_position_embeddings=13,
        image_size=24,
        patch_size=8,
        hidden_size=28,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=37,
        type_vocab_size=5,
        num_labels=11,
    )
    return randomise(getattr(transformers, kind)(config))


def ours(kind, source):
    body = ViLT(CONFIG)
    model = body if kind == "ViltModel" else KINDS[kind](body)
    return load_vilt(model.double(), source).eval()


@pytest.fixture
def in_order(monkeypatch):
    """transformers draws the patches at random; here it draws them in reading order."""

    def first(weights, count, replacement=False):
        return torch.arange(int(count)) % len(weights)

    monkeypatch.setattr(torch, "multinomial", first)


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def a_batch(height=24, width=24):
    """Three pairs; texts of different lengths, with types."""
    tokens = torch.randint(0, 99, (3, 7), generator=torch.Generator().manual_seed(3))
    types = torch.randint(0, 5, (3, 7), generator=torch.Generator().manual_seed(4))
    real = torch.arange(7) < torch.tensor([[7], [4], [6]])
    return tokens, normal(3, 3, height, width), real, types


def padded(height, width, *corners):
    pixels = torch.zeros(len(corners), height, width, dtype=torch.bool)
    for mask, (rows, columns) in zip(pixels, corners):
        mask[:rows, :columns] = True
    return pixels


# Images of the size that positions are learned for; larger ones; padded ones, none of which, or
# one of which, fills the whole grid.
IMAGES = {
    "square": (24, 24, None),
    "large": (32, 40, None),
    "padded": (32, 40, padded(32, 40, (16, 40), (24, 24), (32, 8))),
    "one full": (32, 40, padded(32, 40, (16, 40), (32, 40), (8, 8))),
}


def theirs(reference, tokens, images, real=None, types=None, pixels=None, **more):
    # without a mask, transformers takes one of the learned size, whatever the images' own
    return reference(
        input_ids=tokens,
        pixel_values=images,
        attention_mask=None if real is None else real.long(),
        token_type_ids=types,
        pixel_mask=None if pixels is None else pixels.long(),
        **more,
    )


def equal(our, their):
    torch.testing.assert_close(our, their, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", IMAGES)
def test_every_token_is_the_same(size, in_order):
    reference = published("ViltModel")
    height, width, pixels = IMAGES[size]
    tokens, images, real, types = a_batch(height, width)
    model = ours("ViltModel", reference.state_dict())
    output = model(tokens, images, real, pixels, types)
    expected = theirs(reference, tokens, images, real, types, pixels, output_hidden_states=True)
    equal(torch.cat([output.words, output.image], dim=1), expected.last_hidden_state)
    equal(output.pooled, expected.pooler_output)
    stream, seen = model.embeddings(tokens, images, real, pixels, types)
    states = hidden_states(model.transformer, stream, mask=seen[:, None, None])
    assert len(states) == 4
    for our, their in zip(states, expected.hidden_states, strict=True):
        equal(our, their)


@pytest.mark.parametrize("size", IMAGES)
def test_the_order_that_patches_are_drawn_in_changes_nothing_else(size):
    reference = published("ViltModel")
    height, width, pixels = IMAGES[size]
    tokens, images, real, types = a_batch(height, width)
    output = ours("ViltModel", reference.state_dict())(tokens, images, real, pixels, types)
    expected = theirs(reference, tokens, images, real, types, pixels)
    equal(output.words, expected.last_hidden_state[:, :7])
    equal(output.image[:, 0], expected.last_hidden_state[:, 7])
    equal(output.pooled, expected.pooler_output)


def test_without_masks_and_types(in_order):
    reference = published("ViltModel")
    tokens, images, _, _ = a_batch()
    output = ours("ViltModel", reference.state_dict())(tokens, images)
    expected = theirs(reference, tokens, images)
    equal(torch.cat([output.words, output.image], dim=1), expected.last_hidden_state)


def test_it_looks_at_the_same_places(in_order):
    reference = published("ViltModel")
    height, width, pixels = IMAGES["padded"]
    tokens, images, real, types = a_batch(height, width)
    model = ours("ViltModel", reference.state_dict())
    with watch_attention() as seen:
        model(tokens, images, real, pixels, types)
    expected = theirs(reference, tokens, images, real, types, pixels, output_attentions=True)
    assert len(seen) == 3
    for our, their in zip(seen, expected.attentions, strict=True):
        equal(our, their)


@pytest.mark.parametrize("kind", list(KINDS)[1:])
@pytest.mark.parametrize("size", ["square", "padded"])
def test_heads_and_their_gradients(kind, size, in_order):
    reference = published(kind)
    height, width, pixels = IMAGES[size]
    tokens, images, real, types = a_batch(height, width)
    model = ours(kind, reference.state_dict())
    our = model(tokens, images, real=real, pixels=pixels, types=types)
    their = theirs(reference, tokens, images, real, types, pixels).logits
    their = their[:, 0] if kind == "ViltForImageAndTextRetrieval" else their
    equal(our, their)

    upstream = normal(*our.shape, seed=2)
    (our * upstream).sum().backward()
    (their * upstream).sum().backward()
    # the gradients travel through the same table as the weights
    gradients = {name: p.grad for name, p in reference.named_parameters() if p.grad is not None}
    for name, p in reference.named_parameters():  # the pooler, where the head does not use it
        gradients.setdefault(name, torch.zeros_like(p))
    assert any(gradients[n].abs().max() > 1e-8 for n in gradients if n.endswith("cls_token"))
    carrier = ours(kind, gradients)
    for (name, parameter), expected in zip(
        model.named_parameters(), carrier.parameters(), strict=True
    ):
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-10, msg=name)
        unused = "pooler" in name and kind == "ViltForMaskedLM"
        assert unused or "key.bias" in name or found.abs().max() > 1e-8, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".bin", "folder"])
def test_saved_files(tmp_path, kind, suffix):
    reference = published(kind)
    tokens, images, _, _ = a_batch()
    path = tmp_path
    if suffix == ".bin":
        path = tmp_path / "pytorch_model.bin"
        torch.save(reference.state_dict(), path)
    else:
        pytest.importorskip("safetensors")
        reference.save_pretrained(path)  # which leaves out what is tied
    our = ours(kind, path)(tokens, images)
    their = theirs(reference, tokens, images)
    our, their = (our.pooled, their.pooler_output) if kind == "ViltModel" else (our, their.logits)
    equal(our, their.reshape(our.shape))


def test_old_files():
    """They carry a counter, and the bias of the masked words by another name, or by both."""
    reference = published("ViltForMaskedLM")
    tokens, images, _, _ = a_batch()
    state = dict(reference.state_dict())
    state["vilt.embeddings.text_embeddings.position_ids"] = torch.arange(13)[None]
    state["mlm_score.bias"] = state["mlm_score.decoder.bias"]
    expected = theirs(reference, tokens, images).logits
    equal(ours("ViltForMaskedLM", state)(tokens, images), expected)
    del state["mlm_score.decoder.bias"], state["mlm_score.decoder.weight"]
    equal(ours("ViltForMaskedLM", state)(tokens, images), expected)
    del state["mlm_score.bias"]
    with pytest.raises(ValueError, match="mlm_score.decoder.bias is missing$"):
        ours("ViltForMaskedLM", state)


@pytest.mark.parametrize("kind", list(KINDS)[1:])
def test_a_body_from_a_model_with_a_head(kind):
    reference = published(kind)
    tokens, images, _, _ = a_batch()
    model = ours("ViltModel", reference.state_dict())
    equal(model(tokens, images).pooled, theirs(reference.vilt, tokens, images).pooler_output)


@pytest.mark.parametrize("prefix", ["vilt.", ""])
def test_a_body_without_a_pooler(prefix, in_order):
    reference = published("ViltForTokenClassification")
    tokens, images, _, _ = a_batch()
    state = {n.replace("vilt.", prefix, 1): t for n, t in reference.state_dict().items()}
    if not prefix:  # a bare body has no head beside it
        state = {name: t for name, t in state.items() if not name.startswith("classifier.")}
    model = ViLT(CONFIG).double().eval()
    pooler = model.pooler.weight.clone()
    with pytest.warns(UserWarning, match="the state dict has no pooler: `pooled` says nothing"):
        load_vilt(model, state)
    expected = theirs(reference.vilt, tokens, images).last_hidden_state
    equal(torch.cat([model(tokens, images).words, model(tokens, images).image], 1), expected)
    assert torch.equal(model.pooler.weight, pooler)
    with pytest.raises(ValueError, match="pooler.dense.weight is missing"):
        load_vilt(ViLTForMatching(ViLT(CONFIG)).double(), state)
    with pytest.raises(ValueError, match="pooler.dense.weight is missing"):
        load_vilt(model, state | {f"{prefix}pooler.dense.bias": torch.zeros(28)})


def test_masked_words_need_no_pooler_and_one_table(recwarn):
    reference = published("ViltForMaskedLM")
    tokens, images, _, _ = a_batch()
    state = {n: t for n, t in reference.state_dict().items() if ".pooler." not in n}
    model = ours("ViltForMaskedLM", state)
    equal(model(tokens, images), theirs(reference, tokens, images).logits)
    assert not [w for w in recwarn if "pooler" in str(w.message)]
    for other in ("mlm_score.decoder.weight", "mlm_score.bias"):
        state["mlm_score.bias"] = state["mlm_score.decoder.bias"]
        with pytest.raises(ValueError, match=f"a {other} that differs from .*: they must be one"):
            load_vilt(model, state | {other: state[other] + 1})


def test_published_size():
    with torch.device("meta"):
        assert sum(p.numel() for p in ViLT(vilt_b_32()).parameters()) == 111_595_008


@pytest.mark.parametrize("kind", KINDS)
def test_the_config_from_shapes(kind):
    assert vilt_config_from(published(kind).state_dict(), head_width=7) == CONFIG


def test_refusals_leave_the_model_alone():
    state = dict(published("ViltForQuestionAnswering").state_dict())
    model = ViLTForVQA(ViLT(CONFIG), answers=11)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    without = {name: t for name, t in state.items() if name != "classifier.3.bias"}
    for wrong, sentence in [
        (without, "does not fit ViLTForVQA: classifier.3.bias is missing$"),
        (
            {**state, "vilt.embeddings.position_embeddings": torch.zeros(1, 17, 28)},
            r"position_embeddings is \(1, 17, 28\) and should be \(1, 10, 28\)$",
        ),
        (
            {
                **state,
                "vilt.embeddings.patch_embeddings.projection.weight": torch.zeros(28, 12, 4, 4),
            },
            r"projection.weight is \(28, 12, 4, 4\) and should be \(28, 3, 8, 8\)$",
        ),
        ({**state, "rank_output.bias": torch.zeros(1)}, "rank_output.bias is surplus$"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            load_vilt(model, wrong)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    with pytest.raises(ValueError, match="is no ViLT by transformers. names: it has no embeddings"):
        vilt_config_from(nn.Linear(2, 3).state_dict())
