"""Several runs of one experiment that differ in their seed, as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

MASKINGS = {"unmasked": "history not masked", "masked": "history masked"}


def over_seeds(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of every figure that all runs have, and its standard deviation over runs under `<figure>/std`.

    A figure's interval (`/low`, `/high`) is averaged too: it says how far users, not seeds, could move it.
    """
    shared = [name for name in runs[0] if all(name in run for run in runs)]
    found = {}
    for name in shared:
        values = [run[name] for run in runs]
        found[name] = fmean(values)
        if not name.endswith(("/low", "/high")):
            found[f"{name}/std"] = stdev(values) if len(values) > 1 else 0.0
    return found


def seeds_table(figures: Mapping[str, float], k: int, part: str = "test") -> str:
    """Recall and NDCG at a cut-off, mean and standard deviation over seeds, best NDCG first.

    Args:
        figures: of `over_seeds`, keys `<part>/<method>/<masked|unmasked>/<metric>@<k>`.
        k: the cut-off.
        part: of the split.
    """
    lines = []
    for masking, heading in MASKINGS.items():
        end = f"/{masking}/ndcg@{k}"
        methods = [
            name[len(part) + 1 : -len(end)]
            for name in figures
            if name.startswith(f"{part}/") and name.endswith(end)
        ]
        if not methods:
            continue
        lines.append(
            f"{part}, {heading:<18} {'recall@' + str(k):>16} {'ndcg@' + str(k):>16} {'interval':>15}"
        )
        for method in sorted(methods, key=lambda name: -figures[f"{part}/{name}{end}"]):
            recall, ndcg = (f"{part}/{method}/{masking}/{metric}@{k}" for metric in ("recall", "ndcg"))
            lines.append(
                f"  {method:<22} {_with_spread(figures, recall):>16} {_with_spread(figures, ndcg):>16}"
                f" {figures[f'{ndcg}/low']:>7.4f}-{figures[f'{ndcg}/high']:.4f}"
            )
    return "\n".join(lines)


def _with_spread(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.4f} ± {figures[f'{name}/std']:.4f}"
