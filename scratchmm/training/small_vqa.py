"""A VQA for a laptop: first it learns to see the world's things, then to answer about them.

The models are `vision.looker.Looker` and `fusion.vqa.VQA`; here is what surrounds them: the two
stages of training, a tokenizer learned from the questions, batches even over kinds of question.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.data.drawing import draw_many, masks
from scratchmm.data.guessing import cell
from scratchmm.data.wording import Question, questions
from scratchmm.data.world import COLORS, SHAPES, SIZES, TEXTURES, Combination, Scene, sample_scene
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.training.augment import mix_colors
from scratchmm.training.balanced import balanced_batches
from scratchmm.training.fit import fit
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.vision.looker import Looker, cell_labels, looking_loss

PROPERTIES = {"shape": SHAPES, "color": COLORS, "size": SIZES, "texture": TEXTURES}


@dataclass
class Seen:
    """Scenes as a looker sees them, with all that can be asked about them.

    features: (S, N, C), of S scenes; scene: int64 (Q,), which one each of Q questions is about.
    """

    pictures: Tensor  # (S, 3, H, W) in [-1, 1]
    features: Tensor
    asked: list[Question]
    scene: Tensor


def sample_scenes(count: int, combinations: list[Combination], seed: int = 0) -> list[Scene]:
    """Scenes of one to three things; half of them share a colour or a shape, so as to be counted.

    >>> len(sample_scenes(3, [("red", "star"), ("blue", "ring")]))
    3
    """
    rng = np.random.default_rng(seed)
    scenes = []
    for number in range(count):
        allowed = combinations
        if number % 2:
            part = number // 2 % 2  # of a combination: 0 colour, 1 shape
            same = combinations[rng.integers(len(combinations))][part]
            allowed = [pair for pair in combinations if pair[part] == same]
        scenes.append(sample_scene(rng, things=int(rng.integers(1, 4)), combinations=allowed))
    return scenes


def labels_of(scenes: Sequence[Scene], size: int = 32) -> Tensor:
    """What lies in each cell of each scene: int64 (S, 4, N), see `cell_labels`."""
    found = []
    for scene in scenes:
        values = [
            [names.index(getattr(thing, name)) for name, names in PROPERTIES.items()]
            for thing in scene.things
        ]
        found.append(cell_labels(masks(scene, size), torch.tensor(values)))
    return torch.stack(found)


def train_looker(
    pictures: Tensor,
    labels: Tensor,
    *,
    steps: int = 2000,
    batch_size: int = 48,
    seed: int = 0,
    folder: Path | None = None,
    progress: bool = False,
) -> Looker:
    """Stage one. pictures: (S, 3, H, W) in [-1, 1]; labels: from `labels_of`."""
    torch.manual_seed(seed)
    looker = Looker([len(names) for names in PROPERTIES.values()])
    indices = shuffled_batches(len(pictures), batch_size, seed)
    color = [*PROPERTIES].index("color")

    def batch_at(step: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = indices(step)
        generator = seeded(seed, step)
        return pictures[chosen], mix_colors(pictures[chosen], generator), labels[chosen]

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return looking_loss(looker, *batch, color)

    options = {"folder": folder, "progress": progress, "seed": seed}
    fit(looker, batch_at, loss, steps=steps, learning_rate=6e-3, **options)  # type: ignore[arg-type]
    return looker.eval()


@torch.no_grad()
def look(looker: Looker, pictures: Tensor, batch_size: int = 500) -> Tensor:
    """What the looker sees in pictures (S, 3, H, W): features (S, N, C)."""
    return torch.cat([looker(part) for part in pictures.split(batch_size)])


def ask_everything(scenes: Sequence[Scene], looker: Looker, size: int = 32) -> Seen:
    """Draw the scenes, look at them, and ask all that can be asked."""
    pictures = draw_many(list(scenes), size)
    lists = [questions(scene) for scene in scenes]
    place = torch.arange(len(lists)).repeat_interleave(torch.tensor([len(x) for x in lists]))
    asked = [question for found in lists for question in found]
    return Seen(pictures, look(looker, pictures), asked, place)


def learn_words(asked: Sequence[Question], merges: int = 500) -> tuple[BytePairEncoding, int]:
    """A tokenizer of these questions, and the longest of them in tokens."""
    texts = sorted({question.question for question in asked})
    tokenizer = BytePairEncoding.train(texts, merges)
    return tokenizer, 2 + max(len(tokenizer.encode(text)) for text in texts)


def even_batches(asked: Sequence[Question], batch_size: int, seed: int) -> Callable[[int], Tensor]:
    """Indices of batches in which each kind, form and answer of a question is as frequent."""
    return balanced_batches([cell(question) for question in asked], batch_size, seed)


def answer_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """The mean cross-entropy of the right answers: logits (B, K), answers int64 (B,)."""
    return F.cross_entropy(logits, answers)
