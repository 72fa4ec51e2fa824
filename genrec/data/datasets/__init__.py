"""One module per family of datasets, each with a tuple `DATASETS`; a new module needs no registration."""
