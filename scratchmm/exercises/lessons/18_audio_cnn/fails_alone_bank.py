"""Wrong and other right answers to bug.fails_alone: checks that miss some, or blame good ones."""

import torch

from scratchmm.exercises.format import exercise_file

others = exercise_file("18_audio_cnn/fails_alone_others")
exercise = exercise_file("18_audio_cnn/fails_alone").exercise

assert others.exercise is exercise  # importing them gives the exercise its properties
LENGTHS = (4, 9, 6, 1)


def batch(lengths=LENGTHS, padding=None, seed=1):
    """Sounds of these lengths, with `padding` or any numbers behind them, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(len(lengths), 5, max(lengths), generator=generator) + 1
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return (x if padding is None else x.masked_fill(~real[:, None], padding)), real


def seasoned(model_class, batches=5, seed=3):
    """A model whose norms have seen batches, in eval mode."""
    torch.manual_seed(seed)
    model = model_class(5, 3)
    for number in range(batches):
        model(*batch(seed=number))
    return model.eval()


@torch.no_grad()
def differences(model, x, real):
    """How far each sound's logits in the batch lie from those it has alone: (B,)."""
    together, found = model(x, real), []
    for b, length in enumerate(real.sum(dim=1).tolist()):
        alone = model(x[b : b + 1, :, :length], real[b : b + 1, :length])
        found.append((alone[0] - together[b]).abs().max())
    return torch.stack(found)


@exercise.wrong(
    "accepts-everything",
    story="nothing is asserted, so every model is accepted",
    advice="compare logits by an assert",
)
def accepts_everything(model_class):
    differences(seasoned(model_class), *batch())


@exercise.wrong(
    "rejects-everything",
    story="every model is rejected, the right ones too",
    advice="mend a copy of HearsItsPadding: your check must accept it",
)
def rejects_everything(model_class):
    raise AssertionError("it hears its padding")


@exercise.wrong(
    "shape-only",
    story="only the shape and the finiteness of the logits are looked at",
    advice="wrong logits have the right shape",
    twin="accepts-everything",
)
def shape_only(model_class):
    logits = seasoned(model_class)(*batch())
    assert logits.shape == (4, 3) and logits.isfinite().all()


@exercise.wrong(
    "trained-a-little",
    story="it is asked that the loss falls in training, and it does in all of them",
    advice="training in batches shows nothing: give a sound alone",
    twin="accepts-everything",
)
def trained_a_little(model_class):
    torch.manual_seed(0)
    model, (x, real) = model_class(5, 3).eval(), batch((6, 9))
    one = model(x, real).square().mean()
    weights = list(model.head.parameters())
    with torch.no_grad():
        for weight, gradient in zip(weights, torch.autograd.grad(one, weights)):
            weight -= 0.001 * gradient
        assert model(x, real).square().mean() < one


@exercise.wrong(
    "no-padding",
    story="all sounds of the batch are of one length: there is no padding in it",
    advice="give them lengths that differ",
)
def no_padding(model_class):
    assert (differences(seasoned(model_class), *batch((7, 7, 7))) < 1e-4).all()


@exercise.wrong(
    "no-neighbours",
    story="one sound alone, with padding and without: nobody is beside it",
    advice="some models look at the other sounds of the batch: put several into it",
)
def no_neighbours(model_class):
    x, _ = batch((9,))
    model, real = seasoned(model_class), torch.arange(9)[None] < 5
    with torch.no_grad():
        difference = model(x, real) - model(x[..., :5], real[:, :5])
    assert difference.abs().max() < 1e-4


@exercise.wrong(
    "alone-with-its-padding",
    story="the sound is taken out of the batch, but its padding is left on",
    advice="cut it to its own frames: x[b : b + 1, :, :length], and the mask as well",
)
@torch.no_grad()
def alone_with_its_padding(model_class):
    (x, real), model = batch(), seasoned(model_class)
    together = model(x, real)
    for b in range(len(x)):
        assert (model(x[b : b + 1], real[b : b + 1])[0] - together[b]).abs().max() < 1e-4


@exercise.wrong(
    "zeros-in-the-padding",
    story="there are only zeros in the padding, and who reads them is not noticed",
    advice="let other numbers stand there: in decibels silence is not 0",
)
def zeros_in_the_padding(model_class):
    assert (differences(seasoned(model_class), *batch(padding=0.0)) < 1e-4).all()


