"""Wrong and other right answers to bimodal.TwoStreamLayer."""

from torch import nn

from scratchmm.exercises.format import exercise_file
from scratchmm.fusion.bimodal import Streams

exercise = exercise_file("08_cross_modal_attention/two_stream_layer").exercise

SEEN = "seen = self.cross_attention(words, image, image_mask)"
SAID = "said = self.cross_attention(image, words, words_mask)"
WORDS_NORM = "words = self.cross_norm(words + seen)"
IMAGE_NORM = "image = self.cross_norm(image + said)"


@exercise.wrong(
    "image-asks-new-words",
    story="the image asks the words when these have asked already: the words go first",
    advice="ask both questions before either stream changes",
    method="forward",
)
def image_asks_new_words(self, words, image, words_mask=None, image_mask=None):
    words = self.cross_norm(words + self.cross_attention(words, image, image_mask))
    image = self.cross_norm(image + self.cross_attention(image, words, words_mask))
    words = self.words_block(words, mask=words_mask)
    return Streams(words, self.image_block(image, mask=image_mask))


@exercise.wrong(
    "words-ask-new-image",
    story="the words ask the image when it has asked already: the image goes first",
    advice="ask both questions before either stream changes",
    method="forward",
)
def words_ask_new_image(self, words, image, words_mask=None, image_mask=None):
    image = self.cross_norm(image + self.cross_attention(image, words, words_mask))
    words = self.cross_norm(words + self.cross_attention(words, image, image_mask))
    words = self.words_block(words, mask=words_mask)
    return Streams(words, self.image_block(image, mask=image_mask))


@exercise.wrong(
    "image-asks-finished-words",
    story="the image asks the words after these have been through their own block",
    advice="both ask what came in; the blocks come after both questions",
    method="forward",
)
def image_asks_finished_words(self, words, image, words_mask=None, image_mask=None):
    words = self.cross_norm(words + self.cross_attention(words, image, image_mask))
    words = self.words_block(words, mask=words_mask)
    image = self.cross_norm(image + self.cross_attention(image, words, words_mask))
    return Streams(words, self.image_block(image, mask=image_mask))


@exercise.wrong(
    "blocks-first",
    story="each stream goes through its own block before it asks the other",
    advice="first the questions to the other, then its own block",
    method="forward",
)
def blocks_first(self, words, image, words_mask=None, image_mask=None):
    words = self.words_block(words, mask=words_mask)
    image = self.image_block(image, mask=image_mask)
    seen = self.cross_attention(words, image, image_mask)
    said = self.cross_attention(image, words, words_mask)
    return Streams(self.cross_norm(words + seen), self.cross_norm(image + said))


@exercise.wrong(
    "norm-before",
    story="the streams are normalised before they ask, and not after the sum",
    advice="this layer is post-norm, as LXMERT is: norm(stream + what it heard)",
    convention=True,
    method="forward",
)
def norm_before(self, words, image, words_mask=None, image_mask=None):
    calm, still = self.cross_norm(words), self.cross_norm(image)
    words = words + self.cross_attention(calm, still, image_mask)
    image = image + self.cross_attention(still, calm, words_mask)
    words = self.words_block(words, mask=words_mask)
    return Streams(words, self.image_block(image, mask=image_mask))


