"""Wrong and other right answers to bimodal.TwoStreamLayer."""

# mypy: allow-untyped-defs

from torch import nn

from scratchmm.exercises.lesson_08_cross_modal_attention.two_stream_layer import exercise
from scratchmm.fusion.bimodal import Streams

SEEN = "seen = self.cross_attention(words, picture, picture_mask)"
SAID = "said = self.cross_attention(picture, words, words_mask)"
WORDS_NORM = "words = self.cross_norm(words + seen)"
PICTURE_NORM = "picture = self.cross_norm(picture + said)"


@exercise.wrong(
    "picture-asks-new-words",
    story="the picture asks the words when these have asked already: the words go first",
    advice="ask both questions before either stream changes",
    method="forward",
)
def picture_asks_new_words(self, words, picture, words_mask=None, picture_mask=None):
    words = self.cross_norm(words + self.cross_attention(words, picture, picture_mask))
    picture = self.cross_norm(picture + self.cross_attention(picture, words, words_mask))
    words = self.words_block(words, mask=words_mask)
    return Streams(words, self.picture_block(picture, mask=picture_mask))


@exercise.wrong(
    "words-ask-new-picture",
    story="the words ask the picture when it has asked already: the picture goes first",
    advice="ask both questions before either stream changes",
    method="forward",
)
def words_ask_new_picture(self, words, picture, words_mask=None, picture_mask=None):
    picture = self.cross_norm(picture + self.cross_attention(picture, words, words_mask))
    words = self.cross_norm(words + self.cross_attention(words, picture, picture_mask))
    words = self.words_block(words, mask=words_mask)
    return Streams(words, self.picture_block(picture, mask=picture_mask))


@exercise.wrong(
    "picture-asks-finished-words",
    story="the picture asks the words after these have been through their own block",
    advice="both ask what came in; the blocks come after both questions",
    method="forward",
)
def picture_asks_finished_words(self, words, picture, words_mask=None, picture_mask=None):
    words = self.cross_norm(words + self.cross_attention(words, picture, picture_mask))
    words = self.words_block(words, mask=words_mask)
    picture = self.cross_norm(picture + self.cross_attention(picture, words, words_mask))
    return Streams(words, self.picture_block(picture, mask=picture_mask))


@exercise.wrong(
    "blocks-first",
    story="each stream goes through its own block before it asks the other",
    advice="first the questions to the other, then its own block",
    method="forward",
)
def blocks_first(self, words, picture, words_mask=None, picture_mask=None):
    words = self.words_block(words, mask=words_mask)
    picture = self.picture_block(picture, mask=picture_mask)
    seen = self.cross_attention(words, picture, picture_mask)
    said = self.cross_attention(picture, words, words_mask)
    return Streams(self.cross_norm(words + seen), self.cross_norm(picture + said))


@exercise.wrong(
    "norm-before",
    story="the streams are normalised before they ask, and not after the sum",
    advice="this layer is post-norm, as LXMERT is: norm(stream + what it heard)",
    convention=True,
    method="forward",
)
def norm_before(self, words, picture, words_mask=None, picture_mask=None):
    calm, still = self.cross_norm(words), self.cross_norm(picture)
    words = words + self.cross_attention(calm, still, picture_mask)
    picture = picture + self.cross_attention(still, calm, words_mask)
    words = self.words_block(words, mask=words_mask)
    return Streams(words, self.picture_block(picture, mask=picture_mask))


