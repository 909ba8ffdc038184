"""The names of a CLIP's tensors, before they are looked up: what open_clip and larger models add.

open_clip keeps OpenAI's names; its newer class puts `text.` before those of the text tower, and its
files may hold the causal mask and the bias that SigLIP's loss adds to the logits. A CLIP inside a
larger model of transformers has `clip.` before all of its names.

Papers: Learning Transferable Visual Models From Natural Language Supervision (arXiv 2103.00020),
Sigmoid Loss for Language Image Pre-Training (arXiv 2303.15343), whose bias it is.
Differs from the papers: nothing.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from scratchmm.checkpoints.files import Source, label_of, read_state

# Counters that old files carry: 0, 1, 2, ... for the positions, and OpenAI's sizes as scalars.
HARMLESS = {
    "text_model.embeddings.position_ids",
    "vision_model.embeddings.position_ids",
    "embeddings.position_ids",
    "input_resolution",
    "context_length",
    "vocab_size",
}
BOTH = {"text_projection.weight", "visual_projection.weight", "text_projection", "visual.proj"}
BOTH |= {"logit_scale", "logit_bias"}  # what stands on the towers, and between them


def clip_state(source: Source) -> dict[str, Tensor]:
    """The tensors of a CLIP or of one of its towers, by OpenAI's or transformers' plain names.

    Raises ValueError if the text tower's mask is not the causal one, which ours always has.

    >>> sorted(clip_state({"clip.logit_scale": torch.ones(()), "clip.visual.proj": torch.ones(2)}))
    ['logit_scale', 'visual.proj']
    """
    state = read_state(source)
    if state and all(name.startswith("clip.") for name in state):
        state = read_state({name.removeprefix("clip."): tensor for name, tensor in state.items()})
    if "text.token_embedding.weight" in state:
        state = {name.removeprefix("text."): tensor for name, tensor in state.items()}
    mask = state.pop("attn_mask", None)
    if mask is not None:
        hidden = (mask if mask.dtype == torch.bool else mask.isneginf()).cpu()
        if hidden.dim() != 2 or not hidden.equal(torch.ones_like(hidden).triu(1)):
            raise ValueError(f"{label_of(source)} has an attn_mask that is not the causal mask")
    return state


def check_bias(state: Mapping[str, Tensor], label: str) -> None:
    """Refuse a bias of the logits, which our CLIP does not add.

    >>> check_bias({"logit_bias": torch.tensor(-10.0)}, "siglip.pt")
    Traceback (most recent call last):
    ValueError: siglip.pt adds a logit_bias of -10 to its logits, as SigLIP does, and CLIP adds \
none: without that tensor the embeddings are the same
    """
    bias = state.get("logit_bias")
    if bias is not None and bool((bias != 0).any()):
        raise ValueError(
            f"{label} adds a logit_bias of {bias.flatten()[0].item():g} to its logits, as SigLIP "
            "does, and CLIP adds none: without that tensor the embeddings are the same"
        )


def of_one_tower(
    state: Mapping[str, Tensor], tower: str, label: str = "the state dict"
) -> tuple[dict[str, Tensor], str]:
    """The tensors of one tower ("text" or "vision") of a file that may hold both; and its prefix.

    Prefixes are `text_model.` and `vision_model.` (transformers), `visual.` (OpenAI) or none. The
    other tower, the projections and the scale are left out. Raises ValueError if nothing remains.

    >>> of_one_tower({"text_model.a": 0, "vision_model.a": 0, "logit_scale": 0}, "text")
    ({'text_model.a': 0}, 'text_model.')
    """
    prefixes = ("text_model.",) if tower == "text" else ("vision_model.", "visual.")
    others = ("vision_model.", "visual.") if tower == "text" else ("text_model.",)
    prefix = next((p for p in prefixes if any(name.startswith(p) for name in state)), "")
    kept = {name: tensor for name, tensor in state.items() if name not in BOTH}
    if prefix:
        kept = {name: tensor for name, tensor in kept.items() if name.startswith(prefix)}
    else:
        kept = {name: tensor for name, tensor in kept.items() if not name.startswith(others)}
    if state and not kept:
        raise ValueError(f"{label} has no {tower} tower: it has {next(iter(state))} and the like")
    return kept, prefix
