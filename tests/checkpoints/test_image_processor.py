"""preprocessor_config.json against transformers' image processors on Pillow, built from the same."""

import importlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from scratchmm.checkpoints.image_processor import KINDS, processor_for
from scratchmm.vision.images import clip_preprocess, vit_preprocess

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SIDES = [(61, 83), (83, 61), (40, 40), (30, 100)]


def noise(height, width):
    drawn = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(drawn)


def published(kind, **more):
    pytest.importorskip("transformers")
    module = importlib.import_module(
        f"transformers.models.{kind.lower()}.image_processing_pil_{kind.lower()}"
    )
    return getattr(module, f"{kind}ImageProcessorPil")(**more)


def write(folder, **said):
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("CLIP", {}),
        ("CLIP", {"size": {"shortest_edge": 33}, "crop_size": {"height": 29, "width": 29}}),
        ("CLIP", {"size": {"height": 20, "width": 31}, "do_center_crop": False, "resample": 2}),
        ("CLIP", {"size": {"shortest_edge": 24}, "do_center_crop": False, "image_mean": MEAN}),
        ("CLIP", {"do_resize": False, "crop_size": {"height": 25, "width": 25}, "image_std": STD}),
        ("CLIP", {"size": {"shortest_edge": 24}, "do_center_crop": False, "do_normalize": False}),
        ("ViT", {}),
        ("ViT", {"size": {"height": 20, "width": 31}, "image_mean": MEAN, "image_std": STD}),
        ("ViT", {"resample": 3}),
        ("ViT", {"resample": 0, "size": {"height": 16, "width": 16}}),
        ("ConvNext", {"size": {"shortest_edge": 24}, "crop_pct": 0.875, "image_mean": MEAN}),
        ("ConvNext", {"size": {"shortest_edge": 32}, "crop_pct": 0.9, "resample": 2}),
        ("ConvNext", {}),
        ("Vilt", {"size": {"shortest_edge": 48}, "size_divisor": 16}),
        ("Vilt", {"size": {"shortest_edge": 64}, "image_mean": MEAN, "image_std": STD}),
    ],
)
def test_images_are_prepared_as_the_file_says(tmp_path, kind, said):
    theirs = published(kind, **said)
    theirs.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "preprocessor_config.json").read_text())
    for content in (written, {"image_processor_type": f"{kind}ImageProcessor", **said}):
        write(tmp_path, **content)
        prepare = processor_for(tmp_path)
        for sides in SIDES:
            expected = theirs(noise(*sides), return_tensors="pt")["pixel_values"][0]
            found = prepare(noise(*sides))
            torch.testing.assert_close(found, torch.as_tensor(expected), rtol=1e-5, atol=1e-5)


def test_old_files_say_one_number_and_another_name(tmp_path):
    """OpenAI's CLIP and Google's ViT as they were published."""
    said = {"crop_size": 24, "do_center_crop": True, "do_normalize": True, "do_resize": True}
    said |= {"image_mean": [0.48145466, 0.4578275, 0.40821073], "resample": 3, "size": 24}
    said |= {"image_std": [0.26862954, 0.26130258, 0.27577711]}
    write(tmp_path, feature_extractor_type="CLIPFeatureExtractor", **said)
    image = noise(40, 31)
    assert torch.equal(processor_for(tmp_path)(image), clip_preprocess(image, 24))
    (tmp_path / "model.safetensors").touch()
    for source in (tmp_path / "model.safetensors", tmp_path / "preprocessor_config.json"):
        assert processor_for(source) == processor_for(tmp_path)
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 16}
    write(tmp_path, **half)
    with pytest.raises(ValueError, match="does not name its class: give kind, one of CLIP, ViT"):
        processor_for(tmp_path)
    found = processor_for(tmp_path, "ViT")(image)
    torch.testing.assert_close(found, vit_preprocess(image, 16), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="kind 'Blip' is none of CLIP, ViT, ConvNext, Vilt"):
        processor_for(tmp_path, "Blip")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"image_processor_type": "SiglipImageProcessor"}, "type is 'SiglipImageProcessor', .*CLIP"),
        ({"resample": 1}, "resample is 1, .*only have 0 or 2 or 3"),
        ({"resample": "bicubic"}, "resample is 'bicubic', where 3 is usual"),
        ({"do_rescale": False}, "do_rescale is False, .*only have True"),
        ({"rescale_factor": 0.5}, r"rescale_factor is 0.5, .*only have 0.0039"),
        ({"size": {"longest_edge": 224}}, "size is {'longest_edge': 224}, .*shortest_edge, or"),
        ({"size": 0}, "size is 0, and images"),
        ({"crop_size": {"height": 3, "width": 4}}, "crop_size is {'height': 3, .*cut to squares"),
        ({"crop_size": None}, "crop_size is None, and images are cut to squares"),
        ({"image_mean": [0.5, 0.5]}, r"image_mean is \[0.5, 0.5\], where 3 numbers are usual"),
        ({"image_std": ["a"] * 3}, "image_std is .*where 3 numbers are usual"),
        ({"do_center_crop": "yes"}, "do_center_crop is 'yes', where True is usual"),
        ({"image_processor_type": "ConvNextImageProcessor", "do_center_crop": True}, "cut|only"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"height": 9, "width": 9}},
         "size is {'height': 9, 'width': 9}, .*a shortest_edge"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(tmp_path, said, sentence):
    write(tmp_path, **{"image_processor_type": "CLIPImageProcessor", **said})
    with pytest.raises(ValueError, match=f"preprocessor_config.json says .*({sentence})"):
        processor_for(tmp_path)


def test_another_kind_than_the_file_says(tmp_path):
    write(tmp_path, image_processor_type="ViTImageProcessor")
    assert processor_for(tmp_path, "ViT").kind == "ViT"
    with pytest.raises(ValueError, match="type is 'ViTImageProcessor', but kind='CLIP' is given"):
        processor_for(tmp_path, "CLIP")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no preprocessor_config.json beside"):
        processor_for(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match="preprocessor_config.json is damaged: it is no JSON"):
        processor_for(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_assumed_where_the_file_is_silent_is_the_published_class_s(kind):
    theirs = published(kind)
    for key, value in KINDS[kind].items():
        said = getattr(theirs, key)
        if key == "crop_size":
            value = None if value is None else {"height": value, "width": value}
        if isinstance(value, dict):
            said = {name: side for name, side in dict(said).items() if side is not None}
        if isinstance(value, bool):
            said = bool(said)
        assert list(said) == list(value) if isinstance(value, tuple) else said == value, key
