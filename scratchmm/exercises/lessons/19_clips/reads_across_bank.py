"""Wrong and other right answers to bug.reads_across: checks that miss some, or blame good ones."""

import torch

from scratchmm.exercises.format import exercise_file

others = exercise_file("19_clips/reads_across_others")
exercise = exercise_file("19_clips/reads_across").exercise

assert others.exercise is exercise  # importing them gives the exercise its properties


class Read:
    """A reader with clips, what it says of each alone, and how far it is from that elsewhere."""

    def __init__(self, reader_class, batch=3, frames=4, features=6):
        self.reader = reader_class(features, 12, 3).eval().double()
        self.clips = torch.randn(batch, frames, features, dtype=torch.float64)
        self.alone = torch.cat([self.of(clip[None]) for clip in self.clips])

    def of(self, clips):
        with torch.no_grad():
            return self.reader(clips)

    def moved(self, clips):
        return (self.of(clips) - self.alone).abs().amax(dim=1)

    def with_another(self, frame):
        other = self.clips.clone()
        other[:, frame] = torch.randn_like(other[:, frame])
        return other


def company(read):
    assert (read.moved(read.clips) < 1e-9).all(), "company"


def again(read):
    assert (read.moved(read.clips) < 1e-9).all(), "read again"


def frames_count(read, which=range(4)):
    for frame in which:
        assert (read.moved(read.with_another(frame)) > 1e-7).all(), f"frame {frame}"


def order(read):
    assert (read.moved(read.clips.flip(1)) > 1e-7).all(), "order"


@exercise.wrong(
    "accepts-everything",
    story="nothing is asserted, so every reader is accepted",
    advice="read a clip alone and in company, and compare by an assert",
)
def accepts_everything(reader_class):
    Read(reader_class)


@exercise.wrong(
    "rejects-everything",
    story="every reader is rejected, the right ones too",
    advice="mend a copy of ReadsAcross by batch_first=True: your check must accept it",
)
def rejects_everything(reader_class):
    raise AssertionError("somebody else's frames")


@exercise.wrong(
    "shape-only",
    story="only shape and finiteness are looked at",
    advice="logits of other people's frames have the right shape",
    twin="accepts-everything",
)
def shape_only(reader_class):
    found = reader_class(5, 8, 3)(torch.randn(4, 6, 5))
    assert found.shape == (4, 3) and found.isfinite().all()


@exercise.wrong(
    "trained-a-little",
    story="it is asked that the loss falls in training, and it does in all of them",
    advice="ask what a loss never asks: the same clip in other company",
    twin="accepts-everything",
)
def trained_a_little(reader_class):
    reader, clips, kinds = reader_class(5, 8, 3), torch.randn(6, 4, 5), torch.arange(6) % 3
    optimizer, losses = torch.optim.SGD(reader.parameters(), 0.01), []
    for _ in range(8):
        losses.append(torch.nn.functional.cross_entropy(reader(clips), kinds))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert min(losses[1:]) < losses[0]


@exercise.wrong(
    "the-first-clip-only",
    story="only the first clip of the batch is compared, and nobody is read before it",
    advice="compare every clip of the batch, the last too",
)
def the_first_clip_only(reader_class):
    read = Read(reader_class)
    assert read.moved(read.clips)[0] < 1e-9
    assert read.moved(read.clips)[0] < 1e-9
    frames_count(read), order(read)


@exercise.wrong(
    "the-last-clip-only",
    story="only the last clip of the batch is compared: a memory may also go the other way",
    advice="compare every clip of the batch, the first too",
)
def the_last_clip_only(reader_class):
    read = Read(reader_class)
    assert read.moved(read.clips)[-1] < 1e-9
    assert read.moved(read.clips)[-1] < 1e-9
    frames_count(read), order(read)


@exercise.wrong(
    "batches-of-one",
    story="clips are only ever read alone",
    advice="company is what does the harm: read several together",
)
def batches_of_one(reader_class):
    read = Read(reader_class, batch=1)
    company(read), again(read), frames_count(read), order(read)


@exercise.wrong(
    "exchanged-clips",
    story="it is asked that exchanged clips give exchanged logits, which they do if all count alike",
    advice="a mean over the batch does not change with its order: read each clip alone as well",
)
def exchanged_clips(reader_class):
    read = Read(reader_class)
    read.alone = read.of(read.clips)
    for roll in (1, 2):
        moved = read.of(read.clips.roll(roll, 0)).roll(-roll, 0) - read.alone
        assert (moved.abs() < 1e-9).all()
    frames_count(read), order(read)


@exercise.wrong(
    "only-company",
    story="only the company is changed: a reader of one frame, or of frames in any order, passes",
    advice="change each frame in turn, and play the clip backwards",
)
def only_company(reader_class):
    read = Read(reader_class)
    company(read), again(read)


@exercise.wrong(
    "company-forgotten",
    story="frames and their order are looked at, and the clips beside them are not",
    advice="read each clip alone and together with others",
)
def company_forgotten(reader_class):
    read = Read(reader_class)
    read.alone = read.of(read.clips)
    frames_count(read), order(read)


@exercise.wrong(
    "order-forgotten",
    story="it is not asked whether the order of the frames counts",
    advice="played backwards, a clip must give other logits",
)
def order_forgotten(reader_class):
    read = Read(reader_class)
    company(read), again(read), frames_count(read)


