from __future__ import annotations

import base64

import numpy as np

from genrec.evaluation.contact_sheet import contact_sheet
from genrec.evaluation.page import Picture, Pictures, Text, render_page

CODES = np.array([[0, 1], [2, 0], [2, 0], [2, 3], [2, 3], [2, 3], [0, 1], [5, 5]])
TITLES = [f"Film {i}" for i in range(len(CODES))]
GENRES: list[list[str]] = [["War"], [], ["War"], ["Drama"], ["Drama", "War"], ["Drama"], [], []]


def test_the_largest_groups_come_first() -> None:
    asked: list[int] = []

    def picture(item: int) -> bytes | None:
        asked.append(item)
        return None if item == 4 else bytes([item])

    pictured = np.arange(len(CODES)) != 7
    sections = contact_sheet(CODES, TITLES, GENRES, pictured, picture, first=2, second=2, most=2)
    assert [section.title for section in sections] == ["Code 2", "Code 0"]
    assert sections[0].blocks == (
        Pictures(
            "2, 3: 3 items; Drama 100 %, War 33 %", (Picture("Film 3", b"\x03"),)
        ),  # that of film 4 cannot be read
        Pictures("2, 0: 2 items; War 50 %", (Picture("Film 1", b"\x01"), Picture("Film 2", b"\x02"))),
    )
    assert sections[0].intro == "5 items with a picture, below 2 second codes; Drama 60 %, War 40 %."
    assert asked == [3, 4, 1, 2, 0, 6]


def test_the_page_carries_its_pictures_and_escapes_titles() -> None:
    jpeg = b"\xff\xd8 not really"
    page = render_page(
        "Sheet", contact_sheet(CODES, ["<b>"] * len(CODES), GENRES, np.ones(8, bool), lambda _: jpeg)
    )
    assert f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" in page
    assert page.count("<img ") == 8
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_without_pictures() -> None:
    (section,) = contact_sheet(CODES, TITLES, GENRES, np.zeros(8, bool), lambda _: None)
    assert isinstance(section.blocks[0], Text)
