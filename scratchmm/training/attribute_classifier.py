"""A judge for generated images: a classifier of real ones, which the generator never met.

It says what an image of one thing shows; and its features, the numbers before its last layer, are
what the distance of generated from real images is measured on (`metrics.fid`). The model is
`vision.resnet.ResNetClassifier`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import COLORS, SHAPES, SIZES, TEXTURES, Scene, sample_scene
from scratchmm.training.checkpoint import differences, load_checkpoint, save_checkpoint
from scratchmm.training.fit import fit
from scratchmm.training.kept import MADE_BY, made_by, reopened
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.vision.resnet import ResNetClassifier, ResNetConfig

PROPERTIES = {"shape": SHAPES, "color": COLORS, "size": SIZES, "texture": TEXTURES}


class AttributeClassifier(nn.Module):
    """Names the one thing of an image: its shape, colour, size and texture.

    size: the height and width in pixels of the images that it learns from. Others it refuses: a
    network of convolutions would read them too, and be wrong without a word.

    >>> judge = AttributeClassifier().eval()
    >>> found = judge.names(torch.zeros(2, 3, 32, 32))
    >>> list(found), len(found["shape"]), judge.features(torch.zeros(2, 3, 32, 32)).shape
    (['shape', 'color', 'size', 'texture'], 2, torch.Size([2, 64]))
    """

    size: Tensor

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        self.register_buffer("size", torch.tensor(size))
        classes = sum(len(values) for values in PROPERTIES.values())
        config = ResNetConfig(
            16, (16, 32, 64, 64), (1, 1, 1, 1), False, small_images=True, classes=classes
        )
        self.network = ResNetClassifier(config)

    def scores(self, images: Tensor) -> dict[str, Tensor]:
        """images: float (B, 3, H, W) in [-1, 1]. For each property, the logits (B, K)."""
        self.check(images)
        parts = self.network(images).split([len(v) for v in PROPERTIES.values()], dim=1)
        return dict(zip(PROPERTIES, parts))

    def check(self, images: Tensor) -> None:
        """ValueError on images of another size than those that the judge has learned from."""
        size = int(self.size)
        if tuple(images.shape[-2:]) != (size, size):
            height, width = images.shape[-2:]
            raise ValueError(
                f"the images are {height} x {width}, and this judge has learned from {size} x "
                f"{size} only"
            )

    @torch.no_grad()
    def names(self, images: Tensor) -> dict[str, list[str]]:
        """What each image shows, by property: one name an image."""
        found: dict[str, list[str]] = {name: [] for name in PROPERTIES}
        for part in images.split(500):
            for name, logits in self.scores(part).items():
                found[name] += [PROPERTIES[name][i] for i in logits.argmax(dim=1).tolist()]
        return found

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """What the last layer reads, (B, 64): where images that look alike lie together."""
        self.check(images)
        return torch.cat([self.network.encoder.vector(part) for part in images.split(500)])


def labels_of(scenes: Sequence[Scene]) -> Tensor:
    """What scenes of one thing show: int64 (B, 4), in the order of PROPERTIES."""
    rows = []
    for scene in scenes:
        (thing,) = scene.things
        rows.append([values.index(getattr(thing, name)) for name, values in PROPERTIES.items()])
    return torch.tensor(rows)


def attribute_loss(judge: AttributeClassifier, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The sum over the properties of the cross-entropy; images and labels (B, 4)."""
    images, labels = batch
    scores = judge.scores(images)
    return sum(F.cross_entropy(s, row) for s, row in zip(scores.values(), labels.T))  # type: ignore[return-value]


def train_attribute_classifier(
    *, size: int = 32, steps: int = 700, seed: int = 0, progress: bool = False
) -> AttributeClassifier:
    """A judge of all combinations, trained on real images of a size with a little noise on them.

    The noise is what generated images may have left of theirs: it should not decide.
    """
    rng = np.random.default_rng(seed + 1000)
    scenes = [sample_scene(rng) for _ in range(12_000)]
    images, labels = draw_many(scenes, size), labels_of(scenes)
    indices = shuffled_batches(len(scenes), 64, seed)
    torch.manual_seed(seed)
    judge = AttributeClassifier(size)

    def batch_at(step: int) -> tuple[Tensor, Tensor]:
        chosen, generator = indices(step), seeded(seed, step)
        clean = images[chosen]
        dirt = 0.1 * torch.rand(len(chosen), 1, 1, 1, generator=generator)
        return clean + dirt * torch.randn(clean.shape, generator=generator), labels[chosen]

    fit(judge, batch_at, attribute_loss, steps=steps, learning_rate=5e-3, progress=progress)
    return judge.eval()


def open_attribute_classifier(
    path: Path,
    *,
    size: int = 32,
    steps: int = 700,
    seed: int = 0,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
) -> AttributeClassifier:
    """The judge kept at `path`, or where there is none, one trained and kept there.

    One that other code or another recipe has made is trained anew, and `say` is told. Raises
    ValueError on a file that is no judge, or one of images of another size.
    """
    recipe = {"size": size, "steps": steps, "seed": seed}
    made = made_by(__name__, recipe)

    def load(path: Path) -> AttributeClassifier:
        state, judge = load_checkpoint(path), AttributeClassifier(size)
        state.pop(MADE_BY, None)
        kept = state.get("size")
        if kept is None or int(kept) != size or differences(judge.state_dict(), state):
            raise ValueError(
                f"{path} holds no judge of images {size} x {size} (remove it, and one is trained)"
            )
        judge.load_state_dict(state)
        return judge.eval()

    kept = reopened(path, made, load, say=say)
    if kept is not None:
        return kept
    judge = train_attribute_classifier(**recipe, progress=progress)
    save_checkpoint(path, judge.state_dict() | {MADE_BY: made})
    return judge


def accuracy(
    judge: AttributeClassifier, scenes: Sequence[Scene], images: Tensor
) -> dict[str, float]:
    """The share of images (B, 3, H, W) of which the judge says what their scene says."""
    found = judge.names(images)
    wanted = [scene.things[0] for scene in scenes]
    return {
        name: sum(said == getattr(thing, name) for said, thing in zip(told, wanted)) / len(wanted)
        for name, told in found.items()
    }
