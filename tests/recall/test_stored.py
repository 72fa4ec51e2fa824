"""What was trained before, in the place of what is trained now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from battery import assert_same, catalogue, checkerboard

from genrec.data.splits import LeaveOneOut, Part
from genrec.data.tables import Dataset, Interactions, UserTable
from genrec.errors import ArtifactError
from genrec.recall.ease import Ease
from genrec.recall.store import Origin, load_recaller, save_recaller
from genrec.recall.stored import Stored

EVENTS = checkerboard()
ITEMS = catalogue(EVENTS.n_items)
DATA = Dataset("board", EVENTS, ITEMS, UserTable(pd.DataFrame({"user_id": range(EVENTS.n_users)})), "c" * 64)
SPLIT = LeaveOneOut()(EVENTS)
EVERYONE = np.arange(EVENTS.n_users, dtype=np.int32)
PARTS: tuple[Part, ...] = ("valid", "test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """EASE for both parts."""
    for part in PARTS:
        fitted = Ease(l2=5.0).fit(SPLIT.before(part), ITEMS)
        save_recaller(tmp_path / part, fitted, Origin.of(DATA, SPLIT, part), rerun="python train_it.py")
    return tmp_path


@pytest.mark.parametrize("part", PARTS)
def test_the_recaller_that_learned_from_these_events_is_found(folder: Path, part: Part) -> None:
    train = SPLIT.before(part)
    stored = Stored(str(folder))
    assert stored.fit(train, ITEMS) is stored
    assert stored.part == part
    for exclude_seen in (True, False):
        assert_same(
            stored.recommend(EVERYONE, 9, exclude_seen=exclude_seen),
            Ease(l2=5.0).fit(train, ITEMS).recommend(EVERYONE, 9, exclude_seen=exclude_seen),
        )


def test_one_part_is_enough_for_that_part(folder: Path) -> None:
    for path in (folder / "valid").iterdir():
        path.unlink()
    Stored(str(folder)).fit(SPLIT.before("test"), ITEMS)
    with pytest.raises(ArtifactError, match="trained on other events"):
        Stored(str(folder)).fit(SPLIT.train, ITEMS)


def test_other_events_are_refused_with_the_command_that_helps(folder: Path) -> None:
    other = SPLIT.train.take(slice(1, None))
    with pytest.raises(
        ArtifactError, match=r"trained on other events .* run `python train_it\.py` again"
    ) as error:
        Stored(str(folder)).fit(other, ITEMS)
    assert str(folder) in str(error.value)
    with pytest.raises(
        ArtifactError, match=r"no recaller in .*gone; run `python experiments/train_recall\.py"
    ):
        Stored(str(folder / "gone")).fit(SPLIT.train, ITEMS)


def test_a_damaged_file_is_refused(folder: Path) -> None:
    (weights,) = (folder / "valid").glob("weights-*.npy")
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match="changed or damaged"):
        Stored(str(folder)).fit(SPLIT.train, ITEMS)


def test_it_can_be_stored_itself_and_notices_that_what_it_stands_for_is_another(folder: Path) -> None:
    train: Interactions = SPLIT.train
    stored = Stored(str(folder)).fit(train, ITEMS)
    save_recaller(folder / "again", stored, Origin.of(DATA, SPLIT, "valid"))
    loaded = load_recaller(folder / "again", train)
    assert isinstance(loaded, Stored)
    assert_same(loaded.recommend(EVERYONE, 9), stored.recommend(EVERYONE, 9))
    save_recaller(folder / "valid", Ease(l2=99.0).fit(train, ITEMS), Origin.of(DATA, SPLIT, "valid"))
    with pytest.raises(ArtifactError, match="was made from"):
        load_recaller(folder / "again", train)


def test_the_origin_names_everything(folder: Path) -> None:
    inputs = Origin.of(DATA, SPLIT, "valid").inputs
    assert inputs["dataset"] == {"path": "board", "hash": DATA.content_hash}
    assert inputs["split"] == {"path": "loo", "hash": SPLIT.hash}
    assert inputs["events"] != Origin.of(DATA, SPLIT, "test").inputs["events"]
    assert set(inputs) == {"dataset", "split", "events"}
