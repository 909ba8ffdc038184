"""Exercise rollout.attention_rollout: from which patch does CLS have what it knows?"""

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="rollout.attention_rollout",
    order=40,
    target="scratchmm.vision.rollout:attention_rollout",
    title="Attention rolled out through the layers",
    goal="mean over heads, half of it and half identity, multiplied with the last layer leftmost",
    minutes=15,
    difficulty=3,
    section="What CLS attends to",
    needs=("attention.attend",),
    hints=(
        "One layer, one head, two tokens, and each looks only at the other: [[0, 1], [1, 0]]. "
        "Through the residual a token also stays what it was, so the rollout is [[.5, .5], "
        "[.5, .5]]. Two such layers: the same again. Rows always sum to 1.",
        "After layer 1, token i is a mixture of the input tokens. Layer 2 mixes those mixtures. "
        "Mixing what is already mixed is a product of matrices, and the later mixing stands on the "
        "left. The residual passes each token on beside what attention brings; rollout counts both "
        "as half.",
        "For each layer: the mean over the heads (B, L, L); add the identity (L, L) and halve. "
        "Start from the identity, go through the layers from the first to the last, and multiply "
        "each new matrix from the left: (B, L, L) by (B, L, L).",
        "identity = torch.eye(L); rollout = identity; for weights in layers: mixing = "
        "(weights.mean(dim=1) + identity) / 2; rollout = mixing @ rollout; return rollout",
    ),
)


def watched(case: Case, layers: int = 3) -> list[Tensor]:
    """Weights of some layers: rows sum to 1, no two matrices commute."""
    scores = [case.normal(B=2, H=3, L=5, S=5, scale=2.0) for _ in range(layers)]
    return [case.named(one.softmax(-1), "B H L L") for one in scores]


def by_loops(layers: list[Tensor]) -> Tensor:
    """The oracle: what each token is made of, token by token."""
    batch, heads, length, _ = layers[0].shape
    images = []
    for b in range(batch):
        eye = torch.eye(length, dtype=layers[0].dtype, device=layers[0].device)
        made_of = list(eye)  # of which inputs, token by token
        for weights in layers:
            shares = torch.stack([weights[b, h] for h in range(heads)]).mean(0)
            looked = [sum(shares[i, j] * made_of[j] for j in range(length)) for i in range(length)]
            made_of = [(old + new) / 2 for old, new in zip(made_of, looked, strict=True)]
        images.append(torch.stack(made_of))
    return torch.stack(images)


@exercise.holds("for each image one matrix: from every token to every token")
def shape(attention_rollout, case):
    case.shape(case.call(attention_rollout, watched(case)), "B L L")


@exercise.holds("where every token looks only at itself, each is made of itself")
def itself(attention_rollout, case):
    eye = torch.eye(5).expand(2, 3, 5, 5)
    case.sizes.update(B=2, L=5)
    case.equal(case.call(attention_rollout, [eye, eye]), torch.eye(5).expand(2, 5, 5))


@exercise.holds("rows sum to 1: a token is made of shares of the inputs")
def shares(attention_rollout, case):
    got = case.call(attention_rollout, watched(case))
    case.equal(got.sum(-1), torch.ones(2, 5), "the sum of each row")


@exercise.holds("one layer gives half of the mean over its heads, and half of the identity")
def one_layer(attention_rollout, case):
    layers = watched(case, layers=1)
    case.equal(case.call(attention_rollout, layers), by_loops(layers))


@exercise.holds("the order of the heads does not matter")
def heads(attention_rollout, case):
    layers = watched(case, layers=2)
    order = case.permutation(3)
    got = case.call(attention_rollout, [weights[:, order] for weights in layers])
    case.equal(got, by_loops(layers))


@exercise.holds("two layers: the second mixes what the first has mixed")
def two_layers(attention_rollout, case):
    layers = watched(case, layers=2)
    case.equal(case.call(attention_rollout, layers), by_loops(layers))


@exercise.holds("every further layer counts in the same way")
def four_layers(attention_rollout, case):
    layers = watched(case, layers=4)
    case.equal(case.call(attention_rollout, layers), by_loops(layers))


@exercise.holds("each image is rolled out for itself")
def alone(attention_rollout, case):
    layers = watched(case, layers=2)
    got = case.call(attention_rollout, [weights[1:] for weights in layers])
    case.equal(got, by_loops(layers)[1:])
    together = case.call(attention_rollout, layers)
    case.equal(together[1:], got, "the second image, in a batch")


@exercise.holds("the weights that were handed in, and their list, stay as they were")
def unchanged(attention_rollout, case):
    layers = watched(case)
    before = [weights.clone() for weights in layers]
    case.call(attention_rollout, layers)
    same = len(layers) == 3 and all(bool((a == b).all()) for a, b in zip(layers, before))
    case.true(same, "the weights as they were", "other ones")


def rolled(layers, *, heads=lambda weights: weights.mean(1), identity=1.0, scale=0.5, left=True):
    """The formula with its knobs out, so that a wrong answer is one knob turned."""
    eye = torch.eye(layers[0].shape[-1], dtype=layers[0].dtype)
    rollout = eye.expand(len(layers[0]), *eye.shape)
    for weights in layers:
        mixing = (heads(weights) + identity * eye) * scale
        rollout = mixing @ rollout if left else rollout @ mixing
    return rollout


