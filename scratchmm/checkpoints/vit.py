"""The Vision Transformer's published weights, by transformers' names.

Files on the hub name the blocks `encoder.layer.0.attention.attention.query`; transformers 5 calls
the same tensors `layers.0.attention.q_proj` once they are in memory. Both are read. The classifier's
encoder carries the prefix `vit.`.

Paper: An Image is Worth 16x16 Words (arXiv 2010.11929).
Differs from the paper: the pooler, a layer that transformers added, is left out knowingly.
"""

from collections.abc import Mapping
from dataclasses import replace

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
from scratchmm.checkpoints.published_config import (
    Settings,
    assume_heads,
    check_depth,
    check_model,
    heads_of_width,
    read_config,
    settle,
)
from scratchmm.vision.vit import VisionTransformer, ViTClassifier, ViTConfig

# A dense layer with tanh over CLS: no paper has it, and no classifier uses it.
POOLER = ("pooler.dense.weight", "pooler.dense.bias")
HEAD = ("classifier.weight", "classifier.bias")
IN_FILES = {
    "layernorm_before": "attention_norm",
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.output.dense": "attention.output",
    "layernorm_after": "feed_forward_norm",
    "intermediate.dense": "feed_forward.expand",
    "output.dense": "feed_forward.contract",
}
IN_MEMORY = {
    "layernorm_before": "attention_norm",
    "attention.q_proj": "attention.query",
    "attention.k_proj": "attention.key",
    "attention.v_proj": "attention.value",
    "attention.o_proj": "attention.output",
    "layernorm_after": "feed_forward_norm",
    "mlp.fc1": "feed_forward.expand",
    "mlp.fc2": "feed_forward.contract",
}

OBEYED = {
    "num_attention_heads": 12,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "image_size": 224,
}
FIXED = {"model_type": ("vit",), "qkv_bias": (True,)}
HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16}  # of published ViTs, by width


def load_vit(
    model: ViTClassifier | VisionTransformer, source: Source
) -> ViTClassifier | VisionTransformer:
    """Fill `model` with a published ViT and return it.

    A ViTClassifier takes a ViTForImageClassification; a VisionTransformer takes a ViTModel, or any
    model built on one (its head is left out). Raises ValueError that lists every tensor that is
    missing, surplus or of another shape, and where the model was made otherwise than the
    config.json beside the weights says; bare weights are taken to be of the model's own config.
    """
    state = read_state(source)
    classifier = isinstance(model, ViTClassifier)
    encoder = model.encoder if isinstance(model, ViTClassifier) else model
    config = replace(encoder.config, activation=encoder.config.activation or "gelu")
    check_model(type(model).__name__, config, _settings(source))
    check_depth(type(model).__name__, config.depth, source)
    theirs = "vit." if classifier or any(name.startswith("vit.") for name in state) else ""
    ours = "encoder." if classifier else ""
    places = _encoder(encoder, state, theirs, ours)
    harmless = [theirs + name for name in (*POOLER, "embeddings.mask_token")]
    if classifier:
        places += layer("classifier", "head")
    else:
        harmless += [*HEAD, *heads_of(state, theirs)]
    fill(model, state, places, label_of(source), harmless)
    return model


def vit_config_from(
    source: Source,
    head_width: int | None = None,
    epsilon: float | None = None,
    *,
    heads: int | None = None,
    activation: str | None = None,
) -> ViTConfig:
    """The sizes of a published ViT, read off its tensors' shapes and the config.json beside them.

    Bare tensors show neither heads nor epsilon nor activation: what is not given is then 1e-12,
    GELU, and the heads of the published ViT of that width (of another width they must be given, as
    their number or their width), and the image is square. Raises ValueError where config.json
    says what the model can't do, or other than what is given.
    """
    state = read_state(source)
    prefix = "vit." if any(name.startswith("vit.") for name in state) else ""
    if f"{prefix}embeddings.cls_token" not in state:
        missing = "embeddings.cls_token"
        raise ValueError(is_no("ViT by transformers' names", source, state, missing, "vit."))
    kernel = f"{prefix}embeddings.patch_embeddings.projection.weight"
    width, channels, patch, _ = shape_of(state, kernel, 4)
    patches = shape_of(state, f"{prefix}embeddings.position_embeddings", 3)[1] - 1
    blocks = prefix + _block(state)
    names = IN_MEMORY if "encoder." not in blocks else IN_FILES
    expand = next(theirs for theirs, ours in names.items() if ours == "feed_forward.expand")
    heads = heads_of_width(width, heads, head_width)
    told = settle(_settings(source), heads=heads, epsilon=epsilon, activation=activation)
    told["activation"] = None if told.get("activation") == "gelu" else told.get("activation")
    head = "classifier.weight"
    sizes = {
        "image_size": square_of(patches, patch, label_of(source)),
        "patch_size": patch,
        "width": width,
        "depth": len({n[len(blocks) :].split(".")[0] for n in state if n.startswith(blocks)}),
        "hidden": shape_of(state, f"{blocks}0.{expand}.weight")[0],
        "channels": channels,
        "classes": shape_of(state, head)[0] if head in state else 1000,
    }
    if "heads" not in told:
        told["heads"] = assume_heads(source, "ViT", width, HEADS, "heads")
    return ViTConfig(**{**sizes, **told})


def square_of(patches: int, patch: int, label: str) -> int:
    """The side in pixels of a square image of so many patches; ValueError if there is none.

    >>> square_of(16, 8, "a.bin")
    32
    """
    side = round(patches**0.5)
    if side**2 != patches:
        raise ValueError(f"{label} has positions for {patches} patches, which make no square")
    return side * patch


def _settings(source: Source) -> Settings:
    config = read_config(source, OBEYED, FIXED, lists=("image_size",))
    if config is None:
        return {}
    return {
        "heads": config.setting("num_attention_heads"),
        "activation": config.activation("hidden_act"),
        "epsilon": config.setting("layer_norm_eps"),
        "image_size": config.square("image_size"),
    }


def _block(state: Mapping[str, Tensor]) -> str:
    in_memory = any(name.removeprefix("vit.").startswith("layers.") for name in state)
    return "layers." if in_memory else "encoder.layer."


def _encoder(
    encoder: VisionTransformer, state: Mapping[str, Tensor], theirs: str, ours: str
) -> list[Place]:
    width, patch = len(encoder.embeddings.class_token), encoder.embeddings.patches
    kernel = (width, patch.channels, patch.patch, patch.patch)
    positions = (1, *encoder.embeddings.positions.shape)
    table, our_table = f"{theirs}embeddings.", f"{ours}embeddings."
    projection = f"{table}patch_embeddings.projection"
    places = [
        Place(f"{table}cls_token", (f"{our_table}class_token",), (1, 1, width)),
        Place(f"{table}position_embeddings", (f"{our_table}positions",), positions),
        Place(f"{projection}.weight", (f"{our_table}patches.projection.weight",), kernel),
        Place(f"{projection}.bias", (f"{our_table}patches.projection.bias",)),
    ]
    block = _block(state)
    for index in range(len(encoder.transformer.blocks)):
        for name, own in (IN_MEMORY if block == "layers." else IN_FILES).items():
            their = f"{theirs}{block}{index}.{name}"
            places += layer(their, f"{ours}transformer.blocks.{index}.{own}")
    return places + layer(f"{theirs}layernorm", f"{ours}norm")
