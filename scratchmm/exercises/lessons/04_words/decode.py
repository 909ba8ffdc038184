"""Exercise bpe.decode: bytes are joined before they are decoded."""

from collections.abc import Iterator

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bpe.decode",
    order=30,
    target="scratchmm.language.bpe:decode",
    title="Tokens back to text",
    goal="join the bytes of all tokens, then decode them as UTF-8; U+FFFD for what is none",
    minutes=10,
    difficulty=1,
    section="4. What is a larger vocabulary worth?",
    hints="""
        1. The character é is the two bytes C3 A9. If they are two tokens, neither is a text by
           itself: decoded apart they give two question marks, decoded together they give é. And
           token -1 is no token, though Python would count it from the end.
        2. A token stands for bytes, a text is characters, and a character may be spread over
           several tokens. So bytes first, characters last. A model may also generate bytes that are
           no text at all; that must not stop the decoding.
        3. Go over ids once. An id below 0, or not below the size of the vocabulary, is a
           ValueError. Collect vocabulary[id], which is bytes. Join all with nothing between, and
           decode once, with errors replaced.
        4. pieces.append(vocabulary[token]) for each token that is inside, else raise ValueError;
           return b"".join(pieces).decode("utf-8", errors="replace")
    """,
)


class Once:
    """Numbers that can be gone through only once, as those of a generator."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers, self.left = list(numbers), iter(numbers)

    def __iter__(self) -> Iterator[int]:
        return self.left

    def __repr__(self) -> str:
        return f"an iterator over {self.numbers}"


@exercise.holds("the tokens' bytes follow each other with nothing between, spaces kept; or none")
def joined(decode, case):
    vocabulary = [b"red", b" ", b"star", b" is", b"\n", b"t"]
    for ids in ([0, 1, 2], [3, 5, 5, 4], [1, 0, 3, 1], [2, 2, 0], []):
        text = ""
        for token in ids:
            text += ("red", " ", "star", " is", "\n", "t")[token]
        case.equal(case.call(decode, ids, vocabulary), text)


@exercise.holds("a character spread over several tokens is decoded whole")
def spread(decode, case):
    vocabulary = [b"caf", b"un ", b"\xc3", b"\xa9", b"\xe6\x98", b"\x9f !"]
    case.equal(case.call(decode, [1, 0, 2, 3], vocabulary), "un café")
    case.equal(case.call(decode, [4, 5, 2, 3], vocabulary), "星 !é")


@exercise.holds("bytes that are no UTF-8 become U+FFFD, and the rest is decoded")
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


exercise.mistakes("""
    token-by-token: each token is decoded by itself, which breaks characters spread over tokens
    - return b"".join(pieces).decode("utf-8", errors="replace")
    + return "".join(piece.decode("utf-8", errors="replace") for piece in pieces)
    > join the bytes of all tokens first, and decode once

    byte-by-byte: each byte is taken for a character, so é becomes Ã©
    - return b"".join(pieces).decode("utf-8", errors="replace")
    + return "".join(chr(byte) for piece in pieces for byte in piece)
    > bytes are not characters: decode them as UTF-8

    ignored: bytes that are no UTF-8 vanish without a trace
    - errors="replace"
    + errors="ignore"
    > errors="replace" leaves U+FFFD where something was

    surrogates: bytes that are no UTF-8 become lone surrogates, which can't be written to a file
    - errors="replace"
    + errors="surrogateescape"
    > errors="replace" gives U+FFFD, a character that every terminal shows

    spaces-between: a space is put between the tokens
    - return b"".join(pieces).decode("utf-8", errors="replace")
    + return b" ".join(pieces).decode("utf-8", errors="replace")
    > a token carries its own space: join with nothing between

    unchecked: the id is not checked: a large one raises IndexError, and -1 gives the last token
    - pieces.append(vocabulary[check_token(token, len(vocabulary))])
    + pieces.append(vocabulary[token])
    > raise ValueError unless 0 <= id < len(vocabulary); Python counts negative ones back

    negative-accepted: only ids that are too large are refused; -1 gives the last token
    - pieces.append(vocabulary[check_token(token, len(vocabulary))])
    + check_token(max(token, 0), len(vocabulary))
    + pieces.append(vocabulary[token])
    > check 0 <= id as well

    skipped: ids outside the vocabulary are left out without a message
    - pieces.append(vocabulary[check_token(token, len(vocabulary))])
    + if 0 <= token < len(vocabulary):
    +     pieces.append(vocabulary[token])
    > an unknown id is a fault of the caller's: raise ValueError

    twice-through: ids is iterated over twice, first to check; an iterator is empty by then
    - pieces = []
    + for token in ids:
    +     check_token(token, len(vocabulary))
    + pieces = []
    > check each id where you use it, or make a list first
""")

exercise.slips(r"""
    "utf-8" => "utf-8-sig"
    decode("utf-8", errors="replace")
        => decode("utf-8", errors="replace").replace("\r\n", "\n")
    decode("utf-8", errors="replace") => decode("utf-8", errors="replace").strip()
    b"".join(pieces).decode("utf-8", errors="replace") => b"".join(pieces)
    check_token(token, len(vocabulary)) => check_token(token or -1, len(vocabulary))
""")


@exercise.disguise("byte-by-byte")
def latin(ids, vocabulary):
    pieces = []
    for token in ids:
        if not 0 <= token < len(vocabulary):
            raise ValueError(f"no token {token}")
        pieces.append(vocabulary[token])
    return b"".join(pieces).decode("latin-1")


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
