"""The recipes of seeing and answering: scenes, labels of cells, questions that keep to their images."""

from dataclasses import replace

import pytest
import torch

from scratchmm.data.world.images import draw, masks
from scratchmm.data.world.questions import KINDS, questions
from scratchmm.data.world.scenes import COLORS, PROPERTIES, SHAPES, TEXTURES, split_combinations
from scratchmm.recipes import grid_classifier, vqa
from scratchmm.vision.grid_classifier import grid_loss

SEEN, UNSEEN = split_combinations()


def test_half_of_the_scenes_repeat_a_colour_or_a_shape_and_none_is_held_out():
    scenes = grid_classifier.sample_scenes(200, SEEN, seed=1)
    pairs = {(thing.color, thing.shape) for scene in scenes for thing in scene.things}
    assert not pairs & set(UNSEEN) and {len(scene.things) for scene in scenes} == {1, 2, 3}
    for number, scene in enumerate(scenes):
        if number % 2:
            part = ("color", "shape")[number // 2 % 2]
            assert len({getattr(thing, part) for thing in scene.things}) == 1
    assert any(  # the other half may have any
        len({thing.color for thing in scene.things}) == len({t.shape for t in scene.things}) == 3
        for scene in scenes[2::2]
    )
    assert scenes == grid_classifier.sample_scenes(200, SEEN, seed=1)


def test_labels_say_what_lies_where():
    scenes = grid_classifier.sample_scenes(20, SEEN)
    labels = grid_classifier.labels_of_cells(scenes)
    assert labels.shape == (20, 4, 64)
    for scene, cells in zip(scenes, labels):
        shown = masks(scene, 32)
        for thing, mask in zip(scene.things, shown):
            whole = mask.view(8, 4, 8, 4).all(3).all(1).flatten()
            shape, texture = SHAPES.index(thing.shape), TEXTURES.index(thing.texture)
            assert (cells[0, whole] == 1 + shape).all() and (cells[3, whole] == 1 + texture).all()
        empty = ~shown.any(0).view(8, 4, 8, 4).any(3).any(1).flatten()
        assert (cells[:, empty] == 0).all() and empty.any()


def test_a_grid_classifier_is_trained_the_same_twice_and_every_question_keeps_to_its_scene():
    scenes = grid_classifier.sample_scenes(24, SEEN, seed=2)
    images = torch.stack([draw(scene, 32) for scene in scenes])
    labels = grid_classifier.labels_of_cells(scenes)
    dataset = grid_classifier.CellData(images, labels)
    one, two = (
        grid_classifier.train(replace(grid_classifier.SETTINGS, batch=5), dataset, steps=3, seed=4)
        for _ in range(2)
    )
    torch.testing.assert_close(one.state_dict(), two.state_dict())
    assert not one.training and not grid_classifier.cell_features(one, images).requires_grad
    longer = grid_classifier.train(
        replace(grid_classifier.SETTINGS, batch=8), dataset, steps=40, seed=4
    )
    color = [*PROPERTIES].index("color")
    with torch.no_grad():
        before, after = (grid_loss(m, images, images, labels, color) for m in (one, longer))
    assert after < 0.8 * before  # it learns


def test_every_question_keeps_to_its_scene_its_words_and_its_answer(tmp_path):
    settings = replace(vqa.SETTINGS, scenes=60, tests=60, grid_steps=3)
    found = vqa.data(settings, folder=tmp_path, seed=4)
    assert (tmp_path / "grid_classifier" / "model.pt").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid_classifier, "train", None)
        again = vqa.data(settings, folder=tmp_path, seed=4)  # reads it
    torch.testing.assert_close(again.seen.features, found.seen.features)
    quiz, scenes = found.training, grid_classifier.sample_scenes(60, SEEN, 4)
    assert quiz.features.shape == (60, 64, 25) and len(quiz.asked) == len(quiz.scene)
    torch.testing.assert_close(quiz.images[7], draw(scenes[7], 32))
    asked = [place for place in range(len(quiz.asked)) if quiz.scene[place] == 7]
    allowed = [q for q in questions(scenes[7]) if named(q.question) not in UNSEEN]
    assert [quiz.asked[place] for place in asked] == allowed
    features, tokens, real, answers = quiz.batch(torch.tensor(asked[:3]))
    torch.testing.assert_close(features[2], found.grid_classifier.features(quiz.images[7:8])[0])
    text = found.tokenizer.decode(tokens[2][real[2]][1:-1].tolist()).strip()
    assert text == quiz.asked[asked[2]].question
    assert found.vocabulary.decode(answers[2:])[0] == quiz.asked[asked[2]].answer
    naming = {named(question.question) for question in quiz.asked}
    assert not naming & set(UNSEEN), "no answer about what was held out is learned by heart"
    for test, only in ((found.seen, SEEN), (found.unseen, UNSEEN)):
        assert len(test.asked) == 60
        assert torch.equal(test.scene, torch.arange(60))
        assert {pair for q in test.asked if (pair := named(q.question))} <= set(only)


def named(question):
    """The colour and shape that stand side by side in a question, if any do."""
    words = question.replace("?", "").split()
    for color, shape in zip(words, words[1:]):
        if color in COLORS and shape in SHAPES:
            return color, shape
    return None


def test_accuracy_is_counted_kind_by_kind(tmp_path):
    settings = replace(vqa.SETTINGS, scenes=50, tests=50, grid_steps=1)
    quiz = vqa.data(settings, folder=tmp_path).seen
    wrong = torch.where(torch.tensor([q.kind == "count" for q in quiz.asked]), -1, quiz.answers)
    kinds = {"exist": 1.0, "attribute": 1.0, "count": 0.0, "compare": 1.0, "relation": 1.0}
    assert vqa.accuracy_by_kind(wrong, quiz) == kinds | {"all": 0.8}


def test_words_and_batches_cover_the_questions():
    scenes = grid_classifier.sample_scenes(30, SEEN)
    asked = [question for scene in scenes for question in questions(scene)]
    tokenizer, longest = vqa.learn_words(asked)
    tokens, real = tokenizer.batch([question.question for question in asked], longest)
    assert int(real.sum(dim=1).max()) == longest
    assert longest == 2 + max(len(tokenizer.encode(question.question)) for question in asked)
    assert tokenizer.decode(tokens[3][real[3]][1:-1].tolist()).strip() == asked[3].question
    batch_at = vqa.even_batches(asked, 4000, seed=0)
    drawn = [asked[i] for i in batch_at(0).tolist()]
    for kind in KINDS:
        mine = [question.answer for question in drawn if question.kind == kind]
        assert abs(len(mine) - 800) < 150  # even over the kinds, however many answers they have
        if kind == "exist":
            assert abs(mine.count("yes") / len(mine) - 0.5) < 0.1
    torch.testing.assert_close(batch_at(3), vqa.even_batches(asked, 4000, seed=0)(3))
    assert not torch.equal(batch_at(3), batch_at(4))
