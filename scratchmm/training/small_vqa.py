"""A VQA for a laptop: first it learns to see the world's things, then to answer about them.

The models are `vision.grid_classifier.GridClassifier` and `fusion.vqa.VQA`; here is what surrounds
them: the two stages of training, a tokenizer learned from the questions, batches even over kinds
of question.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.data.world.balanced_questions import ask_scenes, share_out
from scratchmm.data.world.blind_baselines import cell
from scratchmm.data.world.captions import article
from scratchmm.data.world.images import draw_many, masks
from scratchmm.data.world.questions import KINDS, Question, questions
from scratchmm.data.world.scenes import (
    COLORS,
    SHAPES,
    SIZES,
    TEXTURES,
    Combination,
    Scene,
    sample_scene,
    split_combinations,
)
from scratchmm.fusion.vqa import AnswerVocabulary
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.sentences import check_count
from scratchmm.training.augment import mix_colors
from scratchmm.training.checkpoint import differences, load_checkpoint, save_checkpoint
from scratchmm.training.fit import fit
from scratchmm.training.kept import MADE_BY, made_by, reopened
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.vision.grid_classifier import GridClassifier, cell_labels, grid_loss

PROPERTIES = {"shape": SHAPES, "color": COLORS, "size": SIZES, "texture": TEXTURES}


class QuestionSet(NamedTuple):
    """Questions about scenes, in numbers: what a model is trained on, or tested with.

    S scenes hold Q questions, each about one of them; a question is int64 (Q, T) of tokens, with
    bool (Q, T) True on real ones, and its answer the number int64 (Q,) in the vocabulary.
    """

    asked: list[Question]
    images: Tensor  # (S, 3, H, W) in [-1, 1]
    features: Tensor  # (S, N, C), what the grid_classifier sees in N cells
    scene: Tensor  # int64 (Q,), which of the S
    tokens: Tensor
    real: Tensor
    answers: Tensor

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the questions int64 (B,): features (B, N, C), tokens, real (B, T), answers (B,)."""
        features = self.features[self.scene[chosen]]
        return features, self.tokens[chosen], self.real[chosen], self.answers[chosen]


class VQAData(NamedTuple):
    """Questions to train with, and others of seen and unseen combinations to be tested with."""

    grid_classifier: GridClassifier
    tokenizer: BytePairEncoding
    vocabulary: AnswerVocabulary
    training: QuestionSet
    seen: QuestionSet
    unseen: QuestionSet


def sample_scenes(count: int, combinations: list[Combination], seed: int = 0) -> list[Scene]:
    """Scenes of one to three things; half of them share a colour or a shape, so as to be counted.

    >>> len(sample_scenes(3, [("red", "star"), ("blue", "ring")]))
    3
    """
    check_count("count", count, least=0)
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


