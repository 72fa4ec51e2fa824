"""Where the key comes from, and where it must not go."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import requests

from genrec.errors import ConfigError
from genrec.features.tmdb.credentials import Credentials, find_credentials, read_dotenv

KEY = "0123456789abcdef0123456789abcdef"


def test_dotenv_lines(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "\ufeff# a comment\n\nPLAIN=one\n  export SPACED = two words  # said\nDOUBLE=\"a # b\"\nSINGLE='x=y'\n"
        'EMPTY=\nnot a line\nPLAIN=last\nOPEN="half\n',
        "utf-8",
    )
    assert read_dotenv(path) == {
        "PLAIN": "last",
        "SPACED": "two words",
        "DOUBLE": "a # b",
        "SINGLE": "x=y",
        "EMPTY": "",
    }
    assert read_dotenv(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("environment", "dotenv", "found"),
    [
        ({"TMDB_API_KEY": "e"}, "TMDB_API_KEY=f", ("TMDB_API_KEY", "e")),
        ({"TMDB_API_KEY": "e"}, "TMDB_ACCESS_TOKEN=f", ("TMDB_API_KEY", "e")),
        ({"TMDB_API_KEY": "e", "TMDB_ACCESS_TOKEN": "t"}, "", ("TMDB_ACCESS_TOKEN", "t")),
        ({"TMDB_API_KEY": " "}, "TMDB_ACCESS_TOKEN='t'", ("TMDB_ACCESS_TOKEN", "t")),
        ({}, "TMDB_API_KEY = f\n", ("TMDB_API_KEY", "f")),
    ],
)
def test_the_environment_wins(
    tmp_path: Path, environment: dict[str, str], dotenv: str, found: tuple[str, str]
) -> None:
    (tmp_path / ".env").write_text(dotenv)
    credentials = find_credentials(environment, tmp_path / ".env")
    assert (credentials.name, credentials.secret) == found


def test_no_key_is_one_sentence_that_says_where_to_put_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"TMDB_API_KEY=\.\.\. \(API v3\) or TMDB_ACCESS_TOKEN"):
        find_credentials({}, tmp_path / ".env")


def test_a_file_that_is_no_text_is_refused_without_its_content(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"TMDB_API_KEY=\xff\xfe" + KEY.encode())
    with pytest.raises(ConfigError, match=r"\.env cannot be read as text") as caught:
        find_credentials({}, tmp_path / ".env")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("spoiled", [f"{KEY}\n{KEY}", f"Bearer {KEY}", f"{KEY}é"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(spoiled: str) -> None:
    with pytest.raises(ConfigError, match="TMDB_API_KEY holds characters") as caught:
        Credentials("TMDB_API_KEY", spoiled)
    assert KEY not in str(caught.value)


def signed(name: str) -> requests.PreparedRequest:
    request = requests.Request("GET", "https://api.example/3/movie/1", params={"a": "b"})
    return requests.Session().prepare_request(
        requests.Request(request.method, request.url, params=request.params, auth=Credentials(name, KEY))
    )


def test_version_3_is_a_parameter_and_version_4_a_header() -> None:
    third, fourth = signed("TMDB_API_KEY"), signed("TMDB_ACCESS_TOKEN")
    assert third.url == f"https://api.example/3/movie/1?a=b&api_key={KEY}"
    assert "Authorization" not in third.headers
    assert fourth.url == "https://api.example/3/movie/1?a=b"
    assert fourth.headers["Authorization"] == f"Bearer {KEY}"


def test_its_text_does_not_show_the_key() -> None:
    credentials = Credentials("TMDB_API_KEY", KEY)
    assert KEY not in f"{credentials} {credentials!r}"


def test_urllib3_logs_addresses_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    credentials = Credentials("TMDB_API_KEY", "a+" + KEY)
    logger = logging.getLogger("urllib3.connectionpool")
    with caplog.at_level(logging.DEBUG), credentials.unlogged():
        logger.debug('"%s %s"', "GET", f"/3/movie/1?api_key=a+{KEY}")
        logger.debug('"%s %s"', "GET", f"/3/movie/1?api_key=a%2B{KEY}")
    assert [record.getMessage() for record in caplog.records] == ['"GET /3/movie/1?api_key=***"'] * 2
    with caplog.at_level(logging.DEBUG):
        logger.debug("%s", KEY)
    assert caplog.records[-1].getMessage() == KEY, "afterwards, logging is as it was"
