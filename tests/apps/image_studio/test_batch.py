"""Batches: finished images are kept and failures recorded, whatever happens to disk or process."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.apps.image_studio import manifest
from scratchmm.apps.image_studio.batch import run_batch
from scratchmm.apps.image_studio.contact_sheet import CELL, GAP, LINE, LINES
from scratchmm.apps.image_studio.jobs import Job, file_names, variations
from scratchmm.apps.image_studio.manifest import begin_manifest
from scratchmm.files import atomic_write
from scratchmm.vision.images import open_image, to_image


@pytest.fixture(scope="module", autouse=True)
def quick():
    """To wait until the disk has everything is right, and slow: not in hundreds of small batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest.os, "fsync", lambda handle: None)
        yield


class Painter:
    """Draws one even colour of prompt, seed, steps, scale and negative; counts what it drew."""

    def __init__(self, refuses=()):
        self.refuses, self.drawn, self.calls = refuses, [], []

    def __call__(self, prompts, *, seeds, steps, scale, negative):
        self.calls.append(len(prompts))
        for prompt in prompts:
            if prompt in self.refuses:
                raise ValueError(f"{prompt!r} has no\nknown word")
        self.drawn += zip(prompts, seeds, strict=True)
        return torch.stack(
            [self.image(*one, steps, scale, negative) for one in zip(prompts, seeds, strict=True)]
        )

    @staticmethod
    def image(prompt, seed, steps, scale, negative):
        rng = torch.Generator().manual_seed(sum(map(ord, prompt + "|" + negative)) + 1000 * seed)
        return (2 * torch.rand(3, 6, 5, generator=rng) - 1) * scale / (scale + steps)


def entries_and_files(folder):
    """What the manifest says and what there is; every line and every image can be read."""
    text = (folder / "manifest.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n") or text == ""
    listed = [json.loads(line) for line in text.splitlines()]
    files = sorted(path.name for path in folder.glob("*.png") if path.name != "contact_sheet.png")
    for name in files:
        open_image(folder / name)
    assert not list(folder.glob(".*")), "something half written was left"
    assert sorted(entry["file"] for entry in listed if entry["file"]) == files
    return listed, files


JOBS = variations([Job("a red ring"), Job("a blue star", negative="red", steps=9)], [3, 4, 5])


def test_a_batch_leaves_images_a_manifest_and_a_sheet(tmp_path):
    draw, folder = Painter(), tmp_path / "new" / "folder"

    def score(image, prompt):
        return {"light": image.mean().item(), "words": len(prompt.split())}

    found = run_batch(JOBS, draw, folder, score=score, settings={"model": "abc"}, zoom=2)
    listed, files = entries_and_files(folder)
    assert found == listed and len(files) == 6 and draw.calls == [3, 3]
    for job, entry in zip(JOBS, found, strict=True):
        assert entry["error"] is None and entry["model"] == "abc" and entry["zoom"] == 2
        for key in ("prompt", "negative", "seed", "steps", "scale"):
            assert entry[key] == getattr(job, key)
        wanted = Painter.image(job.prompt, job.seed, job.steps, job.scale, job.negative)
        there = np.array(open_image(folder / entry["file"]))
        enlarged = np.array(to_image(wanted)).repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(there, enlarged)
        assert entry["scores"]["words"] == 3
        assert entry["scores"]["light"] == pytest.approx(wanted.mean().item(), abs=1e-4)
    assert open_image(folder / "contact_sheet.png").size == (
        6 * (CELL + GAP) + GAP,
        CELL + LINE * LINES + 2 * GAP,
    )


def test_what_is_finished_is_not_drawn_again_and_what_changed_is(tmp_path):
    run_batch(JOBS[:4], Painter(), tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in file_names(JOBS[:4])}
    draw = Painter()
    found = run_batch(JOBS, draw, tmp_path)
    assert draw.drawn == [(job.prompt, job.seed) for job in JOBS[4:]]
    assert [entry["seed"] for entry in found] == [job.seed for job in JOBS]
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in before}

    changed = [Job(job.prompt, job.negative, job.seed, 7, job.scale) for job in JOBS[:2]]
    draw = Painter()
    run_batch(changed, draw, tmp_path)
    assert len(draw.drawn) == 2
    listed, files = entries_and_files(tmp_path)
    assert len(files) == 6 and sum(entry["steps"] == 7 for entry in listed) == 2
    one = Painter.image(changed[0].prompt, 3, 7, 4.0, "")
    assert open_image(tmp_path / "a-red-ring_3.png").tobytes() == to_image(one).tobytes()

    for options in ({"settings": {"model": "b"}}, {"settings": {"model": "b"}, "zoom": 3}):
        draw = Painter()
        run_batch(JOBS, draw, tmp_path, **options)  # other weights, or another size, draw all anew
        assert len(draw.drawn) == 6 and len(entries_and_files(tmp_path)[1]) == 6
        run_batch(JOBS, draw, tmp_path, **options)
        assert len(draw.drawn) == 6
    (tmp_path / "a-red-ring_4.png").unlink()
    run_batch(JOBS, draw, tmp_path, **options)
    assert draw.drawn[6:] == [("a red ring", 4)]


