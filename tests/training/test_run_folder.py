"""A folder belongs to one run at a time, and a run to its data and its code."""

import inspect
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from scratchmm.claims import LOCK, claimed
from scratchmm.needed_code import code_hash
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes.datasets import TrainingSet
from scratchmm.training import run_folder
from scratchmm.training.curve import read_curve
from scratchmm.training.fingerprint import content_of
from scratchmm.training.fit import fit
from scratchmm.training.run_folder import DATA, code_of_run


def test_what_holds_the_folder_does_not_hide_the_function():
    assert fit.__name__ == "fit" and "in place" in fit.__doc__
    assert {"model", "steps", "folder"} <= set(inspect.signature(fit).parameters)


def batch_at(step):
    return torch.full((2, 1), step + 1.0)


def loss(model, batch):
    return model(batch).square().mean()


def run(folder, **options):
    torch.manual_seed(0)
    return fit(nn.Linear(1, 1), batch_at, loss, steps=4, folder=folder, **options)


# One at a time


def test_a_second_run_in_the_folder_is_refused_while_the_first_lives(tmp_path):
    def second(step):
        if step == 2:
            with pytest.raises(OSError, match=f"{tmp_path} is in use by another run"):
                run(tmp_path, resume=False)
        return batch_at(step)

    torch.manual_seed(0)
    fit(nn.Linear(1, 1), second, loss, steps=4, save_every=1, folder=tmp_path)
    assert len(read_curve(tmp_path / "curve.csv")) == 4
    assert (tmp_path / "checkpoint.pt").exists()  # the second forgot none of it
    run(tmp_path, resume=False)  # and the place is free again
    assert LOCK not in os.listdir(tmp_path)


def test_a_killed_run_holds_nothing(tmp_path):
    code = (
        "import sys, time\nfrom scratchmm.claims import claimed\n"
        "with claimed(sys.argv[1]):\n    print('mine', flush=True)\n    time.sleep(60)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "mine\n"
        left = tmp_path / f".checkpoint.pt.{child.pid}-1.part"
        left.touch()
        with pytest.raises(OSError, match="in use by another run"), claimed(tmp_path):
            pass
        assert left.exists()
        child.send_signal(signal.SIGKILL)
    with claimed(tmp_path):
        assert not left.exists()
    assert os.listdir(tmp_path) == []


def test_a_refused_run_leaves_no_folder_behind(tmp_path):
    with pytest.raises(ValueError, match="device 'abacus'"):
        run(tmp_path / "a" / "b", device="abacus")
    assert os.listdir(tmp_path) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="device 'abacus'"):
        run(tmp_path / "empty", device="abacus")
    assert os.listdir(tmp_path) == ["empty"]


def test_a_file_that_is_taken_away_meanwhile_ends_the_run(tmp_path):
    def taking(step):
        if step == 2:
            (tmp_path / "curve.csv").unlink()
        return batch_at(step)

    with pytest.raises(FileNotFoundError, match="curve.csv was taken away while the run was"):
        fit(nn.Linear(1, 1), taking, loss, steps=4, folder=tmp_path)


def test_a_stopped_run_says_what_is_kept(tmp_path):
    def stopping(step):
        if step == 3:
            raise KeyboardInterrupt
        return batch_at(step)

    for every, notes in ((100, []), (2, [f"What was saved is in {tmp_path}: the same command"])):
        with pytest.raises(KeyboardInterrupt) as stop:
            fit(nn.Linear(1, 1), stopping, loss, steps=4, save_every=every, folder=tmp_path)
        said = getattr(stop.value, "__notes__", [])
        assert [note[: len(begin)] for note, begin in zip(said, notes, strict=True)] == notes


def test_a_image_of_the_curve_that_fails_is_said_and_no_more(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "curve.png").mkdir()
    said = []
    assert len(run(tmp_path, log=said.append)) == 4
    assert len(said) == 1 and said[0].startswith("There is no image of the curve: ")
    assert str(tmp_path / "curve.png") in said[0]


# Its data and its code


def test_other_data_under_the_same_words_are_refused(tmp_path):
    run(tmp_path, settings={DATA: "a"})
    with pytest.raises(ValueError, match=r"was trained on other data than was read now.*--fresh"):
        run(tmp_path, settings={DATA: "b"})
    run(tmp_path, settings={DATA: "b"}, resume=False)


def test_other_code_is_refused(tmp_path, monkeypatch):
    run(tmp_path)
    monkeypatch.setattr(run_folder, "_code_of_modules", lambda names, root: "another")
    with pytest.raises(ValueError, match=r"was trained by other code of the model.*--fresh"):
        run(tmp_path)
    run(tmp_path, resume=False)


def test_a_checkpoint_that_is_no_runs_is_refused(tmp_path):
    from scratchmm.training.checkpoint import save_checkpoint

    save_checkpoint(tmp_path / "checkpoint.pt", {"model": {}})
    with pytest.raises(ValueError, match="checkpoint.pt is no checkpoint of a run"):
        run(tmp_path)


def test_the_code_of_model_loss_batches_and_what_they_hold_counts(monkeypatch):
    data = TrainingSet(torch.rand(4, 3, 8, 8), [*"abcd"], None, [*"abcd"], {})
    few = replace(clip_recipe.SETTINGS, width=16, depth=1, batch=2)
    clip = clip_recipe.build(few, data)
    seen = []
    monkeypatch.setattr(run_folder, "code_hash", lambda files, root: seen.append(set(files)) or "")
    run_folder._code_of_modules.cache_clear()
    for change in (None, "random_shift"):
        batches = clip_recipe.batches(replace(few, augment=change), clip, data)
        code_of_run(clip.model, batches, clip_recipe.loss)
    plain, varied = ({path.name for path in files} for files in seen)
    assert {"clip.py", "vit.py", "text_transformer.py", "fit.py"} <= plain
    assert varied - plain == {"augment.py"}


def test_the_hash_of_the_code_is_of_what_stands_in_the_files(tmp_path):
    package = tmp_path / "scratchmm"
    package.mkdir()
    (package / "__init__.py").write_text("")
    file = package / "model.py"
    file.write_text("WIDTH = 3\n")
    before = code_hash([file], tmp_path)
    file.write_text('"""Why."""\nWIDTH = 3  # because\n')
    assert code_hash([file], tmp_path) == before
    file.write_text("WIDTH = 4\n")
    assert code_hash([file], tmp_path) != before


def test_every_part_of_the_content_counts():
    images, labels, texts = torch.rand(3, 1, 4, 4) * 2 - 1, torch.tensor([0, 1, 2]), ["a", "b"]
    base = content_of(images, labels, texts)
    assert content_of(images.clone(), labels, list(texts)) == base
    other = images.clone()
    other[2, 0, 3, 3] = -other[2, 0, 3, 3]
    changed = [
        (other, labels, texts),
        (images.flip(0), labels, texts),
        (images.view(3, 1, 2, 8), labels, texts),
        (images, labels.flip(0), texts),
        (images, None, texts),
        (images, labels, ["ab"]),
        (images, labels, ["a", "b", ""]),
    ]
    found = {content_of(*parts) for parts in changed}
    assert len(found) == len(changed) and base not in found


def test_large_sets_are_read_to_their_end():
    images = torch.zeros(9_000, 1, 2, 2)
    before, start = content_of(images), time.perf_counter()
    images[-1, 0, 1, 1] = 1
    assert content_of(images) != before and time.perf_counter() - start < 5
