"""Each benchmark runs, on sizes so small that its times mean nothing, and its rows are whole."""

import copy
import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scratchmm.bench import (
    attention,
    busy,
    clip,
    fusion,
    resnet,
    sides,
    unet,
    vae,
    vilt,
    vit,
    world,
)
from scratchmm.bench.measure import Row
from scratchmm.commands import bench, main
from scratchmm.contrastive.clip import tiny as tiny_clip
from scratchmm.diffusion.unet import tiny as tiny_unet
from scratchmm.diffusion.unet import tiny_with_context
from scratchmm.diffusion.vae import tiny as tiny_vae
from scratchmm.fusion.modalities import Cost
from scratchmm.fusion.vilt import tiny as tiny_vilt
from scratchmm.layers.attention import MultiHeadAttention
from scratchmm.vision.resnet import ResNetConfig
from scratchmm.vision.vit import tiny as tiny_vit


def check(rows: list[Row], count: int) -> None:
    assert len({row.case for row in rows}) == len(rows) == count
    for row in rows:
        assert row.ours_ms > 0 and row.peer_ms > 0 and row.ratio > 0


def test_attention_and_its_memory() -> None:
    rows = attention.rows(
        rounds=1,
        shape=(2, 3, 33, 4),
        long=(1, 1, 4096, 8),
        goals={"tiled": None, "plain": None},
        decoder=(12, 3, 7),
        kept_goal=1e9,
    )
    check(rows, 7)
    assert all(row.met for row in rows if "memory" in row.case)
    assert "one by one, against 7 " in rows[-1].case and rows[-1].goal == 1e9
    assert attention.DECODER == (384, 6, 1500) and attention.KEPT_GOAL == 1 / 8


def test_the_decoder_that_keeps_its_context_projects_it_once(monkeypatch) -> None:
    projected = []
    project = MultiHeadAttention.project
    monkeypatch.setattr(
        MultiHeadAttention,
        "project",
        lambda layer, source: projected.append(source.shape[1]) or project(layer, source),
    )
    works = {}
    monkeypatch.setattr(
        attention, "compare", lambda case, ours, peer, **_: works.update(a=ours, b=peer)
    )
    attention.token_by_token("cpu", 1, (12, 3, 7), 1.0)
    for name, contexts in (("a", 0), ("b", 8)):
        projected.clear()
        works[name][1]()
        assert projected.count(7) == contexts and projected.count(1) == 8


def test_a_busy_machine_is_made_and_ends() -> None:
    rows = busy.rows(rounds=1, steps=1, batch=3, goals=(None, 1e9))
    check(rows, 2)
    assert [row.goal for row in rows] == [None, 1e9] and busy.BUSY == 1.3 and busy.QUIET == 1.03


def test_vit_has_the_peers_weights() -> None:
    pytest.importorskip("transformers")
    check(vit.rows(rounds=1, config=tiny_vit(), batch=2), 2)


def test_resnet_has_the_peers_weights_and_trains_with_norms_by_the_batch() -> None:
    pytest.importorskip("transformers")
    config = ResNetConfig(4, (8, 12), (1, 1), classes=5)
    rows = resnet.rows(rounds=1, config=config, batch=3, size=32, goal=1e9)
    check(rows, 2)
    assert [row.goal for row in rows] == [1e9, 1e9] and resnet.GOAL == 1.0


def test_clip_has_the_peers_weights() -> None:
    pytest.importorskip("transformers")
    rows = clip.rows(rounds=1, config=tiny_clip(), batch=2, goals={"eager": 1e9})
    check(rows, 2)
    assert [row.goal for row in rows] == [1e9, 1e9]


def test_vilt_has_the_peers_weights() -> None:
    pytest.importorskip("transformers")
    rows = vilt.rows(rounds=1, config=tiny_vilt(), batch=2, goal=1e9)
    check(rows, 2)
    assert [row.goal for row in rows] == [1e9, 1e9] and vilt.GOAL == 1.0


def test_unets_have_the_peers_weights_and_draw_the_peers_images(monkeypatch) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.setattr(unet, "STEPS", 4)  # diffusers counts on steps that divide 1000
    reads, draws, eager = tiny_with_context(), tiny_unet(), {"eager": 1e9}
    rows = unet.rows(rounds=1, config=reads, image=draws, batch=2, size=8, goals=eager)
    check(rows, 5)
    assert [row.goal for row in rows] == [1e9, 1e9, 1.0, 1e9, 1e9]
    assert rows[2].ours == f"UNet, {4000 / rows[2].ours_ms:.1f} images a second"
    assert sides.GOALS == {"eager": 1.0, "compiled": 0.9}


