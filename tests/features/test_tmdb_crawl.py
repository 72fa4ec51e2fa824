"""What posters and metadata share, in this process: catalogue, folders, failures, and errors in the middle."""

from __future__ import annotations

import gzip
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tmdb_site import KEY, Plan, Reply, Site, details, picture, serving

from genrec.data.tables import ItemTable
from genrec.errors import DataError
from genrec.features.tmdb import pacing
from genrec.features.tmdb.client import Tmdb
from genrec.features.tmdb.crawl import Outcome, Store, catalogue, crawl
from genrec.features.tmdb.credentials import Credentials
from genrec.features.tmdb.failures import Movie
from genrec.features.tmdb.files import put, sweep
from genrec.features.tmdb.metadata import MetadataStore
from genrec.features.tmdb.posters import NO_POSTER, PosterStore

MOVIES = [Movie(number, number) for number in range(1, 13)]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second lasts fifty milliseconds."""
    monkeypatch.setattr(pacing, "WINDOW", 0.05)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(
        {one.movie_id: Plan([details(one.movie_id)], [Reply(picture(5))]) for one in MOVIES}
    ) as server:
        yield server


def collect(store: Store, site: Site, tmp_path: Path, movies: list[Movie] = MOVIES) -> Outcome:
    tmdb = Tmdb(api_url=f"{site.address}/3", rate=1000, attempts=2, first_delay=0.001, api_workers=8)
    with tmdb.connect(Credentials("TMDB_API_KEY", KEY)) as connection:
        return crawl(store, movies, tmp_path / "failed.txt", connection)


def table(**columns: object) -> ItemTable:
    return ItemTable(pd.DataFrame({"title": ["a", "b", "c"], **columns}))


def test_the_catalogue_has_both_ids() -> None:
    links = pd.array([862, None, 11], dtype="Int64")
    expected = [Movie(1, 862), Movie(2, None), Movie(9, 11)]
    assert catalogue(table(item_id=[1, 2, 9], tmdb_id=links)) == expected
    assert catalogue(table(item_id=np.array([1, 2, 9], np.int32), tmdb_id=[862.0, None, 11.0])) == expected


@pytest.mark.parametrize(
    "items",
    [
        table(item_id=[1, 2, 3]),
        table(item_id=[1, 2, 3], tmdb_id=[None, None, None]),
        table(item_id=["x", "y", "../z"], tmdb_id=[1, 2, 3]),
    ],
)
def test_a_catalogue_without_ids_is_refused(items: ItemTable) -> None:
    with pytest.raises(DataError, match=r"put the release's links\.csv into its folder"):
        catalogue(items)


def test_details_are_kept_as_they_came(site: Site, tmp_path: Path) -> None:
    store = MetadataStore(tmp_path / "metadata")
    outcome = collect(store, site, tmp_path)
    assert outcome.sentence == "12 of 12 details are there, 12 of them new"
    assert store.path(7) == tmp_path / "metadata" / "007" / "7.json.gz"
    assert store.read(7) == gzip.decompress(store.path(7).read_bytes()) == details(7).body
    assert store.read(99) is None
    assert {path.name for path in (tmp_path / "metadata").glob(".*")} == {".lock"}
    store.path(7).write_bytes(store.path(7).read_bytes()[:-4])
    assert not store.has(7)
    with pytest.raises(
        DataError, match=r"7\.json\.gz is damaged .* run experiments/crawl_metadata\.py again"
    ):
        store.read(7)


@pytest.mark.parametrize("path", ["", None])
def test_a_movie_without_poster_is_on_the_list(site: Site, tmp_path: Path, path: str | None) -> None:
    site.plans[3] = Plan([details(3, more={"poster_path": path})])
    outcome = collect(PosterStore(tmp_path / "posters"), site, tmp_path)
    assert outcome.failed == Counter({NO_POSTER: 1})
    assert "11 of 12 posters are there, 11 of them new; 1 could not be had" in outcome.sentence


@pytest.mark.parametrize("path", ["/../../secret.jpg", "//elsewhere/1.jpg", "1.jpg", "/a?b", "/.."])
def test_a_poster_path_is_no_way_out(site: Site, tmp_path: Path, path: str) -> None:
    site.plans[3] = Plan([details(3, more={"poster_path": path})])
    outcome = collect(PosterStore(tmp_path / "posters"), site, tmp_path)
    assert list(outcome.failed) == ["details name a poster by something else than a path (2 attempts)"]
    assert 3 not in site.requests_of("image")


def test_what_cannot_be_written_ends_the_work_and_the_list_is_right(site: Site, tmp_path: Path) -> None:
    site.plans[1] = Plan([Reply(status=404)])
    store = PosterStore(tmp_path / "posters")
    collect(store, site, tmp_path, MOVIES[:4])
    store.path(6).mkdir()
    with pytest.raises(DataError, match=r"cannot write .*6\.jpg: Is a directory; free space or choose"):
        collect(store, site, tmp_path)
    assert (tmp_path / "failed.txt").read_text() == "1\t1\tno such movie on TMDB (HTTP 404)\n"
    store.path(6).rmdir()
    assert collect(store, site, tmp_path).failed.total() == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose a folder you may write to"):
        collect(PosterStore(tmp_path / "file" / "posters"), site, tmp_path)


def test_signals_are_as_before_and_other_threads_may_crawl(site: Site, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    outcomes: list[Outcome] = []
    store = PosterStore(tmp_path / "posters")
    thread = threading.Thread(target=lambda: outcomes.append(collect(store, site, tmp_path)))
    thread.start()
    thread.join()
    assert collect(store, site, tmp_path).new == 0
    assert outcomes[0].new == 12
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    put(tmp_path, "a/1.txt", b"old")
    (tmp_path / ".new" / "1.txt").write_bytes(b"half of the ne")
    assert (tmp_path / "a" / "1.txt").read_bytes() == b"old"
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    put(tmp_path, "a/1.txt", b"new")
    assert (tmp_path / "a" / "1.txt").read_bytes() == b"new"
