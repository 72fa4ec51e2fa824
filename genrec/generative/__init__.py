"""Generative retrieval: the tree of valid ids, the search over it, and the models that score it."""
