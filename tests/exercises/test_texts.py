"""Hints and mistakes as text: how a block is read, how its code is found, and what is refused."""

import pytest

from scratchmm.exercises.texts import patched, places, read_hints, read_mistakes, read_slips, tokens

BLOCK = """
    late [convention, twin=later]: counted from 1,
    not from 0
    - for n in range(n):
    -     go(n)
    + for n in range(1, n + 1):
    +     go(n)
    - return n
    > here the first
    > is 0

    soon: never
    - go
    > go
"""


def test_a_block_is_read_whole():
    late, soon = read_mistakes(BLOCK)
    assert (late.id, late.story) == ("late", "counted from 1, not from 0")
    assert late.advice == "here the first is 0"
    assert late.marks == {"convention": "", "twin": "later"}
    assert late.changes == (
        ("for n in range(n):\n    go(n)", "for n in range(1, n + 1):\n    go(n)"),
        ("return n", ""),
    )
    assert (soon.id, soon.marks, soon.changes) == ("soon", {}, (("go", ""),))


def test_a_disguise_needs_neither_story_nor_advice():
    (one,) = read_mistakes("late-too [of=late]\n- x\n+ y")
    assert one.marks == {"of": "late"} and not one.story and not one.advice


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("- x\n+ y\n> z", "a mistake begins with `id: what was done`, not with ``"),
        ("no id here\n- x\n> z", "begins with `id: what was done`, not with `no id here`"),
        ("late\n- x\n> z", "begins with `id: what was done`, not with `late`"),
        ("late: told\n> z", "'late' changes nothing: no line begins with -"),
        ("late: told\n- x\n+ y", "'late' has no advice: no line begins with >"),
        ("late: told\n+ y\n> z", "'late' has a line with + and none with - before it"),
        ("late: told\n- x\n> z\n+ y", "'late' has a line with + and none with - before it"),
        ("late: told\n- x\nthen\n> z", "'late' has the line `then`: behind the story each begins"),
        ("late: told\n-x\n> z", "'late' has the line `-x`"),
        ("late [odd]: told\n- x\n> z", "'late' has the mark 'odd': there are convention, fresh"),
        ("late [twin]: told\n- x\n> z", "'late' has the mark 'twin'"),
        ("late [fresh=1]: told\n- x\n> z", "'late' has the mark 'fresh=1'"),
        (
            "late: told\n- x\n+ y\n\n+ z\n> w",
            "begins with `id: what was done`, not with ``|no advice",
        ),
    ],
)
def test_what_is_no_block_is_refused_in_a_sentence(block, told):
    with pytest.raises(ValueError) as refused:
        read_mistakes(block)
    assert any(one in str(refused.value) for one in told.split("|"))


def test_slips_are_read_line_by_line():
    one, two = read_slips("\n    a + b => a - b\n\n    f(a) =>  ;;\n        g(b) => b\n")
    assert (one.story, one.changes) == ("`a - b` stood for `a + b`", (("a + b", "a - b"),))
    assert two.changes == (("f(a)", ""), ("g(b)", "b"))
    assert two.story == "`f(a)` were left out, and `b` stood for `g(b)`"


@pytest.mark.parametrize("line", ["a", "a -> b", " => b", "a => b ;; c"])
def test_what_is_no_slip_is_refused_in_a_sentence(line):
    with pytest.raises(ValueError, match="a slip is `code => what stands in its place`, not `"):
        read_slips(line)


def test_hints_are_read_by_their_numbers():
    text = """
        1. what fails at 2. of 3
        2. the idea,
           in two lines
        3. a plan
        4. x = 1; 2. of it
    """
    found = read_hints(text)
    assert found == ("what fails at 2. of 3", "the idea, in two lines", "a plan", "x = 1; 2. of it")


@pytest.mark.parametrize(
    ("text", "found"),
    [("one", "none"), ("1. a\n2. b\n4. c", "1., 2., 4."), ("0\n1. a\n2. b\n3. c\n4. d", "1., 2.")],
)
def test_other_numbers_are_refused(text, found):
    with pytest.raises(ValueError, match=f"hints begin with 1. to 4., .* not {found}"):
        read_hints(text)


def test_how_lines_are_broken_comments_and_last_commas_do_not_count():
    source = "y = f(  # of both\n    a,\n    b,\n)\nz = g[\n    0\n] # f(a, b)\n"
    for code in ("f(a, b)", "f(\n  a,\n  b,\n)", "f(a,b,)"):
        (start, end) = places(source, code)[0]
        assert len(places(source, code)) == 1 and source[start:end].startswith("f(  #")
        assert source[end - 1] == ")"
    assert len(places(source, "g[0]")) == 1
    assert len(places(source, "f(a, b")) == 1  # a piece may end within brackets
    assert places(source, "") == []


def test_words_are_whole():
    assert not places("xs = 1", "x")
    assert not places("x == 1", "x = 1")
    assert not places("x **= 2", "x *")
    # The words of a string or a docstring are no code.
    assert not places('"""x + y"""\nf("x + y")', "x + y")
    assert [token.word for token in tokens("rb'a\\'b' + f\"\"\"c\"d\"\"\" # e")] == [
        "rb'a\\'b'", "+", 'f"""c"d"""',
    ]  # fmt: skip


SOURCE = """\
def f(x, y):
    '''x + y'''
    if x:
        y = g(  # twice
            x,
            y,
        )
    z = x + y
    return z
"""


def changed(*changes):
    """The source with changes made: each (old, new)."""
    lines = [f"{sign} {line}" for old, new in changes for sign, code in (("-", old), ("+", new))
             for line in code.split("\n") if code or sign == "+"]  # fmt: skip
    text = "\n".join(["late: told", *lines, "> so"]).replace("+ \n", "+\n")
    return patched(SOURCE, read_mistakes(text)[0])


def test_new_lines_get_the_indent_of_the_place():
    found = changed(("y = g(x, y)", "for _ in y:\n    y = x"))
    assert found == SOURCE.replace(
        SOURCE[SOURCE.index("y = g") : SOURCE.index("    z")],
        "for _ in y:\n            y = x\n",
    )


def test_code_that_nothing_replaces_goes_with_its_lines():
    assert "if" not in changed(("if x:\n    y = g(x, y)", ""))
    assert changed(("if x:\n    y = g(x, y)", "")).count("\n") == 4
    # Of a line that stays, only the piece goes.
    assert "    z = x \n" in changed(("+ y", ""))


def test_all_changes_are_found_in_the_source_as_it_was():
    found = changed(("z = x + y", "z = x - y"), ("return z", "return x + y"))
    assert found.endswith("    z = x - y\n    return x + y\n")
    with pytest.raises(ValueError, match="changes `x - y`, which stands 0 times"):
        changed(("x + y", "x - y"), ("x - y", "y"))


def test_code_that_stands_there_not_once_is_refused():
    with pytest.raises(ValueError, match="'late' changes `w`, which stands 0 times in the lib"):
        changed(("w", "v"))
    with pytest.raises(ValueError, match="'late' changes `z`, which stands 2 times in the lib"):
        changed(("z", "v"))
    with pytest.raises(ValueError, match="two changes of the mistake 'late' overlap"):
        changed(("z = x", "v = x"), ("x + y", "y"))
