"""Every tokenizer goes through the battery."""

from __future__ import annotations

import torch
from tokenizer_battery import LEVELS, K, TokenizerBattery
from torch import Tensor

from genrec.tokenizer.hierarchical import HierarchicalKMeans
from genrec.tokenizer.product import ProductQuantiser
from genrec.tokenizer.random_ids import RandomIds
from genrec.tokenizer.rqkmeans import RqKMeans
from genrec.tokenizer.rqvae import RqVae


class TestRqKMeans(TokenizerBattery):
    def make(self, x: Tensor, k: int = K, levels: int = LEVELS) -> RqKMeans:
        return RqKMeans(k, levels, iterations=10)


class TestProductQuantiser(TokenizerBattery):
    def make(self, x: Tensor, k: int = K, levels: int = LEVELS) -> ProductQuantiser:
        return ProductQuantiser(k, levels, iterations=5, rotations=3)


class TestHierarchicalKMeans(TokenizerBattery):
    def make(self, x: Tensor, k: int = K, levels: int = LEVELS) -> HierarchicalKMeans:
        return HierarchicalKMeans(k, levels, iterations=10)


class TestRandomIds(TokenizerBattery):
    learned = False

    def make(self, x: Tensor, k: int = K, levels: int = LEVELS) -> RandomIds:
        return RandomIds(k, levels)


class TestRqVae(TokenizerBattery):
    def make(self, x: Tensor, k: int = K, levels: int = LEVELS) -> RqVae:
        torch.manual_seed(0)
        model = RqVae(x.shape[1], 6, k, levels, hidden=(16,))
        model.start(x, torch.Generator().manual_seed(0))
        return model
