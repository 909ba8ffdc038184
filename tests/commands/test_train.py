"""`train`: what it reaches, that it goes on, that what it measures is true, what it refuses."""

import gzip
import json
import struct
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from scratchmm.commands import main
from scratchmm.recipes import RECIPES, clip, datasets, recipe, text_to_image, vit
from scratchmm.recipes.artifact import load_trained
from scratchmm.recipes.datasets import Part, TrainingSet, read_set
from scratchmm.training.curve import read_curve

QUICK = ["--patch-size", "7", "--width", "16", "--depth", "1", "--batch", "32"]


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Ten classes that anybody could tell apart: each a pattern of its own, tiled, under noise."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    tiles = np.kron(rng.integers(2, size=(10, 2, 2)), np.ones((2, 2))) * 120  # (10, 4, 4)
    tiles += rng.integers(90, size=(10, 1, 1))
    for name in ("mnist", "fashion_mnist"):
        (folder / name).mkdir()
        for part, count in (("train", 300), ("t10k", 60)):
            labels = rng.integers(10, size=count)
            images = np.tile(tiles[labels], (1, 7, 7)) + rng.integers(30, size=(count, 28, 28))
            write_idx(folder / name / f"{part}-images-idx3-ubyte.gz", images)
            write_idx(folder / name / f"{part}-labels-idx1-ubyte.gz", labels)
    return folder


def few_images(monkeypatch, count):
    """The recipes' world with so few images to train on."""
    for module in (clip, vit):
        few = replace(module.SETTINGS, images=count)
        monkeypatch.setitem(module.SETTINGS_OF, "world", few)


