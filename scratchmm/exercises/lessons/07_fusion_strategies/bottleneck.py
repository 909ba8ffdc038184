"""Exercise bottleneck.BottleneckLayer: streams exchange information through a few tokens only."""

import torch
from torch import nn

from scratchmm.exercises.format import Exercise, exercise_file
from scratchmm.fusion.bottleneck import mean_of_present

block_by_hand = exercise_file("02_transformer/transformer_block").oracle

exercise = Exercise(
    id="bottleneck.BottleneckLayer",
    order=90,
    target="scratchmm.fusion.bottleneck:BottleneckLayer",
    title="Through the bottleneck",
    goal="each block attends to its stream and the bottleneck; the copies of that are averaged",
    minutes=20,
    difficulty=3,
    section="Bottleneck tokens",
    needs=("attention.padding_mask", "transformer.TransformerBlock"),
    methods={"forward": "each stream with the bottleneck through its block; a mean of the copies"},
    drop=("_meet",),
    hints="""
        1. The bottleneck is one token, 10. The image's block makes it 12, the words' block 16: the
           new one is 14, and through it the words reach the image, in the next layer. Where a
           sample has no words, it is 12.
        2. Attention over all tokens costs the square of their sum. Here a stream attends to itself
           and to the bottleneck as it came in; the copies become one at the layer's end.
        3. For each stream: join tokens and bottleneck to (B, L + N, D). The mask: real (B, L) and N
           times True. Through the block of this name; the first L are the new stream, the others a
           copy. mean_of_present makes one of the copies. Change no dictionary you were given.
        4. seen = torch.cat([real[name], real[name].new_ones(shared.shape[:2])], dim=1); both =
           self.blocks[name](torch.cat([stream, shared], dim=1), mask=padding_mask(seen));
           both[:, :length] and both[:, length:]; after all streams mean_of_present(copies, present)
    """,
)
AXES = {"words": ("T", 5), "image": ("P", 4), "sound": ("F", 7)}
B, D, N = 8, 6, 2


def made(case, layer_class):
    """A filled layer with 3 heads, each block with numbers of its own."""
    layer = case.build(layer_class, list(AXES), width=D, heads=3, hidden=11)
    source = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += torch.randn(parameter.shape, generator=source) * 0.3
    return layer


def inputs(case, names=tuple(AXES), missing=False):
    """Streams, bottleneck, which tokens are real, which streams are present: at least one."""
    rows = [[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]]
    present = torch.tensor(rows).bool()[:, : len(names)] | (not missing)
    streams, real = {}, {}
    for name, there in zip(names, present.T, strict=True):
        axes = {"B": B, AXES[name][0]: AXES[name][1]}
        streams[name] = case.normal(**axes, D=D)
        real[name] = (case.booleans(0.6, **axes) | (not missing)) & there[:, None]
        real[name][:, 0] = there
    return streams, case.normal(B=B, N=N, D=D), real, case.named(present, "B M")


def oracle(layer, streams, shared, real, present):
    """One sample and one stream at a time, without its padding; 0 where there is padding."""
    found, middle = {name: torch.zeros_like(x) for name, x in streams.items()}, []
    for sample in range(B):
        copies = []
        for column, (name, x) in enumerate(streams.items()):
            kept = real[name][sample]
            joined = torch.vstack([x[sample][kept], shared[sample]])[None]
            both = block_by_hand(layer.blocks[name], joined)[0]
            found[name][sample, kept] = both[:-N]
            copies += [both[-N:]] if present[sample, column] else []
        middle.append(sum(copies) / len(copies))
    return found, torch.stack(middle)


def agree(case, layer, given, expected=None):
    """New streams and bottleneck are the expected ones; numbers at padding are not compared."""
    streams, shared = expected or oracle(layer, *given)
    real, before = given[2], dict(given[0])
    found, middle = case.call(layer, *given)
    case.equal(case.seen(given[0]), before, "the streams handed in, afterwards")
    case.equal(list(found), list(streams), "the names of the new streams")
    for name, wanted in streams.items():
        got = found[name]
        got = got.masked_fill(~real[name][..., None], 0.0) if got.shape == wanted.shape else got
        case.equal(got, wanted, f"the stream of {name}")
    case.equal(middle, shared, "the new bottleneck")


@exercise.holds("where the blocks add nothing, streams and bottleneck come out as they went in")
def silent(layer_class, case):
    layer, given = made(case, layer_class), inputs(case)
    with torch.no_grad():
        for block in layer.blocks.values():
            for last in (block.attention.output, block.feed_forward.contract):
                last.weight.zero_()
                last.bias.zero_()
    agree(case, layer, given, expected=given[:2])


@exercise.holds("within a layer nothing passes between streams: editing the words changes no image")
def apart(layer_class, case):
    layer, (streams, *given) = made(case, layer_class), inputs(case)
    before = case.call(layer, streams, *given)[0]
    words = case.named(streams["words"] * -2, "B T D")
    after = case.call(layer, {**streams, "words": words}, *given)[0]
    for name in ("image", "sound"):
        case.equal(after[name], before[name], f"the stream of {name} after words were edited")


@exercise.holds(
    "the new bottleneck is the mean of the copies that the blocks have made, one or more"
)
def numbers(layer_class, case):
    for names in (list(AXES), ["image"]):
        agree(case, made(case, layer_class), inputs(case, names))


