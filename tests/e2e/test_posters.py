"""Posters through the real script, from a server that misbehaves in every way, with a kill half-way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from scripts_in_child import ROOT
from tmdb_site import KEY, Plan, Reply, Site, colour, details, picture, serving, shown, write_release

LIMIT = 400  # requests per second
N_MOVIES = 2000
TIMEOUT = 1.5  # seconds; a busy machine answers within it
FOLDER = "dataset/ml-latest-small"
FAILED = "experiments/failed_posters.txt"
BUSY = Reply(b"busy", status=429)
BROKEN = Reply(b"oops", status=500)
SLOW = Reply(delay=1.5 * TIMEOUT)
ALWAYS_SLOW = (16, 1016)
SCRIPT = "experiments/download_posters.py"


def tmdb_id(movie: int) -> int | None:
    return None if movie % 100 == 99 else movie + 5000


def plan(movie: int) -> Plan:
    """What the server does about a movie; by its number."""
    number = movie + 5000
    good, image = details(number), Reply(picture(movie))
    jpeg = image.body
    if movie in (100, 900, 1500):
        return Plan([Reply(b"", 429, {"Retry-After": "1"}), good], [image])
    if movie == 1200:
        return Plan(
            [Reply(b"", 429, {"Retry-After": formatdate(time.time() + 1, usegmt=True)}), good], [image]
        )
    special = {
        1: Plan([BUSY, good], [image]),
        2: Plan([BROKEN, BROKEN, good], [BROKEN, image]),
        3: Plan([Reply(status=404)]),
        4: Plan([details(number, poster=False)]),
        5: Plan([good], [Reply(jpeg[: len(jpeg) // 2])]),
        6: Plan([good], [Reply(b"<html>Not today</html>")]),
        7: Plan([good], [Reply(b"")]),
        8: Plan([good], [Reply(jpeg, cut=len(jpeg) // 2), image]),
        9: Plan([good], [Reply(picture(movie, "PNG"))]),
        10: Plan([good], [Reply(status=404)]),
        11: Plan([good], [Reply(jpeg[:-20]), image]),
        12: Plan([BROKEN], [image]),
        13: Plan([Reply(b"<html>"), good], [image]),
        14: Plan([good], [BUSY]),
        15: Plan([SLOW, good] if movie > 500 else [good], [image] if movie > 500 else [SLOW, image]),
    }
    if movie in ALWAYS_SLOW:
        return Plan([SLOW], [image])
    return special.get(movie % 100, Plan([good], [image]))


REASONS = {
    3: "no such movie on TMDB (HTTP 404)",
    4: "no poster on TMDB",
    5: "image: image is cut off or damaged (4 attempts)",
    6: "image: body is no image (4 attempts)",
    7: "image: image has zero bytes (4 attempts)",
    10: "no such image at TMDB (HTTP 404)",
    12: "HTTP 500 (4 attempts)",
    14: "image: HTTP 429 (4 attempts)",
    99: "no TMDB id in links.csv",
}


def reason(movie: int) -> str | None:
    """Why a movie's poster cannot be had; None if it can."""
    return "time-out (4 attempts)" if movie in ALWAYS_SLOW else REASONS.get(movie % 100)


def command(site: Site, *flags: str) -> list[str]:
    bindings = [*site.bindings, f"client.Tmdb.rate = {LIMIT}", f"client.Tmdb.timeout = {TIMEOUT}"]
    bindings += [
        "client.Tmdb.attempts = 4",
        "client.Tmdb.api_workers = 20",
        "client.Tmdb.image_connections = 8",
    ]
    gin = [part for binding in bindings for part in ("--gin", binding)]
    return [sys.executable, str(ROOT / SCRIPT), "--dataset", "ml-latest-small", *gin, *flags]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_release(tmp_path / FOLDER, [tmdb_id(movie) for movie in range(1, N_MOVIES + 1)])
    return tmp_path


@pytest.fixture
def site() -> Iterator[Site]:
    with serving({movie + 5000: plan(movie) for movie in range(1, N_MOVIES + 1)}) as one:
        yield one


def start(home: Path, site: Site, said: Path) -> subprocess.Popen[bytes]:
    """The script as a process of its own, whose words go to a file."""
    with said.open("ab") as file:
        return subprocess.Popen(
            command(site), cwd=home, env=os.environ | {"TMDB_API_KEY": KEY}, stdout=file, stderr=file
        )


def posters(home: Path) -> dict[int, bytes]:
    """Movie -> its file; temporary files would be no numbers."""
    return {int(path.stem): path.read_bytes() for path in (home / FOLDER / "posters").glob("*.jpg")}


def listed(home: Path) -> list[list[str]]:
    path = home / FAILED
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def wait_for_posters(home: Path, count: int, child: subprocess.Popen[bytes]) -> None:
    """Until there are so many posters; the process must not have ended by then."""
    folder = home / FOLDER / "posters"
    patience = 120.0
    while not folder.exists() or len(os.listdir(folder)) < count:
        assert child.poll() is None
        time.sleep(0.05)
        patience -= 0.05
        assert patience > 0, "it hangs"


def test_every_poster_that_can_be_had_is_there(home: Path, site: Site, tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    child = start(home, site, said)
    wait_for_posters(home, 700, child)
    command_line = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    child.kill()
    child.wait()
    killed_at = time.monotonic()
    half = posters(home)
    assert all(shown(content) == colour(movie) for movie, content in half.items())
    early = listed(home)
    assert early
    assert [why for _, _, why in early] == [reason(int(movie)) for movie, _, _ in early]

    assert start(home, site, said).wait() == 1
    assert b"of 2000 posters are there" in said.read_bytes()
    there = posters(home)
    assert set(there) == {movie for movie in range(1, N_MOVIES + 1) if reason(movie) is None}
    assert all(shown(content) == colour(movie) for movie, content in there.items())
    assert there[50] == picture(50)
    assert there[9].startswith(b"\xff\xd8")
    expected = {movie: reason(movie) for movie in range(1, N_MOVIES + 1) if reason(movie) is not None}
    assert listed(home) == [
        [str(movie), str(tmdb_id(movie) or ""), why] for movie, why in sorted(expected.items())
    ]
    assert list((home / FOLDER / "posters").glob(".*")) == [home / FOLDER / "posters/.lock"]

    again = site.requests_of("movie", since=killed_at)
    assert again.keys().isdisjoint(movie + 5000 for movie in half)
    assert site.busiest_second() <= LIMIT
    assert site.busiest_second() > LIMIT / 4, "the limit was never near"
    assert (site.unsigned, site.leaked) == (0, 0)
    assert KEY.encode() not in command_line
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert said in files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
