"""Errors a user can mend: one sentence that says what is wrong, where, and how to mend it.

The scripts print the sentence and exit with a non-zero code; anything else that is raised is a bug and
keeps its traceback.
"""


class GenrecError(Exception):
    """Base of every error that is the input's fault, not the code's."""


class DataError(GenrecError):
    """Data is missing, truncated, or not in the format it claims."""


class ConfigError(GenrecError):
    """A configuration value is unknown, of the wrong type, or out of range."""


class ArtifactError(GenrecError):
    """An artifact is missing, foreign, damaged, or was made from something that has changed since."""


class TokenizerCollapse(GenrecError):  # noqa: N818 - it names what happened
    """A codebook uses so few of its codes that the semantic ids carry no information."""