LONG = "a small red ring left of a large blue star on a striped "
PAIRS_OF_PROMPTS = {
    "other signs": ("a red ring", "a red ring!"),
    "case": ("a red ring", "A Red Ring"),
    "the same first letters": (LONG + "green ground", LONG + "black ground"),
    "letters outside of a to z": ("красный", "红色"),
}


@pytest.mark.parametrize("what", PAIRS_OF_PROMPTS)
@pytest.mark.parametrize("together", [False, True])
def test_no_prompt_takes_the_place_of_another(what, together, tmp_path):
    first, second = (Job(prompt) for prompt in PAIRS_OF_PROMPTS[what])
    batches = [[first, second]] if together else [[first], [second]]
    for _ in range(2):  # the second time there is nothing to draw
        draw = Painter()
        found = [entry for batch in batches for entry in run_batch(batch, draw, tmp_path)]
    assert draw.drawn == []
    listed, files = entries_and_files(tmp_path)
    assert sorted(entry["prompt"] for entry in listed) == sorted(PAIRS_OF_PROMPTS[what])
    assert found == [next(e for e in listed if e["prompt"] == j.prompt) for j in (first, second)]
    for job, entry in zip((first, second), found, strict=True):
        wanted = to_image(Painter.image(job.prompt, 0, 20, 4.0, ""))
        assert open_image(tmp_path / entry["file"]).tobytes() == wanted.tobytes()
    run_batch([second, first], Painter(), tmp_path)  # in another order: each to its own place
    assert entries_and_files(tmp_path) == (listed, files)


def test_another_negative_is_another_image_and_other_steps_are_not(tmp_path):
    run_batch([Job("a ring")], Painter(), tmp_path)
    run_batch([Job("a ring", negative="red")], Painter(), tmp_path)
    assert entries_and_files(tmp_path)[1] == ["a-ring_0.png", "a-ring_0_2.png"]
    (again,) = run_batch([Job("a ring", negative="red", steps=7)], Painter(), tmp_path)
    assert again["file"] == "a-ring_0_2.png"
    both = [Job("a ring", steps=9), Job("a ring")]
    assert [entry["file"] for entry in run_batch(both, Painter(), tmp_path)] == [
        "a-ring_0_3.png",
        "a-ring_0.png",
    ]


def test_images_of_a_folder_without_a_manifest_stay(tmp_path):
    (tmp_path / "a-ring_0.png").write_bytes(b"mine")
    (entry,) = run_batch([Job("a ring")], Painter(), tmp_path)
    assert entry["file"] == "a-ring_0_2.png" and (tmp_path / "a-ring_0.png").read_bytes() == b"mine"


def test_a_manifest_that_points_elsewhere_moves_nothing(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (tmp_path / "out.png").write_bytes(b"mine")
    entry = {"file": "../out.png", "prompt": "a ring", "negative": "", "seed": 0, "steps": 3}
    begin_manifest(folder, [entry])
    run_batch([Job("a ring")], Painter(), folder)
    assert (tmp_path / "out.png").read_bytes() == b"mine" and (folder / "a-ring_0.png").is_file()


def test_a_second_batch_into_the_folder_waits(tmp_path):
    def draw(prompts, **rest):
        with pytest.raises(OSError, match="is in use by another run"):
            run_batch([Job("b")], Painter(), tmp_path)
        return torch.zeros(len(prompts), 3, 4, 4)

    run_batch([Job("a")], draw, tmp_path)
    assert entries_and_files(tmp_path)[1] == ["a_0.png"]


def test_more_pixels_than_are_read_again_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="zoom 1500 makes 67,500,000 pixels, more than the 64,000,"
    ):
        run_batch([Job("a")], Painter(), tmp_path, zoom=1500)
    assert entries_and_files(tmp_path) == ([], [])


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 10)), st.integers(1, 12))
def test_failures_stop_no_other_and_are_tried_again(failing, batch_size):
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp())
    jobs = [Job(f"thing number {n}", seed=n) for n in range(11)]
    bad = {f"thing number {n}" for n in failing}
    draw = Painter(refuses=bad)
    found = run_batch(jobs, draw, folder, batch_size=batch_size)
    listed, files = entries_and_files(folder)
    assert len(listed) == 11 and len(files) == 11 - len(bad)
    for job, entry in zip(jobs, found, strict=True):
        assert (entry["file"] is None) == (job.prompt in bad)
        assert entry["error"] == (
            f"{job.prompt!r} has no known word" if job.prompt in bad else None
        )
    assert sorted(draw.drawn) == sorted((j.prompt, j.seed) for j in jobs if j.prompt not in bad)
    assert (folder / "contact_sheet.png").exists() == (len(bad) < 11)

    again = Painter()
    run_batch(jobs, again, folder)
    assert {prompt for prompt, _ in again.drawn} == bad
    assert len(entries_and_files(folder)[0]) == 11


