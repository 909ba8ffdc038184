"""Files of prompts: text files and tables, and what is refused with its line."""

import pytest

from scratchmm.apps.image_studio.prompt_table import read_table


def test_prompts_end_where_lines_do_and_nowhere_else(tmp_path):
    """A form feed, U+2028 or NEL is part of a prompt; LF, CR LF and CR end one."""
    path = tmp_path / "p.txt"
    path.write_bytes("a red\u2028ring\r\n# a note\n\na\x0cstar\x85 here\rlast\n".encode())
    assert read_table(path) == [
        {"prompt": prompt} for prompt in ("a red\u2028ring", "a\x0cstar\x85 here", "last")
    ]


@pytest.mark.parametrize("name", ["p.tsv", "P.TSV", "p.Tsv"])
def test_a_table_of_prompts_is_one_in_any_case(tmp_path, name):
    path = tmp_path / name
    path.write_text("prompt\tseed\na red\x0cring\t7\n", encoding="utf-8")
    assert read_table(path) == [{"prompt": "a red\x0cring", "seed": 7}]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("p.tsv", "prompt\tprompt\na\tb\n", "names the column 'prompt' 2 times"),
        ("p.tsv", "prompt\tseeds\na\t1\n", "has the columns prompt, seeds: prompt, and any of"),
        ("p.txt", "prompt\tseed\na\t7\n", "has a tab in .*: a table has to be called .tsv"),
        ("p.txt", "a ring\n".encode("utf-16"), "is not UTF-8: .* it is UTF-16"),
        ("p.txt", "# only a note\n", "has no prompt in it"),
        ("p.tsv", "", "has no prompt in it"),
    ],
)
def test_prompts_that_would_be_left_out_are_refused(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=sentence):
        read_table(tmp_path / name)
