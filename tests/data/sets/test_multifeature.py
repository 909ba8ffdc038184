import csv
import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchmm.data.sets.download import SOURCES
from scratchmm.data.sets.multifeature import (
    FILES,
    MultiFeature,
    load_multifeature,
    read_view,
    split,
    standardise,
)

WIDTHS = dict(fourier=3, profiles=5, karhunen=2, pixels=7, zernike=4, morphology=1)


@pytest.fixture
def folder(tmp_path):
    """Six small views of eight rows in four classes."""
    for place, (name, width) in enumerate(WIDTHS.items()):
        rows = [[100 * place + 10 * row + column for column in range(width)] for row in range(8)]
        lines = [",".join([*map(str, range(width)), "0"])]
        lines += [",".join([*(f"{x}.5" for x in row), str(i // 2)]) for i, row in enumerate(rows)]
        (tmp_path / FILES[name]).write_text("\n".join(lines) + "\n")
    return tmp_path


def test_every_view_is_read_in_its_columns(folder):
    views, labels = load_multifeature(folder)
    assert {name: view.shape[1] for name, view in views.items()} == WIDTHS
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and labels.dtype == torch.int64
    assert views["profiles"][2].tolist() == [120.5, 121.5, 122.5, 123.5, 124.5]
    assert views["morphology"].dtype == torch.float32


def test_the_sets_own_folder_comes_first(folder, monkeypatch):
    inner = folder / "uci_multifeature"
    inner.mkdir()
    text = (folder / FILES["fourier"]).read_text().replace("0.5", "9.5")
    (inner / FILES["fourier"]).write_text(text)
    monkeypatch.setenv("SCRATCHMM_DATA", str(folder))
    assert load_multifeature().views["fourier"][0, 0] == 9.5


def change(folder, name, old, new, count=1):
    path = folder / FILES[name]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))
    return path


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        (
            "zernike",
            "450.5,451.5,",
            "450.5,",
            "^line 7 of .*zer.csv has 4 columns, the header has 5$",
        ),
        ("zernike", "450.5,", "450.5,1,", "^line 7 of .* has 6 columns, the header has 5$"),
        ("pixels", "0,1,2", "0,1", "^line 2 of .*pix.csv has 8 columns, the header has 7$"),
        ("pixels", "320.5", "much", "^line 4 of .*pix.csv has 'much' in column 1, which is no"),
        ("pixels", "321.5", "", "^line 4 of .*pix.csv has '' in column 2"),
        ("pixels", "326.5", "nan", "^line 4 of .*pix.csv has 'nan' in column 7"),
        ("pixels", "326.5", "-inf", "^line 4 of .*pix.csv has '-inf' in column 7"),
        (
            "morphology",
            "520.5,1",
            "520.5,10",
            "^line 4 of .*mor.csv is of class 10, not of 0 to 9$",
        ),
        ("morphology", "520.5,1", "520.5,-1", "^line 4 of .* is of class -1, not of"),
        ("morphology", "520.5,1", "520.5,0.5", "^line 4 of .* is of class 0.5, not of"),
        (
            "morphology",
            "520.5,1",
            "520.5,2",
            "^line 4 of .*mor.csv is of class 2, in .* of class 1$",
        ),
        ("morphology", "570.5,3\n", "", "^.*mor.csv has 7 rows, mfeat-fou.csv has 8: one is cut"),
        ("fourier", "70.5,71.5,72.5,3\n", "70.5,71.5,7", "^line 9 of .*fou.csv has 3 columns"),
        ("fourier", "70.5,71.5,72.5,3\n", "", "^.*fac.csv has 8 rows, mfeat-fou.csv has 7"),
    ],
)
def test_a_broken_table_is_refused_in_a_sentence(folder, name, old, new, sentence):
    change(folder, name, old, new)
    with pytest.raises(ValueError, match=sentence) as refusal:
        load_multifeature(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "has 0 lines, 0 columns: it needs a header"),
        (b"0,1,0\n", "has 1 lines, 3 columns"),
        (b"0\n1\n", "has 2 lines, 1 columns"),
        (b"0,1,0\n1.5,\xe9,0\n", "is not UTF-8: byte 10 is 0xe9"),
        ("0,1,0\n1,2,0\n".encode("utf-16"), "is not UTF-8: byte 0 is 0xff"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, sentence):
    (tmp_path / "v.csv").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_view(tmp_path / "v.csv")


def test_windows_ends_of_lines_and_a_mark_are_read(tmp_path):
    (tmp_path / "v.csv").write_bytes(b"\xef\xbb\xbf0,1,0\r\n1.5,2e-3,7\r\n")
    features, labels = read_view(tmp_path / "v.csv")
    torch.testing.assert_close(features, torch.tensor([[1.5, 0.002]]))
    assert labels.tolist() == [7]


