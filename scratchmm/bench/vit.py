"""ViT-B/16 beside transformers' ViTForImageClassification, with the same weights."""

from typing import Any

import torch
from torch import Tensor

from scratchmm.bench.measure import Row, compare, same
from scratchmm.bench.peers import quiet_transformers, training_step
from scratchmm.checkpoints.vit import load_vit
from scratchmm.layers.attention import attention_backend
from scratchmm.vision.vit import ViTClassifier, ViTConfig, vit_b_16

CPU_BATCH, GPU_BATCH = 4, 64


def rows(
    device: str = "cpu",
    rounds: int = 5,
    config: ViTConfig | None = None,
    batch: int | None = None,
) -> list[Row]:
    """Forward and training step, eager against eager."""
    config = config or vit_b_16()
    batch = batch or (CPU_BATCH if device == "cpu" else GPU_BATCH)
    torch.manual_seed(0)
    theirs = peer(config).to(device).eval()
    model = load_vit(ViTClassifier(config), theirs.state_dict()).to(device).eval()
    images = torch.randn(batch, config.channels, config.image_size, config.image_size).to(device)
    labels = torch.arange(batch, device=device) % config.classes

    def ours_forward() -> Tensor:
        with torch.no_grad(), attention_backend("torch"):
            return model(images)

    def peer_forward() -> Tensor:
        with torch.no_grad():
            return theirs(images).logits

    def ours_loss() -> Tensor:
        with attention_backend("torch"):
            return torch.nn.functional.cross_entropy(model(images), labels)

    def peer_loss() -> Tensor:
        return torch.nn.functional.cross_entropy(theirs(images).logits, labels)

    same(ours_forward(), peer_forward(), "the logits of both ViTs")
    name, other = "ViTClassifier", "transformers ViTForImageClassification"
    common: Any = {"device": device, "rounds": rounds, "goal": None}
    forward = compare(
        f"vit forward, batch {batch}", (name, ours_forward), (other, peer_forward), **common
    )
    step = compare(
        f"vit training step, batch {batch}",
        (name, training_step(model, ours_loss)),
        (other, training_step(theirs, peer_loss)),
        **common,
    )
    return [forward, step]


def peer(config: ViTConfig) -> Any:
    """transformers' model of the same sizes."""
    transformers = quiet_transformers()
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=config.image_size,
            patch_size=config.patch_size,
            num_channels=config.channels,
            hidden_size=config.width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            intermediate_size=config.hidden,
            layer_norm_eps=config.epsilon,
            num_labels=config.classes,
        )
    )
