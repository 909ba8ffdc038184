"""What is learned from: the generated world, real sets, the user's own pictures."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "world": "Scene Thing sample_scene combinations split_combinations",
        "drawing": "draw draw_many",
        "wording": "describe wordings questions",
        "pairs": "read_pairs check_pairs split_pairs load_pictures load_emoji",
        "idx": "load_mnist load_fashion_mnist",
        "spoken_digits": "load_spoken_digits",
        "any_pictures": "picture_files pictures_of",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
