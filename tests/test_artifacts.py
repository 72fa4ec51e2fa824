"""Artifacts: whole or not at all, and never another one than was meant."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genrec import artifacts
from genrec.artifacts import (
    MANIFEST,
    Manifest,
    artifact_files,
    atomic_path,
    check_input,
    file_hash,
    input_ref,
    load_array,
    load_json,
    load_tensors,
    payload_path,
    read_manifest,
    save_artifact,
    stage_folder,
    write_json,
)
from genrec.errors import ArtifactError


def save(folder: Path, start: int = 0, *, inputs: dict[str, dict[str, str]] | None = None) -> Manifest:
    return save_artifact(
        folder,
        kind="thing",
        payload={
            "numbers.npy": np.arange(start, start + 5),
            "weights.safetensors": {"w": torch.full((2, 3), float(start)).T},
            "settings.json": json.dumps({"start": start}),
        },
        config=f"train.start = {start}\n",
        inputs=inputs,
        metrics={"loss": 0.5},
        facts={"sizes": [4, 4]},
        rerun="python make_thing.py",
    )


def numbers(folder: Path) -> list[int]:
    manifest = read_manifest(folder, "thing")
    assert load_json(folder, manifest, "settings.json") == {
        "start": load_array(folder, manifest, "numbers.npy")[0]
    }
    found: list[int] = load_array(folder, manifest, "numbers.npy").tolist()
    return found


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_round_trip(tmp_path: Path) -> None:
    saved = save(tmp_path / "deep" / "folder", 7, inputs={"dataset": input_ref("ml100k", "ab")})
    folder = tmp_path / "deep" / "folder"
    manifest = read_manifest(folder, "thing")
    assert manifest == saved
    assert manifest.identity == saved.identity
    assert numbers(folder) == [7, 8, 9, 10, 11]
    assert torch.equal(load_tensors(folder, manifest, "weights.safetensors")["w"], torch.full((3, 2), 7.0))
    assert (folder / "config.gin").read_text() == "train.start = 7\n"
    assert manifest.inputs == {"dataset": {"path": "ml100k", "hash": "ab"}}


def test_identity_is_of_the_content_alone(tmp_path: Path) -> None:
    one, same, other = save(tmp_path / "a"), save(tmp_path / "b", inputs={"x": {}}), save(tmp_path / "c", 1)
    assert one.identity == same.identity != other.identity


def test_a_new_build_removes_what_it_replaces_and_nothing_else(tmp_path: Path) -> None:
    save(tmp_path, 0)
    for left in (".writing-numbers.npy", "..writing-numbers-x1.npy", ".manifest-x1.json", ".config-x1.gin"):
        (tmp_path / left).write_text("of a killed process")
    (tmp_path / "notes.txt").write_text("mine")
    save(tmp_path, 1)
    kinds = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert kinds == ["config.gin", "manifest.json", "notes.txt", "numbers", "settings", "weights"]
    assert numbers(tmp_path) == [1, 2, 3, 4, 5]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_killed_before_the_manifest_leaves_the_old_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: int
) -> None:
    save(tmp_path, 0)
    victims = ("write_json", "file_hash", "save_file")

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(artifacts, victims[victim], die)
        with pytest.raises(Killed):
            save(tmp_path, 1)
    assert numbers(tmp_path) == [0, 1, 2, 3, 4]
    assert (tmp_path / "config.gin").read_text() == "train.start = 0\n"
    save(tmp_path, 2)
    assert numbers(tmp_path) == [2, 3, 4, 5, 6]


def test_killed_after_the_manifest_leaves_the_new_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 0)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "_remove_replaced", die)
        with pytest.raises(Killed):
            save(tmp_path, 1)
    assert numbers(tmp_path) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("writer", "error", "reason"),
    [
        ("numpy.save", OSError("40 requested and 0 written"), "40 requested"),
        ("os.fsync", OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        ("genrec.artifacts.save_file", artifacts.SafetensorError("No space left"), "No space left"),
    ],
)
def test_a_full_disk_leaves_the_old_artifact_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, error: Exception, reason: str
) -> None:
    save(tmp_path, 0)

    def full(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(writer, full)
        with pytest.raises(ArtifactError, match=f"cannot write .*{reason}.*; free space"):
            save(tmp_path, 1)
    assert numbers(tmp_path) == [0, 1, 2, 3, 4]
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"cannot write .*choose another --out"):
        save(tmp_path / "file" / "below")


def test_atomic_path_leaves_nothing_when_its_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "x.txt") as path:
            path.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_missing_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no thing artifact in .*; run `make it` first"):
        read_manifest(tmp_path, "thing", rerun="make it")


def test_foreign_kind(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(ArtifactError, match=r"holds a thing artifact where other is needed"):
        read_manifest(tmp_path, "other")


def test_another_schema(tmp_path: Path) -> None:
    save(tmp_path)
    edit_manifest(tmp_path, schema=99)
    with pytest.raises(
        ArtifactError, match=r"schema 99, this code reads 1; run `python make_thing.py` again"
    ):
        read_manifest(tmp_path, "thing")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", '{"kind": "thing"}', b"\xff\xfe", "<html></html>"],
)
def test_a_file_that_is_no_manifest(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ArtifactError, match=r"is not a manifest of genrec"):
        read_manifest(tmp_path, "thing")


@pytest.mark.parametrize(
    "changes",
    [{"files": "all"}, {"files": {"numbers.npy": {"path": "x"}}}, {"metrics": {"a": []}}, {"facts": 1}],
)
def test_a_manifest_with_wrong_parts(tmp_path: Path, changes: dict[str, Any]) -> None:
    save(tmp_path)
    edit_manifest(tmp_path, **changes)
    with pytest.raises(ArtifactError, match=f"is not a manifest of genrec .{next(iter(changes))}"):
        read_manifest(tmp_path, "thing")


@pytest.mark.parametrize("name", ["numbers.npy", "weights.safetensors", "settings.json"])
def test_one_damaged_byte(tmp_path: Path, name: str) -> None:
    path = payload_path(tmp_path, save(tmp_path), name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=r"was changed or damaged .*run `python make_thing.py` again"):
        payload_path(tmp_path, read_manifest(tmp_path, "thing"), name)


def test_a_payload_that_was_removed_or_never_there(tmp_path: Path) -> None:
    manifest = save(tmp_path)
    payload_path(tmp_path, manifest, "numbers.npy").unlink()
    with pytest.raises(ArtifactError, match=r"is missing although the manifest names it"):
        load_array(tmp_path, manifest, "numbers.npy")
    with pytest.raises(ArtifactError, match=r"has no codes\.npy"):
        load_array(tmp_path, manifest, "codes.npy")


@pytest.mark.parametrize("name", ["../secret.npy", "/etc/passwd", "..", "", "sub/x.npy", "./x.npy"])
def test_a_manifest_that_names_files_elsewhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "artifact"
    save(folder)
    np.save(tmp_path / "secret.npy", np.arange(3))
    stolen = {"path": name, "sha256": file_hash(tmp_path / "secret.npy")}
    edit_manifest(folder, files={"numbers.npy": stolen})
    with pytest.raises(ArtifactError, match=r"outside its folder"):
        load_array(folder, read_manifest(folder, "thing"), "numbers.npy")


def test_objects_are_never_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pickle"):
        save_artifact(tmp_path, kind="thing", payload={"x.npy": np.array([{}], dtype=object)}, config="")
    assert list(tmp_path.iterdir()) == []


def test_an_input_that_changed(tmp_path: Path) -> None:
    manifest = save(tmp_path, inputs={"ids": input_ref("out/ids", "1" * 64)})
    check_input(manifest, tmp_path, "ids", "1" * 64)
    with pytest.raises(
        ArtifactError, match=r"made from ids 11111111 \(out/ids\), but here it is 22222222; run"
    ):
        check_input(manifest, tmp_path, "ids", "2" * 64)
    with pytest.raises(ArtifactError, match=r"made from features unknown"):
        check_input(manifest, tmp_path, "features", "2" * 64)


def test_where_stages_write() -> None:
    assert stage_folder(None, "ml1m", "tokenizer") == Path("out/ml1m/tokenizer")
    assert stage_folder("here", "ml1m", "tokenizer") == Path("here")


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"title": "Amélie"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "title": "Amélie"\n}\n'


def test_files_of_an_artifact_and_of_those_below_it(tmp_path: Path) -> None:
    below = save_artifact(tmp_path / "part", kind="part", payload={"b.json": "2"}, config="")
    inputs = {"part": input_ref(tmp_path / "part", below.identity), "other": input_ref("elsewhere/x", "0")}
    save_artifact(tmp_path, kind="whole", payload={"a.json": "1"}, config="", inputs=inputs)
    names = artifact_files(tmp_path)
    assert len(names) == len(set(names)) == 6
    assert all((tmp_path / name).is_file() for name in names)
    assert {Path(name).parent.name for name in names} == {"", "part"}