@exercise.wrong(
    "fresh-model",
    story="the model is fresh: its norms take away 0 and divide by 1, and leave zeros zeros",
    advice="let it see a few batches in train() before",
)
def fresh_model(model_class):
    assert (differences(seasoned(model_class, batches=0), *batch()) < 1e-4).all()


@exercise.wrong(
    "still-training",
    story="the model stays in train(), where norms look at the batch and dropout draws",
    advice="call eval() before you compare",
)
def still_training(model_class):
    assert (differences(seasoned(model_class).train(), *batch((4, 9, 6, 2))) < 1e-4).all()


@exercise.wrong(
    "longest-only",
    story="only the longest sound is compared, which has no padding",
    advice="compare every sound of the batch",
)
def longest_only(model_class):
    assert differences(seasoned(model_class), *batch())[1] < 1e-4


@exercise.wrong(
    "sorted-already",
    story="the sounds come sorted by their length, so that sorting them changes nothing",
    advice="give them in any other order",
)
def sorted_already(model_class):
    assert (differences(seasoned(model_class), *batch((9, 6, 4, 1))) < 1e-4).all()


@exercise.wrong(
    "to-the-last-bit",
    story="logits must be equal to the last bit, which sums in another order never are",
    advice="allow 0.0001",
)
def to_the_last_bit(model_class):
    for seed in range(4):
        assert (differences(seasoned(model_class), *batch((8, 9, 6, 5), seed=seed)) == 0).all()


@exercise.wrong(
    "no-numbers-in-the-padding",
    story="the padding is filled with what is no number, which nobody promised to stand",
    advice="finite numbers: who multiplies them by zero is right as well",
)
def no_numbers_in_the_padding(model_class):
    assert (differences(seasoned(model_class), *batch(padding=torch.nan)) < 1e-4).all()


@exercise.wrong(
    "nearly-the-same",
    story="logits may differ by 0.1, and some wrong ones do not differ so much",
    advice="0.0001 is what right ones keep to",
)
def nearly_the_same(model_class):
    assert (differences(seasoned(model_class), *batch()) < 0.1).all()


@exercise.wrong(
    "two-batches",
    story="two batches with the same lengths are compared: the padding is as long in both",
    advice="compare with the sound alone, without padding",
)
def two_batches(model_class):
    model, (x, real) = seasoned(model_class), batch()
    with torch.no_grad():
        one, other = model(x, real), model(x.flip(0), real.flip(0)).flip(0)
    assert (one - other).abs().max() < 1e-4


@exercise.disguise("fresh-model")
def fresh_model_too(model_class):
    torch.manual_seed(5)
    assert differences(model_class(5, 3).eval(), *batch((3, 8, 5), seed=5)).max() < 1e-4


@exercise.disguise("zeros-in-the-padding")
def zeros_in_the_padding_too(model_class):
    x, real = batch((2, 8, 5), seed=7)
    torch.testing.assert_close(
        differences(seasoned(model_class, 7), x * real[:, None], real),
        torch.zeros(3),
        rtol=0,
        atol=1e-4,
    )


@exercise.right("in pairs")
def in_pairs(model_class):
    model = seasoned(model_class, batches=8)
    for lengths in ((3, 8), (8, 3), (1, 6)):
        assert differences(model, *batch(lengths, seed=sum(lengths))).max() < 1e-4


@exercise.right("more padding, other numbers in it, other neighbours")
def step_by_step(model_class):
    model, (x, real) = seasoned(model_class), batch((5, 8, 3))
    told = torch.where(real[:, None], x, -7.0)
    with torch.no_grad():
        alone = [model(x[b : b + 1, :, :n], real[b : b + 1, :n]) for b, n in enumerate((5, 8, 3))]
        torch.testing.assert_close(model(told, real), torch.cat(alone), rtol=0, atol=1e-4)
        longer = torch.nn.functional.pad(told, (0, 5), value=40.0)
        mask = torch.nn.functional.pad(real, (0, 5))
        torch.testing.assert_close(model(longer, mask), torch.cat(alone), rtol=0, atol=1e-4)
