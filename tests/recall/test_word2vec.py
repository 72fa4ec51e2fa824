"""Item vectors from sequences: word2vec, and both ways to recall by them."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from battery import N_ITEMS, RecallerBattery, catalogue, checkerboard, interactions
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.data.tables import Interactions
from genrec.errors import ConfigError
from genrec.recall import skip_gram
from genrec.recall.deepwalk import DeepWalk
from genrec.recall.item_vectors import ItemBased, ItemVectorRecaller, Profile, UserBased, newest, unit
from genrec.recall.skip_gram import SkipGram
from genrec.recall.vector_index import ExactIndex
from genrec.recall.word2vec import Word2Vec

QUICK = SkipGram(width=8, epochs=20, learning_rate=0.05)


class TestWord2VecByItems(RecallerBattery):
    def make(self, batch_size: int = 256) -> Word2Vec:
        return Word2Vec(skip_gram=QUICK, batch_size=batch_size)


class TestWord2VecByUsers(RecallerBattery):
    def make(self, batch_size: int = 256) -> Word2Vec:
        return Word2Vec(skip_gram=QUICK, neighbourhood=UserBased(neighbours=8), batch_size=batch_size)


class Fixed(ItemVectorRecaller):
    """Vectors that are given."""

    table: NDArray[np.float32]

    def _embed(self, train: Interactions) -> NDArray[np.float32]:
        return self.table


def fixed(recaller: Fixed, train: Interactions, table: list[list[float]]) -> Fixed:
    recaller.table = np.array(table, np.float32)
    return recaller.fit(train, catalogue(train.n_items), None)


TABLE = [[2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0], [0.0, 0.0]]  # item 4 is unknown
TRAIN = interactions([(0, 0), (0, 1), (1, 1), (1, 2), (2, 3), (4, 0)], 5, 5)


def test_a_profile_is_the_mean_direction_of_the_newest_items() -> None:
    histories, vectors = Histories.of(TRAIN), unit(np.array(TABLE, np.float32))
    whole = Profile()(histories, vectors)
    np.testing.assert_allclose(whole[0], np.array([1, 1]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(whole[2], [-1, 0])
    np.testing.assert_array_equal(whole[3], [0, 0])  # nobody is known here
    np.testing.assert_allclose(Profile(last=1)(histories, vectors)[0], [0, 1])
    faded = Profile(decay=0.5)(histories, vectors)[0]
    np.testing.assert_allclose(faded, np.array([0.5, 1]) / np.sqrt(1.25), rtol=1e-6)


def test_the_newest_events_of_each_user() -> None:
    histories = Histories.of(interactions([(0, 1), (0, 2), (0, 3), (2, 4)], 4, 5))
    cut = newest(histories, 2)
    assert [cut[user].tolist() for user in range(4)] == [[2, 3], [], [4], []]


def test_item_based_scores_are_cosines() -> None:
    recaller = fixed(Fixed(profile=Profile(last=1)), TRAIN, TABLE)
    scores = recaller.scores(np.array([0, 1], np.int32))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(scores, [[0, 1, half, 0, 0], [half, half, 1, -half, 0]], atol=1e-6)


def test_user_based_scores_add_up_the_similarities_of_neighbours() -> None:
    recaller = fixed(Fixed(neighbourhood=UserBased(neighbours=2, power=2.0)), TRAIN, TABLE)
    user_vectors = recaller.user_vectors.astype(np.float64)
    similarity = user_vectors @ user_vectors.T
    matrix = TRAIN.matrix().toarray()
    for user in (0, 1, 4):
        others = [other for other in range(5) if other != user and similarity[user, other] > 0]
        nearest = sorted(others, key=lambda other: -similarity[user, other])[:2]
        right = sum(similarity[user, other] ** 2 * matrix[other] for other in nearest)
        np.testing.assert_allclose(recaller.scores(np.array([user], np.int32))[0], right, rtol=1e-5)


def test_an_index_finds_what_the_product_finds_and_only_there() -> None:
    exact = Word2Vec(skip_gram=QUICK).fit(checkerboard(), catalogue(N_ITEMS), None)
    indexed = Word2Vec(skip_gram=QUICK, index=ExactIndex()).fit(checkerboard(), catalogue(N_ITEMS), None)
    users = np.arange(30, dtype=np.int32)
    np.testing.assert_array_equal(indexed.recommend(users, 5).items, exact.recommend(users, 5).items)
    with pytest.raises(ConfigError, match=r"Word2Vec\.index .* UserBased"):
        Word2Vec(neighbourhood=UserBased(), index=ExactIndex())


def test_ids_of_items_do_not_matter_nor_do_items_without_events() -> None:
    """Words are numbered anew; were they not, gensim would look up counts of noise words by the wrong number."""
    draw = np.random.default_rng(0)
    words = draw.zipf(1.5, 400) % 6
    offsets = np.arange(0, 401, 20)
    spread = np.array([3, 7, 8, 20, 33, 39])
    quick = SkipGram(width=4, epochs=2)
    compact = quick.vectors(Histories(offsets, words.astype(np.int32), 6))
    found = quick.vectors(Histories(offsets, spread[words].astype(np.int32), 40))
    np.testing.assert_array_equal(found[spread], compact)
    np.testing.assert_array_equal(np.delete(found, spread, axis=0), 0)
    rare = SkipGram(width=4, epochs=2, min_count=500).vectors(Histories(offsets, words.astype(np.int32), 6))
    np.testing.assert_array_equal(rare, np.zeros((6, 4)))


def test_noise_is_drawn_by_popularity() -> None:
    """With other exponents other noise is drawn; were counts not handed over, the exponent would change nothing."""
    words = np.random.default_rng(0).zipf(1.5, 400) % 6
    sequences = Histories(np.arange(0, 401, 20), words.astype(np.int32), 6)
    by_count, alike = (SkipGram(width=4, epochs=2, exponent=e).vectors(sequences) for e in (1.0, 0.0))
    assert not np.allclose(by_count, alike)


def test_long_sequences_are_cut_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skip_gram, "LONGEST", 3)
    sequences = Histories(np.array([0, 7, 7, 10]), np.arange(10, dtype=np.int32), 10)
    corpus = skip_gram._Corpus(sequences, np.arange(10, dtype=np.int32))
    assert list(corpus) == [[0, 1, 2], [3, 4, 5], [6], [7, 8, 9]]
    assert len(corpus) == 4
    assert list(corpus) == list(corpus)


FINGERPRINT = """
import hashlib
import numpy as np
from genrec.data.histories import Histories
from genrec.recall.skip_gram import SkipGram
words = np.random.default_rng(0).integers(0, 9, 300).astype(np.int32)
vectors = SkipGram(width=8, epochs=3).vectors(Histories(np.arange(0, 301, 15), words, 9))
print(hashlib.sha256(vectors.tobytes()).hexdigest())
"""


def fingerprint(hash_seed: str) -> str:
    """Of vectors learned in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINT],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_another_process_with_another_hash_seed_agrees() -> None:
    assert fingerprint("1") == fingerprint("2") != ""


def test_without_gensim_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(ConfigError, match=r'SkipGram needs .*"\.\[cf\]"'):
        Word2Vec().fit(TRAIN, catalogue(5), None)


@pytest.mark.parametrize("name", ["width", "window", "negatives", "min_count", "epochs", "learning_rate"])
def test_skip_gram_arguments_are_checked(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"SkipGram\.{name}"):
        SkipGram(**{name: 0})


def test_other_arguments_are_checked() -> None:
    for make, name in (
        (lambda: SkipGram(sample=1.0), "SkipGram.sample"),
        (lambda: SkipGram(seed=-1), "SkipGram.seed"),
        (lambda: Profile(last=0), "Profile.last"),
        (lambda: Profile(decay=0.0), "Profile.decay"),
        (lambda: UserBased(neighbours=0), "UserBased.neighbours"),
        (lambda: UserBased(power=-1.0), "UserBased.power"),
        (lambda: DeepWalk(walks_per_item=0), "DeepWalk.walks_per_item"),
        (lambda: DeepWalk(walk_items=1), "DeepWalk.walk_items"),
    ):
        with pytest.raises(ConfigError, match=name):
            make()


def test_item_based_is_the_default() -> None:
    assert isinstance(Word2Vec().neighbourhood, ItemBased)
