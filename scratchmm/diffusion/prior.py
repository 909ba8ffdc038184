"""The unCLIP prior: from a text to the CLIP embedding of an image of it.

Many images fit one text, so the image's embedding is drawn: a diffusion over vectors, by a
transformer over the text, the timestep and the noisy embedding, which predicts at a learned query.

Paper: Hierarchical Text-Conditional Image Generation with CLIP Latents (Ramesh et al. 2022,
arXiv 2204.06125), section 2.2, the diffusion prior.
Dimensions: B batch, T text tokens, C width of the text tokens, E width of CLIP's embeddings,
D width of the transformer, M candidates.
Differs from the paper: the prior works on embeddings with each number's mean and deviation taken
out, as published weights do; texts may be shorter than the longest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.guidance import guided, prompt_dropout
from scratchmm.diffusion.noise import Generators, draw_noise
from scratchmm.diffusion.process import Schedule, diffusion_loss
from scratchmm.diffusion.unet_blocks import timestep_embedding
from scratchmm.layers.attention import causal_mask, check_heads, padding_mask
from scratchmm.layers.transformer import FeedForward, Transformer, TransformerBlock
from scratchmm.sentences import check_count, check_sizes

EXTRA = 4  # tokens behind the text: its embedding, the timestep, the noisy embedding, the query


@dataclass(frozen=True)
class PriorConfig:
    """The sizes of a prior.

    >>> PriorConfig(width=30, heads=4)
    Traceback (most recent call last):
    ValueError: width 30 is not divisible by 4 heads
    """

    embedding: int = 768  # E, of CLIP's embeddings of a text and of an image
    text_width: int = 768  # C, of the tokens that CLIP's text transformer gives
    context_length: int = 77  # the longest text in tokens
    width: int = 2048  # of every token inside
    depth: int = 20  # blocks
    heads: int = 32  # of attention, a divisor of the width

    def __post_init__(self) -> None:
        check_sizes(self)
        check_heads(self.width, self.heads)


def tiny() -> PriorConfig:
    """A size for tests: 2 blocks, texts of at most 7 tokens.

    >>> Prior(tiny()).positions.shape
    torch.Size([11, 32])
    """
    return PriorConfig(24, 20, context_length=7, width=32, depth=2, heads=4)


def karlo() -> PriorConfig:
    """The prior of Karlo, an unCLIP with published weights: 1,022,028,544 parameters."""
    return PriorConfig()


def kandinsky_2_2() -> PriorConfig:
    """The prior of Kandinsky 2.2, over the larger CLIP ViT-bigG/14: 1,026,223,360 parameters."""
    return PriorConfig(embedding=1280, text_width=1280)


class Prior(nn.Module):
    """Predicts the clean embedding itself, not the noise in it (the paper's equation for L_prior).

    The order is causal, so only the query, which comes last, attends to all. Embeddings in and out
    are normalised: `normalise` before the noise is added, `restore` on what was drawn. Where the
    text is dropped, for guidance, the caller passes the empty text's tokens and embedding.

    >>> model, text = Prior(tiny()), torch.zeros(2, 5, 20)
    >>> model(torch.zeros(2, 24), torch.tensor([0, 999]), torch.zeros(2, 24), text).shape
    torch.Size([2, 24])
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.text = nn.Linear(config.text_width, width)
        self.text_embedding = nn.Linear(config.embedding, width)
        self.time = FeedForward(width, width, F.silu)
        self.noisy = nn.Linear(config.embedding, width)
        self.query = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(config.context_length + EXTRA, width) * 0.02)
        self.transformer = Transformer(
            TransformerBlock(width, config.heads, 4 * width) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.prediction = nn.Linear(width, config.embedding)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(config.embedding))
        self.register_buffer("deviation", torch.ones(config.embedding))

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        text_embedding: Tensor,
        text: Tensor,
        real: Tensor | None = None,
    ) -> Tensor:
        """noisy, text_embedding: (B, E); timesteps: (B,); text: (B, T, C). Returns (B, E).

        real: bool (B, T), True on real tokens; without it, all are.
        """
        check_conditions(self.config, noisy, timesteps, text_embedding, text, real)
        time = timestep_embedding(
            timesteps, self.config.width, noisy.dtype, flip_sin_to_cos=True, frequency_shift=0
        )  # (B, D)
        extra = torch.stack(
            [
                self.text_embedding(text_embedding),
                self.time(time),
                self.noisy(noisy),
                self.query.expand(noisy.shape[0], -1),
            ],
            dim=1,
        )  # (B, 4, D)
        length = text.shape[1]
        positions = torch.cat([self.positions[:length], self.positions[-EXTRA:]])  # (T + 4, D)
        x = torch.cat([self.text(text), extra], dim=1) + positions  # (B, T + 4, D)
        mask = causal_mask(length + EXTRA, device=x.device)
        if real is not None:
            mask = mask & padding_mask(F.pad(real, (0, EXTRA), value=True))  # (B, 1, T + 4, T + 4)
        x = self.transformer(x, mask=mask)  # (B, T + 4, D)
        return self.prediction(self.norm(x[:, -1]))  # (B, E)

    def normalise(self, embeddings: Tensor) -> Tensor:
        """CLIP's embeddings (B, E) with each number's mean 0 and deviation 1, about. Same shape."""
        return (embeddings - self.mean) / self.deviation  # (B, E)

    def restore(self, normalised: Tensor) -> Tensor:
        """The inverse of `normalise`: (B, E) of CLIP's own scale, which a decoder takes."""
        return normalised * self.deviation + self.mean  # (B, E)

    @torch.no_grad()
    def fit_normalisation(self, embeddings: Tensor) -> None:
        """Set mean and deviation of each number to those of embeddings (B, E) of real images."""
        self.mean.copy_(embeddings.mean(dim=0))
        # A number that never changes stays as it is: dividing by 0 would lose all others with it.
        self.deviation.copy_(embeddings.std(dim=0, correction=0).clamp(min=1e-6))


