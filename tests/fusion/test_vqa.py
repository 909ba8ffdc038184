"""Visual question answering: the vocabulary of answers, and words that look at the image."""

import pytest
import torch
from torch import nn

from scratchmm.fusion.vqa import VQA, AnswerVocabulary, VQAConfig
from scratchmm.layers.attention import watch_attention
from scratchmm.layers.embeddings import sinusoidal_positions
from shape_comments import check_shape_comments

CONFIG = VQAConfig(23, 7, 14, 6, context_length=11, width=12, depth=2, heads=3, hidden=17)


class Grid(nn.Module):
    """An image encoder that gives a grid of features, as a ResNet does."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(2, 14, 4, stride=4)

    def forward(self, images):
        return self.convolution(images)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = VQA(Grid(), CONFIG)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.double()


def a_batch():
    tokens = torch.tensor([[1, 5, 6, 0, 0], [1, 7, 8, 9, 2], [1, 4, 0, 0, 0]])
    images = torch.randn(3, 2, 8, 12, generator=torch.Generator().manual_seed(1)).double()
    return images, tokens, tokens > 0


def test_answers_and_numbers_are_one_to_one():
    answers = ["yes", "no", "2", "yes", "red star", "no"]
    vocabulary = AnswerVocabulary(answers)
    assert vocabulary.answers == ("yes", "no", "2", "red star") and len(vocabulary) == 4
    numbers = vocabulary.encode(answers)
    assert numbers.dtype == torch.int64 and numbers.tolist() == [0, 1, 2, 0, 3, 1]
    assert vocabulary.decode(numbers) == answers
    assert "2" in vocabulary and "3" not in vocabulary
    assert vocabulary.encode([]).shape == (0,) and vocabulary.decode([]) == []


def test_the_most_frequent_answers():
    answers = ["a", "b", "c", "b", "c", "c", "d"]
    assert AnswerVocabulary.most_frequent(answers, 3).answers == ("c", "b", "a")
    assert AnswerVocabulary.most_frequent(answers, 99).answers == ("c", "b", "a", "d")


def test_answers_and_numbers_outside_are_refused():
    vocabulary = AnswerVocabulary(["yes", "no"])
    with pytest.raises(ValueError, match="answer 1, 'blue', is not among the 2 answers"):
        vocabulary.encode(["no", "blue"])
    for number in (2, -1):
        with pytest.raises(ValueError, match=f"no answer {number} in a vocabulary of 2"):
            vocabulary.decode(torch.tensor([0, number]))


def test_the_whole_model_again_without_padding(model):
    images, tokens, real = a_batch()
    output = model(images, tokens, real)
    for row, length in enumerate(real.sum(1).tolist()):
        grid = model.images(images[[row]])
        cells = torch.stack([grid[:, :, i, j] for i in range(2) for j in range(3)], dim=1)
        image = model.project(model.features_norm(cells)) + model.places
        words = model.words.weight[tokens[[row], :length]] + model.positions[:length]
        for layer in model.layers:
            words = layer(words, model.image_norm(image))
        expected = model.head(model.norm(words)[:, 0])
        torch.testing.assert_close(output.logits[[row]], expected)


def test_cells_of_a_grid_start_as_clock_hands_of_row_and_column():
    config = VQAConfig(23, 7, 14, 6, width=12, heads=3, hidden=17, grid=(2, 3))
    places = VQA(Grid(), config).places
    rows, columns = sinusoidal_positions(2, 6), sinusoidal_positions(3, 6)
    for row in range(2):
        for column in range(3):
            expected = torch.cat([rows[row], columns[column]])
            torch.testing.assert_close(places[3 * row + column], expected)
    with pytest.raises(ValueError, match="4 rows and 2 columns is not 6 tokens"):
        VQAConfig(23, 7, 14, 6, width=12, heads=3, grid=(4, 2))


def test_where_each_word_looked_is_told_for_each_layer(model):
    images, tokens, real = a_batch()
    with watch_attention() as seen:
        output = model(images, tokens, real)
    assert [tuple(w.shape) for w in output.weights] == [(3, 3, 5, 6)] * 2
    for weights in output.weights:
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 3, 5).double())
    looking = [weights for weights in seen if weights.shape[-1] == 6]
    torch.testing.assert_close(looking, [weights.detach() for weights in output.weights])


def test_question_and_image_both_matter_and_places_too(model):
    images, tokens, real = a_batch()
    before = model(images, tokens, real).logits
    assert (model(images.flip(0), tokens, real).logits - before).abs().max() > 1e-3
    assert (model(images, tokens.flip(1), real.flip(1)).logits - before).abs().max() > 1e-3
    # the same patches elsewhere
    moved = images.roll(4, dims=-1)
    assert (model(moved, tokens, real).logits - before).abs().max() > 1e-3
    with torch.no_grad():
        model.places.zero_()
    torch.testing.assert_close(
        model(moved, tokens, real).logits, model(images, tokens, real).logits
    )


def test_an_encoder_may_give_tokens_or_a_grid(model):
    class Tokens(nn.Module):
        def forward(self, images):
            return model.images(images).flatten(2).transpose(1, 2)

    other = VQA(Tokens(), CONFIG).double()
    state = {n: t for n, t in model.state_dict().items() if not n.startswith("images.")}
    other.load_state_dict(state)
    batch = a_batch()
    torch.testing.assert_close(other(*batch).logits, model(*batch).logits)


def test_what_does_not_fit_is_refused(model):
    images, tokens, real = a_batch()
    with pytest.raises(ValueError, match="there are 2 images but 3 questions"):
        model(images[:2], tokens, real)
    sentence = "the image is 4 tokens of width 14, but this model takes 6 of width 14"
    with pytest.raises(ValueError, match=sentence):
        model(images[..., :8], tokens, real)
    with pytest.raises(ValueError, match=r"questions is \(3, 4\), but they are \(3, 5\)"):
        model(images, tokens, real[:, :4])
    with pytest.raises(ValueError, match="token 23 of text 0, at position 0"):
        model(images, tokens + 22, real)
    with pytest.raises(ValueError, match="width 12 is not divisible by 5 heads"):
        VQAConfig(23, 7, 14, 6, width=12, heads=5)


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import vqa

    config = vqa.VQAConfig(23, 9, 12, 6, context_length=11, width=10, depth=1, heads=5, hidden=17)
    tokens = torch.tensor([[3, 4, 5]] * 2)
    vqa.VQA(torch.nn.Conv2d(2, 12, 5, 5), config)(torch.randn(2, 2, 10, 15), tokens, tokens > 0)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/vqa.py")
