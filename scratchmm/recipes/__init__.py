"""Recipes: one file a system, to be read from top to bottom: data, model, loss, fit, figures, saving.

Each has the same names: SETTINGS (sizes, steps, rate, the figure expected and the minutes it takes),
`data`, `build`, `loss`, `train`, `save` and `load`. `python -m scratchmm train` lists and runs them;
a lesson shows them; `artifact.load_trained(folder)` gives back whatever any of them has trained.
"""

import importlib
from types import ModuleType

RECIPES = {
    "clip": "images and sentences in one space: a CLIP of the world, a real set or your own pairs",
    "vit": "names images: a Vision Transformer on the world or a real set",
    "grid_classifier": "classifies each cell of an image: the features that a VQA attends to",
    "vqa": "answers questions about images, from the grid classifier's features",
    "attribute_classifier": "names shape, colour, size and texture: evaluates generated images",
    "text_to_image": "draws images of the world from sentences: latent diffusion",
    "controlnet": "conditions a text-to-image model on outlines, depth or poses",
    "unclip": "draws from CLIP embeddings: a CLIP, a prior and a decoder",
}


def recipe(name: str) -> ModuleType:
    """The module of a recipe. Raises ValueError on a name that is none.

    >>> recipe("clip").SETTINGS.steps
    1600
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}: the recipes are {', '.join(RECIPES)}")
    return importlib.import_module(f"{__name__}.{name}")
