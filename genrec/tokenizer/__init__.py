"""Tokenizers: item features in, semantic IDs out."""
