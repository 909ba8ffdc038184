"""Limits: every way in which a learner's code can misbehave ends in a sentence."""

import time

import pytest
import torch

from scratchmm.exercises import check
from scratchmm.exercises.checking import check_file
from scratchmm.exercises.worker import limited


def written(tmp_path, body, before=""):
    path = tmp_path / "99_fake.py"
    path.write_text(f"{before}\n\ndef scaled(x, by=2.0):\n    {body}\n")
    return path


@pytest.mark.parametrize(
    "body, told",
    [
        ("while True: pass", "is there a loop that never ends?"),
        ("import time; time.sleep(60)", "still running after 6 s, most of them idle"),
        ("hoard = [bytearray(1 << 20) for _ in range(1 << 16)]", "more than that"),
        ("import torch; return torch.zeros(1 << 16, 1 << 16)", "more than that"),
        ("import os; os._exit(7)", "ended the process itself, with status 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL"),
        ("exit()", "exit(None)"),
        ("return scaled(x)", "RecursionError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_misbehaviour_ends_in_a_sentence(fake, tmp_path, body, told):
    began = time.monotonic()
    path = written(tmp_path, body)
    report = check_file(path, fake["fake.scaled"], seconds=1.0, memory=1 << 27)
    assert report.status == "wrong" and told in report.got, report
    assert report.called == "scaled(x (B=2, D=3))"
    assert time.monotonic() - began < 10


def rests(seconds, say):
    time.sleep(seconds)
    return "done"


def test_a_busy_machine_is_not_the_learners_mistake():
    """Limited is what a job takes of the processor, not how long it has to wait for its turn."""
    assert limited(rests, 1.0, seconds=0.5).value == "done"


def test_a_file_that_never_loads_could_not_run(fake, tmp_path):
    path = written(tmp_path, "return x", before="while True: pass")
    report = check_file(path, fake["fake.scaled"], seconds=1.0)
    assert report.status == "error" and report.exit_status == 3 and "loading" in report.note


def test_what_the_learner_prints_does_not_reach_stdout(fake, tmp_path, capfd):
    path = written(tmp_path, "print('hello'); return x * by + 3")
    assert check_file(path, fake["fake.scaled"]).status == "passed"
    assert "hello" not in capfd.readouterr().out


def test_a_check_works_after_this_process_has_used_threads_and_gradients(fake, tmp_path):
    weight = torch.randn(300, 300, requires_grad=True)
    (weight @ weight).sum().backward()
    path = written(tmp_path, "y = (x.clone() @ x.T.clone()); return x * by + 3")
    assert check_file(path, fake["fake.scaled"]).status == "passed"


def test_a_mistake_of_the_job_is_not_the_learner_s():
    def job(say):
        raise KeyError("engine")

    assert "mistake of its own" in limited(job).reason


def test_the_learner_s_other_answers_do_not_matter(fake, tmp_path):
    path = tmp_path / "99_fake.py"
    path.write_text(
        "import torch\n"
        "class Scaler(torch.nn.Module):\n"
        "    def __init__(self, width):\n"
        "        super().__init__()\n"
        "        self.gain = torch.nn.Parameter(torch.ones(width))\n"
        "    def forward(self, x):\n"
        "        return (scaled(x) - 3) / 2 * self.gain\n"
        "def scaled(x, by=2.0):\n"
        "    raise RuntimeError('this one is broken')\n"
    )
    assert check_file(path, fake["fake.Scaler"]).status == "passed"
    report = check_file(path, fake["fake.scaled"])
    assert (
        report.status == "wrong"
        and report.note == "line 9: `raise RuntimeError('this one is broken')`"
    )


def test_an_object_without_a_file_is_checked_too(fake):
    namespace: dict = {}
    exec("def scaled(x, by=2.0):\n    return x * by", namespace)
    report = check(namespace["scaled"])
    assert report.status == "wrong" and [w["id"] for w in report.looks_like] == ["no-shift"]
    assert check(lambda x, by=2.0: x * by + 3, "fake.scaled").status == "passed"
    with pytest.raises(ValueError, match=r"did you mean fake.scaled\?$"):
        check(lambda x: x, "fake.scald")
