"""A Vision Transformer for a laptop: built for labelled images, trained, saved, loaded again.

The model is `vision.vit.ViTClassifier`; here is what surrounds it: images brought to mean 0 and
deviation 1, batches, the names of the classes, and a folder to keep it all in.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from scratchmm.data.sets.any_images import AnyImage, images_of
from scratchmm.files import atomic_write, read_json
from scratchmm.training.checkpoint import differences, load_checkpoint, save_checkpoint
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.vision.vit import ViTClassifier, ViTConfig

Batch = tuple[Tensor, Tensor]
Augment = Callable[[Tensor, Generator], Tensor]


@dataclass
class SmallViT:
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


def build(
    images: Tensor,
    names: Sequence[str],
    *,
    seed: int = 0,
    patch_size: int = 7,
    width: int = 64,
    depth: int = 4,
) -> SmallViT:
    """A new classifier for training images (B, C, H, W) in [-1, 1], H = W, and class names.

    >>> vit = build(torch.rand(5, 1, 28, 28), ["zero", "one"])
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
    return SmallViT(ViTClassifier(config), list(names), mean, deviation)


def labelled_batches(
    vit: SmallViT,
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    seed: int = 0,
    augment: Augment | None = None,
) -> Callable[[int], Batch]:
    """A function from the step to its batch (images, labels): a pure function of the step.

    augment: changes the batch's images, with a generator seeded by the step.
    """
    prepared = vit.prepare(images)
    indices = shuffled_batches(len(labels), min(batch_size, len(labels)), seed)

    def batch_at(step: int) -> Batch:
        chosen = indices(step)
        batch = prepared[chosen]
        if augment is not None:
            batch = augment(batch, seeded(seed, step))
        return batch, labels[chosen]

    return batch_at


def class_loss(model: ViTClassifier, batch: Batch) -> Tensor:
    """The cross-entropy of a batch (images, labels), for `training.fit`."""
    images, labels = batch
    return F.cross_entropy(model(images), labels)


def save(vit: SmallViT, folder: str | Path) -> None:
    """Write model.pt and config.json into the folder, each whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"vit": asdict(vit.model.config), "names": vit.names}
    atomic_write(folder / "config.json", json.dumps(sizes, indent=1))
    state = {"model": vit.model.state_dict(), "mean": vit.mean, "deviation": vit.deviation}
    save_checkpoint(folder / "model.pt", state)


def load(folder: str | Path) -> SmallViT:
    """Read back what `save` wrote. Missing or foreign files are refused in a sentence.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> save(build(torch.rand(5, 1, 28, 28), ["zero", "one"]), folder)
    >>> load(folder).names
    ['zero', 'one']
    """
    folder = Path(folder)
    try:
        sizes = read_json(folder / "config.json")
        model = ViTClassifier(ViTConfig(**sizes["vit"]))
        names = [str(name) for name in sizes["names"]]
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} holds no trained ViT: no config.json") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no ViT that scratchmm saved: {error}") from None
    state = load_checkpoint(folder / "model.pt")
    if not {"model", "mean", "deviation"} <= state.keys():
        raise ValueError(f"{folder / 'model.pt'} is a checkpoint of a run, not a trained ViT")
    wrong = differences(model.state_dict(), state["model"])
    if wrong:
        raise ValueError(f"{folder / 'model.pt'} does not fit its config.json: {wrong[0]}")
    model.load_state_dict(state["model"])
    return SmallViT(model.eval(), names, state["mean"], state["deviation"])
