"""What a refusal quotes of its user's is shortened in the middle: a sentence stays a sentence."""


def shortened(text: object, most: int = 80) -> str:
    """The text, or its beginning and its end with " ... " between them: at most `most` letters.

    >>> shortened("a" * 50 + "b" * 50, 15)
    'aaaaa ... bbbbb'
    >>> shortened(10**20)
    '100000000000000000000'
    """
    said = str(text)
    if len(said) <= most:
        return said
    kept = max(most - 5, 2)
    return f"{said[: kept - kept // 2]} ... {said[len(said) - kept // 2 :]}"
