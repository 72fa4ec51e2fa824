"""A page of posters grouped by the first two codes of their semantic ids: what the codes mean, to look at.

    python experiments/contact_sheet.py --dataset ml1m-content --dataset-folder dataset/ml-1m-content \\
        --semantic-ids-path out/ml1m-content/tokenizer

Posters are those of the item table, or posters/<item id>.jpg in the dataset's folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gin
import numpy as np

from genrec import config
from genrec.data.load import load_dataset
from genrec.errors import DataError
from genrec.evaluation.contact_sheet import contact_sheet
from genrec.evaluation.page import write_page
from genrec.features.images.decode import UnreadableImage
from genrec.features.images.thumbnail import thumbnail
from genrec.tokenizer.store import load_ids


@gin.configurable
def sheet(
    *,
    dataset: str,
    dataset_folder: str | None = None,
    semantic_ids_path: str | None = None,
    first: int = 24,
    second: int = 6,
    most: int = 10,
    out: str | None = None,
) -> None:
    """Write the page.

    Args:
        dataset: name of the dataset.
        dataset_folder: where its files and posters are.
        semantic_ids_path: the tokenizer's artifact; out/<dataset>/tokenizer if not given.
        first: how many first codes are shown, the largest.
        second: how many second codes below each.
        most: pictures of each.
        out: output folder; that of the ids if not given.
    """
    data = load_dataset(dataset, dataset_folder)
    folder = Path(semantic_ids_path or f"out/{data.name}/tokenizer")
    codes = load_ids(folder, data.items).ids.codes
    if codes.shape[1] < 2:
        raise DataError(f"the ids in {folder} have one code, and the sheet groups by two; train longer ids")
    home = Path(dataset_folder or Path("dataset") / data.name)
    named = data.items.frame["image_path"].tolist()
    paths = [
        home / (name if isinstance(name, str) else f"posters/{item}.jpg")
        for name, item in zip(named, data.items.ids.tolist(), strict=True)
    ]
    pictured = np.array([path.is_file() for path in paths])

    def picture(item: int) -> bytes | None:
        try:
            return thumbnail(paths[item])
        except UnreadableImage:
            return None

    titles, genres = (data.items.frame[column].tolist() for column in ("title", "genres"))
    sections = contact_sheet(codes, titles, genres, pictured, picture, first=first, second=second, most=most)
    about = f"{int(pictured.sum())} of {len(paths)} items have a picture; the largest groups are shown."
    target = Path(out or folder) / "contact_sheet.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    print(write_page(target, f"Semantic IDs of {data.name} in pictures", sections, about))


if __name__ == "__main__":
    sys.exit(
        config.main(
            sheet,
            description=__doc__,
            options={"dataset": str, "dataset_folder": str, "semantic_ids_path": str},
        )
    )
