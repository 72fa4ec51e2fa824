"""Exported models on the Hugging Face Hub, or whatever HF_ENDPOINT names; the token comes from HF_TOKEN alone."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from genrec.errors import ArtifactError, ConfigError


def is_name(text: str) -> bool:
    """Whether a text looks like `user/name`."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", text) is not None


def push(folder: Path, name: str, files: Sequence[str]) -> str:
    """Upload files of a folder to the repository `user/name`, which is made if need be; returns its address.

    Raises:
        ConfigError: the name is none, HF_TOKEN is not set, or the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi  # a slow import, for those who come here
    from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

    if not is_name(name):
        raise ConfigError(f"{name!r} is not the name of a repository; pass user/name")
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise ConfigError("HF_TOKEN is not set; set it to a token that may write, then push again")
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    try:
        address = api.create_repo(name, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=folder, allow_patterns=list(files), commit_message="Export from genrec"
        )
    except (OSError, HTTPError, HFValidationError) as error:
        raise ConfigError(f"cannot push to {name} at {api.endpoint} ({_reason(error)})") from error
    return str(address)


def download(name: str, files: Sequence[str]) -> Path:
    """The local folder with the files of the repository `user/name`; downloaded once, then kept by the hub's cache.

    Raises:
        ArtifactError: there is no such repository, or it cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

    token = os.environ.get("HF_TOKEN") or False
    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        return Path(snapshot_download(name, allow_patterns=list(files), token=token, endpoint=endpoint))
    except (OSError, HTTPError, HFValidationError) as error:
        raise ArtifactError(
            f"{name} is neither a folder here nor a model that can be downloaded ({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
