"""Exercise modality_attention.AttentionFusion: a token a modality, related by a transformer."""

import math

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise, exercise_file
from scratchmm.fusion.modalities import collect
from scratchmm.layers.attention import watch_attention

block_by_hand = exercise_file("02_transformer/transformer_block").oracle

exercise = Exercise(
    id="modality_attention.AttentionFusion",
    order=100,
    target="scratchmm.fusion.modality_attention:AttentionFusion",
    title="A token a modality",
    goal="an answer token and a token a modality through the transformer; absent ones are masked",
    minutes=20,
    difficulty=3,
    section="Attention over modalities",
    needs=("attention.padding_mask",),
    methods={
        "forward": "the answer token, then a token a modality, through the transformer; the first "
        "through norm and output"
    },
    hints="""
        1. A sample has words, but no image. The three tokens are the answer, the words and the
           image; its row of the mask is (True, True, False). If the image were attended to as
           zeros, its layer would still make its bias of them: a token like any.
        2. Absence is padding: a token that no other attends to. The answer token carries nothing of
           a sample; it attends to the others, it is always there, and it is what is put out at the
           end. The lesson tells it under Attention over modalities.
        3. collect gives vectors (B, D) each and which are present, bool (B, M). Each vector through
           its own layer: (B, d). The answer as (B, d), the others behind it, stacked on a new axis
           1: (B, 1 + M, d). The mask: a column of True before there, (B, 1 + M), as padding_mask
           takes it. After the transformer take token 0, (B, d), then norm, then output: (B, K).
        4. tokens = [self.tokens[name](x) for name, x in vectors.items()]; x = torch.stack([answer,
           *tokens], dim=1) with answer = self.answer.expand(len(there), -1); seen = torch.cat([
           there.new_ones(len(there), 1), there], dim=1); self.transformer(x,
           mask=padding_mask(seen)); self.output(self.norm(x[:, 0]))
    """,
)
WIDTHS = {"words": 5, "image": 3, "sound": 2}  # neither alphabetical nor by size
B, K, D = 8, 7, 6


def made(case, fusion_class):
    """Two blocks of 3 heads, each with numbers of its own."""
    fusion = case.build(fusion_class, WIDTHS, K, D, heads=3, hidden=11, depth=2)
    source = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter += torch.randn(parameter.shape, generator=source) * 0.3
    return fusion


def vectors(case):
    """Features of 8 samples, not in the order of WIDTHS."""
    sound, words = case.normal(B=B, U=2), case.normal(B=B, T=5)
    return {"sound": sound, "words": words, "image": case.normal(B=B, S=3)}


def some_absent(case):
    """Features with nan where a modality is absent, and the masks."""
    table = [[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]]
    features = vectors(case)
    present = dict(zip(WIDTHS, torch.tensor(table).bool().T.contiguous(), strict=True))
    for name, mask in present.items():
        features[name][~mask] = math.nan
    return features, present


def oracle(fusion, features, present=None):
    """One sample at a time, of those tokens that are there, in torch's own functions."""
    rows = []
    for sample in range(B):
        tokens = [fusion.answer]
        for name in WIDTHS:
            if name in features and (present is None or present[name][sample]):
                layer = fusion.tokens[name]
                tokens.append(layer.weight @ features[name][sample] + layer.bias)
        x = torch.stack(tokens)[None]
        for block in fusion.transformer.blocks:
            x = block_by_hand(block, x)
        answer = F.layer_norm(x[0, 0], (D,), fusion.norm.weight, fusion.norm.bias, fusion.norm.eps)
        rows.append(fusion.output.weight @ answer + fusion.output.bias)
    return torch.stack(rows)


def agree(case, fusion, features, present=None):
    case.equal(case.call(fusion, features, present), oracle(fusion, features, present))


@exercise.holds("where the blocks add nothing, the result is the answer token's, for all inputs")
def silent(fusion_class, case):
    fusion = made(case, fusion_class)
    with torch.no_grad():
        for block in fusion.transformer.blocks:
            for layer in (block.attention.output, block.feed_forward.contract):
                layer.weight.zero_()
                layer.bias.zero_()
    agree(case, fusion, vectors(case))


@exercise.holds("all present: the answer token attends to itself and a token of each modality")
def numbers(fusion_class, case):
    agree(case, made(case, fusion_class), vectors(case))


@exercise.holds("a name that is left out is a token that none attends to")
def left_out(fusion_class, case):
    fusion, features = made(case, fusion_class), vectors(case)
    del features["image"]
    agree(case, fusion, features)


@exercise.holds("where a modality is absent none attends to its token, even if its numbers are nan")
def absent(fusion_class, case):
    agree(case, made(case, fusion_class), *some_absent(case))


@exercise.holds("the answer token is the first; the modalities follow in the order of widths")
def answer_first(fusion_class, case):
    fusion, (features, present) = made(case, fusion_class), some_absent(case)
    with watch_attention() as weights:
        case.call(fusion, features, present)
    there = torch.stack([torch.ones(B).bool(), *present.values()], dim=1)
    attends = case.seen(weights[0][:, 0, 0] > 0)  # in the first block's first head
    case.equal(attends, there, "whether the first token attends to each token")


