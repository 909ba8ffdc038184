"""The one format: round trips of every recipe, what is refused, what is trained anew."""

import functools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import scratchmm
from scratchmm.recipes import (
    RECIPES,
    artifact,
    attribute_classifier,
    clip,
    controlnet,
    recipe,
    text_to_image,
    unclip,
    vit,
    vqa,
)
from scratchmm.recipes import grid_classifier as grid
from scratchmm.recipes.artifact import MADE_BY, load_or_train, load_trained, made_by, made_otherwise
from scratchmm.training.checkpoint import load_checkpoint, save_checkpoint
from scratchmm.training.fingerprint import fingerprint

TINY: dict[str, Any] = {
    "clip": replace(clip.SETTINGS, images=40, width=16, depth=1, steps=2, batch=8),
    "vit": replace(vit.SETTINGS, images=40, width=16, depth=1, steps=2, batch=8),
    "grid_classifier": replace(grid.SETTINGS, scenes=12, steps=2, batch=4),
    "vqa": replace(vqa.SETTINGS, scenes=30, tests=20, grid_steps=1, steps=2, batch=8),
    "attribute_classifier": replace(
        attribute_classifier.SETTINGS, size=16, scenes=40, steps=2, batch=8
    ),
}
TINY["text_to_image"] = replace(
    text_to_image.SETTINGS, scenes=40, autoencoder_steps=1, text_steps=1, steps=2, batch=8
)
TINY["controlnet"] = replace(controlnet.SETTINGS, scenes=20, steps=2, batch=8)
TINY["unclip"] = replace(
    unclip.SETTINGS, scenes=40, clip=TINY["clip"], prior_steps=1, steps=2, batch=8
)
NOW = {"code": "a", "recipe": {"steps": 3, "seed": 0}}


@functools.cache
def given(name: str) -> dict[str, Any]:
    """What a recipe is trained on top of."""
    generator = text_to_image.untrained()
    given = {"controlnet": {"generator": generator}, "unclip": {"space": generator.model.space}}
    return given.get(name, {})


@functools.cache
def known(name: str) -> dict[str, Any]:
    """The fingerprints of what a recipe is trained on top of."""
    names = {"generator": "generator", "space": "autoencoder"}
    parts = {names[key]: getattr(part, "model", part) for key, part in given(name).items()}
    return {key: fingerprint(part) for key, part in parts.items()}


