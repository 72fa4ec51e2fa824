"""The scripts that ask TMDB: second tries, stops, refusals, and the way from answers to features."""

from __future__ import annotations

import fcntl
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripts_in_child import ROOT, Outcome, Trouble, run
from tmdb_site import KEY, Plan, Reply, Site, colour, details, picture, serving, shown, write_release

from genrec.data.load import load_dataset
from genrec.features.tmdb.movie_text import MovieText
from genrec.features.tmdb.star import load_star

N_MOVIES = 40
FOLDER = "dataset/ml-latest-small"
POSTERS, METADATA = "experiments/download_posters.py", "experiments/crawl_metadata.py"
BROKEN = Reply(b"oops", status=500)


def facts(movie: int) -> dict[str, Any]:
    """Each movie has a director of its own, and one of three stars."""
    star = {"id": 900 + movie % 3, "name": f"Star {movie % 3}", "character": "Hero", "order": 0}
    director = {"id": movie, "name": f"Director {movie}", "department": "Directing", "job": "Director"}
    return {
        "overview": f"The tale of number {movie}.",
        "credits": {"cast": [star], "crew": [director]},
        "keywords": {"keywords": [{"id": movie % 5, "name": f"keyword{movie % 5}"}]},
        "genres": [{"id": 18, "name": "Drama"}],
    }


def good(movie: int) -> Plan:
    return Plan([details(movie, more=facts(movie))], [Reply(picture(movie))])


BAD = {3: Plan([BROKEN]), 7: Plan([Reply(status=404)]), 9: Plan([details(9)], [Reply(picture(9)[:-30])])}


@pytest.fixture
def site() -> Iterator[Site]:
    """Of forty movies three have no poster that can be had."""
    with serving({movie: good(movie) for movie in range(1, N_MOVIES + 1)} | BAD) as one:
        yield one


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_release(tmp_path / FOLDER, list(range(1, N_MOVIES + 1)))
    return tmp_path


def ask(
    script: str, site: Site, home: Path, *flags: str, key: str | None = KEY, name: str = "TMDB_API_KEY"
) -> Outcome:
    clean: dict[str, str | None] = {"TMDB_API_KEY": None, "TMDB_ACCESS_TOKEN": None}
    line = ["--dataset", "ml-latest-small", *site.bindings, "client.Tmdb.attempts = 2", *flags]
    return run(script, *line, folder=home, trouble=Trouble(environment=clean | {name: key}))


def listed(home: Path, what: str) -> list[str]:
    return (home / f"experiments/failed_{what}.txt").read_text("utf-8").splitlines()


def test_posters_that_failed_are_tried_again(site: Site, home: Path) -> None:
    outcome = ask(POSTERS, site, home)
    assert outcome.code == 1, outcome.err
    assert "37 of 40 posters are there, 37 of them new; 3 could not be had" in outcome.out
    assert [line.split("\t")[0] for line in listed(home, "posters")] == ["3", "7", "9"]

    posters = home / FOLDER / "posters"
    (posters / "20.jpg").write_bytes(picture(20)[:-40])
    (posters / "21.jpg").write_bytes(b"")
    site.heal({3: good(3), 9: good(9)})
    site.seen.clear()
    outcome = ask(POSTERS, site, home, "--retry-failed")
    assert outcome.code == 1, outcome.err
    assert "2 of 3 posters are there, 2 of them new; 1 could not be had" in outcome.out
    assert listed(home, "posters") == ["7\t7\tno such movie on TMDB (HTTP 404)"]
    assert set(site.requests_of("movie")) == {3, 7, 9}

    site.heal({7: good(7)})
    site.seen.clear()
    outcome = ask(POSTERS, site, home)
    assert outcome.code == 0, outcome.err
    assert outcome.out.strip() == "40 of 40 posters are there, 3 of them new"
    assert listed(home, "posters") == []
    assert set(site.requests_of("movie")) == {7, 20, 21}, (
        "a damaged poster is fetched again, a whole one is not"
    )
    found = {int(path.stem): shown(path.read_bytes()) for path in posters.glob("*.jpg")}
    assert found == {movie: colour(movie) for movie in range(1, N_MOVIES + 1)}


