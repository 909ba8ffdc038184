"""Exercise bpe.decode: bytes are joined before they are read."""

from collections.abc import Iterator

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bpe.decode",
    order=30,
    target="scratchmm.language.bpe:decode",
    title="Tokens back to text",
    goal="join the bytes of all tokens, then read them as UTF-8; U+FFFD for what is none",
    minutes=10,
    difficulty=1,
    section="4. What is a larger vocabulary worth?",
    hints=(
        "The character é is the two bytes C3 A9. If they are two tokens, neither is a text by itself: "
        "read apart they give two question marks, read together they give é. And token -1 is no "
        "token, though Python would count it from the end.",
        "A token stands for bytes, a text is characters, and a character may be spread over several "
        "tokens. So bytes first, characters last. A model may also write bytes that are no text at "
        "all; that must not stop the reading.",
        "Go over ids once. An id below 0, or not below the size of the vocabulary, is a ValueError. "
        "Collect vocabulary[id], which is bytes. Join all with nothing between, and decode once, "
        "with errors replaced.",
        "pieces.append(vocabulary[token]) for each token that is inside, else raise ValueError; "
        'return b"".join(pieces).decode("utf-8", errors="replace")',
    ),
)


class Once:
    """Numbers that can be gone through only once, as those of a generator."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers, self.left = list(numbers), iter(numbers)

    def __iter__(self) -> Iterator[int]:
        return self.left

    def __repr__(self) -> str:
        return f"an iterator over {self.numbers}"


@exercise.holds("the tokens' bytes follow each other with nothing between, spaces kept")
def joined(decode, case):
    vocabulary = [b"red", b" ", b"star", b" is", b"\n", b"t"]
    for ids in ([0, 1, 2], [3, 5, 5, 4], [1, 0, 3, 1], [2, 2, 0]):
        text = ""
        for token in ids:
            text += ("red", " ", "star", " is", "\n", "t")[token]
        case.equal(case.call(decode, ids, vocabulary), text)


@exercise.holds("no ids make an empty text")
def empty(decode, case):
    case.equal(case.call(decode, [], [b"a", b"b"]), "")


@exercise.holds("a character spread over several tokens is read whole")
def spread(decode, case):
    vocabulary = [b"caf", b"un ", b"\xc3", b"\xa9", b"\xe6\x98", b"\x9f !"]
    case.equal(case.call(decode, [1, 0, 2, 3], vocabulary), "un café")
    case.equal(case.call(decode, [4, 5, 2, 3], vocabulary), "星 !é")


@exercise.holds("any text, cut into its bytes in a shuffled vocabulary, comes back")
def any_text(decode, case):
    letters = "aé ß星🌟\nZ"
    text = "".join(letters[i] for i in case.integers(0, len(letters), characters=20).tolist())
    order = case.permutation(256).tolist()
    vocabulary = [bytes([byte]) for byte in order]
    ids = []
    for byte in text.encode():
        ids.append(order.index(byte))
    case.equal(case.call(decode, ids, vocabulary), text)


@exercise.holds("bytes that are no UTF-8 become U+FFFD, and the rest is read")
def broken(decode, case):
    vocabulary = [b"a", b"\xff", b"\xc3", b"b"]
    case.equal(case.call(decode, [0, 1, 3], vocabulary), "a\ufffdb")
    case.equal(case.call(decode, [2, 0, 2], vocabulary), "\ufffda\ufffd")


@exercise.holds("a byte order mark and the ends of lines stay as they are")
def as_they_are(decode, case):
    vocabulary = [b"\xef\xbb\xbf", b"a\r\n", b"b"]
    case.equal(case.call(decode, [0, 1, 2], vocabulary), "\ufeffa\r\nb")


@exercise.holds("an id outside the vocabulary is refused with ValueError, also a negative one")
def outside(decode, case):
    vocabulary = [b"a", b"b", b"c"]
    for ids in ([0, 7], [1, -1], [3], [-9, 0]):
        case.refuses(ValueError, decode, ids, vocabulary)


@exercise.holds("ids may be any iterable, also one that can be gone through only once")
def iterator(decode, case):
    case.equal(case.call(decode, Once([2, 0, 1]), [b"a", b"b", b"c"]), "cab")


def inside(ids, vocabulary):
    """The bytes of each token; an id outside is refused."""
    pieces = []
    for token in ids:
        if token < 0 or token >= len(vocabulary):
            raise ValueError(f"no token {token}")
        pieces.append(vocabulary[token])
    return pieces


exercise.edit(
    "mark-left-out",
    ('"utf-8"', '"utf-8-sig"'),
    story="a byte order mark in front is left out (utf-8-sig)",
    advice='"utf-8" keeps every character that was written',
)
exercise.edit(
    "ends-of-lines",
    ('errors="replace")', 'errors="replace").replace("\\r\\n", "\\n")'),
    story="the ends of lines are made alike",
    advice="the text as it was written: bytes.decode changes no end of a line",
)


@exercise.wrong(
    "token-by-token",
    story="each token is read by itself, which breaks characters that are spread over tokens",
    advice="join the bytes of all tokens first, and decode once",
)
def token_by_token(ids, vocabulary):
    return "".join(piece.decode("utf-8", errors="replace") for piece in inside(ids, vocabulary))


@exercise.wrong(
    "byte-by-byte",
    story="each byte is taken for a character, so é becomes Ã©",
    advice="bytes are not characters: decode them as UTF-8",
)
def byte_by_byte(ids, vocabulary):
    return "".join(chr(byte) for piece in inside(ids, vocabulary) for byte in piece)


@exercise.wrong(
    "strict",
    story="bytes that are no UTF-8 raise UnicodeDecodeError",
    advice='a model may write any bytes: errors="replace"',
)
def strict(ids, vocabulary):
    return b"".join(inside(ids, vocabulary)).decode()


@exercise.wrong(
    "ignored",
    story="bytes that are no UTF-8 vanish without a trace",
    advice='errors="replace" leaves U+FFFD where something was',
)
def ignored(ids, vocabulary):
    return b"".join(inside(ids, vocabulary)).decode(errors="ignore")


@exercise.wrong(
    "surrogates",
    story="bytes that are no UTF-8 become lone surrogates, which can't be written to a file",
    advice='errors="replace" gives U+FFFD, a character that everyone can show',
)
def surrogates(ids, vocabulary):
    return b"".join(inside(ids, vocabulary)).decode(errors="surrogateescape")


@exercise.wrong(
    "spaces-between",
    story="a space is put between the tokens",
    advice="a token carries its own space: join with nothing between",
)
def spaces_between(ids, vocabulary):
    return b" ".join(inside(ids, vocabulary)).decode(errors="replace")


@exercise.wrong(
    "trimmed",
    story="white space at the ends is cut off",
    advice="every byte belongs to the text: no strip",
)
def trimmed(ids, vocabulary):
    return b"".join(inside(ids, vocabulary)).decode(errors="replace").strip()


@exercise.wrong(
    "bytes",
    story="the result is bytes, not a text",
    advice="decode what you joined",
)
def as_bytes(ids, vocabulary):
    return b"".join(inside(ids, vocabulary))


@exercise.wrong(
    "unchecked",
    story="the id is not checked: a large one raises IndexError, and -1 gives the last token",
    advice="raise ValueError unless 0 <= id < len(vocabulary); Python counts negative ones back",
)
def unchecked(ids, vocabulary):
    return b"".join(vocabulary[token] for token in ids).decode(errors="replace")


@exercise.wrong(
    "negative-accepted",
    story="only ids that are too large are refused; -1 gives the last token",
    advice="check 0 <= id as well",
)
def negative_accepted(ids, vocabulary):
    ids = list(ids)
    if any(token >= len(vocabulary) for token in ids):
        raise ValueError("outside")
    return b"".join(vocabulary[token] for token in ids).decode(errors="replace")


@exercise.wrong(
    "skipped",
    story="ids outside the vocabulary are left out in silence",
    advice="an unknown id is somebody's mistake: raise ValueError",
)
def skipped(ids, vocabulary):
    known = [vocabulary[token] for token in ids if 0 <= token < len(vocabulary)]
    return b"".join(known).decode(errors="replace")


@exercise.wrong(
    "zero-refused",
    story="token 0 is refused",
    advice="ids begin with 0",
)
def zero_refused(ids, vocabulary):
    ids = list(ids)
    if not all(0 < token < len(vocabulary) for token in ids):
        raise ValueError("outside")
    return b"".join(inside(ids, vocabulary)).decode(errors="replace")


@exercise.wrong(
    "twice-through",
    story="ids is gone through twice, first to check and then to read; an iterator is empty by then",
    advice="check each id as you read it, or make a list first",
)
def twice_through(ids, vocabulary):
    for token in ids:
        if not 0 <= token < len(vocabulary):
            raise ValueError("outside")
    return b"".join(vocabulary[token] for token in ids).decode(errors="replace")


@exercise.disguise("token-by-token")
def token_by_token_too(ids, vocabulary):
    text = ""
    for piece in inside(ids, vocabulary):
        text += str(piece, "utf-8", "replace")
    return text


@exercise.disguise("byte-by-byte")
def latin(ids, vocabulary):
    return b"".join(inside(ids, vocabulary)).decode("latin-1")


@exercise.right("one buffer")
def one_buffer(ids, vocabulary):
    buffer = bytearray()
    for token in ids:
        if token not in range(len(vocabulary)):
            raise ValueError(f"no token {token}")
        buffer += vocabulary[token]
    return str(bytes(buffer), "utf-8", "replace")


@exercise.right("list first")
def list_first(ids, vocabulary):
    known = list(ids)
    if known and not (min(known) >= 0 and max(known) < len(vocabulary)):
        raise ValueError("an id is outside the vocabulary")
    return b"".join(map(vocabulary.__getitem__, known)).decode(errors="replace")
