"""Recallers as artifacts: settings without pickle, what is learned bit for bit, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from battery import assert_same, catalogue, checkerboard
from numpy.typing import NDArray

from genrec.artifacts import MANIFEST, input_ref
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ArtifactError, ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.base import ScoringRecaller
from genrec.recall.ease import Ease
from genrec.recall.itemknn import ItemKnn
from genrec.recall.neural import Training
from genrec.recall.popularity import Popularity
from genrec.recall.storable import Storable, walk
from genrec.recall.store import (
    Origin,
    check_storable,
    events_hash,
    finished,
    load_recaller,
    save_recaller,
)
from genrec.recall.vector_index import FaissIndex, VectorIndex
from genrec.recall.vectors import VectorRecaller

TRAIN = checkerboard()
ITEMS = catalogue(TRAIN.n_items)
EVERYONE = np.arange(TRAIN.n_users, dtype=np.int32)


def origin(events: Interactions = TRAIN) -> Origin:
    return Origin("test", {"events": input_ref("before test", events_hash(events))})


class Everything(ScoringRecaller):
    """Has an attribute of every kind that can be stored."""

    learned: ClassVar[tuple[str, ...]] = (
        "table",
        "columns",
        "sparse",
        "tensors",
        "empty",
        "plain",
        "missing",
    )

    def __init__(self, knobs: Training, values: Sequence[float], batch_size: int = 256) -> None:
        super().__init__(batch_size)
        self.knobs, self.values = knobs, values

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        self.table = train.matrix().toarray()
        self.columns = np.asfortranarray(self.table)
        self.sparse = train.matrix()
        self.tensors = {"a": torch.eye(2, dtype=torch.float64), "b": torch.tensor(3)}
        self.empty = np.empty((0, 3), dtype=np.float32)
        self.plain = (1, "two", [3.5, None])
        self.missing = None

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return self.table[users] + np.asarray((self.sparse[users]).toarray(), np.float32)


class Vectors(VectorRecaller):
    """Random vectors."""

    def _learn(
        self, train: Interactions, items: ItemTable, features: ItemFeatures | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = np.random.default_rng(0)
        users = rng.standard_normal((train.n_users, 4)).astype(np.float32)
        return users, rng.standard_normal((train.n_items, 4)).astype(np.float32)


class Mean(ScoringRecaller):
    """Mean of the scores of others, which learn from every second event."""

    parts: ClassVar[tuple[str, ...]] = ("members", "spare")

    def __init__(self, members: Mapping[str, ScoringRecaller], half: bool = False) -> None:
        super().__init__()
        self.members, self.half = members, half
        self.spare = Popularity()  # not an argument

    def _fit(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> None:
        for one in (*self.members.values(), self.spare):
            one.fit(train.take(np.arange(0, len(train), 2)) if self.half else train, items, features)

    def _score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.mean([one.scores(users) for one in (*self.members.values(), self.spare)], axis=0)


class Forgetful(Popularity):
    """Does not keep its argument."""

    def __init__(self, size: int) -> None:
        super().__init__()


class Doubling(Popularity):
    """Keeps something else under the name of its argument."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = 2 * size


