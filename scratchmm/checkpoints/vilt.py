"""ViLT's published weights, by transformers' names.

Two tables there are called `token_type_embeddings`: the one inside `text_embeddings` tells the
sentences of a pair apart, the other tells words from images.

Paper: ViLT (arXiv 2102.03334).
Differs from the paper: nothing.
"""

import warnings
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from scratchmm.checkpoints.files import (
    Place,
    Source,
    check_tied,
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
from scratchmm.checkpoints.vit import square_of
from scratchmm.fusion.vilt import ViLT, ViLTConfig, ViLTForMaskedLM, ViLTForMatching, ViLTForVQA

Model = TypeVar("Model", ViLT, ViLTForMatching, ViLTForMaskedLM, ViLTForVQA)
BLOCK = {
    "layernorm_before": "attention_norm",
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.output.dense": "attention.output",
    "layernorm_after": "feed_forward_norm",
    "intermediate.dense": "feed_forward.expand",
    "output.dense": "feed_forward.contract",
}

OBEYED = {
    "num_attention_heads": 12,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "image_size": 384,
}
# max_image_length: a limit makes transformers draw that many patches at random.
FIXED = {"model_type": ("vilt",), "qkv_bias": (True,), "max_image_length": (-1,)}


def load_vilt(model: Model, source: Source) -> Model:
    """Fill `model` with a published ViLT and return it.

    A ViLT takes a ViltModel, or any model built on one (its head is left out); ViLTForMatching
    takes a ViltForImageAndTextRetrieval, ViLTForMaskedLM a ViltForMaskedLM, ViLTForVQA a
    ViltForQuestionAnswering. Where there is no pooler (ViltForTokenClassification has none), that of
    a ViLT stays as it is, and a warning says that `pooled` means nothing. Raises ValueError that
    lists every tensor that is missing, surplus or of another shape, and where the model was made
    otherwise than the config.json beside the weights says; bare weights are taken to be of the
    model's own config.
    """
    state = read_state(source)
    body = model if isinstance(model, ViLT) else model.vilt
    check_model(type(model).__name__, body.config, _settings(source))
    check_depth(type(model).__name__, body.config.depth, source)
    theirs = "vilt." if any(name.startswith("vilt.") for name in state) else ""
    places = _body(body.config, theirs, "" if model is body else "vilt.")
    pooled = f"{theirs}pooler.dense.weight" in state or f"{theirs}pooler.dense.bias" in state
    if not pooled and isinstance(model, ViLT | ViLTForMaskedLM):
        places = [place for place in places if not place.theirs.startswith(f"{theirs}pooler.")]
    # A counter that old files carry.
    harmless = [f"{theirs}embeddings.text_embeddings.position_ids"]
    if isinstance(model, ViLTForMatching):
        places += layer("rank_output", "head")
    elif isinstance(model, ViLTForMaskedLM):
        places += _masked_words(state)
        # The decoder is the table of words, and files that repeat it hold the same tensor twice.
        harmless += ["mlm_score.decoder.weight", "mlm_score.bias", "mlm_score.decoder.bias"]
        harmless.remove(places[-1].theirs)
        words = f"{theirs}embeddings.text_embeddings.word_embeddings.weight"
        pairs = {"mlm_score.decoder.weight": words, "mlm_score.bias": "mlm_score.decoder.bias"}
        check_tied(state, pairs, label_of(source))
    elif isinstance(model, ViLTForVQA):
        for index, name in ((0, "expand"), (1, "norm"), (3, "contract")):
            places += layer(f"classifier.{index}", name)
    else:
        harmless += heads_of(state, theirs)
    fill(model, state, places, label_of(source), harmless)
    if not pooled and model is body:
        warnings.warn(f"{label_of(source)} has no pooler: `pooled` says nothing yet", stacklevel=2)
    return model


def vilt_config_from(
    source: Source,
    head_width: int | None = None,
    epsilon: float | None = None,
    *,
    heads: int | None = None,
    activation: str | None = None,
) -> ViLTConfig:
    """The sizes of a published ViLT, read off its tensors' shapes and the config.json beside them.

    Bare tensors show neither heads nor epsilon nor activation: what is not given is then 1e-12,
    GELU and, of the published width of 768, 12 heads (of another width they must be given, as their
    number or their width). Raises ValueError where config.json says what the model can't do, or
    other than what is given.
    """
    state = read_state(source)
    prefix = "vilt." if any(name.startswith("vilt.") for name in state) else ""
    table, text = f"{prefix}embeddings.", f"{prefix}embeddings.text_embeddings."
    if f"{text}word_embeddings.weight" not in state:
        missing = "embeddings.text_embeddings.word_embeddings.weight"
        raise ValueError(is_no("ViLT by transformers' names", source, state, missing, "vilt."))
    width, channels, patch, _ = shape_of(state, f"{table}patch_embeddings.projection.weight", 4)
    blocks = f"{prefix}encoder.layer."
    heads = heads_of_width(width, heads, head_width)
    told = settle(_settings(source), heads=heads, epsilon=epsilon, activation=activation)
    if "heads" not in told:
        told["heads"] = assume_heads(source, "ViLT", width, {768: 12}, "heads")
    patches = shape_of(state, f"{table}position_embeddings", 3)[1] - 1
    told.setdefault("image_size", square_of(patches, patch, label_of(source)))
    return ViLTConfig(
        vocabulary=shape_of(state, f"{text}word_embeddings.weight")[0],
        context_length=shape_of(state, f"{text}position_embeddings.weight")[0],
        patch_size=patch,
        width=width,
        depth=len({name[len(blocks) :].split(".")[0] for name in state if name.startswith(blocks)}),
        hidden=shape_of(state, f"{blocks}0.intermediate.dense.weight")[0],
        channels=channels,
        types=shape_of(state, f"{text}token_type_embeddings.weight")[0],
        modalities=shape_of(state, f"{table}token_type_embeddings.weight")[0],
        **told,
    )


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


def _body(config: ViLTConfig, theirs: str, ours: str) -> list[Place]:
    width = config.width
    kernel = (width, config.channels, config.patch_size, config.patch_size)
    table, text = f"{theirs}embeddings.", f"{theirs}embeddings.text_embeddings."
    own, words = f"{ours}embeddings.", f"{ours}embeddings.words."
    projection = f"{table}patch_embeddings.projection"
    places = [
        Place(f"{text}word_embeddings.weight", (f"{words}tokens.weight",)),
        Place(f"{text}position_embeddings.weight", (f"{words}positions",)),
        Place(f"{text}token_type_embeddings.weight", (f"{words}types.weight",)),
        *layer(f"{text}LayerNorm", f"{words}norm"),
        Place(f"{table}cls_token", (f"{own}class_token",), (1, 1, width)),
        Place(f"{table}position_embeddings", (f"{own}positions",), (1, 1 + config.grid**2, width)),
        Place(f"{table}token_type_embeddings.weight", (f"{own}modalities.weight",)),
        Place(f"{projection}.weight", (f"{own}patches.projection.weight",), kernel),
        Place(f"{projection}.bias", (f"{own}patches.projection.bias",)),
    ]
    for index in range(config.depth):
        for name, our in BLOCK.items():
            their = f"{theirs}encoder.layer.{index}.{name}"
            places += layer(their, f"{ours}transformer.blocks.{index}.{our}")
    places += layer(f"{theirs}layernorm", f"{ours}norm")
    return places + layer(f"{theirs}pooler.dense", f"{ours}pooler")


def _masked_words(state: Mapping[str, Tensor]) -> list[Place]:
    # Old files call the bias `mlm_score.bias`, new ones `mlm_score.decoder.bias`, some have both.
    old = "mlm_score.decoder.bias" not in state and "mlm_score.bias" in state
    bias = "mlm_score.bias" if old else "mlm_score.decoder.bias"
    return [
        *layer("mlm_score.transform.dense", "head.dense"),
        *layer("mlm_score.transform.LayerNorm", "head.norm"),
        Place(bias, ("head.bias",)),
    ]