def test_vae_has_the_peers_weights() -> None:
    pytest.importorskip("diffusers")
    check(vae.rows(rounds=1, config=tiny_vae(), batch=2, size=8, goals={"eager": 1e9}), 2)


def test_half_precision_comes_after_a_look_in_float32() -> None:
    small = torch.nn.Linear(3, 2)
    case: dict = {"device": "cpu", "rounds": 1, "goals": {"eager": 1e9}, "dtype": torch.bfloat16}
    other = copy.deepcopy(small)
    with torch.no_grad():
        other.bias += 0.01
    for peer in (other, copy.deepcopy(small)):
        two = sides.Side("a", copy.deepcopy(small)), sides.Side("b", peer)
        if peer is other:
            with pytest.raises(ValueError, match="what both say in tiny"):
                sides.forward_and_step("tiny", *two, (torch.randn(4, 3),), **case)
            continue
        check(sides.forward_and_step("tiny", *two, (torch.randn(4, 3),), **case), 2)
        assert peer.weight.dtype == torch.bfloat16


def test_training_leaves_the_weights_of_the_forward_pass_alone() -> None:
    side = sides.Side("a", torch.nn.Linear(3, 2))
    before = side.model.weight.clone()
    found = sides.works(side, "eager", (torch.randn(4, 3),))
    found.step()
    assert torch.equal(side.model.weight, before) and not found.forward().requires_grad


def test_without_a_compiler_the_row_says_so(monkeypatch) -> None:
    monkeypatch.setattr(sides.shutil, "which", lambda name: None)
    found = sides.works(sides.Side("a", torch.nn.Linear(3, 2)), "compiled", (torch.randn(4, 3),))
    assert found.name == "a, eager: there is no C++ compiler to compile with"
    found.step()


def test_the_share_of_the_cards_peak() -> None:
    row = Row("unet forward, eager", "a", "b", 2.0, 4.0, 0.5, 1.0, 5.5, 8.0, "NVIDIA H200", 1)
    step, unknown = row._replace(case="unet training step, eager"), row._replace(device="cpu")
    (found,) = unet.peak_rows([row, step, unknown], operations=989 * 10**9)  # 1 ms at the peak
    assert (found.ours_ms, found.peer_ms, found.ratio, found.goal) == (2.0, 1.0, 2.0, None)
    assert found.ours == "a: 50.0% of the peak (diffusers: 25.0%)"
    card = row._replace(device="NVIDIA H100 PCIe")
    assert unet.peak_rows([card], 10**9)[0].peer.endswith("at 756 TFLOP/s")


def test_operations_are_two_for_each_product_of_a_convolution() -> None:
    config = tiny_with_context()
    deeper = dataclasses.replace(config, channels=config.channels + 1)
    more = unet.flops(deeper, 1, 8) - unet.flops(config, 1, 8)
    assert more == 2 * 2 * 9 * 8 * 8 * config.widths[0]  # a channel in, a channel out


def test_the_world_and_the_import() -> None:
    threads = torch.get_num_threads()
    rows = world.rows(rounds=1, count=50)
    assert torch.get_num_threads() == threads
    assert [row.goal for row in rows] == [1.0, 1.0]


def test_an_import_is_timed_in_every_round_and_the_median_counts(monkeypatch) -> None:
    seconds = iter(["0.009\n", "0.001\n", "0.002\n"])

    def run(words, **_):
        assert words[:2] == [sys.executable, "-c"] and "; import torch; " in words[2]
        return SimpleNamespace(returncode=0, stdout=next(seconds))

    monkeypatch.setattr(world.subprocess, "run", run)
    assert world.import_milliseconds("import torch", rounds=3) == pytest.approx(2.0)
    assert next(seconds, None) is None


def test_so_many_neighbours_are_busy_and_gone_afterwards(monkeypatch) -> None:
    started, whole = [], busy.subprocess.Popen
    monkeypatch.setattr(
        busy.subprocess, "Popen", lambda *a: started.append(whole(*a)) or started[-1]
    )
    with pytest.raises(KeyError), busy.busy_neighbours(2):
        assert [process.poll() for process in started] == [None, None]
        raise KeyError("an error in the block")
    assert all(process.poll() is not None for process in started)


def test_forward_passes_are_timed_without_gradients(monkeypatch) -> None:
    pytest.importorskip("transformers")
    seen = []

    def compare(case, ours, peer, **more):
        if "forward" in case:
            seen.extend(run().requires_grad for _, run in (ours, peer))
        return Row(case, "a", "b", 1.0, 1.0, 1.0, None, None, None, "cpu", 1)

    for module in (resnet, vit):
        monkeypatch.setattr(module, "compare", compare)
    resnet.rows(rounds=1, config=ResNetConfig(4, (8, 12), (1, 1), classes=5), batch=3, size=32)
    assert seen == [False, False]
    vit.rows(rounds=1, config=tiny_vit(), batch=2)
    assert not any(seen)