@exercise.wrong(
    "exchanged-for-backwards",
    story="two frames are exchanged, and nothing is played backwards",
    advice="a reader may tell such clips apart and take left for right all the same: flip the frames",
)
def exchanged_for_backwards(reader_class):
    read = Read(reader_class)
    company(read), again(read), frames_count(read)
    assert (read.moved(read.clips[:, [0, 2, 1, 3]]) > 1e-7).all()


@exercise.wrong(
    "frames-forgotten",
    story="it is not asked whether every frame counts",
    advice="put another frame in the place of each, in turn",
)
def frames_forgotten(reader_class):
    read = Read(reader_class)
    company(read), again(read), order(read)


@exercise.wrong(
    "all-frames-at-once",
    story="all frames are changed at once, which says nothing of each",
    advice="put another frame in the place of each, in turn",
    twin="frames-forgotten",
)
def all_frames_at_once(reader_class):
    read = Read(reader_class)
    company(read), again(read), order(read)
    assert (read.moved(torch.randn_like(read.clips)) > 1e-7).all()


@exercise.wrong(
    "the-first-frame-only",
    story="only the first frame is changed",
    advice="put another frame in the place of each, in turn",
)
def the_first_frame_only(reader_class):
    read = Read(reader_class)
    company(read), again(read), frames_count(read, [0]), order(read)


@exercise.wrong(
    "the-last-frame-only",
    story="only the last frame is changed",
    advice="put another frame in the place of each, in turn",
)
def the_last_frame_only(reader_class):
    read = Read(reader_class)
    company(read), again(read), frames_count(read, [-1]), order(read)


@exercise.wrong(
    "in-training",
    story="the reader is not put into eval(), so dropout and batch norm are blamed",
    advice="call eval() first, as the docstring says",
)
def in_training(reader_class):
    read = Read(reader_class)
    read.reader.train()
    company(read), again(read), frames_count(read), order(read)


@exercise.wrong(
    "one-remembered-number",
    story="the logits are compared with numbers that the mended reader once gave",
    advice="right readers differ in their weights: compare a reader with itself",
)
def one_remembered_number(reader_class):
    torch.manual_seed(0)
    found = reader_class(2, 3, 2).eval()(torch.ones(2, 3, 2))
    mended = others.Reader(2, 3, 2)
    torch.manual_seed(0)
    mended = others.Reader(2, 3, 2)
    assert torch.allclose(found, mended(torch.ones(2, 3, 2)), atol=1e-4)


@exercise.disguise("only-company")
def only_company_too(reader_class):
    reader = reader_class(3, 7, 2).eval()
    clips = torch.randn(6, 4, 3)
    for _ in range(2):
        together = reader(clips)
        for row in range(6):
            torch.testing.assert_close(reader(clips[row : row + 1])[0], together[row])


@exercise.disguise("the-first-clip-only")
def the_first_clip_only_too(reader_class):
    reader = reader_class(3, 9, 2).eval().double()
    clip = torch.randn(1, 4, 3).double()
    expected = reader(clip)
    for count in (0, 1, 3, 3, 0):
        found = reader(torch.cat([clip, torch.randn(count, 4, 3).double()]))[:1]
        assert (found - expected).abs().max() < 1e-9
    for frame in range(4):
        other = clip.clone()
        other[0, frame] += 1.5
        assert (reader(other) - expected).abs().max() > 1e-7
    assert (reader(clip.flip(1)) - expected).abs().max() > 1e-7


@exercise.right("all in one function")
def in_one(reader_class):
    read = Read(reader_class)
    company(read), again(read), frames_count(read), order(read)


@exercise.right("by gradients")
def by_gradients(reader_class):
    reader = reader_class(4, 11, 3).eval().double()
    clips = torch.randn(3, 4, 4, dtype=torch.float64, requires_grad=True)
    first = reader(clips)
    for row in range(3):
        gradient = torch.autograd.grad(first[row].exp().sum(), clips, retain_graph=True)[0]
        counts = gradient.abs().amax(dim=2) > 1e-10  # of each frame of each clip
        assert counts[row].all(), "each of its own frames counts"
        assert counts.sum() == 4, "and no other's"
    assert torch.allclose(reader(clips), first, rtol=0, atol=1e-9), "nothing is kept"
    assert not torch.allclose(reader(clips.flip(1)), first, rtol=0, atol=1e-7), "order counts"


@exercise.right("a clip in several companies")
def several_companies(reader_class):
    reader = reader_class(5, 10, 2).eval().double()
    clip = torch.randn(1, 6, 5, dtype=torch.float64)
    with torch.no_grad():
        expected = reader(clip)
        for _ in range(2):
            for before, behind in ((0, 0), (2, 0), (0, 3), (1, 1)):
                others = [torch.randn(n, 6, 5, dtype=torch.float64) * 3 for n in (before, behind)]
                found = reader(torch.cat([others[0], clip, others[1]]))[before]
                assert (found - expected[0]).abs().max() < 1e-9
        for frame in range(6):
            other = clip.clone()
            other[0, frame] *= -2
            assert (reader(other) - expected).abs().max() > 1e-7
        assert (reader(clip.flip(1)) - expected).abs().max() > 1e-7
