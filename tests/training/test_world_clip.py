"""The lessons' CLIP: trained once, taken from where it is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from scratchmm.commands.train import RECIPES
from scratchmm.training import small_clip, world_clip
from scratchmm.training.checkpoint import load_checkpoint, save_checkpoint
from scratchmm.training.kept import MADE_BY
from scratchmm.training.world_clip import open_clip


def test_it_is_trained_once_and_taken_from_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with torch.no_grad():  # a lesson may have switched gradients off
        trained = open_clip([second], scenes=140, steps=2)
    monkeypatch.setattr(world_clip, "fit", None)
    again = open_clip([first, second], scenes=140, steps=2)
    assert not first.exists()
    texts = ["a red star"]
    assert_close(again.embed_texts(texts), trained.embed_texts(texts))


def test_one_of_other_code_or_another_recipe_is_passed_over(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    sizes = {"scenes": 140, "steps": 2}
    trained = open_clip([first], **sizes)
    state = load_checkpoint(first / "model.pt")
    state[MADE_BY]["code"] = "another"
    shutil.copytree(first, second)
    save_checkpoint(second / "model.pt", state)
    said: list[str] = []
    for places, options, lines in (
        ([first, second], sizes, [f"Taking the CLIP in {first}."]),
        ([second, first], sizes, ["other code than there is now", f"Taking the CLIP in {first}."]),
        ([first], sizes | {"steps": 3}, ["steps=2 and not 3: it is not taken", "Training a CLIP"]),
        ([first], sizes | {"scenes": 150, "steps": 3}, ["scenes=140 and not 150", "Training"]),
        ([second], sizes, ["Training a CLIP, 2 steps"]),  # the other code's was removed
    ):
        said.clear()
        clip = open_clip(places, say=said.append, **options)
        assert len(said) == len(lines) and all(a in b for a, b in zip(lines, said)), said
    assert_close(clip.model.state_dict(), trained.model.state_dict(), rtol=0, atol=0)
    small_clip.save(clip, first)  # by whoever trained it, with the code of today
    assert open_clip([first], say=said.append).model.config == clip.model.config
    assert said[-1] == f"Taking the CLIP in {first}."


def test_it_is_trained_as_it_is_asked_to_and_as_train_clip_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    asked: dict[str, object] = {}

    def fit(model: object, batch_at: Callable, loss: object, **options: object) -> None:
        asked.update(options, batch=len(batch_at(0)[0]), gradients=torch.is_grad_enabled())

    monkeypatch.setattr(world_clip, "fit", fit)
    options = {"steps": 7, "seed": 3, "progress": True, "say": said.append}
    with torch.no_grad():
        clip = open_clip([tmp_path / "new", tmp_path], scenes=140, **options)
    recipe = RECIPES["clip", "world"]  # lesson 05's
    wanted = {"learning_rate": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    wanted |= {"batch": recipe.batch, "folder": tmp_path / "new", "gradients": True}
    wanted |= {"settings": {"scenes": 140}}
    wanted |= {"steps": 7, "seed": 3, "progress": True, "log": said.append}
    assert asked == wanted
    assert said == ["Training a CLIP, 7 steps ..."] and not clip.model.training
