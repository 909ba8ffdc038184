"""Wrong and other right answers to bottleneck.BottleneckLayer."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file
from scratchmm.fusion.bottleneck import mean_of_present
from scratchmm.layers.attention import padding_mask

exercise = exercise_file("07_fusion_strategies/bottleneck").exercise


def met(block, stream, shared, real):
    """A stream and a bottleneck through a block, and cut apart again."""
    seen = F.pad(real, (0, shared.shape[1]), value=True)
    both = block(torch.cat([stream, shared], dim=1), mask=padding_mask(seen))
    return both[:, : stream.shape[1]], both[:, stream.shape[1] :]


def each_met(self, streams, shared, real):
    """The new streams, and the copies of the bottleneck."""
    pairs = {n: met(self.blocks[n], x, shared, real[n]) for n, x in streams.items()}
    return {n: pair[0] for n, pair in pairs.items()}, [pair[1] for pair in pairs.values()]


@exercise.wrong(
    "see-each-other",
    story="each stream's block reads the tokens of all streams",
    advice="its own tokens and the bottleneck's, no others: that is what the bottleneck is for",
    method="forward",
)
def see_each_other(self, streams, shared, real, present):
    updated, copies, count = {}, [], shared.shape[1]
    for name, stream in streams.items():
        others = [other for other in streams if other != name]
        joined = torch.cat([stream, shared, *(streams[other] for other in others)], dim=1)
        seen = [F.pad(real[name], (0, count), value=True), *(real[other] for other in others)]
        both = self.blocks[name](joined, mask=padding_mask(torch.cat(seen, dim=1)))
        length = stream.shape[1]
        updated[name] = both[:, :length]
        copies.append(both[:, length : length + count])
    return updated, mean_of_present(copies, present)


@exercise.wrong(
    "last-copy",
    story="the new bottleneck is the copy of the last stream",
    advice="collect the copies of all streams, and take their mean after the loop",
    method="forward",
)
def last_copy(self, streams, shared, real, present):
    updated, copies = each_met(self, streams, shared, real)
    return updated, copies[-1]


@exercise.wrong(
    "first-copy",
    story="the new bottleneck is the copy of the first stream",
    advice="collect the copies of all streams, and take their mean after the loop",
    method="forward",
)
def first_copy(self, streams, shared, real, present):
    updated, copies = each_met(self, streams, shared, real)
    return updated, copies[0]


@exercise.wrong(
    "handed-on",
    story="the bottleneck is handed from stream to stream: the second reads what the first has made",
    advice="all read the bottleneck as it came in: keep shared, put the copies in a list",
    method="forward",
)
def handed_on(self, streams, shared, real, present):
    updated = {}
    for name, stream in streams.items():
        updated[name], shared = met(self.blocks[name], stream, shared, real[name])
    return updated, shared


@exercise.wrong(
    "handed-on-and-averaged",
    story="each stream reads the copy of the one before it, and then the copies are averaged",
    advice="do not call the copy shared: the next stream would read it",
    method="forward",
)
def handed_on_and_averaged(self, streams, shared, real, present):
    updated, copies = {}, []
    for name, stream in streams.items():
        updated[name], shared = met(self.blocks[name], stream, shared, real[name])
        copies.append(shared)
    return updated, mean_of_present(copies, present)


@exercise.wrong(
    "new-one-read",
    story="the streams read the new bottleneck, so they hear of each other within the layer",
    advice="they read the one that came in; the new one is for the next layer",
    method="forward",
)
def new_one_read(self, streams, shared, real, present):
    _, copies = each_met(self, streams, shared, real)
    middle = mean_of_present(copies, present)
    return each_met(self, streams, middle, real)[0], middle


@exercise.wrong(
    "copies-kept",
    story="the copies are put behind each other: one a stream comes back, not one for all",
    advice="one bottleneck is shared: the mean of the copies",
    method="forward",
)
def copies_kept(self, streams, shared, real, present):
    updated, copies = each_met(self, streams, shared, real)
    return updated, torch.cat(copies, dim=1)


@exercise.wrong(
    "summed",
    story="the copies are added, not averaged",
    advice="their mean: otherwise the bottleneck grows with every layer",
    method="forward",
)
def summed(self, streams, shared, real, present):
    updated, copies = each_met(self, streams, shared, real)
    weights = present.T[:, :, None, None].to(shared.dtype)
    return updated, (torch.stack(copies) * weights).sum(dim=0)


@exercise.wrong(
    "bottleneck-not-updated",
    story="the bottleneck is handed back as it came in, so the streams never hear of each other",
    advice="the tokens behind the first L are the copy: average those",
    method="forward",
)
def bottleneck_not_updated(self, streams, shared, real, present):
    return each_met(self, streams, shared, real)[0], shared


@exercise.wrong(
    "streams-not-updated",
    story="the streams are handed back as they came in; only the bottleneck learns",
    advice="the first L tokens after the block are the new stream",
    method="forward",
)
def streams_not_updated(self, streams, shared, real, present):
    return dict(streams), mean_of_present(each_met(self, streams, shared, real)[1], present)


@exercise.wrong(
    "absent-counted",
    story="the mean is over all streams, also those that a sample does not have",
    advice="mean_of_present(copies, present)",
    method="forward",
)
def absent_counted(self, streams, shared, real, present):
    updated, copies = each_met(self, streams, shared, real)
    return updated, torch.stack(copies).mean(dim=0)


@exercise.wrong(
    "absent-as-zero",
    story="an absent stream's copy counts as zeros: the sum is divided by the number of all streams",
    advice="divide by how many a sample has: mean_of_present does",
    method="forward",
)
def absent_as_zero(self, streams, shared, real, present):
    updated, copies = each_met(self, streams, shared, real)
    weights = present.T[:, :, None, None].to(shared.dtype)
    return updated, (torch.stack(copies) * weights).mean(dim=0)


@exercise.wrong(
    "cut-wrong",
    story="the bottleneck stands before the tokens, but is cut off behind them",
    advice="cut where you joined: tokens first, then both[:, :length] are the tokens",
    method="forward",
)
def cut_wrong(self, streams, shared, real, present):
    updated, copies = {}, []
    for name, stream in streams.items():
        seen = F.pad(real[name], (shared.shape[1], 0), value=True)
        both = self.blocks[name](torch.cat([shared, stream], dim=1), mask=padding_mask(seen))
        updated[name] = both[:, : stream.shape[1]]
        copies.append(both[:, stream.shape[1] :])
    return updated, mean_of_present(copies, present)


@exercise.wrong(
    "cut-at-bottleneck",
    story="the first N tokens after the block are taken for the bottleneck, though it stands last",
    advice="cut where you joined: the stream's L tokens come first, at both[:, :length]",
    method="forward",
)
def cut_at_bottleneck(self, streams, shared, real, present):
    updated, copies = {}, []
    for name, stream in streams.items():
        both = torch.cat(met(self.blocks[name], stream, shared, real[name]), dim=1)
        copies.append(both[:, : shared.shape[1]])
        updated[name] = both[:, shared.shape[1] :]
    return updated, mean_of_present(copies, present)


@exercise.wrong(
    "mask-shifted",
    story="the mask has the bottleneck before the tokens, where they stand behind them",
    advice="join mask and tokens in the same order",
    method="forward",
)
def mask_shifted(self, streams, shared, real, present):
    updated, copies = {}, []
    for name, stream in streams.items():
        seen = F.pad(real[name], (shared.shape[1], 0), value=True)
        both = self.blocks[name](torch.cat([stream, shared], dim=1), mask=padding_mask(seen))
        updated[name] = both[:, : stream.shape[1]]
        copies.append(both[:, stream.shape[1] :])
    return updated, mean_of_present(copies, present)


@exercise.wrong(
    "padding-seen",
    story="the block gets no mask, so padding is looked at",
    advice="mask=padding_mask(seen), with seen of shape (B, L + N)",
    method="forward",
)
def padding_seen(self, streams, shared, real, present):
    everything = {name: torch.ones_like(mask) for name, mask in real.items()}
    updated, copies = each_met(self, streams, shared, everything)
    return updated, mean_of_present(copies, present)


@exercise.wrong(
    "bottleneck-hidden",
    story="the mask is False on the bottleneck, so no stream reads it",
    advice="True for its N tokens: they are always there",
    method="forward",
)
def bottleneck_hidden(self, streams, shared, real, present):
    updated, copies = {}, []
    for name, stream in streams.items():
        seen = F.pad(real[name], (0, shared.shape[1]), value=False)
        both = self.blocks[name](torch.cat([stream, shared], dim=1), mask=padding_mask(seen))
        updated[name] = both[:, : stream.shape[1]]
        copies.append(both[:, stream.shape[1] :])
    return updated, mean_of_present(copies, present)


@exercise.wrong(
    "one-block",
    story="the first block serves all streams",
    advice="self.blocks[name]: each stream has its own",
    method="forward",
)
def one_block(self, streams, shared, real, present):
    block = next(iter(self.blocks.values()))
    pairs = {name: met(block, x, shared, real[name]) for name, x in streams.items()}
    copies = [pair[1] for pair in pairs.values()]
    return {name: pair[0] for name, pair in pairs.items()}, mean_of_present(copies, present)


@exercise.wrong(
    "blocks-by-place",
    story="the blocks are paired with the streams by their order, not by name",
    advice="self.blocks[name]: the caller's dictionary may have another order, or fewer names",
    method="forward",
)
def blocks_by_place(self, streams, shared, real, present):
    blocks = dict(zip(streams, self.blocks.values(), strict=False))
    pairs = {name: met(blocks[name], x, shared, real[name]) for name, x in streams.items()}
    copies = [pair[1] for pair in pairs.values()]
    return {name: pair[0] for name, pair in pairs.items()}, mean_of_present(copies, present)


@exercise.wrong(
    "all-blocks",
    story="the loop goes over all blocks and expects a stream for each",
    advice="go over the streams that were given: an absent one has no tokens",
    method="forward",
)
def all_blocks(self, streams, shared, real, present):
    ordered = {name: streams[name] for name in self.blocks}
    updated, copies = each_met(self, ordered, shared, real)
    return updated, mean_of_present(copies, present)


@exercise.wrong(
    "in-place",
    story="the new tokens are written into the caller's dictionary",
    advice="make a new dictionary",
    method="forward",
)
def in_place(self, streams, shared, real, present):
    copies = []
    for name in streams:
        streams[name], copy = met(self.blocks[name], streams[name], shared, real[name])
        copies.append(copy)
    return dict(streams), mean_of_present(copies, present)


@exercise.wrong(
    "copies-cut-off",
    story="the copies are cut off from the blocks, so nothing is learned through the bottleneck",
    advice="no detach and no .data",
    method="forward",
)
def copies_cut_off(self, streams, shared, real, present):
    updated, copies = each_met(self, streams, shared, real)
    return updated, mean_of_present([copy.detach() for copy in copies], present)


@exercise.disguise("handed-on", method="forward")
def handed_on_too(self, streams, shared, real, present):
    def through(name):
        nonlocal shared
        count = streams[name].shape[1]
        seen = torch.cat([real[name], torch.ones_like(shared[..., 0], dtype=torch.bool)], 1)
        both = self.blocks[name](torch.hstack([streams[name], shared]), mask=seen[:, None, None])
        tokens, shared = both.split([count, both.shape[1] - count], dim=1)
        return tokens

    return {name: through(name) for name in streams}, shared


@exercise.disguise("absent-counted", method="forward")
def absent_counted_too(self, streams, shared, real, present):
    updated, copies = each_met(self, streams, shared, real)
    return updated, sum(copies) / len(copies)


@exercise.right("bottleneck in front", method="forward")
def bottleneck_in_front(self, streams, shared, real, present):
    updated, total, count = {}, torch.zeros_like(shared), shared.shape[1]
    for column, (name, stream) in enumerate(streams.items()):
        seen = torch.cat([torch.ones_like(shared[..., 0], dtype=torch.bool), real[name]], dim=1)
        both = self.blocks[name](torch.cat([shared, stream], dim=1), mask=seen[:, None, None, :])
        updated[name] = both[:, count:]
        total = total + both[:, :count] * present[:, column, None, None]
    return updated, total / present.sum(dim=1)[:, None, None]


@exercise.right("split", method="forward")
def split(self, streams, shared, real, present):
    updated, copies = {}, []
    for name, stream in streams.items():
        sizes = [stream.shape[1], shared.shape[1]]
        seen = F.pad(real[name], (0, sizes[1]), value=True)
        both = self.blocks[name](torch.hstack([stream, shared]), mask=padding_mask(seen))
        updated[name], copy = both.split(sizes, dim=1)
        copies.append(copy)
    return updated, mean_of_present(copies, present)
