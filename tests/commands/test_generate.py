"""`generate` as its user meets it, with a model that is quickly there: files, folders, refusals."""

import errno
import json
import os
import re
import types

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image

from scratchmm.apps.image_studio import manifest
from scratchmm.commands import generate, main
from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.guidance import check_scale
from scratchmm.diffusion.process import cosine_schedule
from scratchmm.recipes import artifact, controlnet, text_to_image
from scratchmm.training.checkpoint import load_checkpoint, save_checkpoint
from scratchmm.vision.images import open_image, to_image, to_tensor

KNOWN = frozenset("a small large red green blue ring star striped left of".split())
TONES = {"red": (1, -1, -1), "green": (-1, 1, -1), "blue": (-1, -1, 1)}


class Folded:
    """Four pixels to a cell, as the model may have them."""

    def to_latents(self, images, generator=None):
        return rearrange(images, "b c (x p) (y q) -> b (c p q) x y", p=2, q=2)

    def to_images(self, latents):
        return rearrange(latents, "b (c p q) x y -> b c (x p) (y q)", p=2, q=2)


class Generator:
    """Sees the prompt's last colour behind any noise, and a hint of the noise itself."""

    known = KNOWN

    def __init__(self, weight):
        self.weight = weight
        self.model = types.SimpleNamespace(
            schedule=cosine_schedule(30),
            space=Folded(),
            sampling=lambda: {"target": "x0", "clamp": 1.0},
        )

    def tokens(self, prompts):
        for prompt in prompts:
            if not set(prompt.split()) & KNOWN:
                raise ValueError(f"no word of {prompt!r} is known: known are a, blue, green")

    def noise(self, seeds):
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        return torch.stack([torch.randn(12, 16, 16, generator=one) for one in draws])

    def predictor(self, prompts, *, negative="", scale=4.0):
        check_scale(scale)
        self.tokens(prompts)
        tones = [
            [TONES[w] for w in prompt.split() if w in TONES] or [(0, 0, 0)] for prompt in prompts
        ]
        start = torch.tensor([tone[-1] for tone in tones]).float()[:, :, None, None]
        start = Folded().to_latents(start.expand(-1, -1, 32, 32))

        def model(x, timesteps):
            return start * self.weight * (0.5 if negative else 0.8) + 0.1 * torch.tanh(x)

        return model

    def draw(self, prompts, *, seeds, steps=20, scale=4.0, negative=""):
        model = self.predictor(prompts, negative=negative, scale=scale)
        way = spaced_timesteps(len(self.model.schedule), steps)
        x = ddim_sample(model, self.model.schedule, self.noise(seeds), way, target="x0")
        return Folded().to_images(x).clamp(-1, 1)


@pytest.fixture
def trained(monkeypatch):
    """Puts a training of no time in the place of the real one; the folders it trained in."""
    folders = []

    def open_generator(folder, recipe, *, exact=True, progress=False, log=None):
        assert recipe is text_to_image and not exact  # a model of older code still draws
        if not (folder / "model.pt").exists():
            folders.append(folder)
            save_checkpoint(folder / "model.pt", {"weight": torch.ones(1)})
        return Generator(load_checkpoint(folder / "model.pt")["weight"])

    def open_control(folder, generator, settings, *, exact=True, progress=False, log=None):
        assert not exact
        kind = settings.kind
        assert generator.known == KNOWN and kind in ("edges", "depth", "pose")

        def predictor(prompts, images, *, negative="", scale=4.0):
            assert images.shape == (len(prompts), 3 if kind == "pose" else 1, 32, 32)
            assert 0 <= images.min() <= images.max() <= 1
            bare = generator.predictor(prompts, negative=negative, scale=scale)
            shown = Folded().to_latents(images.amax(1, keepdim=True).expand(-1, 3, -1, -1))
            return lambda x, timesteps: torch.where(shown > 0.5, 1.0, bare(x, timesteps))

        return types.SimpleNamespace(predictor=predictor)

    monkeypatch.setattr(artifact, "load_or_train", open_generator)
    monkeypatch.setattr(controlnet, "load_or_train", open_control)
    monkeypatch.setattr(manifest.os, "fsync", lambda handle: None)
    return folders


