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

from scratchmm.checkpoints.clip_config import check_text, check_vision, text_fields, vision_fields
from scratchmm.checkpoints.clip_names import HARMLESS, check_bias, clip_state, of_one_tower
from scratchmm.checkpoints.files import Place, Source, fill, has, is_no, label_of, layer, shape_of
from scratchmm.checkpoints.vit import square_of
from scratchmm.contrastive.clip import CLIP, CLIPConfig, CLIPVision
from scratchmm.language.text_transformer import TextConfig, TextTransformer
from scratchmm.vision.vit import ViTConfig

TOKENS = "embeddings.token_embedding.weight"  # transformers'; OpenAI's name is the end of it


def load_clip(model: CLIP, source: Source) -> CLIP:
    """Fill `model` with a published CLIP, of either naming, and return it.

    Files of open_clip are read too, unless their logits have a bias (SigLIP's) other than 0. Raises
    ValueError that lists every tensor that is missing, surplus, of another shape or no weight, and
    where the model was made otherwise than the config.json beside the weights says; bare weights
    are taken to be of the model's own config: whether its GELU is theirs is for you to know. How
    images are prepared for it: `image_processor.processor_for`.
    """
    state = clip_state(source)
    check_vision(source, model.config.vision, ("clip",))
    check_text(source, model.config.text, ("clip",))
    check_bias(state, label_of(source))
    places = _openai(model.config) if has(state, "visual.conv1.weight") else None
    places = places or _transformers(model.config)
    fill(model, state, places, label_of(source), {*HARMLESS, "logit_bias"})
    return model


def load_clip_text(model: TextTransformer, source: Source) -> TextTransformer:
    """Fill a text tower and return it: of a CLIPTextModel, with or without its projection, or CLIP.

    A file of the whole CLIP serves as well, in either naming; its other tower is left out, and so
    are projections, which this tower does not have. Raises ValueError as `load_clip`.
    """
    label = label_of(source)
    state, prefix = of_one_tower(clip_state(source), "text", label)
    check_text(source, model.config)
    openai = has(state, "token_embedding.weight") and not has(state, TOKENS)
    table = _openai_text if openai else _text
    fill(model, state, table(model.config.depth, prefix, ""), label, HARMLESS)
    return model


def load_clip_vision(model: CLIPVision, source: Source) -> CLIPVision:
    """Fill a vision tower and return it: of a CLIPVisionModel, or as `load_clip_text` of a CLIP."""
    label = label_of(source)
    state, prefix = of_one_tower(clip_state(source), "vision", label)
    check_vision(source, model.config)
    depth, patch = len(model.transformer.blocks), model.embeddings.patches
    kernel = (len(model.embeddings.class_token), patch.channels, patch.patch, patch.patch)
    table = _openai_vision if has(state, "conv1.weight") else _vision
    fill(model, state, table(depth, kernel, prefix, ""), label, HARMLESS)
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
    state = clip_state(source)
    if "visual.conv1.weight" in state:
        kernel, positions = "visual.conv1.weight", "visual.positional_embedding"
        tokens, length = "token_embedding.weight", "positional_embedding"
        vision_block, text_block = "visual.transformer.resblocks.", "transformer.resblocks."
        expand, embedding = "mlp.c_fc.weight", shape_of(state, "text_projection")[1]
    elif "vision_model.embeddings.patch_embedding.weight" in state:
        kernel = "vision_model.embeddings.patch_embedding.weight"
        positions = "vision_model.embeddings.position_embedding.weight"
        tokens = "text_model.embeddings.token_embedding.weight"
        length = "text_model.embeddings.position_embedding.weight"
        vision_block, text_block = "vision_model.encoder.layers.", "text_model.encoder.layers."
        expand, embedding = "mlp.fc1.weight", shape_of(state, "text_projection.weight")[0]
    else:
        missing = "vision_model.embeddings.patch_embedding.weight"
        raise ValueError(is_no("CLIP with a Vision Transformer", source, state, missing))
    width, channels, patch, _ = shape_of(state, kernel, 4)
    vocabulary, text_width = shape_of(state, tokens)
    vision = ViTConfig(
        image_size=square_of(shape_of(state, positions)[0] - 1, patch, label_of(source)),
        patch_size=patch,
        width=width,
        depth=_depth(state, vision_block),
        heads=1,
        hidden=shape_of(state, f"{vision_block}0.{expand}")[0],
        channels=channels,
        epsilon=1e-5,
    )
    text = TextConfig(
        vocabulary=vocabulary,
        context_length=shape_of(state, length)[0],
        width=text_width,
        depth=_depth(state, text_block),
        heads=1,
        hidden=shape_of(state, f"{text_block}0.{expand}")[0],
        end_token=vocabulary - 1,
    )
    vision = replace(
        vision, **vision_fields(source, width, vision_heads, head_width, activation, ("clip",))
    )
    text = replace(
        text, **text_fields(source, text.width, text_heads, head_width, activation, ("clip",))
    )
    return CLIPConfig(vision, text, embedding)


def _depth(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _transformers(config: CLIPConfig) -> list[Place]:
    vision = config.vision
    kernel = (vision.width, vision.channels, vision.patch_size, vision.patch_size)
    return [
        *_vision(vision.depth, kernel, "vision_model.", "two_tower.towers.image."),
        *_text(config.text.depth, "text_model.", "two_tower.towers.text.encoder."),
        Place("visual_projection.weight", ("two_tower.projections.image.weight",)),
        Place("text_projection.weight", ("two_tower.projections.text.weight",)),
        Place("logit_scale", ("two_tower.logit_scale.log_scale",)),
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
        *_openai_vision(vision.depth, kernel, "visual.", "two_tower.towers.image."),
        Place("visual.proj", ("two_tower.projections.image.weight",), transposed=True),
        *_openai_text(config.text.depth, "", "two_tower.towers.text.encoder."),
        Place("text_projection", ("two_tower.projections.text.weight",), transposed=True),
        Place("logit_scale", ("two_tower.logit_scale.log_scale",)),
    ]


def _openai_vision(depth: int, kernel: tuple[int, ...], theirs: str, ours: str) -> list[Place]:
    return [
        Place(f"{theirs}class_embedding", (f"{ours}embeddings.class_token",)),
        Place(f"{theirs}positional_embedding", (f"{ours}embeddings.positions",)),
        Place(f"{theirs}conv1.weight", (f"{ours}embeddings.patches.projection.weight",), kernel),
        *layer(f"{theirs}ln_pre", f"{ours}norm_before"),
        *_openai_blocks(depth, theirs, ours),
        *layer(f"{theirs}ln_post", f"{ours}norm_after"),
    ]


def _openai_text(depth: int, theirs: str, ours: str) -> list[Place]:
    return [
        Place(f"{theirs}token_embedding.weight", (f"{ours}tokens.weight",)),
        Place(f"{theirs}positional_embedding", (f"{ours}positions",)),
        *_openai_blocks(depth, theirs, ours),
        *layer(f"{theirs}ln_final", f"{ours}norm"),
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