def start(script: str, site: Site, home: Path) -> subprocess.Popen[str]:
    bindings = [part for binding in site.bindings for part in ("--gin", binding)]
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), "--dataset", "ml-latest-small", *bindings],
        cwd=home,
        env=os.environ | {"TMDB_ACCESS_TOKEN": KEY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def heed_interrupts() -> None:
    """A job in the background of a shell ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(folder: Path, pattern: str, count: int, child: subprocess.Popen[str]) -> None:
    patience = 60.0
    while len(list(folder.glob(pattern))) < count:
        assert child.poll() is None
        time.sleep(0.02)
        patience -= 0.02
        assert patience > 0, "it hangs"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_one_sentence_and_can_be_resumed(site: Site, home: Path, number: signal.Signals) -> None:
    busy = Reply(status=429, headers={"Retry-After": "200"}, delay=2.0)
    site.plans |= {movie: Plan([busy]) for movie in range(31, 41)}
    child = start(POSTERS, site, home)
    posters = home / FOLDER / "posters"
    wait_for(posters, "*.jpg", 15, child)
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    errors = [line for line in said.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert errors[0].startswith(
        "error: interrupted; the posters so far are in dataset/ml-latest-small/posters, run"
    )
    assert "Traceback" not in said
    whole = {int(path.stem): shown(path.read_bytes()) for path in posters.glob("*.jpg")}
    assert whole == {movie: colour(movie) for movie in whole}

    site.heal({movie: good(movie) for movie in range(1, N_MOVIES + 1)})
    site.seen.clear()
    assert ask(POSTERS, site, home).code == 0
    assert set(site.requests_of("movie")) == set(range(1, N_MOVIES + 1)) - set(whole)
    assert listed(home, "posters") == []


def refusal(*flags: str, site: Site, home: Path, key: str | None = KEY) -> str:
    return ask(POSTERS, site, home, *flags, key=key).refusal


def test_refusals(site: Site, home: Path) -> None:
    assert refusal(site=site, home=home, key=None).startswith("there is no TMDB key: put TMDB_API_KEY=...")
    wrong = "0" * 32
    refused = refusal(site=site, home=home, key=wrong)
    assert refused.startswith("TMDB refuses the key in TMDB_API_KEY (HTTP 401)")
    assert wrong not in refused
    assert "Tmdb.rate must be at least 1" in refusal("client.Tmdb.rate = 0", site=site, home=home)
    nowhere = refusal("client.Tmdb.api_url = 'http://127.0.0.1:9/3'", site=site, home=home)
    assert "does not answer as it should (no connection" in nowhere
    assert KEY not in nowhere
    posters = home / FOLDER / "posters"
    posters.mkdir()
    with (posters / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another process is at work in dataset/ml-latest-small/posters" in refusal(
            site=site, home=home
        )
    (home / FOLDER / "links.csv").unlink()
    assert "the dataset has no TMDB ids; put the release's links.csv" in refusal(site=site, home=home)
    assert list(posters.glob("*.jpg")) == []


def test_the_default_is_movielens_25m_and_the_key_may_be_in_a_file(site: Site, tmp_path: Path) -> None:
    write_release(tmp_path / "dataset" / "ml-25m", list(range(1, 9)))
    (tmp_path / ".env").write_text(f"TMDB_ACCESS_TOKEN='{KEY}'\n")
    clean: dict[str, str | None] = {"TMDB_API_KEY": None, "TMDB_ACCESS_TOKEN": None}
    site.heal({movie: good(movie) for movie in range(1, 9)})
    for script in (POSTERS, METADATA):
        outcome = run(script, *site.bindings, folder=tmp_path, trouble=Trouble(environment=clean))
        assert outcome.code == 0, outcome.err
    assert len(list((tmp_path / "dataset/ml-25m/posters").glob("*.jpg"))) == 8
    assert len(list((tmp_path / "dataset/ml-25m/metadata").glob("*/*.json.gz"))) == 8
    assert (site.unsigned, site.leaked) == (0, 0)


def test_metadata_survives_a_kill_and_becomes_tables_and_features(site: Site, home: Path) -> None:
    site.plans |= {movie: Plan([BROKEN, *good(movie).details]) for movie in range(20, 30)}
    site.plans[40] = Plan([Reply(b"<html>"), Reply(b'{"id": 40, "title"')])
    slow = [Reply(body=reply.body, delay=0.4) for movie in range(30, 40) for reply in good(movie).details]
    site.plans |= {movie: Plan([reply]) for movie, reply in zip(range(30, 40), slow, strict=True)}
    child = start(METADATA, site, home)
    answers = home / FOLDER / "metadata"
    wait_for(answers, "*/*.json.gz", 15, child)
    child.kill()
    child.communicate()
    before = {
        int(path.name.split(".")[0]): gzip.decompress(path.read_bytes()) for path in answers.glob("*/*.gz")
    }
    torn = answers / "001" / "1.json.gz"
    torn.parent.mkdir(exist_ok=True)
    torn.write_bytes(gzip.compress(b"{}" * 500)[:-9])
    before.pop(1, None)
    site.seen.clear()

    outcome = ask(METADATA, site, home)
    assert outcome.code == 1, outcome.err
    assert "37 of 40 details are there" in outcome.out
    assert listed(home, "metadata") == [
        "3\t3\tHTTP 500 (2 attempts)",
        "7\t7\tno such movie on TMDB (HTTP 404)",
        "40\t40\tdetails are no JSON (2 attempts)",
    ]
    assert set(site.requests_of("movie")) == set(range(1, N_MOVIES + 1)) - set(before)
    expected = {movie: good(movie).details[0].body for movie in range(1, 40) if movie not in (3, 7)}
    expected[9] = details(9).body
    found = {
        int(path.name.split(".")[0]): gzip.decompress(path.read_bytes()) for path in answers.glob("*/*.gz")
    }
    assert found == expected

    process = run("experiments/process_metadata.py", "--dataset", "ml-latest-small", folder=home)
    assert process.code == 0, process.err
    assert "37 of 40 movies described: 37 rows in movies" in process.out
    folder = home / "out/ml-latest-small/metadata"
    star = load_star(folder)
    assert (len(star.people), len(star.movie_people), len(star.movie_terms)) == (36 + 3, 72, 72)
    items = load_dataset("ml-latest-small", home / FOLDER).items
    assert MovieText(str(folder)).texts(items)[:3] == [
        "The tale of number 1. Directed by Director 1. With Star 1. Keywords: keyword1.",
        "The tale of number 2. Directed by Director 2. With Star 2. Keywords: keyword2.",
        "",
    ]
    assert [path for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


def test_tables_without_answers_say_what_to_run(home: Path) -> None:
    outcome = run("experiments/process_metadata.py", "--dataset", "ml-latest-small", folder=home)
    assert (
        outcome.refusal == "there are no answers of TMDB to process; run experiments/crawl_metadata.py first"
    )
