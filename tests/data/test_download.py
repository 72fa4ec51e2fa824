"""Downloads from a server that cuts, lies and refuses; archives that are damaged or hostile."""

from __future__ import annotations

import hashlib
import socket
import zipfile
from pathlib import Path

import pytest
from local_site import Site, zipped

from genrec.data.download import PlainFiles, WheelArchive, ZipArchive, download, extract
from genrec.errors import DataError

CONTENT = bytes(range(256)) * 40
MD5 = hashlib.md5(CONTENT).hexdigest()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")} if folder.exists() else set()


def test_a_file_arrives_whole(site: Site, tmp_path: Path) -> None:
    site.files["data.bin"] = CONTENT
    download(site.url("data.bin"), tmp_path / "new" / "data.bin", MD5)
    assert (tmp_path / "new" / "data.bin").read_bytes() == CONTENT
    assert names(tmp_path / "new") == {"data.bin"}


def test_a_cut_connection_is_continued(site: Site, tmp_path: Path) -> None:
    site.files["data.bin"], site.cuts = CONTENT, [1000, 500]
    download(site.url("data.bin"), tmp_path / "data.bin", MD5)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert site.asked == [None, "bytes=1000-", "bytes=1500-"]


def test_a_later_call_continues(site: Site, tmp_path: Path) -> None:
    site.files["data.bin"], site.cuts = CONTENT, [100, 100, 100, 100]
    with pytest.raises(DataError, match=r"cannot be fetched|run the command again"):
        download(site.url("data.bin"), tmp_path / "data.bin", MD5)
    assert names(tmp_path) == {"data.bin.part"}
    download(site.url("data.bin"), tmp_path / "data.bin", MD5)
    assert site.asked[-1] == "bytes=400-"
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("stale", [b"another version", b"x" * 20_000, CONTENT[:300]])
def test_what_an_earlier_call_left_never_spoils_the_file(
    site: Site, tmp_path: Path, stale: bytes, ranges: bool
) -> None:
    site.files["data.bin"], site.ranges = CONTENT, ranges
    (tmp_path / "data.bin.part").write_bytes(stale)
    download(site.url("data.bin"), tmp_path / "data.bin", MD5)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert names(tmp_path) == {"data.bin"}


@pytest.mark.parametrize("left", [b"", b"beginning"])
def test_a_wrong_checksum_leaves_nothing(site: Site, tmp_path: Path, left: bytes) -> None:
    site.files["data.bin"] = CONTENT[:-1]
    (tmp_path / "data.bin.part").write_bytes(left)
    with pytest.raises(DataError, match=f"does not have the published md5 {MD5}"):
        download(site.url("data.bin"), tmp_path / "data.bin", MD5)
    assert names(tmp_path) == set()


def test_what_is_not_there_says_so(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.bin cannot be fetched \(HTTP 404 Not Found\)"):
        download(site.url("data.bin"), tmp_path / "data.bin")
    assert names(tmp_path) == set()


def test_no_connection_says_so(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DataError, match=r"cannot be fetched .no connection, ConnectionError.") as caught:
        download(f"http://127.0.0.1:{port}/data.bin", tmp_path / "data.bin")
    assert "\n" not in str(caught.value)


def test_a_full_disk_says_so(site: Site, tmp_path: Path) -> None:
    site.files["data.bin"] = CONTENT
    (tmp_path / "data.bin.part").symlink_to("/dev/full")
    with pytest.raises(
        DataError, match=r"cannot write .*data\.bin\.part: No space left on device; free disk space"
    ):
        download(site.url("data.bin"), tmp_path / "data.bin")
    assert not (tmp_path / "data.bin").exists()


def test_an_archive_gives_only_the_files_asked_for(site: Site, tmp_path: Path) -> None:
    content = zipped(ml__a_csv="A", ml__b_csv="B", ml__evil_csv="E", _____escaped_csv="no")
    site.files["ml.zip"] = content
    source = ZipArchive(
        site.url("ml.zip"), "ml", ("a.csv",), ("b.csv", "c.csv"), hashlib.md5(content).hexdigest()
    )
    source.fetch(tmp_path / "data")
    assert names(tmp_path) == {"data", "a.csv", "b.csv"}
    assert (tmp_path / "data" / "b.csv").read_text() == "B"


def test_an_archive_brought_by_hand_is_used_and_kept(site: Site, tmp_path: Path) -> None:
    (tmp_path / "ml.zip").write_bytes(zipped(ml__a_csv="A"))
    ZipArchive(site.url("ml.zip"), "ml", ("a.csv",)).fetch(tmp_path)
    assert (names(tmp_path), site.asked) == ({"ml.zip", "a.csv"}, [])
    with pytest.raises(DataError, match=r"ml\.zip has md5 \w+, not 123"):
        ZipArchive(site.url("ml.zip"), "ml", ("a.csv",), md5="123").fetch(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zipped(ml__a_csv="A" * 9999, ml__b_csv="B")[:-30], "truncated or damaged"),
        (b"<html>moved</html>", "truncated or damaged"),
        (zipped(ml__a_csv="A"), "holds no ml/b.csv"),
        (zipped(ml__a_csv="A", ml__b_csv="B").replace(b"ml/b.csv", b"ml/c.csv"), "holds no ml/b.csv"),
    ],
)
def test_a_bad_archive_leaves_nothing(site: Site, tmp_path: Path, content: bytes, reason: str) -> None:
    site.files["ml.zip"] = content
    with pytest.raises(DataError, match=reason):
        ZipArchive(site.url("ml.zip"), "ml", ("a.csv", "b.csv")).fetch(tmp_path)
    assert names(tmp_path) == set()


def test_a_damaged_member_leaves_nothing(tmp_path: Path) -> None:
    content = bytearray(zipped(ml__a_csv="A", ml__b_csv="B" * 500))
    content[content.index(b"ml/b.csv") + 12] ^= 0xFF
    (tmp_path / "ml.zip").write_bytes(content)
    with pytest.raises(DataError, match="truncated or damaged"):
        extract(tmp_path / "ml.zip", "ml", ("a.csv", "b.csv"), tmp_path / "data")
    assert names(tmp_path / "data") == set()


def test_plain_files_are_fetched_where_missing(site: Site, tmp_path: Path) -> None:
    site.files |= {"a.gz": b"A", "b.gz": b"B"}
    (tmp_path / "a.gz").write_bytes(b"mine")
    PlainFiles({name: site.url(name) for name in ("a.gz", "b.gz")}).fetch(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in ("a.gz", "b.gz")] == [b"mine", b"B"]
    assert len(site.asked) == 1


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package registry for pip: one wheel in a folder, no network."""
    info = "carrier-1.0.dist-info"
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "carrier-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carrier/data/a.csv", "A")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_files_inside_a_wheel(wheels: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(next(wheels.iterdir()).read_bytes()).hexdigest()
    WheelArchive("carrier==1.0", "carrier/data", ("a.csv",), digest).fetch(tmp_path / "data")
    assert names(tmp_path / "data") == {"a.csv"}


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("carrier==1.0", "has sha256 .*, not 00"),
        ("carrier==2.0", "pip could not download carrier==2.0: ERROR"),
    ],
)
@pytest.mark.usefixtures("wheels")
def test_another_wheel_or_none(tmp_path: Path, requirement: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        WheelArchive(requirement, "carrier/data", ("a.csv",), "00").fetch(tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert names(tmp_path / "data") == set()