@exercise.wrong(
    "wrong-order",
    story="the layers are multiplied the other way round: the first one leftmost",
    advice="the second layer mixes what the first has mixed: multiply new matrices from the left",
)
def wrong_order(layers):
    return rolled(layers, left=False)


@exercise.wrong(
    "no-identity",
    story="the residual is forgotten: only the attention is multiplied",
    advice="half of each token stays where it is: (weights + identity) / 2",
)
def no_identity(layers):
    return rolled(layers, identity=0.0, scale=1.0)


@exercise.wrong(
    "not-halved",
    story="the identity is added, but the sum is not halved, so shares grow with every layer",
    advice="weights and identity count half each, so that rows sum to 1",
)
def not_halved(layers):
    return rolled(layers, scale=1.0)


@exercise.wrong(
    "identity-once",
    story="the identity is added to the product at the end, not in every layer",
    advice="every layer has a residual: mix with the identity before you multiply",
)
def identity_once(layers):
    eye = torch.eye(layers[0].shape[-1])
    return (rolled(layers, identity=0.0, scale=1.0) + eye) / 2


@exercise.wrong(
    "heads-by-maximum",
    story="the largest weight of all heads is taken instead of their mean",
    advice="the mean over heads keeps rows summing to 1; some tools take the maximum and renormalise",
    convention=True,
)
def heads_by_maximum(layers):
    return rolled(layers, heads=lambda weights: weights.amax(1))


@exercise.wrong(
    "heads-summed",
    story="the heads are added, not averaged",
    advice="mean over axis 1, not sum",
)
def heads_summed(layers):
    return rolled(layers, heads=lambda weights: weights.sum(1))


@exercise.wrong(
    "first-head",
    story="only the first head is used",
    advice="average over axis 1",
)
def first_head(layers):
    return rolled(layers, heads=lambda weights: weights[:, 0])


@exercise.wrong(
    "heads-apart",
    story="each head is rolled out for itself, and the results are averaged at the end",
    advice="after each layer the heads are joined, so average them before you multiply",
)
def heads_apart(layers):
    count = layers[0].shape[1]
    return sum(rolled(layers, heads=lambda w, h=h: w[:, h]) for h in range(count)) / count


@exercise.wrong(
    "heads-kept",
    story="the heads are still there: (B, H, L, L)",
    advice="average over the heads: (B, L, L)",
)
def heads_kept(layers):
    eye = torch.eye(layers[0].shape[-1]).to(layers[0])
    rollout = eye
    for weights in layers:
        rollout = (weights + eye) / 2 @ rollout
    return rollout


@exercise.wrong(
    "last-layer",
    story="only the last layer is used",
    advice="its tokens are mixtures already: multiply through all layers",
)
def last_layer(layers):
    return rolled(layers[-1:])


@exercise.wrong(
    "averaged-layers",
    story="the layers are averaged instead of multiplied",
    advice="layers follow each other: what they do is a product of matrices",
)
def averaged_layers(layers):
    return sum(rolled([weights]) for weights in layers) / len(layers)


@exercise.wrong(
    "elementwise",
    story="the matrices are multiplied number by number",
    advice="use @, not *: token i gathers from every token j",
)
def elementwise(layers):
    product = rolled(layers[:1])
    for weights in layers[1:]:
        product = product * rolled([weights])
    return product


@exercise.wrong(
    "transposed",
    story="the result is transposed: rows are inputs, columns are outputs",
    advice="row i tells of what token i is made, and sums to 1",
)
def transposed(layers):
    return rolled(layers).transpose(1, 2)


@exercise.wrong(
    "batch-averaged",
    story="the images of the batch are averaged too",
    advice="average over the heads only, axis 1",
)
def batch_averaged(layers):
    return rolled([weights.mean(0, keepdim=True).expand_as(weights) for weights in layers])


@exercise.wrong(
    "class-row",
    story="only the row of CLS over the patches is returned",
    advice="return the whole matrix; who wants CLS takes [:, 0, 1:] of it",
)
def class_row(layers):
    return rolled(layers)[:, 0, 1:]


@exercise.wrong(
    "in-place",
    story="the identity is added to the caller's weights in place",
    advice="weights += x changes what was passed in; write weights = weights + x",
)
def in_place(layers):
    result = rolled(layers)
    for weights in layers:
        weights.data = weights / 2 + torch.eye(weights.shape[-1]) / 2
    return result


@exercise.disguise("wrong-order")
def wrong_order_too(layers):
    return rolled(list(reversed(layers)))


@exercise.disguise("no-identity")
def no_identity_too(layers):
    rollout = layers[0].mean(1)
    for weights in layers[1:]:
        rollout = torch.einsum("bij,bjk->bik", weights.mean(1), rollout)
    return rollout


@exercise.right("from the last layer")
def from_the_last_layer(layers):
    eye = torch.eye(layers[0].shape[-1]).to(layers[0])
    rollout = eye.expand(len(layers[0]), *eye.shape)
    for weights in reversed(layers):
        rollout = rollout @ (0.5 * weights.mean(1) + 0.5 * eye)
    return rollout


@exercise.right("einsum")
def with_einsum(layers):
    rollout = None
    for weights in layers:
        mixing = weights.sum(dim=1) / weights.shape[1]
        mixing = (mixing + torch.eye(mixing.shape[-1]).to(mixing).unsqueeze(0)) / 2
        rollout = mixing if rollout is None else torch.einsum("bij,bjk->bik", mixing, rollout)
    return rollout


@exercise.right("loops")
def with_loops(layers):
    return by_loops(layers)
