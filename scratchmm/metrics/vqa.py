"""VQA accuracy: the agreement of an answer with ten human ones; three equal answers count fully.

Ten people answered each question. An answer that n of them gave earns min(n / 3, 1); so that people
could be scored the same way, this is the mean over the ten sets that leave one person out.

Paper: VQA, Visual Question Answering (arXiv 1505.00468), section 4; cleaning and leaving out as in
the authors' evaluation, github.com/GT-Vision-Lab/VQA.
Differs from the source: people's answers are cleaned just as the model's are; the authors publish
theirs cleaned, and of them take only punctuation away again. An answer of which cleaning leaves
nothing stays as it is.
"""

import re
from collections.abc import Sequence

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
NUMBERS = "none zero one two three four five six seven eight nine ten"
DIGITS = dict(zip(NUMBERS.split(), ("0", *map(str, range(11)))))
ARTICLES = {"a", "an", "the"}
ENOUGH = 3  # people who agree
# Words that are written with an apostrophe, and often without one of theirs.
APOSTROPHES = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't
mightn't've must've mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't
would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
""".split()
CONTRACTIONS = {
    word[:place] + word[place + 1 :]: word
    for word in APOSTROPHES
    for place, sign in enumerate(word)
    if sign == "'"
}
CONTRACTIONS["somebody'd"] = "somebodyd"  # the other way round, as published


def clean_answer(text: str) -> str:
    """The normalised form of an answer, equal for different spellings of it.

    Punctuation goes (or becomes a space, where it joins words), and so do periods that no digit
    follows, articles and capitals; numbers up to ten become digits; apostrophes come back.

    >>> clean_answer("The Red, ring!"), clean_answer("two"), clean_answer("dont know")
    ('red ring', '2', "don't know")
    >>> clean_answer("t-shirt"), clean_answer("$1,500.50"), clean_answer("p.m.")
    ('t shirt', '$1500.50', 'pm')
    """
    text = text.replace("\n", " ").replace("\t", " ").strip()
    between_digits = re.search(r"\d,\d", text) is not None
    cleaned = text
    for sign in PUNCTUATION:
        at_a_space = f"{sign} " in text or f" {sign}" in text
        cleaned = cleaned.replace(sign, "" if at_a_space or between_digits else " ")
    cleaned = re.sub(r"\.(?!\d)", "", cleaned)
    words = [DIGITS.get(word, word) for word in cleaned.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def comparable(text: str) -> str:
    """The cleaned answer, or the answer as it stands where cleaning leaves nothing of it.

    >>> comparable("The ring"), comparable("A"), comparable("the"), comparable("")
    ('ring', 'a', 'the', '')
    """
    return clean_answer(text) or text.strip().lower()


def vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """Score of one answer, from 0 to 1, against what people (most often ten) answered.

    Raises ValueError below four people: with one left out, three must be left to agree.

    >>> people = ["red"] * 3 + ["orange"] * 7
    >>> round(vqa_accuracy("Red", people), 2), vqa_accuracy("orange", people)
    (0.9, 1.0)
    """
    if len(people) <= ENOUGH:
        raise ValueError(
            f"{len(people)} people answered: VQA accuracy needs at least {ENOUGH + 1}, "
            f"so that {ENOUGH} can agree when one is left out"
        )
    agree = [comparable(person) == comparable(answer) for person in people]
    left_out = [sum(agree) - one for one in agree]  # how many others agree, for each person
    return sum(min(others / ENOUGH, 1.0) for others in left_out) / len(people)


def vqa_accuracies(
    answers: Sequence[str], people: Sequence[Sequence[str]], kinds: Sequence[str] | None = None
) -> dict[str, float]:
    """Mean score of many answers: under "all", and of each kind where kinds are given.

    Raises ValueError if the lists differ in length or are empty.

    >>> people = [["yes"] * 10, ["2"] * 10]
    >>> vqa_accuracies(["yes", "3"], people, ["exist", "count"])
    {'all': 0.5, 'exist': 1.0, 'count': 0.0}
    """
    kinds = [""] * len(answers) if kinds is None else kinds
    if not len(answers) == len(people) == len(kinds):
        lengths = f"{len(answers)} answers, those of people to {len(people)}, {len(kinds)} kinds"
        raise ValueError(f"{lengths}: these are not the same questions")
    if not answers:
        raise ValueError("there are 0 answers to score")
    scores: dict[str, list[float]] = {"all": []}
    for answer, others, kind in zip(answers, people, kinds):
        score = vqa_accuracy(answer, others)
        scores["all"].append(score)
        if kind:
            scores.setdefault(kind, []).append(score)
    return {kind: sum(found) / len(found) for kind, found in scores.items()}
