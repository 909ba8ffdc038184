"""ViLT's published weights, by transformers' names.

Two tables there are called `token_type_embeddings`: the one inside `text_embeddings` tells the
sentences of a pair apart, the other tells words from pictures.

Paper: ViLT (arXiv 2102.03334).
Differs from the paper: nothing.
"""

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from scratchmm.checkpoints.files import Place, Source, fill, label_of, layer, read_state
from scratchmm.fusion.vilt import ViLT, ViLTConfig, ViLTForMaskedLM, ViLTForMatching, ViLTForVQA

Model = TypeVar("Model", ViLT, ViLTForMatching, ViLTForMaskedLM, ViLTForVQA)
HEADS = ("mlm_score.", "rank_output.", "classifier.")
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


def load_vilt(model: Model, source: Source) -> Model:
    """Fill `model` with a published ViLT and return it.

    A ViLT takes a ViltModel, or any model built on one (its head is left out); ViLTForMatching
    takes a ViltForImageAndTextRetrieval, ViLTForMaskedLM a ViltForMaskedLM, ViLTForVQA a
    ViltForQuestionAnswering. Raises ValueError that lists every tensor that is missing, surplus or
    of another shape.
    """
    state = read_state(source)
    body = model if isinstance(model, ViLT) else model.vilt
    theirs = "vilt." if any(name.startswith("vilt.") for name in state) else ""
    places = _body(body.config, theirs, "" if model is body else "vilt.")
    # A counter that old files carry.
    harmless = [f"{theirs}embeddings.text_embeddings.position_ids"]
    if isinstance(model, ViLTForMatching):
        places += layer("rank_output", "head")
    elif isinstance(model, ViLTForMaskedLM):
        places += _masked_words(state)
        # The decoder is the table of words, and files that repeat it hold the same tensor twice.
        harmless += ["mlm_score.decoder.weight", "mlm_score.bias", "mlm_score.decoder.bias"]
        harmless.remove(places[-1].theirs)
    elif isinstance(model, ViLTForVQA):
        for index, name in ((0, "expand"), (1, "norm"), (3, "contract")):
            places += layer(f"classifier.{index}", name)
    else:
        harmless += [name for name in state if name.startswith(HEADS)]
    fill(model, state, places, label_of(source), harmless)
    return model


def vilt_config_from(
    state: Mapping[str, Tensor], head_width: int = 64, epsilon: float = 1e-12
) -> ViLTConfig:
    """The sizes of a published ViLT, read off its tensors' shapes.

    Neither the number of heads nor the norms' epsilon leaves a trace there: published ViLTs have
    heads 64 wide and epsilon 1e-12.
    """
    prefix = "vilt." if any(name.startswith("vilt.") for name in state) else ""
    table, text = f"{prefix}embeddings.", f"{prefix}embeddings.text_embeddings."
    if f"{text}word_embeddings.weight" not in state:
        raise ValueError("the state dict is no ViLT by transformers' names: it embeds no words")
    width, channels, patch, _ = state[f"{table}patch_embeddings.projection.weight"].shape
    blocks = f"{prefix}encoder.layer."
    return ViLTConfig(
        vocabulary=len(state[f"{text}word_embeddings.weight"]),
        context_length=len(state[f"{text}position_embeddings.weight"]),
        image_size=patch * round((state[f"{table}position_embeddings"].shape[1] - 1) ** 0.5),
        patch_size=patch,
        width=width,
        depth=len({name[len(blocks) :].split(".")[0] for name in state if name.startswith(blocks)}),
        heads=width // head_width,
        hidden=len(state[f"{blocks}0.intermediate.dense.weight"]),
        channels=channels,
        types=len(state[f"{text}token_type_embeddings.weight"]),
        modalities=len(state[f"{table}token_type_embeddings.weight"]),
        epsilon=epsilon,
    )


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
