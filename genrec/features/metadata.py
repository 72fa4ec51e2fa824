"""Item features from the item table alone: genres, year, title tokens."""

from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemEncoder, ItemFeatures
from genrec.features.columns import column, genre_pairs, titles
from genrec.features.fusion import Concat

MODALITY = "metadata"


class Genres:
    """Genres, multi-hot over the sorted names.

    If some item has none, a last column says so: MovieLens-25M, with 19 genres and films without any, has 20
    columns. Having no genre is knowledge too, so every item is present.
    """

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, number of genres (+ 1)] of 0 and 1."""
        item, genre = genre_pairs(items)
        names, columns = np.unique(genre.astype(str), return_inverse=True)
        hot = np.zeros((len(items), len(names) + 1), dtype=np.float32)
        hot[item, columns] = 1.0
        hot[:, -1] = ~hot.any(axis=1)
        if not hot[:, -1].any():
            hot = hot[:, :-1]
        return ItemFeatures(hot, np.ones(len(items), dtype=bool), MODALITY, "Genres()")


class Year:
    """The year, scaled to mean 0 and deviation 1, and a second column of ones where there is one."""

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, 2]; items without a year are absent."""
        year = column(items, "year").astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        present = np.isfinite(year)
        vectors = np.zeros((len(items), 2), dtype=np.float32)
        if present.any():
            known = year[present]
            vectors[present, 0] = (known - known.mean()) / max(float(known.std()), 1.0)
            vectors[present, 1] = 1.0
        return ItemFeatures(vectors, present, MODALITY, "Year()")


class TitleTokens:
    """Words and pairs of words of the title, hashed with signs into `width` columns, L2-normalised.

    Feature hashing (Weinberger et al., 2009, "Feature Hashing for Large Scale Multitask Learning", section 2)
    needs no vocabulary, so a new item changes no other item's vector. The year at the end of a title is not
    a token.

    Args:
        width: columns.
    """

    def __init__(self, width: int = 128) -> None:
        if width < 1:
            raise ConfigError(f"TitleTokens.width must be at least 1, got {width}")
        self.width = width

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, width]; items whose title has no word are absent."""
        hasher = HashingVectorizer(n_features=self.width, ngram_range=(1, 2), dtype=np.float32)
        vectors = hasher.transform(titles(items)).toarray()
        return ItemFeatures(vectors, vectors.any(axis=1), MODALITY, f"TitleTokens(width={self.width})")


class Metadata:
    """Genres and year, and title tokens if they are given a width, side by side.

    Args:
        title_width: columns of hashed title tokens; 0 leaves them out.
        year: whether the year is used.
    """

    def __init__(self, title_width: int = 0, year: bool = True) -> None:
        if title_width < 0:
            raise ConfigError(f"Metadata.title_width must not be negative, got {title_width}")
        encoders: list[ItemEncoder] = [Genres()]
        if year:
            encoders.append(Year())
        if title_width:
            encoders.append(TitleTokens(title_width))
        self._parts = Concat(encoders)

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, genres (+ 2) (+ title_width)]."""
        return self._parts.encode(items, train)
