from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from genrec.errors import ConfigError
from genrec.evaluation.comparison import Comparison, compare
from genrec.evaluation.diagnostics import IndexLoss, LevelAccuracy, SearchWidth
from genrec.evaluation.page import Cell, Figure, Section, Table, Text, Tile, Tiles, render_page, write_page
from genrec.evaluation.plots import Series, line_plot, scatter_plot, short
from genrec.evaluation.protocol import EvaluationSet
from genrec.evaluation.report import ReportData, RunFacts, report_sections, report_title, write_all
from genrec.evaluation.tokenizer_quality import TokenizerQuality, quality_section

VOID = {"meta", "link", "br", "img", "input", "hr"}
EVIL = "<script>alert('x')</script> & $5 \"quoted\""


class Checker(HTMLParser):
    """Balanced tags, unique ids, ids that references point to, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.handle_attributes(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_attributes(attrs)

    def handle_attributes(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def check(html: str) -> Checker:
    """Raise unless the page is well formed, self-contained, and refers only to itself."""
    checker = Checker()
    checker.feed(html)
    assert not checker.open
    assert len(checker.ids) == len(set(checker.ids))
    references = [a[1:] for a in checker.addresses if a.startswith("#")] + re.findall(
        r"url\(#([^)]*)\)", html
    )
    assert set(references) <= set(checker.ids)
    assert all(a.startswith(("#", "data:")) for a in checker.addresses)
    assert not {"script", "iframe", "object", "embed"} & checker.tags
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    return checker


@pytest.fixture
def data(cases: EvaluationSet, comparison: Comparison) -> ReportData:
    tokenizer = TokenizerQuality(
        "RQ-k-means",
        {"Collision rate": 0.0831, "Items": 1682},
        [np.array([5, 3, 0, 2]), np.array([1, 9, 0, 0])],
        [1.0, 0.5, 0.4],
        {"genre": [0.4, 0.6]},
        {"genre": [0.3, 0.5]},
        {"training": ([0, 1, 2], [3.0, 2.0, 1.0])},
        {EVIL: "1-2"},
    )
    return ReportData(
        RunFacts("tiny", "split loo", "0.1.0", "today", {"Model": EVIL}),
        cases,
        comparison,
        labels={"ease": EVIL},
        search=[SearchWidth(w, 0.1 * w, 0.9, 0.2 * w) for w in (2, 1)] + [SearchWidth(None, 0.3, 1.0, 3.0)],
        levels=[LevelAccuracy(1, 0.4, 60), LevelAccuracy(2, 0.5, 24, 0.1, 36)],
        index=[IndexLoss("IVF", 0.05, 0.06, 0.9, 0.1, 0.2)],
        tokenizer=tokenizer,
    )


def test_the_whole_report_is_self_contained_and_escaped(data: ReportData, tmp_path: Path) -> None:
    path = write_all(tmp_path, data, extra={"tokenizer/collision_rate": 0.0831})
    html = path.read_text(encoding="utf-8")
    checker = check(html)
    assert {"table", "svg", "details"} <= checker.tags
    for section in report_sections(data):
        assert section.anchor in checker.ids
    assert "alert(&#39;x&#39;)" in html
    assert "#010a" not in html  # every marker colour has become a variable of the page
    assert "#010b" not in html
    for e in data.comparison.evaluations:
        assert f">{e.summary['ndcg@10']:.4f}<" in html
    numbers = json.loads((tmp_path / "metrics.json").read_text())
    assert numbers["tokenizer/collision_rate"] == 0.0831
    assert numbers["search/exact/ndcg"] == 0.3
    assert numbers["levels/2/wrong_prefix"] == 0.1
    assert (tmp_path / "metrics.csv").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.csv", "metrics.json", "report.html"]


def test_sections_without_data_are_left_out(data: ReportData) -> None:
    bare = replace(data, search=(), levels=(), index=(), tokenizer=None, embedding="nobody")
    titles = {s.title for s in report_sections(bare)}
    gone = {s.title for s in report_sections(data)} - titles
    assert gone == {
        "Exact search against beams",
        "Accuracy by level",
        "Index against exact dot product",
        "Tokenizer quality",
        "Overlap of hits",
    }
    check(render_page("bare", report_sections(bare)))


def test_a_report_without_a_tokenizer_does_not_speak_of_generation(data: ReportData) -> None:
    assert report_title(data) == "Recall on tiny: generative, embedding and the classics"
    assert report_title(replace(data, tokenizer=None)) == "Recall on tiny: recallers compared"


def test_one_method_under_one_masking_makes_a_report(data: ReportData) -> None:
    only = data.comparison.get("generative", False)
    assert only is not None
    alone = replace(data, comparison=compare([only], "test", n=50))
    html = render_page("alone", report_sections(alone))
    check(html)
    assert "history not masked" in html


def test_equal_data_give_equal_bytes() -> None:
    series = [Series("a", [1, 2], [0.1, 0.2], 0, low=[0, 0.1], high=[0.2, 0.3])]
    assert line_plot(series, "x", "y") == line_plot(series, "x", "y")


def test_the_headline_cut_off_must_be_measured(data: ReportData) -> None:
    with pytest.raises(ConfigError, match=r"ReportData\.k must be one of the cut-offs \(5, 10\), got 7"):
        replace(data, k=7)


def test_a_page_of_every_block(tmp_path: Path) -> None:
    svg = line_plot([Series(EVIL, [1, 2], [0.1, 0.2], 0, low=[0, 0.1], high=[0.2, 0.3])], EVIL, "y")
    blocks = (
        Text(EVIL),
        Tiles((Tile(EVIL, "1"),)),
        Table((EVIL, "b"), ((EVIL, Cell("2", "best", EVIL)),), EVIL),
        Table(("a",), (("1",),), title="more", folded=True),
        Figure(EVIL, svg, EVIL, numbers=Table(("a",), (("1",),))),
    )
    path = write_page(tmp_path / "page.html", EVIL, [Section("One", blocks, EVIL), Section("Two", ())])
    check(path.read_text(encoding="utf-8"))


def test_rows_must_fit_the_columns() -> None:
    with pytest.raises(ValueError, match="does not fit the columns"):
        Table(("a", "b"), (("1",),))


def test_quality_without_figures_says_so() -> None:
    check(render_page("t", [quality_section(TokenizerQuality("none"))]))


def test_labels_of_crowded_points_do_not_share_a_place() -> None:
    points = [Series(f"m{i}", [1.0], [0.5], i) for i in range(4)]
    texts = re.findall(
        r'<text [^>]*transform="[^"]*">m\d</text>|<text [^>]*>m\d</text>', scatter_plot(points, "x", "y")
    )
    places = {re.sub(r">m\d<", "", text) for text in texts}
    assert len(texts) == len(places) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0812345, "0.0812"),
        (0.0012345, "0.0012"),
        (12.0, "12"),
        (3412.0, "3.41k"),
        (52_345.0, "52k"),
    ],
)
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text
