"""Wrong and other right answers to text_transformer.pool_at_end."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("04_words/pool_at_end").exercise


def ends(tokens, end_token):
    """Where the end tokens are; a text without one is refused."""
    found = tokens == end_token
    if not bool(found.any(1).all()):
        raise ValueError("a text has no end token")
    return found


def first(tokens, end_token):
    return ends(tokens, end_token).int().argmax(1)


def pick(hidden, places):
    return hidden[torch.arange(len(hidden)), places]


@exercise.wrong(
    "last-place",
    story="the last place of each row is taken, which is padding",
    advice="the end token stands at another place in each text: look for it",
)
def last_place(hidden, tokens, end_token):
    ends(tokens, end_token)
    return hidden[:, -1]


@exercise.wrong(
    "first-place",
    story="the first place of each row is taken, as for an image's class token",
    advice="a causal transformer's first token has read nothing; look for the end token",
)
def first_place(hidden, tokens, end_token):
    ends(tokens, end_token)
    return hidden[:, 0]


@exercise.wrong(
    "mean",
    story="the mean over all places is taken, padding included",
    advice="take one vector, that of the end token",
)
def mean(hidden, tokens, end_token):
    ends(tokens, end_token)
    return hidden.mean(1)


@exercise.wrong(
    "mean-to-the-end",
    story="the mean over the text is taken, up to the end token",
    advice="take one vector, that of the end token: it has read all the others",
    convention=True,
)
def mean_to_the_end(hidden, tokens, end_token):
    places = first(tokens, end_token).tolist()
    return torch.stack(
        [row[: place + 1].mean(0) for row, place in zip(hidden, places, strict=True)]
    )


@exercise.wrong(
    "highest-id",
    story="the place of the highest token id is taken",
    advice="OpenAI's code does that, as its end token has the highest id; here end_token says which",
    convention=True,
)
def highest_id(hidden, tokens, end_token):
    ends(tokens, end_token)
    return pick(hidden, tokens.argmax(1))


@exercise.wrong(
    "last-end",
    story="the last end token is taken, which may be padding",
    advice="the first end token closes the sentence; those behind it fill up the row",
)
def last_end(hidden, tokens, end_token):
    return pick(hidden, tokens.shape[1] - 1 - ends(tokens, end_token).flip(1).int().argmax(1))


@exercise.wrong(
    "one-before",
    story="the vector before the end token is taken",
    advice="the end token itself: the place found, without - 1",
)
def one_before(hidden, tokens, end_token):
    return pick(hidden, first(tokens, end_token) - 1)


@exercise.wrong(
    "one-behind",
    story="the vector behind the end token is taken",
    advice="argmax gives a place that begins with 0, as indexing does: no + 1",
)
def one_behind(hidden, tokens, end_token):
    return pick(hidden, (first(tokens, end_token) + 1).clamp(max=tokens.shape[1] - 1))


@exercise.wrong(
    "sum-of-ends",
    story="the vectors of all end tokens are added up",
    advice="only the first end token counts, though the mask marks all",
)
def sum_of_ends(hidden, tokens, end_token):
    return (hidden * ends(tokens, end_token).unsqueeze(-1)).sum(1)


@exercise.wrong(
    "one-place-for-all",
    story="every text is read at the place where the first one ends",
    advice="find the place in each row: argmax(dim=1) gives B places",
)
def one_place_for_all(hidden, tokens, end_token):
    return hidden[:, int(first(tokens, end_token)[0])]


@exercise.wrong(
    "every-pair",
    story="hidden[:, first] takes every place from every text: (B, B, D)",
    advice="give a row number for each place: hidden[torch.arange(B), first]",
)
def every_pair(hidden, tokens, end_token):
    return hidden[:, first(tokens, end_token)]


@exercise.wrong(
    "length-kept",
    story="the axis of the length is still there: (B, 1, D)",
    advice="after gather, squeeze the axis of the length away",
)
def length_kept(hidden, tokens, end_token):
    return pick(hidden, first(tokens, end_token)).unsqueeze(1)


@exercise.wrong(
    "not-refused",
    story="a text without an end token is read at its first place, in silence",
    advice="argmax of nothing but False is 0: check any(dim=1) first and raise ValueError",
)
def not_refused(hidden, tokens, end_token):
    return pick(hidden, (tokens == end_token).int().argmax(1))


@exercise.wrong(
    "refused-if-all-lack-it",
    story="only a batch in which no text has an end token is refused",
    advice="each row needs one: any(dim=1), then all()",
)
def refused_if_all_lack_it(hidden, tokens, end_token):
    if not bool((tokens == end_token).any()):
        raise ValueError("no end token")
    return pick(hidden, (tokens == end_token).int().argmax(1))


@exercise.wrong(
    "detached",
    story="no gradient passes back into hidden",
    advice="index the tensor itself: no detach, no .data, no list of numbers",
)
def detached(hidden, tokens, end_token):
    return pick(hidden.detach(), first(tokens, end_token))


@exercise.wrong(
    "tokens-overwritten",
    story="the caller's tokens are overwritten",
    advice="work on the comparison tokens == end_token, which is a new tensor",
)
def tokens_overwritten(hidden, tokens, end_token):
    places = first(tokens, end_token)
    tokens[tokens == end_token] = tokens.max() + 1
    return pick(hidden, places)


@exercise.disguise("last-end")
def last_end_too(hidden, tokens, end_token):
    marks = ends(tokens, end_token) * torch.arange(tokens.shape[1])
    return pick(hidden, marks.max(1).indices)


@exercise.disguise("highest-id")
def highest_id_too(hidden, tokens, end_token):
    ends(tokens, end_token)
    return pick(hidden, tokens.max(dim=-1).indices)


@exercise.right("gather")
def gathering(hidden, tokens, end_token):
    places = first(tokens, end_token)[:, None, None].expand(-1, 1, hidden.shape[2])
    return hidden.gather(1, places).squeeze(1)


@exercise.right("mask")
def masking(hidden, tokens, end_token):
    found = ends(tokens, end_token)
    return hidden[found & (found.cumsum(1) == 1)]