class Greedy(Popularity):
    """Takes anything."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()


class Held(Popularity):
    """Holds what it is given."""

    def __init__(self, held: object) -> None:
        super().__init__()
        self.held = held


def local() -> Popularity:
    class Local(Popularity):
        """Cannot be found again."""

    return Local()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Forgetful(1), "Forgetful does not keep its argument size"),
        (lambda: Doubling(1), "made from the arguments it keeps, is not what it was"),
        (lambda: Greedy(1), r"Greedy takes \*sizes"),
        (local, "put the class into a module"),
        (lambda: Held(print), "Held.held is <built-in function print>"),
        (lambda: Held(Popularity), "Held.held is <class"),
        (lambda: Held(np.zeros(2)), "Held.held is array"),
        (lambda: Held({1, 2}), "Held.held is {1, 2}"),
        (lambda: Mean({"odd": Odd()}), "Mean.members holds a Odd, which cannot be stored"),  # type: ignore[dict-item]
    ],
)
def test_what_cannot_be_stored_is_refused_before_training(make: Callable[[], Storable], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_storable(make())


class Odd:
    """No recaller."""


def test_everything_learned_is_the_same_after_loading(tmp_path: Path) -> None:
    fitted = Everything(Training(epochs=3), [0.5]).fit(TRAIN, ITEMS)
    manifest = save_recaller(tmp_path, fitted, origin(), config="x = 1", metrics={"test/ndcg@10": 0.5})
    loaded = load_recaller(tmp_path)
    assert isinstance(loaded, Everything)
    assert loaded.knobs.epochs == 3
    assert loaded.values == [0.5]
    for name in ("table", "columns", "empty"):
        array = getattr(loaded, name)
        np.testing.assert_array_equal(array, getattr(fitted, name))
        assert array.dtype == np.float32
    assert loaded.columns.flags.f_contiguous
    assert isinstance(loaded.table.base, np.memmap), "arrays stay on the disk"
    assert isinstance(loaded.sparse, sp.csr_array)
    np.testing.assert_array_equal(loaded.sparse.toarray(), fitted.sparse.toarray())
    torch.testing.assert_close(loaded.tensors, fitted.tensors, rtol=0, atol=0)
    assert (loaded.plain, loaded.missing) == (fitted.plain, None)
    np.testing.assert_array_equal(loaded.histories.timestamps, TRAIN.timestamps)
    assert_same(loaded.recommend(EVERYONE, 9), fitted.recommend(EVERYONE, 9))
    assert manifest.facts == {"class": f"{__name__}:Everything", "part": "test"}
    assert manifest.metrics == {"test/ndcg@10": 0.5}
    loaded.table[:] = 7.0  # nobody should, but the file must not change
    assert_same(load_recaller(tmp_path).recommend(EVERYONE, 9), fitted.recommend(EVERYONE, 9))  # type: ignore[attr-defined]


def test_events_without_times_and_ratings(tmp_path: Path) -> None:
    train = Interactions(TRAIN.users, TRAIN.items, TRAIN.n_users, TRAIN.n_items)
    fitted = Ease(l2=5.0).fit(train, ITEMS)
    save_recaller(tmp_path, fitted, origin(train))
    loaded = load_recaller(tmp_path, train)
    assert loaded.histories.timestamps is None
    assert_same(loaded.recommend(EVERYONE, 9), fitted.recommend(EVERYONE, 9))  # type: ignore[attr-defined]


@pytest.mark.parametrize("index", [None, FaissIndex("HNSW8", "efSearch=16")], ids=["exact", "hnsw"])
def test_an_index_is_built_again(tmp_path: Path, index: VectorIndex | None) -> None:
    fitted = Vectors(index=index).fit(TRAIN, ITEMS)
    save_recaller(tmp_path, fitted, origin())
    loaded = load_recaller(tmp_path)
    assert isinstance(loaded, Vectors)
    assert type(loaded.index) is type(index)
    assert_same(loaded.recommend(EVERYONE, 9), fitted.recommend(EVERYONE, 9))


@pytest.mark.parametrize("half", [True, False])
def test_recallers_inside_come_with_what_they_learned_and_shared_arrays_are_written_once(
    tmp_path: Path, half: bool
) -> None:
    inner = Mean({"knn": ItemKnn(neighbours=5)}, half=half)
    fitted = Mean({"ease": Ease(l2=5.0), "inner": inner}, half=half).fit(TRAIN, ITEMS)
    assert [place for place, _ in walk(fitted)] == [
        "members.0",
        "members.1.members.0",
        "members.1.spare",
        "members.1",
        "spare",
        "",
    ]
    manifest = save_recaller(tmp_path, fitted, origin())
    written = [name for name in manifest.files if name.endswith("histories.items.npy")]
    assert len(written) == (3 if half else 1), "whole, half, and a quarter of the events"
    loaded = load_recaller(tmp_path)
    assert isinstance(loaded, Mean)
    assert list(loaded.members) == ["ease", "inner"]
    assert_same(loaded.recommend(EVERYONE, 9), fitted.recommend(EVERYONE, 9))
    assert_same(loaded.members["ease"].recommend(EVERYONE, 9), fitted.members["ease"].recommend(EVERYONE, 9))


def test_a_recaller_that_is_not_fitted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Ease\.weights is listed as learned, but nothing has set it"):
        save_recaller(tmp_path, Ease(), origin())
    fitted = Everything(Training(), ()).fit(TRAIN, ITEMS)
    fitted.table = sp.coo_array(fitted.table)  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"Everything\.table is a coo_array"):
        save_recaller(tmp_path, fitted, origin())
    assert not (tmp_path / MANIFEST).exists()


def test_other_events_are_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    save_recaller(tmp_path, Ease().fit(TRAIN, ITEMS), origin(), rerun="python train.py x")
    assert load_recaller(tmp_path, TRAIN) is not None
    with pytest.raises(ArtifactError, match=r"made from events .* run `python train.py x` again"):
        load_recaller(tmp_path, TRAIN.take(slice(0, 9)))
    with pytest.raises(
        ArtifactError, match=r"no recaller artifact in .* run `python experiments/train_recall"
    ):
        load_recaller(tmp_path / "gone")


def test_every_column_of_events_counts() -> None:
    rated = Interactions(
        TRAIN.users,
        TRAIN.items,
        TRAIN.n_users,
        TRAIN.n_items,
        np.ones(len(TRAIN), np.float32),
        TRAIN.timestamps,
    )
    later = np.array(TRAIN.timestamps) + 1
    others = [
        TRAIN,
        rated,
        Interactions(TRAIN.users, TRAIN.items, TRAIN.n_users, TRAIN.n_items),
        Interactions(TRAIN.users, TRAIN.items, TRAIN.n_users, TRAIN.n_items, timestamps=later),
        Interactions(TRAIN.users, TRAIN.items, TRAIN.n_users + 1, TRAIN.n_items, timestamps=TRAIN.timestamps),
        Interactions(
            TRAIN.users, TRAIN.items[::-1], TRAIN.n_users, TRAIN.n_items, timestamps=TRAIN.timestamps
        ),
    ]
    assert len({events_hash(one) for one in others}) == len(others)


class Reader(Popularity):
    """Reads an artifact that changes."""

    content: ClassVar[str] = "a" * 64

    def reads(self) -> dict[str, dict[str, str]]:
        return {"semantic_ids": input_ref("out/ids", self.content)}


def test_an_artifact_that_it_reads_must_be_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_recaller(tmp_path, Reader().fit(TRAIN, ITEMS), origin(), rerun="again")
    load_recaller(tmp_path)
    monkeypatch.setattr(Reader, "content", "b" * 64)
    with pytest.raises(
        ArtifactError, match=r"made from semantic_ids aaaaaaaa .* here it is bbbbbbbb; run `again`"
    ):
        load_recaller(tmp_path)


def test_what_is_finished_is_whole_and_was_made_just_so(tmp_path: Path) -> None:
    recaller = Ease().fit(TRAIN, ITEMS)
    assert finished(tmp_path, origin(), "h") is None
    manifest = save_recaller(tmp_path, recaller, origin(), config_hash="h", metrics={"x": 1.0})
    assert finished(tmp_path, origin(), "h") == manifest
    assert finished(tmp_path, origin(), "other") is None
    assert finished(tmp_path, origin(TRAIN.take(slice(0, 9))), "h") is None
    assert finished(tmp_path, Origin("valid", origin().inputs), "h") is None
    more = {**origin().inputs, "features": input_ref("x", "y")}
    assert finished(tmp_path, Origin("test", more), "h") is None
    (tmp_path / manifest.files["weights.npy"].path).write_bytes(b"damaged")
    assert finished(tmp_path, origin(), "h") is None
    with pytest.raises(ArtifactError, match="changed or damaged"):
        load_recaller(tmp_path)
