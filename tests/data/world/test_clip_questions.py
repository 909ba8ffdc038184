import re

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.data.world.clip_questions import QUESTION_KINDS, clip_questions
from scratchmm.data.world.clips import sample_clip
from scratchmm.data.world.motion import KINDS, Clip, Motion, places
from scratchmm.data.world.scenes import COLORS, SHAPES, Scene, Thing


def seen_to_do(clip, index):
    """What a thing does and which way, read off its track alone."""
    where, seen = (table[:, index] for table in places(clip, 61))
    if not seen.all():
        return ("appears" if seen[-1] else "disappears"), None, None
    steps = where.diff(dim=0)
    far = float(steps.norm(dim=1).sum())
    if far == 0:
        return "stands", None, None
    x, y = steps[0].tolist()
    way = ("left" if x < 0 else "right") if abs(x) > abs(y) else ("up" if y < 0 else "down")
    turns = (torch.sign(steps[0]) != torch.sign(steps[-1])).any()
    return ("bounces" if turns else "goes"), way, ("fast" if far > 0.3 else "slowly")


def answered(question, clip):
    """The answer to a question, found anew from the tracks."""
    tracks = [seen_to_do(clip, index) for index in range(len(clip.motions))]
    things = clip.scene.things
    does = {
        "move": {"goes", "bounces"},
        "bounce": {"bounces"},
        "appear": {"appears"},
        "disappear": {"disappears"},
    }
    if match := re.fullmatch(r"how many things (\w+)\?", question):
        return str(sum(track[0] in does[match[1]] for track in tracks))
    if match := re.fullmatch(r"(?:which shape|what colour is the thing that) (\w+)s\?", question):
        doing = [thing for thing, track in zip(things, tracks) if track[0] in does[match[1]]]
        assert len(doing) == 1, question
        return doing[0].shape if question.startswith("which") else doing[0].color
    match = re.search(r"the (\w+) (\w+)", question)
    index = [(thing.color, thing.shape) for thing in things].index(match.groups())
    kind, way, pace = tracks[index]
    if question.startswith("is "):
        moment = -1 if question.endswith("at the end?") else 0
        return "yes" if places(clip, 5)[1][moment, index] else "no"
    if question.startswith("does "):
        assert kind in ("stands", "goes", "bounces")
        return "no" if kind == "stands" else "yes"
    return {"what does": kind, "which way": way, "how fast": pace}[question[:9].strip()]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_every_answer_is_what_the_tracks_show(seed, things):
    clip = sample_clip(np.random.default_rng(seed), things)
    asked = clip_questions(clip)
    assert len({question.question for question in asked}) == len(asked) >= 7
    words = {*KINDS, *COLORS, *SHAPES, "left", "right", "up", "down", "slowly", "fast"}
    for question, answer, kind in asked:
        assert answer == answered(question, clip), question
        assert answer in {*words, "yes", "no", "0", "1", "2"} and kind in QUESTION_KINDS


def test_every_kind_is_asked_and_every_motion_named():
    rng = np.random.default_rng(0)
    asked = [question for _ in range(100) for question in clip_questions(sample_clip(rng, 2))]
    assert {question.kind for question in asked} == set(QUESTION_KINDS)
    assert {q.answer for q in asked if q.question.startswith("what does")} == set(KINDS)
    for part in ("move?", "moves?", "bounces?", "appears?", "at first?", "the end?"):
        assert any(question.question.endswith(part) for question in asked)


def test_things_that_share_their_name_are_counted_but_not_named():
    star = Thing("star", "red", x=0.3, dx=0.2)
    clip = Clip(Scene((star, Thing("star", "red", x=0.8))), (Motion("goes"), Motion()))
    asked = [question.question for question in clip_questions(clip)]
    assert not [question for question in asked if "the red star" in question]
    assert "how many things move?" in asked and "which shape moves?" in asked


def test_nothing_is_there_to_move():
    assert {question.answer for question in clip_questions(Clip(Scene(())))} == {"0"}