def test_a_missing_view_says_how_to_get_it(folder):
    (folder / FILES["karhunen"]).unlink()
    with pytest.raises(FileNotFoundError, match="no mfeat-kar.csv in .* download uci_multifeature"):
        load_multifeature(folder)


def rows_of(count):
    """Two views that say which row they come from."""
    number = torch.arange(float(count))
    return {"a": number[:, None], "b": torch.stack([number, -number], 1)}


@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=80), st.floats(0.05, 0.95), st.integers(0, 5)
)
def test_parts_are_the_whole_divided_in_every_class(labels, held_out, seed):
    data = MultiFeature(rows_of(len(labels)), torch.tensor(labels))
    train, test = split(data, seed, held_out)
    for part in (train, test):
        rows = part.views["a"][:, 0].long()
        torch.testing.assert_close(part.labels, data.labels[rows])
        torch.testing.assert_close(part.views["b"], data.views["b"][rows])
    everything = torch.cat([train.views["a"], test.views["a"]])[:, 0]
    assert sorted(everything.tolist()) == list(range(len(labels)))
    for label in set(labels):
        count, wanted = int((test.labels == label).sum()), held_out * labels.count(label)
        assert abs(count - wanted) <= 0.5


def test_parts_are_mixed_and_the_seed_fixes_them():
    data = MultiFeature(rows_of(200), torch.arange(200) // 20)
    one, same, other = (split(data, seed)[0].views["a"] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    labels = split(data)[0].labels
    assert (labels[1:] >= labels[:-1]).float().mean() < 0.8  # not in order of class
    rows = split(data)[0].views["a"][:20, 0]
    assert not torch.equal(rows, rows.sort().values)
    with pytest.raises(ValueError, match="^held_out must lie between 0 and 1, not at 1.5$"):
        split(data, held_out=1.5)


def test_test_data_is_measured_by_the_training_data():
    generator = torch.Generator().manual_seed(0)
    train = MultiFeature({"a": 3 * torch.randn(50, 4, generator=generator) + 9}, torch.zeros(50))
    train.views["a"][:, 2] = 5.0
    test = MultiFeature({"a": torch.full((1, 4), 9.0)}, torch.zeros(1))
    one, two = standardise(train, test)
    x = train.views["a"].double().numpy()
    deviation = np.where(x.std(0) > 0, x.std(0), 1)
    expected = (x - x.mean(0)) / deviation
    torch.testing.assert_close(
        one.views["a"].double(), torch.from_numpy(expected), rtol=0, atol=1e-5
    )
    expected = (9 - x.mean(0)) / deviation
    torch.testing.assert_close(
        two.views["a"][0].double(), torch.from_numpy(expected), rtol=0, atol=1e-5
    )
    assert one.views["a"][:, 2].abs().max() == 0


def test_the_published_views(real_data):
    root = real_data("uci_multifeature")
    views, labels = load_multifeature(root)
    widths = dict(fourier=76, profiles=216, karhunen=64, pixels=240, zernike=47, morphology=6)
    assert {name: view.shape for name, view in views.items()} == {
        name: (2000, width) for name, width in widths.items()
    }
    assert labels.bincount().tolist() == [200] * 10
    with (root / "uci_multifeature" / "mfeat-zer.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    expected = torch.tensor([[float(cell) for cell in row[:-1]] for row in rows])
    torch.testing.assert_close(views["zernike"], expected)
    assert labels.tolist() == [int(row[-1]) for row in rows]


def test_every_view_knows_something_and_turned_digits_are_one_for_zernike(real_data):
    """The nearest mean of a class: far over chance in each view, but 6 and 9 are the same turned."""
    train, test = standardise(*split(load_multifeature(real_data("uci_multifeature"))))
    for name, view in train.views.items():
        means = torch.stack([view[train.labels == label].mean(0) for label in range(10)])
        guess = torch.cdist(test.views[name], means).argmin(1)
        assert (guess == test.labels).float().mean() > 0.4, name
        if name == "zernike":
            nines = test.labels == 9
            assert (guess[nines] == 6).float().mean() > 0.2


def test_the_published_checksums(real_data):
    folder = real_data("uci_multifeature") / "uci_multifeature"
    expected = SOURCES["uci_multifeature"].md5
    assert set(expected) == set(FILES.values())
    for name, md5 in expected.items():
        assert hashlib.md5((folder / name).read_bytes()).hexdigest() == md5
