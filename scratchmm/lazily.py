"""Lazy exports: names that a package imports only when they are accessed (PEP 562).

`from scratchmm.vision import ViTClassifier` works, `import scratchmm` stays light, and no package
imports another by being imported.
"""

import importlib
from collections.abc import Mapping
from typing import Any


def homes_of(names: Mapping[str, str]) -> dict[str, str]:
    """From {module: "one two"} to {"one": module, "two": module}.

    >>> homes_of({"vit": "ViTConfig ViTClassifier"})
    {'ViTConfig': 'vit', 'ViTClassifier': 'vit'}
    """
    return {name: module for module, several in names.items() for name in several.split()}


def find(package: str, homes: Mapping[str, str], name: str) -> Any:
    """The object that the package exports under this name, from the module that defines it.

    Raises AttributeError, as Python does, on any other name.

    >>> find("scratchmm.vision", {"ViTConfig": "vit"}, "ViTConfig").__module__
    'scratchmm.vision.vit'
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
