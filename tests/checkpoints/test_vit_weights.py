"""ViT against transformers: ViTModel and ViTForImageClassification."""

import pytest
import torch
from torch import nn

from scratchmm.checkpoints.vit import load_vit, vit_config_from
from scratchmm.layers.attention import watch_attention
from scratchmm.layers.transformer import hidden_states
from scratchmm.vision.vit import (
    VisionTransformer,
    ViTClassifier,
    ViTConfig,
    vit_b_16,
    vit_l_16,
)

CONFIG = ViTConfig(32, 8, width=24, depth=3, heads=4, hidden=37, classes=11)


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return model.double().eval()


def some_images(size=32):
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1)).double()


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def published(kind, **more):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=37,
        image_size=32,
        patch_size=8,
        num_labels=11,
    )
    return randomise(getattr(transformers, kind)(config, **more))


def file_names(state):
    """The names in published files, from those that transformers 5 has in memory."""
    names = {
        "attention.q_proj": "attention.attention.query",
        "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value",
        "attention.o_proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    renamed = {}
    for name, tensor in state.items():
        for new, old in names.items():
            name = name.replace(new, old)
        renamed[name.replace("layers.", "encoder.layer.")] = tensor
    return renamed


@pytest.mark.parametrize("naming", [dict, file_names])
def test_classifier(naming, monkeypatch):
    reference = published("ViTForImageClassification")
    model = load_vit(ViTClassifier(CONFIG).double(), naming(reference.state_dict())).eval()
    # transformers shows weights only on the path that rounds its softmax to float32: not here
    monkeypatch.setattr(nn.functional, "softmax", lambda x, dim, dtype: x.softmax(dim))
    reference.set_attn_implementation("eager")
    theirs = reference(some_images(), output_attentions=True, output_hidden_states=True)
    with watch_attention() as seen:
        equal(model(some_images()), theirs.logits)
    for our, their in zip(seen, theirs.attentions, strict=True):
        equal(our, their)
    states = hidden_states(model.encoder.transformer, model.encoder.embeddings(some_images()))
    for our, their in zip(states, theirs.hidden_states, strict=True):
        equal(our, their)

    upstream = torch.randn(3, 11, generator=torch.Generator().manual_seed(2)).double()
    (model(some_images()) * upstream).sum().backward()
    (reference(some_images()).logits * upstream).sum().backward()
    gradients = {name: p.grad for name, p in reference.named_parameters()}
    carrier = load_vit(ViTClassifier(CONFIG).double(), gradients)
    for (name, our), their in zip(model.named_parameters(), carrier.parameters(), strict=True):
        torch.testing.assert_close(our.grad, their.detach(), rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("naming", [dict, file_names])
def test_encoder_with_the_pooler_left_out(naming):
    reference = published("ViTModel")
    state = naming(reference.state_dict())
    assert "pooler.dense.weight" in state
    model = load_vit(VisionTransformer(CONFIG).double(), state).eval()
    equal(model(some_images()), reference(some_images()).last_hidden_state)


def test_encoder_from_a_classifiers_weights():
    reference = published("ViTForImageClassification")
    model = load_vit(VisionTransformer(CONFIG).double(), reference.state_dict()).eval()
    equal(model(some_images()), reference.vit(some_images()).last_hidden_state)


@pytest.mark.parametrize("naming", [dict, file_names])
def test_the_body_of_another_task(naming):
    reference = published("ViTForMaskedImageModeling")
    state = {f"module.{name}": t for name, t in naming(reference.state_dict()).items()}
    assert "module.decoder.0.weight" in state and "module.vit.embeddings.mask_token" in state
    model = load_vit(VisionTransformer(CONFIG).double(), {"model": state, "epoch": 3}).eval()
    equal(model(some_images()), reference.vit(some_images()).last_hidden_state)
    with pytest.raises(ValueError, match="classifier.weight is missing; .*decoder.0.*surplus"):
        load_vit(ViTClassifier(CONFIG).double(), state)


def test_images_of_another_size():
    reference = published("ViTModel")
    model = load_vit(VisionTransformer(CONFIG).double(), reference.state_dict()).eval()
    theirs = reference(some_images(48), interpolate_pos_encoding=True)
    equal(model(some_images(48)), theirs.last_hidden_state)


@pytest.mark.parametrize("kind", ["ViTModel", "ViTForImageClassification"])
@pytest.mark.parametrize("suffix", [".bin", ".safetensors", "folder"])
def test_saved_files(tmp_path, kind, suffix):
    reference = published(kind)
    if suffix == ".bin":
        path = tmp_path / "pytorch_model.bin"
        torch.save(reference.state_dict(), path)
    elif suffix == ".safetensors":
        path = tmp_path / "model.safetensors"
        pytest.importorskip("safetensors.torch").save_file(reference.state_dict(), path)
    else:
        path = tmp_path
        reference.save_pretrained(path)
    if kind == "ViTModel":
        model = load_vit(VisionTransformer(CONFIG).double(), path).eval()
        equal(model(some_images()), reference(some_images()).last_hidden_state)
    else:
        model = load_vit(ViTClassifier(CONFIG).double(), path).eval()
        equal(model(some_images()), reference(some_images()).logits)


@pytest.mark.parametrize("naming", [dict, file_names])
@pytest.mark.parametrize("kind", ["ViTModel", "ViTForImageClassification"])
def test_the_config_from_shapes(kind, naming):
    config = vit_config_from(naming(published(kind).state_dict()), head_width=6)
    classes = 11 if kind == "ViTForImageClassification" else 1000
    assert config == ViTConfig(32, 8, width=24, depth=3, heads=4, hidden=37, classes=classes)


@pytest.mark.parametrize(("config", "count"), [(vit_b_16(), 86_567_656), (vit_l_16(), 304_326_632)])
def test_published_sizes(config, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in ViTClassifier(config).parameters()) == count


def ours_in_their_names(prefix="vit."):
    """A state dict in the published layout without transformers, for the refusals."""
    shapes = {f"{prefix}embeddings.cls_token": (1, 1, 24)}
    shapes[f"{prefix}embeddings.position_embeddings"] = (1, 17, 24)
    shapes[f"{prefix}embeddings.patch_embeddings.projection.weight"] = (24, 3, 8, 8)
    shapes[f"{prefix}embeddings.patch_embeddings.projection.bias"] = (24,)
    for index in range(3):
        block = f"{prefix}encoder.layer.{index}."
        for name in ("attention.query", "attention.key", "attention.value", "output.dense"):
            shapes[f"{block}attention.{name}.weight"] = (24, 24)
            shapes[f"{block}attention.{name}.bias"] = (24,)
        shapes |= {f"{block}intermediate.dense.weight": (37, 24)}
        shapes |= {f"{block}intermediate.dense.bias": (37,)}
        shapes |= {f"{block}output.dense.weight": (24, 37), f"{block}output.dense.bias": (24,)}
        for name in ("layernorm_before", "layernorm_after"):
            shapes |= {f"{block}{name}.weight": (24,), f"{block}{name}.bias": (24,)}
    shapes |= {f"{prefix}layernorm.weight": (24,), f"{prefix}layernorm.bias": (24,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def test_refusals_leave_the_model_alone():
    state = ours_in_their_names()
    model = ViTClassifier(CONFIG)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for change, sentence in [
        (
            {},
            "does not fit ViTClassifier: classifier.weight is missing; classifier.bias is missing$",
        ),
        (
            {"classifier.weight": torch.zeros(1000, 24), "classifier.bias": torch.zeros(11)},
            r"classifier.weight is \(1000, 24\) and should be \(11, 24\)$",
        ),
        (
            {
                "classifier.weight": torch.zeros(11, 24),
                "classifier.bias": torch.zeros(11),
                "vit.embeddings.position_embeddings": torch.zeros(1, 197, 24),
            },
            r"position_embeddings is \(1, 197, 24\) and should be \(1, 17, 24\)$",
        ),
        (
            {
                "classifier.weight": torch.zeros(11, 24),
                "classifier.bias": torch.zeros(11),
                "vit.embeddings.patch_embeddings.projection.weight": torch.zeros(24, 12, 4, 4),
            },
            r"projection.weight is \(24, 12, 4, 4\) and should be \(24, 3, 8, 8\)$",
        ),
        (
            {
                "classifier.weight": torch.zeros(11, 24),
                "classifier.bias": torch.zeros(11),
                "vit.encoder.layer.3.output.dense.bias": torch.zeros(24),
            },
            "vit.encoder.layer.3.output.dense.bias is surplus$",
        ),
    ]:
        with pytest.raises(ValueError, match=sentence):
            load_vit(model, {**state, **change})
    with pytest.raises(ValueError, match="is of another model: it has weight and 1 other tensors"):
        load_vit(model, nn.Linear(2, 3).state_dict())
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    load_vit(VisionTransformer(CONFIG), state)


def test_a_config_cannot_be_read_off_another_model():
    with pytest.raises(
        ValueError, match="no ViT by transformers' names: it has no embeddings.cls_token"
    ):
        vit_config_from(nn.Linear(2, 3).state_dict())
