"""CLIPScore and RefCLIPScore against a loop over the samples."""

import pytest
import torch
from torch.testing import assert_close

from scratchmm.metrics.clip_score import clip_score, ref_clip_score
from shape_comments import check_shape_comments


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(one, other):
    return (one @ other / (one @ one * (other @ other)) ** 0.5).item()


def test_equals_a_loop():
    images, words, references = normal(12, 4), normal(12, 4, seed=1), normal(12, 3, 4, seed=2)
    scores = clip_score(images, words)
    with_references = ref_clip_score(images, words, references)
    for row in range(12):
        score = 2.5 * max(cosine(images[row], words[row]), 0)
        closest = max(0, *(cosine(words[row], one) for one in references[row]))
        mean = 2 / (1 / score + 1 / closest) if score and closest else 0.0
        assert scores[row].item() == pytest.approx(score)
        assert with_references[row].item() == pytest.approx(mean)
    assert (scores == 0).any() and (scores > 0).any()  # both were seen


def test_length_does_not_matter_and_the_scale_is_the_papers():
    images, words = normal(5, 4), normal(5, 4, seed=1)
    assert_close(clip_score(7 * images, words / 9), clip_score(images, words))
    assert_close(clip_score(images, images), torch.full((5,), 2.5).double())
    assert (clip_score(images, -images) == 0).all()


def test_nothing_scores_nothing():
    nothing = torch.zeros(2, 4)
    assert clip_score(nothing, torch.ones(2, 4)).tolist() == [0, 0]
    assert ref_clip_score(nothing, nothing, torch.zeros(2, 1, 4)).tolist() == [0, 0]


def test_refusals():
    with pytest.raises(
        ValueError, match=r"^embeddings of images and words are \(2, 4\) and \(3, 4\)"
    ):
        clip_score(torch.zeros(2, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"^embeddings of images and words are \(4,\) and \(4,\)"):
        clip_score(torch.zeros(4), torch.zeros(4))
    for shape in ((2, 4), (3, 1, 4), (2, 1, 5), (2, 0, 4)):
        with pytest.raises(ValueError, match=r"^references are \(.*\) for captions \(2, 4\)$"):
            ref_clip_score(torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(shape))


@pytest.mark.parametrize("factor", [1e-30, 1e-9, 1e22, 1e30])
def test_a_factor_changes_no_score(factor):
    images, words, references = normal(5, 4), normal(5, 4, seed=1), normal(5, 3, 4, seed=2)
    scores = (
        clip_score(images, words).float(),
        ref_clip_score(images, words, references).float(),
    )
    images, words, references = images.float(), words.float(), references.float()
    assert_close(clip_score(images * factor, words / factor), scores[0])
    found = ref_clip_score(images * factor, words / factor, references * factor)
    assert_close(found, scores[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_never_above_the_highest_score(dtype):
    many = normal(1000, 64).to(dtype)
    found = clip_score(many, many)
    assert found.dtype == dtype and (found == 2.5).all()
    assert (ref_clip_score(many, many, many[:, None]).double() <= 2 * 2.5 / 3.5 + 0.01).all()


def run_shapes() -> None:
    import torch

    from scratchmm.metrics import clip_score

    clip_score.ref_clip_score(torch.randn(2, 5), torch.randn(2, 5), torch.randn(2, 3, 5))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "metrics/clip_score.py")
