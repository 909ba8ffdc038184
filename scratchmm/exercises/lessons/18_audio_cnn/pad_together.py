"""Exercise waveform.pad_together: sounds of any lengths as one batch, and what of it is real."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="waveform.pad_together",
    order=10,
    target="scratchmm.audio.waveform:pad_together",
    title="A batch of sounds",
    goal="sounds (S,) of any lengths become one batch (B, S) and a mask, True on real samples",
    minutes=8,
    difficulty=2,
    section="Sounds of any length",
    hints="""
        1. Sounds [0.1, 0.2, 0.3] and [0.4]: the batch is [[0.1, 0.2, 0.3], [0.4, 0, 0]], the mask
           [[True, True, True], [True, False, False]]. A sound that is [0.0, 0.5] is real in both
           places: silence that was recorded is not the silence that was put behind.
        2. A tensor has rows of one length, sounds have not. The shorter ones get silence behind
           them, and the mask remembers where the sound ends, so that a mean need not count the
           silence.
        3. Refuse a list of 0 sounds and one that is not (S,). The longest gives S. Each sound at
           the beginning of a row of zeros, of its dtype: (B, S). Lengths (B,); places 0 to S - 1
           below the length, (S,) against (B, 1), are real: bool (B, S).
        4. batch = torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True); lengths =
           torch.tensor([len(sound) for sound in sounds]); real = torch.arange(batch.shape[1]) <
           lengths[:, None]
    """,
)


def lists(case, lengths, **options):
    return [case.named(case.normal(S=length, **options), "S") for length in lengths]


def expected(sounds):
    """The oracle: a number and a truth for every place."""
    longest = max(len(sound) for sound in sounds)
    rows, real = [], []
    for sound in sounds:
        rows.append([sound[n] if n < len(sound) else torch.zeros(()) for n in range(longest)])
        real.append([n < len(sound) for n in range(longest)])
    return torch.stack([torch.stack(row).to(sounds[0]) for row in rows]), torch.tensor(real)


@exercise.holds("each sound stands at the beginning of its row, zeros behind it")
def rows(pad_together, case):
    for lengths in ((3, 5), (5, 2, 4)):
        sounds = lists(case, lengths)
        wanted, _ = expected(sounds)
        batch, _ = case.call(pad_together, sounds)
        case.equal(batch, wanted, "the batch")


@exercise.holds("the mask is True exactly where there are samples")
def mask(pad_together, case):
    for lengths in ((3, 5), (5, 2, 4)):
        sounds = lists(case, lengths)
        _, real = case.call(pad_together, sounds)
        case.equal(real, expected(sounds)[1], "the mask")


@exercise.holds("samples that are 0 are real, too")
def recorded_silence(pad_together, case):
    sounds = [torch.tensor([0.0, 0.5, 0.0, 0.0]), torch.zeros(2), torch.tensor([0.25, 0.0, 0.5])]
    wanted, there = expected(sounds)
    batch, real = case.call(pad_together, sounds)
    case.equal(batch, wanted, "the batch")
    case.equal(real, there, "the mask")


@exercise.holds("sounds of one length, or one sound alone, need no zeros")
def one_length(pad_together, case):
    for lengths in ((4, 4, 4), (6,), (1,)):
        sounds = lists(case, lengths)
        wanted = torch.stack(sounds)
        batch, real = case.call(pad_together, sounds)
        case.equal(batch, wanted, "the batch")
        case.equal(real, torch.ones(len(lengths), lengths[0]).bool(), "the mask")


@exercise.holds("a sound of no samples is a row of zeros, none of them real")
def no_samples(pad_together, case):
    sounds = lists(case, (3, 0, 2))
    wanted, there = expected(sounds)
    batch, real = case.call(pad_together, sounds)
    case.equal(batch, wanted, "the batch")
    case.equal(real, there, "the mask")


@exercise.holds("float64 sounds make a float64 batch")
def kinds(pad_together, case):
    sounds = lists(case, (3, 2), dtype=torch.float64)
    wanted, _ = expected(sounds)
    batch, _ = case.call(pad_together, sounds)
    case.equal(batch, wanted, "the batch", tolerance=0)


@exercise.holds("the sounds stay as they were")
def unchanged(pad_together, case):
    sounds = lists(case, (4, 3))
    before = [sound.clone() for sound in sounds]
    case.call(pad_together, sounds)
    case.equal(sounds, before, "the sounds after the call")


@exercise.holds("gradients flow from the batch back into each sound")
def gradients(pad_together, case):
    def both(one, other):
        return pad_together([one, other])[0]

    case.gradients(
        both, lambda one, other: torch.stack([one, F.pad(other, (0, 2))]),
        case.normal(S=5), case.normal(L=3),
    )  # fmt: skip


@exercise.holds("no sounds at all, and sounds with channels, are refused with a ValueError")
def refused(pad_together, case):
    case.refuses(ValueError, pad_together, [])
    case.refuses(ValueError, pad_together, [case.normal(S=3), case.normal(C=2, S=3)])


exercise.mistakes("""
    zeros-before: the zeros stand before the sound, so that it ends where the row ends
    - batch = torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)
    + batch = torch.nn.utils.rnn.pad_sequence([sound.flip(0) for sound in sounds], True).flip(1)
    - return batch, torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]
    + return batch, (torch.arange(batch.shape[1]) < lengths[:, None]).flip(1)
    > the sound first, silence behind it

    mask-from-zeros: what is 0 is taken for padding, and with it silence that was recorded
    - return batch, torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]
    + return batch, batch != 0
    > the lengths say what is real, not the samples

    cut-to-the-shortest: all sounds are cut to the length of the shortest, so that the ends of the
    others are lost
    - batch = torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)
    + shortest = min(len(sound) for sound in sounds)
    + batch = torch.stack([sound[:shortest] for sound in sounds])
    > fill up to the longest

    repeated: short sounds are repeated until the row is full
    - batch = torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)
    + longest = max(len(sound) for sound in sounds)
    + batch = torch.stack([s.repeat(-(-longest // max(len(s), 1)))[:longest] for s in sounds])
    > silence behind the sound: zeros

    last-sample-held: the last sample is held until the row is full, which is no silence
    - batch = torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)
    + longest = max(len(sound) for sound in sounds)
    + batch = torch.stack([torch.cat([s, s[-1:].expand(longest - len(s))]) for s in sounds])
    > silence behind the sound: zeros

    longest-first: the sounds are sorted by length, so that rows and labels no longer belong
    together
    - for sound in sounds:
    + sounds = sorted(sounds, key=len, reverse=True)
    + for sound in sounds:
    > keep the order of the list

    time-first: batch and mask are (S, B), as pad_sequence makes them unless it is told otherwise
    - return batch, torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]
    + return batch.T, (torch.arange(batch.shape[1]) < lengths[:, None]).T
    > batch_first=True: (B, S)

    loud-in-place: each sound is made as loud as it can be, in the caller's own tensor
    - batch = torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)
    + batch = torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)
    + for sound in sounds:
    +     sound.detach().div_(sound.detach().abs().amax() if len(sound) else 1)
    > nothing is to be changed but the length, and that in a new tensor
