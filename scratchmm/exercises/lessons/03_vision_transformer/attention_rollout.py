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
    hints="""
        1. One layer, one head, two tokens, and each attends only to the other: [[0, 1], [1, 0]].
           Through the residual a token also stays what it was, so the rollout is .5 everywhere. Two
           such layers: the same again. Rows always sum to 1.
        2. After layer 1, token i is a mixture of the input tokens. Layer 2 mixes those mixtures: a
           product of matrices, with the later mixing on the left. The residual passes each token on
           beside what attention brings; rollout counts both as half.
        3. For each layer: the mean over the heads (B, L, L); add the identity (L, L) and halve.
           Start from the identity, go from the first layer to the last, and multiply each new
           matrix from the left: (B, L, L) by (B, L, L).
        4. identity = torch.eye(L); rollout = identity; for weights in layers: mixing =
           (weights.mean(dim=1) + identity) / 2; rollout = mixing @ rollout; return rollout
    """,
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


@exercise.holds("the second layer mixes what the first has mixed, and so does every further one")
def several_layers(attention_rollout, case):
    for count in (2, 4):
        layers = watched(case, count)
        case.equal(case.call(attention_rollout, layers), by_loops(layers), f"{count} layers")


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


exercise.mistakes("""
    wrong-order: the layers are multiplied the other way round: the first one leftmost
    - rollout = mixing @ rollout
    + rollout = rollout @ mixing
    > the second layer mixes what the first has mixed: multiply new matrices from the left

    no-identity: the residual is forgotten: only the attention is multiplied
    - mixing = (weights.mean(dim=1) + identity) / 2
    + mixing = weights.mean(dim=1)
    > half of each token stays where it is: (weights + identity) / 2

    identity-once: the identity is added to the product at the end, not in every layer
    - mixing = (weights.mean(dim=1) + identity) / 2
    + mixing = weights.mean(dim=1)
    - return rollout
    + return (rollout + identity) / 2
    > every layer has a residual: mix with the identity before you multiply

    heads-by-maximum [convention]: the largest weight of all heads is taken instead of their mean
    - mixing = (weights.mean(dim=1) + identity) / 2
    + mixing = (weights.amax(dim=1) + identity) / 2
    > the mean over heads keeps rows summing to 1; some tools take the maximum and renormalise

    heads-apart: each head is rolled out for itself, and the results are averaged at the end
    - mixing = (weights.mean(dim=1) + identity) / 2
    + mixing = (weights + identity) / 2
    - return rollout
    + return rollout.mean(dim=1)
    > after each layer the heads are joined, so average them before you multiply

    elementwise: the matrices are multiplied element by element
    - rollout = identity
    + rollout = torch.ones_like(identity)
    - rollout = mixing @ rollout
    + rollout = mixing * rollout
    > use @, not *: token i gathers from every token j

    in-place: the identity is added to the caller's weights in place
    - mixing = (weights.mean(dim=1) + identity) / 2
    + mixing = (weights.mean(dim=1) + identity) / 2
    + weights.data = (weights + identity) / 2
    > weights += x changes what was passed in; write weights = weights + x
""")

exercise.slips("""
    weights.mean(dim=1) => weights.mean(dim=(0, 1), keepdim=True)[0].expand(len(weights), -1, -1)
    (weights.mean(dim=1) + identity) / 2 => weights.mean(dim=1) + identity
    weights.mean => weights.sum
    weights.mean(dim=1) => weights[:, 0]
    weights.mean(dim=1) => weights
    mixing @ rollout => mixing
    return rollout => return rollout[:, 0, 1:]
    return rollout => return rollout.transpose(1, 2)
    rollout = identity => rollout = 0 ;; mixing @ rollout => rollout + mixing / len(layers)
""")


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
