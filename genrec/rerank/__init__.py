"""Re-ranking: candidates of earlier stages put into their final order, for diversity, quality and rules."""