def train(capsys, *words):
    status = main(["train", *map(str, words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# What it reaches


def test_vit_learns_digits_and_comes_back_from_its_folder(root, tmp_path, capsys):
    words = ["vit", "--data", "mnist", "--root", root, "--out", tmp_path, *QUICK]
    status, out, err = train(capsys, *words, "--steps", "120", "--json")
    report = json.loads(out)
    assert status == 0 and err == ""
    assert report["accuracy"] >= 0.9
    assert (report["train_images"], report["test_images"]) == (300, 60)
    assert report["names"] == 10
    assert (report["steps"], report["batch"], report["width"]) == (120, 32, 16)
    assert 0 < report["train_seconds"] <= report["total_seconds"]
    assert json.loads((tmp_path / "report.json").read_text()) == report
    names = {"checkpoint.pt", "curve.csv", "model.pt", "report.json"}
    assert {path.name for path in tmp_path.iterdir()} - {"curve.png"} == names

    model = load_trained(tmp_path)
    test = read_set("mnist", root, 28, 0).tests["test"]
    right = (model.classify(test.images).argmax(dim=1) == test.labels).double().mean().item()
    assert right == report["accuracy"]
    assert model.names[3] == "three"


def test_clip_learns_clothes_from_their_names(root, tmp_path, capsys):
    words = ["clip", "--data", "fashion_mnist", "--root", root, "--out", tmp_path, *QUICK]
    status, out, _ = train(capsys, *words, "--steps", "150", "--learning-rate", "0.004")
    report = json.loads((tmp_path / "report.json").read_text())
    assert status == 0
    assert report["zero_shot_accuracy"] >= 0.8
    assert report["image_to_text_recall"][0] == report["zero_shot_accuracy"]
    assert f"On what was held out, among {report['names']} names:" in out
    assert f"zero shot accuracy       {report['zero_shot_accuracy']:7.2%}" in out

    model = load_trained(tmp_path)
    assert model.embed_texts(["a photo of clothing: bag"]).norm().item() == pytest.approx(
        1, abs=1e-5
    )
    data = read_set("fashion_mnist", root, 28, 0)
    assert clip.figures(model, data)["zero_shot_accuracy"] == report["zero_shot_accuracy"]


def test_the_users_own_pairs(tmp_path, capsys):
    rows = ["file\ttext"]
    for number in range(40):
        color = (250, number, 10) if number % 2 else (10, number, 250)
        Image.new("RGB", (20, 30), color).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png\timage {number}")
    (tmp_path / "mine.tsv").write_text("\n".join(rows))
    words = ["clip", "--data", tmp_path / "mine.tsv", "--out", tmp_path / "run", "--steps", "3"]
    status, out, _ = train(capsys, *words, "--image-size", "16", "--patch-size", "8", "--json")
    report = json.loads(out)
    assert status == 0
    assert (report["train_images"], report["test_images"]) == (36, 4)
    assert report["image_to_text_recall"][1] == 1.0  # at 5, of 4
    assert load_trained(tmp_path / "run").model.config.vision.image_size == 16


def test_the_world_keeps_what_was_never_seen_apart(monkeypatch, tmp_path, capsys):
    few_images(monkeypatch, 200)
    data = read_set("world", None, 32, 0, images=200, tested=50)
    trained = {data.names[label] for label in data.labels.tolist()}
    assert all(
        data.names[label] in text or all(word in text for word in data.names[label].split())
        for label, text in zip(data.labels.tolist(), data.texts, strict=True)
    )
    unseen = {data.names[label] for label in data.tests["unseen"].labels.tolist()}
    assert len(data.names) == 64 and "purple star" in data.names[52:]
    assert not trained & unseen and unseen <= set(data.names[52:])
    assert {data.names[label] for label in data.tests["seen"].labels.tolist()} <= set(
        data.names[:52]
    )

    for model in ("clip", "vit"):
        words = [model, "--out", tmp_path / model, "--steps", "2", "--json"]
        status, out, _ = train(capsys, *words)
        report = json.loads(out)
        assert status == 0
        assert ("unseen_accuracy" in report) == (model == "clip")
        assert "seen_accuracy" in report or "accuracy" in report


# That what it measures is true


class Told:
    """A model that gives the embeddings it was told."""

    def __init__(self, images, texts):
        self.images, self.texts = images, texts

    def embed_images(self, images):
        assert images.shape[1] == 3
        return torch.tensor(self.images)

    def embed_texts(self, texts):
        return torch.tensor([self.texts[text] for text in texts])


def test_figures_of_a_clip_by_hand():
    texts = {"is a": [1.0, 0.0], "is b": [0.0, 1.0], "is c": [-1.0, 0.0]}
    # nearest: a, a (of class b: wrong), b; no image shows c
    model = Told([[0.9, 0.1], [0.8, 0.6], [0.1, 0.9]], texts)
    part = Part(torch.zeros(3, 1, 4, 4), torch.tensor([0, 1, 1]), ["a", "b", "c"], ("is {}",))
    figures = clip.figures(model, TrainingSet(torch.zeros(0), [], None, [], {"test": part}))
    assert figures["names"] == 3
    assert figures["zero_shot_accuracy"] == pytest.approx(2 / 3)
    assert figures["image_to_text_recall"] == pytest.approx([2 / 3, 1.0, 1.0])
    # "is a" finds its image first; "is b" finds the third image, which is of b; c is not asked
    assert figures["text_to_image_recall"] == [1.0, 1.0, 1.0]
    model.images[0] = [0.7, 0.7]  # now "is a" finds the second image first, which is of b
    figures = clip.figures(model, TrainingSet(torch.zeros(0), [], None, [], {"test": part}))
    assert figures["text_to_image_recall"] == [0.5, 1.0, 1.0]


class Knows:
    """A model that knows which thing an image shows and a text names, and keeps no two texts alike."""

    def __init__(self, things):
        self.things = things  # of each shade of grey

    def vectors(self, kinds):
        return torch.stack([torch.eye(len(self.things) + 1)[kind] for kind in kinds])

    def embed_images(self, images):
        shades = [round(127.5 * image.mean().item() + 127.5) for image in images]
        return self.vectors([self.things[shade] for shade in shades])

    def embed_texts(self, texts):
        found = self.vectors([int(text.split()[1]) for text in texts])
        found[:, -1] = torch.tensor([0.01 * int(text.split()[-1]) for text in texts])
        return torch.nn.functional.normalize(found, dim=-1)


@pytest.mark.parametrize("copies", [False, True])
def test_every_text_of_a_image_is_right(copies, tmp_path):
    """As in COCO and Flickr30k; copies: the image lies there once for each of its texts."""
    rows, texts = ["file\ttext"], 3
    for thing in range(30):
        for way in range(texts):
            name = f"{thing}_{way if copies else 0}.png"
            Image.new("L", (16, 16), 8 * thing + 3).save(tmp_path / name)
            rows.append(f"{name}\tthing {thing} said in way {way}")
    for way in range(3):  # a text of two images: both are right
        rows.append(f"{thing}_0.png\tthing {thing - 1} said in way {way}")
    (tmp_path / "t.tsv").write_text("\n".join(rows) + "\n")
    data = read_set(str(tmp_path / "t.tsv"), None, 16, 0)
    part = data.tests["test"]
    assert len(part.images) == len(part.labels) < len(part.names)
    assert part.right().gather(1, part.labels[:, None]).all()
    knows = Knows({8 * thing + 3: thing for thing in range(30)})
    figures = clip.figures(knows, data)
    assert figures["zero_shot_accuracy"] == 1.0
    assert figures["image_to_text_recall"] == [1.0, 1.0, 1.0]
    assert figures["text_to_image_recall"] == [1.0, 1.0, 1.0]
    wrong = Knows({8 * thing + 3: (thing + 1) % 30 for thing in range(30)})
    assert clip.figures(wrong, data)["zero_shot_accuracy"] < 0.4


def test_figures_of_a_vit_by_hand():
    chances = torch.tensor([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]])
    model = SimpleNamespace(classify=lambda images: chances, names=["a", "b"])
    part = Part(torch.zeros(3, 1, 4, 4), torch.tensor([1, 1, 0]), ["a", "b"])
    other = Part(part.images, torch.tensor([0, 0, 1]), ["a", "b"])
    data = TrainingSet(torch.zeros(0), [], None, [], {"seen": part, "unseen": other})
    assert vit.figures(model, data) == {"names": 2, "accuracy": pytest.approx(2 / 3)}


def test_images_that_have_the_size_are_taken_as_they_are(root, monkeypatch):
    monkeypatch.setattr(datasets.F, "interpolate", None)  # would be a copy of the whole set
    assert read_set("mnist", root, 28, 0).images.shape == (300, 1, 28, 28)


def test_texts_say_the_class_of_their_own_image(root):
    data = read_set("fashion_mnist", root, 14, seed=3)
    assert data.images.shape == (300, 1, 14, 14) and len(data.texts) == 300
    for text, label in zip(data.texts, data.labels.tolist(), strict=True):
        assert data.names[label] in text.split(": ")[-1]
    assert len(set(data.texts)) > 25  # several wordings a class
    assert data.names[0] == "t-shirt or top"


# That it goes on


def test_an_interrupted_run_goes_on_and_ends_in_the_same_weights(
    root, tmp_path, capsys, monkeypatch
):
    words = ["vit", "--data", "mnist", "--root", root, *QUICK, "--steps", "8", "--save-every", "3"]
    assert train(capsys, *words, "--out", tmp_path / "straight")[0] == 0

    real, calls = vit.loss, []

    def stopping(model, batch):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(model, batch)

    monkeypatch.setattr(vit, "loss", stopping)
    words += ["--out", tmp_path / "stopped"]
    status, _, err = train(capsys, *words)
    assert status == 130 and err.endswith("interrupted\n")
    assert not (tmp_path / "stopped" / "model.pt").exists()

    status, out, _ = train(capsys, *words)
    assert status == 0 and "Going on where the last run in" in out
    assert len(calls) == 6 + 8 - 3  # three steps were saved
    ends = [load_trained(tmp_path / name).model.state_dict() for name in ("straight", "stopped")]
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=0)
    assert len(read_curve(tmp_path / "stopped" / "curve.csv")) == 8

    before = (tmp_path / "stopped" / "model.pt").read_bytes()
    status, out, err = train(capsys, *words, "--batch", "16")
    assert (
        status == 1
        and err.count("\n") == 1
        and err.endswith("start anew there (--fresh, or delete that file)\n")
    )
    assert "Going on" not in out
    assert "was written with batch=32 and this run asks for batch=16" in err
    assert (tmp_path / "stopped" / "model.pt").read_bytes() == before
    assert train(capsys, *words, "--batch", "16", "--fresh")[0] == 0


# That a run belongs to its data


@pytest.fixture
def pairs(tmp_path):
    """Forty images of one colour each, with a text."""
    rows = ["file\ttext"]
    for number in range(40):
        Image.new("RGB", (16, 16), (6 * number, 10, 250)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png\timage {number}")
    (tmp_path / "mine.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path / "mine.tsv"


def a_text(table):
    table.write_text(table.read_text().replace("image 7", "something else"))


def a_image(table):
    Image.new("RGB", (16, 16), "green").save(table.parent / "7.png")


def the_order(table):
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[::-1]]) + "\n")


