"""Bricks that every model is built of, each of them once."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "attention": "attend MultiHeadAttention causal_mask padding_mask watch_attention"
        " attention_backend KeyValueCache",
        "transformer": "FeedForward SwiGLU TransformerBlock PostNormBlock CrossAttentionBlock"
        " PostNormCrossAttentionBlock Transformer",
        "embeddings": "sinusoidal_positions",
        "boxes": "TubeletEmbedding SpectrogramPatchEmbedding",
        "convolution": "NormedConvolution ResidualBlock BottleneckBlock",
        "lstm": "LSTMCell LSTM",
        "rotary": "RotaryPositions",
        "norms": "RMSNorm",
        "vectors": "unit_vectors cosine",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
