"""A Vision Transformer that names images: of the world, of MNIST or of Fashion-MNIST.

    python -m scratchmm train vit --data mnist --root DIR

Data: images with a class each. Model: `vision.vit.ViTClassifier`, of a size that trains in minutes
on two cores. Loss: cross-entropy. Figure: how often the likeliest class is the right one on images
that were held out.

Dimensions: B batch, C channels, H x W pixels, K classes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.data.sets.any_images import AnyImage, images_of
from scratchmm.recipes import artifact
from scratchmm.recipes.datasets import TrainingSet, read_set
from scratchmm.training import augment
from scratchmm.training.fit import fit
from scratchmm.training.run_folder import DATA
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.vision.vit import ViTClassifier, ViTConfig

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Settings:
    """Of the data, the model and the training; what reaches something useful in minutes."""

    data: str = "world"  # or mnist, fashion_mnist
    images: int = 16_384  # of the world, to train on; a real set has its own
    image_size: int = 32  # pixels
    patch_size: int = 8
    width: int = 64
    depth: int = 4  # blocks
    steps: int = 1500
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    augment: str | None = None  # a function of training.augment
    figure: str = "accuracy"  # what is judged
    expected: float = 0.95
    minutes: float = 2.0  # on two cores


SETTINGS = Settings()
_DIGITS = replace(SETTINGS, image_size=28, patch_size=7)
SETTINGS_OF = {
    "world": SETTINGS,
    "mnist": replace(
        _DIGITS, data="mnist", steps=3000, learning_rate=3e-3, augment="random_shift",
        expected=0.975, minutes=4.0,
    ),
    "fashion_mnist": replace(
        _DIGITS, data="fashion_mnist", steps=2000, augment="shift_and_flip",
        expected=0.85, minutes=3.0,
    ),
}  # fmt: skip


@dataclass
class TrainedViT:
    """A classifier with its classes' names and the mean and deviation (C, 1, 1) of its images."""

    model: ViTClassifier
    names: list[str]
    mean: Tensor
    deviation: Tensor

    def prepare(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] to what the model was trained on: same shape."""
        return (images - self.mean) / self.deviation

    @torch.no_grad()
    def classify(self, images: AnyImage | Iterable[AnyImage], batch_size: int = 256) -> Tensor:
        """Images to the probability of each class, (B, K); a single one gives (1, K).

        images: files, a folder, images of Pillow's or tensors of any size, see
        `data.sets.any_images`. The shorter side is resized to the model's, the middle is cut out.
        """
        self.model.eval()
        config = self.model.config
        images = images_of(images, config.image_size, config.channels)
        parts = [self.model(self.prepare(x)).softmax(dim=-1) for x in images.split(batch_size)]
        return torch.cat(parts)  # (B, K)


def data(
    settings: Settings = SETTINGS, *, root: str | Path | None = None, seed: int = 0
) -> TrainingSet:
    """Images and classes to train on, and parts held out; root: the folder of the real sets."""
    return read_set(settings.data, root, settings.image_size, seed, images=settings.images)


def build(settings: Settings, data: TrainingSet, *, seed: int = 0) -> TrainedViT:
    """A new classifier for this data, of which the mean and the deviation are taken."""
    sizes = {name: getattr(settings, name) for name in ("patch_size", "width", "depth")}
    return new_vit(data.images, data.names, seed=seed, **sizes)


def new_vit(
    images: Tensor,
    names: Sequence[str],
    *,
    seed: int = 0,
    patch_size: int = 7,
    width: int = 64,
    depth: int = 4,
) -> TrainedViT:
    """A new classifier for training images (B, C, H, W) in [-1, 1], H = W, and class names.

    >>> vit = new_vit(torch.rand(5, 1, 28, 28), ["zero", "one"])
    >>> vit.classify(torch.rand(3, 1, 28, 28)).shape
    torch.Size([3, 2])
    """
    channels, size = images.shape[1], images.shape[-1]
    config = ViTConfig(
        size, patch_size, width, depth, 4, 4 * width, channels, len(names), epsilon=1e-6
    )
    torch.manual_seed(seed)
    axes = (0, 2, 3)
    deviation = images.std(dim=axes).view(-1, 1, 1)
    # A channel that never changes has no deviation: leave it as it is.
    deviation = deviation.masked_fill(deviation < 1e-3, 1.0)
    mean = images.mean(dim=axes).view(-1, 1, 1)
    return TrainedViT(ViTClassifier(config), list(names), mean, deviation)


def batches(
    settings: Settings, vit: TrainedViT, data: TrainingSet, *, seed: int = 0
) -> Callable[[int], Batch]:
    """A function from the step to its batch (images, labels): a pure function of the step.

    The images are varied as the settings say, with a generator seeded by the step. Raises
    ValueError on data without classes.
    """
    labels = data.labels
    if labels is None:
        raise ValueError(f"{settings.data} has texts but no classes for a vit: train a clip on it")
    prepared = vit.prepare(data.images)
    indices = shuffled_batches(len(labels), min(settings.batch, len(labels)), seed)
    change = getattr(augment, settings.augment) if settings.augment else None

    def batch_at(step: int) -> Batch:
        chosen = indices(step)
        images = prepared[chosen]
        if change is not None:
            images = change(images, seeded(seed, step))
        return images, labels[chosen]

    return batch_at


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """The cross-entropy of a batch (images, labels)."""
    images, labels = batch
    return F.cross_entropy(model(images), labels)


def train(
    settings: Settings = SETTINGS,
    dataset: TrainingSet | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    folder: str | Path | None = None,
    log: Callable[[str], None] | None = None,
    **options: Any,
) -> TrainedViT:
    """A classifier, trained; with a folder it is kept there, and a stopped training goes on.

    dataset: read as the settings say if it is not given. options: more of `training.fit`, such as
    progress, precision, resume and save_every.
    """
    settings = artifact.with_steps(settings, steps)
    dataset = dataset or data(settings, seed=seed)
    vit = build(settings, dataset, seed=seed)
    count = sum(parameter.numel() for parameter in vit.model.parameters())
    if log:
        log(f"Training a ViT of {count:,} parameters for {settings.steps:,} steps.")
    content = dataset.content()
    told: dict[str, Any] = {"image_size": settings.image_size, "batch": settings.batch}
    told |= {"augment": settings.augment, DATA: content}
    with torch.enable_grad():
        fit(
            vit.model,
            batches(settings, vit, dataset, seed=seed),
            loss,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            seed=seed,
            device=device,
            folder=folder,
            settings={"model": "vit", **told},
            log=log,
            **options,
        )
    vit.model.to("cpu").eval()
    if folder is not None:
        save(vit, folder, settings, seed=seed, data=content)
    return vit


def figures(vit: TrainedViT, data: TrainingSet) -> dict[str, Any]:
    """How often the likeliest class is the right one, on each part whose classes were trained."""
    found: dict[str, Any] = {"names": len(vit.names)}
    for which, part in data.tests.items():
        if which != "unseen":  # a classifier has no output for what it never saw
            right = vit.classify(part.images).argmax(dim=-1) == part.labels
            found["accuracy"] = right.double().mean().item()
    return found


def save(
    vit: TrainedViT,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    data: str = "",
) -> None:
    """Keep it in a folder, see `recipes.artifact`; settings: those it was trained with."""
    weights = {"model": vit.model.state_dict(), "mean": vit.mean, "deviation": vit.deviation}
    config = {"vit": asdict(vit.model.config), "names": vit.names}
    made = artifact.made_by("vit", settings, seed, data=data)
    artifact.save(folder, "vit", config=config, weights=weights, made=made)


def load(folder: str | Path) -> TrainedViT:
    """Read back what `save` wrote. Missing or foreign files are refused in a sentence.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> save(new_vit(torch.rand(5, 1, 28, 28), ["zero", "one"]), folder)
    >>> load(folder).names
    ['zero', 'one']
    """
    found = artifact.read(folder, "vit")
    with artifact.fitting(folder):
        model = artifact.fill(
            ViTClassifier(ViTConfig(**found.config["vit"])), found.weights["model"]
        )
        names = [str(name) for name in found.config["names"]]
        return TrainedViT(model, names, found.weights["mean"], found.weights["deviation"])