@exercise.holds("none attends to padding; an absent stream has no part in the mean")
def missing(layer_class, case):
    agree(case, made(case, layer_class), inputs(case, ["sound", "words", "image"], missing=True))


@exercise.holds("the gradients reach tokens, bottleneck and every block")
def gradients(layer_class, case):
    layer, (streams, shared, real, present) = made(case, layer_class), inputs(case, missing=True)

    def joined(function):
        def layer(words, image, sound, shared):
            given = {"words": words, "image": image, "sound": sound}
            found, middle = function(given, shared, real, present)
            kept = [x.masked_fill(~real[name][..., None], 0.0) for name, x in found.items()]
            return torch.cat([*kept, middle], dim=1)

        return layer

    expected = joined(lambda *given: oracle(layer, *given))
    case.gradients(joined(layer.double()), expected, *streams.values(), shared, parameters=layer)


exercise.mistakes("""
    streams-joined: each stream's block attends to the tokens of all streams
    - updated[name], copy = self._meet(name, stream, shared, real[name])
    + others, count = [other for other in streams if other != name], stream.shape[1]
    + seen = [real[name], real[name].new_ones(shared.shape[:2]), *(real[n] for n in others)]
    + both = torch.cat([stream, shared, *(streams[n] for n in others)], dim=1)
    + both = self.blocks[name](both, mask=padding_mask(torch.cat(seen, dim=1)))
    + updated[name], copy = both[:, :count], both[:, count : count + shared.shape[1]]
    > its own tokens and the bottleneck's, no others: that is what the bottleneck is for

    handed-on: the bottleneck goes from stream to stream: the second attends to the first's copy
    - updated[name], copy = self._meet(name, stream, shared, real[name])
    - copies.append(copy)
    + updated[name], shared = self._meet(name, stream, shared, real[name])
    - return updated, mean_of_present(copies, present)
    + return updated, shared
    > all attend to the bottleneck as it came in: keep shared, put the copies in a list

    handed-on-and-averaged: each stream attends to the copy of the one before it; then their mean
    - updated[name], copy = self._meet(name, stream, shared, real[name])
    - copies.append(copy)
    + updated[name], shared = self._meet(name, stream, shared, real[name])
    + copies.append(shared)
    > do not call the copy shared: the next stream would attend to it

    new-one-attended-to: the streams attend to the new bottleneck: they mix within the layer
    - return updated, mean_of_present(copies, present)
    + shared = mean_of_present(copies, present)
    + updated = {name: self._meet(name, x, shared, real[name])[0] for name, x in streams.items()}
    + return updated, shared
    > they attend to the one that came in; the new one is for the next layer

    absent-as-zero: an absent stream's copy counts as zeros: the sum is divided by M
    - return updated, mean_of_present(copies, present)
    + return updated, (torch.stack(copies, dim=1) * present[:, :, None, None]).mean(dim=1)
    > divide by how many a sample has: mean_of_present does

    blocks-by-place: the blocks are paired with the streams by their order, not by name
    - for name, stream in streams.items():
    -     updated[name], copy = self._meet(name, stream, shared, real[name])
    + for block, (name, stream) in zip(self.blocks, streams.items()):
    +     updated[name], copy = self._meet(block, stream, shared, real[name])
    > self.blocks[name]: the caller's dictionary may have another order, or fewer names
""")

exercise.slips("""
    mean_of_present(copies, present) => copies[0]
    mean_of_present(copies, present) => copies[-1]
    mean_of_present(copies, present) => torch.cat(copies, dim=1)
    mean_of_present(copies, present) => shared
    return updated, => return dict(streams),
    updated, copies = {}, [] => updated, copies = streams, []
    streams.items() => ((name, streams[name]) for name in self.blocks)
    copies.append(copy) => copies.append(copy.detach())
    self.blocks[name] => next(iter(self.blocks.values()))
    real.new_ones => real.new_zeros
    [real, real.new_ones(shared.shape[:2])] => [real.new_ones(shared.shape[:2]), real] ;;
        [stream, shared] => [shared, stream]
    mean_of_present(copies, present) => sum(c * p[:, None, None] for c, p in zip(copies, present.T))
    :length => shared.shape[1] : ;; length: => : shared.shape[1]
""")


@exercise.right("bottleneck in front", method="forward")
def bottleneck_in_front(self, streams, shared, real, present):
    updated, total, count = {}, 0, shared.shape[1]
    for column, (name, stream) in enumerate(streams.items()):
        seen = nn.functional.pad(real[name], (count, 0), value=True)
        both = self.blocks[name](torch.cat([shared, stream], dim=1), mask=seen[:, None, None, :])
        updated[name] = both[:, count:]
        total = total + both[:, :count] * present[:, column, None, None]
    return updated, total / present.sum(dim=1)[:, None, None]


@exercise.right("split", method="forward")
def split(self, streams, shared, real, present):
    updated, copies = {}, []
    for name, stream in streams.items():
        sizes = [stream.shape[1], shared.shape[1]]
        seen = torch.hstack([real[name], torch.ones_like(shared[..., 0]).bool()])[:, None, None]
        both = self.blocks[name](torch.hstack([stream, shared]), mask=seen)
        updated[name], copy = both.split(sizes, dim=1)
        copies.append(copy)
    return updated, mean_of_present(copies, present)
