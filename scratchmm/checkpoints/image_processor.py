"""preprocessor_config.json: the image preprocessing of a published model.

Weights show neither the mean and standard deviation of the colours in training, nor how a photo was
cropped to a square: with another preprocessing all outputs are plausible and a little worse.

Papers: as of vision/images.py.
Differs from the papers: nothing; equal to transformers' image processors on Pillow.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from scratchmm.checkpoints.published_config import (
    PublishedConfig,
    config_beside,
    must_be,
    read_json,
    read_values,
)
from scratchmm.vision.images import CLIP_MEAN, CLIP_STD, center_crop, normalise, resize, to_tensor

NAME = "preprocessor_config.json"
METHODS = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
HALF = (0.5, 0.5, 0.5)
COMMON: dict[str, Any] = {"do_resize": True, "do_center_crop": False, "do_normalize": True}
COMMON |= {"resample": 3, "size": {"shortest_edge": 224}, "crop_size": None}
COMMON |= {"image_mean": HALF, "image_std": HALF}
# By the first word of the published class: keys and their defaults.
KINDS: dict[str, dict[str, Any]] = {
    "CLIP": COMMON
    | {"do_center_crop": True, "crop_size": 224, "image_mean": CLIP_MEAN, "image_std": CLIP_STD},
    "ViT": COMMON | {"resample": 2, "size": {"height": 224, "width": 224}},
    "ConvNext": COMMON | {"size": {"shortest_edge": 384}, "crop_pct": 224 / 256},
    "Vilt": COMMON | {"size": {"shortest_edge": 384}, "size_divisor": 32},
}
ENDINGS = ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor")
TYPES = {f"{kind}{ending}": kind for ending in ENDINGS for kind in KINDS}
FIXED: dict[str, tuple[Any, ...]] = {"do_rescale": (True,), "rescale_factor": (1 / 255,)}
NUMBERS = ("resample", "crop_pct", "size_divisor")
SWITCHES = ("do_resize", "do_center_crop", "do_normalize")
LONGEST = 1333 / 800  # of ViLT's longer side to its shorter one: the images of COCO


class ImageProcessor(NamedTuple):
    """Preprocesses an image for a published model: called with it, returns float32 (3, H, W).

    >>> prepare = ImageProcessor("ViT", (4, 6), "bilinear", None, None, HALF, HALF)
    >>> prepare(Image.new("RGB", (9, 5))).shape
    torch.Size([3, 4, 6])
    """

    kind: str  # one of KINDS
    size: int | tuple[int, int] | None  # of the shorter side, or height and width; None: as it is
    method: str  # of resizing
    crop: int | None  # the side of the centre crop after it
    divisor: int | None  # of height and width (ViLT)
    mean: tuple[float, ...]  # of red, green and blue in [0, 1]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Tensor:
        """image: any size and mode. Returns float32 (3, H, W)."""
        image = image.convert("RGB")
        size = self.size
        if self.divisor is not None and isinstance(size, int):
            size = _divisible(image, size, self.divisor)
        if size is not None:
            image = resize(image, size, self.method)
        if self.crop is not None:
            image = center_crop(image, self.crop)
        return normalise(to_tensor(image), self.mean, self.std)


def processor_for(source: str | Path, kind: str | None = None) -> ImageProcessor:
    """The preprocessing of images for published weights, from their preprocessor_config.json.

    source: the file, the folder it lies in, or a file of weights there. Of CLIP, ViT, ResNet
    ("ConvNext") and ViLT ("Vilt"); kind: which of these, for old files that do not name their
    class. One image at a time: images of several sizes are padded to a batch, for ViLT, by who has
    them.

    Raises FileNotFoundError where there is none (`clip_preprocess` and `vit_preprocess` then do as
    most were published), and ValueError that names the key and both values on what can't be done.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "preprocessor_config.json"
    >>> path.write_text('{"image_processor_type": "ViTImageProcessor", "size": 8}') > 0
    True
    >>> processor_for(path.parent)(Image.new("RGB", (9, 5))).shape
    torch.Size([3, 8, 8])
    """
    path = Path(source) if str(source).endswith(NAME) else config_beside(source, NAME)
    if path is None or not path.is_file():
        raise FileNotFoundError(f"there is no {NAME} beside {source}")
    values = read_json(path)
    kind = _kind(path, values, kind)
    defaults = KINDS[kind]
    checked = {key: defaults[key] for key in (*SWITCHES, *NUMBERS) if key in defaults}
    read_values(str(path), values, checked, FIXED, nullable=SWITCHES)
    config = PublishedConfig(
        str(path), {key: values.get(key, default) for key, default in defaults.items()}
    )
    if config.values["resample"] not in METHODS:
        allowed = tuple(METHODS)
        raise ValueError(must_be(config.label, "resample", config.values["resample"], allowed))
    size = _size(config, square=kind == "ViT") if config.values["do_resize"] else None
    crop = _crop(config) if config.values["do_center_crop"] else None
    if kind == "ConvNext" and size is not None:
        size, crop = _of_convnext(config, size, crop)
    plain = not config.values["do_normalize"]
    return ImageProcessor(
        kind,
        size,
        METHODS[config.values["resample"]],
        crop,
        config.values.get("size_divisor"),
        (0.0, 0.0, 0.0) if plain else _colours(config, "image_mean"),
        (1.0, 1.0, 1.0) if plain else _colours(config, "image_std"),
    )


def _kind(path: Path, values: Mapping[str, Any], kind: str | None) -> str:
    key = "image_processor_type" if "image_processor_type" in values else "feature_extractor_type"
    class_name = values.get(key)
    if class_name is not None and class_name not in TYPES:
        raise ValueError(must_be(str(path), key, class_name, tuple(TYPES)))
    if class_name is None and kind is None:
        raise ValueError(f"{path} does not name its class: give kind, one of {', '.join(KINDS)}")
    if class_name is not None and kind not in (None, TYPES[class_name]):
        raise ValueError(f"{path} says {key} is {class_name!r}, but kind={kind!r} is given")
    family = TYPES[class_name] if class_name is not None else kind
    if family not in KINDS:
        raise ValueError(f"kind {family!r} is none of {', '.join(KINDS)}")
    return family


def _size(config: PublishedConfig, square: bool) -> int | tuple[int, int]:
    """The shorter side, or (height, width). square: a plain number means both sides."""
    value = config.values["size"]
    if _is_side(value):
        return (value, value) if square else value
    if isinstance(value, dict) and all(map(_is_side, value.values())):
        if value.keys() == {"shortest_edge"}:
            return value["shortest_edge"]
        if value.keys() == {"height", "width"}:
            return value["height"], value["width"]
    raise ValueError(
        f"{config.label} says size is {value!r}, and images here can only have a shortest_edge, or "
        "height and width"
    )


def _crop(config: PublishedConfig) -> int:
    value = config.values["crop_size"]
    sides = value.values() if isinstance(value, dict) else [value]
    if not all(map(_is_side, sides)) or len(set(sides)) != 1:
        raise ValueError(
            f"{config.label} says crop_size is {value!r}, and images are cut to squares"
        )
    return next(iter(sides))


def _of_convnext(
    config: PublishedConfig, size: int | tuple[int, int], crop: int | None
) -> tuple[int | tuple[int, int], int | None]:
    """Below 384 a larger image is centre-cropped; from there on the whole image is resized."""
    if not isinstance(size, int):
        raise ValueError(must_be(config.label, "size", config.values["size"], ("a shortest_edge",)))
    if crop is not None:
        raise ValueError(must_be(config.label, "do_center_crop", True, (False,)))
    return (int(size / config.values["crop_pct"]), size) if size < 384 else ((size, size), None)


def _divisible(image: Image.Image, shorter: int, divisor: int) -> tuple[int, int]:
    """ViLT's height and width: in proportion, not too long, cut off to whole patches."""
    sides = (image.height, image.width)
    scale = shorter / min(sides)
    longest = int(LONGEST * shorter)
    if max(sides) * scale > longest:
        scale = longest / max(sides)
    height, width = (int(side * scale + 0.5) // divisor * divisor for side in sides)
    return height, width


def _colours(config: PublishedConfig, key: str) -> tuple[float, ...]:
    value = config.values[key]
    numbers = list(value) if isinstance(value, list | tuple) else [value] * 3
    wrong = any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers)
    if wrong or len(numbers) != 3:
        raise ValueError(f"{config.label} says {key} is {value!r}, where 3 numbers are usual")
    return tuple(map(float, numbers))


def _is_side(value: Any) -> bool:
    return type(value) is int and value > 0
