"""The client against a server on this machine: which answers it takes, asks for again, or gives up on."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import tmdb_site
from tmdb_site import KEY, Plan, Reply, Site, details, picture, serving

from genrec.errors import ConfigError, DataError
from genrec.features.tmdb import pacing
from genrec.features.tmdb.client import NO_IMAGE, NO_MOVIE, Connection, Tmdb, nearest_size
from genrec.features.tmdb.credentials import Credentials
from genrec.features.tmdb.host import Stopped, Unavailable, Unusable

CREDENTIALS = Credentials("TMDB_API_KEY", KEY)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second lasts fifty milliseconds."""
    monkeypatch.setattr(pacing, "WINDOW", 0.05)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving({}) as one:
        yield one


def tmdb(site: Site, **settings: Any) -> Tmdb:
    usual = {"first_delay": 0.001, "longest_delay": 0.002, "attempts": 3, "timeout": 5.0, "rate": 1000}
    return Tmdb(**(usual | {"api_url": f"{site.address}/3"} | settings))


def same(body: bytes) -> bytes:
    return body


def picky(body: bytes) -> bytes:
    if body != b"good":
        raise Unusable("not good")
    return body


@pytest.mark.parametrize("name", ["TMDB_API_KEY", "TMDB_ACCESS_TOKEN"])
def test_both_versions_of_the_key_open_the_api_and_never_reach_the_images(
    site: Site, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.plans = {5: Plan([details(5)], [Reply(picture(5))])}
    with caplog.at_level(logging.DEBUG), tmdb(site).connect(Credentials(name, KEY)) as connection:
        assert b'"id": 5' in connection.movie(5, same, also=("credits", "keywords"))
        assert connection.poster("/5.jpg", same) == picture(5)
    assert [path for _, path in site.seen] == ["/3/configuration", "/3/movie/5", "/image/w500/5.jpg"]
    assert (site.unsigned, site.leaked) == (0, 0)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "/3/movie/5" in logged
    assert KEY not in logged


@pytest.mark.parametrize(
    ("replies", "asked", "outcome"),
    [
        ([Reply(b"good")], 1, "good"),
        ([Reply(status=500), Reply(status=503), Reply(b"good")], 3, "good"),
        ([Reply(status=429), Reply(b"good")], 2, "good"),
        ([Reply(b"bad"), Reply(b"good")], 2, "good"),
        ([Reply(b"good", cut=2), Reply(b"good")], 2, "good"),
        ([Reply(b"good", delay=1.5), Reply(b"good")], 2, "good"),
        ([Reply(status=429, headers={"Retry-After": "0"}), Reply(b"good")], 2, "good"),
        ([Reply(status=500)], 3, "HTTP 500 (3 attempts)"),
        ([Reply(b"bad")], 3, "not good (3 attempts)"),
        ([Reply(b"good", cut=2)], 3, "answer cut off (3 attempts)"),
        ([Reply(status=404)], 1, NO_MOVIE),
        ([Reply(status=302, headers={"Location": "/3/movie/6"})], 1, "HTTP 302"),
        ([Reply(status=422)], 1, "HTTP 422"),
    ],
)
def test_what_is_asked_for_again(site: Site, replies: list[Reply], asked: int, outcome: str) -> None:
    site.plans = {5: Plan(replies), 6: Plan([Reply(b"good")])}
    with tmdb(site, timeout=1.0).connect(CREDENTIALS) as connection:
        try:
            said = connection.movie(5, picky).decode()
        except Unavailable as error:
            said = str(error)
    assert said == outcome
    assert site.requests_of("movie") == {5: asked}


def test_time_outs_and_images_say_so(site: Site) -> None:
    site.plans = {
        5: Plan([Reply(delay=1.0)], [Reply(status=404)]),
        6: Plan([details(6)], [Reply(status=500)]),
    }
    with tmdb(site, timeout=0.6, attempts=1).connect(CREDENTIALS) as connection:
        with pytest.raises(Unavailable, match=r"time-out \(1 attempts\)"):
            connection.movie(5, same)
        with pytest.raises(Unavailable) as caught:
            connection.poster("/5.jpg", same)
        assert str(caught.value) == NO_IMAGE
        with pytest.raises(Unavailable, match=r"image: HTTP 500"):
            connection.poster("/6.jpg", same)


def test_an_answer_without_end_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.features.tmdb.host.MOST_BYTES", 100_000)
    site.plans = {5: Plan([Reply(b"x" * 200_000)])}
    with (
        tmdb(site, attempts=1).connect(CREDENTIALS) as connection,
        pytest.raises(Unavailable, match="answer of more than"),
    ):
        connection.movie(5, same)


def test_retry_after_stops_everybody_for_as_long(site: Site) -> None:
    site.plans = {5: Plan([Reply(status=429, headers={"Retry-After": "1"}), Reply(b"good")])}
    site.plans |= {number: Plan([Reply(b"good")]) for number in range(6, 12)}
    with tmdb(site).connect(CREDENTIALS) as connection:
        first = threading.Thread(target=connection.movie, args=(5, picky))
        first.start()
        while not site.requests_of("movie"):
            threading.Event().wait(0.01)
        threading.Event().wait(0.3)
        for number in range(6, 12):
            connection.movie(number, picky)
        first.join()
    moments = [moment for moment, path in site.seen if "movie" in path]
    assert len(moments) == 8
    assert moments[1] - moments[0] >= 1.0


def test_a_pause_that_is_too_long_ends_the_work_with_a_sentence(site: Site) -> None:
    site.plans = {5: Plan([Reply(status=429, headers={"Retry-After": "3600"})])}
    with (
        tmdb(site).connect(CREDENTIALS) as connection,
        pytest.raises(
            DataError, match=r"3600 s, longer than Tmdb\.longest_pause; run the same command again"
        ),
    ):
        connection.movie(5, same)


def test_stopping_wakes_who_waits(site: Site) -> None:
    site.plans = {5: Plan([Reply(status=500)]), 6: Plan([Reply(status=429, headers={"Retry-After": "100"})])}
    ends: list[str] = []

    def ask(connection: Connection, number: int) -> None:
        try:
            connection.movie(number, same)
        except Stopped:
            ends.append("stopped")

    patient = {"first_delay": 100.0, "longest_delay": 100.0}
    with tmdb(site, **patient).connect(CREDENTIALS) as connection:
        threads = [threading.Thread(target=ask, args=(connection, number)) for number in (5, 6)]
        for thread in threads:
            thread.start()
        while len(site.requests_of("movie")) < 2:
            threading.Event().wait(0.01)
        connection.stop()
        for thread in threads:
            thread.join(10)
    assert ends == ["stopped", "stopped"]


def test_a_refused_key_is_one_sentence_without_it(site: Site) -> None:
    wrong = "f" * 32
    with (
        pytest.raises(ConfigError, match=r"TMDB refuses the key in TMDB_ACCESS_TOKEN \(HTTP 401\)") as caught,
        tmdb(site).connect(Credentials("TMDB_ACCESS_TOKEN", wrong)),
    ):
        pass
    assert wrong not in str(caught.value)


def test_nobody_there_is_one_sentence_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/3"
    unreachable = Tmdb(api_url=address, attempts=2, first_delay=0.001)
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(
            DataError, match=r"does not answer as it should \(no connection \(2 attempts\)\)"
        ) as caught,
        unreachable.connect(CREDENTIALS),
    ):
        pass
    assert KEY not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"images": {}}', b'{"images": {"secure_base_url": "http://x/", "poster_sizes": []}}'],
)
def test_a_configuration_without_images_is_refused(
    site: Site, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tmdb_site.Site, "answer", lambda *_: Reply(body))
    with pytest.raises(DataError, match="its configuration names no"), tmdb(site).connect(CREDENTIALS):
        pass


