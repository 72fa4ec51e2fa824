"""Skip-gram with negative sampling over sequences of items, by gensim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.errors import ConfigError

LONGEST = 10_000
"""Words that gensim reads of a sentence; it drops what comes after, so longer sequences are cut."""


@dataclass(frozen=True)
class SkipGram:
    """Vectors by which items predict the items around them (Mikolov et al. 2013; on items: Barkan & Koenigstein 2016).

    Attributes:
        width: D.
        window: items to each side, at most: each item draws how many.
        negatives: noise items per pair.
        exponent: of the popularity by which noise is drawn: words like 0.75, items often less, even below 0
            (Caselles-Dupre et al. 2018).
        sample: popular items are left out at random, the more the lower this share; 0 keeps all.
        min_count: items with fewer occurrences get no vector.
        epochs: passes over the sequences.
        learning_rate: at the beginning; falls to nearly nothing.
        seed: of everything random.

    Raises:
        ConfigError: a value is out of range; on use, gensim is missing.
    """

    width: int = 64
    window: int = 5
    negatives: int = 5
    exponent: float = 0.75
    sample: float = 0.0
    min_count: int = 1
    epochs: int = 20
    learning_rate: float = 0.025
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "window", "negatives", "min_count", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"SkipGram.{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.sample < 1:
            raise ConfigError(f"SkipGram.sample must be in [0, 1), got {self.sample}")
        if not self.learning_rate > 0:
            raise ConfigError(f"SkipGram.learning_rate must be above 0, got {self.learning_rate}")
        if self.seed < 0:
            raise ConfigError(f"SkipGram.seed must be 0 or more, got {self.seed}")

    def vectors(self, sequences: Histories) -> NDArray[np.float32]:
        """Vectors [N, D] of all items, 0 where an item does not occur often enough.

        One worker, and a vocabulary numbered here, make them a function of the sequences and the seed. A word's
        number must be its key too: gensim asks for counts by either.
        """
        word2vec = _gensim()
        counts = np.bincount(sequences.items, minlength=sequences.n_items)
        known = np.flatnonzero(counts >= self.min_count)  # item of each word
        vectors = np.zeros((sequences.n_items, self.width), np.float32)
        if not len(known):
            return vectors
        word = np.full(sequences.n_items, -1, np.int32)  # -1 is no word, and skipped
        word[known] = np.arange(len(known))
        corpus = _Corpus(sequences, word)
        model = word2vec.Word2Vec(
            vector_size=self.width,
            window=self.window,
            negative=self.negatives,
            ns_exponent=self.exponent,
            sample=self.sample,
            alpha=self.learning_rate,
            seed=self.seed,
            min_count=1,
            sg=1,
            workers=1,
            sorted_vocab=0,
        )
        model.build_vocab_from_freq(dict(enumerate(counts[known].tolist())), corpus_count=len(corpus))
        model.train(corpus, total_examples=len(corpus), epochs=self.epochs)
        vectors[known] = model.wv.vectors
        return vectors


class _Corpus:
    """Sequences as gensim reads them: an iterable of lists, made one by one, as often as it is asked for."""

    def __init__(self, sequences: Histories, word: NDArray[np.int32]) -> None:
        self.words = word[sequences.items]
        pieces = -(-sequences.lengths // LONGEST)
        nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        self.starts = np.repeat(sequences.offsets[:-1], pieces) + nth * LONGEST
        self.stops = np.minimum(self.starts + LONGEST, np.repeat(sequences.offsets[1:], pieces))

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[list[int]]:
        for start, stop in zip(self.starts.tolist(), self.stops.tolist(), strict=True):
            yield self.words[start:stop].tolist()


def _gensim() -> ModuleType:
    try:
        from gensim.models import word2vec
    except ImportError as error:
        raise ConfigError(
            'SkipGram needs the package gensim; install it with: pip install -e ".[cf]"'
        ) from error
    module: ModuleType = word2vec
    return module
