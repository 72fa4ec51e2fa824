"""The spaces as shipped: each is of a recaller's own arguments and holds its settings on every dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import gin
import pytest

from genrec import config
from genrec.config.options import Named
from genrec.config.overrides import overrides
from genrec.features.base import ItemEncoder
from genrec.recall.base import Recaller
from genrec.recall.space import Space, Value
from genrec.recall.tuning import defaults, proposed, variant

ROOT = Path(__file__).resolve().parents[2]
SPACES = "configs/recall/spaces"
READS_AN_ARTIFACT = {"prefix_knn"}  # only a leaf says where it is
CASES = [
    (path.stem, leaf)
    for path in sorted(ROOT.glob(f"{SPACES}/*.gin"))
    for leaf in (
        *(() if path.stem in READS_AN_ARTIFACT else ("configs/data/ml100k.gin",)),
        *(one.relative_to(ROOT).as_posix() for one in sorted(ROOT.glob(f"configs/recall/*/{path.stem}.gin"))),
    )
    if Path(leaf).parent.name != "spaces"
]


@pytest.fixture(autouse=True)
def _clean_gin() -> Iterator[None]:
    yield
    gin.clear_config()


SEEN: list[tuple[dict[str, Value], dict[str, Value], str]] = []
"""Of each run: settings, other settings, and the gin file that makes the other ones."""


def train(
    *,
    model: str,
    dataset: str,
    recaller: Recaller,
    space: Mapping[str, Space],
    dataset_folder: str | None = None,
    dataset_split: str | None = None,
    features: ItemEncoder | None = None,
    semantic_ids_path: str | None = None,
) -> None:
    """Stands for the script's."""
    start = defaults(recaller, space)
    values = proposed(space, [], seed=1)
    made = variant(recaller, values)
    assert type(made) is type(recaller)
    assert defaults(made, space) == values
    SEEN.append((start, values, overrides(train, "recaller", recaller, values)))


@pytest.mark.parametrize(("model", "leaf"), CASES)
def test_a_space_holds_the_settings_and_others_can_be_bound(
    model: str, leaf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SEEN.clear()
    options: dict[str, type | Named] = {"model": Named(SPACES)}
    line = ["--model", model, str(ROOT / leaf)]
    assert config.main(train, description=None, options=options, argv=line) == 0, capsys.readouterr().err
    _, values, text = SEEN[0]
    best = tmp_path / "best.gin"
    best.write_text(text, "utf-8")
    again = config.main(train, description=None, options=options, argv=[*line, str(best)])
    assert again == 0, capsys.readouterr().err
    assert SEEN[1][0] == values
