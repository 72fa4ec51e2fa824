"""Ranking: declared features that never look ahead, and the models that read them."""
