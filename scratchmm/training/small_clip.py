"""A CLIP for a laptop: built for the user's images and sentences, trained, saved, loaded again.

The model is `contrastive.clip.CLIP`; here is what surrounds it: a tokenizer learned from the
sentences, images brought to mean 0 and deviation 1, batches, and a folder to keep it all in.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scratchmm.contrastive.clip import CLIP, CLIPConfig
from scratchmm.contrastive.loss import contrastive_loss, masked_contrastive_loss
from scratchmm.data.sets.any_images import AnyImage, images_of
from scratchmm.files import atomic_write, read_json
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.language.text_transformer import TextConfig
from scratchmm.training.checkpoint import load_checkpoint, save_checkpoint
from scratchmm.training.kept import MADE_BY, made_by
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.vision.vit import ViTConfig

TRAINED_BY = "scratchmm.training.world_clip"  # whose code, with all that it imports, makes a CLIP
Batch = tuple[Tensor, ...]  # images, tokens, and where it is asked for, which are right


@dataclass
class SmallCLIP:
    """A CLIP with its tokenizer and the mean and deviation (3, 1, 1) of its training images."""

    model: CLIP
    tokenizer: BytePairEncoding
    mean: Tensor
    deviation: Tensor

    def prepare(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] to what the model was trained on: same shape."""
        return (images - self.mean) / self.deviation

    def tokens(self, texts: str | Sequence[str]) -> Tensor:
        """Sentences, or a single one, to int64 (B, T), cut to the model's context."""
        several = isinstance(texts, Iterable) and not isinstance(texts, str)
        texts = list(texts) if several else [texts]  # type: ignore[list-item]
        wrong = [text for text in texts if not isinstance(text, str)]
        if wrong or not texts:
            what = (
                f"among them is one of type {type(wrong[0]).__name__}" if wrong else "none is there"
            )
            raise ValueError(f'texts are sentences, as "a red star" or several in a list: {what}')
        return self.tokenizer.batch(texts, self.model.config.text.context_length)[0]

    @torch.no_grad()
    def embed_images(self, images: AnyImage | Iterable[AnyImage], batch_size: int = 256) -> Tensor:
        """Images to unit vectors (B, E); a single one gives (1, E).

        images: files, a folder, images of Pillow's or tensors of any size, see
        `data.sets.any_images`. The shorter side is resized to the model's, the middle is cut out.

        >>> clip = build(torch.rand(4, 3, 16, 16), ["a cat", "a dog"] * 2)
        >>> clip.embed_images(torch.zeros(3, 131, 97)).shape, clip.embed_texts("a cat").shape
        (torch.Size([1, 64]), torch.Size([1, 64]))
        """
        self.model.eval()
        images = images_of(images, self.model.config.vision.image_size)
        parts = [self.model.encode_image(self.prepare(x)) for x in images.split(batch_size)]
        return torch.cat(parts)  # (B, E)

    @torch.no_grad()
    def embed_texts(self, texts: str | Sequence[str], batch_size: int = 256) -> Tensor:
        """Sentences to unit vectors (B, E); a single one gives (1, E)."""
        self.model.eval()
        return torch.cat([self.model.encode_text(x) for x in self.tokens(texts).split(batch_size)])


def build(
    images: Tensor,
    texts: Sequence[str],
    *,
    seed: int = 0,
    patch_size: int = 8,
    width: int = 64,
    depth: int = 3,
    text_depth: int = 2,
    merges: int = 500,
    longest: int = 32,
) -> SmallCLIP:
    """A new CLIP for these training images (B, 3, H, W) in [-1, 1], H = W, and their sentences.

    The tokenizer learns up to `merges` merges from the sentences; the context is as long as the
    longest of them in tokens, but at most `longest`.
    """
    tokenizer = BytePairEncoding.train(texts, merges)
    length = min(longest, 2 + max(len(tokenizer.encode(text)) for text in set(texts)))
    sizes = {"width": width, "heads": 4, "hidden": 4 * width, "epsilon": 1e-5}
    vision = ViTConfig(int(images.shape[-1]), patch_size, depth=depth, **sizes)  # type: ignore[arg-type]
    text = TextConfig(len(tokenizer), length, depth=text_depth, end_token=tokenizer.end, **sizes)  # type: ignore[arg-type]
    torch.manual_seed(seed)
    model = CLIP(CLIPConfig(vision, text, embedding=width))
    axes = (0, 2, 3)
    mean = images.mean(dim=axes).view(3, 1, 1)
    # A channel that never changes has no deviation: leave it as it is.
    deviation = images.std(dim=axes).view(3, 1, 1)
    return SmallCLIP(model, tokenizer, mean, deviation.masked_fill(deviation < 1e-3, 1.0))


def clip_loss(model: CLIP, batch: Batch) -> Tensor:
    """The contrastive loss of a batch (images, tokens), for `training.fit`.

    With a third part, right: bool (B, B), other right answers count as no wrong ones.
    """
    output = model(*batch[:2])
    parts = output.image_embeddings, output.text_embeddings, output.scale
    return masked_contrastive_loss(*parts, batch[2]) if len(batch) > 2 else contrastive_loss(*parts)


def pair_batches(
    clip: SmallCLIP,
    images: Tensor,
    texts: Sequence[str],
    batch_size: int,
    seed: int = 0,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    right: Callable[[Tensor], Tensor] | None = None,
) -> Callable[[int], Batch]:
    """A function from the step to its batch (images, tokens): a pure function of the step.

    augment: changes the batch's images, with a generator seeded by the step. right: from rows (B,)
    to bool (B, B), is text j right for image i (`data.alike.right_answers`); it is put behind.
    """
    prepared, tokens = clip.prepare(images), clip.tokens(texts)
    indices = shuffled_batches(len(texts), min(batch_size, len(texts)), seed)

    def batch_at(step: int) -> Batch:
        chosen = indices(step)
        batch = prepared[chosen]
        if augment is not None:
            batch = augment(batch, seeded(seed, step))
        return (batch, tokens[chosen], *([] if right is None else [right(chosen)]))

    return batch_at


def save(clip: SmallCLIP, folder: str | Path, made: Mapping[str, Any] | None = None) -> None:
    """Write model.pt, tokenizer.json and config.json into the folder, each whole or not at all.

    made: what it was made by (`training.kept`); as it is saved now, if that is not said.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clip.tokenizer.save(folder / "tokenizer.json")
    atomic_write(folder / "config.json", json.dumps(asdict(clip.model.config), indent=1))
    state = {"model": clip.model.state_dict(), "mean": clip.mean, "deviation": clip.deviation}
    made = made or made_by(TRAINED_BY, None)
    save_checkpoint(folder / "model.pt", state | {MADE_BY: dict(made)})


def load(folder: str | Path) -> SmallCLIP:
    """Read back what `save` wrote. Missing or foreign files are refused in a sentence."""
    folder = Path(folder)
    try:
        sizes = read_json(folder / "config.json")
        vision, text = ViTConfig(**sizes["vision"]), TextConfig(**sizes["text"])
        model = CLIP(CLIPConfig(vision, text, sizes["embedding"]))
        state = load_checkpoint(folder / "model.pt")
        model.load_state_dict(state["model"])
    except FileNotFoundError as error:
        missing = error.filename or folder / "model.pt"
        raise FileNotFoundError(f"{folder} holds no trained CLIP: {missing} is missing") from error
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{folder} holds no CLIP that scratchmm saved: {error}") from error
    tokenizer = BytePairEncoding.load(folder / "tokenizer.json")
    return SmallCLIP(model.eval(), tokenizer, state["mean"], state["deviation"])
