"""BERT against transformers: BertModel, BertForMaskedLM and BertForPreTraining."""

import pytest
import torch
from torch import nn

from scratchmm.checkpoints.bert import bert_config_from, load_bert
from scratchmm.language.bert import (
    BERT,
    BERTConfig,
    BERTEncoder,
    BERTForMaskedLM,
    bert_base,
    bert_large,
    masked_loss,
)
from scratchmm.layers.attention import watch_attention
from scratchmm.layers.transformer import hidden_states

CONFIG = BERTConfig(99, 20, width=24, depth=3, heads=4, hidden=37, types=3)


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return model.double().eval()


def texts():
    """Tokens, which of them are no padding, and types: 3 texts of lengths 9, 5 and 1."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, 99, (3, 9), generator=generator)  # 0 is padding: no gradient there
    real = torch.arange(9) < torch.tensor([[9], [5], [1]])
    return tokens, real, torch.randint(0, 3, (3, 9), generator=generator)


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def published(kind):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=99,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=20,
        type_vocab_size=3,
    )
    return randomise(getattr(transformers, kind)(config))


def first_names(state):
    """As in the first files: gamma and beta, and a counter of positions."""
    renamed = {"bert.embeddings.position_ids": torch.arange(20)[None]}
    for name, tensor in state.items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        renamed[name.replace("LayerNorm.bias", "LayerNorm.beta")] = tensor
    return renamed


def without_the_tied(state):
    return {name: tensor for name, tensor in state.items() if ".decoder." not in name}


def run(reference, tokens, real, types, **more):
    return reference(tokens, attention_mask=real.long(), token_type_ids=types, **more)


def test_model_and_all_it_goes_through(monkeypatch):
    reference = published("BertModel")
    model = load_bert(BERT(CONFIG).double(), reference.state_dict()).eval()
    # transformers shows weights only on the path that rounds its softmax to float32: not here
    monkeypatch.setattr(nn.functional, "softmax", lambda x, dim, dtype=None: x.softmax(dim))
    reference.set_attn_implementation("eager")
    tokens, real, types = texts()
    theirs = run(reference, tokens, real, types, output_attentions=True, output_hidden_states=True)
    with watch_attention() as seen:
        hidden = model(tokens, real, types)
    equal(hidden, theirs.last_hidden_state)
    equal(model.pool(hidden), theirs.pooler_output)
    for our, their in zip(seen, theirs.attentions, strict=True):
        equal(our, their)
    x = model.encoder.embeddings(tokens, types)
    states = hidden_states(model.encoder.transformer, x, mask=real[:, None, None, :])
    for our, their in zip(states, theirs.hidden_states, strict=True):
        equal(our, their)


def test_types_and_mask_may_be_left_out():
    reference = published("BertModel")
    model = load_bert(BERT(CONFIG).double(), reference.state_dict()).eval()
    tokens = texts()[0]
    equal(model(tokens), reference(tokens).last_hidden_state)


@pytest.mark.parametrize("naming", [dict, first_names, without_the_tied])
@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForPreTraining"])
def test_masked_words(kind, naming):
    reference = published(kind)
    model = load_bert(BERTForMaskedLM(CONFIG).double(), naming(reference.state_dict())).eval()
    theirs = run(reference, *texts())
    equal(model(*texts()), theirs.logits if kind == "BertForMaskedLM" else theirs.prediction_logits)


def test_masked_loss_and_gradients():
    reference = published("BertForMaskedLM")
    model = load_bert(BERTForMaskedLM(CONFIG).double(), reference.state_dict()).eval()
    tokens, real, types = texts()
    targets = tokens.where(torch.rand(3, 9, generator=torch.Generator().manual_seed(3)) < 0.4, -100)
    loss = masked_loss(model(tokens, real, types), targets)
    their_loss = run(reference, tokens, real, types, labels=targets).loss
    equal(loss, their_loss)
    (1e3 * loss).backward()
    (1e3 * their_loss).backward()
    gradients = {name: p.grad for name, p in reference.named_parameters()}
    carrier = load_bert(BERTForMaskedLM(CONFIG).double(), gradients)
    for (name, our), their in zip(model.named_parameters(), carrier.parameters(), strict=True):
        assert our.grad.abs().max() > 0, name
        torch.testing.assert_close(our.grad, their.detach(), rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("naming", [dict, first_names])
@pytest.mark.parametrize("kind", ["BertModel", "BertForPreTraining"])
def test_the_pooler_from_either_prefix(kind, naming):
    reference = published(kind)
    state = naming(reference.state_dict())
    if kind == "BertModel":
        state = {name.removeprefix("bert."): tensor for name, tensor in state.items()}
    model = load_bert(BERT(CONFIG).double(), state).eval()
    theirs = run(getattr(reference, "bert", reference), *texts())
    hidden = model(*texts())
    equal(hidden, theirs.last_hidden_state)
    equal(model.pool(hidden), theirs.pooler_output)


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM", "BertForPreTraining"])
def test_the_encoder_alone_takes_any(kind):
    reference = published(kind)
    model = load_bert(BERTEncoder(CONFIG).double(), reference.state_dict()).eval()
    theirs = run(getattr(reference, "bert", reference), *texts())
    equal(model(*texts()), theirs.last_hidden_state)


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "BertForTokenClassification"])
def test_the_body_of_another_task(kind):
    reference = published(kind)
    model = load_bert(BERTEncoder(CONFIG).double(), reference.state_dict()).eval()
    equal(model(*texts()), run(reference.bert, *texts()).last_hidden_state)
    if kind == "BertForSequenceClassification":
        pooled = load_bert(BERT(CONFIG).double(), reference.state_dict()).eval()
        equal(pooled.pool(pooled(*texts())), run(reference.bert, *texts()).pooler_output)
        return
    with pytest.raises(ValueError, match="does not fit BERT: bert.pooler.dense.weight is missing"):
        load_bert(BERT(CONFIG).double(), reference.state_dict())


@pytest.mark.parametrize("suffix", [".bin", ".safetensors", "folder"])
def test_saved_files(tmp_path, suffix):
    reference = published("BertForMaskedLM")
    path = tmp_path
    if suffix == ".bin":
        path = tmp_path / "pytorch_model.bin"
        torch.save(first_names(reference.state_dict()), path)
    elif suffix == ".safetensors":
        path = tmp_path / "model.safetensors"
        state = without_the_tied(reference.state_dict())
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        reference.save_pretrained(path)
    model = load_bert(BERTForMaskedLM(CONFIG).double(), path).eval()
    equal(model(*texts()), run(reference, *texts()).logits)


@pytest.mark.parametrize("naming", [dict, first_names])
@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM"])
def test_the_config_from_shapes(kind, naming):
    assert bert_config_from(naming(published(kind).state_dict()), head_width=6) == CONFIG


@pytest.mark.parametrize(
    ("kind", "config", "count"),
    [
        (BERT, bert_base(), 109_482_240),
        (BERT, bert_large(), 335_141_888),
        (BERTForMaskedLM, bert_base(), 109_514_298),
    ],
)
def test_published_sizes(kind, config, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in kind(config).parameters()) == count


def test_the_sizes_are_those_of_the_published_classes():
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        reference = transformers.BertForMaskedLM(transformers.BertConfig())
    assert sum(p.numel() for p in reference.parameters()) == 109_514_298
    assert bert_config_from(reference.state_dict()) == bert_base()


def ours_in_their_names():
    """A state dict of BertForMaskedLM's layout without transformers, for the refusals."""
    shapes = {"word_embeddings": (99, 24), "position_embeddings": (20, 24)}
    shapes = {f"bert.embeddings.{name}.weight": shape for name, shape in shapes.items()}
    shapes["bert.embeddings.token_type_embeddings.weight"] = (3, 24)
    norms = ["bert.embeddings.LayerNorm", "cls.predictions.transform.LayerNorm"]
    dense = {"cls.predictions.transform.dense": (24, 24)}
    for index in range(3):
        block = f"bert.encoder.layer.{index}."
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            dense[f"{block}attention.{name}"] = (24, 24)
        dense |= {f"{block}intermediate.dense": (37, 24), f"{block}output.dense": (24, 37)}
        norms += [f"{block}attention.output.LayerNorm", f"{block}output.LayerNorm"]
    for name, shape in dense.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (24,), f"{name}.bias": (24,)}
    shapes |= {"cls.predictions.bias": (99,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def test_refusals_leave_the_model_alone():
    state = ours_in_their_names()
    model = BERTForMaskedLM(CONFIG)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    words = state["bert.embeddings.word_embeddings.weight"]
    refused = [
        (
            {"bert.embeddings.position_embeddings.weight": torch.zeros(512, 24)},
            r"position_embeddings.weight is \(512, 24\) and should be \(20, 24\)$",
        ),
        ({"bert.encoder.layer.3.output.dense.bias": torch.zeros(24)}, "dense.bias is surplus$"),
        (
            {"cls.predictions.decoder.weight": words + 1},
            "has a cls.predictions.decoder.weight that differs from bert.embeddings.word_embedd",
        ),
        (
            {"cls.predictions.decoder.bias": torch.ones(99)},
            "has a cls.predictions.decoder.bias that differs from cls.predictions.bias",
        ),
    ]
    for change, sentence in refused:
        with pytest.raises(ValueError, match=sentence):
            load_bert(model, {**state, **change})
    with pytest.raises(ValueError, match="is of another model: it has weight and 1 other tensors"):
        load_bert(model, nn.Linear(2, 3).state_dict())
    with pytest.raises(ValueError, match="BERT: bert.pooler.dense.weight is missing; bert.pooler"):
        load_bert(BERT(CONFIG), state)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    load_bert(model, {**state, "cls.predictions.decoder.weight": words})
    torch.testing.assert_close(model.encoder.embeddings.tokens.weight, words)


def test_a_config_cannot_be_read_off_another_model():
    with pytest.raises(
        ValueError, match="no BERT by transformers' names: it has no embeddings.word_embedd"
    ):
        bert_config_from(nn.Linear(2, 3).state_dict())
