"""`--mine` with the real lesson 01, in a process of its own: the learner's attention runs in CLIP."""

import subprocess
import sys

import pytest

from scratchmm.exercises import catalogue
from scratchmm.exercises.desk import start
from scratchmm.exercises.progress import Progress
from scratchmm.exercises.stubs import stub_file

LESSON = """
import sys
import torch
from scratchmm.contrastive.clip import CLIP, tiny
from scratchmm.layers import attention
from scratchmm.layers.transformer import TransformerBlock

torch.manual_seed(0)
block, x = TransformerBlock(width=8, heads=2, hidden=16), torch.randn(2, 5, 8)
with attention.watch_attention() as seen:
    plain = block(x, mask=attention.causal_mask(5))
assert [tuple(weights.shape) for weights in seen] == [(2, 2, 5, 5)]
torch.testing.assert_close(seen[0].sum(-1), torch.ones(2, 2, 5))
assert seen[0].triu(1).abs().max() == 0
with attention.attention_backend("tiled"):
    torch.testing.assert_close(block(x, mask=attention.causal_mask(5)), plain)
model = CLIP(tiny())
size = model.config.vision.image_size
images, tokens = torch.randn(2, 3, size, size), torch.full((2, 8), model.config.text.end_token)
model(images, tokens).image_embeddings.sum().backward()
assert type(block.attention).__module__ == sys.argv[1], type(block.attention).__module__
assert attention.causal_mask.__module__ == sys.argv[2], attention.causal_mask.__module__
"""


@pytest.mark.parametrize(
    "passed, layer, mask",
    [
        ("all", "scratchmm.exercises.lessons.01_attention.multi_head_attention", "learner_01_attention"),
        ("attention.attend", "scratchmm.layers.attention", "scratchmm.layers.attention"),
        ("attention.causal_mask", "scratchmm.layers.attention", "learner_01_attention"),
    ],
)  # fmt: skip
def test_any_subset_of_lesson_01_runs_in_clip(tmp_path, monkeypatch, passed, layer, mask):
    exercises = catalogue.lessons()["01_attention"]
    ids = [one.id for one in exercises if passed in ("all", one.id)]
    folder = tmp_path / "exercises"
    start(folder)
    (folder / "01_attention.py").write_text(stub_file(exercises, solved=ids))
    for one in exercises:
        if one.id in ids:
            Progress(folder).mark(one)
    (tmp_path / "lesson.py").write_text(LESSON)
    monkeypatch.setenv("SCRATCHMM_LESSONS", "01")
    command = [
        sys.executable,
        "-m",
        "scratchmm",
        "learn",
        "run",
        "lesson.py",
        "--mine",
        layer,
        mask,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()[-1]
    assert told.startswith("yours: ") and told.endswith("; all else is the library's")
    named = set(told.removeprefix("yours: ").partition(";")[0].split(", "))
    assert named <= set(ids) and (passed == "all" or named == set(ids))
    if passed == "all":  # CLIP keeps no cache, so none is claimed
        called = {"attention.attend", "attention.MultiHeadAttention", "attention.causal_mask"}
        assert called <= named and "attention.KeyValueCache" not in named