def to_train(name: str, seed: int) -> list[tuple[Callable[..., Any], nn.Module, Any]]:
    """The loss, the model and a batch of each training of a recipe."""
    module, settings = recipe(name), TINY[name]
    if name == "text_to_image":
        data = module.data(settings, seed=1)
        model = module.build(settings, data, seed=seed)
        space, latents = model.model.space, torch.randn(40, 16, 4, 4)
        encoder, shown = model.model.text_encoder, space.fold(data.images[:4])
        tokens, real = model.tokens(data.texts[:8])
        batch = module.batches(settings, model, latents, data.texts)(0)
        mean = module.MeanLatents(encoder, 64, 256)
        return [
            (module.autoencoder_loss, space.autoencoder, shown),
            (module.text_loss, mean, (latents[:8], tokens, real)),
            (module.loss, module.Denoiser(model.model.unet, encoder), batch),
        ]
    data = module.data(settings, seed=1)
    if name == "controlnet":
        control = module.build(settings, text_to_image.untrained(seed), seed=seed)
        batch = module.batches(settings, control, data, seed=1)(0)
        return [(module.loss, module.ControlledDenoiser(control), batch)]
    if name == "unclip":
        trained = clip.build(TINY["clip"], clip.data(TINY["clip"]), seed=1)
        both = module.build(settings, trained, given(name)["space"], seed=seed)
        one, other = module.prior_batches(both, data)(0), module.batches(settings, both, data)(0)
        decoder = module.DecoderWithDropout(both.decoder)
        return [(module.prior_loss, both.prior, one), (module.loss, decoder, other)]
    built = module.build(settings, data, seed=seed)
    args = (settings, built, data) if name in ("clip", "vit") else (settings, data)
    return [(module.loss, getattr(built, "model", built), module.batches(*args, seed=1)(0))]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model of a recipe, trained once for all tests."""
    place = tmp_path_factory.mktemp("kept")

    def folder(name: str) -> Path:
        if not (place / name).exists():
            recipe(name).train(TINY[name], seed=3, folder=place / name, **given(name))
        return place / name

    return folder


def outputs(trained: Any) -> Any:
    """What a model says of some images: equal for equal models."""
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        if isinstance(trained, clip.TrainedCLIP):
            return trained.embed_images(images), trained.embed_texts("a red star")
        if isinstance(trained, vit.TrainedViT):
            return trained.classify(images)
        if isinstance(trained, vqa.TrainedVQA):
            assert trained.answer(images, ["is there a red star?"] * 3)
            return trained.model.state_dict(), trained.grid_classifier.features(images)
        if isinstance(trained, text_to_image.TrainedTextToImage):
            return trained.draw(["a red star"], seeds=[1], steps=2)
        if isinstance(trained, controlnet.TrainedControl):
            return trained.draw(["a red star"], images[:1, :1], seeds=[1], steps=2)
        if isinstance(trained, unclip.TrainedUnCLIP):
            embeddings = trained.imagine(["a red star"], steps=2)
            return trained.show(embeddings, trained.decoder.noise([1]), steps=2)
        small = images[..., :16, :16] if isinstance(trained, nn.Module) else images
        return trained.features(small)


def test_every_recipe_has_the_names_and_is_tried_here() -> None:
    assert set(TINY) == set(RECIPES)
    for name in RECIPES:
        module = recipe(name)
        for part in ("SETTINGS", "data", "build", "batches", "loss", "train", "figures", "save"):
            assert hasattr(module, part), (name, part)
        settings = module.SETTINGS
        assert settings.steps and settings.minutes and settings.figure and settings.expected
    with pytest.raises(ValueError, match="no recipe 'bert': the recipes are clip, vit"):
        recipe("bert")


@pytest.mark.parametrize("name", TINY)
def test_what_is_trained_comes_back_and_is_not_trained_again(
    name: str, kept: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, module = kept(name), recipe(name)
    again = module.load(folder)
    assert type(load_trained(folder)) is type(again)
    assert not getattr(again, "model", again).training
    assert_close(outputs(scratchmm.load_trained(folder)), outputs(again), rtol=0, atol=0)
    found = artifact.read(folder)
    assert found.recipe == name and found.made_by["recipe"]["seed"] == 3
    monkeypatch.setattr(module, "fit", None)
    options = {"knows": known(name), "log": lambda text: 1 / 0}
    taken = load_or_train(folder, module, TINY[name], seed=3, **options)
    assert_close(outputs(taken), outputs(again), rtol=0, atol=0)


@torch.no_grad()
def stirred(model: nn.Module) -> None:
    """What starts at zero, such as the last layer of a UNet, would hide all before it."""
    for parameter in model.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.1)


class Wrapped(nn.Module):
    """A model inside of another, which counts its calls."""

    calls = 0

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = model

    def forward(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self.inner(*args, **options)


@pytest.mark.parametrize("name", TINY)
def test_each_loss_is_of_the_model_that_it_is_given(name: str) -> None:
    """Not of one that it holds: compiled or wrapped, a model must be trained through its wrapper."""
    for (loss, model, batch), (_, other, _) in zip(to_train(name, 1), to_train(name, 2)):
        for part in (model, other):
            stirred(part)
        wrapped = Wrapped(model.train())
        torch.manual_seed(0)
        value = loss(wrapped, batch)
        value.backward()
        assert wrapped.calls == 1
        assert any(p.grad is not None and p.grad.any() for p in wrapped.parameters())
        # Another model gives another loss, wherever the first one is still around.
        torch.manual_seed(0)
        assert loss(other.train(), batch) != value


@pytest.mark.parametrize("name", ["clip", "attribute_classifier"])
def test_a_compiled_model_is_trained_through_its_wrapper(name: str) -> None:
    module, settings, ran = recipe(name), TINY[name], []
    data = module.data(settings, seed=1)
    trained = module.build(settings, data, seed=1)
    given = (settings, trained, data) if name == "clip" else (settings, data)
    batch = module.batches(*given, seed=1)(0)
    model = getattr(trained, "model", trained)

    def backend(graph: Any, inputs: Any) -> Any:
        ran.append(graph)
        return graph.forward

    compiled = torch.compile(model, backend=backend)
    assert_close(module.loss(compiled, batch), module.loss(model, batch))
    assert ran, "the loss went round the compiled model"


def test_a_killed_training_goes_on_and_ends_in_the_same_weights(tmp_path: Path) -> None:
    settings = replace(TINY["attribute_classifier"], steps=6)
    straight = attribute_classifier.train(settings, folder=tmp_path / "straight")
    real, calls = attribute_classifier.loss, []

    def stopping(model: nn.Module, batch: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(model, batch)

    folder = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attribute_classifier, "loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            attribute_classifier.train(settings, folder=folder, save_every=2)
        assert not (folder / "model.pt").exists()
        resumed = attribute_classifier.train(settings, folder=folder, save_every=2)
    assert len(calls) == 5 + 2
    assert_close(resumed.state_dict(), straight.state_dict(), rtol=0, atol=0)


# Refused


def test_a_folder_without_a_model_says_so_and_names_an_old_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no trained model: it has no model.pt$"):
        load_trained(tmp_path)
    for name in (
        "config.json",
        "generator.pt",
        "judge.pt",
        "grid_classifier.pt",
        "control_edges.pt",
    ):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        save_checkpoint(folder / name, {"model": {}})
        with pytest.raises(FileNotFoundError, match=f"{name} is of an older version, and has to"):
            load_trained(folder)


def test_models_that_older_versions_saved_are_refused(tmp_path: Path) -> None:
    """As small_clip.save and small_vit.save wrote them: model.pt with the bare weights."""
    model = clip.build(TINY["clip"], clip.data(TINY["clip"])).model
    state = {"model": model.state_dict(), "mean": torch.zeros(3, 1, 1)}
    save_checkpoint(tmp_path / "model.pt", {**state, "deviation": torch.ones(3, 1, 1)})
    (tmp_path / "config.json").write_text("{}")
    for read in (load_trained, clip.load, vit.load):
        with pytest.raises(ValueError, match="is no trained model of this version of the library"):
            read(tmp_path)
    with pytest.raises(ValueError, match="is no trained model of this version"):
        load_or_train(tmp_path, clip, TINY["clip"])
    assert (tmp_path / "model.pt").exists()  # it may be anything: it is not removed


def test_foreign_truncated_and_later_files_are_refused(
    kept: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = (kept("clip") / "model.pt").read_bytes()
    path = tmp_path / "model.pt"
    for content, sentence in (
        (b"", "is empty"),
        (whole[:-200], "is cut off or damaged"),
        (whole[:5000] + b"?" + whole[5001:], "is damaged|was not written by torch.save"),
        (b"PK\x03\x04 no archive", "is cut off or damaged"),
        (b"hello", "was not written by torch.save"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=sentence):
            load_trained(tmp_path)
    state = load_checkpoint(kept("clip") / "model.pt")
    save_checkpoint(path, state | {"artifact": 2})
    with pytest.raises(ValueError, match="has version 2 of the format, and this library reads ver"):
        load_trained(tmp_path)
    save_checkpoint(path, state | {"recipe": "bert"})
    with pytest.raises(ValueError, match="no recipe 'bert'"):
        load_trained(tmp_path)
    with pytest.raises(ValueError, match="holds a model of the recipe 'clip', not 'vit'"):
        vit.load(kept("clip"))


def without(given: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != name}


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda s: without(s, "weights"), "KeyError 'weights'"),
        (lambda s: s | {"config": without(s["config"], "embedding")}, "KeyError 'embedding'"),
        (
            lambda s: s | {"config": s["config"] | {"embedding": 8}},
            r"is \(16, 16\) and should be \(8",
        ),
        (lambda s: s | {"config": s["config"] | {"vision": {"wings": 2}}}, "wings"),
        (lambda s: s | {"tokenizer": None}, "the tokenizer is missing"),
        (lambda s: s | {"weights": without(s["weights"], "mean")}, "KeyError 'mean'"),
        (lambda s: s | {"weights": 3}, "not subscriptable"),
    ],
)
def test_parts_that_are_missing_or_do_not_fit_are_named(
    edit: Callable[[Any], Any], sentence: str, kept: Callable[[str], Path], tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "model.pt", edit(load_checkpoint(kept("clip") / "model.pt")))
    with pytest.raises(
        ValueError, match=f"model.pt does not hold what its recipe saves: .*{sentence}"
    ):
        load_trained(tmp_path)


def test_saving_is_whole_or_not_at_all(
    kept: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(kept("clip"), tmp_path / "clip")
    model, before = clip.load(tmp_path / "clip"), (tmp_path / "clip" / "model.pt").read_bytes()

    def full(state: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        clip.save(model, tmp_path / "clip")
    assert (tmp_path / "clip" / "model.pt").read_bytes() == before
    assert not list((tmp_path / "clip").glob(".*.part"))


# Made by what


@pytest.mark.parametrize(
    ("was", "said"),
    [
        (NOW, ""),
        ({"code": "a", "recipe": None}, ""),
        ({"code": "b", "recipe": None}, "was trained by other code than there is now"),
        ({"code": "a", "recipe": {"steps": 3, "seed": 1}}, "was trained with seed=1 and not 0"),
        ({"code": "a", "recipe": {"steps": 3}}, "was trained with seed=None and not 0"),
        (None, "does not say which code has trained it"),
        ("a", "does not say which code has trained it"),
        ({}, "does not say which code has trained it"),
    ],
)
def test_what_differs_is_said_and_nothing_where_nothing_does(was: Any, said: str) -> None:
    told = made_otherwise(was, NOW)
    assert said in told and bool(said) == bool(told)


def test_figures_and_minutes_of_the_settings_are_no_difference() -> None:
    base, slower = (made_by("vit", replace(vit.SETTINGS, minutes=m), 1) for m in (1.0, 9.0))
    assert base == slower and base != made_by("vit", replace(vit.SETTINGS, width=32), 1)
    assert base["recipe"] != made_by("vit", vit.SETTINGS, 2)["recipe"]
    assert len({made_by(name, None)["code"] for name in RECIPES}) == len(RECIPES)
    assert made_by("vit", None)["recipe"] is None


def toy(calls: list[Any]) -> Any:
    """A recipe that trains in no time: its model is the list of its settings."""

    def load(folder: Path) -> Any:
        return artifact.read(folder, "vit").config

    def train(settings: Any, *, seed: int, folder: Path, log: Any, **options: Any) -> Any:
        calls.append(seed)
        made = made_by("vit", settings, seed)
        artifact.save(folder, "vit", config={"seed": seed}, weights={}, made=made)
        return load(folder)

    name = "scratchmm.recipes.vit"
    return SimpleNamespace(__name__=name, SETTINGS=vit.SETTINGS, load=load, train=train)


def edited(folder: Path, **made: Any) -> None:
    state = load_checkpoint(folder / "model.pt")
    save_checkpoint(folder / "model.pt", state | {MADE_BY: state[MADE_BY] | made})


def test_of_other_code_or_settings_it_is_trained_anew_or_taken_with_a_word(tmp_path: Path) -> None:
    calls: list[int] = []
    said: list[str] = []
    module = toy(calls)
    assert load_or_train(tmp_path, module, log=said.append) == {"seed": 0} and not said
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "checkpoint.pt").touch()
    assert load_or_train(tmp_path, module, seed=1, exact=False, log=said.append) == {"seed": 0}
    path = tmp_path / "model.pt"
    why = f"{path} was trained with seed=0 and not 1: "
    assert said == [why + "it is used as it is, and --fresh trains it anew."]
    assert calls == [0] and (tmp_path / "stage" / "checkpoint.pt").exists()
    assert load_or_train(tmp_path, module, seed=1, log=said.append) == {"seed": 1}
    assert said[1:] == [why + "it is trained anew."] and calls == [0, 1]
    assert not (tmp_path / "stage" / "checkpoint.pt").exists()
    edited(tmp_path, code="another")
    load_or_train(tmp_path, module, seed=1, log=said.append)
    assert "by other code than there is now: it is trained anew" in said[2] and calls == [0, 1, 1]
    load_or_train(tmp_path, module, seed=1, knows={"clip": "abc"}, log=said.append)
    assert "was trained with clip=None and not 'abc'" in said[3]


def test_a_model_of_another_folder_is_taken_if_it_is_of_the_very_same_recipe(
    tmp_path: Path,
) -> None:
    calls: list[int] = []
    said: list[str] = []
    module, here, other = toy(calls), tmp_path / "here", tmp_path / "other"
    module.train(vit.SETTINGS, seed=5, folder=other, log=None)
    assert load_or_train(here, module, seed=5, others=[other], log=said.append) == {"seed": 5}
    assert said == [f"Taking {other}."] and not here.exists() and calls == [5]
    assert load_or_train(here, module, seed=6, others=[other], log=said.append) == {"seed": 6}
    assert said[1] == f"The model in {other} was trained with seed=5 and not 6: it is not taken."
    assert calls == [5, 6] and load_trained  # and the other stays
    assert artifact.read(other).made_by["recipe"]["seed"] == 5


def test_a_model_that_nobody_knows_the_settings_of_is_taken_by_its_code(tmp_path: Path) -> None:
    calls: list[int] = []
    module = toy(calls)
    module.train(vit.SETTINGS, seed=5, folder=tmp_path, log=None)
    edited(tmp_path, recipe=None)
    assert load_or_train(tmp_path, module, seed=7) == {"seed": 5} and calls == [5]
