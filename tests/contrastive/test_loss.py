"""The contrastive loss against an explicit loop, and its invariants."""

import math

import pytest
import torch
from torch.nn import functional as F

from scratchmm.contrastive.loss import contrastive_loss, masked_contrastive_loss
from shape_comments import check_shape_comments


def pairs(B=5, D=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(B, D, generator=generator, dtype=torch.float64)
    texts = torch.randn(B, D, generator=generator, dtype=torch.float64)
    return F.normalize(images, dim=-1), F.normalize(texts, dim=-1)


@pytest.mark.parametrize("scale", [0.5, 3.0, 20.0])
def test_equals_a_loop(scale):
    images, texts = pairs()
    total = 0.0
    for i in range(5):
        row = [scale * float(images[i] @ texts[j]) for j in range(5)]
        column = [scale * float(images[j] @ texts[i]) for j in range(5)]
        for line in (row, column):
            total += math.log(sum(math.exp(x) for x in line)) - line[i]
    loss = contrastive_loss(images, texts, scale)
    assert loss.shape == () and loss.item() == pytest.approx(total / 10, abs=1e-12)


def test_all_alike_is_log_of_the_batch():
    same = F.normalize(torch.ones(7, 3), dim=-1)
    assert contrastive_loss(same, same, 50.0).item() == pytest.approx(math.log(7), rel=1e-5)


def test_exchanging_images_and_texts_changes_nothing():
    images, texts = pairs()
    torch.testing.assert_close(
        contrastive_loss(images, texts, 5.0), contrastive_loss(texts, images, 5.0)
    )


def test_order_of_the_batch_changes_nothing_but_the_pairing_does():
    images, texts = pairs()
    order = torch.tensor([3, 1, 4, 0, 2])
    loss = contrastive_loss(images, texts, 5.0)
    torch.testing.assert_close(contrastive_loss(images[order], texts[order], 5.0), loss)
    assert abs(contrastive_loss(images[order], texts, 5.0) - loss) > 1e-3


def test_perfect_pairs_at_a_high_scale_cost_nothing():
    eye = torch.eye(4)
    assert contrastive_loss(eye, eye, 100.0).item() < 1e-6
    assert contrastive_loss(eye, eye.roll(1, 0), 100.0).item() > 50


def test_gradients_reach_images_texts_and_scale():
    images, texts = (x.requires_grad_() for x in pairs())
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(contrastive_loss, (images, texts, scale))


def test_unlike_shapes_are_refused():
    sentence = r"^image embeddings are \(3, 4\) but text embeddings are \(2, 4\)$"
    with pytest.raises(ValueError, match=sentence):
        contrastive_loss(torch.zeros(3, 4), torch.zeros(2, 4), 1.0)


def test_the_loss_stays_on_the_device_of_its_inputs():
    vectors = torch.empty(3, 5, device="meta")
    assert contrastive_loss(vectors, vectors, 3.0).device.type == "meta"


# Other right answers of the batch.


@pytest.mark.parametrize("scale", [0.5, 20.0])
def test_other_right_answers_stand_in_neither_softmax(scale):
    images, texts = pairs()
    right = torch.rand(5, 5, generator=torch.Generator().manual_seed(3)) < 0.4  # in no order
    total = 0.0
    for i in range(5):
        for is_row in (True, False):
            logits = []
            for j in range(5):
                a, b = (i, j) if is_row else (j, i)
                if i == j or not right[a, b]:
                    logits.append(scale * float(images[a] @ texts[b]))
            own = scale * float(images[i] @ texts[i])
            total += math.log(sum(math.exp(x) for x in logits)) - own
    loss = masked_contrastive_loss(images, texts, scale, right)
    assert loss.item() == pytest.approx(total / 10, abs=1e-12)
    assert loss < contrastive_loss(images, texts, scale)


def test_with_pairs_alone_it_is_the_contrastive_loss():
    images, texts = pairs()
    wanted = contrastive_loss(images, texts, 7.0)
    for right in (torch.eye(5).bool(), torch.zeros(5, 5).bool()):
        torch.testing.assert_close(masked_contrastive_loss(images, texts, 7.0, right), wanted)


def test_five_texts_of_one_image_can_be_learned_to_the_end():
    """A model that knows all: the plain loss stays at log 5, the masked one goes to 0."""
    known = torch.eye(4).repeat_interleave(5, dim=0)  # 4 images, 5 texts each
    right = (known @ known.T).bool()
    assert masked_contrastive_loss(known, known, 100.0, right).item() < 1e-6
    assert contrastive_loss(known, known, 100.0).item() == pytest.approx(math.log(5), rel=1e-5)


def test_masked_gradients_are_finite_even_where_all_is_right():
    images, texts = (x.requires_grad_() for x in pairs())
    masked_contrastive_loss(images, texts, 3.0, torch.ones(5, 5).bool()).backward()
    assert images.grad.isfinite().all() and not images.grad.any()


def test_a_mask_of_another_batch_is_refused():
    images, texts = pairs()
    with pytest.raises(ValueError, match=r"right is \(4, 5\) for 5 images and 5 texts"):
        masked_contrastive_loss(images, texts, 1.0, torch.ones(4, 5).bool())
    with pytest.raises(ValueError, match=r"image embeddings are \(5, 7\) but text"):
        masked_contrastive_loss(images, texts[:, :6], 1.0, torch.ones(5, 5).bool())


def run_shapes() -> None:
    import torch

    from scratchmm.contrastive import loss

    loss.contrastive_loss(torch.randn(3, 5), torch.randn(3, 5), 7.0)
    right = torch.eye(3, dtype=torch.bool)
    loss.masked_contrastive_loss(torch.randn(3, 5), torch.randn(3, 5), 7.0, right)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "contrastive/loss.py")