@pytest.mark.parametrize("edit", [a_text, a_image, the_order])
def test_edited_pairs_are_never_reported_as_if_trained(pairs, tmp_path, capsys, edit):
    words = ["clip", "--data", pairs, "--out", tmp_path / "run", "--steps", "3", "--width", "16"]
    words += ["--image-size", "16", "--depth", "1", "--json"]
    assert train(capsys, *words)[0] == 0
    before = (tmp_path / "run" / "model.pt").read_bytes()
    status, _, _ = train(capsys, *words)  # the same data: nothing to do
    assert status == 0 and (tmp_path / "run" / "model.pt").read_bytes() == before
    edit(pairs)
    status, out, err = train(capsys, *words)
    assert status == 1 and out == "" and err.count("\n") == 1
    assert "checkpoint.pt was trained on other data than was read now" in err and "--fresh" in err
    assert train(capsys, *words, "--fresh")[0] == 0


def test_another_root_with_other_digits_is_another_run(root, tmp_path, capsys):
    other = tmp_path / "other" / "mnist"
    other.mkdir(parents=True)
    for path in (root / "mnist").iterdir():  # the same shapes and names, other content
        with gzip.open(path) as file:
            content = bytearray(file.read())
        if "images" in path.name:
            content[-1] ^= 64
        (other / path.name).write_bytes(gzip.compress(bytes(content)))
    words = ["vit", "--data", "mnist", "--out", tmp_path / "run", *QUICK, "--steps", "2"]
    assert train(capsys, *words, "--root", root)[0] == 0
    status, _, err = train(capsys, *words, "--root", tmp_path / "other")
    assert status == 1 and "other data than was read now" in err
    same = tmp_path / "copy"
    same.mkdir()
    for path in (root / "mnist").iterdir():  # a copy elsewhere is the same data
        (same / path.name).write_bytes(path.read_bytes())
    assert train(capsys, *words, "--root", same)[0] == 0


