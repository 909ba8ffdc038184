"""ResNet against transformers: ResNetModel and ResNetForImageClassification; torchvision's names."""

import re

import pytest
import torch
from torch import nn

from scratchmm.checkpoints.resnet import load_resnet, resnet_config_from
from scratchmm.vision.resnet import ResNet, ResNetClassifier, ResNetConfig

DEEP = ResNetConfig(6, (16, 12, 24), (2, 1, 3), channels=2, classes=11)
BASIC = ResNetConfig(8, (8, 10, 14), (1, 3, 2), bottleneck=False, classes=11)
CONFIGS = pytest.mark.parametrize("config", [DEEP, BASIC], ids=["bottleneck", "basic"])


def randomise(model):
    """All parameters and the running statistics; a variance must be positive."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.2)
            elif tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
    return model.double().eval()


def some_images(config, height=70, width=50):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, config.channels, height, width, generator=generator).double()


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def published(kind, config):
    transformers = pytest.importorskip("transformers")
    their_config = transformers.ResNetConfig(
        num_channels=config.channels,
        embedding_size=config.stem,
        hidden_sizes=list(config.widths),
        depths=list(config.depths),
        layer_type="bottleneck" if config.bottleneck else "basic",
        num_labels=config.classes,
    )
    return randomise(getattr(transformers, kind)(their_config))


def torchvision_names(state):
    """The same tensors as torchvision's ResNet calls them; its classifier is `fc`."""
    renamed = {}
    for name, tensor in state.items():
        name = name.removeprefix("resnet.").replace("classifier.1.", "fc.")
        name = name.replace("embedder.embedder.convolution", "conv1")
        name = name.replace("embedder.embedder.normalization", "bn1")
        name = re.sub(r"encoder\.stages\.(\d+)\.layers", lambda m: f"layer{int(m[1]) + 1}", name)
        for theirs, kind in (("convolution", "conv"), ("normalization", "bn")):
            name = re.sub(
                rf"layer\.(\d)\.{theirs}", lambda m, kind=kind: f"{kind}{int(m[1]) + 1}", name
            )
        name = name.replace("shortcut.convolution", "downsample.0")
        name = name.replace("shortcut.normalization", "downsample.1")
        renamed[name] = tensor
    return renamed


def test_torchvisions_names_are_those_of_its_files():
    names = list(torchvision_names(published("ResNetForImageClassification", DEEP).state_dict()))
    published_names = {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv1.weight",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.num_batches_tracked",
        "layer3.2.bn3.bias",
        "fc.weight",
    }
    assert published_names <= set(names)
    assert not [name for name in names if "encoder" in name or "embedder" in name]


@CONFIGS
@pytest.mark.parametrize("naming", [dict, torchvision_names])
def test_classifier(naming, config):
    reference = published("ResNetForImageClassification", config)
    model = load_resnet(ResNetClassifier(config).double(), naming(reference.state_dict())).eval()
    images = some_images(config)
    theirs = reference(images, output_hidden_states=True)
    equal(model(images), theirs.logits)
    x = model.encoder.stem(images)
    states = [x]
    for stage in model.encoder.stages:
        x = stage(x.clone())
        states.append(x)
    for our, their in zip(states, theirs.hidden_states, strict=True):
        equal(our, their)


@CONFIGS
def test_grid_and_vector(config):
    reference = published("ResNetModel", config)
    model = load_resnet(ResNet(config).double(), reference.state_dict()).eval()
    theirs = reference(some_images(config))
    equal(model(some_images(config)), theirs.last_hidden_state)
    equal(model.vector(some_images(config)), theirs.pooler_output[:, :, 0, 0])


@CONFIGS
@pytest.mark.parametrize("training", [False, True])
def test_gradients_and_what_training_remembers(config, training):
    reference = published("ResNetForImageClassification", config).train(training)
    model = load_resnet(ResNetClassifier(config).double(), reference.state_dict()).train(training)
    images = some_images(config)
    upstream = torch.randn(3, 11, generator=torch.Generator().manual_seed(2)).double()
    ours, theirs = model(images), reference(images).logits
    equal(ours, theirs)
    (ours * upstream).sum().backward()
    (theirs * upstream).sum().backward()
    after = {name: p.grad for name, p in reference.named_parameters()}
    carrier = ResNetClassifier(config).double()
    buffers = dict(reference.named_buffers())
    load_resnet(carrier, {**after, **buffers})
    largest = max(p.grad.abs().max().item() for p in model.parameters())
    for (name, our), their in zip(model.named_parameters(), carrier.parameters(), strict=True):
        assert our.grad.abs().max() > 0, name
        torch.testing.assert_close(
            our.grad, their.detach(), rtol=1e-9, atol=1e-10 * max(1.0, largest), msg=name
        )
    ours_kept = {n: b for n, b in model.named_buffers() if b.is_floating_point()}
    carried = {n: b for n, b in carrier.named_buffers() if b.is_floating_point()}
    torch.testing.assert_close(ours_kept, carried, rtol=0, atol=1e-10)


