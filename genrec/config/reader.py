"""Carries out the statements of gin files in one name space, and checks what they bind."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gin
from gin import config as gin_config
from gin import config_parser

from genrec.config import hints
from genrec.config.hints import Reference
from genrec.config.options import Named
from genrec.config.statements import close, find, placed, shown, statements
from genrec.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
_ALWAYS_ON = config_parser.ImportStatement(
    "__gin__.dynamic_registration", True, None, config_parser.Location(None, 0, None, "")
)


def registered(entry: Callable[..., object]) -> gin_config.Configurable:
    """Gin's record of the entry function, which is registered unless its decorator did."""
    if gin_config._inverse_lookup(entry) is None:
        with gin.unlock_config():
            gin.register(entry)
    return gin_config._inverse_lookup(entry)


def resolved(value: Any, where: str = "the configuration") -> Any:
    """A bound value with macros replaced by what they stand for, and references by `Reference`s.

    Raises:
        ConfigError: an unknown macro, macros that need each other, or a value that was left `%gin.REQUIRED`.
    """
    return _resolved(value, where, ())


def _resolved(value: Any, where: str, macros: tuple[str, ...]) -> Any:
    if isinstance(value, gin_config.ConfigurableReference):
        name, target = "/".join(value.scopes), value.configurable.wrapped
        if target is gin_config.macro:
            return _macro(name, where, macros)
        if target is gin_config._retrieve_constant:
            return gin_config._CONSTANTS[name]
        return Reference(target, value.evaluate, tuple(value.scopes), value.configurable.selector)
    if isinstance(value, list | tuple):
        return type(value)(_resolved(part, where, macros) for part in value)
    if isinstance(value, dict):
        return {_resolved(k, where, macros): _resolved(v, where, macros) for k, v in value.items()}
    return value


def _macro(name: str, where: str, above: tuple[str, ...]) -> Any:
    if name in above:
        raise ConfigError(f"{where}: the macro %{name} is defined by itself")
    try:
        value = gin_config._CONFIG[name, "gin.macro"]["value"]
    except KeyError:
        known = [scope for scope, selector in gin_config._CONFIG if selector == "gin.macro"]
        advice = close(name, known) or f"; define it with a line {name} = VALUE"
        raise ConfigError(f"{where}: no macro %{name} is defined{advice}") from None
    return _resolved(value, where, (*above, name))


class _Names(gin_config.ParseContext):  # type: ignore[misc]
    """The one name space: the entry function, and the imports of every file read so far."""

    def __init__(self, entry: gin_config.Configurable) -> None:
        super().__init__()
        self._enable_dynamic_registration()
        self._imports.append(_ALWAYS_ON)
        self.entry = entry

    def process_import(self, statement: config_parser.ImportStatement) -> None:
        """Import a module under its name, unless that name already means another one."""
        if statement.module == _ALWAYS_ON.module:
            return
        name = statement.bound_name()
        known = self._symbol_table.get(name)
        try:
            super().process_import(statement)
        except ImportError as error:
            raise ConfigError(
                f"cannot import {statement.module} ({error}); correct the name, or install what it needs"
            ) from error
        if known is not None and self._symbol_table[name] is not known:
            raise ConfigError(
                f"{name} already means {getattr(known, '__name__', known)} in a file read before; "
                f"import {statement.module} under another name"
            )

    def get_configurable(self, selector: str) -> gin_config.Configurable:
        """What a name stands for."""
        if selector in (self.entry.name, self.entry.selector):
            return self.entry
        root, *inner = selector.split(".")
        if root not in self._symbol_table:
            similar = close(root, [*self._symbol_table, self.entry.name])
            advice = similar or f"; import its module with: import PACKAGE.MODULE as {root}"
            raise ConfigError(f"nothing named {root} is known for {selector}{advice}")
        found = self._symbol_table[root]
        for name in inner:
            if not hasattr(found, name):
                owner = getattr(found, "__name__", root)
                raise ConfigError(f"{selector} is unknown: {owner} has no {name}{close(name, dir(found))}")
            found = getattr(found, name)
        if not callable(found):
            raise ConfigError(f"{selector} is neither a class nor a function")
        return super().get_configurable(selector)


