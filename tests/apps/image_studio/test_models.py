"""The model of the studio: its fingerprint, and the words of a prompt."""

from scratchmm.apps.image_studio.models import fingerprint, words_of


def test_the_fingerprint_is_the_files(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"one")
    first = fingerprint(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"two")
    assert len(first) == 8 and first != fingerprint(tmp_path)


def test_words_are_letters_and_nothing_else():
    assert words_of("ring_x, Ünicorn 3 ring-X!") == ["ring", "x", "ünicorn"]
