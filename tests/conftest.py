"""What tests share: where real data is, and ML-100K."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from genrec.data.load import load_dataset
from genrec.data.tables import Dataset

# How fast a property is checked says nothing about it, least of all on a busy machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data files: GENREC_SHARED_DATA, or `../shared/data` beside the repository."""
    folder = Path(os.environ.get("GENREC_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; point GENREC_SHARED_DATA to it")
    return folder


@pytest.fixture(scope="session")
def ml100k() -> Dataset:
    """MovieLens 100K in the repository's `dataset/`, downloaded where it is not there."""
    return load_dataset("ml100k", ROOT / "dataset" / "ml-100k")
