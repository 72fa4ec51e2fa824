"""The command line in this process: what is accepted, what it means, and every refusal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from outcome import Run

LEAF = "configs/leaf.gin"


def test_a_leaf_of_two_axes_with_a_macro_and_a_reference(run: Run) -> None:
    facts = run(LEAF).facts
    assert facts["dataset"] == "tiny"
    assert facts["encoder"] == ["Mlp", 5, [2, 3]]
    assert facts["batch_size"] == 64


def test_the_command_line_overrides_files_and_flags_override_it(run: Run) -> None:
    facts = run(
        LEAF,
        "train.batch_size=8",
        "parts.Mlp.hidden=[9]",
        "DATASET='big'",
        "train.out='a'",
        "--out",
        "b",
        "--user",
        "7",
    ).facts
    assert (facts["batch_size"], facts["encoder"][2], facts["dataset"]) == (8, [9], "big")
    assert (facts["out"], facts["user"]) == ("b", 7)


def test_later_files_override_earlier_ones_and_blocks_work(run: Run, files: Path) -> None:
    (files / "more.gin").write_text("train:\n    batch_size = 3\n    users = [1, 2]\n")
    facts = run(LEAF, "more.gin").facts
    assert (facts["batch_size"], facts["users"]) == (3, [1, 2])


def test_a_class_is_passed_on_with_its_bindings_when_it_is_not_called(run: Run) -> None:
    assert run(LEAF, "train.make=@parts.Mlp").facts["made"] == [2, 3]


def test_scopes_and_a_class_that_only_the_command_line_names(run: Run) -> None:
    facts = run(LEAF, "train.encoder=@big/parts.Deep()", "big/parts.Deep.width=50").facts
    assert facts["encoder"] == ["Deep", 50, [1]]
    facts = run(
        LEAF, "import tiny_parts as more", "train.schedule=@more.Schedule()", "more.Schedule.kind='cosine'"
    )
    assert facts.facts["schedule"] == [0, "cosine"]


def test_one_class_under_two_names_is_one_class(run: Run, files: Path) -> None:
    (files / "two.gin").write_text(
        "from __gin__ import dynamic_registration\nimport tiny_parts\ninclude 'configs/leaf.gin'\n"
        "tiny_parts.Mlp.hidden = (7,)\nparts.Mlp.rate = 0.25\n"
    )
    assert run("two.gin").facts["encoder"] == ["Mlp", 5, [7]]


def test_a_name_that_means_two_modules_is_refused(run: Run, files: Path) -> None:
    (files / "clash.gin").write_text("import json as parts\ninclude 'configs/leaf.gin'\n")
    assert "parts already means json" in run("clash.gin").error


def test_includes_are_found_beside_the_file_and_above_it(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "configs" / "near.gin").write_text("include 'leaf.gin'\n")
    elsewhere = files / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run(str(files / "configs" / "near.gin")).facts["dataset"] == "tiny"


REFUSALS = [
    ("train.batch_size='abc'", "train.batch_size = 'abc' (--gin): expected int"),
    ("train.batch_size=True", "train.batch_size = True (--gin): expected int"),
    ("train.batch_size=1.0", "train.batch_size = 1.0 (--gin): expected int"),
    ("train.batch_size=None", "train.batch_size = None (--gin): expected int"),
    ("train.users=[1, 'a']", "train.users = [1, 'a'] (--gin): expected list[int] | None"),
    ("train.encoder='mlp'", "train.encoder = 'mlp' (--gin): expected tiny_parts.Encoder"),
    ("train.schedule=@parts.Mlp()", "expected tiny_parts.Schedule"),
    ("train.schedule=@parts.Schedule", "expected tiny_parts.Schedule"),
    ("train.make=@parts.Mlp()", "expected collections.abc.Callable"),
    ("train.dataset=@parts.Mlp()", "expected str"),
    ("parts.Mlp.hidden='12'", "parts.Mlp.hidden = '12' (--gin): expected collections.abc.Sequence[int]"),
    ("train.schedule=@parts.two()", "expected tiny_parts.Schedule"),
    ("train.batch_sise=1", "--gin: train has no parameter batch_sise; did you mean batch_size?"),
    ("parts.Mlp.qqq=1", "--gin: parts.Mlp has no parameter qqq; it has width, hidden, rate"),
    ("parts.Mpl.width=1", "parts.Mpl is unknown: tiny_parts has no Mpl; did you mean Mlp?"),
    ("part.Mlp.width=1", "nothing named part is known for part.Mlp; did you mean parts?"),
    ("rqvae.RqVae.width=1", "import its module with: import PACKAGE.MODULE as rqvae"),
    ("trian.dataset='x'", "did you mean train?"),
    ("parts.LIMIT.x=1", "parts.LIMIT is neither a class nor a function"),
    ("train.encoder=@parts.Mpl()", "did you mean Mlp?"),
    ("train.dataset=%DATASTE", "train.dataset: no macro %DATASTE is defined; did you mean DATASET?"),
    ("train.dataset=%NOTHING", "define it with a line NOTHING = VALUE"),
    ("train.dataset=%gin.REQUIRED", "train.dataset is marked as required; bind it"),
    ("parts.Mlp.rate=@parts.rate()", "parts.rate is unknown"),
    ("train.encoder=@parts.Pair()", "parts.Pair.parts is not bound; add a line parts.Pair.parts = VALUE"),
    ("train.dataset=ml1m", "ml1m is not a value; a text needs quotes"),
    ("train.users=[1", "close the bracket or the quotes"),
    ("import nonsense.module", "cannot import nonsense.module"),
    ("DATASET=%DATASET", "the macro %DATASET is defined by itself"),
    ("parts.Mlp.width=0", "Mlp.width is 0; it must be 1 or more"),
    ("--frobnicate", "unrecognized arguments: --frobnicate"),
    ("--user=seven", "invalid int value: 'seven'"),
    ("train.fault='data'", "ratings.csv has no column 'timestamp'; add it"),
    ("train.fault='disk'", "the disk is full"),
    ("train.fault='memory'", "out of memory"),
]


@pytest.mark.parametrize(("argument", "sentence"), REFUSALS, ids=[argument for argument, _ in REFUSALS])
def test_every_refusal_is_one_line_that_names_the_cause(run: Run, argument: str, sentence: str) -> None:
    outcome = run(LEAF, argument)
    assert outcome.code == 2
    assert outcome.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", outcome.error), outcome.error
    assert sentence in outcome.error


def test_what_needs_itself_is_refused_and_a_scope_helps(run: Run) -> None:
    assert (
        "chain.encoder = @tiny_parts.chain() needs itself"
        in run(LEAF, "train.encoder=@parts.chain()", "parts.chain.encoder=@parts.chain()").error
    )
    scoped = [
        "train.encoder=@parts.chain()",
        "parts.chain.encoder=@in/parts.chain()",
        "in/parts.chain.encoder=@parts.Mlp()",
    ]
    assert run(LEAF, *scoped).facts["encoder"] == ["Mlp", 5, [2, 3]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "include 'configs/leaf.gin'\n\ntrain.batch_size = 'x'",
            "train.batch_size = 'x' (bad.gin:3): expected int",
        ),
        (
            "include 'configs/leaf.gin'\ntrain:\n  users = None\n  batch_size = 'x'\n",
            "(bad.gin:4): expected int",
        ),
        ("train.users = [1,\n  @a.b(),\n  2]", "bad.gin:2: nothing named a is known for a.b"),
        (
            "include 'configs/leef.gin'",
            "bad.gin:1: there is no file configs/leef.gin; did you mean leaf.gin?",
        ),
        ("include 'bad.gin'", "bad.gin includes itself"),
        ("train.users = [", "bad.gin:2: "),
        ("train.batch_size 3", "bad.gin:1: "),
        ("train:\nbatch_size = 3", "bad.gin:2: "),
        ("A = %B", "bad.gin:1: A: no macro %B is defined"),
        (
            "import tiny_parts as parts\nparts.Pair.parts = [@parts.Schedule()]",
            "(bad.gin:2): expected list[tiny_parts.Mlp]",
        ),
        ("train.batch_size = 1", "train.dataset is not bound"),
    ],
)
def test_errors_in_files_name_file_and_line(run: Run, files: Path, text: str, sentence: str) -> None:
    (files / "bad.gin").write_text(text)
    outcome = run("bad.gin")
    assert outcome.code == 2
    assert sentence in outcome.error
    assert outcome.error.count("\n") == 1


def test_a_file_that_is_missing_or_no_text_is_named(run: Run, files: Path) -> None:
    assert "there is no file configs/laef.gin; did you mean leaf.gin?" in run("configs/laef.gin").error
    (files / "binary.gin").write_bytes(b"\xff\xfe\x00")
    assert "binary.gin is not a UTF-8 text file" in run("binary.gin").error


def test_a_byte_order_mark_and_windows_lines_are_read(run: Run, files: Path) -> None:
    (files / "dos.gin").write_bytes(b"\xef\xbb\xbfinclude 'configs/leaf.gin'\r\ntrain.batch_size = 2\r\n")
    assert run("dos.gin").facts["batch_size"] == 2


def test_an_interrupt_says_how_to_go_on(run: Run) -> None:
    outcome = run(LEAF, "train.fault='interrupt'")
    assert outcome.code == 130
    assert "run the same command again to resume" in outcome.error


@pytest.mark.parametrize(("fault", "error"), [("bug", IndexError), ("io", OSError)])
def test_bugs_keep_their_traceback(run: Run, fault: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(LEAF, f"train.fault='{fault}'")


def test_help_lists_flags_and_parameters_with_defaults(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        run("--help")
    assert done.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for said in (
        "Trains a tiny thing.",
        "--gin BINDING",
        "--out DIR binds train.out",
        "--user USER one 100% raw id.",
        "dataset: str (required) its name, or its folder.",
        "learning_rate: float (= 0.001)",
    ):
        assert said in text
    assert "first paragraph" not in text


def test_the_hash_is_of_what_changes_results(run: Run, files: Path) -> None:
    def hashed(*arguments: str) -> str:
        return str(run(*arguments).facts["hash"])

    base = hashed(LEAF)
    (files / "flat.gin").write_text(
        "import tiny_parts\ntrain.encoder = @tiny_parts.Mlp()\ntiny_parts.Mlp.hidden = (2, 3)\n"
        "tiny_parts.Mlp.width = 5\ntrain.dataset = 'tiny'\n"
    )
    assert hashed("flat.gin") == base, "macros, names and order do not matter"
    assert hashed(LEAF, "train.batch_size=64") == base, "a repeated default does not matter"
    assert hashed(LEAF, "--out", "x") == base, "what is excluded does not matter"
    changed = [
        hashed(LEAF, change)
        for change in (
            "train.batch_size=65",
            "DATASET='x'",
            "parts.Mlp.rate=0.1",
            "parts.Deep.width=1",
            "parts.Mlp.width=6",
        )
    ]
    assert len({base, *changed}) == 6
