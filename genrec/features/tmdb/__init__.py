"""Posters and metadata from The Movie Database (https://developer.themoviedb.org/docs)."""
