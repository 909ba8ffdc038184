"""Visual question answering: a model that answers questions about the world's images.

    python -m scratchmm train vqa

Data: scenes of one to three things, all there is to ask about them, and two balanced tests: of
combinations of colour and shape that the training has seen, and of those it has not. Model: in two
stages, as models on frozen image features are: a grid classifier (`recipes.grid_classifier`) gives
the features of 8 x 8 cells, and `fusion.vqa.VQA` attends to them.
Loss: cross-entropy over the answers. Figure: how many questions about combinations never seen are
answered right.

Dimensions: S scenes, Q questions, B of them in a batch, T tokens, N cells, C features, K answers.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.data.world.balanced_questions import ask_scenes, share_out
from scratchmm.data.world.blind_baselines import cell
from scratchmm.data.world.captions import article
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.questions import KINDS, Question, questions
from scratchmm.data.world.scenes import PROPERTIES, Combination, Scene, split_combinations
from scratchmm.fusion.vqa import VQA, AnswerVocabulary, VQAConfig
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.recipes import artifact, grid_classifier
from scratchmm.recipes.grid_classifier import cell_features, sample_scenes
from scratchmm.training.fingerprint import content_of
from scratchmm.training.fit import fit
from scratchmm.training.run_folder import DATA
from scratchmm.training.sampling import seeded
from scratchmm.vision.grid_classifier import GridClassifier

Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # features, tokens, which are real, answers


@dataclass(frozen=True)
class Settings:
    """Of the data, the model and both trainings."""

    scenes: int = 12_000  # to train on
    tests: int = 2000  # questions of each test
    grid_steps: int = 1500  # of the grid classifier
    steps: int = 2000
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.2
    figure: str = "unseen_accuracy"  # what is judged
    expected: float = 0.79
    minutes: float = 3.0  # on two cores


SETTINGS = Settings()


class QuestionSet(NamedTuple):
    """Questions about scenes, in numbers: what a model is trained on, or tested with.

    S scenes hold Q questions, each about one of them; a question is int64 (Q, T) of tokens, with
    bool (Q, T) True on real ones, and its answer the number int64 (Q,) in the vocabulary.
    """

    asked: list[Question]
    images: Tensor  # (S, 3, H, W) in [-1, 1]
    features: Tensor  # (S, N, C), what the grid classifier sees in N cells
    scene: Tensor  # int64 (Q,), which of the S
    tokens: Tensor
    real: Tensor
    answers: Tensor

    def batch(self, chosen: Tensor) -> Batch:
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


@dataclass
class TrainedVQA:
    """A VQA model with all that it needs to answer a sentence about an image."""

    model: VQA
    grid_classifier: GridClassifier
    tokenizer: BytePairEncoding
    vocabulary: AnswerVocabulary
    data: VQAData | None = None  # what it was trained on, if that was now

    @torch.no_grad()
    def answer(self, images: Tensor, asked: Sequence[str]) -> list[str]:
        """The answer to a question about each image (B, 3, 32, 32) in [-1, 1]."""
        if len(images) != len(asked):
            raise ValueError(f"there are {len(asked)} questions for {len(images)} images")
        length = self.model.config.context_length
        tokens, real = self.tokenizer.batch(asked, length)
        logits = self.model.eval()(cell_features(self.grid_classifier, images), tokens, real).logits
        return self.vocabulary.decode(logits.argmax(dim=1))


def data(
    settings: Settings = SETTINGS,
    classifier: GridClassifier | None = None,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    **options: Any,
) -> VQAData:
    """Draw scenes of seen combinations, ask all there is to ask of them, and draw the two tests.

    A combination held out is neither seen nor named in training. classifier: what sees; if none is
    given, the one kept in folder/grid_classifier or one trained now (options: of its `train`).
    """
    seen, unseen = split_combinations()
    drawn = sample_scenes(settings.scenes, seen, seed)
    if classifier is None:
        classifier = _classifier(settings, seed, folder, options)
    # Nor is a colour and shape held out asked for in vain, or "no" would be learned by heart of it.
    hidden = {f"is there {article(' '.join(pair))}?" for pair in unseen}
    lists = [[q for q in questions(scene) if q.question not in hidden] for scene in drawn]
    tokenizer, longest = learn_words([question for found in lists for question in found])
    vocabulary = AnswerVocabulary(question.answer for found in lists for question in found)

    def question_set(scenes: list[Scene], lists: list[list[Question]]) -> QuestionSet:
        asked = [question for found in lists for question in found]
        images = draw_many(scenes)
        number = {text: row for row, text in enumerate(dict.fromkeys(q.question for q in asked))}
        tokens, real = tokenizer.batch([*number], longest)  # each text is cut into tokens once
        row = torch.tensor([number[question.question] for question in asked])
        place = torch.arange(len(lists)).repeat_interleave(torch.tensor([len(x) for x in lists]))
        answers = vocabulary.encode([question.answer for question in asked])
        features = cell_features(classifier, images)
        return QuestionSet(asked, images, features, place, tokens[row], real[row], answers)

    def test(only: list[Combination], seed: int) -> QuestionSet:
        found = ask_scenes(settings.tests, seed, only)
        return question_set([item.scene for item in found], [[item.question] for item in found])

    held_out = test(seen, seed + 101), test(unseen, seed + 102)
    return VQAData(classifier, tokenizer, vocabulary, question_set(drawn, lists), *held_out)


def _classifier(
    settings: Settings, seed: int, folder: str | Path | None, options: dict[str, Any]
) -> GridClassifier:
    sees = replace(grid_classifier.SETTINGS, scenes=settings.scenes, steps=settings.grid_steps)
    if folder is None:
        return grid_classifier.train(sees, seed=seed, **options)
    place = Path(folder) / "grid_classifier"
    found: GridClassifier = artifact.load_or_train(
        place, grid_classifier, sees, seed=seed, **options
    )
    return found


def learn_words(asked: Sequence[Question], merges: int = 500) -> tuple[BytePairEncoding, int]:
    """A tokenizer of these questions, and the longest of them in tokens."""
    texts = sorted({question.question for question in asked})
    tokenizer = BytePairEncoding.train(texts, merges)
    return tokenizer, 2 + max(len(tokenizer.encode(text)) for text in texts)


def build(settings: Settings, data: VQAData, *, seed: int = 0) -> VQA:
    """A new model: an answer for each of the vocabulary, on the features of 8 x 8 cells."""
    cells, width = data.seen.features.shape[1:]
    config = VQAConfig(
        len(data.tokenizer), len(data.vocabulary), image_width=width, image_tokens=cells,
        context_length=data.seen.tokens.shape[1], grid=(8, 8),
    )  # fmt: skip
    torch.manual_seed(seed)
    return VQA(nn.Identity(), config)  # the grid classifier has done its part


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


def batches(settings: Settings, data: VQAData, *, seed: int = 0) -> Callable[[int], Batch]:
    """A function from the step to its batch, even over the kinds of question."""
    even = even_batches(data.training.asked, settings.batch, seed)
    return lambda step: data.training.batch(even(step))


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """The mean cross-entropy of the right answers."""
    features, tokens, real, answers = batch
    return F.cross_entropy(model(features, tokens, real).logits, answers)


def train(
    settings: Settings = SETTINGS,
    dataset: VQAData | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    folder: str | Path | None = None,
    log: Callable[[str], None] | None = None,
    **options: Any,
) -> TrainedVQA:
    """A VQA, trained; with a folder it is kept there, and a stopped training goes on.

    dataset: made as the settings say if it is not given. options: more of `training.fit`, such as
    progress, precision, resume and save_every.
    """
    settings = artifact.with_steps(settings, steps)
    if dataset is None:
        dataset = data(settings, seed=seed, folder=folder, device=device, log=log, **options)
    model = build(settings, dataset, seed=seed)
    if log:
        log(f"Training a VQA for {settings.steps:,} steps.")
    told = {"scenes": settings.scenes, "batch": settings.batch}
    content = content_of(dataset.training.features, dataset.training.answers)
    with torch.enable_grad():
        fit(
            model,
            batches(settings, dataset, seed=seed),
            loss,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            seed=seed,
            device=device,
            folder=folder,
            settings={**told, DATA: content},
            log=log,
            **options,
        )
    model.to("cpu").eval()
    found = TrainedVQA(
        model, dataset.grid_classifier, dataset.tokenizer, dataset.vocabulary, dataset
    )
    if folder is not None:
        save(found, folder, settings, seed=seed, data=content)
    return found


@torch.no_grad()
def answers_of(model: nn.Module, asked: QuestionSet, batch_size: int = 500) -> Tensor:
    """The number of the model's answer to each question: int64 (Q,)."""
    parts = torch.arange(len(asked.asked)).split(batch_size)
    return torch.cat([model(*asked.batch(part)[:3]).logits.argmax(dim=1) for part in parts])