class Reader:
    """Reads files and command-line bindings into gin's configuration, then checks the whole."""

    def __init__(self, entry: gin_config.Configurable) -> None:
        gin.clear_config()
        self._names = _Names(entry)
        self._where: dict[
            tuple[str, str, str], str
        ] = {}  # (scope, selector, parameter): place of its binding
        self._open: list[Path] = []  # the chain of files being read

    def read(
        self, arguments: argparse.Namespace, flags: Iterable[str], named: Mapping[str, Named] | None = None
    ) -> None:
        """Files that flags name, files in order, then --gin, then the other flags: the last one wins.

        Raises:
            ConfigError: names the place of what is unknown, of the wrong type, or missing.
        """
        entry = self._names.entry
        folders = [Path.cwd(), Path(sys.argv[0]).resolve().parent, REPOSITORY]
        asked: dict[str, str] = {
            flag: name for flag in named or {} if (name := getattr(arguments, flag, None))
        }
        gin_config._PARSE_CONTEXTS.append(self._names)
        try:
            for flag, name in asked.items():
                self._read_file((named or {})[flag].file(name, flag.replace("_", "-"), folders))
            for file in arguments.config:
                self._read_file(find(file, folders))
            for binding in arguments.gin:
                self._read_text(binding, "--gin", numbered=False)
            for flag in flags:
                value = getattr(arguments, flag, None)
                if value is not None:
                    self._bind("", entry.name, flag, value, f"--{flag.replace('_', '-')}")
        finally:
            gin_config._PARSE_CONTEXTS.pop()
        gin_config._IMPORTS.update(self._names.imports)
        for (scope, selector), bindings in gin_config._CONFIG.items():
            for name, value in bindings.items():
                self._check(scope, gin_config._REGISTRY[selector], name, value)
        self._check_complete(Reference(entry.wrapped, True, (), entry.selector), f"{entry.name} cannot run")
        for flag, name in asked.items():
            self._check_named(flag, name)
        gin.finalize()

    def _check_named(self, flag: str, name: str) -> None:
        """That what was asked for by name is not another one in the end."""
        entry = self._names.entry
        bound = gin_config._CONFIG.get(("", entry.selector), {}).get(flag)
        if bound != name:
            where = self._where.get(("", entry.selector, flag), "the configuration")
            raise ConfigError(
                f"--{flag.replace('_', '-')} {name} was asked for, but {where} says {entry.name}.{flag} = {bound!r}; "
                "leave one of them out"
            )

    def _read_file(self, path: Path) -> None:
        if path in self._open:
            raise ConfigError(f"{shown(path)} includes itself; remove one of the includes")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{shown(path)} is not a UTF-8 text file") from error
        self._open.append(path)
        self._read_text(text, shown(path))
        self._open.pop()

    def _read_text(self, text: str, source: str, numbered: bool = True) -> None:
        for statement in statements(text, source, numbered):
            where = f"{source}:{statement.location.line_num}" if numbered else source
            if isinstance(statement, config_parser.IncludeStatement):
                beside = self._open[-1].parent if self._open else Path.cwd()
                with placed(where):
                    path = find(statement.filename, [beside, *beside.parents, Path.cwd(), REPOSITORY])
                self._read_file(path)
            else:
                with placed(where):
                    self._carry_out(statement, where)

    def _carry_out(self, statement: Any, where: str) -> None:
        if isinstance(statement, config_parser.ImportStatement):
            self._names.process_import(statement)
        elif isinstance(statement, config_parser.BlockDeclaration):
            self._names.get_configurable(statement.selector)
        elif statement.arg_name:
            self._bind(statement.scope, statement.selector, statement.arg_name, statement.value, where)
        else:
            macro = "/".join(filter(None, (statement.scope, statement.selector)))
            self._bind(macro, "gin.macro", "value", statement.value, where)

    def _bind(self, scope: str, selector: str, name: str, value: Any, where: str) -> None:
        target = self._names.get_configurable(selector)
        known = hints.parameters(target.wrapped)
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        if name not in known and not takes_any:
            advice = close(name, known) or f"; it has {', '.join(known) or 'none'}"
            raise ConfigError(f"{selector} has no parameter {name}{advice}")
        gin.bind_parameter((scope, selector, name), value)
        self._where[scope, target.selector, name] = where

    def _shown(self, selector: str) -> str:
        """A registered name as gin files have it, with `import PACKAGE.MODULE as MODULE`."""
        entry = self._names.entry
        return str(entry.name) if selector == entry.selector else ".".join(selector.split(".")[-2:])

    def _check(self, scope: str, target: gin_config.Configurable, name: str, value: Any) -> None:
        """The type of one binding, and that it is not left open."""
        where = self._where[scope, target.selector, name]
        is_macro = target.wrapped is gin_config.macro
        binding = scope if is_macro else f"{scope}/{self._shown(target.selector)}.{name}".lstrip("/")
        plain = resolved(value, f"{where}: {binding}")
        if plain is gin.REQUIRED:
            raise ConfigError(
                f"{where}: {binding} is marked as required; bind it in a later file or with --gin"
            )
        hint = hints.argument_types(target.wrapped).get(name, Any)
        if not hints.fits(plain, hint):
            shown = repr(plain) if len(repr(plain)) < 80 else f"{repr(plain)[:77]}..."
            raise ConfigError(f"{binding} = {shown} ({where}): expected {hints.describe(hint)}")

    def _check_complete(self, reference: Reference, where: str, above: tuple[Reference, ...] = ()) -> None:
        """Every argument without a default is bound, for what is called and for all that it calls."""
        if reference in above:
            raise ConfigError(f"{where} needs itself; bind another class there, or the same one in a scope")
        bound = gin_config._get_bindings(reference.selector, list(reference.scopes) or [""])
        name = self._shown(reference.selector)
        for parameter in hints.parameters(reference.target).values():
            needed = parameter.default in (inspect.Parameter.empty, gin.REQUIRED) and parameter.kind in (
                parameter.POSITIONAL_OR_KEYWORD,
                parameter.KEYWORD_ONLY,
            )
            if needed and parameter.name not in bound:
                missing = f"{name}.{parameter.name}"
                raise ConfigError(
                    f"{where}: {missing} is not bound; add a line {missing} = VALUE to a gin file"
                )
        for argument, value in bound.items():
            for inner in _calls(resolved(value)):
                self._check_complete(inner, f"{where}: {name}.{argument} = {inner}", (*above, reference))


def _calls(value: Any) -> Iterator[Reference]:
    if isinstance(value, Reference) and value.called:
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _calls(part)
