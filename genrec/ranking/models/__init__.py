"""Rank models, one small file each; found by their file's name."""
