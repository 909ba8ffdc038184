"""The command line: errors are sentences, statuses mean something, nothing is imported early."""

import os
import signal
import subprocess
import sys
import time
import types

import pytest

import scratchmm
import scratchmm.commands as commands
from scratchmm.commands import COMMANDS, main


def install(monkeypatch: pytest.MonkeyPatch, name: str, run) -> None:
    """Puts a command in the place of a real one."""
    module = types.ModuleType(f"scratchmm.commands.{name}")

    def add(subparsers) -> None:
        parser = subparsers.add_parser(name, help=COMMANDS[name])
        parser.add_argument("--count", type=int)

    module.add, module.run = add, run
    monkeypatch.setitem(sys.modules, f"scratchmm.commands.{name}", module)
    monkeypatch.setattr(commands, name, module, raising=False)


def raising(error: BaseException):
    def run(arguments) -> int:
        raise error

    return run


def test_a_command_gets_its_arguments_and_its_status_is_returned(monkeypatch) -> None:
    install(monkeypatch, "tour", lambda arguments: arguments.count)
    assert main(["tour", "--count", "3"]) == 3
    assert main(["tour", "--count", "0"]) == 0


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ValueError("width 64 is not divisible by 3 heads"),
            "width 64 is not divisible by 3 heads",
        ),
        (ValueError("two\n  lines"), "two lines"),
        (
            FileNotFoundError(2, "No such file or directory", "a.tsv"),
            "No such file or directory: a.tsv",
        ),
        (ImportError("images need matplotlib"), "images need matplotlib"),
        (KeyError("red"), "unexpected KeyError: 'red' (--debug shows where)"),
        (ValueError(), "unexpected ValueError (--debug shows where)"),
    ],
)
def test_an_error_is_one_sentence(monkeypatch, capsys, error, sentence) -> None:
    install(monkeypatch, "tour", raising(error))
    assert main(["tour"]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: {sentence}\n")


@pytest.mark.parametrize("words", [["--debug", "tour"], ["tour", "--debug"]])
def test_debug_shows_the_traceback(monkeypatch, capsys, words) -> None:
    install(monkeypatch, "tour", raising(ValueError("no")))
    assert main(words) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interruption_is_130(monkeypatch, capsys) -> None:
    install(monkeypatch, "tour", raising(KeyboardInterrupt()))
    assert main(["tour"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_unknown_command_names_the_nearest(capsys) -> None:
    assert main(["toor"]) == 2
    assert capsys.readouterr().err == "error: there is no command 'toor': did you mean tour?\n"
    assert main(["zzz"]) == 2
    assert "tour, learn, train, generate, bench, data, lessons" in capsys.readouterr().err


def test_a_wrong_option_is_one_sentence_and_2(monkeypatch, capsys) -> None:
    install(monkeypatch, "tour", lambda arguments: 0)
    for words in (["tour", "--colour"], ["tour", "--count", "many"], ["--colour"]):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1


def test_help_is_0_and_no_command_is_2(capsys) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    assert main([]) == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_same_summary(name, capsys) -> None:
    assert main([name, "--help"]) == 0
    assert f"scratchmm {name}" in capsys.readouterr().out


def test_the_version_is_told(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"scratchmm {scratchmm.__version__}\n"


def test_bench_refuses_a_device_that_is_not_there(capsys) -> None:
    assert main(["bench", "attention", "--device", "foo"]) == 1
    said = "error: device 'foo' is none of cpu, cuda, mps and auto\n"
    assert capsys.readouterr().err == said


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from scratchmm.commands import main; main(['--help']); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def child(code: str) -> list[str]:
    """A process whose `tour` runs `code`."""
    return [
        sys.executable,
        "-c",
        "import sys, types, time, scratchmm.commands as commands\n"
        "module = types.ModuleType('scratchmm.commands.tour')\n"
        "module.add = lambda subparsers: subparsers.add_parser('tour')\n"
        f"def run(arguments):\n    {code}\n    return 0\n"
        "module.run = run\n"
        "sys.modules['scratchmm.commands.tour'] = commands.tour = module\n"
        "sys.exit(commands.main(['tour']))",
    ]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("code", ["print('x')", "[print('x' * 1000) for _ in range(1000)]"])
def test_a_reader_that_leaves_early_is_no_error(code: str, unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}  # the empty string is off
    done = subprocess.run(
        child(code), stdout=writing, stderr=subprocess.PIPE, env=environment, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_control_c_ends_a_run_without_a_traceback() -> None:
    process = subprocess.Popen(
        child("print('on', flush=True); time.sleep(30)"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A job in the background of a script is born deaf to control-C: let it hear.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == b"on\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, b"interrupted\n")
