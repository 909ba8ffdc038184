"""No brick lies about: what layers/ offers, some model is built of, or it is named as waiting."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "scratchmm"
LAYERS = PACKAGE / "layers"
MODELS = "vision language audio video contrastive fusion lmm diffusion speech audiovisual".split()
# Each with the model that it waits for. The list may only shrink: a brick whose model has come is
# taken off it, and a new brick comes with its model.
AWAITING_A_MODEL = {
    "RMSNorm": "Llama",
    "RotaryPositions": "Llama",
    "SwiGLU": "Llama",
    "PostNormCrossAttentionBlock": "BLIP's text, which is BERT that looks at an image",
    "TubeletEmbedding": "a transformer of clips",
    "SpectrogramPatchEmbedding": "a transformer of spectrograms",
}
# What is used on models and not in them: lessons, tests and benchmarks look into them by it.
TOOLS = {"watch_attention", "attention_backend", "hidden_states"}


def definitions(path: Path) -> dict[str, ast.AST]:
    """The classes and functions of a file by name."""
    return {
        node.name: node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }


def names(tree: ast.AST) -> set[str]:
    """What code mentions; what it only imports is not used by it."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


def in_use(offered: dict[str, set[str]], used: set[str]) -> set[str]:
    """The bricks that are mentioned, and those that these are made of, and so on."""
    found: set[str] = set()
    while found < (now := found | {n for n in offered if n in used}):
        found = now
        used = used | set().union(*(offered[name] for name in found))
    return found


def test_every_brick_is_used_by_a_model_or_waits_for_one_by_name() -> None:
    offered, whole = {}, set()
    for path in sorted(LAYERS.glob("*.py")):
        for name, node in definitions(path).items():
            offered[name] = names(node) - {name}
        # What stands outside of definitions, such as a table of activations, is used with its file.
        tree = ast.parse(path.read_text(encoding="utf-8"))
        whole |= {n for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr)
                  for n in names(node)}  # fmt: skip
    files = [path for room in MODELS for path in (PACKAGE / room).rglob("*.py")]
    assert len(files) > 40 and len(offered) > 40
    used = whole.union(*(names(ast.parse(path.read_text(encoding="utf-8"))) for path in files))
    idle = set(offered) - in_use(offered, used) - TOOLS
    # A brick is public, and what only checks is none.
    assert {n for n in idle if not n.startswith(("_", "check_"))} == set(AWAITING_A_MODEL)


def test_what_is_used_only_by_what_is_idle_is_idle() -> None:
    offered = {"A": {"B"}, "B": {"C"}, "C": set(), "D": {"E"}, "E": set()}
    assert in_use(offered, {"A", "x"}) == {"A", "B", "C"}
    assert in_use(offered, {"E"}) == {"E"}
