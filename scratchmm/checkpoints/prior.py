"""The unCLIP prior's published weights, by diffusers' names (PriorTransformer).

Paper: Hierarchical Text-Conditional Image Generation with CLIP Latents (arXiv 2204.06125).
Differs from the paper: nothing.
"""

from scratchmm.checkpoints.files import (
    Place,
    Source,
    fill,
    is_no,
    label_of,
    layer,
    read_state,
    shape_of,
)
from scratchmm.checkpoints.published_config import (
    Settings,
    assume_heads,
    check_model,
    heads_of_width,
    read_config,
    settle,
)
from scratchmm.diffusion.prior import EXTRA, Prior, PriorConfig

LAYERS = {
    "encoder_hidden_states_proj": "text",
    "embedding_proj": "text_embedding",
    "time_embedding.linear_1": "time.expand",
    "time_embedding.linear_2": "time.contract",
    "proj_in": "noisy",
    "norm_out": "norm",
    "proj_to_clip_embeddings": "prediction",
}
BLOCK = {
    "norm1": "attention_norm",
    "attn1.to_q": "attention.query",
    "attn1.to_k": "attention.key",
    "attn1.to_v": "attention.value",
    "attn1.to_out.0": "attention.output",
    "norm3": "feed_forward_norm",
    "ff.net.0.proj": "feed_forward.expand",
    "ff.net.2": "feed_forward.contract",
}

OBEYED = {"num_attention_heads": 32}
FIXED = {
    "_class_name": ("PriorTransformer",),
    "time_embed_act_fn": ("silu", "swish"),
    "additional_embeddings": (EXTRA,),
    "norm_in_type": (None,),
    "embedding_proj_norm_type": (None,),
    "encoder_hid_proj_type": ("linear",),
    "added_emb_type": ("prd",),
}


def load_prior(model: Prior, source: Source) -> Prior:
    """Fill `model` with a published PriorTransformer, as in Karlo and Kandinsky, and return it.

    Raises ValueError that lists every tensor that is missing, surplus or of another shape, and
    where the model was made otherwise than the config.json beside the weights says; bare weights
    are taken to have the model's own heads.
    """
    config = model.config
    check_model(type(model).__name__, config, _settings(source))
    places = [place for their, our in LAYERS.items() for place in layer(their, our)]
    places += [
        Place("prd_embedding", ("query",), (1, 1, config.width)),
        Place("positional_embedding", ("positions",), (1, *model.positions.shape)),
        Place("clip_mean", ("mean",), (1, config.embedding)),
        Place("clip_std", ("deviation",), (1, config.embedding)),
    ]
    for index in range(config.depth):
        for their, our in BLOCK.items():
            places += layer(
                f"transformer_blocks.{index}.{their}", f"transformer.blocks.{index}.{our}"
            )
    fill(model, read_state(source), places, label_of(source))
    return model


def prior_config_from(
    source: Source, head_width: int | None = None, *, heads: int | None = None
) -> PriorConfig:
    """The sizes of a published prior, read off its tensors and the config.json beside them.

    Bare tensors do not show the number of heads: 32 for the published width of 2048; of another
    width they must be given, as their number or their width. Raises ValueError where config.json
    says what the model can't do, or other than what is given.
    """
    state = read_state(source)
    for name in ("prd_embedding", "encoder_hidden_states_proj.weight"):
        if name not in state:
            raise ValueError(is_no("unCLIP prior by diffusers' names", source, state, name))
    width, text_width = shape_of(state, "encoder_hidden_states_proj.weight")
    blocks = "transformer_blocks."
    told = settle(_settings(source), heads=heads_of_width(width, heads, head_width))
    if "heads" not in told:
        told["heads"] = assume_heads(source, "prior", width, {2048: 32}, "heads")
    return PriorConfig(
        embedding=shape_of(state, "proj_to_clip_embeddings.bias", 1)[0],
        text_width=text_width,
        context_length=shape_of(state, "positional_embedding", 3)[1] - EXTRA,
        width=width,
        depth=len({name.split(".")[1] for name in state if name.startswith(blocks)}),
        **told,
    )


def _settings(source: Source) -> Settings:
    config = read_config(source, OBEYED, FIXED)
    return {} if config is None else {"heads": config.setting("num_attention_heads")}
