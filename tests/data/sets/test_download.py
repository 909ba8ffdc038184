import hashlib
import http.server
import json
import socket
import sys
import threading
from collections import Counter

import pytest

from scratchmm.data.sets import download as module
from scratchmm.data.sets.download import SOURCES, Source, download, download_set
from scratchmm.data.sets.emoji import TABLES, download_emoji
from scratchmm.data.sets.mnist import DIGITS
from scratchmm.data.sets.pairs import load_emoji

BODY = bytes(range(256)) * 1000
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


@pytest.fixture(scope="module")
def server():
    """A web server on this machine: (address, files by path, how often each was asked for)."""
    files, asked = {"/good": BODY}, Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked[self.path] += 1
            short = self.path == "/short"
            body = BODY if short else files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write((body or b"")[: 1000 if short else None])

        def log_message(self, *_):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{web.server_port}", files, asked
    web.shutdown()
    web.server_close()


@pytest.fixture(scope="module")
def nobody():
    """An address where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_is_fetched_checked_and_put_in_its_place(server, tmp_path):
    path = download(server[0] + "/good", tmp_path / "deep" / "file", MD5)
    assert path.read_bytes() == BODY
    assert left(tmp_path) == ["deep/file"]


def test_a_file_that_is_there_and_sound_is_kept(nobody, tmp_path):
    (tmp_path / "file").write_bytes(BODY)
    assert download(nobody + "/good", tmp_path / "file", MD5).read_bytes() == BODY


def test_a_file_that_is_there_and_different_is_not_overwritten(server, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="is there but not as published"):
        download(server[0] + "/good", tmp_path / "file", MD5)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_folder_may_be_there_already_and_https_is_an_address_too(server, nobody, tmp_path):
    download(server[0] + "/good", tmp_path / "one")
    download(server[0] + "/good", tmp_path / "two")
    assert left(tmp_path) == ["one", "two"]
    with pytest.raises(ConnectionError, match="could not reach 127.0.0.1"):
        download(nobody.replace("http", "https"), tmp_path / "three")


def test_without_a_network_the_sentence_says_what_to_do(nobody, tmp_path):
    host = nobody.removeprefix("http://")
    with pytest.raises(ConnectionError) as refusal:
        download(nobody + "/a.gz", tmp_path / "mnist" / "a.gz", MD5)
    sentence = str(refusal.value)
    assert sentence.startswith(f"could not reach {host}: ") and "\n" not in sentence
    assert sentence.endswith(f"; put the file a.gz into {tmp_path / 'mnist'} yourself")
    assert left(tmp_path) == []


def test_a_host_without_a_name_is_a_host_that_cannot_be_reached(tmp_path):
    with pytest.raises(ConnectionError, match="could not reach nowhere.invalid"):
        download("http://nowhere.invalid/a", tmp_path / "a")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/absent", "answered 404 Not Found for http"),
        ("/short", "sent 1000 of 256000 bytes"),
        ("/good", "sent another file: md5:[0-9a-f]+ instead of md5:0000"),
    ],
)
def test_what_does_not_arrive_whole_leaves_nothing_behind(server, tmp_path, path, sentence):
    with pytest.raises((ConnectionError, ValueError), match=sentence):
        download(server[0] + path, tmp_path / "file", "md5:0000")
    assert left(tmp_path) == []


def test_an_interrupted_download_leaves_nothing_behind(server, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_digest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download(server[0] + "/good", tmp_path / "file", MD5)
    assert left(tmp_path) == []


class Stalls:
    """An answer of which nothing comes after the first bytes."""

    headers: dict[str, str] = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def read(self, size):
        raise TimeoutError("timed out")


def test_a_host_that_falls_silent_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda request, timeout: Stalls())
    with pytest.raises(ConnectionError, match="^could not reach a.org: timed out; put the file"):
        download("http://a.org/file", tmp_path / "file")
    assert left(tmp_path) == []


def test_the_next_address_is_tried(server, nobody, tmp_path):
    urls = [nobody + "/good", server[0] + "/absent", server[0] + "/good"]
    assert download(urls, tmp_path / "file", MD5).read_bytes() == BODY


@pytest.mark.parametrize("installed", [True, False])
def test_progress_is_shown_with_and_without_tqdm(server, tmp_path, capsys, monkeypatch, installed):
    if installed:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    download(server[0] + "/good", tmp_path / "quiet")
    assert capsys.readouterr() == ("", "")
    download(server[0] + "/good", tmp_path / "shown", progress=True)
    assert "good" in capsys.readouterr().err


def test_a_set_is_fetched_file_by_file(server, tmp_path, monkeypatch):
    address, files, asked = server
    files |= {"/a.gz": b"a", "/b.gz": b"b"}
    md5 = {name: hashlib.md5(name[:1].encode()).hexdigest() for name in ("a.gz", "b.gz")}
    monkeypatch.setitem(SOURCES, "mnist", Source((address + "/old/", address + "/"), md5))
    assert download_set("mnist", tmp_path) == tmp_path / "mnist"
    assert left(tmp_path) == ["mnist/a.gz", "mnist/b.gz"]
    (tmp_path / "mnist" / "a.gz").unlink()
    download_set("mnist", tmp_path)
    assert asked["/a.gz"] == 2 and asked["/b.gz"] == 1


def test_every_published_file_has_a_checksum():
    for name in ("mnist", "fashion_mnist"):
        assert len(SOURCES[name].md5) == 4 and len(DIGITS) == 10
        assert all(len(md5) == 32 and int(md5, 16) for md5 in SOURCES[name].md5.values())
        assert all(folder.endswith("/") for folder in SOURCES[name].folders)


def git_checksum(data):
    return hashlib.sha1(b"blob " + str(len(data)).encode() + b"\0" + data).hexdigest()


@pytest.fixture
def emoji_server(server):
    address, files, asked = server
    signs = {
        "#": "hash sign",
        "👋": "waving hand",
        "👋🏿": "dark hand",
        "→": "arrow",
        "☺\ufe0f": "smile",
    }
    tables = {
        kind: {kind: {"annotations": {sign: {"tts": [name]} for sign, name in part}}}
        for kind, part in zip(TABLES, (list(signs.items())[:3], list(signs.items())[3:]))
    }
    for kind, path in TABLES.items():
        files["/words/" + path] = json.dumps(tables[kind]).encode()
    images = {
        f"emoji_u{code}.png": code.encode() for code in ("0023", "1f44b", "263a", "1f44b_1f3ff")
    }
    files |= {f"/png/{name}": data for name, data in images.items()}
    tree = [{"path": name, "sha": git_checksum(data)} for name, data in images.items()]
    files["/list"] = json.dumps({"tree": tree}).encode()
    where = {
        "listing": f"{address}/list",
        "images": f"{address}/png/",
        "words": f"{address}/words/",
    }
    asked.clear()
    return where, files, asked


def test_emoji_are_fetched_with_their_names_and_without_skin_tones(emoji_server, tmp_path):
    where, files, asked = emoji_server
    assert download_emoji(tmp_path, **where) == tmp_path / "emoji"
    found = {pair.file.name: (pair.text, pair.family) for pair in load_emoji(tmp_path, "all")}
    assert found == {
        "emoji_u0023.png": ("hash sign", "23"),
        "emoji_u1f44b.png": ("waving hand", "1F44B"),
        "emoji_u263a.png": ("smile", "263A"),
    }
    (tmp_path / "emoji" / "png72" / "emoji_u263a.png").unlink()
    download_emoji(tmp_path, **where)  # goes on where it was
    assert asked["/png/emoji_u263a.png"] == 2 and asked["/png/emoji_u0023.png"] == 1


def test_emoji_are_counted_as_they_come(emoji_server, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    download_emoji(tmp_path / "quiet", **emoji_server[0])
    assert capsys.readouterr().err == ""
    download_emoji(tmp_path, progress=True, **emoji_server[0])
    assert capsys.readouterr().err == "emoji: 3 images\n"


def test_a_damaged_emoji_is_refused_and_no_table_is_written(emoji_server, tmp_path):
    where, files, _ = emoji_server
    files["/png/emoji_u1f44b.png"] = b"other"
    with pytest.raises(ConnectionError, match=r"emoji_u1f44b.png has the checksum .* yourself$"):
        download_emoji(tmp_path, **where)
    assert "emoji/pairs.tsv" not in left(tmp_path)
    assert not any(".part" in name or "1f44b" in name for name in left(tmp_path))


def test_the_emoji_of_the_publisher_are_those_of_the_real_folder(real_data, server, tmp_path):
    address, files, _ = server
    folder = real_data("emoji") / "emoji"
    for kind, path in TABLES.items():
        files["/cldr/" + path] = (folder / "cldr" / kind / "en.json").read_bytes()
    images = {path.name: path.read_bytes() for path in (folder / "png72").iterdir()}
    files |= {f"/noto/{name}": data for name, data in images.items()}
    tree = [{"path": name, "sha": git_checksum(data)} for name, data in images.items()]
    files["/tree"] = json.dumps({"tree": tree}).encode()
    download_emoji(
        tmp_path, listing=f"{address}/tree", images=f"{address}/noto/", words=f"{address}/cldr/"
    )
    fetched, real = ({(pair.file.name, *pair[1:-1]) for pair in load_emoji(root, "all")}
                     for root in (tmp_path, folder))  # fmt: skip
    assert fetched == real


class Odd(http.server.BaseHTTPRequestHandler):
    """Says of every file what its path asks for."""

    def do_GET(self):
        if self.path.startswith("/circle"):
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
            return
        body = b"[" * 200_000 if "deep" in self.path else b"{}"
        self.send_response(200)
        said = {"/many": "many", "/below": "-3", "/long": "9" * 5000 + "x"}.get(self.path)
        self.send_header("Content-Length", said or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def odd():
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{web.server_port}"
    web.shutdown()
    web.server_close()


@pytest.mark.parametrize("path", ["/many", "/below", "/long", "/circle"])
def test_odd_servers_are_told_in_a_sentence(odd, tmp_path, path):
    with pytest.raises(OSError, match="127.0.0.1") as refusal:
        download(odd + path, tmp_path / "a")
    said = str(refusal.value)
    assert "\n" not in said and len(said) < 400 and left(tmp_path) == []


@pytest.mark.parametrize("listing", ["/listing", "/deep"])
def test_an_emoji_listing_that_is_none_is_told_by_its_address(odd, tmp_path, listing):
    with pytest.raises(ConnectionError, match="127.0.0.1.* is no ") as refusal:
        download_emoji(tmp_path, listing=odd + listing, images=odd + "/p/", words=odd + "/words/")
    assert "\n" not in str(refusal.value) and left(tmp_path) == []
