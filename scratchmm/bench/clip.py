"""CLIP ViT-B/32 beside transformers' CLIPModel, with the same weights."""

import copy
from typing import Any

import torch
from torch import Tensor

from scratchmm.bench.measure import Row, compare, same
from scratchmm.bench.peers import quiet_transformers, training_step
from scratchmm.checkpoints.clip import load_clip
from scratchmm.contrastive.clip import CLIP, CLIPConfig, clip_vit_b_32
from scratchmm.contrastive.loss import contrastive_loss
from scratchmm.layers.attention import attention_backend

CPU_BATCH, GPU_BATCH = 8, 64
GOALS = {"eager": 1.0, "compiled": 0.9}  # of time, against the peer's eager


def rows(
    device: str = "cpu",
    rounds: int = 9,
    config: CLIPConfig | None = None,
    batch: int | None = None,
    goals: dict[str, float] | None = None,
) -> list[Row]:
    """Forward and training step: eager against eager, and compiled against the peer's eager."""
    config = config or clip_vit_b_32()
    batch = batch or (CPU_BATCH if device == "cpu" else GPU_BATCH)
    torch.manual_seed(0)
    theirs = peer(config).to(device).eval()
    model = load_clip(CLIP(config), theirs.state_dict()).to(device).eval()
    images, tokens = pairs(config, batch, device)

    def peer_forward() -> Tensor:
        with torch.no_grad():
            return theirs(input_ids=tokens, pixel_values=images).logits_per_image

    def peer_loss() -> Tensor:
        return theirs(input_ids=tokens, pixel_values=images, return_loss=True).loss

    theirs_step = training_step(theirs, peer_loss)
    other, found = "transformers CLIPModel, eager", []
    for kind, goal in (goals or GOALS).items():
        # Each kind trains a copy of its own, so that every forward pass is compared with the
        # same weights before any step has changed them.
        own = copy.deepcopy(model)
        forward, loss = works(own, kind, images, tokens)
        same(works(model, "eager", images, tokens)[0](), forward(), f"eager and {kind}")
        if kind == "eager":
            same(forward(), peer_forward(), "the logits of both CLIPs")
        common: Any = {"device": device, "rounds": rounds, "goal": goal}
        name = f"CLIP, {kind}"
        case = f"clip forward, {kind}, batch {batch}"
        found.append(compare(case, (name, forward), (other, peer_forward), **common))
        step = training_step(own, loss)
        case = f"clip training step, {kind}, batch {batch}"
        found.append(compare(case, (name, step), (other, theirs_step), **common))
    return found


def works(model: CLIP, kind: str, images: Tensor, tokens: Tensor) -> tuple[Any, Any]:
    """The forward pass without a graph, and the loss with one."""
    use: Any = model
    run: Any = model
    if kind == "compiled":
        use, run = frozen(model, images, tokens), torch.compile(model)

    def forward() -> Tensor:
        with torch.no_grad(), attention_backend("torch"):
            return use(images, tokens).logits

    def loss() -> Tensor:
        with attention_backend("torch"):
            output = run(images, tokens)
            return contrastive_loss(output.image_embeddings, output.text_embeddings, output.scale)

    return forward, loss


def frozen(model: CLIP, images: Tensor, tokens: Tensor) -> Any:
    """A copy compiled for use: its weights no longer change, so they are packed once.

    With the batch size left open (dynamic), torch.compile hands the products to oneDNN instead of
    MKL, which is twice as fast on some processors.
    """
    import torch._inductor.config as inductor

    compiled: Any = torch.compile(copy.deepcopy(model), dynamic=True)
    with inductor.patch(freezing=True), torch.no_grad(), attention_backend("torch"):
        compiled(images, tokens)  # what is compiled is fixed by the first call
    return compiled


def pairs(config: CLIPConfig, batch: int, device: str) -> tuple[Tensor, Tensor]:
    """Random images, and texts that fill the whole context, so that no padding is saved."""
    size, length = config.vision.image_size, config.text.context_length
    images = torch.randn(batch, config.vision.channels, size, size)
    tokens = torch.randint(0, config.text.end_token - 1, (batch, length))
    tokens[:, -1] = config.text.end_token
    return images.to(device), tokens.to(device)


def peer(config: CLIPConfig) -> Any:
    """transformers' model of the same sizes."""
    transformers = quiet_transformers()
    text, vision = config.text, config.vision
    shared = {"projection_dim": config.embedding}
    text_config = {
        "vocab_size": text.vocabulary,
        "max_position_embeddings": text.context_length,
        "hidden_size": text.width,
        "num_hidden_layers": text.depth,
        "num_attention_heads": text.heads,
        "intermediate_size": text.hidden,
        "eos_token_id": text.end_token,
        **shared,
    }
    vision_config = {
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "num_channels": vision.channels,
        "hidden_size": vision.width,
        "num_hidden_layers": vision.depth,
        "num_attention_heads": vision.heads,
        "intermediate_size": vision.hidden,
        **shared,
    }
    return transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text_config, vision_config=vision_config, **shared)
    )
