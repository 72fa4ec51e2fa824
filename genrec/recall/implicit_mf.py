"""Matrix factorisation for implicit feedback, by the library `implicit`: ALS and BPR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.history import check_positive
from genrec.recall.vector_index import VectorIndex
from genrec.recall.vectors import VectorRecaller


class Als(VectorRecaller):
    """Alternating least squares on confidences.

    Hu, Koren and Volinsky (2008), "Collaborative Filtering for Implicit Feedback Datasets", section 4, solved by
    conjugate gradients (Takács, Pilászy and Tikk 2011, "Applications of the Conjugate Gradient Method for Implicit
    Feedback Collaborative Filtering"). Every user and item is solved for alone, so threads change nothing but the time.

    Args:
        factors: width of the vectors.
        alpha: confidence in an event, where 1 is that in the absence of one.
        regularization: penalty on the squared lengths of vectors.
        iterations: over all users and items.
        seed: of the first vectors.
        threads: None takes as many as torch does.
        index: finds items instead of the exact product.
        batch_size: users scored at once.
    """

    def __init__(
        self,
        factors: int = 64,
        alpha: float = 2.0,
        regularization: float = 5.0,
        iterations: int = 15,
        seed: int = 0,
        threads: int | None = None,
        *,
        index: VectorIndex | None = None,
        batch_size: int = 256,
    ) -> None:
        super().__init__(index=index, batch_size=batch_size)
        self.factors, self.iterations, self.seed = factors, iterations, seed
        self.alpha = check_positive(self, "alpha", alpha)
        self.regularization = regularization
        _check(self)
        if threads is not None and threads < 1:
            raise ConfigError(
                f"Als.threads must be at least 1, or None for as many as torch takes, got {threads}"
            )
        self.threads = threads

    def _learn(
        self, train: Interactions, items: ItemTable, features: ItemFeatures | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return _factorised(
            self,
            lambda implicit: implicit.cpu.als.AlternatingLeastSquares(
                factors=self.factors,
                alpha=self.alpha,
                regularization=self.regularization,
                iterations=self.iterations,
                num_threads=self.threads or torch.get_num_threads(),
                random_state=self.seed,
            ),
            train,
        )


class Bpr(VectorRecaller):
    """Bayesian personalised ranking: an item that was taken should score above one that was not.

    Rendle et al. (2009), "BPR: Bayesian Personalized Ranking from Implicit Feedback", section 4. Negatives are drawn
    in proportion to popularity. The items' biases are the last column of their vectors. Items that never occur in
    training have learned nothing; they come last.

    It trains on one thread: with more, `implicit` lets threads overwrite each other's steps (Hogwild), and no two fits
    would agree.

    Args:
        factors: width of the vectors, bias aside.
        learning_rate: of stochastic gradient descent.
        regularization: penalty on the squared lengths of vectors and biases.
        iterations: as many steps each as there are events.
        seed: of the first vectors and of the draws.
        index: finds items instead of the exact product.
        batch_size: users scored at once.
    """

    def __init__(
        self,
        factors: int = 64,
        learning_rate: float = 0.02,
        regularization: float = 0.005,
        iterations: int = 30,
        seed: int = 0,
        *,
        index: VectorIndex | None = None,
        batch_size: int = 256,
    ) -> None:
        super().__init__(index=index, batch_size=batch_size)
        self.factors, self.iterations, self.seed = factors, iterations, seed
        self.learning_rate = check_positive(self, "learning_rate", learning_rate)
        self.regularization = regularization
        _check(self)

    def _learn(
        self, train: Interactions, items: ItemTable, features: ItemFeatures | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        users, vectors = _factorised(
            self,
            lambda implicit: implicit.cpu.bpr.BayesianPersonalizedRanking(
                factors=self.factors,
                learning_rate=self.learning_rate,
                regularization=self.regularization,
                iterations=self.iterations,
                num_threads=1,
                random_state=self.seed,
            ),
            train,
        )
        longest = [np.linalg.norm(side, axis=1).max() for side in (users, vectors)]
        unseen = train.item_counts() == 0
        vectors[unseen] = 0.0
        vectors[unseen, -1] = (
            -1.01 * longest[0] * longest[1]
        )  # below any product; users have 1 in this column
        return users, vectors


def _factorised(
    owner: Als | Bpr, make: Callable[[Any], Any], train: Interactions
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of users and items by a model of `implicit`.

    Raises:
        ConfigError: the library is missing, or the vectors grew without bounds.
    """
    name = type(owner).__name__
    try:
        import implicit.cpu.als
        import implicit.cpu.bpr
        from implicit.recommender_base import ModelFitError
    except ImportError as error:
        raise ConfigError(
            f"{name} needs the package implicit; install it with `pip install 'genrec[cf]'`"
        ) from error
    with threadpool_limits(1, "blas"):  # BLAS's threads would fight with those of `implicit`
        model = make(implicit)
        try:
            model.fit(sp.csr_matrix(train.matrix()), show_progress=False)  # rows are users
        except ModelFitError as error:
            rate = "" if isinstance(owner, Als) else f" or lower {name}.learning_rate"
            raise ConfigError(
                f"{name} diverged: its vectors are no numbers any more; change {name}.regularization{rate}"
            ) from error
    users, items = (np.array(side, np.float32) for side in (model.user_factors, model.item_factors))
    return users, items


def _check(owner: Als | Bpr) -> None:
    """Raise ConfigError unless what both models take is in range."""
    name = type(owner).__name__
    least = {"factors": (owner.factors, 1), "iterations": (owner.iterations, 1), "seed": (owner.seed, 0)}
    for argument, (value, minimum) in least.items():
        if value < minimum:
            raise ConfigError(f"{name}.{argument} must be at least {minimum}, got {value}")
    penalty = owner.regularization
    if not (np.isfinite(penalty) and penalty >= 0):
        raise ConfigError(f"{name}.regularization must be a number of at least 0, got {penalty}")
