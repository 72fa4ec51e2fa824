"""What `benchmark_generative.py` compares: one module per package, genrec's own in `own`.

A module has a dict `SECTIONS`: the name of a section -> a function that makes its jobs from a `World`.
"""
