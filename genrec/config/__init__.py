"""The scripts' shared command line over gin; the only place of genrec that knows gin.

A script is an entry function and two lines::

    def train(*, dataset: str, encoder: Encoder, batch_size: int = 256, out: str | None = None) -> None:
        \"\"\"Args with one line each become the script's --help.\"\"\"

    if __name__ == "__main__":
        sys.exit(config.main(train, description=__doc__))

and its files look like this::

    # configs/data/tiny.gin
    DATASET = 'tiny'
    # configs/model/mlp.gin
    from __gin__ import dynamic_registration
    import genrec.tokenizer.rqvae as rqvae
    rqvae.Mlp.hidden = (512, 256)
    # configs/leaf.gin
    include 'configs/data/tiny.gin'
    include 'configs/model/mlp.gin'
    train.dataset = %DATASET
    train.encoder = @rqvae.Mlp()
    train.batch_size = 64

Gin's own reader gives every file a name space of its own, in which a file with dynamic registration cannot
name a function of the script (`train`), and it neither checks types nor says where a binding came from. So the
statements that gin parses are carried out here, in **one** name space for all files and for `--gin`: it holds
the entry function and the imports of every file read so far (one name, one module: a clash is an error).
Paths in `include` are looked for beside the including file, in the folders above it, in the working
directory, and in the repository. Every binding is checked against the annotations of its target before anything runs.
"""

from __future__ import annotations

import errno
import hashlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

import gin
from gin import config as gin_config

from genrec.config import hints
from genrec.config.command_line import parser
from genrec.config.options import Named
from genrec.config.reader import Reader, registered, resolved
from genrec.errors import GenrecError


def main(
    entry: Callable[..., object],
    *,
    description: str | None,
    options: Mapping[str, type | Named] | None = None,
    default_config: str | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Read the configuration, check it, and run `entry`, a function of keyword arguments.

    Args:
        entry: gets its arguments from gin; may carry `@gin.configurable` or not.
        description: for --help; its first paragraph is shown.
        options: further flags `--NAME VALUE` with their types, each bound to `entry`'s parameter of that name;
            of type bool, the flag takes no value and binds True. `Named` reads a gin file of that name before the
            others, and refuses those that bind the parameter to another name.
        default_config: the gin file that is read where the command line names none, such as
            `configs/posters_ml25m.gin`.
        argv: the command line without the script's name; None takes it from the process.

    Returns:
        The exit code: what `entry` returns if that is an int, else 0; 2 with one sentence on stderr for what the
        user can mend; 130 when interrupted, with the sentence of the KeyboardInterrupt if it has one.
    """
    try:
        target = registered(entry)
        arguments = parser(target.wrapped, description, options or {}, default_config).parse_args(argv)
        if default_config is not None and not arguments.config:
            arguments.config = [default_config]
        named = {flag: kind for flag, kind in (options or {}).items() if isinstance(kind, Named)}
        Reader(target).read(arguments, ["out", *(flag for flag in options or {} if flag not in named)], named)
        result = target.wrapper()
    except GenrecError as error:
        return _fail(str(error).split("\n  In call to configurable")[0])  # gin appends where it was called
    except MemoryError as error:
        return _fail(
            f"out of memory ({error}); lower the batch size or free memory, then run the command again"
        )
    except OSError as error:
        if os.strerror(errno.ENOSPC) not in str(error):  # gin's stand-in for the error keeps the text only
            raise
        return _fail(f"the disk is full ({error}); free space, then run the command again: it resumes")
    except KeyboardInterrupt as error:
        usual = "interrupted; run the same command again to resume from the last checkpoint"
        return _fail(str(error) or usual, code=130)
    return result if isinstance(result, int) else 0


def full_text() -> str:
    """Everything that is bound, as a gin file that the script reads back."""
    return _plain_names(gin.config_str())


def operative_text() -> str:
    """Everything that was used so far, defaults included, as a gin file that the script reads back."""
    return _plain_names(gin.operative_config_str())


def config_hash(exclude: Sequence[str] = ()) -> str:
    """SHA-256 over what is bound: macros resolved, values that repeat a default left out, order ignored.

    Args:
        exclude: patterns (`out`, `wandb_*`) of the entry function's parameters that do not change results.
    """
    rows = []
    for (scope, selector), bindings in gin_config._CONFIG.items():
        target = gin_config._REGISTRY[selector].wrapped
        if target is gin_config.macro:
            continue
        parameters = hints.parameters(target)
        for name, value in bindings.items():
            text = repr(resolved(value, ""))
            excluded = not inspect.isclass(target) and any(fnmatchcase(name, pattern) for pattern in exclude)
            if not excluded and text != repr(parameters[name].default):
                rows.append([scope, target.__module__, target.__qualname__, name, text])
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def _plain_names(text: str) -> str:
    """Gin writes the entry function as `__main__.train`; the reader here knows it as `train`."""
    return re.sub(r"\b__main__\.", "", text.replace("import __main__\n", ""))


def _fail(message: str, code: int = 2) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code
