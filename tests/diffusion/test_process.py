"""Shapes of diffusion/process.py."""

from shape_comments import check_shape_comments


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import ddim, ddpm, guidance, process

    levels, x = process.cosine_schedule(7), torch.randn(2, 3, 5)
    words = {"words": torch.randn(2, 4)}
    dropped = guidance.prompt_dropout(words, {"words": torch.zeros(1, 4)}, 0.5)
    model = guidance.guided(lambda x, timesteps, words: x, {"words": torch.zeros(1, 4)}, scale=3)
    for target in process.TARGETS:
        process.diffusion_loss(model, levels, x, target=target, **dropped)
        ddim.ddim_sample(model, levels, x, [6, 2], eta=0.5, target=target, **words)
    ddpm.ancestral_sample(model, levels, x, **words)
    ddim.ddim_invert(model, levels, x, [6, 2], **words)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/process.py")