exercise.edit(
    "words-alone-ask",
    (IMAGE_NORM, "image = self.cross_norm(image)"),
    story="only the words ask: the image never hears of them",
    advice="two directions: the image asks the words, with the same attention",
)
exercise.edit(
    "image-alone-asks",
    (WORDS_NORM, "words = self.cross_norm(words)"),
    story="only the image asks: the words never hear of it",
    advice="two directions: the words ask the image, with the same attention",
)
exercise.edit(
    "each-asks-itself",
    (SEEN, "seen = self.cross_attention(words, mask=words_mask)"),
    (SAID, "said = self.cross_attention(image, mask=image_mask)"),
    story="each stream asks itself where it should ask the other",
    advice="the second argument of cross_attention is who is asked: the other stream",
)
exercise.edit(
    "answers-exchanged",
    (SEEN, "seen = self.cross_attention(image, words, words_mask)"),
    (SAID, "said = self.cross_attention(words, image, image_mask)"),
    story="the answers have changed places: the words get what the image heard",
    advice="who asks comes first: cross_attention(words, image, ...) is for the words",
)
exercise.edit(
    "no-sum",
    (WORDS_NORM, "words = self.cross_norm(seen)"),
    (IMAGE_NORM, "image = self.cross_norm(said)"),
    story="what a stream heard replaces it instead of being added",
    advice="norm(words + seen): otherwise a stream forgets what it was",
)
exercise.edit(
    "no-norm",
    (WORDS_NORM, "words = words + seen"),
    (IMAGE_NORM, "image = image + said"),
    story="the sum is not normalised",
    advice="cross_norm comes after the sum, in both streams",
)
exercise.edit(
    "sum-outside-the-norm",
    (WORDS_NORM, "words = words + self.cross_norm(seen)"),
    (IMAGE_NORM, "image = image + self.cross_norm(said)"),
    story="only what was heard is normalised, and then added",
    advice="norm(words + seen), not words + norm(seen)",
)
exercise.edit(
    "blocks-exchanged",
    ("self.words_block(words,", "self.image_block(words,"),
    ("self.image_block(image,", "self.words_block(image,"),
    story="the words go through the image's block, and the image through the words'",
    advice="words_block for the words, image_block for the image",
)
exercise.edit(
    "one-block",
    ("self.image_block(image,", "self.words_block(image,"),
    story="both streams go through the words' block",
    advice="only the cross-attention and its norm are shared; each stream has a block of its own",
)
exercise.edit(
    "no-blocks",
    ("self.words_block(words, mask=words_mask)", "words"),
    ("self.image_block(image, mask=image_mask)", "image"),
    story="the streams' own blocks are left out",
    advice="after the questions to the other, each stream goes through its own block",
)
exercise.edit(
    "streams-exchanged",
    ("Streams(words, image)", "Streams(image, words)"),
    story="the streams are returned in the opposite order",
    advice="Streams(words, image)",
)
exercise.edit(
    "plain-pair",
    ("Streams(words, image)", "(words, image)"),
    story="the streams come as a plain pair, without their names",
    advice="return Streams(words, image), so that others may write .words",
)
exercise.edit(
    "image-sees-padding-words",
    (SAID, "said = self.cross_attention(image, words)"),
    story="the image sees padding words",
    advice="the words' mask goes with the words, where the image asks them too",
)
exercise.edit(
    "words-see-padding-patches",
    (SEEN, "seen = self.cross_attention(words, image)"),
    story="the words see padding of the image",
    advice="the image's mask goes with the image, where the words ask it too",
)
exercise.edit(
    "words-read-padding",
    ("self.words_block(words, mask=words_mask)", "self.words_block(words)"),
    story="in their own block the words see padding words",
    advice="words_block(words, mask=words_mask)",
)
exercise.edit(
    "image-reads-padding",
    ("self.image_block(image, mask=image_mask)", "self.image_block(image)"),
    story="in its own block the image sees its padding",
    advice="image_block(image, mask=image_mask)",
)
exercise.edit(
    "masks-of-the-asking",
    (SEEN, "seen = self.cross_attention(words, image, words_mask)"),
    (SAID, "said = self.cross_attention(image, words, image_mask)"),
    story="each stream asks with its own mask",
    advice="a mask tells which answers may be seen: take the one of the stream that is asked",
)
exercise.edit(
    "no-masks-across",
    (SEEN, "seen = self.cross_attention(words, image)"),
    (SAID, "said = self.cross_attention(image, words)"),
    story="the masks are used within the streams only, not from one to the other",
    advice="cross_attention takes the mask of the stream that is asked",
)
exercise.edit(
    "no-masks-within",
    ("self.words_block(words, mask=words_mask)", "self.words_block(words)"),
    ("self.image_block(image, mask=image_mask)", "self.image_block(image)"),
    story="the masks are used from one stream to the other only, not within",
    advice="words_block(words, mask=words_mask), and the image's alike",
)
exercise.edit(
    "other-detached",
    (SEEN, "seen = self.cross_attention(words, image.detach(), image_mask)"),
    (SAID, "said = self.cross_attention(image, words.detach(), words_mask)"),
    story="no gradient passes from one stream to the other",
    advice="no detach: `as it came in` means the same tensor, not one that is cut off",
)


@exercise.wrong(
    "in-place",
    story="the caller's streams are changed in place",
    advice="words += seen changes the tensor that was passed in; write words = words + seen",
    method="forward",
)
def in_place(self, words, image, words_mask=None, image_mask=None):
    seen = self.cross_attention(words, image, image_mask)
    said = self.cross_attention(image, words, words_mask)
    changed = self.cross_norm(words + seen), self.cross_norm(image + said)
    words.data.add_(seen.detach())
    image.data.add_(said.detach())
    return Streams(
        self.words_block(changed[0], mask=words_mask),
        self.image_block(changed[1], mask=image_mask),
    )


@exercise.disguise("image-asks-new-words", method="forward")
def image_asks_new_words_too(self, words, image, words_mask=None, image_mask=None):
    for _ in range(1):
        words = words + self.cross_attention(words, context=image, mask=image_mask)
        words = self.cross_norm(words)
        said = self.cross_attention(image, context=words, mask=words_mask)
        image = self.cross_norm(said + image)
    return Streams(self.words_block(words, words_mask), self.image_block(image, image_mask))


@exercise.disguise("no-masks-across", method="forward")
def no_masks_across_too(self, words, image, words_mask=None, image_mask=None):
    heard = [self.cross_attention(*pair) for pair in ((words, image), (image, words))]
    words, image = (self.cross_norm(x + y) for x, y in zip((words, image), heard))
    return Streams(self.words_block(words, words_mask), self.image_block(image, image_mask))


@exercise.right("in one loop", method="forward")
def in_one_loop(self, words, image, words_mask=None, image_mask=None):
    given = {"words": (words, words_mask), "image": (image, image_mask)}
    found = {}
    for name, other in (("image", "words"), ("words", "image")):
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

    def forward(self, words, image, words_mask=None, image_mask=None):
        words, image = (
            self.ask(words, image, image_mask),
            self.ask(image, words, words_mask),
        )
        words = self.words_block(words, mask=words_mask)
        return Streams(image=self.image_block(image, mask=image_mask), words=words)
