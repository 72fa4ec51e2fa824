"""The recall report: what is in it, in which order, and the files it is written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genrec.errors import ConfigError
from genrec.evaluation import breakdown, diagnostics, overview
from genrec.evaluation.comparison import Comparison, flat_metrics, write_metrics, write_table
from genrec.evaluation.diagnostics import IndexLoss, LevelAccuracy, SearchWidth
from genrec.evaluation.page import Section, write_page
from genrec.evaluation.protocol import EvaluationSet
from genrec.evaluation.slices import by_familiarity
from genrec.evaluation.tokenizer_quality import TokenizerQuality, quality_section
from genrec.evaluation.view import View


@dataclass(frozen=True)
class RunFacts:
    """Where the numbers come from.

    Attributes:
        dataset: its name.
        split: the split in one line, as `str(split)` gives it: protocol, tie rule, seed, hash.
        code_version: of genrec.
        created: date and time, as text.
        settings: further facts to print: model, tokenizer, training time, hashes, machine.
    """

    dataset: str
    split: str
    code_version: str
    created: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportData:
    """Everything the report shows; a section whose data is None or empty is left out.

    Attributes:
        facts: provenance.
        cases: the users and targets all evaluations are of.
        comparison: from `compare`; its reference is the generative method, where there is one.
        k: cut-off of the headline figures, one of the comparison's.
        embedding: method whose hits are overlapped with the reference's.
        labels: method -> name in print; the method itself where missing.
        search: exact and beam search by width.
        levels: accuracy per level of the generative model.
        index: approximate indices against exact dot product.
        tokenizer: quality of the semantic ids.
    """

    facts: RunFacts
    cases: EvaluationSet
    comparison: Comparison
    k: int = 10
    embedding: str = "embedding"
    labels: Mapping[str, str] = field(default_factory=dict)
    search: Sequence[SearchWidth] = ()
    levels: Sequence[LevelAccuracy] = ()
    index: Sequence[IndexLoss] = ()
    tokenizer: TokenizerQuality | None = None

    def __post_init__(self) -> None:
        if self.k not in self.comparison.ks:
            raise ConfigError(f"ReportData.k must be one of the cut-offs {self.comparison.ks}, got {self.k}")


def report_sections(data: ReportData) -> list[Section]:
    """All sections that have data."""
    view = View(data.cases, data.comparison, data.k, data.labels)
    facts = {
        "Dataset": data.facts.dataset,
        "Split": data.facts.split,
        "Part": data.comparison.part,
        "Code version": data.facts.code_version,
        "Created": data.facts.created,
        **data.facts.settings,
    }
    found: list[Section | None] = [
        overview.summary(view),
        overview.main_tables(view),
        overview.differences(view),
        breakdown.recall_by_cutoff(view),
        breakdown.recall_by_group(view),
        breakdown.cold(view),
        breakdown.overlap_of_hits(view, data.embedding),
        breakdown.latency(view),
        diagnostics.search_section(data.search, data.k),
        diagnostics.level_section(data.levels),
        diagnostics.index_section(data.index, data.k),
        quality_section(data.tokenizer) if data.tokenizer else None,
        overview.provenance(view, facts),
    ]
    return [section for section in found if section is not None]


def report_title(data: ReportData) -> str:
    """What the report is about."""
    compared = "generative, embedding and the classics" if data.tokenizer else "recallers compared"
    return f"Recall on {data.facts.dataset}: {compared}"


def write_report(folder: Path, data: ReportData) -> Path:
    """Write `report.html` into `folder`; returns its path."""
    facts = data.facts
    subtitle = f"{data.comparison.part} part · {facts.split} · genrec {facts.code_version} · {facts.created}"
    return write_page(folder / "report.html", report_title(data), report_sections(data), subtitle)


def write_all(
    folder: Path,
    data: ReportData,
    others: Sequence[Comparison] = (),
    extra: Mapping[str, float] | None = None,
) -> Path:
    """Write `metrics.json`, `metrics.csv` and `report.html` into `folder`; returns the report's path.

    Args:
        data: of the part the report is about.
        others: comparisons of further parts (validation), for the files of numbers only.
        extra: flat numbers to add to `metrics.json`, such as `memory/...` and `tokenizer/...`.
    """
    parts = [data.comparison, *others]
    flat = {name: value for one in parts for name, value in flat_metrics(one).items()}
    flat |= {
        f"{data.comparison.part}/{e.method}/{e.masking}/{name}": value
        for e in data.comparison.evaluations
        for name, value in by_familiarity(e, data.cases, data.k).items()
    }
    write_metrics(
        folder, flat | diagnostics.flat_diagnostics(data.search, data.levels, data.index) | dict(extra or {})
    )
    write_table(folder, parts)
    return write_report(folder, data)