def train_grid_classifier(
    images: Tensor,
    labels: Tensor,
    *,
    steps: int = 1500,
    batch_size: int = 48,
    seed: int = 0,
    folder: Path | None = None,
    progress: bool = False,
) -> GridClassifier:
    """Stage one. images: (S, 3, H, W) in [-1, 1]; labels: from `labels_of`."""
    torch.manual_seed(seed)
    grid_classifier = GridClassifier([len(names) for names in PROPERTIES.values()])
    indices = shuffled_batches(len(images), batch_size, seed)
    color = [*PROPERTIES].index("color")

    def batch_at(step: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = indices(step)
        generator = seeded(seed, step)
        return images[chosen], mix_colors(images[chosen], generator), labels[chosen]

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return grid_loss(grid_classifier, *batch, color)

    options = {"folder": folder, "progress": progress, "seed": seed}
    fit(grid_classifier, batch_at, loss, steps=steps, learning_rate=6e-3, **options)  # type: ignore[arg-type]
    return grid_classifier.eval()


@torch.no_grad()
def look(grid_classifier: GridClassifier, images: Tensor, batch_size: int = 500) -> Tensor:
    """What the grid classifier sees in images (S, 3, H, W): features (S, N, C)."""
    return torch.cat([grid_classifier(part) for part in images.split(batch_size)])


def open_grid_classifier(
    path: Path,
    scenes: Sequence[Scene],
    *,
    steps: int = 1500,
    seed: int = 0,
    progress: bool = False,
    size: int = 32,
) -> GridClassifier:
    """The grid classifier kept at `path`, or where there is none, one trained and kept there.

    One that was trained on other scenes or for other steps is taken too, and one that other code has
    made is trained anew. Raises ValueError on a file that is no grid_classifier.
    """
    made = made_by(__name__, None)  # lesson 08 goes on with the grid_classifier of lesson 07

    def load(path: Path) -> GridClassifier:
        state, grid_classifier = (
            load_checkpoint(path),
            GridClassifier([len(x) for x in PROPERTIES.values()]),
        )
        state.pop(MADE_BY, None)
        if wrong := differences(grid_classifier.state_dict(), state):
            raise ValueError(
                f"{path} holds no grid classifier: {wrong[0]} (remove it, and one is trained)"
            )
        grid_classifier.load_state_dict(state)
        return grid_classifier.eval()

    kept = reopened(path, made, load)
    if kept is not None:
        return kept
    labels = labels_of(scenes, size)
    images = draw_many(list(scenes), size)
    grid_classifier = train_grid_classifier(
        images, labels, steps=steps, seed=seed, progress=progress
    )
    save_checkpoint(path, grid_classifier.state_dict() | {MADE_BY: made})
    return grid_classifier


def vqa_data(
    path: Path,
    *,
    scenes: int = 12_000,
    tests: int = 2000,
    grid_steps: int = 1500,
    seed: int = 0,
    progress: bool = False,
) -> VQAData:
    """Draw scenes of seen combinations, ask all there is to ask of them, and draw the two tests.

    A combination held out is neither seen nor named in training.

    path: where the grid classifier is kept, see `open_grid_classifier`. The tests are balanced.
    """
    seen, unseen = split_combinations()
    drawn = sample_scenes(scenes, seen, seed)
    grid_classifier = open_grid_classifier(
        path, drawn, steps=grid_steps, seed=seed, progress=progress
    )
    # Nor is a colour and shape held out asked for in vain, or "no" would be learned by heart of it.
    hidden = {f"is there {article(' '.join(pair))}?" for pair in unseen}
    lists = [[q for q in questions(scene) if q.question not in hidden] for scene in drawn]
    tokenizer, longest = learn_words([question for found in lists for question in found])
    vocabulary = AnswerVocabulary(question.answer for found in lists for question in found)

    def quiz(scenes: list[Scene], lists: list[list[Question]]) -> QuestionSet:
        asked = [question for found in lists for question in found]
        images = draw_many(scenes)
        number = {text: row for row, text in enumerate(dict.fromkeys(q.question for q in asked))}
        tokens, real = tokenizer.batch([*number], longest)  # each text is cut into tokens once
        row = torch.tensor([number[question.question] for question in asked])
        place = torch.arange(len(lists)).repeat_interleave(torch.tensor([len(x) for x in lists]))
        answers = vocabulary.encode([question.answer for question in asked])
        features = look(grid_classifier, images)
        return QuestionSet(asked, images, features, place, tokens[row], real[row], answers)

    def test(only: list[Combination], seed: int) -> QuestionSet:
        found = ask_scenes(tests, seed, only)
        return quiz([item.scene for item in found], [[item.question] for item in found])

    held_out = test(seen, seed + 101), test(unseen, seed + 102)
    return VQAData(grid_classifier, tokenizer, vocabulary, quiz(drawn, lists), *held_out)


def learn_words(asked: Sequence[Question], merges: int = 500) -> tuple[BytePairEncoding, int]:
    """A tokenizer of these questions, and the longest of them in tokens."""
    texts = sorted({question.question for question in asked})
    tokenizer = BytePairEncoding.train(texts, merges)
    return tokenizer, 2 + max(len(tokenizer.encode(text)) for text in texts)


def even_batches(asked: Sequence[Question], batch_size: int, seed: int) -> Callable[[int], Tensor]:
    """Indices of batches even over kinds of question, then forms of a kind, then answers of a form.

    `balanced_batches` would make all cells alike, and kinds with many answers more frequent. Each
    question is drawn by its chance, whatever was drawn before; a cell's questions are drawn at most
    20 times as often as the middle one's, so that the rarest are not learned by heart.
    """
    cells = [cell(question) for question in asked]
    counts = Counter(cells)
    shares = share_out(1_000_000, counts)
    chances = torch.tensor([shares[name] / counts[name] for name in cells], dtype=torch.float64)
    ends = chances.clamp(max=20 * float(chances.median())).cumsum(0)

    def batch_at(step: int) -> Tensor:
        drawn = torch.rand(batch_size, generator=seeded(seed, step), dtype=torch.float64)
        return torch.searchsorted(ends, drawn * ends[-1], right=True).clamp(max=len(ends) - 1)

    return batch_at


def accuracy_by_kind(guesses: Tensor, quiz: QuestionSet) -> dict[str, float]:
    """The share of right guesses, int64 (Q,), of each kind of question, and of "all"."""
    right = (guesses == quiz.answers).double()
    found = {}
    for kind in [*KINDS, "all"]:
        which = torch.tensor([kind in (question.kind, "all") for question in quiz.asked])
        if which.any():
            found[kind] = right[which].mean().item()
    return found


def answer_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """The mean cross-entropy of the right answers: logits (B, K), answers int64 (B,)."""
    return F.cross_entropy(logits, answers)
