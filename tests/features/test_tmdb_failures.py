"""The list of failures at every moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.errors import DataError
from genrec.features.tmdb.failures import FailureList, Movie


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "experiments" / "failed.txt"


def test_a_failure_is_on_disk_at_once(path: Path) -> None:
    failures = FailureList(path)
    assert not path.exists()
    failures.add(Movie(7, 70), "HTTP 500\n(3\tattempts)")
    assert lines(path) == ["7\t70\tHTTP 500 (3 attempts)"]
    failures.add(Movie(3, None), "no id")
    assert lines(path) == ["7\t70\tHTTP 500 (3 attempts)", "3\t\tno id"]
    failures.close()
    assert lines(path) == ["3\t\tno id", "7\t70\tHTTP 500 (3 attempts)"]
    assert 3 in failures
    assert failures.reason(3) == "no id"


def test_a_newer_reason_and_a_success_replace_a_line(path: Path) -> None:
    clock = Clock()
    failures = FailureList(path, clock)
    for movie in (1, 2, 3):
        failures.add(Movie(movie, movie), "old")
    failures.add(Movie(1, 1), "new")
    failures.remove(2)
    assert lines(path) == ["1\t1\told", "2\t2\told", "3\t3\told"], "never two lines of a movie"
    clock.now = 2.5
    failures.remove(99)
    assert lines(path) == ["1\t1\tnew", "3\t3\told"]
    failures.add(Movie(1, 1), "new")
    failures.close()
    assert lines(path) == ["1\t1\tnew", "3\t3\told"]


def test_it_goes_on_after_a_kill_that_cut_a_line(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("5\t50\tHTTP 500\n6\t\tno id\n5\t50\ttime-out\n8\t80\tHT")
    failures = FailureList(path)
    assert lines(path) == ["5\t50\ttime-out", "6\t\tno id"]
    assert 8 not in failures
    failures.add(Movie(9, 90), "HTTP 404")
    assert lines(path)[-1] == "9\t90\tHTTP 404"
    failures.remove(5)
    failures.remove(6)
    failures.remove(9)
    failures.close()
    assert path.read_text() == ""


def test_nothing_failed_and_there_is_no_file(path: Path) -> None:
    FailureList(path).close()
    assert not path.exists()


@pytest.mark.parametrize("text", ["1\t2\n", "one\t2\tx\n", "1\ttwo\tx\n", "movieId,tmdbId,reason\n"])
def test_another_file_is_not_overwritten(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DataError, match=r"line 1: movieId, tmdbId and reason"):
        FailureList(path)
    assert path.read_text() == text


def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be (read|written)"):
        FailureList(tmp_path / "file" / "failed.txt").add(Movie(1, 1), "x")
    with pytest.raises(DataError, match="cannot be read"):
        FailureList(tmp_path)
