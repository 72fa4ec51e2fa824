"""A generative model in a comparison: its methods, and what the report can say of it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genrec.bench import Bench, index_losses, level_accuracy, model_methods, search_widths, tokenizer_quality
from genrec.evaluation.report import ReportData
from genrec.generative.store import Model
from genrec.recall.base import Recaller, ScoringRecaller
from genrec.recall.hybrid import HybridRecaller
from genrec.recall.vector_index import VectorIndex
from genrec.tokenizer.store import StoredIds


@dataclass(frozen=True)
class Entrant:
    """A generative model that takes part in a comparison.

    Attributes:
        ids: the semantic ids that it generates.
        model: trained on them.
        width: beam width of its methods.
        memory: what its hybrid consults beside it.
    """

    ids: StoredIds
    model: Model
    width: int
    memory: ScoringRecaller | None = None

    def methods(self, bench: Bench) -> dict[str, Recaller]:
        """The ways in which it recalls."""
        return model_methods(self.model, bench, self.width, self.memory)

    def facts(self, methods: Mapping[str, Recaller]) -> dict[str, str]:
        """What the report's last section says about it and its hybrid."""
        facts = {
            "Semantic ids": f"{self.ids.folder}, identity {self.ids.identity[:12]}",
            "Model": ", ".join(f"{name}={value}" for name, value in self.model.settings.items()),
            "Parameters": f"{sum(p.numel() for p in self.model.parameters()):,}",
        }
        hybrid = methods.get("hybrid")
        if isinstance(hybrid, HybridRecaller):
            chosen = ", ".join(f"{name} {weight:g}" for name, weight in hybrid.weights._asdict().items())
            facts["Hybrid"] = f"weights chosen on validation: {chosen}"
            if hybrid.memory is not None:
                facts["Memory of the hybrid"] = type(hybrid.memory).__name__
        return facts

    def figures(self) -> dict[str, float]:
        """Quality of its ids, for `metrics.json`."""
        return {f"tokenizer/{name}": value for name, value in self.ids.ids.quality.items()}

    def probed(
        self, report: ReportData, bench: Bench, widths: Sequence[int], indices: Mapping[str, VectorIndex]
    ) -> ReportData:
        """The report with what can be said about its search, its levels, its vectors and its ids."""
        return replace(
            report,
            search=search_widths(self.model, bench, widths),
            levels=level_accuracy(self.model, bench),
            index=index_losses(self.model, bench, indices),
            tokenizer=tokenizer_quality(self.ids, bench.items),
        )
