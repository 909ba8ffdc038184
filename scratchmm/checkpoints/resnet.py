"""ResNet's published weights: by transformers' names and by torchvision's.

transformers says `encoder.stages.0.layers.0.layer.0.convolution`, with the prefix `resnet.` in a
classifier; torchvision, whose files most of the world holds, says `layer1.0.conv1`. The numbers
are the same. Counters of batches seen (`num_batches_tracked`) have no effect and are left out.

Paper: Deep Residual Learning for Image Recognition (arXiv 1512.03385).
Differs from the paper: nothing.
"""

from torch import Tensor

from scratchmm.checkpoints.files import (
    Place,
    Source,
    fill,
    heads_of,
    is_no,
    label_of,
    layer,
    read_state,
    shape_of,
)
from scratchmm.checkpoints.published_config import Settings, check_model, read_config, settle
from scratchmm.layers.convolution import BottleneckBlock, NormedConvolution, ResidualBlock
from scratchmm.vision.resnet import ResNet, ResNetClassifier, ResNetConfig

NORM = ("weight", "bias", "running_mean", "running_var")
OBEYED = {"downsample_in_bottleneck": False}
FIXED = {
    "model_type": ("resnet",),
    "hidden_act": ("relu",),
    "downsample_in_first_stage": (False,),
}
HEADS = ("classifier.1", "fc")  # transformers', torchvision's


def load_resnet(model: ResNetClassifier | ResNet, source: Source) -> ResNetClassifier | ResNet:
    """Fill `model` with a published ResNet, of either naming, and return it.

    A ResNetClassifier takes a ResNetForImageClassification or a file of torchvision; a ResNet
    takes a ResNetModel, any model built on one, or torchvision's (the head is left out). Raises
    ValueError that lists every tensor that is missing, surplus or of another shape.
    """
    state = read_state(source)
    torchvision = "conv1.weight" in state
    check_model(type(model).__name__, model.config, _settings(source))
    classifier = isinstance(model, ResNetClassifier)
    encoder = model.encoder if isinstance(model, ResNetClassifier) else model
    ours = "encoder." if classifier else ""
    prefixed = not torchvision and any(name.startswith("resnet.") for name in state)
    prefix = "resnet." if prefixed or (classifier and not torchvision) else ""
    if torchvision:
        places = _places(encoder, _torchvision_names(encoder), ours)
    else:
        places = _places(encoder, _transformers_names(encoder, prefix), ours)
    harmless = {name for name in state if name.endswith(".num_batches_tracked")}
    if classifier:
        places += layer(HEADS[torchvision], "head")
    else:
        harmless |= {f"{head}.{part}" for head in HEADS for part in ("weight", "bias")}
        harmless |= set(heads_of(state, prefix))
    fill(model, state, places, label_of(source), harmless)
    return model


def _settings(source: Source) -> Settings:
    config = read_config(source, OBEYED, FIXED)
    return {} if config is None else {"first_shrinks": config.setting("downsample_in_bottleneck")}


def resnet_config_from(source: Source, first_shrinks: bool | None = None) -> ResNetConfig:
    """The sizes of a published ResNet, read off its tensors and the config.json beside them.

    Bare tensors do not show where a bottleneck shrinks: in its middle convolution unless it is given
    (first_shrinks), as torchvision's do. Raises ValueError where config.json says what the model
    can't do, or other than what is given.
    """
    state = read_state(source)
    renamed = {name.removeprefix("resnet."): tensor for name, tensor in state.items()}
    blocks, first, end = "encoder.stages.", "embedder.embedder.convolution.weight", ".layer."
    if "conv1.weight" in renamed:
        blocks, first, end = "layer", "conv1.weight", ".conv"
    if first not in renamed:
        names = "ResNet by transformers' or torchvision's names"
        raise ValueError(is_no(names, source, state, first, "resnet."))
    kernels: dict[tuple[int, int], list[Tensor]] = {}  # by stage and block, in order
    for name in sorted(renamed):
        if name.startswith(blocks) and end in name and renamed[name].dim() == 4:
            numbers = [int(word) for word in name[len(blocks) :].split(".") if word.isdigit()]
            kernels.setdefault((numbers[0], numbers[1]), []).append(renamed[name])
    stages = sorted({stage for stage, _ in kernels})
    if not stages or not all((stage, 0) in kernels for stage in stages):
        raise ValueError(
            f"the state dict is not whole: it has no first block of a stage ({blocks})"
        )
    stem, channels, _, kernel = shape_of(renamed, first, 4)
    head = next((f"{head}.weight" for head in HEADS if f"{head}.weight" in state), None)
    return ResNetConfig(
        stem=stem,
        widths=tuple(len(kernels[stage, 0][-1]) for stage in stages),
        depths=tuple(sum(at == stage for at, _ in kernels) for stage in stages),
        bottleneck=len(kernels[stages[0], 0]) == 3,
        small_images=kernel == 3,
        channels=channels,
        classes=1000 if head is None else shape_of(state, head)[0],
        **settle(_settings(source), first_shrinks=first_shrinks),
    )


def _places(encoder: ResNet, names: dict[str, tuple[str, str]], ours: str) -> list[Place]:
    """names: of each of our normed convolutions, their convolution's and their norm's."""
    places = []
    for name, part in encoder.named_modules():
        if isinstance(part, NormedConvolution):
            convolution, norm = names[name]
            own = f"{ours}{name}"
            places.append(Place(f"{convolution}.weight", (f"{own}.convolution.weight",)))
            places += [Place(f"{norm}.{kind}", (f"{own}.norm.{kind}",)) for kind in NORM]
    return places


def _transformers_names(encoder: ResNet, prefix: str) -> dict[str, tuple[str, str]]:
    names = {"stem.convolution": f"{prefix}embedder.embedder"}
    for stage, index, block in _blocks(encoder):
        theirs = f"{prefix}encoder.stages.{stage}.layers.{index}"
        for number in range(len(block.layers)):
            names[f"stages.{stage}.{index}.layers.{number}"] = f"{theirs}.layer.{number}"
        names[f"stages.{stage}.{index}.shortcut"] = f"{theirs}.shortcut"
    return {our: (f"{their}.convolution", f"{their}.normalization") for our, their in names.items()}


def _torchvision_names(encoder: ResNet) -> dict[str, tuple[str, str]]:
    names = {"stem.convolution": ("conv1", "bn1")}
    for stage, index, block in _blocks(encoder):
        theirs = f"layer{stage + 1}.{index}"
        for number in range(1, 1 + len(block.layers)):
            their = (f"{theirs}.conv{number}", f"{theirs}.bn{number}")
            names[f"stages.{stage}.{index}.layers.{number - 1}"] = their
        shortcut = (f"{theirs}.downsample.0", f"{theirs}.downsample.1")
        names[f"stages.{stage}.{index}.shortcut"] = shortcut
    return names


def _blocks(encoder: ResNet) -> list[tuple[int, int, ResidualBlock | BottleneckBlock]]:
    found: list[tuple[int, int, ResidualBlock | BottleneckBlock]] = []
    for number, stage in enumerate(encoder.stages):
        for index, block in enumerate(stage.children()):
            assert isinstance(block, ResidualBlock | BottleneckBlock)
            found.append((number, index, block))
    return found
