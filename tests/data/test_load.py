"""Datasets by name, and the processed form on disk: made once, made again when stale, never half."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from local_site import Site, zipped

import genrec.data.datasets
from genrec.data import store
from genrec.data.download import ZipArchive
from genrec.data.load import load_dataset, prepare
from genrec.data.raw import RawTables
from genrec.data.registry import DatasetSpec, Layout, datasets, find
from genrec.data.tables import NO_TIMESTAMP, Dataset
from genrec.errors import ConfigError, DataError


@dataclass
class Counted:
    """A reader of `events.txt`, lines of `user item`, that counts how often it is asked."""

    calls: list[Path] = field(default_factory=list)

    def __call__(self, folder: Path) -> RawTables:
        self.calls.append(folder)
        pairs = np.loadtxt(folder / "events.txt", dtype=np.int64, ndmin=2)
        times = np.arange(len(pairs), dtype=np.int64)
        times[0] = NO_TIMESTAMP
        ratings = np.ones(len(pairs), np.float32)
        ratings[-1] = np.nan
        items = pd.DataFrame({"item_id": [3, 9, 5], "genres": [["x", "y"], [], ["x"]]})
        return RawTables(pairs[:, 0], pairs[:, 1], items, ratings=ratings, timestamps=times)


@pytest.fixture
def reader() -> Counted:
    return Counted()


@pytest.fixture
def spec(reader: Counted) -> DatasetSpec:
    return DatasetSpec("tiny", "tiny", (Layout(("events.txt",), reader),), advice="events.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "events.txt").write_text("7 9\n2 3\n7 3\n")
    return tmp_path


def contents(dataset: Dataset) -> tuple[object, ...]:
    events = dataset.interactions
    assert events.timestamps is not None
    return (
        events.users.tolist(),
        events.items.tolist(),
        events.timestamps.tolist(),
        dataset.users.ids.tolist(),
        dataset.items.frame["genres"].tolist(),
        dataset.content_hash,
    )


def test_made_once_and_memory_mapped(spec: DatasetSpec, reader: Counted, folder: Path) -> None:
    first, second = prepare(spec, folder), prepare(spec, folder)
    assert len(reader.calls) == 1
    assert contents(first) == contents(second)
    assert contents(first)[:5] == (
        [0, 1, 1],
        [0, 0, 2],
        [1, 2, NO_TIMESTAMP],
        [2, 7],
        [["x", "y"], ["x"], []],
    )
    assert isinstance(second.interactions.users, np.memmap)
    assert second.interactions.users.dtype == second.interactions.items.dtype == np.int32
    assert second.interactions.positions is None


def test_the_tables_on_disk_have_raw_ids_and_nulls(spec: DatasetSpec, folder: Path) -> None:
    prepare(spec, folder)
    table = pd.read_parquet(folder / "processed" / "interactions.parquet")
    assert list(table.columns) == ["user_id", "item_id", "rating", "timestamp", "position"]
    assert table["user_id"].tolist() == [2, 7, 7]
    assert table["item_id"].tolist() == [3, 3, 9]
    assert table.isna().sum().to_dict() == {
        "user_id": 0,
        "item_id": 0,
        "rating": 1,
        "timestamp": 1,
        "position": 3,
    }


def test_changed_raw_files_are_read_again(spec: DatasetSpec, reader: Counted, folder: Path) -> None:
    before = prepare(spec, folder).content_hash
    (folder / "events.txt").write_text("7 9\n2 3\n7 5\n")
    os.utime(folder / "events.txt", ns=(1, 1))
    assert prepare(spec, folder).content_hash != before
    assert len(reader.calls) == 2


def test_the_tables_outlive_the_raw_files(spec: DatasetSpec, reader: Counted, folder: Path) -> None:
    before = prepare(spec, folder)
    (folder / "events.txt").unlink()
    assert contents(prepare(spec, folder)) == contents(before)
    assert len(reader.calls) == 1


@pytest.mark.parametrize(
    "damage", ["cut array", "cut manifest", "no manifest", "other schema", "other dataset"]
)
def test_a_damaged_or_foreign_processed_form_is_made_again(
    spec: DatasetSpec, reader: Counted, folder: Path, damage: str
) -> None:
    before = contents(prepare(spec, folder))  # before its memory-mapped files are damaged
    manifest = folder / "processed" / "manifest.json"
    found = json.loads(manifest.read_text())
    changes: dict[str, Callable[[], object]] = {
        "cut array": lambda: os.truncate(folder / "processed" / "items.npy", 130),
        "cut manifest": lambda: os.truncate(manifest, 20),
        "no manifest": manifest.unlink,
        "other schema": lambda: manifest.write_text(json.dumps(found | {"schema": 0})),
        "other dataset": lambda: manifest.write_text(json.dumps(found | {"name": "other"})),
    }
    changes[damage]()
    assert contents(prepare(spec, folder)) == before
    assert len(reader.calls) == 2


def test_a_full_disk_leaves_the_old_tables(
    spec: DatasetSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(prepare(spec, folder))
    old = (folder / "events.txt").read_text(), (folder / "events.txt").stat().st_mtime_ns
    (folder / "events.txt").write_text("1 3\n")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(store, "_write_interactions", full)
        with pytest.raises(
            DataError, match=r"cannot write .*processed: No space left on device; free disk space"
        ):
            prepare(spec, folder)
    assert {path.name for path in folder.iterdir()} == {"events.txt", "processed", ".lock"}
    (folder / "events.txt").write_text(old[0])
    os.utime(folder / "events.txt", ns=(old[1], old[1]))
    assert contents(prepare(spec, folder)) == before


def test_what_a_killed_process_left_is_cleared(spec: DatasetSpec, folder: Path) -> None:
    (folder / ".new-left" / "fresh").mkdir(parents=True)
    prepare(spec, folder)
    assert not (folder / ".new-left").exists()


def test_of_many_that_want_it_one_makes_it(spec: DatasetSpec, reader: Counted, folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: prepare(spec, folder), range(8)))
    assert len(reader.calls) == 1
    assert len({dataset.content_hash for dataset in found}) == 1


def test_the_next_source_is_tried(site: Site, reader: Counted, tmp_path: Path) -> None:
    site.files["second.zip"] = zipped(tiny__events_txt="1 3\n")
    sources = tuple(
        ZipArchive(site.url(f"{name}.zip"), "tiny", ("events.txt",)) for name in ("first", "second")
    )
    spec = DatasetSpec("tiny", "tiny", (Layout(("events.txt",), reader),), sources)
    assert len(prepare(spec, tmp_path / "tiny").interactions) == 1
    assert len(site.asked) == 2


def test_no_source_at_all_says_what_to_put_where(site: Site, reader: Counted, tmp_path: Path) -> None:
    sources = (ZipArchive(site.url("gone.zip"), "tiny", ("events.txt",)),)
    spec = DatasetSpec(
        "tiny", "tiny", (Layout(("events.txt",), reader),), sources, advice="events.txt from the moon"
    )
    with pytest.raises(DataError) as caught:
        prepare(spec, tmp_path / "tiny")
    assert str(caught.value) == (
        f"tiny: its files are not in {tmp_path / 'tiny'} and no source answered "
        f"({site.url('gone.zip')} cannot be fetched (HTTP 404 Not Found)); "
        "put events.txt from the moon into that folder"
    )
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == {".lock"}


def test_a_folder_that_is_a_file(spec: DatasetSpec, folder: Path) -> None:
    with pytest.raises(DataError, match="its files are not in"):
        prepare(spec, folder / "events.txt")


def test_every_promised_name_is_declared() -> None:
    movielens = "ml100k ml-latest-small ml1m ml1m-content ml20m ml25m ml32m"
    promised = f"{movielens} amazon-beauty amazon-sports amazon-toys custom"
    assert set(promised.split()) == set(datasets())
    assert all(spec.advice for spec in datasets().values())
    assert find("amazon", "toys").folder == "amazon-toys"


@pytest.mark.parametrize(
    ("name", "split", "reason"),
    [
        ("amazon", None, "'amazon' has no split None; choose one of beauty, sports, toys"),
        ("amazon", "books", "'amazon' has no split 'books'"),
        ("ml100k", "beauty", "'ml100k-beauty' is unknown; choose one of"),
        ("netflix", None, "'netflix' is unknown; choose one of .*ml100k"),
        ("custom", None, "'custom' needs a folder"),
    ],
)
def test_unknown_names(name: str, split: str | None, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_dataset(name, split=split)


def test_an_empty_custom_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"put interactions\.parquet or \.csv and items\.parquet or \.csv"):
        load_dataset("custom", tmp_path / "mistyped")
    assert not (tmp_path / "mistyped").exists()


def test_a_new_module_is_found_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "concerts_for_test.py").write_text(
        "from genrec.data.registry import DatasetSpec\nDATASETS = (DatasetSpec('concerts', 'concerts', ()),)\n"
    )
    monkeypatch.setattr(genrec.data.datasets, "__path__", [*genrec.data.datasets.__path__, str(tmp_path)])
    assert find("concerts").name == "concerts"


def test_default_folder_is_below_the_working_directory(
    folder: Path, reader: Counted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "dataset" / "ml-100k"
    place.mkdir(parents=True)
    for name in ("u.data", "u.item", "u.user"):
        (place / name).write_text("")
    with pytest.raises(DataError, match=r"dataset/ml-100k/u\.item cannot be parsed"):
        load_dataset("ml100k")
