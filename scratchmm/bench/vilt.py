"""ViLT-B/32 beside transformers' ViltModel, with the same weights."""

from typing import Any

import torch
from torch import Tensor

from scratchmm.bench.measure import Row, compare, same
from scratchmm.bench.peers import quiet_transformers, training_step
from scratchmm.checkpoints.vilt import load_vilt
from scratchmm.fusion.vilt import ViLT, ViLTConfig, vilt_b_32
from scratchmm.layers.attention import attention_backend

CPU_BATCH, GPU_BATCH = 4, 64
GOAL = 1.0  # of time, against the peer


def rows(
    device: str = "cpu",
    rounds: int = 5,
    config: ViLTConfig | None = None,
    batch: int | None = None,
    goal: float = GOAL,
) -> list[Row]:
    """Forward and training step, eager against eager, on texts that fill the whole context."""
    config = config or vilt_b_32()
    batch = batch or (CPU_BATCH if device == "cpu" else GPU_BATCH)
    torch.manual_seed(0)
    theirs = peer(config).to(device).eval()
    model = load_vilt(ViLT(config), theirs.state_dict()).to(device).eval()
    size, length = config.image_size, config.context_length
    images = torch.randn(batch, config.channels, size, size).to(device)
    tokens = torch.randint(1, config.vocabulary, (batch, length)).to(device)

    def ours() -> Tensor:
        with attention_backend("torch"):
            output = model(tokens, images)
        return torch.cat([output.pooled[:, None], output.words], dim=1)

    def other() -> Tensor:
        # Its patches come in an order drawn at random: only the words can be compared.
        output = theirs(input_ids=tokens, pixel_values=images)
        words = output.last_hidden_state[:, :length]
        return torch.cat([output.pooler_output[:, None], words], dim=1)

    same(no_graph(ours), no_graph(other), "the words of both ViLTs")
    common: Any = {"device": device, "rounds": rounds, "goal": goal}
    name, known = "ViLT", "transformers ViltModel"
    forward = compare(
        f"vilt forward, batch {batch}",
        (name, lambda: no_graph(ours)),
        (known, lambda: no_graph(other)),
        **common,
    )
    step = compare(
        f"vilt training step, batch {batch}",
        (name, training_step(model, lambda: ours().square().mean())),
        (known, training_step(theirs, lambda: other().square().mean())),
        **common,
    )
    return [forward, step]


def no_graph(work: Any) -> Tensor:
    """What a forward pass gives when nothing is to be learned from it."""
    with torch.no_grad():
        return work()


def peer(config: ViLTConfig) -> Any:
    """transformers' model of the same sizes."""
    transformers = quiet_transformers()
    return transformers.ViltModel(
        transformers.ViltConfig(
            vocab_size=config.vocabulary,
            type_vocab_size=config.types,
            modality_type_vocab_size=config.modalities,
            max_position_embeddings=config.context_length,
            image_size=config.image_size,
            patch_size=config.patch_size,
            num_channels=config.channels,
            hidden_size=config.width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            intermediate_size=config.hidden,
            layer_norm_eps=config.epsilon,
        )
    )
