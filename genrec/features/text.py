"""Text features that need no download: TF-IDF reduced by a truncated SVD."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError, DataError
from genrec.features.base import ItemFeatures
from genrec.features.columns import TEXT_FIELDS, check_fields, documents


class TfIdf:
    """Latent semantic analysis (Deerwester et al., 1990) of title, year, genres and text.

    Term frequencies are dampened by a logarithm; English stop words are dropped. Deterministic: the SVD is
    seeded and the signs of its axes are fixed. Where the catalogue has fewer items or terms than `width`,
    the last columns are zero.

    Args:
        width: columns.
        fields: which columns of the item table are read.
        min_df: terms in fewer items than this are dropped.
        ngram: longest run of words that is a term.
        seed: of the randomised SVD.
    """

    def __init__(
        self,
        width: int = 128,
        fields: Sequence[str] = TEXT_FIELDS,
        min_df: int = 1,
        ngram: int = 1,
        seed: int = 0,
    ) -> None:
        for name, value in (("width", width), ("min_df", min_df), ("ngram", ngram)):
            if value < 1:
                raise ConfigError(f"TfIdf.{name} must be at least 1, got {value}")
        self.width = width
        self.fields = check_fields(self, fields)
        self.min_df = min_df
        self.ngram = ngram
        self.seed = seed

    def encode(self, items: ItemTable, train: Interactions) -> ItemFeatures:
        """Features [N, width]; items without any kept term are absent.

        Raises:
            DataError: no term is left in the whole catalogue.
        """
        vectorizer = TfidfVectorizer(
            sublinear_tf=True,
            stop_words="english",
            min_df=min(self.min_df, len(items)),
            ngram_range=(1, self.ngram),
            strip_accents="unicode",
            dtype=np.float32,
        )
        try:
            weights = vectorizer.fit_transform(documents(items, self.fields))  # sparse [N, terms]
        except ValueError as error:
            raise DataError(
                f"items: columns {list(self.fields)} hold no word that TfIdf could use ({error}); "
                "fill the text columns or configure another encoder"
            ) from error
        present = np.diff(weights.indptr) > 0
        kept = min(self.width, *weights.shape)
        left, strength, _ = randomized_svd(weights, kept, random_state=self.seed)
        vectors = np.zeros((len(items), self.width), dtype=np.float32)
        vectors[:, :kept] = left * strength
        vectors[~present] = 0.0
        settings = f"width={self.width}, fields={list(self.fields)}, min_df={self.min_df}, ngram={self.ngram}"
        return ItemFeatures(vectors, present, "text", f"TfIdf({settings})")
