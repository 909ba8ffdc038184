import json

import numpy as np
import pytest
import torch
from PIL import Image

from scratchmm.data.sets.nlvr import BoxedThing, load_boxes, load_nlvr

THING = {"type": "circle", "color": "#0099ff", "size": 20, "x_loc": 7, "y_loc": 80}
ROW = {
    "sentence": "There is a tower. ",
    "label": "true",
    "identifier": "72-1",
    "directory": "3",
    "structured_rep": [[THING], [], [dict(THING, color="Black"), dict(THING, type="square")]],
}


@pytest.fixture
def folder(tmp_path):
    """A function that writes dev.json beside the images 72-0 and 72-1; rows are dicts or bytes."""
    images = tmp_path / "dev" / "images" / "3"
    images.mkdir(parents=True)
    for name in ("72-0", "72-1"):
        image = Image.new("RGBA", (400, 100), (255, 0, 0, 255))
        image.paste((0, 255, 0, 255), (300, 0, 400, 100))
        image.paste((0, 0, 0, 0), (0, 50, 100, 100))  # see-through
        image.save(images / f"dev-{name}-0.png")

    def write(*rows):
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        (tmp_path / "dev" / "dev.json").write_bytes(b"\n".join(lines) + b"\n")
        return tmp_path

    return write


def test_a_line_becomes_a_pair(folder):
    root = folder(ROW, b"", dict(ROW, identifier="72-0", label="false"))
    one, two = load_nlvr(root)
    assert one.sentence == "There is a tower." and one.label is True and two.label is False
    assert one.file == root / "dev" / "images" / "3" / "dev-72-1-0.png"
    assert one.family == two.family == "72"
    assert one.boxes == (
        (BoxedThing("circle", "blue", 20, 7, 80),),
        (),
        (BoxedThing("circle", "black", 20, 7, 80), BoxedThing("square", "blue", 20, 7, 80)),
    )


def test_images_lie_on_white_and_keep_their_sides(folder):
    images = load_boxes(load_nlvr(folder(ROW)), height=10)
    assert images.shape == (1, 3, 10, 40) and images.dtype == torch.float32
    assert images[0, :, 2, 15].tolist() == [1, -1, -1]  # red
    assert images[0, :, 2, 38].tolist() == [-1, 1, -1]  # green is on the right
    assert images[0, :, 8, 2].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="^an image needs a height of at least 1 pixel, not 0$"):
        load_boxes([], height=0)


def without(name):
    return {key: value for key, value in ROW.items() if key != name}


def thing(**changes):
    return dict(ROW, structured_rep=[[dict(THING, **changes)], [], []])


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (b'{"sentence": "a', "^line 2 of .*dev.json is not JSON: "),
        (b"not json", "^line 2 of .* is not JSON: "),
        (b"[" * 100_000, "^line 2 of .* is not JSON: "),
        (b"[1, 2]", "^line 2 of .* is a list, not an object"),
        (b'{"sentence": "caf\xe9"}', "^line 2 of .* is not UTF-8: its byte 17 is 0xe9$"),
        (without("label"), "^line 2 of .* has no field 'label', only sentence, identifier"),
        (without("structured_rep"), "^line 2 of .* has no field 'structured_rep'"),
        (b"{}", "^line 2 of .* has no field 'sentence', only none$"),
        (dict(ROW, label="True"), "^line 2 of .* has the label 'True', which is neither"),
        (dict(ROW, label=True), "^line 2 of .* has the label 'True', which is neither"),
        (dict(ROW, sentence=" "), "^line 2 of .* has an empty sentence$"),
        (dict(ROW, identifier="72-7"), "^line 2 of .* names .*dev-72-7-0.png, which is not there$"),
        (dict(ROW, identifier="../72-1"), "^line 2 of .* has the identifier '../72-1', which"),
        (
            dict(ROW, directory="../3"),
            "^line 2 of .* has the directory '../3', which is no number$",
        ),
        (dict(ROW, structured_rep=[[], []]), "^line 2 of .* has 2 boxes in structured_rep, not 3"),
        (
            dict(ROW, structured_rep=[[], [], 3]),
            "^line 2 of .* has 3 boxes in structured_rep, not 3 l",
        ),
        (dict(ROW, structured_rep="abc"), "^line 2 of .* has a str in structured_rep"),
        (thing(type="star"), "^line 2 of .* has a thing without a known type, color, size and"),
        (thing(color="red"), "^line 2 of .* has a thing without a known type"),
        (thing(x_loc="7"), "^line 2 of .* has a thing without a known type"),
        (thing(size=None), "^line 2 of .* has a thing without a known type"),
        (dict(ROW, structured_rep=[[3], [], []]), "^line 2 of .* has a thing without"),
    ],
)
def test_a_broken_line_is_refused_with_its_number(folder, row, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as refusal:
        load_nlvr(folder(ROW, row))
    assert "\n" not in str(refusal.value)


def test_an_empty_table_a_missing_one_and_a_broken_image(folder, tmp_path):
    with pytest.raises(ValueError, match="dev.json is empty"):
        load_nlvr(folder())
    with pytest.raises(
        FileNotFoundError, match="no test/test.json in .*: it is published at https"
    ):
        load_nlvr(tmp_path, "test")
    pairs = load_nlvr(folder(ROW))
    pairs[0].file.write_bytes(pairs[0].file.read_bytes()[:200])
    with pytest.raises(ValueError, match="dev-72-1-0.png is damaged or truncated"):
        load_boxes(pairs)


@pytest.mark.parametrize(("part", "count", "true"), [("dev", 989, 547), ("test", 990, 556)])
def test_the_published_pairs(real_data, part, count, true):
    pairs = load_nlvr(real_data("nlvr"), part)
    assert len(pairs) == count and sum(pair.label for pair in pairs) == true
    assert len({pair.file for pair in pairs}) == count
    assert all(1 <= len(box) <= 8 for pair in pairs for box in pair.boxes)


def test_no_family_is_in_both_parts(real_data):
    dev, test = (load_nlvr(real_data("nlvr"), part) for part in ("dev", "test"))
    assert not {pair.family for pair in dev} & {pair.family for pair in test}


def test_things_are_where_the_lists_say(real_data):
    """In the middle of every thing of twenty images, the image has the thing's colour."""
    pairs = load_nlvr(real_data("nlvr"))[::50]
    images = ((load_boxes(pairs, height=100) + 1) * 127.5).numpy().transpose(0, 2, 3, 1)
    paint = {"blue": (0, 153, 255), "black": (0, 0, 0), "yellow": (255, 255, 0)}
    right = []
    for image, pair in zip(images, pairs):
        for place, box in enumerate(pair.boxes):
            for thing in box:
                x, y = 150 * place + thing.x + thing.size // 2, thing.y + thing.size // 2
                right.append(np.abs(image[y, x] - paint[thing.color]).max() < 60)
    assert np.mean(right) > 0.95
