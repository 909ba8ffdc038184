"""From words to features: tokenizers, CLIP's text transformer, BERT."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "bpe": "BytePairEncoding",
        "wordpiece": "WordPiece",
        "text_transformer": "TextConfig TextTransformer",
        "bert": "BERTConfig BERT BERTForMaskedLM mask_tokens masked_loss",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