def test_values_that_are_no_numbers_are_failures(tmp_path):
    def draw(prompts, *, seeds, **rest):
        images = torch.zeros(len(prompts), 3, 4, 4)
        images[[i for i, seed in enumerate(seeds) if seed == 1], 0, 0, 0] = float("nan")
        return images

    def score(image, prompt):
        return {"alike": float("inf") if prompt == "b" else 1.0}

    jobs = [Job("a"), Job("a", seed=1), Job("b")]
    found = run_batch(jobs, draw, tmp_path, score=score)
    assert [entry["error"] is None for entry in found] == [True, False, False]
    assert "no number" in found[1]["error"] and "alike" in found[2]["error"]
    entries_and_files(tmp_path)


@pytest.mark.parametrize("writes", range(15))
def test_a_full_disk_keeps_what_is_finished(writes, tmp_path, monkeypatch):
    """Six images make 14 files and lines: the manifest, 6 x (image, line), and the sheet."""
    left, sync = [writes], os.fsync

    def full(handle):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        sync(handle)

    monkeypatch.setattr(manifest.os, "fsync", full)
    if writes == 14:
        run_batch(JOBS, Painter(), tmp_path, batch_size=2)
        return
    with pytest.raises(OSError) as refused:
        run_batch(JOBS, Painter(), tmp_path, batch_size=2)
    said, finished = str(refused.value), max(0, writes - 1) // 2
    assert "could not be written: No space left on device" in said and "\n" not in said
    monkeypatch.setattr(manifest.os, "fsync", sync)
    if writes == 0:
        assert not list(tmp_path.iterdir())
    else:
        assert f"{finished} of 6 images are finished and kept" in said
        assert len(entries_and_files(tmp_path)[1]) == finished
    draw = Painter()
    run_batch(JOBS, draw, tmp_path)
    assert len(draw.drawn) == 6 - finished and len(entries_and_files(tmp_path)[0]) == 6


def test_a_killed_batch_goes_on(tmp_path):
    code = f"""
import time, torch
from scratchmm.apps.image_studio.batch import run_batch
from scratchmm.apps.image_studio.jobs import Job
def draw(prompts, *, seeds, **rest):
    time.sleep(0.05)
    return torch.stack([torch.full((3, 4, 4), seed / 100) for seed in seeds])
jobs = [Job("a ring", seed=seed) for seed in range(100)]
run_batch(jobs, draw, {str(tmp_path)!r}, batch_size=1)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    while len(list(tmp_path.glob("*.png"))) < 4 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / "manifest.jsonl").open("ab").write(b'{"file": "a-ring_99.png", "se')  # torn
    draw = Painter()
    jobs = [Job("a ring", seed=seed) for seed in range(12)]
    run_batch(jobs, draw, tmp_path)
    # Of the images that stood, at most the very last had no line yet.
    assert 12 - len(draw.drawn) >= 3
    listed, files = entries_and_files(tmp_path)
    assert len(listed) == len(files) >= 12


def test_a_foreign_manifest_is_not_overwritten(tmp_path):
    for content in (b"hello\n", b"[1]\n", b'{"a": 1}\n', b"\x00\x00\n", b"3\n"):
        (tmp_path / "manifest.jsonl").write_bytes(b'{"file": null}\n' + content)
        with pytest.raises(ValueError, match=r"line 2 of .* is no entry"):
            run_batch(JOBS, Painter(), tmp_path)
        assert (tmp_path / "manifest.jsonl").read_bytes().endswith(content)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interruption_keeps_what_was_written(tmp_path):
    class Interrupted(Painter):
        def __call__(self, prompts, **rest):
            if len(self.drawn) >= 4:
                raise KeyboardInterrupt
            return super().__call__(prompts, **rest)

    with pytest.raises(KeyboardInterrupt):
        run_batch(JOBS, Interrupted(), tmp_path, batch_size=2)
    assert len(entries_and_files(tmp_path)[1]) >= 3


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        run_batch(JOBS, Painter(), tmp_path / "file")
    with pytest.raises(OSError, match="could not be written"):
        atomic_write(tmp_path / "file" / "out.png", b"x")
    with pytest.raises(OSError, match="could not be written"):
        atomic_write(tmp_path, b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