@exercise.holds("a sample without any modality is refused with a ValueError")
def refused(fusion_class, case):
    fusion, sound = made(case, fusion_class), vectors(case)["sound"]
    case.refuses(ValueError, fusion, {"sound": sound}, {"sound": torch.arange(B) != 4})


@exercise.holds("the features are left as they were")
def unchanged(fusion_class, case):
    fusion, (features, present) = made(case, fusion_class), some_absent(case)
    before = {name: feature.clone() for name, feature in features.items()}
    case.call(fusion, features, present)
    case.equal(case.seen(features), before, "the features afterwards")


@exercise.holds("the gradients reach all features and every parameter, and are 0 where absent")
def gradients(fusion_class, case):
    fusion = made(case, fusion_class).double()
    features, present = some_absent(case)
    case.gradients(
        lambda *given: fusion(dict(zip(features, given, strict=True)), present),
        lambda *given: oracle(fusion, dict(zip(features, given, strict=True)), present),
        *features.values(),
        parameters=fusion,
    )


exercise.mistakes("""
    absent-as-zero-token: an absent modality's token is zero, but it is attended to
    - self.transformer(x, mask=padding_mask(seen))
    + self.transformer(x * seen[..., None])
    > a token of zeros still takes a share of the softmax: it needs a mask

    queries-masked: absent tokens attend to nothing, but are attended to: queries are masked, not keys
    - padding_mask(seen)
    + seen[:, None, :, None]
    > the last axis of a mask is the keys': (B, 1, 1, 1 + M), as padding_mask makes it

    answer-last [convention]: the answer token stands behind the modalities
    - [answer, *tokens]
    + [*tokens, answer]
    - [there.new_ones(there.shape[0], 1), there]
    + [there, there.new_ones(there.shape[0], 1)]
    - x[:, 0]
    + x[:, -1]
    > first: who draws the attention weights finds it there

    mean-read [convention]: the mean of all tokens is put out, not the answer token
    - return self.output(self.norm(x[:, 0]))
    + x = x.masked_fill(~seen[..., None], 0.0).sum(dim=1) / seen.sum(dim=1, keepdim=True)
    + return self.output(self.norm(x))
    > the answer token has gathered what matters: x[:, 0]

    no-answer-token: there is no answer token: the modalities' tokens are averaged
    - x = torch.stack([answer, *tokens], dim=1)
    + x, seen = torch.stack(tokens, dim=1), there
    - seen = torch.cat([there.new_ones(there.shape[0], 1), there], dim=1)
    +
    - return self.output(self.norm(x[:, 0]))
    + x = x.masked_fill(~seen[..., None], 0.0).sum(dim=1) / seen.sum(dim=1, keepdim=True)
    + return self.output(self.norm(x))
    > put self.answer before them and put out what has become of it

    order-of-the-call: the mask is in the order of the call, the tokens in the order of widths
    - vectors, there = collect(features, self.widths, present)
    + vectors, there = collect(features, self.widths, present)
    + there = there[:, [[*self.widths].index(name) for name in {**features, **self.widths}]]
    > take vectors and there from one call of collect

    not-refused: a sample without any modality gets an answer
    - vectors, there = collect(features, self.widths, present)
    + named = [name for name in self.widths if name in features]
    + masks = [(present or {}).get(n, torch.ones(len(features[n])).bool()) for n in named]
    + vectors = {n: features[n].masked_fill(~mask[:, None], 0.0) for n, mask in zip(named, masks)}
    + there = torch.stack(masks, dim=1)
    > collect refuses it: hand it features, self.widths and present

    features-replaced: the tokens are written into the caller's dictionary
    - return self.output(self.norm(x[:, 0]))
    + features.update(zip(vectors, tokens))
    + return self.output(self.norm(x[:, 0]))
    > keep them in a variable of your own: features belongs to the caller
""")

exercise.slips("""
    self.answer.expand => self.answer.detach().expand
    [answer, *tokens] => [answer, *(token + self.answer for token in tokens)]
    there.new_ones => there.new_zeros
    1), there] => 1), ~there]
    padding_mask(seen) => padding_mask(there)
    padding_mask(seen) => padding_mask(seen[:1])
    x, mask=padding_mask(seen)) =>
        x.flatten(0, 1)[None], mask=padding_mask(seen.flatten()[None])).view(x.shape)
    self.transformer(x, => self.transformer(self.norm(x), ;; self.norm(x[:, 0]) => x[:, 0]
    x[:, 0] => x[:, 1]
""")


@exercise.right("only what is named", method="forward")
def only_what_is_named(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    named = [name in features for name in self.widths]
    x = [self.tokens[name](x) for name, x in vectors.items() if name in features]
    x = torch.cat([self.answer.repeat(len(there), 1, 1), torch.stack(x, dim=1)], dim=1)
    mask = F.pad(there[:, named], (1, 0), value=True)[:, None, None]
    return self.output(self.norm(self.transformer(x, mask=mask)[:, 0]))


@exercise.right("a token always attends to itself", method="forward")
def itself_too(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    x = self.answer.repeat(len(there), 1 + len(vectors), 1)
    for place, (name, vector) in enumerate(vectors.items(), 1):
        x[:, place] = self.tokens[name](vector)
    mask = F.pad(there, (1, 0), value=True)[:, None, None]
    mask = mask | torch.eye(x.shape[1]).to(mask)
    return self.output(self.norm(self.transformer(x, mask=mask)))[:, 0]
