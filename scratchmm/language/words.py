"""Words into vectors, and vectors into words: what BERT and the models built on it share.

Paper: BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding (Devlin et
al. 2018, arXiv 1810.04805), figure 2 and section 3.1.
Dimensions: B batch, T text tokens, D width, V vocabulary.
Differs from the paper: no dropout.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.embeddings import check_tokens
from scratchmm.layers.tracing import numbers_are_known
from scratchmm.layers.transformer import Activation


class BERTEmbeddings(nn.Module):
    """Figure 2: the sum of a token's, its position's and its type's vector, then a layer norm.

    >>> layer = BERTEmbeddings(vocabulary=99, width=8, context_length=20)
    >>> layer(torch.tensor([[5, 7, 9]]), types=torch.tensor([[0, 0, 1]])).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        context_length: int,
        types: int = 2,
        epsilon: float = 1e-12,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(context_length, width))
        self.types = nn.Embedding(types, width)
        for table in (self.tokens.weight, self.positions, self.types.weight):
            nn.init.normal_(table, std=0.02)
        self.norm = nn.LayerNorm(width, eps=epsilon)

    def forward(self, tokens: Tensor, types: Tensor | None = None) -> Tensor:
        """tokens: int64 (B, T); types: int64 (B, T), or all 0. Returns (B, T, D)."""
        length, most = tokens.shape[1], len(self.positions)
        check_tokens(tokens, self.tokens.num_embeddings)
        if length > most:
            raise ValueError(f"{length} tokens do not fit a context of {most}")
        types = torch.zeros_like(tokens) if types is None else types  # (B, T)
        check_types(types, tokens, self.types.num_embeddings)
        x = self.tokens(tokens) + self.types(types)  # (B, T, D)
        return self.norm(x + self.positions[:length])  # (B, T, D)


class MaskedWordHead(nn.Module):
    """Predicts masked words: a dense layer, then the product with each word's embedding.

    The embeddings are tied: the table of the input embeddings is the output layer, so it is handed in.
    activation: behind the dense layer, the one of the transformer below.

    >>> head = MaskedWordHead(width=8, vocabulary=99)
    >>> head(torch.zeros(1, 3, 8), torch.zeros(99, 8)).shape
    torch.Size([1, 3, 99])
    """

    def __init__(
        self,
        width: int,
        vocabulary: int,
        epsilon: float = 1e-12,
        activation: Activation = F.gelu,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """x: (B, T, D); words: (V, D), the embedding of every token. Returns logits (B, T, V)."""
        x = self.norm(self.activation(self.dense(x)))  # (B, T, D)
        return F.linear(x, words, self.bias)  # (B, T, V)


def check_types(types: Tensor, tokens: Tensor, known: int) -> None:
    """Refuse types that are not as many as the tokens, or that the model does not have."""
    if types.shape != tokens.shape:
        raise ValueError(f"the types are {tuple(types.shape)}, the tokens {tuple(tokens.shape)}")
    if not numbers_are_known(types):
        return
    if ((types < 0) | (types >= known)).any():
        outside = types.min() if types.min() < 0 else types.max()
        raise ValueError(f"type {int(outside)} is outside the {known} types of this model")


def check_real(real: Tensor, tokens: Tensor) -> Tensor:
    """Return a padding mask that fits its tokens, or refuse it in a sentence."""
    if real.shape != tokens.shape:
        raise ValueError(f"the mask is {tuple(real.shape)}, the tokens {tuple(tokens.shape)}")
    if real.dtype != torch.bool:
        raise ValueError(f"the mask of the text is {real.dtype}, not torch.bool (True = a token)")
    return real
