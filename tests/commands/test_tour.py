"""The tour as its user meets it: a short one, a killed one, the user's own pairs, broken input."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from scratchmm.commands import main, tour
from scratchmm.recipes import clip as recipe
from scratchmm.training import curve

KEYS = {
    "seen_accuracy",
    "unseen_accuracy",
    "names",
    "image_to_text_recall",
    "text_to_image_recall",
    "train_seconds",
    "total_seconds",
    "seed",
}


@pytest.fixture
def small_world(monkeypatch):
    monkeypatch.setattr(recipe, "SETTINGS", replace(recipe.SETTINGS, images=300, batch=32))
    monkeypatch.setattr(tour, "TESTED", 40)


@pytest.fixture
def table(tmp_path):
    """Twenty-four images of one grey each, and what they are called."""
    lines = ["file\ttext"]
    for row in range(24):
        Image.new("RGB", (40, 30), (10 * row, 255 - 10 * row, 80)).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png\tgrey number {row}")
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "pairs.tsv"


@pytest.mark.usefixtures("small_world")
def test_a_short_tour_leaves_a_report_images_and_a_model(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "tour"
    assert main(["tour", "--steps", "3", "--out", str(out), "--seed", "5", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == KEYS and report["seed"] == 5
    assert report == json.loads((out / "report.json").read_text())
    for key in ("image_to_text_recall", "text_to_image_recall"):
        one, five, ten = report[key]
        assert 0 <= one <= five <= ten <= 1
    images = {path.name for path in out.glob("*.png")}
    assert {"similarity_before.png", "similarity_after.png", "attention.png"} <= images
    assert {"retrieval_by_text.png", "retrieval_by_image.png", "zero_shot.png"} <= images
    assert not (out / "checkpoint.pt").exists() and not list(out.glob("*.tmp"))

    clip = recipe.load(out)
    assert clip.embed_texts(["a red ring"]).shape == (1, 64)


@pytest.mark.usefixtures("small_world")
def test_the_same_seed_gives_the_same_figures(tmp_path, capsys):
    reports = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = ["tour", "--steps", "2", "--out", str(tmp_path / name), "--seed", str(seed)]
        assert main([*arguments, "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        reports.append({key: report[key] for key in KEYS if "seconds" not in key})
    assert reports[0] == reports[1] != reports[2]


def parts(table=None):
    """What the tour trains on and asks about."""
    arguments = SimpleNamespace(pairs=table, seed=0, steps=None)
    data = tour._read(tour._settings(arguments), arguments, lambda text: None)
    return data, data.tests["seen"], data.tests["unseen"]


@pytest.mark.usefixtures("small_world")
def test_the_parts_are_what_they_say():
    train, seen, unseen = parts()
    assert len(train.images) == len(train.texts) == 300 and len(seen.names) == 64
    trained = " ".join(train.texts)
    kinds = {unseen.names[label] for label in unseen.labels}
    assert "purple star" in kinds and not any(f" {kind}" in trained for kind in kinds)
    assert not kinds & {seen.names[label] for label in seen.labels}
    for part in (seen, unseen):
        sentences, own, true = part.told()
        assert len(part.images) == 40 and len(sentences) == len(set(sentences))
        assert true.gather(1, own[:, None]).all() and set(own.tolist()) == set(
            range(len(sentences))
        )
        for i in range(10):  # an image is never matched with another colour or shape
            color, shape = part.names[part.labels[i]].split()
            for j in true[i].nonzero().flatten().tolist():
                assert color in sentences[j] and shape in sentences[j]


def test_own_pairs_with_a_held_out_part(table, tmp_path, capsys):
    out = tmp_path / "own"
    arguments = ["tour", "--pairs", str(table), "--steps", "4", "--out", str(out)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "24 pairs" in said and "held out" in said and "report.json" in said
    assert set(json.loads((out / "report.json").read_text())) == KEYS


def test_a_killed_tour_goes_on_and_ends_in_the_same_figures(table, tmp_path):
    def start(out, *more):
        words = ["tour", "--pairs", str(table), "--steps", "240", "--out", str(out), "--json"]
        return subprocess.Popen(
            [sys.executable, "-m", "scratchmm", *words, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    killed = tmp_path / "killed"
    process = start(killed)
    for _ in range(1200):
        if (killed / "checkpoint.pt").exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (killed / "checkpoint.pt").exists() and not (killed / "report.json").exists()
    reports = []
    for out in (killed, tmp_path / "whole"):
        output, errors = start(out).communicate(timeout=120)
        assert output, errors
        reports.append({k: v for k, v in json.loads(output).items() if "seconds" not in k})
    assert reports[0] == reports[1]
    assert (killed / "model.pt").exists()
    resumed, whole = (recipe.load(tmp_path / name) for name in ("killed", "whole"))
    for one, other in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_several_texts_of_a_image_are_all_right(tmp_path):
    """And each image and each sentence stands once among the answers."""
    rows = ["file\ttext"]
    for thing in range(30):
        Image.new("RGB", (16, 16), (8 * thing, 9, 99)).save(tmp_path / f"{thing}.png")
        rows += [f"{thing}.png\tthing {thing} said in way {way}" for way in range(5)]
    (tmp_path / "t.tsv").write_text("\n".join(rows) + "\n")
    train, seen, unseen = parts(tmp_path / "t.tsv")
    assert len(train.texts) + int(unseen.right().sum()) == 150
    for part in (seen, unseen):
        named = [text.split()[1] for text in part.names]
        shown = [named[label] for label in part.labels.tolist()]
        assert len(set(shown)) == len(shown) and set(shown) == set(named)
        sentences, own, true = part.told()
        assert sentences == part.names and torch.equal(own, part.labels)
        assert true.tolist() == [[a == b for b in named] for a in shown]
    report = tour._measure(Knows(unseen), unseen, unseen)
    assert report["seen_accuracy"] == report["unseen_accuracy"] == 1.0
    assert report["image_to_text_recall"] == report["text_to_image_recall"] == [1.0, 1.0, 1.0]


class Knows:
    """A model that knows which thing an image shows and a text names."""

    def __init__(self, part):
        self.order = sorted({text.split()[1] for text in part.names})
        images = zip(part.images, part.labels.tolist(), strict=True)
        named = [text.split()[1] for text in part.names]
        self.thing = {image.numpy().tobytes(): named[label] for image, label in images}

    def vectors(self, names):
        return torch.stack([torch.eye(len(self.order))[self.order.index(name)] for name in names])

    def embed_images(self, images):
        return self.vectors([self.thing[image.numpy().tobytes()] for image in images])

    def embed_texts(self, texts):
        return self.vectors([text.split()[1] for text in texts])


def test_a_tour_that_went_on_counts_all_its_seconds(table, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    words = ["tour", "--pairs", str(table), "--steps", "4", "--out", str(out), "--json"]
    real = curve.read_curve

    def long_ago(path):
        return [{**row, "seconds": row["seconds"] + 500} for row in real(path)]

    monkeypatch.setattr(curve, "read_curve", long_ago)  # 500 s before the run was stopped
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert 500 <= report["train_seconds"] <= report["total_seconds"]  # four steps may take no tenth


def refused(words, capsys):
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and said.err.startswith("error: ")
    return said.err


def test_broken_tables_and_images_are_refused_in_a_sentence(table, tmp_path, capsys):
    words = ["tour", "--out", str(tmp_path / "out"), "--steps", "2", "--pairs"]
    assert "no file" in refused([*words, str(tmp_path / "none.tsv")], capsys)
    (tmp_path / "column.tsv").write_text("file\tcaption\n0.png\tx\n")
    assert "caption" in refused([*words, str(tmp_path / "column.tsv")], capsys)
    (tmp_path / "empty.tsv").write_text("")
    assert "empty" in refused([*words, str(tmp_path / "empty.tsv")], capsys)
    (tmp_path / "latin.tsv").write_bytes("file\ttext\n0.png\té\n".encode("latin-1"))
    assert "UTF-8" in refused([*words, str(tmp_path / "latin.tsv")], capsys)
    (tmp_path / "missing.tsv").write_text("file\ttext\n0.png\ta\ngone.png\tb\n")
    assert "gone.png" in refused([*words, str(tmp_path / "missing.tsv")], capsys)
    (tmp_path / "two.tsv").write_text("file\ttext\n0.png\ta\n1.png\tb\n")
    assert "both need at least 2" in refused([*words, str(tmp_path / "two.tsv")], capsys)
    (tmp_path / "5.png").write_bytes((tmp_path / "5.png").read_bytes()[:60])
    assert "5.png" in refused([*words, str(table)], capsys)
    assert not (tmp_path / "out" / "report.json").exists()
    assert not (tmp_path / "out" / "model.pt").exists()


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_no_generator_takes_is_refused(seed, tmp_path, capsys):
    words = ["tour", "--seed", seed, "--out", str(tmp_path / "out")]
    assert f"--seed {seed}" in refused(words, capsys)
    assert not (tmp_path / "out").exists()


def test_steps_below_one_are_refused(tmp_path, capsys):
    assert "--steps 0" in refused(["tour", "--steps", "0", "--out", str(tmp_path / "o")], capsys)


def test_pairs_that_name_no_file_are_refused(tmp_path, capsys):
    assert "--pairs names no file" in refused(
        ["tour", "--pairs", "", "--out", str(tmp_path / "o")], capsys
    )
    assert not (tmp_path / "o").exists()


def test_the_images_shown_all_differ():
    assert tour._different([4, 7, 4, 9], 2) == [0, 1]
    assert tour._different([1, 1, 2], 9) == [0, 2]
