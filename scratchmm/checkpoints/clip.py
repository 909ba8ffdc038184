"""CLIP's published weights: by transformers' names and by OpenAI's own.

OpenAI's file fuses query, key and value into one matrix (`in_proj_weight`), keeps its projections
as (in, out) and spells its layers as GPT-2 does. transformers split them and brought in spellings
of its own, `pre_layrnorm` among them. The numbers are the same.

Paper: Learning Transferable Visual Models From Natural Language Supervision (arXiv 2103.00020).
Differs from the paper: nothing.
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from scratchmm.checkpoints.clip_config import check_text, check_vision, text_told, vision_told
from scratchmm.checkpoints.files import Place, Source, fill, label_of, layer, read_state
from scratchmm.checkpoints.vit import square_of
from scratchmm.contrastive.clip import CLIP, CLIPConfig, CLIPVision
from scratchmm.language.text_transformer import TextConfig, TextTransformer
from scratchmm.vision.vit import ViTConfig

# Counters that old files carry: 0, 1, 2, ... for the positions, and OpenAI's sizes as scalars.
HARMLESS = (
    "text_model.embeddings.position_ids",
    "vision_model.embeddings.position_ids",
    "embeddings.position_ids",
    "input_resolution",
    "context_length",
    "vocab_size",
)


def load_clip(model: CLIP, source: Source) -> CLIP:
    """Fill `model` with a published CLIP, of either naming, and return it.

    Raises ValueError that lists every tensor that is missing, surplus or of another shape, and
    where the model was made otherwise than the config.json beside the weights says; bare weights
    are taken to be of the model's own config: whether its GELU is theirs is for you to know.
    """
    state = read_state(source)
    check_vision(source, model.config.vision, ("clip",))
    check_text(source, model.config.text, ("clip",))
    places = (
        _openai(model.config) if "visual.conv1.weight" in state else _transformers(model.config)
    )
    fill(model, state, places, label_of(source), HARMLESS)
    return model


def load_clip_text(model: TextTransformer, source: Source) -> TextTransformer:
    """Fill a text tower from a CLIPTextModel of transformers, with or without `text_model.`."""
    state = read_state(source)
    check_text(source, model.config)
    prefix = "text_model." if any(name.startswith("text_model.") for name in state) else ""
    fill(model, state, _text(model.config.depth, prefix, ""), label_of(source), HARMLESS)
    return model


def load_clip_vision(model: CLIPVision, source: Source) -> CLIPVision:
    """Fill a picture tower from a CLIPVisionModel of transformers, with or without the prefix."""
    state = read_state(source)
    check_vision(source, model.config)
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in state) else ""
    depth, patch = len(model.transformer.blocks), model.embeddings.patches
    kernel = (len(model.embeddings.class_token), patch.channels, patch.patch, patch.patch)
    fill(model, state, _vision(depth, kernel, prefix, ""), label_of(source), HARMLESS)
    return model


def clip_config_from(
    source: Source,
    head_width: int | None = None,
    *,
    vision_heads: int | None = None,
    text_heads: int | None = None,
    activation: str | None = None,
) -> CLIPConfig:
    """The sizes of a published CLIP, read off its tensors' shapes and the config.json beside them.

    Bare tensors show neither heads nor activation: what is not given is then the heads of the
    published tower of that width (of another width they must be given, as their numbers or as one
    width for both), and quick GELU, as OpenAI's; towers wider than OpenAI's are LAION's, with GELU.
    The end token is then the last of the vocabulary. Raises ValueError where config.json says what
    the model can't do, or other than what is given.
    """
    state = read_state(source)
    if "visual.conv1.weight" in state:
        kernel, positions = state["visual.conv1.weight"], state["visual.positional_embedding"]
        tokens, length = state["token_embedding.weight"], len(state["positional_embedding"])
        vision_block, text_block = "visual.transformer.resblocks.", "transformer.resblocks."
        expand, embedding = "mlp.c_fc.weight", state["text_projection"].shape[1]
    elif "vision_model.embeddings.patch_embedding.weight" in state:
        kernel = state["vision_model.embeddings.patch_embedding.weight"]
        positions = state["vision_model.embeddings.position_embedding.weight"]
        tokens = state["text_model.embeddings.token_embedding.weight"]
        length = len(state["text_model.embeddings.position_embedding.weight"])
        vision_block, text_block = "vision_model.encoder.layers.", "text_model.encoder.layers."
        expand, embedding = "mlp.fc1.weight", len(state["text_projection.weight"])
    else:
        raise ValueError("the state dict is no CLIP with a Vision Transformer: it has no patches")
    width, channels, patch, _ = kernel.shape
    vision = ViTConfig(
        image_size=square_of(len(positions) - 1, patch, label_of(source)),
        patch_size=patch,
        width=width,
        depth=_depth(state, vision_block),
        heads=1,
        hidden=len(state[f"{vision_block}0.{expand}"]),
        channels=channels,
        epsilon=1e-5,
    )
    text = TextConfig(
        vocabulary=len(tokens),
        context_length=length,
        width=tokens.shape[1],
        depth=_depth(state, text_block),
        heads=1,
        hidden=len(state[f"{text_block}0.{expand}"]),
        end_token=len(tokens) - 1,
    )
    vision = replace(
        vision, **vision_told(source, width, vision_heads, head_width, activation, ("clip",))
    )
    text = replace(
        text, **text_told(source, text.width, text_heads, head_width, activation, ("clip",))
    )
    return CLIPConfig(vision, text, embedding)


def _depth(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _transformers(config: CLIPConfig) -> list[Place]:
    vision = config.vision
    kernel = (vision.width, vision.channels, vision.patch_size, vision.patch_size)
    return [
        *_vision(vision.depth, kernel, "vision_model.", "vision."),
        *_text(config.text.depth, "text_model.", "text."),
        Place("visual_projection.weight", ("image_projection.weight",)),
        Place("text_projection.weight", ("text_projection.weight",)),
        Place("logit_scale", ("temperature.log_scale",)),
    ]


def _vision(depth: int, kernel: tuple[int, ...], theirs: str, ours: str) -> list[Place]:
    table = f"{theirs}embeddings."
    return [
        Place(f"{table}class_embedding", (f"{ours}embeddings.class_token",)),
        Place(f"{table}position_embedding.weight", (f"{ours}embeddings.positions",)),
        Place(
            f"{table}patch_embedding.weight",
            (f"{ours}embeddings.patches.projection.weight",),
            kernel,
        ),
        *layer(f"{theirs}pre_layrnorm", f"{ours}norm_before"),  # their spelling
        *_blocks(depth, theirs, ours),
        *layer(f"{theirs}post_layernorm", f"{ours}norm_after"),
    ]


def _text(depth: int, theirs: str, ours: str) -> list[Place]:
    table = f"{theirs}embeddings."
    return [
        Place(f"{table}token_embedding.weight", (f"{ours}tokens.weight",)),
        Place(f"{table}position_embedding.weight", (f"{ours}positions",)),
        *_blocks(depth, theirs, ours),
        *layer(f"{theirs}final_layer_norm", f"{ours}norm"),
    ]


def _blocks(depth: int, theirs: str, ours: str) -> list[Place]:
    names = {
        "layer_norm1": "attention_norm",
        "self_attn.q_proj": "attention.query",
        "self_attn.k_proj": "attention.key",
        "self_attn.v_proj": "attention.value",
        "self_attn.out_proj": "attention.output",
        "layer_norm2": "feed_forward_norm",
        "mlp.fc1": "feed_forward.expand",
        "mlp.fc2": "feed_forward.contract",
    }
    return [
        place
        for index in range(depth)
        for name, our in names.items()
        for place in layer(
            f"{theirs}encoder.layers.{index}.{name}", f"{ours}transformer.blocks.{index}.{our}"
        )
    ]


def _openai(config: CLIPConfig) -> list[Place]:
    vision = config.vision
    kernel = (vision.width, vision.channels, vision.patch_size, vision.patch_size)
    return [
        Place("visual.class_embedding", ("vision.embeddings.class_token",)),
        Place("visual.positional_embedding", ("vision.embeddings.positions",)),
        Place("visual.conv1.weight", ("vision.embeddings.patches.projection.weight",), kernel),
        *layer("visual.ln_pre", "vision.norm_before"),
        *_openai_blocks(vision.depth, "visual.", "vision."),
        *layer("visual.ln_post", "vision.norm_after"),
        Place("visual.proj", ("image_projection.weight",), transposed=True),
        Place("token_embedding.weight", ("text.tokens.weight",)),
        Place("positional_embedding", ("text.positions",)),
        *_openai_blocks(config.text.depth, "", "text."),
        *layer("ln_final", "text.norm"),
        Place("text_projection", ("text_projection.weight",), transposed=True),
        Place("logit_scale", ("temperature.log_scale",)),
    ]


def _openai_blocks(depth: int, theirs: str, ours: str) -> list[Place]:
    names = {
        "ln_1": "attention_norm",
        "attn.out_proj": "attention.output",
        "ln_2": "feed_forward_norm",
        "mlp.c_fc": "feed_forward.expand",
        "mlp.c_proj": "feed_forward.contract",
    }
    places = []
    for index in range(depth):
        their, our = f"{theirs}transformer.resblocks.{index}", f"{ours}transformer.blocks.{index}"
        for part in ("weight", "bias"):
            fused = tuple(f"{our}.attention.{name}.{part}" for name in ("query", "key", "value"))
            places.append(Place(f"{their}.attn.in_proj_{part}", fused))
        for name, own in names.items():
            places += layer(f"{their}.{name}", f"{our}.{own}")
    return places