@pytest.fixture
def call(trained, tmp_path, monkeypatch, capsys):
    """Calls generate in an empty folder; the status, what was printed, what was complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCHMM_CACHE", str(tmp_path / ".cache"))

    def calling(*words):
        status = main(["generate", *map(str, words)])
        return status, *capsys.readouterr()

    return calling


def refused(done, *said):
    status, _, err = done
    assert status != 0 and err.startswith("error: ") and err.count("\n") == 1, err
    for words in said:
        assert words in err
    return err


def left_over(folder):
    """Everything in a folder but the cache."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".cache")


def test_a_image_of_a_prompt(call, tmp_path):
    words = ["a small red ring", "--steps", 5, "--seed", 7, "--out"]
    status, out, err = call(*words, "out.png")
    assert status == 0 and err == "" and "out.png" in out and "sharpness" in out
    assert open_image("out.png").size == (32, 32) and left_over(tmp_path) == ["out.png"]
    wanted = Generator(torch.ones(1)).draw(["a small red ring"], seeds=[7], steps=5)[0]
    assert open_image("out.png").tobytes() == to_image(wanted).tobytes()

    for name, kind in (("b.jpg", "JPEG"), ("deep/er/c.WEBP", "WEBP"), ("d.bmp", "BMP")):
        assert call(*words, name)[0] == 0
        assert Image.open(name).format == kind
    assert call(*words, "e.png", "--zoom", 3)[0] == 0
    small, large = np.array(open_image("out.png")), np.array(open_image("e.png"))
    np.testing.assert_array_equal(large, small.repeat(3, 0).repeat(3, 1))
    assert call(*words, "out.png", "--zoom")[0] == 0 and open_image("out.png").size == (256, 256)
    for change in (["--seed", 8], ["--steps", 6], ["--negative", "green"]):
        assert call(*words, "other.png", *change)[0] == 0
        assert open_image("other.png").tobytes() != small.tobytes()


def test_what_json_says(call):
    status, out, _ = call("a red ring", "--steps", 2, "--out", "a.png", "--json", "--scale", 2)
    told = json.loads(out)
    assert status == 0 and told["file"] == "a.png" and told["prompt"] == "a red ring"
    assert (told["steps"], told["scale"], told["seed"], told["negative"]) == (2, 2.0, 0, "")
    assert set(told["scores"]) == {"contrast", "colourfulness", "sharpness"}
    out = call("a red ring", "a blue star", "--steps", 2, "--out", "f", "--json")[1]
    assert [entry["file"] for entry in json.loads(out)["images"]] == [
        "a-red-ring_0.png",
        "a-blue-star_0.png",
    ]


