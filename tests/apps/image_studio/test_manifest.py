"""The manifest: entries in their order, and a line that did not fit is taken back."""

import pytest

from scratchmm.apps.image_studio.manifest import add_entry, begin_manifest, manifest_of


def test_half_a_line_is_taken_back(tmp_path, monkeypatch):
    """A raw write to a full disk writes what fits and only says how much."""
    begin_manifest(tmp_path, [{"file": "a.png"}])
    path_open = type(tmp_path).open

    def half(path, *arguments, **options):
        file = path_open(path, *arguments, **options)
        if arguments != ("ab",):
            return file

        class Half:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                file.close()

            def write(self, line):
                return file.write(line[: len(line) // 2])

            fileno = file.fileno

        return Half()

    monkeypatch.setattr(type(tmp_path), "open", half)
    with pytest.raises(OSError, match="No space left"):
        add_entry(tmp_path, {"file": "b.png"})
    assert (tmp_path / "manifest.jsonl").read_bytes() == b'{"file": "a.png"}\n'


def test_manifests_of_many_entries(tmp_path):
    assert manifest_of(tmp_path) == []
    begin_manifest(tmp_path, [])
    for n in range(5):
        add_entry(tmp_path, {"file": f"{n}.png", "prompt": "ein Stück\nKreide"})
    assert [entry["file"] for entry in manifest_of(tmp_path)] == [f"{n}.png" for n in range(5)]
    assert manifest_of(tmp_path)[0]["prompt"] == "ein Stück\nKreide"