def accuracy_by_kind(guesses: Tensor, asked: QuestionSet) -> dict[str, float]:
    """The share of right guesses, int64 (Q,), of each kind of question, and of "all"."""
    right = (guesses == asked.answers).double()
    found = {}
    for kind in [*KINDS, "all"]:
        which = torch.tensor([kind in (question.kind, "all") for question in asked.asked])
        if which.any():
            found[kind] = right[which].mean().item()
    return found


def figures(vqa: TrainedVQA, dataset: VQAData | None = None) -> dict[str, float]:
    """How many questions of both tests are answered right, and of each kind those of the unseen."""
    dataset = dataset or vqa.data or data(classifier=vqa.grid_classifier)
    found = {}
    for which in ("seen", "unseen"):
        asked: QuestionSet = getattr(dataset, which)
        by_kind = accuracy_by_kind(answers_of(vqa.model, asked), asked)
        found[f"{which}_accuracy"] = by_kind.pop("all")
    return found | {f"unseen_{kind}_accuracy": value for kind, value in by_kind.items()}


def save(
    vqa: TrainedVQA,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    data: str = "",
) -> None:
    """Keep it in a folder, see `recipes.artifact`; settings: those it was trained with."""
    classes = [len(names) for names in PROPERTIES.values()]
    config: dict[str, Any] = {"vqa": asdict(vqa.model.config), "classes": classes}
    config["answers"] = list(vqa.vocabulary.answers)
    parts = {"vqa": vqa.model.state_dict(), "grid_classifier": vqa.grid_classifier.state_dict()}
    artifact.save(
        folder, "vqa", config=config, weights=parts, tokenizer=vqa.tokenizer,
        made=artifact.made_by("vqa", settings, seed, data=data),
    )  # fmt: skip


def load(folder: str | Path) -> TrainedVQA:
    """Read back what `save` wrote. Missing or foreign files are refused in a sentence."""
    found = artifact.read(folder, "vqa")
    with artifact.fitting(folder):
        config = VQAConfig(**found.config["vqa"])
        model = artifact.fill(VQA(nn.Identity(), config), found.weights["vqa"])
        sees = GridClassifier(found.config["classes"])
        sees = artifact.fill(sees, found.weights["grid_classifier"])
        vocabulary = AnswerVocabulary(found.config["answers"])
        return TrainedVQA(model, sees, artifact.tokenizer_of(found), vocabulary)
