"""The pass over the posters of a catalogue: what is written, what is listed, what a second run repeats."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from genrec.data.tables import Dataset, Interactions, ItemTable, UserTable
from genrec.errors import ConfigError, DataError
from genrec.features.images import loader
from genrec.features.images.extract import NOT_FINITE, Extraction
from genrec.features.images.loader import decoded_batches
from genrec.features.images.network import ImageNetwork
from genrec.features.images.posters import MISSING, find_posters
from genrec.features.images.preparation import Preparation
from genrec.features.images.shards import read_shard
from genrec.features.poster_file import PosterFile
from genrec.features.poster_manifest import manifest_path, read_poster_manifest

N = 30
GONE, EMPTY, HTML, BLACK, POISON = 3, 7, 11, 13, 17
PREPARATION = Preparation(8, 9, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
NO_EVENTS = np.empty(0, np.int32)


class MeanColour(nn.Module):
    """Three columns; a red picture is poison to it."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.pictures = 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.pictures += len(pixels)
        mean: Tensor = pixels.mean(dim=(2, 3)) * self.gain
        return torch.where(mean[:, :1] > 0.99, torch.nan, mean)


def colour(item: int) -> tuple[int, int, int]:
    special = {BLACK: (0, 0, 0), POISON: (255, 0, 0)}
    return special.get(item, (10 + item, 5 * item, 200 - item))


@pytest.fixture
def posters(tmp_path: Path) -> Path:
    folder = tmp_path / "data/posters"
    folder.mkdir(parents=True)
    for item in range(N):
        Image.new("RGB", (20, 30), colour(item)).save(folder / f"{item * 10}.png")
    (folder / f"{GONE * 10}.png").unlink()
    (folder / f"{EMPTY * 10}.png").write_bytes(b"")
    (folder / f"{HTML * 10}.png").write_text("<html>")
    (folder / "12345.png").write_text("of no item")
    return folder


def dataset(size: int = N) -> Dataset:
    items = ItemTable(pd.DataFrame({"item_id": np.arange(size) * 10, "image_path": pd.NA}))
    users = UserTable(pd.DataFrame({"user_id": NO_EVENTS}))
    return Dataset("small", Interactions(NO_EVENTS, NO_EVENTS, 0, size), items, users, "abc")


def network() -> ImageNetwork:
    return ImageNetwork("mean", "none", MeanColour().eval(), PREPARATION)


def encoded(net: ImageNetwork) -> int:
    """Pictures it has seen so far."""
    module = net.module
    assert isinstance(module, MeanColour)
    return module.pictures


def extract(
    posters: Path, out: Path, net: ImageNetwork, workers: int = 0, data: Dataset | None = None
) -> None:
    data = data or dataset()
    found = find_posters(data.items, posters, posters.parent)
    Extraction(net, batch_size=4, workers=workers, shard_size=10)(data, found, out)


@pytest.mark.parametrize("workers", [0, 2])
def test_vectors_are_aligned_and_what_has_none_is_listed(tmp_path: Path, posters: Path, workers: int) -> None:
    out = tmp_path / "out/features.npy"
    extract(posters, out, network(), workers)
    vectors = np.load(out)
    assert (vectors.shape, vectors.dtype) == ((N, 3), np.float32)
    bad = {
        GONE: MISSING,
        EMPTY: "the file is empty",
        HTML: "not an image in a known format",
        POISON: NOT_FINITE,
    }
    present = ~np.isin(np.arange(N), list(bad))
    expected = np.array([colour(item) for item in range(N)]) / 255
    np.testing.assert_allclose(vectors[present], expected[present], atol=1e-5)
    assert not vectors[~present].any()
    manifest = read_poster_manifest(out)
    assert manifest is not None
    np.testing.assert_array_equal(manifest.mask, present)
    assert manifest.counts == {"items": N, "encoded": N - 4, "missing": 1, "failed": 3}
    rows = list(csv.DictReader((out.parent / manifest.failures).open()))
    assert {int(row["item_id"]) // 10: row["reason"] for row in rows} == bad
    assert rows[0]["path"] == ""
    assert rows[1]["path"] == str(posters / f"{EMPTY * 10}.png")
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "features.failed.csv",
        "features.json",
        "features.npy",
    ]


def test_a_black_poster_is_there_although_its_vector_is_zero(tmp_path: Path, posters: Path) -> None:
    out = tmp_path / "features.npy"
    extract(posters, out, network())
    data = dataset()
    features = PosterFile(str(out)).encode(data.items, data.interactions)
    assert not features.vectors[BLACK].any()
    assert features.present[BLACK]
    assert not features.present[GONE]
    assert features.encoder == "PosterFile(features.npy: mean, weights none)"
    assert features.weights_hash == network().weights_hash
    manifest_path(out).unlink()
    assert not PosterFile(str(out)).encode(data.items, data.interactions).present[BLACK], (
        "the rule without it"
    )


def test_features_that_do_not_fit_their_manifest_or_catalogue_are_refused(
    tmp_path: Path, posters: Path
) -> None:
    out, data = tmp_path / "features.npy", dataset()
    extract(posters, out, network())

    def refusal(items: ItemTable) -> str:
        with pytest.raises(DataError) as caught:
            PosterFile(str(out)).encode(items, data.interactions)
        return str(caught.value)

    others = ItemTable(pd.DataFrame({"item_id": np.arange(N) * 10 + 1}))
    assert "were made for another catalogue (small: other item ids)" in refusal(others)
    whole = manifest_path(out).read_text()
    np.save(out, np.load(out) + 1)
    assert "are not those that" in refusal(data.items)
    manifest_path(out).write_text(whole[:100])
    assert "does not describe poster features" in refusal(data.items)
    manifest_path(out).write_text(whole.replace('"schema": 1', '"schema": 2'))
    assert "has schema 2, this code reads 1" in refusal(data.items)


