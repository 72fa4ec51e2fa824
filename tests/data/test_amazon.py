"""The Amazon 2014 reader on small files in the published format, and on the real 5-core in its other form."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut
from genrec.data.tables import Dataset
from genrec.errors import DataError

REVIEWS = "reviews_Beauty_5.json.gz"
META = "meta_Beauty.json.gz"


def review(user: str, asin: str, overall: float, time: int) -> str:
    published = {
        "reviewerID": user,
        "asin": asin,
        "reviewerName": "Andrea",
        "helpful": [3, 4],
        "reviewText": 'Very "oily", and\tcreamy.',
        "overall": overall,
        "summary": "Don't waste your money",
        "unixReviewTime": time,
        "reviewRawTime": "01 30, 2014",
    }
    return json.dumps(published) + "\n"


EVENTS = review("A1YJ", "7806397051", 1.0, 1391040000) + review("A60X", "B004", 3.0, 1397779200)
ITEMS = (
    "{'asin': '0205616461', 'categories': [['Beauty', 'Hair Care']], 'title': 'Nobody of the 5-core has this'}\n"
    "{'asin': '7806397051', 'description': 'It\\'s a \"palette\" &amp; more.', "
    "'title': \"WAWO 15 Color &amp; Palette\", 'price': 6.99, 'related': {'also_viewed': ['B004']}, "
    "'salesRank': {'Beauty': 1}, 'brand': 'WAWO', "
    "'categories': [['Beauty', 'Makeup', 'Face'], ['Beauty', 'Makeup', 'Sets &amp; Kits']]}\n"
)


def write(folder: Path, reviews: str = EVENTS, meta: str = ITEMS) -> Path:
    (folder / REVIEWS).write_bytes(gzip.compress(reviews.encode()))
    (folder / META).write_bytes(gzip.compress(meta.encode()))
    return folder


def rows(dataset: Dataset) -> dict[str, dict[Hashable, Any]]:
    return {row["item_id"]: row for row in dataset.items.frame.to_dict("records")}


def test_reviews_and_literal_metadata(tmp_path: Path) -> None:
    dataset = load_dataset("amazon", write(tmp_path), split="beauty")
    assert dataset.name == "amazon-beauty"
    assert dataset.users.ids.tolist() == ["A1YJ", "A60X"]
    assert dataset.items.ids.tolist() == ["7806397051", "B004"]  # text, though it looks like a number
    assert dataset.interactions.timestamps is not None
    assert dataset.interactions.timestamps.tolist() == [1391040000, 1397779200]
    assert dataset.interactions.positions is None
    palette = rows(dataset)["7806397051"]
    assert palette["title"] == "WAWO 15 Color & Palette"
    assert palette["genres"] == ["Makeup", "Face", "Sets & Kits"]
    assert palette["text"] == (
        'WAWO 15 Color & Palette. WAWO. Makeup, Face, Sets & Kits. It\'s a "palette" & more'
    )


def test_items_without_metadata_keep_their_id(tmp_path: Path) -> None:
    plain = rows(load_dataset("amazon-beauty", write(tmp_path)))["B004"]
    assert (plain["title"], plain["genres"], plain["text"]) == ("B004", [], "B004")


def test_strict_json_metadata_and_missing_fields(tmp_path: Path) -> None:
    meta = '{"asin": "B004", "title": null, "categories": [["Beauty"]]}\n' + ITEMS
    plain = rows(load_dataset("amazon-beauty", write(tmp_path, meta=meta)))["B004"]
    assert (plain["title"], plain["genres"]) == ("B004", [])


@pytest.mark.parametrize(
    ("reviews", "meta", "reason"),
    [
        (EVENTS + "{\n", ITEMS, "not the published JSON"),
        (
            EVENTS + '{"asin": "B1", "overall": 1.0, "unixReviewTime": 1}\n',
            ITEMS,
            "line 3: reviewerID is missing",
        ),
        (EVENTS, ITEMS + "<html>\n", "line 3: there is no asin"),
        (
            EVENTS,
            ITEMS + "{'asin': 'B004', 'title': __import__('os')}\n",
            "line 3: .* neither a Python literal",
        ),
        (EVENTS, ITEMS + "['asin', {'asin': 'B004'}]\n", "line 3: a record is due"),
        ("", ITEMS, "Empty JSON file"),
    ],
)
def test_bad_lines_say_where(tmp_path: Path, reviews: str, meta: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        load_dataset("amazon-beauty", write(tmp_path, reviews, meta))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "processed").exists()


@pytest.mark.parametrize("name", [REVIEWS, META])
@pytest.mark.parametrize("keep", [0.0, 0.7])
def test_truncated_files_are_noticed(tmp_path: Path, name: str, keep: float) -> None:
    write(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * keep)] if keep else b"<html>moved</html>")
    with pytest.raises(DataError, match=rf"{name} is truncated"):
        load_dataset("amazon-beauty", tmp_path)
    assert not (tmp_path / "processed").exists()


def test_beauty_as_papers_hand_it_on(tmp_path: Path, shared_data: Path) -> None:
    for name in ("interactions.parquet", "items.parquet"):
        shutil.copy(shared_data / "amazon-beauty" / name, tmp_path)
    dataset = load_dataset("amazon", tmp_path, split="beauty")
    assert (len(dataset.interactions), len(dataset.users), len(dataset.items)) == (198_502, 22_363, 12_101)
    assert rows(dataset)["B004756YJA"]["genres"] == ["Makeup", "Nails", "Nail Polish"]
    split = LeaveOneOut()(dataset.interactions)
    assert split.tie_rule == "position"
    user = dataset.users.index_of("A1YJEY40YUW4SE")
    assert user is not None
    last = split.test.items[split.test.users == user]
    assert dataset.items.ids[last].tolist() == ["B002WLWX82"]
