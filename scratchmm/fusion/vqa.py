"""Visual question answering: the words of the question attend to the image; answers are classes.

Papers: VQA: Visual Question Answering (Agrawal et al. 2015, arXiv 1505.00468), for answers as
classes; Stacked Attention Networks (Yang et al. 2015, arXiv 1511.02274), section 3, for questions
that attend to an image several times.
Dimensions: B batch, C channels, T words, N image tokens, D width, H heads, K answers.
Differs from the papers: every word attends, not the question as a whole; words are embedded and mixed
as transformers do, and the answer is predicted from the first token, which starts every question.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scratchmm.fusion.cross_modal import check_mask
from scratchmm.layers.attention import check_heads, padding_mask
from scratchmm.layers.checks import check_divisible
from scratchmm.layers.embeddings import check_tokens, sinusoidal_positions
from scratchmm.layers.transformer import CrossAttentionBlock
from scratchmm.sentences import check_sizes


class AnswerVocabulary:
    """The answers that a classifier can give, each with its number.

    Repeated answers count once, at their first place.

    >>> vocabulary = AnswerVocabulary(["yes", "no", "yes", "red"])
    >>> len(vocabulary), vocabulary.encode(["red", "yes"]), vocabulary.decode([1, 2])
    (3, tensor([2, 0]), ['no', 'red'])
    >>> vocabulary.encode(["yes", "blue"])
    Traceback (most recent call last):
    ValueError: answer 1, 'blue', is not among the 3 answers of the vocabulary
    """

    def __init__(self, answers: Iterable[str]) -> None:
        self.answers = tuple(dict.fromkeys(answers))
        self._numbers = {answer: number for number, answer in enumerate(self.answers)}

    @classmethod
    def most_frequent(cls, answers: Iterable[str], count: int) -> "AnswerVocabulary":
        """The `count` most frequent of a training set's answers, the most frequent first.

        >>> AnswerVocabulary.most_frequent(["2", "yes", "no", "no", "yes", "no"], 2).answers
        ('no', 'yes')
        """
        return cls(answer for answer, _ in Counter(answers).most_common(count))

    def __len__(self) -> int:
        return len(self.answers)

    def __contains__(self, answer: str) -> bool:
        return answer in self._numbers

    def encode(self, answers: Sequence[str]) -> Tensor:
        """The number of each answer, int64 (B,). An answer outside is refused (ValueError)."""
        for place, answer in enumerate(answers):
            if answer not in self._numbers:
                raise ValueError(
                    f"answer {place}, {answer!r}, is not among the {len(self)} answers of the "
                    "vocabulary"
                )
        return torch.tensor([self._numbers[answer] for answer in answers], dtype=torch.int64)

    def decode(self, numbers: Tensor | Sequence[int]) -> list[str]:
        """The answer of each number. A number outside is refused (ValueError)."""
        found = [int(number) for number in numbers]
        for number in found:
            if not 0 <= number < len(self):
                raise ValueError(f"there is no answer {number} in a vocabulary of {len(self)}")
        return [self.answers[number] for number in found]


@dataclass(frozen=True)
class VQAConfig:
    """The sizes of a VQA model, without its image encoder."""

    vocabulary: int  # tokens of the questions
    answers: int  # answers to choose from, K
    image_width: int  # of the image encoder's tokens, C
    image_tokens: int  # that the image encoder gives, N
    context_length: int = 32  # the longest question in tokens
    width: int = 64  # of every word
    depth: int = 3  # cross-attention blocks
    heads: int = 4  # of attention, a divisor of the width
    hidden: int = 128  # inside the feed-forward networks
    epsilon: float = 1e-5  # of the layer norms
    grid: tuple[int, int] | None = None  # rows and columns of the image tokens, if they lie so

    def __post_init__(self) -> None:
        check_sizes(self)
        check_heads(self.width, self.heads)
        if self.grid is not None and self.grid[0] * self.grid[1] != self.image_tokens:
            rows, columns = self.grid
            raise ValueError(
                f"a grid of {rows} rows and {columns} columns is not {self.image_tokens} tokens"
            )


def tiny() -> VQAConfig:
    """A size for tests, on an encoder of 17 tokens, 32 wide.

    >>> tiny().answers
    11
    """
    return VQAConfig(99, 11, 32, 17, context_length=20, width=24, depth=2, hidden=37)


def grid_positions(rows: int, columns: int, width: int) -> Tensor:
    """2-D sinusoidal positions: half of the width for the row, half for the column (R C, width).

    >>> grid_positions(2, 3, 8)[4].equal(torch.cat([sinusoidal_positions(3, 4)[1]] * 2))
    True
    """
    check_divisible("width", width, "a pair of sine and cosine for row and column,", 4)
    row = sinusoidal_positions(rows, width // 2)[:, None].expand(-1, columns, -1)
    column = sinusoidal_positions(columns, width // 2)[None].expand(rows, -1, -1)
    return torch.cat([row, column], dim=-1).flatten(0, 1)


class VQAOutput(NamedTuple):
    """A score for each answer, and the attention weights of each word in each layer."""

    logits: Tensor  # (B, K)
    weights: list[Tensor]  # each (B, H, T, N)


class VQA(nn.Module):
    """A question and an image in, a score for each answer of a vocabulary out.

    images: a module from images to tokens (B, N, C), such as VisionTransformer, or to a grid of
    features (B, C, height, width), such as ResNet, which is flattened row by row.

    >>> from scratchmm.vision import vit
    >>> model = VQA(vit.VisionTransformer(vit.tiny()), tiny())
    >>> output = model(torch.zeros(2, 3, 32, 32), torch.tensor([[5, 7, 9]] * 2))
    >>> output.logits.shape, len(output.weights), output.weights[0].shape
    (torch.Size([2, 11]), 2, torch.Size([2, 4, 3, 17]))
    """

    def __init__(self, images: nn.Module, config: VQAConfig) -> None:
        super().__init__()
        self.config, self.images = config, images
        width, epsilon = config.width, config.epsilon
        # Embeddings of tokens are larger than those of positions: they carry more information.
        self.words = nn.Embedding(config.vocabulary, width)  # standard deviation 1
        self.positions = nn.Parameter(0.3 * torch.randn(config.context_length, width))
        self.features_norm = nn.LayerNorm(config.image_width, eps=epsilon)
        self.project = nn.Linear(config.image_width, width)
        # Where each token stands: features do not say, and "left of" is all about it. In a grid,
        # neighbours start alike: from places drawn at random that is learned late, or not at all.
        places = 0.7 * torch.randn(config.image_tokens, width)
        self.places = nn.Parameter(
            grid_positions(*config.grid, width) if config.grid is not None else places
        )
        self.image_norm = nn.LayerNorm(width, eps=epsilon)
        self.layers = nn.ModuleList(
            CrossAttentionBlock(width, config.heads, config.hidden, epsilon=epsilon)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.head = nn.Linear(width, config.answers)

    def forward(self, images: Tensor, tokens: Tensor, real: Tensor | None = None) -> VQAOutput:
        """images: (B, channels, height, width); tokens: int64 (B, T); real: bool (B, T)."""
        if images.shape[0] != tokens.shape[0]:
            raise ValueError(f"there are {images.shape[0]} images but {tokens.shape[0]} questions")
        if real is not None:
            check_mask("questions", real, (tokens.shape[0], tokens.shape[1]))
        image = self.image_tokens(images)
        mask = None if real is None else padding_mask(real)
        words = self.question_tokens(tokens)  # (B, T, D)
        maps = []
        for layer in self.layers:
            words, weights = layer(words, image, mask, return_weights=True)
            maps.append(weights)  # (B, H, T, N)
        return VQAOutput(self.head(self.norm(words[:, 0])), maps)

    def question_tokens(self, tokens: Tensor) -> Tensor:
        """The question's words with their positions: int64 (B, T) to (B, T, D)."""
        length, most = tokens.shape[1], len(self.positions)
        check_tokens(tokens, self.words.num_embeddings)
        if length > most:
            raise ValueError(f"{length} tokens do not fit a context of {most}")
        return self.words(tokens) + self.positions[:length]  # (B, T, D)

    def image_tokens(self, images: Tensor) -> Tensor:
        """The image as the words see it: tokens with their places, (B, N, D)."""
        image = self.images(images)
        if image.dim() == 4:
            image = image.flatten(2).transpose(1, 2)  # (B, N, C)
        expected = (self.config.image_tokens, self.config.image_width)
        if tuple(image.shape[1:]) != expected:
            raise ValueError(
                f"the image is {image.shape[1]} tokens of width {image.shape[2]}, "
                f"but this model takes {expected[0]} of width {expected[1]}"
            )
        image = self.project(self.features_norm(image))  # (B, N, D)
        return self.image_norm(image + self.places)  # (B, N, D)
