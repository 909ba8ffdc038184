"""Exercise bottleneck.BottleneckLayer: streams hear of each other only through a few tokens."""

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise, exercise_file

block_by_hand = exercise_file("02_transformer/transformer_block").oracle

exercise = Exercise(
    id="bottleneck.BottleneckLayer",
    order=90,
    target="scratchmm.fusion.bottleneck:BottleneckLayer",
    title="Through the bottleneck",
    goal="each stream's block reads its tokens and the shared ones; the shared copies are averaged",
    minutes=20,
    difficulty=3,
    section="Bottleneck tokens",
    needs=("attention.padding_mask", "transformer.TransformerBlock"),
    methods={
        "forward": "each stream with the bottleneck through its block; the new bottleneck is the "
        "mean of the copies of those present"
    },
    drop=("_meet",),
    hints=(
        "Say the bottleneck is one token, 10. The image's block turns it into 12, the words' block "
        "into 16: the new bottleneck is 14. The image's tokens have seen each other and 10; of the "
        "words they hear in the next layer, through 14. Where a sample has no words, it is 12.",
        "Attention over all tokens of all streams costs the square of their sum, and everything "
        "sees everything. Here a stream sees itself and the bottleneck as it came in. So each stream "
        "makes a copy of the bottleneck, and the copies become one again at the layer's end.",
        "For each stream: join its tokens (B, L, D) and the bottleneck (B, N, D) to (B, L + N, D). "
        "The mask: real (B, L) and N times True, (B, L + N), made into one for attention. Through "
        "the block of this name; the first L are the new stream, the others a copy of the "
        "bottleneck. mean_of_present makes one of the copies. The dictionaries you were given stay "
        "as they are.",
        "seen = torch.cat([real[name], real[name].new_ones(shared.shape[:2])], dim=1); both = "
        "self.blocks[name](torch.cat([stream, shared], dim=1), mask=padding_mask(seen)); "
        "both[:, :length] and both[:, length:]; after all streams mean_of_present(copies, present)",
    ),
)
LENGTHS = {"words": 5, "image": 4, "sound": 7}
B, D, N = 8, 6, 2


def made(case, layer_class):
    """A filled layer with 3 heads, each block with numbers of its own."""
    layer = case.build(layer_class, list(LENGTHS), width=D, heads=3, hidden=11)
    source = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += torch.randn(parameter.shape, generator=source) * 0.3
    return layer


def tokens(case, names=tuple(LENGTHS)):
    """Streams of these names, each with another axis for its length."""
    axes = {"words": "T", "image": "P", "sound": "F"}
    sizes = {name: {"B": B, axes[name]: LENGTHS[name], "D": D} for name in names}
    return {name: case.normal(**sizes[name]) for name in names}


def bottleneck(case: Case) -> Tensor:
    return case.normal(B=B, N=N, D=D)


def all_real(streams):
    return {name: torch.ones(x.shape[:2], dtype=torch.bool) for name, x in streams.items()}


def all_there(streams):
    return torch.ones(B, len(streams), dtype=torch.bool)


def padded(case, streams):
    """Some tokens are padding, never the first of a stream."""
    axes = {"words": "T", "image": "P", "sound": "F"}
    masks = {}
    for name, x in streams.items():
        masks[name] = case.booleans(0.6, **{"B": B, axes[name]: x.shape[1]})
        masks[name][:, 0] = True
    return masks


def absences(streams):
    """Every sample has someone."""
    table = [[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]]
    return torch.tensor(table).bool()[:, : len(streams)]


def only_there(streams, present):
    """A stream that a sample does not have is nothing but padding."""
    columns = zip(streams.items(), present.T, strict=True)
    return {name: there[:, None].expand(x.shape[:2]) for (name, x), there in columns}


def oracle(layer, streams, shared, real=None, present=None):
    """One sample and one stream at a time, without its padding; 0 where there is padding."""
    real = real or all_real(streams)
    present = all_there(streams) if present is None else present
    found = {name: torch.zeros_like(x) for name, x in streams.items()}
    middle = []
    for sample in range(len(shared)):
        copies = []
        for column, (name, x) in enumerate(streams.items()):
            kept = real[name][sample]
            joined = torch.vstack([x[sample][kept], shared[sample]])[None]
            both = block_by_hand(layer.blocks[name], joined)[0]
            found[name][sample, kept] = both[:-N]
            if present[sample, column]:
                copies.append(both[-N:])
        middle.append(sum(copies) / len(copies))
    return found, torch.stack(middle)


def agree(case, got, expected, real=None):
    """New streams and bottleneck are the expected ones; what padding says is nobody's business."""
    streams, shared = got
    case.equal(list(streams), list(expected[0]), "the names of the new streams")
    for name, wanted in expected[0].items():
        found = streams[name]
        if real and found.shape == wanted.shape:
            found = found.masked_fill(~real[name][..., None], 0.0)
        case.equal(found, wanted, f"the stream of {name}")
    case.equal(shared, expected[1], "the new bottleneck")


