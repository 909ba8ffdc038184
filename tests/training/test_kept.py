"""What a finished model was made by: other code, other settings, none said; taken or trained anew."""

import pytest

from scratchmm.training import kept
from scratchmm.training.checkpoint import load_checkpoint, save_checkpoint
from scratchmm.training.kept import MADE_BY, made_by, made_otherwise, reopened

NOW = {"code": "a", "recipe": {"steps": 3, "seed": 0}}


@pytest.mark.parametrize(
    ("was", "said"),
    [
        (NOW, ""),
        ({"code": "a", "recipe": None}, ""),
        ({"code": "b", "recipe": None}, "was trained by other code than there is now"),
        ({"code": "b", "recipe": {"steps": 3, "seed": 0}}, "was trained by other code"),
        ({"code": "a", "recipe": {"steps": 3, "seed": 1}}, "was trained with seed=1 and not 0"),
        ({"code": "a", "recipe": {"steps": 3}}, "was trained with seed=None and not 0"),
        ({"code": "a", "recipe": NOW["recipe"] | {"pairs": 0.5}}, "with pairs=0.5 and not None"),
        (None, "does not say which code has trained it"),
        ("a", "does not say which code has trained it"),
        ({}, "was trained by other code"),
    ],
)
def test_what_differs_is_said_and_nothing_where_nothing_does(was, said):
    told = made_otherwise(was, NOW)
    assert said in told and bool(said) == bool(told)
    if isinstance(was, dict) and was.get("code") == "a":  # settings that are not known
        assert made_otherwise(was, NOW | {"recipe": None}) == ""


def test_the_code_is_that_of_the_module_and_all_that_it_imports(monkeypatch):
    seen = []
    monkeypatch.setattr(kept, "code_hash", lambda file, root: seen.append((file, root)) or "hash")
    kept._code_of.cache_clear()
    assert made_by("scratchmm.training.small_control", {"a": 1}) == {
        "code": "hash",
        "recipe": {"a": 1},
    }
    monkeypatch.undo()
    kept._code_of.cache_clear()
    (file, root) = seen[0]
    assert (
        file.relative_to(root).as_posix() == "scratchmm/training/small_control.py" and file.exists()
    )
    codes = {made_by(f"scratchmm.training.{name}", None)["code"] for name in ("fit", "sampling")}
    assert len(codes) == 2 and all(codes)


def keep(path, made):
    save_checkpoint(path, {"weight": 7} | ({} if made is None else {MADE_BY: made}))
    return path


def weight(path):
    return load_checkpoint(path)["weight"]


def test_where_nothing_is_kept_there_is_nothing_to_say(tmp_path):
    assert reopened(tmp_path / "a.pt", NOW, lambda path: 1 / 0, say=lambda text: 1 / 0) is None


def test_what_this_recipe_has_made_is_taken_without_a_word(tmp_path):
    path = keep(tmp_path / "a.pt", NOW)
    assert reopened(path, NOW, weight, say=lambda text: 1 / 0) == 7


@pytest.mark.parametrize("was", [None, NOW | {"code": "b"}, NOW | {"recipe": {"steps": 4}}])
def test_what_another_has_made_is_removed_with_its_checkpoints_or_taken_with_a_word(tmp_path, was):
    path, said = keep(tmp_path / "a.pt", was), []
    half = [tmp_path / name for name in ("one.pt", "two.pt")]
    half[0].touch()
    options = {"checkpoints": half, "say": said.append}
    assert reopened(path, NOW, weight, exact=False, **options) == 7 and half[0].exists()
    assert reopened(path, NOW, weight, **options) is None
    assert not [*tmp_path.iterdir()]
    why = f"{path} {made_otherwise(was, NOW)}: "
    ends = ["it is used as it is, and --fresh trains it anew.", "it is trained anew."]
    assert said == [why + end for end in ends]


def refuse(path):
    raise ValueError("no such model")


def test_a_file_that_is_no_such_model_is_not_removed(tmp_path):
    path = keep(tmp_path / "a.pt", None)
    for exact in (True, False):
        with pytest.raises(ValueError, match="no such model"):
            reopened(path, NOW, refuse, exact=exact)
    assert path.exists()
    keep(path, NOW | {"code": "b"})  # one of its own, of which the sizes have changed since
    assert reopened(path, NOW, refuse) is None
