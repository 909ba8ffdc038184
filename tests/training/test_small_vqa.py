"""What surrounds the small VQA: scenes, labels of cells, questions that keep to their pictures."""

import torch

from scratchmm.data.drawing import draw, masks
from scratchmm.data.wording import questions
from scratchmm.data.world import SHAPES, TEXTURES, split_combinations
from scratchmm.training import small_vqa

SEEN, UNSEEN = split_combinations()


def test_half_of_the_scenes_repeat_a_colour_or_a_shape_and_none_is_held_out():
    scenes = small_vqa.sample_scenes(200, SEEN, seed=1)
    pairs = {(thing.color, thing.shape) for scene in scenes for thing in scene.things}
    assert not pairs & set(UNSEEN) and {len(scene.things) for scene in scenes} == {1, 2, 3}
    for number, scene in enumerate(scenes):
        if number % 2:
            part = ("color", "shape")[number // 2 % 2]
            assert len({getattr(thing, part) for thing in scene.things}) == 1
    assert scenes == small_vqa.sample_scenes(200, SEEN, seed=1)


def test_labels_say_what_lies_where():
    scenes = small_vqa.sample_scenes(20, SEEN)
    labels = small_vqa.labels_of(scenes)
    assert labels.shape == (20, 4, 64)
    for scene, cells in zip(scenes, labels):
        shown = masks(scene, 32)
        for thing, mask in zip(scene.things, shown):
            whole = mask.view(8, 4, 8, 4).all(3).all(1).flatten()
            shape, texture = SHAPES.index(thing.shape), TEXTURES.index(thing.texture)
            assert (cells[0, whole] == 1 + shape).all() and (cells[3, whole] == 1 + texture).all()
        empty = ~shown.any(0).view(8, 4, 8, 4).any(3).any(1).flatten()
        assert (cells[:, empty] == 0).all() and empty.any()


def test_a_looker_is_trained_the_same_twice_and_every_question_keeps_to_its_scene():
    scenes = small_vqa.sample_scenes(24, SEEN, seed=2)
    pictures = torch.stack([draw(scene, 32) for scene in scenes])
    labels = small_vqa.labels_of(scenes)
    one, two = (
        small_vqa.train_looker(pictures, labels, steps=3, batch_size=5, seed=4) for _ in range(2)
    )
    torch.testing.assert_close(one.state_dict(), two.state_dict())
    assert not one.training
    seen = small_vqa.ask_everything(scenes, one)
    assert seen.features.shape == (24, 64, 25)
    torch.testing.assert_close(seen.features[7], one(pictures[7:8])[0])
    asked = [seen.asked[i] for i in (seen.scene == 7).nonzero().flatten().tolist()]
    assert asked == questions(scenes[7]) and len(seen.scene) == len(seen.asked)


def test_words_and_batches_cover_the_questions():
    scenes = small_vqa.sample_scenes(30, SEEN)
    asked = [question for scene in scenes for question in questions(scene)]
    tokenizer, longest = small_vqa.learn_words(asked)
    tokens, real = tokenizer.batch([question.question for question in asked], longest)
    assert int(real.sum(dim=1).max()) == longest
    assert tokenizer.decode(tokens[3][real[3]][1:-1].tolist()).strip() == asked[3].question
    batch_at = small_vqa.even_batches(asked, 50, seed=0)
    kinds = [asked[i].kind for i in batch_at(0).tolist()]
    assert len(kinds) == 50 and kinds.count("relation") < 40
    torch.testing.assert_close(batch_at(3), small_vqa.even_batches(asked, 50, seed=0)(3))