def test_the_model_is_trained_once_and_kept_where_it_is_told(call, trained, tmp_path, monkeypatch):
    words = ["a red ring", "--steps", 2]
    for _ in range(2):
        assert call(*words)[0] == 0
    assert trained == [tmp_path / ".cache"]
    assert call(*words, "--cache", tmp_path / "named")[0] == 0
    monkeypatch.delenv("SCRATCHMM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert call(*words)[0] == 0
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert call(*words)[0] == 0
    wanted = ["named", "xdg/scratchmm", "home/.cache/scratchmm"]
    assert trained[1:] == [tmp_path / name for name in wanted]
    assert call(*words, "--fresh")[0] == 0 and len(trained) == 5


def test_a_damaged_model_is_named_and_how_to_mend_it(call, trained, tmp_path):
    assert call("a red ring")[0] == 0
    path = tmp_path / ".cache" / "model.pt"
    content = path.read_bytes()
    for damaged in (content[:100], b"", content[:-40] + bytes(40), b"hello"):
        path.write_bytes(damaged)
        (tmp_path / "out.png").unlink(missing_ok=True)
        refused(call("a red ring"), "model.pt", "--fresh")
        assert left_over(tmp_path) == []
    assert call("a red ring", "--fresh")[0] == 0 and len(trained) == 2
    (tmp_path / "file").write_text("")
    refused(call("a red ring", "--cache", "file"), "is a file")


def test_fresh_takes_away_all_that_was_trained_before(call, trained, tmp_path):
    assert call("a red ring", "--steps", 1)[0] == 0
    cache, mine = tmp_path / ".cache", ("notes.txt", "text_encoder/curve.csv")
    old = [
        "control_edges/model.pt",
        "control_pose/model.pt",
        "control_pose/checkpoint.pt",
        "autoencoder/checkpoint.pt",
        "text_encoder/checkpoint.pt",
    ]
    for name in [*old, *mine]:
        (cache / name).parent.mkdir(exist_ok=True)
        (cache / name).write_bytes(b"old")
    assert call("a red ring", "--steps", 1)[0] == 0 and all((cache / name).exists() for name in old)
    assert call("a red ring", "--steps", 1, "--fresh")[0] == 0 and len(trained) == 2
    assert not any((cache / name).exists() for name in old)
    assert all((cache / name).exists() for name in mine)


def test_batches(call, tmp_path):
    (tmp_path / "list.txt").write_text("a red ring\n\n# a comment\na blue star\n")
    status, out, _ = call("--batch", "list.txt", "--out", "f", "--steps", 2, "--count", 2)
    assert status == 0 and "4 of 4 images are finished in f\n" in out
    lines = (tmp_path / "f" / "manifest.jsonl").read_text().splitlines()
    assert [(json.loads(x)["prompt"], json.loads(x)["seed"]) for x in lines] == [
        (prompt, seed) for prompt in ("a red ring", "a blue star") for seed in (0, 1)
    ]
    assert json.loads(lines[0])["model"] and set(json.loads(lines[0])["scores"])
    names = {"contact_sheet.png", "manifest.jsonl"} | {json.loads(x)["file"] for x in lines}
    assert set(os.listdir("f")) == names
    before = (tmp_path / "f" / "a-red-ring_0.png").stat().st_mtime_ns
    assert call("--batch", "list.txt", "--out", "f", "--steps", 2)[0] == 0
    assert (tmp_path / "f" / "a-red-ring_0.png").stat().st_mtime_ns == before

    (tmp_path / "t.tsv").write_text("seed\tprompt\tsteps\tscale\tnegative\n3\ta red ring\t4\t2\tblue\n"
                                    "\ta blue star\n")  # fmt: skip
    assert call("--batch", "t.tsv", "--out", "g", "--steps", 2)[0] == 0
    told = [json.loads(x) for x in (tmp_path / "g" / "manifest.jsonl").read_text().splitlines()]
    keys = ("prompt", "seed", "steps", "scale", "negative")
    assert [[entry[key] for key in keys] for entry in told] == [
        ["a red ring", 3, 4, 2.0, "blue"],
        ["a blue star", 0, 2, 4.0, ""],
    ]
    out = call("a {quality} ring", "--styles", "striped,", "--qualities", "red,blue", "--steps", 1,
               "--json")[1]  # fmt: skip
    assert [entry["prompt"] for entry in json.loads(out)["images"]] == [
        "a red ring, striped", "a blue ring, striped", "a red ring", "a blue ring",
    ]  # fmt: skip


def test_one_failed_prompt_does_not_stop_the_rest(call, tmp_path):
    done = call("a red ring", "elephant", "a blue star", "--out", "f", "--steps", 2)
    refused(done, "1 of 3 images failed", "'elephant'", "manifest.jsonl")
    told = [json.loads(x) for x in (tmp_path / "f" / "manifest.jsonl").read_text().splitlines()]
    assert {entry["prompt"]: entry["file"] is None for entry in told} == {
        "a red ring": False,
        "elephant": True,
        "a blue star": False,
    }


def test_a_disk_that_is_full_in_the_middle(call, tmp_path, monkeypatch):
    left = [5]  # the manifest and two images with their lines

    def full(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert call("a red ring")[0] == 0  # the model is there
    monkeypatch.setattr(manifest.os, "fsync", full)
    done = call("a red ring", "--count", 5, "--steps", 2, "--out", "f")
    refused(done, "No space left on device", "2 of 5 images are finished and kept")
    assert len(list((tmp_path / "f").glob("*.png"))) == 2
    assert len((tmp_path / "f" / "manifest.jsonl").read_text().splitlines()) == 2
    refused(call("a red ring", "--out", "new.png"), "No space left on device", "new.png")
    assert left_over(tmp_path) == ["f", "out.png"]


def save(path, pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def test_only_under_the_mask(call, tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (32, 32, 3))
    save("init.png", image)
    mask = np.zeros((32, 32))
    mask[5:12, 8:21] = 255
    save("mask.png", mask)
    words = ["a red ring", "--init", "init.png", "--mask", "mask.png", "--steps", 4]
    for more in ([], ["--strength", 0.5]):
        assert call(*words, *more)[0] == 0
        found = np.array(open_image("out.png"))
        np.testing.assert_array_equal(found[mask == 0], image[mask == 0])
        inside = found[mask > 0].astype(int)
        assert (inside[:, 0] > 180).all() and (inside[:, 1:] < 80).all()
    # As large as it is shown with --zoom: the same pixels come back.
    Image.open("init.png").resize((64, 64), Image.Resampling.NEAREST).save("init.png")
    Image.open("mask.png").resize((64, 64), Image.Resampling.NEAREST).save("mask.png")
    assert call(*words, "--strength", 0.5)[0] == 0
    np.testing.assert_array_equal(np.array(open_image("out.png")), found)
    # The image of a seed does not depend on what else is drawn.
    assert call(*words, "--strength", 0.5, "--count", 3, "--out", "f")[0] == 0
    assert open_image("f/a-red-ring_0.png").tobytes() == found.astype(np.uint8).tobytes()


def test_a_image_as_the_beginning(call):
    save("init.png", np.full((50, 40, 3), 128))
    status, out, _ = call("a red ring", "--init", "init.png", "--strength", 0.5, "--steps", 4)
    assert status == 0 and "40 x 50 pixels" in out
    red = np.array(open_image("out.png"))[..., 0].mean()
    assert red > 180
    save("light.png", np.full((32, 32, 3), 250) - np.arange(32)[:, None, None])
    assert call("a red ring", "--colours", "light.png", "--steps", 4)[0] == 0
    found, wanted = (to_tensor(open_image(name)) for name in ("out.png", "light.png"))
    torch.testing.assert_close(found.mean((1, 2)), wanted.mean((1, 2)), rtol=0, atol=0.02)


def test_what_begins_with_a_image_keeps_no_gradients(call, monkeypatch):
    seen, plain = [], Folded.to_images

    def watched(space, latents):
        seen.append(torch.is_grad_enabled())
        return plain(space, latents)

    monkeypatch.setattr(Folded, "to_images", watched)
    save("init.png", np.full((32, 32, 3), 128))
    assert call("a red ring", "--init", "init.png", "--steps", 2)[0] == 0
    assert seen and not any(seen)


def test_control_images(call, tmp_path):
    lines = np.zeros((32, 32))
    lines[8, 4:20] = lines[20, 4:20] = lines[8:21, 4] = 255
    save("lines.png", lines)
    words = ["a red ring", "--steps", 3, "--control"]
    assert call(*words, "lines.png", "--kind", "edges")[0] == 0
    found = np.array(open_image("out.png"))
    assert (found[lines > 0] > 240).all() and not (found[lines == 0] > 240).all(-1).any()
    photo = np.full((40, 40, 3), 30)
    photo[10:30, 10:30] = (220, 40, 40)
    save("photo.png", photo)
    assert "edges are looked for" in call(*words, "photo.png", "--kind", "edges")[1]
    white = (np.array(open_image("out.png")) > 240).all(-1)
    assert 20 < white.sum() < 200
    figure = np.zeros((32, 32, 3))
    figure[4:20, 9] = (255, 0, 0)
    save("figure.png", figure)
    assert call(*words, "figure.png", "--kind", "pose")[0] == 0
    save("depth.png", np.add.outer(np.arange(32), np.arange(32)) * 4)
    assert call(*words, "depth.png", "--kind", "depth")[0] == 0

    (tmp_path / "out.png").unlink()
    refused(call(*words, "photo.png", "--kind", "depth"), "photo.png is no depth image")
    save("bright.png", np.full((32, 32, 3), 200))
    refused(call(*words, "bright.png", "--kind", "pose"), "is no pose")
    save("black.png", np.zeros((32, 32, 3)))
    for kind in ("edges", "depth", "pose"):
        refused(call(*words, "black.png", "--kind", kind), f"shows no {kind}")
    (tmp_path / "text.png").write_text("hello")
    refused(call(*words, "text.png", "--kind", "edges"), "text.png is not an image")
    refused(call(*words, "none.png", "--kind", "edges"), "no image at none.png")
    refused(call(*words, "lines.png", "--kind", "sound"), "'sound'")
    refused(call(*words, "lines.png"), "--control says nothing without --kind")
    assert "out.png" not in left_over(tmp_path)


REFUSALS = {
    "no_word": (["elephant"], "'elephant'"),
    "empty": ([""], "no word in it"),
    "spaces": (["a red ring", " "], "no word in it"),
    "nothing": ([], "needs a prompt"),
    "no_steps": (["a red ring", "--steps", 0], "0 steps"),
    "many_steps": (["a red ring", "--steps", 31], "31 steps are not between 1 and the 30"),
    "half_a_step": (["a red ring", "--steps", 2.5], "'2.5'"),
    "nan": (["a red ring", "--scale", "nan"], "scale nan"),
    "inf": (["a red ring", "--scale", "inf"], "scale inf"),
    "abc": (["a red ring", "--scale", "abc"], "'abc'"),
    "seed": (["a red ring", "--seed", -1], "seed -1"),
    "large_seed": (["a red ring", "--seed", 2**32], "seed 4294967296"),
    "last_seed": (["a red ring", "--seed", 2**32 - 1, "--count", 2], "seed 4294967296"),
    "count": (["a red ring", "--count", 0], "--count 0"),
    "zoom": (["a red ring", "--zoom", 0], "--zoom 0"),
    "suffix": (["a red ring", "--out", "a.mp3"], "a.mp3 does not end in .png"),
    "no_suffix": (["a red ring", "--out", "a"], "does not end in .png"),
    "many_in_one": (["a red ring", "--count", 2, "--out", "a.png"], "2 images need a folder"),
    "mask_alone": (["a red ring", "--mask", "m.png"], "--mask says nothing without --init"),
    "strength_alone": (["a red ring", "--strength", 1], "--strength says nothing without --init"),
    "kind_alone": (["a red ring", "--kind", "edges"], "--kind says nothing without --control"),
    "no_table": (["--batch", "none.txt"], "none.txt"),
    "prompt_and_table": (["a red ring", "--batch", "none.txt"], "or --batch FILE"),
    "no_clip": (["a red ring", "--clip", "none"], "none holds no trained model"),
    "unwritable": (["a red ring", "--out", "/proc/a.png"], "/proc"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_a_sentence_and_leave_nothing(name, call, tmp_path):
    words, said = REFUSALS[name]
    refused(call(*words), said)
    assert left_over(tmp_path) == []


def test_masks_and_beginnings_that_do_not_fit(call, tmp_path):
    save("init.png", np.full((32, 32, 3), 90))
    save("large.png", np.full((40, 32), 255))
    save("empty.png", np.zeros((32, 32)))
    words = ["a red ring", "--init", "init.png"]
    refused(call(*words, "--mask", "large.png"), "32 x 40 pixels, but init.png has 32 x 32")
    refused(call(*words, "--mask", "empty.png"), "empty.png is empty")
    refused(call(*words, "--mask", "none.png"), "no image at none.png")
    for strength in (0, 1.5, "nan"):
        refused(call(*words, "--strength", strength), "--strength")
    refused(call("a red ring", "--init", "none.png"), "no image at none.png")
    assert left_over(tmp_path) == ["empty.png", "init.png", "large.png"]


def test_folders_that_cannot_be_and_tables_that_cannot_be_read(call, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    two = ["a red ring", "a blue star"]
    refused(call("a red ring", "--out", "file/out.png"), "cannot be written")
    refused(call(*two, "--out", "file/deep"), "cannot be written")
    refused(call(*two, "--out", "file"), "need a folder")
    refused(call("a red ring", "--out", "folder"), "folder/out.png")
    tables = {
        "a.tsv": (b"words\na\n", "columns"),
        "b.tsv": (b"prompt\tseed\na ring\tx\n", "line 2 of b.tsv"),
        "c.tsv": (b"prompt\tsteps\na ring\t1\n\n\t3\n", "line 4 of c.tsv"),
        "d.tsv": (b"prompt\na ring\tmore\n", "2 cells for 1 columns"),
        "e.tsv": (b"prompt\tscale\na ring\tnan\n", "line 2 of e.tsv: guidance scale nan"),
        "f.txt": (b"\n# none\n", "f.txt has no prompt in it"),
        "g.txt": (b"a r\xe9d ring\n", "g.txt is not UTF-8: byte 3 is 0xe9"),
        "h.tsv": (b"", "h.tsv has no prompt"),
    }
    for name, (content, said) in tables.items():
        (tmp_path / name).write_bytes(content)
        refused(call("--batch", name, "--out", "f"), said)
    assert left_over(tmp_path) == sorted([*tables, "file", "folder"])


def test_words_that_say_nothing_are_told(call):
    out = call("a red elephant ring", "--steps", 1)[1]
    assert re.match("elephant: never seen in training", out)
    assert "never seen" not in call("a red ring", "--steps", 1)[1]


def test_unknown_words_are_named_before_anything_is_trained(call, trained, monkeypatch):
    def training(*words, **settings):
        raise ValueError("the training began")

    monkeypatch.setattr(artifact, "load_or_train", training)
    status, out, err = call("a red dog", "--negative", "a cat", "--steps", 1)
    assert status and "the training began" in err
    assert out.startswith("dog, cat: never seen in training") and "striped, that, the" in out
    refused(call("qwerty 12", "--steps", 1), "'qwerty 12' has no word that this model knows; these")
    said = "--negative 'qwerty' has no word that this model knows; these"
    refused(call("a red ring", "--negative", "qwerty", "--steps", 1), said)
    assert not trained


def test_unknown_words_are_named_as_they_were_written(call):
    out = call("a red Ünicorn ring_x, café 3", "--steps", 1)[1]
    assert out.startswith("ünicorn, x, café: never seen in training")


def test_the_model_of_the_lessons_is_found(call, trained, tmp_path, monkeypatch):
    monkeypatch.delenv("SCRATCHMM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    (tmp_path / "runs" / "generator").mkdir(parents=True)
    save_checkpoint(tmp_path / "runs" / "generator" / "model.pt", {"weight": torch.ones(1)})
    assert call("a red ring", "--steps", 1)[0] == 0
    assert not trained and not (tmp_path / "xdg").exists()
    assert call("a red ring", "--steps", 1, "--cache", tmp_path / "named")[0] == 0
    assert trained == [tmp_path / "named"]


def test_the_largest_zoom_is_the_largest_that_can_be_read_again():
    from scratchmm.apps.image_studio.inputs import SIZE
    from scratchmm.image_formats.kinds import MOST_PIXELS

    most = generate.MOST_ZOOM
    assert (SIZE * most) ** 2 <= MOST_PIXELS < (SIZE * (most + 1)) ** 2