""")

exercise.slips("""
    sound.dim() != 1 => sound.dim() != 1 or not len(sound)
    list(sounds) => [s.float() for s in sounds]
    list(sounds) => [s.detach() for s in sounds]
    torch.arange(batch.shape[1], device=batch.device) < lengths[:, None] =>
        torch.arange(batch.shape[1], device=batch.device) <= lengths[:, None]
    torch.arange(batch.shape[1], device=batch.device) < lengths[:, None] =>
        (torch.arange(batch.shape[1]) < lengths[:, None]).long()
    torch.arange(batch.shape[1], device=batch.device) < lengths[:, None] =>
        torch.arange(batch.shape[1], device=batch.device) >= lengths[:, None]
""")


@exercise.right("a row at a time")
def a_row_at_a_time(sounds):
    if not sounds or any(sound.dim() != 1 for sound in sounds):
        raise ValueError("these make no batch")
    longest = max(len(sound) for sound in sounds)
    batch, real = [], sounds[0].new_zeros(len(sounds), longest, dtype=torch.bool)
    for index, sound in enumerate(sounds):
        batch.append(torch.cat([sound, sound.new_zeros(longest - len(sound))]))
        real[index, : len(sound)] = True
    return torch.stack(batch), real


@exercise.right("ones padded as the sounds are")
def ones_padded(sounds):
    if not sounds or {sound.dim() for sound in sounds} != {1}:
        raise ValueError("these make no batch")
    pad = torch.nn.utils.rnn.pad_sequence
    ones = [torch.ones_like(sound, dtype=torch.bool) for sound in sounds]
    return pad(list(sounds), batch_first=True), pad(ones, batch_first=True)
