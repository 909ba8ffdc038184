"""LXMERT's published weights, by transformers' names: the streams and the layers where they meet.

A published LxmertModel also embeds words and detected objects, and pools; the bimodal transformer
begins after the embeddings and ends before the pooler, so those tensors are left out knowingly.

Paper: LXMERT (arXiv 1908.07490).
Differs from the paper: nothing.
"""

from typing import TypeVar

from scratchmm.checkpoints.files import Place, Source, fill, label_of, layer, read_state
from scratchmm.checkpoints.published_config import check_model, read_config
from scratchmm.fusion.bimodal import BimodalTransformer, TwoStreamLayer

Model = TypeVar("Model", TwoStreamLayer, BimodalTransformer)
OBEYED = {"num_attention_heads": 12}
FIXED = {"model_type": ("lxmert",), "hidden_act": ("gelu", "gelu_python")}
# What stands before and after the encoder, in LxmertModel and in the models built on it.
AROUND = ("embeddings.", "encoder.visn_fc.", "pooler.", "cls.", "obj_predict_head.", "answer_head.")


def load_lxmert(model: Model, source: Source) -> Model:
    """Fill `model` with a published LXMERT and return it.

    A TwoStreamLayer takes one LxmertXLayer; a BimodalTransformer takes an LxmertModel, or a model
    built on one. Raises ValueError that lists every tensor that is missing, surplus or misshapen,
    and where the model was made otherwise than the config.json beside the weights says; bare
    weights are taken to have the model's own number of heads, and GELU.
    """
    state = read_state(source)
    published = read_config(source, OBEYED, FIXED)
    if published is not None:
        heads = {"heads": published.setting("num_attention_heads")}
        made = model.cross_attention if isinstance(model, TwoStreamLayer) else model.config
        check_model(type(model).__name__, made, heads)
    if isinstance(model, TwoStreamLayer):
        fill(model, state, _two_streams("", ""), label_of(source))
        return model
    prefix = "lxmert." if any(name.startswith("lxmert.") for name in state) else ""
    harmless = [name for name in state if name.removeprefix("lxmert.").startswith(AROUND)]
    places = []
    for theirs, ours, count in (
        ("layer", "words_blocks", model.config.words_depth),
        ("r_layers", "image_blocks", model.config.image_depth),
    ):
        for index in range(count):
            their, our = f"{prefix}encoder.{theirs}.{index}.", f"{ours}.{index}."
            places += _block(f"{their}attention.", f"{their}intermediate.", f"{their}output.", our)
    for index in range(model.config.depth):
        places += _two_streams(f"{prefix}encoder.x_layers.{index}.", f"layers.{index}.")
    fill(model, state, places, label_of(source), harmless)
    return model


def _two_streams(theirs: str, ours: str) -> list[Place]:
    cross = f"{theirs}visual_attention."
    return [
        *_attention(f"{cross}att.", f"{cross}output.", f"{ours}cross_attention."),
        *layer(f"{cross}output.LayerNorm", f"{ours}cross_norm"),
        *(
            place
            for their, our in (("lang", "words_block"), ("visn", "image_block"))
            for place in _block(
                f"{theirs}{their}_self_att.",
                f"{theirs}{their}_inter.",
                f"{theirs}{their}_output.",
                f"{ours}{our}.",
            )
        ),
    ]


def _block(attention: str, expand: str, contract: str, ours: str) -> list[Place]:
    return [
        *_attention(f"{attention}self.", f"{attention}output.", f"{ours}attention."),
        *layer(f"{attention}output.LayerNorm", f"{ours}attention_norm"),
        *layer(f"{expand}dense", f"{ours}feed_forward.expand"),
        *layer(f"{contract}dense", f"{ours}feed_forward.contract"),
        *layer(f"{contract}LayerNorm", f"{ours}feed_forward_norm"),
    ]


def _attention(asked: str, output: str, ours: str) -> list[Place]:
    places = layer(f"{output}dense", f"{ours}output")
    for name in ("query", "key", "value"):
        places += layer(f"{asked}{name}", f"{ours}{name}")
    return places
