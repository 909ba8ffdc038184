"""What packages offer: every name imports, from the file that its package says, and only then."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import scratchmm
from scratchmm.lazily import homes_of

PACKAGES = ["scratchmm"] + [
    f"scratchmm.{name}"
    for name in (
        "layers vision language audio video contrastive fusion diffusion metrics data checkpoints"
        " training"
    ).split()
]
NAMES = [
    (package, name) for package in PACKAGES for name in importlib.import_module(package).__all__
]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_exported_name_imports(package: str, name: str) -> None:
    module = importlib.import_module(package)
    found = getattr(module, name)
    assert found.__module__ == f"{package}.{module._HOMES[name]}", "it lives where it is said to"
    assert found.__name__ == name and found.__doc__
    assert name in dir(module)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_is_that_of_a_module(package: str) -> None:
    """Once imported, the module would take the name's place."""
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    assert not set(module.__all__) & {found.name for found in pkgutil.iter_modules(module.__path__)}
    with pytest.raises(AttributeError, match=f"^module '{package}' has no attribute 'ViTT'$"):
        _ = module.ViTT
    with pytest.raises(ImportError, match="cannot import name 'ViTT'"):
        exec(f"from {package} import ViTT")


def test_the_help_names_what_is_offered() -> None:
    for name in ("ViTClassifier", "CLIP", "UNet", "BERT", "AudioCNN", "load_trained"):
        assert name in (scratchmm.__doc__ or "")
    told = set((scratchmm.__doc__ or "").replace(",", " ").split())
    assert {n for n in scratchmm.__all__ if not n.endswith("Config")} - told <= {"images_of"}


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, scratchmm, scratchmm.vision, scratchmm.training, scratchmm.diffusion\n"
        "print('torch' in sys.modules, 'scratchmm.vision.vit' in sys.modules)\n"
        "from scratchmm.vision import ViTClassifier\n"
        "print('scratchmm.vision.vit' in sys.modules, 'scratchmm.vision.resnet' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True", "False"]


def test_homes_name_the_module_of_each() -> None:
    assert homes_of({"a": "x y", "b": "z"}) == {"x": "a", "y": "a", "z": "b"}


ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("scratchmm/**/*.py"), *ROOT.glob("tutorials/*.py")])


def test_the_library_and_its_lessons_import_from_the_files_themselves() -> None:
    """A reader sees where a thing is, and the code that a result depends on is found by imports."""
    offered = {f"{package}.{name}" for package, name in NAMES}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                assert not names & offered, f"{path.name}:{node.lineno}"