# What it refuses: one sentence, a status, nothing written


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["vit", "--data", "minst"], "no data set 'minst' (did you mean mnist?)"),
        (["clip", "--data", "nowhere.tsv"], "there is no file nowhere.tsv"),
        (["vit", "--data", "mnist"], "no data folder is given: name one as root (--root)"),
        (["vit", "--data", "mnist", "--root", "nowhere"], "there is no data folder nowhere"),
        (["vit", "--data", "mnist", "--root", "."], "no train-images-idx3-ubyte.gz in mnist or ."),
        (["vit", "--data", "emoji"], "emoji has texts but no classes for a vit"),
        (["vit", "--data", "mine.tsv"], "mine.tsv has texts but no classes for a vit"),
        (
            ["clip", "--image-size", "36", "--patch-size", "16"],
            "image size 36 is not divisible by patch size 16",
        ),
        (["clip", "--width", "30"], "width 30 is not divisible by 4 heads"),
        (["vit", "--steps", "0"], "--steps is 0 and must be above 0"),
        (["vit", "--batch", "-3"], "--batch is -3 and must be above 0"),
        (["vit", "--learning-rate", "0"], "--learning-rate is 0.0 and must be above 0"),
        (["vit", "--learning-rate", "nan"], "--learning-rate is nan and must be above 0"),
        (["vit", "--learning-rate", "inf"], "--learning-rate is inf and must be above 0"),
        (["vit", "--seed", "-1"], "--seed -1 does not lie between 0 and 4294967295"),
        (["vit", "--device", "abacus"], "device 'abacus' is none of cpu, cuda, mps and auto"),
        (["vit", "--save-every", "0"], "--save-every is 0 and must be above 0"),
    ],
)
def test_refusals(words, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCRATCHMM_DATA", raising=False)
    few_images(monkeypatch, 20)
    status, out, err = train(capsys, *words, "--json")
    assert status == 1 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and sentence in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["bert"], ["vit", "--steps", "many"], ["vit", "--colour"]])
