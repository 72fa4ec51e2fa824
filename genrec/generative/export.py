"""A trained model as one folder that needs nothing else: weights, ids, features, and a card; on a hub if wanted.

`model.safetensors` and `config.json` are the model; `items.safetensors` and `item_ids.json` are the catalogue it
speaks of; `README.md` tells people. Nothing is pickled.

    recommender = load("folder or user/name")
    recommender.recommend([50, 181, 174], k=10)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec import __version__
from genrec.artifacts import atomic_path, write_json, write_text
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.generative import hub
from genrec.generative.base import Window
from genrec.generative.items import FEATURES
from genrec.generative.search import beam_search
from genrec.generative.seen import ClosedNodes
from genrec.generative.store import MODELS, Model, model_features, model_name
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.tokenizer.store import StoredIds

FORMAT = 1
FILES = ("config.json", "model.safetensors", "items.safetensors", "item_ids.json", "README.md")


def export(
    folder: Path,
    model: Model,
    ids: StoredIds,
    item_ids: NDArray[Any],
    *,
    dataset: str,
    metrics: Mapping[str, float],
) -> None:
    """Write a model into a folder of its own.

    Args:
        model: trained on `ids`.
        ids: semantic ids, and the features the model may read.
        item_ids: raw ids [N] of the catalogue, integers or text, in the order of `ids`.
        dataset: its name, for the card.
        metrics: figures for the card.

    Raises:
        ConfigError: the model cannot generate.
        ArtifactError: the folder cannot be written.
    """
    if isinstance(model, Timeline) and model.generator is None:
        raise ConfigError("only a model that generates can be exported; train with Timeline.code_weight > 0")
    features = _features(model, ids)
    about = {
        "format": FORMAT,
        "library": "genrec",
        "version": __version__,
        "model": model_name(model),
        "settings": model.settings,
        "features": list(features),  # in the order in which the model puts them side by side
        "codebook_sizes": list(ids.ids.sizes),
        "tokenizer": ids.ids.tokenizer,
        "dataset": dataset,
        "metrics": dict(metrics),
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(folder / "model.safetensors") as path:
        save_file(weights, path, metadata={"format": "pt"})
    catalogue = {f"features/{name}": vectors for name, vectors in features.items()}
    with atomic_path(folder / "items.safetensors") as path:
        save_file({"codes": torch.from_numpy(ids.ids.codes), **catalogue}, path, metadata={"format": "pt"})
    write_json(folder / "item_ids.json", item_ids.tolist())
    write_text(folder / "README.md", _card(about, len(item_ids), sum(t.numel() for t in weights.values())))
    write_json(folder / "config.json", about)


def _features(model: Model, ids: StoredIds) -> dict[str, Tensor]:
    """What the model reads of each modality, in the scale of its training."""
    content = model.items.features if isinstance(model, Timeline) else None
    if content is None:
        return {}
    inputs = model.settings["inputs"]
    widths = {
        name: block.shape[1]
        for name, block in model_features(ids).items()
        if name in inputs or FEATURES in inputs
    }
    blocks = torch.split(content.cpu(), list(widths.values()), dim=1)
    return {name: block.contiguous() for name, block in zip(widths, blocks, strict=True)}


class Recommender:
    """A model with the raw ids of the items it speaks of.

    Args:
        model: in eval mode.
        item_ids: raw ids [N], by dense index.
    """

    def __init__(self, model: Model, item_ids: list[int] | list[str]) -> None:
        self.model, self.item_ids = model, item_ids
        self._index = {str(raw): i for i, raw in enumerate(item_ids)}

    @torch.no_grad()
    def recommend(
        self,
        history: Sequence[int | str],
        k: int = 10,
        *,
        times: Sequence[int] | None = None,
        user: int = 0,
        exclude_seen: bool = True,
        width: int = 50,
    ) -> list[tuple[int | str, float]]:
        """The k best next items, each with its log-probability, best first.

        Args:
            history: raw item ids, oldest first; ids that are not in the catalogue are passed over.
            k: length of the list; it is shorter where the beam or the catalogue ends.
            times: seconds of each event, for models that read time intervals.
            user: dense index of the user in training, for models with a token for the user.
            exclude_seen: leave out items of the history.
            width: beam width; at least k is used.

        Raises:
            DataError: no item of a history is in the catalogue, or times are not one per item.
            ConfigError: k or width is not positive.
        """
        if times is not None and len(times) != len(history):
            raise DataError(f"times has {len(times)} values for a history of {len(history)} items")
        known = [place for place, raw in enumerate(history) if str(raw) in self._index]
        if len(history) and not known:
            raise DataError(
                f"none of the {len(history)} items of the history is in the catalogue, whose ids are like "
                f"{', '.join(map(repr, self.item_ids[:3]))}; pass ids of the dataset the model was trained on"
            )
        tree = self.model.tree
        device = tree.leaf_item.device
        items = torch.tensor([self._index[str(history[i])] for i in known], dtype=torch.int64, device=device)
        seconds = None if times is None else torch.tensor([times[i] for i in known], device=device)
        window = Window(
            _one_row(items, self.model.max_length, -1),
            torch.tensor([user], device=device),
            None if seconds is None else _one_row(seconds, self.model.max_length, 0),
        )
        closed = ClosedNodes.of(tree, torch.zeros_like(items), items) if exclude_seen else None
        found, scores = beam_search(self.model.scorer(window), tree, width=max(width, k), k=k, closed=closed)
        return [
            (self.item_ids[item], score)
            for item, score in zip(found[0].tolist(), scores[0].tolist(), strict=True)
            if item >= 0
        ]


def _one_row(values: Tensor, length: int, empty: int) -> Tensor:
    """The last `length` of values [M] as [1, T], T at least 1."""
    return values[-length:][None] if len(values) else torch.full((1, 1), empty, device=values.device)


def load(source: str | Path) -> Recommender:
    """Read what `export` wrote, or `user/name` from a hub.

    Raises:
        ArtifactError: it is not there, not of this format, or damaged.
    """
    folder = Path(source)
    if not folder.is_dir() and hub.is_name(str(source)):
        folder = hub.download(str(source), FILES)
    missing = [name for name in FILES[:-1] if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(f"{source} is not an exported model: {', '.join(missing)} is missing")
    about = json.loads((folder / "config.json").read_text("utf-8"))
    if about.get("library") != "genrec" or about.get("format") != FORMAT or about.get("model") not in MODELS:
        raise ArtifactError(
            f"{source} was not exported by this version of genrec ({__version__}); export the model again"
        )
    item_ids = json.loads((folder / "item_ids.json").read_text("utf-8"))
    try:
        catalogue = load_file(folder / "items.safetensors")
        codes = catalogue["codes"].numpy()
        features = {name: catalogue[f"features/{name}"] for name in about["features"]}
        tree = CodeTree.of(codes, tuple(about["codebook_sizes"]))
        model = MODELS[about["model"]](tree, features, **about["settings"])
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"{source} is damaged or of another version ({reason}); export the model again"
        ) from error
    if len(item_ids) != len(codes):
        raise ArtifactError(
            f"{source} has {len(codes)} items but {len(item_ids)} ids; export the model again"
        )
    return Recommender(model.eval(), item_ids)


def _card(about: Mapping[str, Any], n_items: int, n_weights: int) -> str:
    rows = "\n".join(f"| {name} | {value:.4f} |" for name, value in about["metrics"].items())
    return f"""---
library_name: genrec
tags:
- recommendation
- generative-retrieval
- semantic-ids
---

# {about["model"]} for {about["dataset"]}

A generative recommender: it reads the items of a history and generates the semantic id of the next one, within the
tree of the ids that exist. {n_items} items, {n_weights / 1e6:.2f} million weights, ids by {about["tokenizer"]} with
codebooks {" x ".join(map(str, about["codebook_sizes"]))}.

## Use

```python
from genrec.generative.export import load

recommender = load("this folder, or user/name on the hub")
recommender.recommend([ITEM_ID, ...], k=10)  # [(item id, log-probability), ...]
```

Item ids are those of {about["dataset"]}, the oldest first; `item_ids.json` lists them.

## Figures

| figure | value |
|---|---|
{rows}

Exact items, full catalogue, masked history, on validation; made with genrec {about["version"]}.
"""
