"""CLIP (Radford et al., 2021) through open_clip: pictures and texts in one space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from genrec.errors import ConfigError, DataError
from genrec.features.images.network import ImageNetwork
from genrec.features.images.preparation import Preparation
from genrec.features.images.published import hub_file, published_file
from genrec.features.images.weights import DEFAULT, NONE, drawn_alike, local_file, read_state

if TYPE_CHECKING:
    from open_clip import CLIP

DEFAULT_TAGS = {"ViT-B-32": "laion2b_s34b_b79k"}
"""Network -> the weights meant by `default`; for others, the first that open_clip lists."""

_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


class _ImageTower(nn.Module):
    """The half of CLIP that reads pictures."""

    def __init__(self, clip: CLIP) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] to [B, D]."""
        return cast(Tensor, self.clip.encode_image(pixels))


class ClipModel:
    """The image features of a CLIP network, in the space that they share with texts.

    Args:
        model: a network that open_clip has the configuration of, such as `ViT-B-32`.
        weights: `default`, a pretrained tag of open_clip such as `openai`, a local file, or `none`.
    """

    def __init__(self, model: str = "ViT-B-32", weights: str = DEFAULT) -> None:
        self.model = model
        self.weights = weights

    def build(self) -> ImageNetwork:
        """The image tower; see `ImageModel`."""
        import_open_clip(self.model)
        clip, source = load_clip(self.model, self.weights)
        settings = clip.visual.preprocess_cfg
        size = settings["size"]
        height, width = (size, size) if isinstance(size, int) else size
        if height != width or settings["resize_mode"] not in ("shortest", "squash"):
            raise ConfigError(
                f"clip/{self.model} wants {width} x {height} pixels resized by {settings['resize_mode']!r}; only "
                "squares, by shortest or squash, are supported: take another network"
            )
        preparation = Preparation(
            size=height,
            resize=height,
            filter=settings["interpolation"],
            mean=tuple(settings["mean"]),
            deviation=tuple(settings["std"]),
            squash=settings["resize_mode"] == "squash",
        )
        return ImageNetwork(f"clip/{self.model}", source, _ImageTower(clip).eval(), preparation)


def import_open_clip(model: str) -> Any:
    """The package, imported late because that takes seconds.

    Raises:
        ConfigError: it is not installed, or does not know the network.
    """
    try:
        import open_clip
    except ImportError as error:
        raise ConfigError(
            f"clip/{model} needs the package open_clip_torch; install it with `pip install 'genrec[image]'`"
        ) from error
    if open_clip.get_model_config(model) is None:
        close = [name for name in open_clip.list_models() if model.lower() in name.lower()][:5]
        advice = f"; did you mean {', '.join(close)}?" if close else "; see open_clip.list_models()"
        raise ConfigError(
            f"ClipModel.model {model!r} is unknown to open_clip {open_clip.__version__}{advice}"
        )
    return open_clip


def load_clip(model: str, weights: str) -> tuple[CLIP, str]:
    """A CLIP network with its weights, and where they are from.

    Raises:
        ConfigError: the package is missing, or a name is unknown.
        DataError: the weights cannot be had, or are another network's.
    """
    open_clip = import_open_clip(model)
    tags = open_clip.list_pretrained_tags_by_model(model)
    file = local_file(weights)
    tag = DEFAULT_TAGS.get(model, next(iter(tags), NONE)) if weights == DEFAULT else weights
    if file is None and tag != NONE and tag not in tags:
        raise ConfigError(
            f"ClipModel.weights must be a file or one of {', '.join((DEFAULT, NONE, *tags))} for {model}, got {tag!r}"
        )
    published = open_clip.get_pretrained_cfg(model, tag) or {} if file is None else {}
    path = file or (_published(published) if published else None)
    with drawn_alike():
        clip = open_clip.create_model(
            model,
            pretrained_text=False,
            force_quick_gelu=bool(published.get("quick_gelu")),
            force_preprocess_cfg={key: published[key] for key in _PREPROCESSING if key in published},
        )
    if path is not None:
        _fill(open_clip, clip, path, f"clip/{model}")
    return cast("CLIP", clip.eval()), tag if file is None else file.name


_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


def _fill(open_clip: Any, clip: nn.Module, path: Path, model: str) -> None:
    """Load weights with open_clip's own conversions, which bring several formats to one."""
    if path.suffix != ".npz":
        read_state(path)  # says what is wrong with a file that holds no state dict
    try:
        open_clip.load_checkpoint(clip, str(path), strict=True, weights_only=True)
    except (RuntimeError, KeyError, ValueError, AttributeError, IndexError) as error:
        raise DataError(
            f"weights {path} are not those of {model}; give a file made for this network, or name the network that "
            "it was made for"
        ) from error


def _published(settings: dict[str, Any]) -> Path:
    """The file of a pretrained tag, downloaded unless it is in a cache."""
    if settings.get("hf_hub"):
        repository, _, file = settings["hf_hub"].rpartition("/")
        return hub_file(repository, [file] if file else _HUB_FILES)
    return published_file({settings["url"].rpartition("/")[2]: settings["url"]})
