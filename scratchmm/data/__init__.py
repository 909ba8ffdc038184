"""Training data: the generated world, real data sets, the user's own images."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "world.scenes": "Scene Thing sample_scene combinations split_combinations",
        "world.images": "draw draw_many",
        "world.captions": "describe wordings",
        "world.questions": "questions",
        "sets.pairs": "read_pairs check_pairs split_pairs load_images load_emoji",
        "sets.mnist": "load_mnist load_fashion_mnist",
        "sets.spoken_digits": "load_spoken_digits",
        "sets.any_images": "image_files images_of",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