exercise.edit(
    "words-alone-ask",
    (PICTURE_NORM, "picture = self.cross_norm(picture)"),
    story="only the words ask: the picture never hears of them",
    advice="two directions: the picture asks the words, with the same attention",
)
exercise.edit(
    "picture-alone-asks",
    (WORDS_NORM, "words = self.cross_norm(words)"),
    story="only the picture asks: the words never hear of it",
    advice="two directions: the words ask the picture, with the same attention",
)
exercise.edit(
    "each-asks-itself",
    (SEEN, "seen = self.cross_attention(words, mask=words_mask)"),
    (SAID, "said = self.cross_attention(picture, mask=picture_mask)"),
    story="each stream asks itself where it should ask the other",
    advice="the second argument of cross_attention is who is asked: the other stream",
)
exercise.edit(
    "answers-exchanged",
    (SEEN, "seen = self.cross_attention(picture, words, words_mask)"),
    (SAID, "said = self.cross_attention(words, picture, picture_mask)"),
    story="the answers have changed places: the words get what the picture heard",
    advice="who asks comes first: cross_attention(words, picture, ...) is for the words",
)
exercise.edit(
    "no-sum",
    (WORDS_NORM, "words = self.cross_norm(seen)"),
    (PICTURE_NORM, "picture = self.cross_norm(said)"),
    story="what a stream heard replaces it instead of being added",
    advice="norm(words + seen): otherwise a stream forgets what it was",
)
exercise.edit(
    "no-norm",
    (WORDS_NORM, "words = words + seen"),
    (PICTURE_NORM, "picture = picture + said"),
    story="the sum is not normalised",
    advice="cross_norm comes after the sum, in both streams",
)
exercise.edit(
    "sum-outside-the-norm",
    (WORDS_NORM, "words = words + self.cross_norm(seen)"),
    (PICTURE_NORM, "picture = picture + self.cross_norm(said)"),
    story="only what was heard is normalised, and then added",
    advice="norm(words + seen), not words + norm(seen)",
)
exercise.edit(
    "blocks-exchanged",
    ("self.words_block(words,", "self.picture_block(words,"),
    ("self.picture_block(picture,", "self.words_block(picture,"),
    story="the words go through the picture's block, and the picture through the words'",
    advice="words_block for the words, picture_block for the picture",
)
exercise.edit(
    "one-block",
    ("self.picture_block(picture,", "self.words_block(picture,"),
    story="both streams go through the words' block",
    advice="only the cross-attention and its norm are shared; each stream has a block of its own",
)
exercise.edit(
    "no-blocks",
    ("self.words_block(words, mask=words_mask)", "words"),
    ("self.picture_block(picture, mask=picture_mask)", "picture"),
    story="the streams' own blocks are left out",
    advice="after the questions to the other, each stream goes through its own block",
)
exercise.edit(
    "streams-exchanged",
    ("Streams(words, picture)", "Streams(picture, words)"),
    story="the streams are returned in the opposite order",
    advice="Streams(words, picture)",
)
exercise.edit(
    "plain-pair",
    ("Streams(words, picture)", "(words, picture)"),
    story="the streams come as a plain pair, without their names",
    advice="return Streams(words, picture), so that others may write .words",
)
exercise.edit(
    "picture-sees-padding-words",
    (SAID, "said = self.cross_attention(picture, words)"),
    story="the picture sees padding words",
    advice="the words' mask goes with the words, where the picture asks them too",
)
exercise.edit(
    "words-see-padding-patches",
    (SEEN, "seen = self.cross_attention(words, picture)"),
    story="the words see padding of the picture",
    advice="the picture's mask goes with the picture, where the words ask it too",
)
exercise.edit(
    "words-read-padding",
    ("self.words_block(words, mask=words_mask)", "self.words_block(words)"),
    story="in their own block the words see padding words",
    advice="words_block(words, mask=words_mask)",
)
exercise.edit(
    "picture-reads-padding",
    ("self.picture_block(picture, mask=picture_mask)", "self.picture_block(picture)"),
    story="in its own block the picture sees its padding",
    advice="picture_block(picture, mask=picture_mask)",
)
exercise.edit(
    "masks-of-the-asking",
    (SEEN, "seen = self.cross_attention(words, picture, words_mask)"),
    (SAID, "said = self.cross_attention(picture, words, picture_mask)"),
    story="each stream asks with its own mask",
    advice="a mask tells which answers may be seen: take the one of the stream that is asked",
)
exercise.edit(
    "no-masks-across",
    (SEEN, "seen = self.cross_attention(words, picture)"),
    (SAID, "said = self.cross_attention(picture, words)"),
    story="the masks are used within the streams only, not from one to the other",
    advice="cross_attention takes the mask of the stream that is asked",
)
exercise.edit(
    "no-masks-within",
    ("self.words_block(words, mask=words_mask)", "self.words_block(words)"),
    ("self.picture_block(picture, mask=picture_mask)", "self.picture_block(picture)"),
    story="the masks are used from one stream to the other only, not within",
    advice="words_block(words, mask=words_mask), and the picture's alike",
)
exercise.edit(
    "other-detached",
    (SEEN, "seen = self.cross_attention(words, picture.detach(), picture_mask)"),
    (SAID, "said = self.cross_attention(picture, words.detach(), words_mask)"),
    story="no gradient passes from one stream to the other",
    advice="no detach: `as it came in` means the same tensor, not one that is cut off",
)