@pytest.mark.parametrize("naming", [dict, torchvision_names])
def test_encoder_from_a_classifiers_weights(naming):
    reference = published("ResNetForImageClassification", DEEP)
    model = load_resnet(ResNet(DEEP).double(), naming(reference.state_dict())).eval()
    equal(model(some_images(DEEP)), reference.resnet(some_images(DEEP)).last_hidden_state)


def test_the_body_of_another_task():
    reference = published("ResNetForImageClassification", DEEP)
    state = {f"model.{n}": t for n, t in reference.state_dict().items() if "classifier" not in n}
    state["model.box_head.0.weight"] = torch.ones(3)
    model = load_resnet(ResNet(DEEP).double(), state).eval()
    equal(model(some_images(DEEP)), reference.resnet(some_images(DEEP)).last_hidden_state)
    with pytest.raises(ValueError, match="classifier.1.weight is missing; .*box_head.*surplus"):
        load_resnet(ResNetClassifier(DEEP).double(), state)


@pytest.mark.parametrize("kind", ["ResNetModel", "ResNetForImageClassification"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", "folder"])
def test_saved_files(tmp_path, kind, suffix):
    reference = published(kind, DEEP)
    path = tmp_path
    if suffix == ".pth":
        path = tmp_path / "resnet.pth"
        torch.save(torchvision_names(reference.state_dict()), path)
    elif suffix == ".safetensors":
        path = tmp_path / "model.safetensors"
        pytest.importorskip("safetensors.torch").save_file(reference.state_dict(), path)
    else:
        reference.save_pretrained(path)
    if kind == "ResNetModel":
        model = load_resnet(ResNet(DEEP).double(), path).eval()
        equal(model(some_images(DEEP)), reference(some_images(DEEP)).last_hidden_state)
    else:
        model = load_resnet(ResNetClassifier(DEEP).double(), path).eval()
        equal(model(some_images(DEEP)), reference(some_images(DEEP)).logits)


@CONFIGS
@pytest.mark.parametrize("naming", [dict, torchvision_names])
@pytest.mark.parametrize("kind", ["ResNetModel", "ResNetForImageClassification"])
def test_the_config_from_shapes(kind, naming, config):
    found = resnet_config_from(naming(published(kind, config).state_dict()))
    classes = config.classes if kind == "ResNetForImageClassification" else 1000
    expected = ResNetConfig(
        config.stem,
        config.widths,
        config.depths,
        config.bottleneck,
        False,
        config.channels,
        classes,
    )
    assert found == expected


def ours_in_torchvisions_names():
    """A state dict of torchvision's names and our own making, for the refusals."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv1.weight": (4, 3, 7, 7), "layer1.0.conv1.weight": (4, 4, 3, 3)}
    shapes |= {"layer1.0.conv2.weight": (4, 4, 3, 3), "fc.weight": (5, 4), "fc.bias": (5,)}
    for norm in ("bn1", "layer1.0.bn1", "layer1.0.bn2"):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (4,)
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def test_refusals_leave_the_model_alone():
    state = ours_in_torchvisions_names()
    model = ResNetClassifier(ResNetConfig(4, (4,), (1,), bottleneck=False, classes=5))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    changes = [
        ({"fc.weight": torch.zeros(9, 4)}, r"fc.weight is \(9, 4\) and should be \(5, 4\)$"),
        ({"layer1.1.conv1.weight": torch.zeros(4, 4, 3, 3)}, "layer1.1.conv1.weight is surplus$"),
    ]
    for change, sentence in changes:
        with pytest.raises(ValueError, match=sentence):
            load_resnet(model, {**state, **change})
    missing = {name: tensor for name, tensor in state.items() if name != "bn1.running_var"}
    with pytest.raises(ValueError, match="ResNetClassifier: bn1.running_var is missing$"):
        load_resnet(model, missing)
    with pytest.raises(ValueError, match="is of another model: it has weight and 1 other tensors"):
        load_resnet(model, nn.Linear(2, 3).state_dict())
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    load_resnet(model, state)
    torch.testing.assert_close(
        model.encoder.stem.convolution.norm.running_var, state["bn1.running_var"]
    )


def test_a_config_cannot_be_read_off_another_model():
    with pytest.raises(ValueError, match="no ResNet by transformers' or torchvision's names"):
        resnet_config_from(nn.Linear(2, 3).state_dict())