def prior_loss(
    prior: Prior,
    schedule: Schedule,
    image_embeddings: Tensor,
    *,
    empty: Mapping[str, Tensor] | None = None,
    dropout_probability: float = 0.1,
    generator: torch.Generator | None = None,
    **texts: Tensor,
) -> Tensor:
    """The mean squared error of the clean embeddings that the prior predicts of noisy ones: a scalar.

    image_embeddings: (B, E) as CLIP gives them. texts: what `Prior.forward` takes, by name. empty:
    the same of the empty text, (1, ...), which takes a text's place with `dropout_probability`.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> model, texts = Prior(tiny()), {"text_embedding": torch.ones(2, 24), "text": torch.ones(2, 5, 20)}
    >>> prior_loss(model, cosine_schedule(10), torch.ones(2, 24), **texts).shape
    torch.Size([])
    """
    x0 = prior.normalise(image_embeddings)  # (B, E)
    texts = prompt_dropout(texts, empty or {}, dropout_probability, generator)
    return diffusion_loss(prior, schedule, x0, target="x0", generator=generator, **texts)


@torch.no_grad()
def draw_embeddings(
    prior: Prior,
    schedule: Schedule,
    *,
    empty: Mapping[str, Tensor] | None = None,
    steps: int = 25,
    scale: float = 1.0,
    candidates: int = 2,
    clamp: float | None = 5.0,
    generator: Generators = None,
    **texts: Tensor,
) -> Tensor:
    """For each text the closest of some embeddings drawn by DDIM: (B, E), of CLIP's scale.

    texts, empty: see `prior_loss`; a scale of guidance other than 1 needs the empty text. clamp:
    how many deviations from the mean a number may lie. generator: one, or one for each text.
    Raises ValueError on candidates below 1, and on guidance without the empty text.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> model, texts = Prior(tiny()), {"text_embedding": torch.ones(2, 24), "text": torch.ones(2, 5, 20)}
    >>> draw_embeddings(model, cosine_schedule(10), steps=2, **texts).shape
    torch.Size([2, 24])
    """
    if empty is None and scale != 1:
        raise ValueError(f"a guidance scale of {scale} needs the empty text to guide away from")
    check_count("candidates", candidates, most=1000)
    model = guided(prior, empty or {}, scale)
    often = {name: value.repeat_interleave(candidates, dim=0) for name, value in texts.items()}
    like = texts["text_embedding"][:, None].expand(-1, candidates, -1)  # (B, M, E)
    noise = draw_noise(like, generator).flatten(0, 1)  # (B * M, E)
    timesteps = spaced_timesteps(len(schedule), steps)
    drawn = ddim_sample(model, schedule, noise, timesteps, target="x0", clamp=clamp, **often)
    found = prior.restore(drawn).unflatten(0, (-1, candidates))  # (B, M, E)
    return closest(found, texts["text_embedding"])  # (B, E)


def closest(candidates: Tensor, text_embedding: Tensor) -> Tensor:
    """Of several embeddings drawn for each text, the one whose product with the text's is largest.

    The paper draws two. candidates: (B, M, E), restored; text_embedding: (B, E). Returns (B, E).
    A candidate with a nan in it is taken only where there is no other; of equal ones the first is.

    >>> drawn = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> closest(drawn, torch.tensor([[0.1, 0.9]])).tolist()
    [[0.0, 1.0]]
    """
    wide = torch.promote_types(candidates.dtype, torch.float32)  # sums leave float16 soon
    scores = (candidates.to(wide) @ text_embedding[:, :, None].to(wide))[:, :, 0]  # (B, M)
    scores = scores.masked_fill(scores.isnan(), -torch.inf)
    return candidates[torch.arange(len(candidates)), scores.argmax(dim=1)]  # (B, E)


def check_conditions(
    config: PriorConfig,
    noisy: Tensor,
    timesteps: Tensor,
    text_embedding: Tensor,
    text: Tensor,
    real: Tensor | None,
) -> None:
    """ValueError on inputs of other sizes than the config's, or that do not belong to one batch.

    >>> embedding, text = torch.zeros(1, 24), torch.zeros(1, 8, 20)
    >>> check_conditions(tiny(), embedding, torch.zeros(1), embedding, text, None)
    Traceback (most recent call last):
    ValueError: the texts have 8 tokens, but this prior takes at most 7
    """
    if text.shape[1] > config.context_length:
        raise ValueError(
            f"the texts have {text.shape[1]} tokens, but this prior takes at most "
            f"{config.context_length}"
        )
    widths = {
        "noisy embeddings": (noisy.shape[-1], config.embedding),
        "text embeddings": (text_embedding.shape[-1], config.embedding),
        "text tokens": (text.shape[-1], config.text_width),
    }
    for what, (found, width) in widths.items():
        if found != width:
            raise ValueError(f"the {what} are {found} wide, but this prior takes {width}")
    for what, count in (
        ("timesteps", timesteps.numel()),
        ("text embeddings", text_embedding.shape[0]),
        ("texts", text.shape[0]),
    ):
        if count != noisy.shape[0]:
            raise ValueError(f"there are {count} {what} but {noisy.shape[0]} noisy embeddings")
    if real is not None and (real.shape != text.shape[:2] or real.dtype != torch.bool):
        raise ValueError(
            f"the mask of the texts is {tuple(real.shape)} of {real.dtype}, but they need "
            f"{tuple(text.shape[:2])} of torch.bool (True = real)"
        )