def test_without_the_peer_a_sentence_says_what_to_install(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert main(["bench", "vit", "--rounds", "1"]) == 1
    assert "pip install -e '.[parity]'" in capsys.readouterr().err


def test_json_and_table(monkeypatch, capsys, tmp_path: Path) -> None:
    row = Row("c (1, 2)", "a", "b", 1.5, 1000.25, 0.0015, 0.1, 5.5, 800.0, "cpu", 2)
    slow = row._replace(case="d", ratio=3.0, ours_mib=None, peer_mib=None, goal=None)
    monkeypatch.setattr(world, "rows", lambda device, **rounds: [row, slow])
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "benchmarks.md").write_text("<!-- bench -->\n<!-- /bench -->\n")
    assert main(["bench", "world", "--json", "--write"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert set(rows[0]) >= {"case", "ours", "peer", "ours_ms", "peer_ms", "ratio"}
    text = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "| c (1, 2) | a | b | 1.5 | 1,000.25 | 0.0015 | ≤ 0.1 | 5.5 / 800.0 |\n" in text
    assert "| d | a | b | 1.5 | 1,000.25 | 3.0 |  |  |\n" in text  # no goal, and not weighed
    again = [row._replace(ours_ms=9.0)]  # measured again: its row is replaced, the other is kept
    monkeypatch.setattr(world, "rows", lambda device, **rounds: again)
    assert main(["bench", "world", "--write"]) == 0
    assert [r["ours_ms"] for r in json.loads((tmp_path / "tutorials/bench.json").read_text())] == [
        9.0,
        1.5,
    ]


def test_a_missed_goal_is_status_1(monkeypatch, capsys) -> None:
    row = Row("c", "a", "b", 2.0, 1.0, 2.0, 1.0, None, None, "cpu", 2)
    met = row._replace(case="d", ours_ms=2, peer_ms=1, ratio=1, goal=3.0)
    monkeypatch.setattr(world, "rows", lambda device, **rounds: [row, met])
    assert main(["bench", "world"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "error: short of the goal: c\n"
    head, *lines = printed.out.splitlines()
    assert head.split() == "case ours ms peer ms ratio goal peak MiB".split()
    assert [line.split() for line in lines] == [["c", "2.0", "1.0", "2.0", "1"], ["d", *"2113"]]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rounds", "0"], "--rounds 0 measures nothing"),
        (["--device", "cuda"], "torch sees 0 CUDA GPUs"),
    ],
)
def test_what_cannot_be_measured_is_refused(words, sentence, capsys, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "world", *words]) == 1
    assert sentence in capsys.readouterr().err


def test_the_readmes_bench_table_is_fresh() -> None:
    """Stale? python -m scratchmm bench CASE --write"""
    root = Path(__file__).parents[2]
    store = root / "tutorials" / "bench.json"
    text = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    if store.exists():
        table = bench.bench_table(json.loads(store.read_text(encoding="utf-8")))
        assert bench.replace_between(text, "bench", table) == text


def test_fusion_counts_before_it_times(monkeypatch) -> None:
    small = {
        name: growth._replace(
            small=fusion.Size(2, 3), wider=fusion.Size(2, 5), more=fusion.Size(3, 3)
        )
        for name, growth in fusion.GROWTHS.items()
    }
    rows = fusion.rows(rounds=1, batch=2, growths=small, goal=None)
    check(rows, 16)
    assert len(small) == 8 and "parameters" in rows[0].ours
    early = {"early": small["early"]}
    monkeypatch.setattr(fusion.EarlyFusion, "cost", lambda self: Cost(1, 2))
    with pytest.raises(ValueError, match="early claims Cost.*but Cost.*were counted"):
        fusion.rows(rounds=1, batch=2, growths=early)


def test_fusions_ratio_is_the_growth_of_time_over_the_claim(monkeypatch) -> None:
    row = Row("c", "a", "b", 6.0, 2.0, 3.0, 1.5, None, None, "cpu", 1)
    monkeypatch.setattr(fusion, "compare", lambda *given, **more: row)
    growths = {"bilinear": fusion.GROWTHS["bilinear"]}
    wider, more = fusion.rows(growths=growths, batch=1)
    assert wider.ratio == pytest.approx(3 / (257 * 256 / (129 * 128)), abs=1e-3)
    assert more.ratio == pytest.approx(0.5) and more.met
