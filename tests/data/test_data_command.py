import json
import socket

import pytest
from PIL import Image

from scratchmm.commands import main
from scratchmm.data.sets.download import SOURCES, Source
from scratchmm.data.world.captions import wordings
from scratchmm.data.world.scenes import Scene, Thing


def test_show_draws_a_sheet_and_tells_the_scenes(tmp_path, capsys):
    out = tmp_path / "deep" / "sheet.png"
    assert main(["data", "show", "--things", "2", "--count", "5", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.count("?") == 15 and "  5. " in text and str(out) in text
    with Image.open(out) as sheet:
        assert sheet.size == (4 * 208, 2 * 248)


def test_show_as_json_holds_all_facts_and_the_seed_fixes_them(capsys):
    printed = []
    for seed in (3, 3, 4):
        assert main(["data", "show", "--json", "--count", "2", "--seed", str(seed)]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]
    for row in json.loads(printed[0]):
        scene = Scene(tuple(Thing(**thing) for thing in row["things"]), tuple(row["background"]))
        assert row["wordings"] == wordings(scene) and len(row["questions"]) > 5


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--things", "9"), ("--count", "0"), ("--size", "0"), ("--seed", "-1")],
        *[("--size", "1000000000"), ("--count", "100000000")],
    ],
)
def test_what_cannot_be_shown_is_an_error_and_writes_nothing(tmp_path, capsys, option, value):
    out = tmp_path / "sheet.png"
    assert main(["data", "show", option, value, "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert not out.exists() and (option == "--things" or option in said.err)


def test_a_size_of_0_is_refused_also_where_nothing_is_drawn(capsys):
    assert main(["data", "show", "--size", "0"]) == 1
    assert capsys.readouterr().err == "error: --size must lie between 1 and 1,024, not at 0\n"


def test_check_counts_pairs_and_names_problems(tmp_path, capsys):
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png")
    table = tmp_path / "pairs.tsv"
    table.write_text("file\ttext\na.png\tone\n")
    assert main(["data", "check", str(table)]) == 0
    assert "1 of 1 pairs" in capsys.readouterr().out
    table.write_text("file\ttext\na.png\tone\n" + "b.png\ttwo\n" * 12)
    assert main(["data", "check", str(table)]) == 1
    text = capsys.readouterr().out
    assert "1 of 13 pairs" in text and "line 3 of" in text and "and 2 more" in text
    assert main(["data", "check", "--json", str(table)]) == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 12
    table.write_text("")
    assert main(["data", "check", str(table)]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {table} is empty: it needs a header with the columns \
file and text\n"
    )


def test_a_download_without_a_network_fails_in_a_sentence(tmp_path, capsys, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setitem(SOURCES, "mnist", Source((address,), SOURCES["mnist"].md5))
    assert main(["data", "download", "mnist", "--root", str(tmp_path)]) == 1
    assert "could not reach 127.0.0.1" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
