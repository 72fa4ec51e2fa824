"""Generative retrieval for recommendation: semantic IDs, constrained generation, honest comparisons."""

__version__ = "0.1.0"