def test_command_lines_that_cannot_be_understood(words, capsys):
    status, _, err = train(capsys, *words)
    assert status == 2 and err.startswith("error: ")


def test_too_few_pairs(tmp_path, capsys):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "mine.tsv").write_text("file\ttext\na.png\tone\na.png\ttwo\n")
    status, _, err = train(capsys, "clip", "--data", tmp_path / "mine.tsv", "--out", tmp_path / "o")
    assert status == 1 and err.startswith("error: ") and err.count("\n") == 1


def test_a_learning_rate_that_explodes_keeps_the_last_checkpoint(root, tmp_path, capsys):
    words = ["vit", "--data", "mnist", "--root", root, "--out", tmp_path, *QUICK, "--steps", "40"]
    status, _, err = train(capsys, *words, "--learning-rate", "1e30", "--save-every", "1", "--json")
    assert status == 1 and "at step" in err and "a smaller learning rate often helps" in err
    assert not (tmp_path / "model.pt").exists()


# The other recipes


def test_without_a_name_the_recipes_are_listed(capsys):
    status, out, err = train(capsys)
    assert status == 0 and err == ""
    for name in RECIPES:
        settings = recipe(name).SETTINGS
        (line,) = [line for line in out.splitlines() if line.split()[:1] == [name]]
        assert f"{settings.minutes:g}" in line and f"≥ {settings.expected:g}" in line
        assert settings.figure.replace("_", " ") in line
    status, out, _ = train(capsys, "--json")
    rows = json.loads(out)
    assert status == 0 and [row["recipe"] for row in rows] == [*RECIPES]
    assert all(row["minutes"] > 0 and row["about"] for row in rows)


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ("clip", "vit")])
def test_recipes_that_draw_their_own_data_are_run(name, tmp_path, capsys, monkeypatch):
    module = recipe(name)
    known = {"scenes": 30, "tests": 20, "grid_steps": 1, "prior_steps": 1}
    known |= {"autoencoder_steps": 1, "text_steps": 1}
    small = {key: value for key, value in known.items() if hasattr(module.SETTINGS, key)}
    monkeypatch.setattr(module, "SETTINGS", replace(module.SETTINGS, **small))
    if name == "unclip":
        small["clip"] = replace(clip.SETTINGS, images=40, width=16, depth=1, steps=1, batch=8)
    monkeypatch.setattr(module, "TESTED", 9, raising=False)
    generator = replace(
        text_to_image.SETTINGS, scenes=30, autoencoder_steps=1, text_steps=1, steps=1
    )
    if name in ("controlnet", "unclip"):  # what it is trained on top of
        monkeypatch.setattr(text_to_image, "SETTINGS", generator)
        monkeypatch.chdir(tmp_path)
    words = [name, "--folder", tmp_path / "run", "--steps", "2", "--batch", "4", "--seed", "1"]
    status, out, err = train(capsys, *words, "--json")
    report = json.loads(out)
    assert status == 0 and err == ""
    assert 0 <= report[module.SETTINGS.figure] <= 1
    assert (report["model"], report["steps"], report["batch"]) == (name, 2, 4)
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == report
    assert type(load_trained(tmp_path / "run")) is type(module.load(tmp_path / "run"))
    status, out, _ = train(capsys, *words, "--learning-rate", "0.9")
    assert status == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["vqa", "--data", "mnist"], "the recipe vqa draws its own data: it takes no --data mnist"),
        (["vqa", "--width", "9"], "the recipe vqa takes no --width"),
        (["grid_classifier", "--steps", "0"], "--steps is 0 and must be above 0"),
    ],
)
def test_what_a_recipe_does_not_take_is_refused(words, sentence, capsys):
    status, out, err = train(capsys, *words)
    assert (status, out, err) == (1, "", f"error: {sentence}\n")


def test_a_device_that_is_not_there_is_refused_before_anything_is_drawn(capsys):
    status, out, err = train(capsys, "vqa", "--device", "cuda:77")
    assert (status, out) == (1, "") and "cuda:77" in err and err.count("\n") == 1