def test_one_host_has_one_rate(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "WINDOW", 1.0)
    site.plans = {number: Plan([details(number)], [Reply(picture(5))]) for number in range(1, 16)}
    with tmdb(site, rate=15).connect(CREDENTIALS) as connection:
        for number in range(1, 16):
            connection.movie(number, same)
            connection.poster(f"/{number}.jpg", same)
    assert len(site.seen) == 31
    assert site.busiest_second() <= 15


def test_images_may_come_from_elsewhere(site: Site) -> None:
    with serving({5: Plan([details(5)], [Reply(picture(5))])}) as mirror:
        elsewhere = tmdb(site, image_url=f"{mirror.address}/image/", size="original")
        with elsewhere.connect(CREDENTIALS) as connection:
            assert connection.poster("/5.jpg", same) == picture(5)
        assert [path for _, path in mirror.seen] == ["/image/original/5.jpg"]


@pytest.mark.parametrize(
    ("wanted", "sizes", "taken"),
    [
        ("w500", ["w92", "w500", "original"], "w500"),
        ("w500", ["w92", "w342", "w780", "original"], "w342"),
        ("w400", ["w342", "w458", "original"], "w458"),
        ("w500", ["w400", "w600"], "w600"),
        ("original", ["w92", "original"], "original"),
        ("original", ["w92", "w780"], "w780"),
        ("w500", ["original"], "original"),
    ],
)
def test_the_nearest_size(wanted: str, sizes: list[str], taken: str) -> None:
    assert nearest_size(wanted, sizes) == taken


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("api_url", "api.themoviedb.org/3"),
        ("api_url", "https://api.example/3?api_key=x"),
        ("image_url", "ftp://images"),
        ("size", "500"),
        ("size", "w0"),
        ("rate", 0),
        ("api_workers", 0),
        ("image_connections", -1),
        ("attempts", 0),
        ("timeout", 0.0),
        ("timeout", float("nan")),
        ("first_delay", -1.0),
        ("longest_delay", 0.1),
        ("longest_pause", 0.0),
    ],
)
def test_settings_are_named(argument: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"Tmdb\.{argument} must"):
        Tmdb(**{argument: value})
