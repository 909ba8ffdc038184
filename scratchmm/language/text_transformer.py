"""CLIP's text transformer: causal, and the text's vector is taken at its end token.

Paper: Learning Transferable Visual Models From Natural Language Supervision (Radford et al. 2021,
arXiv 2103.00020), section 2.4: a GPT-2-like transformer (pre-norm, causal); the activations at the
end token stand for the text.
Dimensions: B batch, T text tokens, D width, V vocabulary.
Differs from the paper: nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scratchmm.layers.attention import KeyValueCache, causal_mask, check_heads
from scratchmm.layers.embeddings import check_tokens
from scratchmm.layers.tracing import left_to_the_gpu, numbers_are_known
from scratchmm.layers.transformer import Transformer, TransformerBlock, activation_named
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class TextConfig:
    """The sizes of a text transformer: `depth` blocks over tokens of `width` numbers."""

    vocabulary: int = 49408  # tokens, V
    context_length: int = 77  # the longest text in tokens
    width: int = 512  # of every token
    depth: int = 12  # blocks
    heads: int = 8  # of attention, a divisor of the width
    hidden: int = 2048  # inside the feed-forward networks
    end_token: int = 49407  # where the text is pooled
    epsilon: float = 1e-5  # of the layer norms
    # Of the feed-forward networks: OpenAI's is "quick_gelu", LAION's "gelu".
    activation: str = "quick_gelu"

    def __post_init__(self) -> None:
        check_sizes(self, zero=("end_token",))
        check_heads(self.width, self.heads)
        activation_named(self.activation)
        if not 0 <= self.end_token < self.vocabulary:
            raise ValueError(
                f"end token {self.end_token} is outside the vocabulary of {self.vocabulary}"
            )


def tiny() -> TextConfig:
    """A size for tests: 99 tokens, 2 blocks.

    >>> tiny().end_token
    98
    """
    return TextConfig(99, 20, width=32, depth=2, heads=4, hidden=37, end_token=98)


class TextTransformer(nn.Module):
    """Token and position embeddings, causal pre-norm blocks, a last norm.

    >>> TextTransformer(tiny())(torch.tensor([[97, 5, 98]])).shape
    torch.Size([1, 3, 32])
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Parameter(torch.empty(config.context_length, config.width))
        # The published initial scales: small, so that no token dominates the others at first.
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        activation = activation_named(config.activation)
        self.transformer = Transformer(
            TransformerBlock(config.width, config.heads, config.hidden, activation, config.epsilon)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=config.epsilon)

    def forward(self, tokens: Tensor, caches: list[KeyValueCache] | None = None) -> Tensor:
        """tokens: int64 (B, T); caches: from `transformer.new_caches()`. Returns (B, T, D).

        Padding needs no mask: it is on the right, where causal attention never reaches.
        """
        past = len(caches[0]) if caches else 0
        length = tokens.shape[1]
        check_tokens(tokens, self.config.vocabulary)
        if past + length > self.config.context_length:
            raise ValueError(
                f"{past + length} tokens do not fit a context of {self.config.context_length}"
            )
        x = self.tokens(tokens)  # (B, T, D)
        x = x + self.positions[past : past + length]  # (B, T, D)
        mask = causal_mask(length, past, device=x.device)
        x = self.transformer(x, mask=mask, caches=caches)  # (B, T, D)
        return self.norm(x)  # (B, T, D)


def pool_at_end(hidden: Tensor, tokens: Tensor, end_token: int) -> Tensor:
    """The vector at each text's first end token, the only one that attends to the whole text.

    hidden: (B, T, D); tokens: int64 (B, T). Returns (B, D). A text without an end token is refused.

    >>> hidden = torch.arange(4.0).view(1, 4, 1)
    >>> pool_at_end(hidden, torch.tensor([[7, 3, 9, 9]]), end_token=9).tolist()
    [[2.0]]
    """
    ends = tokens == end_token
    check_ends(ends, end_token)
    first = ends.int().argmax(dim=1)  # (B,)
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), first]  # (B, D)


def check_ends(ends: Tensor, end_token: int) -> None:
    """Refuse a text without an end token. ends: bool (B, T), True at end tokens.

    >>> check_ends(torch.tensor([[False, True], [False, False]]), end_token=9)
    Traceback (most recent call last):
    ValueError: text 1 has no end token 9 among its 2
    """
    if not numbers_are_known(ends):
        return
    endless = ~ends.any(dim=1)  # (B,)
    on_gpu = left_to_the_gpu(endless, f"a text has no end token {end_token}")
    if not on_gpu and endless.any():
        row = int(endless.nonzero()[0])
        raise ValueError(f"text {row} has no end token {end_token} among its {ends.shape[1]}")