def test_a_second_run_repeats_nothing_until_something_changes(tmp_path: Path, posters: Path) -> None:
    out, net = tmp_path / "features.npy", network()
    extract(posters, out, net)
    first, seen = out.read_bytes(), encoded(net)
    extract(posters, out, net)
    assert encoded(net) == seen
    Image.new("RGB", (20, 30), (1, 2, 3)).save(posters / f"{GONE * 10}.png")
    extract(posters, out, net)
    assert encoded(net) > seen
    np.testing.assert_allclose(np.load(out)[GONE] * 255, [1, 2, 3], atol=0.01)
    other = network()
    with torch.no_grad():
        next(other.module.parameters()).mul_(2)
    extract(posters, out, other)
    np.testing.assert_allclose(
        np.load(out)[0], np.frombuffer(first[-N * 12 :], np.float32)[:3] * 2, rtol=1e-5
    )


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set torch's number of threads; undone after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_number_of_threads_changes_no_bit_and_is_left_as_it_was(
    tmp_path: Path, posters: Path, threads: Callable[[int], None]
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    for count in (1, 3):
        threads(count)
        extract(posters, tmp_path / f"{count}.npy", ImageNetwork("small", "none", module, PREPARATION))
        assert torch.get_num_threads() == count
    assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "3.npy").read_bytes()


def test_a_stopped_run_goes_on_at_its_shard(
    tmp_path: Path, posters: Path, threads: Callable[[int], None]
) -> None:
    threads(1)
    whole, out = tmp_path / "whole.npy", tmp_path / "stopped.npy"
    extract(posters, whole, network())

    class Stops(MeanColour):
        def forward(self, pixels: Tensor) -> Tensor:
            if self.pictures > 14:
                raise KeyboardInterrupt
            return super().forward(pixels)

    with pytest.raises(KeyboardInterrupt):
        extract(posters, out, ImageNetwork("mean", "none", Stops().eval(), PREPARATION))
    kept = list((tmp_path / ".stopped-shards").iterdir())
    assert len(kept) == 1
    assert not out.exists()
    net = network()
    extract(posters, out, net)
    # One picture tells the width; 26 can be decoded, 9 of them in the shard that was kept (one is empty).
    assert encoded(net) == 1 + 27 - 9
    assert out.read_bytes() == whole.read_bytes()
    assert not (tmp_path / ".stopped-shards").exists()


def test_a_damaged_shard_is_made_again(
    tmp_path: Path, posters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.npy", tmp_path / "again.npy"
    monkeypatch.setattr(shutil, "rmtree", lambda _: None)
    extract(posters, whole, network())
    (tmp_path / ".whole-shards").rename(tmp_path / ".again-shards")
    shards = sorted((tmp_path / ".again-shards").iterdir())
    assert len(shards) == 3
    shards[0].write_bytes(shards[0].read_bytes()[:-5])
    assert read_shard(shards[0]) is None
    net = network()
    extract(posters, out, net)
    assert 1 < encoded(net) <= 11
    assert out.read_bytes() == whole.read_bytes()


def test_where_a_poster_is(tmp_path: Path, posters: Path) -> None:
    elsewhere = tmp_path / "data/art/first.jpeg"
    elsewhere.parent.mkdir()
    Image.new("RGB", (20, 30)).save(elsewhere)
    frame = pd.DataFrame(
        {"item_id": ["0", "10", "ghost"], "image_path": ["art/first.jpeg", None, "art/no.jpg"]}
    )
    found = find_posters(ItemTable(frame), posters, tmp_path / "data")
    assert [(poster.item, poster.path) for poster in found] == [(0, elsewhere), (1, posters / "10.png")]
    stamp = found[1].stamp
    os.utime(posters / "10.png", (1, 1))
    assert find_posters(ItemTable(frame), posters, tmp_path / "data")[1].stamp != stamp
    with pytest.raises(
        DataError, match=r"no poster of any of the 1 items .* experiments/download_posters\.py"
    ):
        find_posters(ItemTable(frame[2:]), tmp_path / "nowhere", tmp_path / "data")


def test_if_no_poster_can_be_read_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "posters").mkdir()
    (tmp_path / "posters/0.jpg").write_text("no")
    with pytest.raises(DataError, match=r"none of the 1 posters can be read .*0\.jpg: not an image"):
        extract(tmp_path / "posters", tmp_path / "f.npy", network(), data=dataset(2))
    assert not (tmp_path / "f.npy").exists()


def test_a_decoding_process_that_dies_is_one_sentence(
    tmp_path: Path, posters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "read_picture", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DataError, match=r"was killed, for lack of memory .* extract\.workers = 0"):
        extract(posters, tmp_path / "f.npy", network(), workers=1)


def test_arguments_are_checked() -> None:
    for name in ("batch_size", "shard_size"):
        with pytest.raises(ConfigError, match=f"extract.{name} must be at least 1, got 0"):
            Extraction(network(), **{name: 0})
    with pytest.raises(ConfigError, match=r"extract\.workers must be 0 or more, got -1"):
        next(decoded_batches([], [], PREPARATION, -1))
