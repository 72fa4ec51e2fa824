"""Delimited text files, read in a stream into typed columns, with errors that name the line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from genrec.errors import DataError

_BLOCK = 16 << 20  # bytes parsed at a time: bounds the memory of reading, whatever the size of the file
_UNIT_SEPARATOR = b"\x1f"


@dataclass(frozen=True, slots=True)
class Delimited:
    """How a text file is laid out.

    Attributes:
        delimiter: one character, or a longer one such as `::` (then the file is read into memory whole).
        names: the columns of a file that has no header line; None where the first line is the header.
        encoding: of the file; a UTF-8 byte-order mark is skipped.
        quoted: whether fields may be in double quotes.
    """

    delimiter: str = ","
    names: Sequence[str] | None = None
    encoding: str = "utf8"
    quoted: bool = True

    def read(self, path: Path, columns: Mapping[str, pa.DataType]) -> pa.Table:
        """The named columns of the file, converted to their types; empty numbers become nulls.

        Raises:
            DataError: the file is missing or empty, lacks a column, or has a line that cannot be parsed.
        """
        if not path.is_file():
            raise DataError(f"{path} is missing; put the file there (see dataset/README.md)")
        try:
            table = self._open(path, columns).read_all()
        except KeyError as error:
            raise DataError(
                f"{path} lacks a column: it must have {list(columns)}, and its header is {self._header(path)}"
            ) from error
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}{self._bad_line(path, columns, error)}") from error
        if not table.num_rows:
            raise DataError(f"{path} has no rows; fetch or export the file again")
        return table

    def _open(
        self, path: Path, columns: Mapping[str, pa.DataType], bad_row: Callable[[Any], str] | None = None
    ) -> Any:
        source, delimiter = self._source(path)
        return pyarrow.csv.open_csv(
            source,
            read_options=pyarrow.csv.ReadOptions(
                block_size=_BLOCK, column_names=self.names, encoding=self.encoding
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, quote_char='"' if self.quoted else False, invalid_row_handler=bad_row
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict(columns), include_columns=list(columns), null_values=[""]
            ),
        )

    def _source(self, path: Path) -> tuple[Any, str]:
        if len(self.delimiter) == 1:
            return str(path), self.delimiter
        data = path.read_bytes().replace(self.delimiter.encode(), _UNIT_SEPARATOR)
        return pa.BufferReader(data), _UNIT_SEPARATOR.decode()

    def _header(self, path: Path) -> str:
        with path.open(encoding=self.encoding, errors="replace") as file:
            return repr(file.readline().lstrip("\ufeff").strip()[:200])

    def _bad_line(self, path: Path, columns: Mapping[str, pa.DataType], error: Exception) -> str:
        """Where parsing failed, found by reading again with every column as text (errors only, so slow is fine)."""
        first_line = 1 if self.names else 2
        malformed: list[Any] = []

        def skip(row: Any) -> str:
            malformed.append(row)
            return "skip"

        seen = 0
        try:
            for batch in self._open(path, dict.fromkeys(columns, pa.binary()), skip):
                if malformed:
                    row = malformed[0]
                    return (
                        f", line {row.number}: "
                        f"{row.actual_columns} fields where {row.expected_columns} are due ({row.text[:80]!r}); "
                        "repair the line or fetch the file again"
                    )
                for name, kind in columns.items():
                    row_number, value = _first_unconvertible(batch.column(name), kind)
                    if row_number is not None:
                        return (
                            f", line {first_line + seen + row_number}: {value!r} in column {name} is not a valid "
                            f"{kind}; repair the line or fetch the file again"
                        )
                seen += batch.num_rows
        except (pa.ArrowInvalid, UnicodeDecodeError):
            pass  # the first error says more than a second one from the search
        return f" cannot be parsed ({error}); fetch the file again"


def _first_unconvertible(column: pa.Array, kind: pa.DataType) -> tuple[int | None, str]:
    """Index and text of the first value that is not of `kind`, or (None, "")."""
    low, high = 0, len(column)
    if _converts(column, kind):
        return None, ""
    while high - low > 1:
        middle = (low + high) // 2
        if _converts(column.slice(low, middle - low), kind):
            low = middle
        else:
            high = middle
    return low, column[low].as_py().decode(errors="replace")


def _converts(column: pa.Array, kind: pa.DataType) -> bool:
    text = pc.cast(column, pa.string(), safe=False)
    try:
        text.validate(full=True)
        pc.cast(pc.replace_with_mask(text, pc.equal(text, ""), pa.scalar(None, pa.string())), kind)
    except pa.ArrowInvalid:
        return False
    return True


def required(table: pa.Table, name: str, path: Path) -> NDArray[Any]:
    """A column without nulls as an array.

    Raises:
        DataError: a value is missing; names its row.
    """
    column = table.column(name)
    if column.null_count:
        row = int(np.argmax(pc.is_null(column).to_numpy()))
        raise DataError(f"{path}: {name} is empty in data row {row + 1}; every row needs one")
    return np.asarray(column.to_numpy())


def unique(table: pa.Table, name: str, path: Path) -> NDArray[Any]:
    """A column of distinct values without nulls as an array.

    Raises:
        DataError: a value is missing or occurs again; names its row.
    """
    values = required(table, name, path)
    firsts = np.unique(values, return_index=True)[1]
    if len(firsts) < len(values):
        row = int(np.setdiff1d(np.arange(len(values)), firsts)[0])
        raise DataError(
            f"{path}: {name} {values[row]} occurs more than once (data row {row + 1}); keep one row of it"
        )
    return values
