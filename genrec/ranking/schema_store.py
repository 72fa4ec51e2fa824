"""A fitted schema in an artifact: JSON, tensors, and the log of events as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from genrec.artifacts import Manifest, Payload, load_table, load_tensors, payload_path
from genrec.data.tables import Interactions
from genrec.ranking.fitted import FittedSchema

TEXT, TABLES, LOG = "schema.json", "schema.safetensors", "log.parquet"
_COLUMNS = ("users", "items", "ratings", "timestamps", "positions")


def schema_payload(schema: FittedSchema) -> dict[str, Payload]:
    """Files for `genrec.artifacts.save_artifact`; what serves rows on another machine is complete in them."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in schema.arrays().items()}
    events = schema.log.events
    columns = {name: pa.array(column) for name in _COLUMNS if (column := getattr(events, name)) is not None}
    sizes = {"n_users": str(events.n_users), "n_items": str(events.n_items)}
    log = pa.table(columns).replace_schema_metadata(sizes)
    return {TEXT: schema.to_json(), TABLES: tensors, LOG: log}


def load_schema(folder: Path, manifest: Manifest) -> FittedSchema:
    """What `schema_payload` wrote, checked against the manifest.

    Raises:
        ArtifactError: a file is missing, damaged, or of another version.
    """
    table = load_table(folder, manifest, LOG)
    sizes = {
        key.decode(): int(value) for key, value in table.schema.metadata.items() if key.startswith(b"n_")
    }
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    log = Interactions(
        columns["users"],
        columns["items"],
        sizes["n_users"],
        sizes["n_items"],
        *(columns.get(name) for name in _COLUMNS[2:]),
    )
    arrays = {name: tensor.numpy() for name, tensor in load_tensors(folder, manifest, TABLES).items()}
    text = payload_path(folder, manifest, TEXT).read_text(encoding="utf-8")
    return FittedSchema.from_json(text, arrays, log)
