"""Exercise modality_attention.AttentionFusion: a token a modality, and a transformer relates them."""

import math

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise, exercise_file
from scratchmm.layers.attention import watch_attention

block_by_hand = exercise_file("02_transformer/transformer_block").oracle

exercise = Exercise(
    id="modality_attention.AttentionFusion",
    order=100,
    target="scratchmm.fusion.modality_attention:AttentionFusion",
    title="A token a modality",
    goal="an answer token and a token a modality through the transformer; absent ones are unseen",
    minutes=20,
    difficulty=3,
    section="Attention over modalities",
    needs=("attention.padding_mask",),
    methods={
        "forward": "the answer token, then a token a modality, through the transformer; read the "
        "first by norm and output"
    },
    hints=(
        "A sample has words, but no image. The three tokens are the answer, the words and the "
        "image; what may be seen is (True, True, False), for every sample another row. If the "
        "image were seen as zeros, its layer would still make its bias of them: a token like any.",
        "Absence is padding: a place in the row of tokens that nobody may look at. The answer token "
        "says nothing of its own; it is there to look at the others, it is always there, and it is "
        "the one that is read at the end. The lesson tells it under Attention over modalities.",
        "collect gives vectors (B, D) each and who is there, bool (B, M). Each vector through its own "
        "layer: (B, d). The answer as (B, d), the others behind it, stacked on a new axis 1: "
        "(B, 1 + M, d). What may be seen: a column of True before there, (B, 1 + M), as a mask for "
        "attention. After the transformer take token 0, (B, d), then norm, then output: (B, K).",
        "tokens = [self.tokens[name](x) for name, x in vectors.items()]; x = torch.stack([answer, "
        "*tokens], dim=1) with answer = self.answer.expand(len(there), -1); seen = torch.cat(["
        "there.new_ones(len(there), 1), there], dim=1); self.transformer(x, mask=padding_mask("
        "seen)); self.output(self.norm(x[:, 0]))",
    ),
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
    case.sizes["K"] = K
    return fusion


def vectors(case):
    """Features of 8 samples, not in the order of WIDTHS."""
    return {
        "sound": case.normal(B=B, U=2),
        "words": case.normal(B=B, T=5),
        "image": case.normal(B=B, S=3),
    }


def some_absent(case):
    """Features with nan where a modality is absent, and who is present."""
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


@exercise.holds("a row a sample, a column an output")
def shape(fusion_class, case):
    case.shape(case.call(made(case, fusion_class), vectors(case)), "B K")


@exercise.holds("where the blocks add nothing, what is read is the answer token, whatever was said")
def silent(fusion_class, case):
    fusion = made(case, fusion_class)
    with torch.no_grad():
        for block in fusion.transformer.blocks:
            for layer in (block.attention.output, block.feed_forward.contract):
                layer.weight.zero_()
                layer.bias.zero_()
    norm, output = fusion.norm, fusion.output
    answer = F.layer_norm(fusion.answer, (D,), norm.weight, norm.bias, norm.eps)
    expected = F.linear(answer, output.weight, output.bias)
    case.equal(case.call(fusion, vectors(case)), expected.expand(B, K))


@exercise.holds("all present: the answer has looked at itself and a token of each modality")
def numbers(fusion_class, case):
    fusion, features = made(case, fusion_class), vectors(case)
    case.equal(case.call(fusion, features), oracle(fusion, features))


@exercise.holds("a name that is left out is no token for anyone")
def left_out(fusion_class, case):
    fusion, features = made(case, fusion_class), vectors(case)
    del features["image"]
    case.equal(case.call(fusion, features), oracle(fusion, features))


@exercise.holds("where a modality is absent nobody sees its token, whatever stands there: even nan")
def absent(fusion_class, case):
    fusion, (features, present) = made(case, fusion_class), some_absent(case)
    case.equal(case.call(fusion, features, present), oracle(fusion, features, present))


@exercise.holds("the answer token is the first; the modalities follow in the order of widths")
def answer_first(fusion_class, case):
    fusion, (features, present) = made(case, fusion_class), some_absent(case)
    with watch_attention() as seen:
        case.call(fusion, features, present)
    there = torch.stack([torch.ones(B).bool(), *present.values()], dim=1)
    looked = case.seen(seen[0][:, 0, 0] > 0)  # the first block's first head: does token 0 look?
    case.equal(looked, there, "whether the first token looks at each token")


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

    def named(function):
        def fused(sound, words, image):
            return function({"sound": sound, "words": words, "image": image}, present)

        return fused

    expected = named(lambda *given: oracle(fusion, *given))
    case.gradients(named(fusion), expected, *features.values(), parameters=fusion)