def call(case, layer, streams, shared, real=None, present=None):
    real = real or all_real(streams)
    present = all_there(streams) if present is None else present
    case.named(present, "B M")
    return case.call(layer, streams, shared, real, present)


@exercise.holds("each new stream has its tokens' shape, and the new bottleneck the old one's")
def shapes(layer_class, case):
    layer = made(case, layer_class)
    streams, shared = call(case, layer, tokens(case), bottleneck(case))
    case.shape(streams["words"], "B T D")
    case.shape(streams["image"], "B P D")
    case.shape(streams["sound"], "B F D")
    case.shape(shared, "B N D")


@exercise.holds("where the blocks add nothing, streams and bottleneck come out as they went in")
def silent(layer_class, case):
    layer, streams, shared = made(case, layer_class), tokens(case), bottleneck(case)
    with torch.no_grad():
        for block in layer.blocks.values():
            for parameter in (
                *block.attention.output.parameters(),
                *block.feed_forward.contract.parameters(),
            ):
                parameter.zero_()
    agree(case, call(case, layer, streams, shared), (streams, shared))


@exercise.holds("of one stream alone, its block has read tokens and bottleneck side by side")
def alone(layer_class, case):
    layer, streams, shared = made(case, layer_class), tokens(case, ["image"]), bottleneck(case)
    agree(case, call(case, layer, streams, shared), oracle(layer, streams, shared))


@exercise.holds("within a layer no stream hears of another: editing the words changes no image")
def apart(layer_class, case):
    layer, streams, shared = made(case, layer_class), tokens(case), bottleneck(case)
    before = call(case, layer, streams, shared)[0]
    axes = {"words": case.named(streams["words"] * -2, "B T D")}
    after = call(case, layer, {**streams, **axes}, shared)[0]
    for name in ("image", "sound"):
        case.equal(after[name], before[name], f"the stream of {name} after words were edited")


@exercise.holds("the new bottleneck is the mean of the copies that the streams' blocks have made")
def numbers(layer_class, case):
    layer, streams, shared = made(case, layer_class), tokens(case), bottleneck(case)
    agree(case, call(case, layer, streams, shared), oracle(layer, streams, shared))


@exercise.holds("a stream that a sample does not have has no part in the mean")
def absent(layer_class, case):
    layer, streams, shared = made(case, layer_class), tokens(case), bottleneck(case)
    present = absences(streams)
    real = only_there(streams, present)
    got = call(case, layer, streams, shared, real, present)
    agree(case, got, oracle(layer, streams, shared, real, present), real)


@exercise.holds("padding inside a stream is seen by nobody; the bottleneck is seen by all")
def padding(layer_class, case):
    layer, streams, shared = made(case, layer_class), tokens(case), bottleneck(case)
    real = padded(case, streams)
    got = call(case, layer, streams, shared, real)
    agree(case, got, oracle(layer, streams, shared, real), real)


@exercise.holds("in whichever order the streams come, each has its own block and column of present")
def any_order(layer_class, case):
    layer, shared = made(case, layer_class), bottleneck(case)
    streams = tokens(case, ["sound", "words", "image"])
    present = absences(streams)
    real = only_there(streams, present)
    got = call(case, layer, streams, shared, real, present)
    agree(case, got, oracle(layer, streams, shared, real, present), real)


@exercise.holds("what was handed in stays as it was")
def unchanged(layer_class, case):
    layer, streams, shared = made(case, layer_class), tokens(case), bottleneck(case)
    real = padded(case, streams)
    given = {"streams": streams, "real": real, "shared": {"shared": shared}}
    before = {what: {n: x.clone() for n, x in table.items()} for what, table in given.items()}
    call(case, layer, streams, shared, real)
    for what, table in given.items():
        for name, x in before[what].items():
            case.equal(case.seen(table[name]), x, f"{what} of {name} afterwards")


@exercise.holds("the gradients reach tokens, bottleneck and every block")
def gradients(layer_class, case):
    layer = made(case, layer_class).double()
    streams = tokens(case, ["words", "image", "sound"])
    present = absences(streams)
    real = only_there(streams, present)

    def joined(function):
        def layer(words, image, sound, shared):
            given = {"words": words, "image": image, "sound": sound}
            found, middle = function(given, shared, real, present)
            read = [x.masked_fill(~real[name][..., None], 0.0) for name, x in found.items()]
            return torch.cat([*read, middle], dim=1)

        return layer

    expected = joined(lambda *given: oracle(layer, *given))
    inputs = [*streams.values(), bottleneck(case)]
    case.gradients(joined(layer), expected, *inputs, parameters=layer)
