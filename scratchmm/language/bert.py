"""BERT: a bidirectional encoder, pretrained by masked language modelling.

Paper: BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding (Devlin et
al. 2018, arXiv 1810.04805), section 3 and figure 2: embeddings are sums of token, position and
type (which sentence of a pair), the blocks are those of the first transformer (post-norm).
Dimensions: B batch, T text tokens, D width, V vocabulary.
Differs from the paper:
- No dropout, and no next-sentence objective; its pooler is there.
- Each token is masked independently with probability `share`, as in transformers, not an exact
  share of each text; a random word is never a special token.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.language.words import BERTEmbeddings, MaskedWordHead, check_real
from scratchmm.layers.attention import check_heads, padding_mask
from scratchmm.layers.transformer import PostNormBlock, Transformer, activation_named
from scratchmm.sentences import check_sizes

NOT_ASKED = -100  # the target where nothing is predicted; cross_entropy ignores it


@dataclass(frozen=True)
class BERTConfig:
    """The sizes of a BERT: `depth` blocks over tokens of `width` numbers."""

    vocabulary: int = 30522  # tokens, V
    context_length: int = 512  # the longest text in tokens
    width: int = 768  # of every token
    depth: int = 12  # blocks
    heads: int = 12  # of attention, a divisor of the width
    hidden: int = 3072  # inside the feed-forward networks
    types: int = 2  # token types, one for each sentence of a pair
    epsilon: float = 1e-12  # of the layer norms
    activation: str = "gelu"  # of the feed-forward networks and of the masked-LM head

    def __post_init__(self) -> None:
        check_sizes(self)
        check_heads(self.width, self.heads)
        activation_named(self.activation)


def tiny() -> BERTConfig:
    """A size for tests: 99 tokens, 2 blocks.

    >>> tiny().vocabulary
    99
    """
    return BERTConfig(99, 20, width=32, depth=2, heads=4, hidden=37)


def bert_base() -> BERTConfig:
    """BERT-base: 109,482,240 parameters with the pooler."""
    return BERTConfig()


def bert_large() -> BERTConfig:
    """BERT-large: 335,141,888 parameters with the pooler."""
    return BERTConfig(width=1024, depth=24, heads=16, hidden=4096)


def minilm_l6() -> BERTConfig:
    """MiniLM of 6 blocks (all-MiniLM-L6), heads 32 wide: 22,713,216 parameters with the pooler."""
    return BERTConfig(width=384, depth=6, heads=12, hidden=1536)


def minilm_l12() -> BERTConfig:
    """MiniLM of 12 blocks (all-MiniLM-L12), heads 32 wide: 33,360,000 parameters with the pooler."""
    return BERTConfig(width=384, depth=12, heads=12, hidden=1536)


class BERTEncoder(nn.Module):
    """Embeddings and bidirectional blocks: a contextual vector for every token.

    >>> BERTEncoder(tiny())(torch.tensor([[5, 7, 9]])).shape
    torch.Size([1, 3, 32])
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.config = config
        width, epsilon = config.width, config.epsilon
        self.embeddings = BERTEmbeddings(
            config.vocabulary, width, config.context_length, config.types, epsilon
        )
        activation = activation_named(config.activation)
        self.transformer = Transformer(
            PostNormBlock(width, config.heads, config.hidden, activation, epsilon)
            for _ in range(config.depth)
        )

    def forward(
        self, tokens: Tensor, real: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """tokens: int64 (B, T); real: bool (B, T), False on padding; types: int64 (B, T).

        Returns (B, T, D).
        """
        x = self.embeddings(tokens, types)  # (B, T, D)
        mask = None if real is None else padding_mask(check_real(real, tokens))
        return self.transformer(x, mask=mask)  # (B, T, D)


class BERT(nn.Module):
    """BERT as published: the encoder, and a pooler of its first token.

    >>> model = BERT(tiny())
    >>> hidden = model(torch.tensor([[5, 7, 9]]))
    >>> hidden.shape, model.pool(hidden).shape
    (torch.Size([1, 3, 32]), torch.Size([1, 32]))
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = BERTEncoder(config)
        self.pooler = nn.Linear(config.width, config.width)

    def forward(
        self, tokens: Tensor, real: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """Arguments as `BERTEncoder`. Returns (B, T, D)."""
        return self.encoder(tokens, real, types)  # (B, T, D)

    def pool(self, hidden: Tensor) -> Tensor:
        """hidden: (B, T, D), what forward gave. Returns (B, D), each number in [-1, 1]."""
        return self.pooler(hidden[:, 0]).tanh()  # (B, D)


class BERTForMaskedLM(nn.Module):
    """BERT for masked language modelling: logits over the vocabulary at every token.

    >>> BERTForMaskedLM(tiny())(torch.tensor([[5, 7, 9]])).shape
    torch.Size([1, 3, 99])
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = BERTEncoder(config)
        activation = activation_named(config.activation)
        self.head = MaskedWordHead(config.width, config.vocabulary, config.epsilon, activation)

    def forward(
        self, tokens: Tensor, real: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """tokens: int64 (B, T); real: bool (B, T), False on padding; types: int64 (B, T).

        Returns logits (B, T, V).
        """
        x = self.encoder(tokens, real, types)  # (B, T, D)
        return self.head(x, self.encoder.embeddings.tokens.weight)  # (B, T, V)


def mask_tokens(
    tokens: Tensor,
    special: Collection[int],
    mask_token: int,
    vocabulary: int,
    generator: torch.Generator,
    share: float = 0.15,
) -> tuple[Tensor, Tensor]:
    """Mask tokens for a model to predict (section 3.1), each selected with probability `share`.

    Of those selected, 80 % become the mask token, 10 % a random word, 10 % stay as they are, so
    that the model must encode every word: which ones are selected does not show.

    tokens: int64 (B, T); special: ids that are neither selected nor drawn ([CLS], padding ...).
    Returns the masked tokens and the targets, both int64 (B, T): a target is the original token,
    and -100 where none was selected. Raises ValueError where share is not between 0 and 1.

    >>> tokens, randomness = torch.tensor([[1, 7, 8, 2]]), torch.Generator().manual_seed(0)
    >>> covered, targets = mask_tokens(tokens, {0, 1, 2, 3}, 3, 99, randomness, share=1.0)
    >>> targets.tolist()
    [[-100, 7, 8, -100]]
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of tokens to ask for is {share}, not between 0 and 1")
    ids = torch.tensor(sorted(special), dtype=torch.int64, device=tokens.device)
    words = torch.ones(vocabulary, dtype=torch.bool)
    words[ids.cpu()] = False
    words = words.nonzero()[:, 0].to(tokens.device)  # the ids that a random word is drawn from
    asked = _uniform(tokens, generator) < share  # (B, T)
    asked &= ~torch.isin(tokens, ids)
    fate = _uniform(tokens, generator)  # (B, T)
    drawn = torch.randint(
        len(words), tokens.shape, generator=generator, device=generator.device
    )  # (B, T)
    covered = torch.where(asked & (fate < 0.8), mask_token, tokens)  # (B, T)
    covered = torch.where(asked & (fate >= 0.9), words[drawn.to(tokens.device)], covered)  # (B, T)
    return covered, tokens.where(asked, NOT_ASKED)


def masked_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy over the selected tokens, in nats.

    logits: (B, T, V); targets: int64 (B, T), -100 where none is selected. Where none is selected at
    all the loss is 0 with a gradient of 0, not 0/0. Raises ValueError on targets of another shape.

    >>> masked_loss(torch.zeros(1, 2, 8), torch.tensor([[3, -100]])).exp().round().item()
    8.0
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"the logits are for {tuple(logits.shape[:-1])} tokens, but the targets are "
            f"{tuple(targets.shape)}"
        )
    loss = F.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), ignore_index=NOT_ASKED, reduction="sum"
    )
    return loss / (targets != NOT_ASKED).sum().clamp(min=1)


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, device=generator.device).to(like.device)