@exercise.wrong(
    "in-place",
    story="the caller's streams are changed in place",
    advice="words += seen changes the tensor that was passed in; write words = words + seen",
    method="forward",
)
def in_place(self, words, picture, words_mask=None, picture_mask=None):
    seen = self.cross_attention(words, picture, picture_mask)
    said = self.cross_attention(picture, words, words_mask)
    changed = self.cross_norm(words + seen), self.cross_norm(picture + said)
    words.data.add_(seen.detach())
    picture.data.add_(said.detach())
    return Streams(
        self.words_block(changed[0], mask=words_mask),
        self.picture_block(changed[1], mask=picture_mask),
    )


@exercise.disguise("picture-asks-new-words", method="forward")
def picture_asks_new_words_too(self, words, picture, words_mask=None, picture_mask=None):
    for _ in range(1):
        words = words + self.cross_attention(words, context=picture, mask=picture_mask)
        words = self.cross_norm(words)
        said = self.cross_attention(picture, context=words, mask=words_mask)
        picture = self.cross_norm(said + picture)
    return Streams(self.words_block(words, words_mask), self.picture_block(picture, picture_mask))


@exercise.disguise("no-masks-across", method="forward")
def no_masks_across_too(self, words, picture, words_mask=None, picture_mask=None):
    heard = [self.cross_attention(*pair) for pair in ((words, picture), (picture, words))]
    words, picture = (self.cross_norm(x + y) for x, y in zip((words, picture), heard))
    return Streams(self.words_block(words, words_mask), self.picture_block(picture, picture_mask))


@exercise.right("in one loop", method="forward")
def in_one_loop(self, words, picture, words_mask=None, picture_mask=None):
    given = {"words": (words, words_mask), "picture": (picture, picture_mask)}
    found = {}
    for name, other in (("picture", "words"), ("words", "picture")):
        (mine, own_mask), (context, mask) = given[name], given[other]
        joined = self.cross_norm(self.cross_attention(mine, context, mask).add(mine))
        found[name] = getattr(self, f"{name}_block")(joined, own_mask)
    return Streams(**found)


@exercise.right("a class of its own")
class Own(nn.Module):
    """The same parts, found through one model of the library's."""

    def __init__(self, width, heads, hidden, epsilon=1e-12):
        super().__init__()
        for name, part in exercise.reference(width, heads, hidden, epsilon).named_children():
            self.add_module(name, part)

    def ask(self, asking, asked, mask):
        return self.cross_norm(asking + self.cross_attention(asking, context=asked, mask=mask))

    def forward(self, words, picture, words_mask=None, picture_mask=None):
        words, picture = (
            self.ask(words, picture, picture_mask),
            self.ask(picture, words, words_mask),
        )
        words = self.words_block(words, mask=words_mask)
        return Streams(picture=self.picture_block(picture, mask=picture_mask), words=words)
