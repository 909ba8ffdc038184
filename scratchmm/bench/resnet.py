"""ResNet-50 beside transformers' ResNetForImageClassification, with the same weights."""

from typing import Any

import torch
from torch import Tensor

from scratchmm.bench.measure import Row, compare, same
from scratchmm.bench.peers import quiet_transformers, training_step
from scratchmm.checkpoints.resnet import load_resnet
from scratchmm.vision.resnet import ResNetClassifier, ResNetConfig, resnet_50

CPU_BATCH, GPU_BATCH = 8, 64
GOAL = 1.0  # of time, against the peer


def rows(
    device: str = "cpu",
    rounds: int = 5,
    config: ResNetConfig | None = None,
    batch: int | None = None,
    size: int = 224,
    goal: float = GOAL,
) -> list[Row]:
    """Forward and training step, eager against eager; norms by the batch in training only."""
    config = config or resnet_50()
    batch = batch or (CPU_BATCH if device == "cpu" else GPU_BATCH)
    torch.manual_seed(0)
    theirs = peer(config).to(device).eval()
    model = load_resnet(ResNetClassifier(config), theirs.state_dict()).to(device).eval()
    images = torch.randn(batch, config.channels, size, size).to(device)
    labels = torch.arange(batch, device=device) % config.classes

    def ours_forward() -> Tensor:
        with torch.no_grad():
            return model(images)

    def peer_forward() -> Tensor:
        with torch.no_grad():
            return theirs(images).logits

    def ours_loss() -> Tensor:
        return torch.nn.functional.cross_entropy(model(images), labels)

    def peer_loss() -> Tensor:
        return torch.nn.functional.cross_entropy(theirs(images).logits, labels)

    same(ours_forward(), peer_forward(), "the logits of both ResNets")
    name, other = "ResNetClassifier", "transformers ResNetForImageClassification"
    common: Any = {"device": device, "rounds": rounds, "goal": goal}
    forward = compare(
        f"resnet forward, batch {batch}", (name, ours_forward), (other, peer_forward), **common
    )
    model.train()
    theirs.train()
    step = compare(
        f"resnet training step, batch {batch}",
        (name, training_step(model, ours_loss)),
        (other, training_step(theirs, peer_loss)),
        **common,
    )
    return [forward, step]


def peer(config: ResNetConfig) -> Any:
    """transformers' model of the same sizes; it has no stem for small images."""
    transformers = quiet_transformers()
    return transformers.ResNetForImageClassification(
        transformers.ResNetConfig(
            num_channels=config.channels,
            embedding_size=config.stem,
            hidden_sizes=list(config.widths),
            depths=list(config.depths),
            layer_type="bottleneck" if config.bottleneck else "basic",
            num_labels=config.classes,
        )
    )
