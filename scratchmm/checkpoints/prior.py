"""The unCLIP prior's published weights, by diffusers' names (PriorTransformer).

Paper: Hierarchical Text-Conditional Image Generation with CLIP Latents (arXiv 2204.06125).
Differs from the paper: nothing.
"""

from collections.abc import Mapping

from torch import Tensor

from scratchmm.checkpoints.files import Place, Source, fill, label_of, layer, read_state
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


def load_prior(model: Prior, source: Source) -> Prior:
    """Fill `model` with a published PriorTransformer, as in Karlo and Kandinsky, and return it.

    Raises ValueError that lists every tensor that is missing, surplus or of another shape.
    """
    config = model.config
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


def prior_config_from(state: Mapping[str, Tensor], head_width: int = 64) -> PriorConfig:
    """The sizes of a published prior, read off its tensors' shapes.

    The number of heads leaves no trace there: published priors have heads 64 wide.
    """
    if "prd_embedding" not in state or "encoder_hidden_states_proj.weight" not in state:
        raise ValueError(
            "the state dict is no unCLIP prior by diffusers' names: "
            "it has no prd_embedding or reads no text"
        )
    width, text_width = state["encoder_hidden_states_proj.weight"].shape
    blocks = "transformer_blocks."
    return PriorConfig(
        embedding=len(state["proj_to_clip_embeddings.bias"]),
        text_width=text_width,
        context_length=state["positional_embedding"].shape[1] - EXTRA,
        width=width,
        depth=len({name.split(".")[1] for name in state if name.startswith(blocks)}),
        heads=width // head_width,
    )
