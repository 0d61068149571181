"""CSV files with a label and pixels in each row: header and labels with the standard library, pixels with Arrow.

``scan`` reads a file's header and labels and counts the fields of each row, before any job runs; ``pixel_rows`` reads
the pixels, block by block.
"""

import csv
import gzip
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from convlab.common.specs import NUMBER
from convlab.datasets.file_content import HEADER_BYTES, content_kind
from convlab.datasets.folder_listing import printable_name
from convlab.datasets.kept_facts import kept_facts
from convlab.datasets.label_classes import label_text
from convlab.errors import UserError

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

LABEL_NAMES = ("label", "labels", "class")
"""Names of the column of labels, in any case, where the config names none."""

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}

BLOCK_BYTES = 2**23
"""Bytes of a file that are read at once."""

_PACKED = re.compile(r"\s*\d+(\s+\d+){3,}\s*").fullmatch
"""Whether a field holds several numbers, with spaces between them."""

_GZIP = b"\x1f\x8b"
_ENCODING = "is not UTF-8 text; save it as UTF-8"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class CsvTable:
    """What a file holds, without its pixels.

    Args:
        columns: names of its columns; ``column 1`` and so on without a header.
        header: whether its first row names them.
        label: index of the column of labels, or None.
        rows: number of rows below the header.
        labels: how often each label occurs, as pairs; None for missing ones.
        packed: columns with several numbers in a field of the first row, as ``pixels`` of fer2013.csv.
    """

    columns: list[str]
    header: bool
    label: int | None
    rows: int
    labels: list[tuple[str | None, int]]
    packed: Sequence[str] = ()

    @property
    def pixels(self) -> list[str]:
        """Names of all columns but that of the labels."""
        return [name for index, name in enumerate(self.columns) if index != self.label]


def is_csv(name: str) -> bool:
    """Whether a file is called like a CSV file."""
    return name.lower().endswith(SUFFIXES)


def scan(path: Path, delimiter: str, label: str | None, key: str) -> CsvTable:
    """Columns, labels and number of rows; kept until the file changes.

    ``delimiter`` is one of DELIMITERS, ``label`` the name of a column, ``first``, ``last`` or None to find it by name,
    ``key`` that of the dataset in the config. Raises UserError for what is no CSV file, two columns of one name, a
    header without the column, rows of another length, and for a file without rows. A file without labels is not an
    error: its ``label`` is None.
    """
    try:
        facts = kept_facts([path], [delimiter, label], lambda: asdict(_scan(path, delimiter, label, key)))
    except OSError as error:
        raise _refusal(path, key, f"cannot be read ({error.strerror or error})") from None
    except EOFError:
        raise _refusal(path, key, "is cut short; fetch or compress it again") from None
    return CsvTable(**facts)


def _scan(path: Path, delimiter: str, label: str | None, key: str) -> CsvTable:
    def refuse(problem: str) -> NoReturn:
        raise _refusal(path, key, problem)

    _refuse_other_files(path, refuse)
    sign = DELIMITERS[delimiter]
    with _opened(path) as stream:
        first = stream.readline().removeprefix(_BOM)
        names = _fields(first, sign, refuse)
        _check_delimiter(first, names, delimiter, refuse)
        header = _is_header(names)
        columns = [name.strip() for name in names] if header else [f"column {i + 1}" for i in range(len(names))]
        if twice := [name for name, times in Counter(columns).items() if times > 1]:
            refuse(f"has two columns called {printable_name(twice[0])!r}; rename one")
        if twice := [column for column in columns if not column]:
            columns = [column or "(without a name)" for column in columns]
        index = _label_index(columns, header, label, refuse)
        labels: Counter[str | None] = Counter()
        rows, packed = 0, []
        for number, line in _rows(stream, first, header):
            if not rows:
                packed = [
                    name for name, field in zip(columns, _fields(line, sign, refuse), strict=False) if _PACKED(field)
                ]
            fields = _label_of(line, sign, len(columns), index, refuse, number)
            labels[label_text(fields)] += 1
            rows += 1
    if not rows:
        refuse("has no rows below its header" if header else "is empty")
    return CsvTable(columns, header, index, rows, list(labels.items()) if index is not None else [], packed)


def _refuse_other_files(path: Path, refuse) -> None:
    with path.open("rb") as stream:
        beginning = stream.read(HEADER_BYTES)
    if beginning[:2] == _GZIP:
        with gzip.open(path) as stream:
            beginning = stream.read(HEADER_BYTES)
    if beginning[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in beginning[:4]:
        refuse("is UTF-16 or binary; save it as UTF-8")
    kind = content_kind(beginning)
    if kind == "empty" or not beginning.strip(_BOM + b" \t\r\n"):
        refuse("is empty")
    if kind != "text":
        try:
            beginning.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < len(beginning) - 4:
                refuse(f"is {kind}, and no CSV file of UTF-8" if kind != "something unknown" else _ENCODING)
        else:
            refuse(f"is {kind}, and no CSV file")


def _opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked where they are compressed."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == _GZIP
    return gzip.open(path) if compressed else path.open("rb", BLOCK_BYTES)


def _fields(line: bytes, sign: str, refuse) -> list[str]:
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        refuse(_ENCODING)
    if "\r" in text:
        refuse("has carriage returns without line feeds between its rows; save it with line feeds")
    try:
        return next(csv.reader([text], delimiter=sign), [])
    except csv.Error as error:
        refuse(f"has a field that cannot be read ({error}); mend it, and give each pixel a column of its own")


def _check_delimiter(first: bytes, names: Sequence[str], delimiter: str, refuse) -> None:
    if len(names) > 1:
        return
    for name, sign in DELIMITERS.items():
        if name != delimiter and first.count(sign.encode()) > 1:
            refuse(f"has columns that are separated by a {name} and not by a {delimiter}; write delimiter: {name}")
    refuse(f"has one column only; it should have one for the label and one for each pixel, separated by a {delimiter}")


def _is_header(names: Sequence[str]) -> bool:
    """Whether the first row names the columns: text, or numbers that count the columns (``label,0,1,2,...``)."""
    numbers = [name.strip() for name in names if NUMBER.fullmatch(name.strip())]
    if not numbers:
        return True
    if not all(number.isdigit() for number in numbers) or len(numbers) < 4:
        return len(numbers) < len(names) / 2
    counted = [int(number) for number in numbers]
    return counted[0] in (0, 1) and all(after == before + 1 for before, after in pairwise(counted))


def _label_index(columns: Sequence[str], header: bool, label: str | None, refuse) -> int | None:
    """Index of the column of labels; None where the header has none of its names."""
    if label is None:
        if not header:
            refuse("has no header; write label: first or label: last, the column of the labels")
        named = [index for index, column in enumerate(columns) if column.lower() in LABEL_NAMES]
        if len(named) > 1:
            listed = " and ".join(repr(printable_name(columns[index])) for index in named)
            refuse(f"has the columns {listed}; write label: the one with the labels")
        return named[0] if named else None
    if label in columns:
        return columns.index(label)
    return {"first": 0, "last": len(columns) - 1}.get(label)


def _rows(stream: BinaryIO, first: bytes, header: bool) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their number in the file."""
    if not header:
        yield 1, first
    for number, line in enumerate(stream, 2):
        if line.strip():
            yield number, line


def _label_of(line: bytes, sign: str, columns: int, index: int | None, refuse, number: int) -> str | None:
    """The label of a row, unread but for its number of fields and that one."""
    mark = sign.encode()
    if b'"' in line:
        fields = _fields(line, sign, refuse)
        length, value = len(fields), fields[index] if index is not None and index < len(fields) else None
    else:
        length, value = line.count(mark) + 1, None
        if index is not None and length == columns:
            if index == 0:
                raw = line[: line.index(mark)]
            elif index == columns - 1:
                raw = line[line.rindex(mark) + 1 :]
            else:
                raw = line.split(mark, index + 1)[index]
            try:
                value = raw.decode("utf-8")
            except UnicodeDecodeError:
                refuse(f"row {number:,} is not UTF-8 text; save it as UTF-8")
    if length != columns:
        refuse(f"row {number:,} has {length:,} fields and the first row {columns:,}; mend or remove it")
    return value


def _refusal(path: Path, key: str, problem: str) -> UserError:
    return UserError(f"{key}.path: {printable_name(path.name)} {problem}")


# ---------------------------------------------------------------------------------------------------------------------
# Pixels


def pixel_columns(table: CsvTable, ignored: Sequence[str], path: Path, key: str) -> list[str]:
    """The columns of pixels, all but the label and the ``ignored``.

    Raises UserError for ignored columns that are not there, and for numbered columns in another order than their
    numbers': files whose columns were sorted as text hold scrambled images.
    """
    if unknown := [name for name in ignored if name not in table.columns]:
        raise UserError(f"{key}.ignore: {path.name} has no column {printable_name(unknown[0])!r}; remove it")
    if table.label is not None and table.columns[table.label] in ignored:
        label = printable_name(table.columns[table.label])
        raise UserError(f"{key}.ignore: {label!r} is the column of the labels of {path.name}; remove it")
    pixels = [name for name in table.pixels if name not in ignored]
    if packed := [name for name in pixels if name in table.packed]:
        raise _refusal(
            path,
            key,
            f"has all pixels of an image in one field of column {printable_name(packed[0])}; give each a column of "
            "its own",
        )
    if not pixels:
        raise _refusal(path, key, "has no columns of pixels beside its labels and what ignore leaves out; add them")
    stems = Counter(re.sub(r"\d+$", "", name) for name in pixels)
    if table.header and stems and len(stems) > 1:
        usual, times = stems.most_common(1)[0]
        odd = [name for name in pixels if re.sub(r"\d+$", "", name) != usual]
        if times > len(pixels) / 2:
            listed = ", ".join(map(printable_name, odd[:5])) + (", ..." if len(odd) > 5 else "")
            raise _refusal(
                path, key, f"has columns that are named otherwise than the pixels ({listed}); write ignore: [{listed}]"
            )
    for before, after in pairwise(pixels):
        first, second = (re.fullmatch(r"(.*?)(\d+)", name) for name in (before, after))
        if first and second and first[1] == second[1] and int(second[2]) <= int(first[2]):
            raise _refusal(
                path, key, f"has the column {after} behind {before}; the pixels should stand in the order of an image"
            )
    return pixels


def pixel_rows(
    path: Path, table: CsvTable, pixels: Sequence[str], delimiter: str, scale: str, key: str
) -> tuple["np.ndarray", list[str | None]]:
    """Pixels (rows, pixels) as uint8, and labels as text.

    The columns ``pixels`` are read in that order. Raises UserError, with row and column, for values that are not
    numbers or out of range.
    """
    try:
        if scale == "byte":
            try:
                return _pixel_rows(path, table, pixels, delimiter, scale, key, whole=True)
            except _NotWholeError:
                pass  # "12.0" is a whole number too
        return _pixel_rows(path, table, pixels, delimiter, scale, key, whole=False)
    except OSError as error:
        raise _refusal(path, key, f"cannot be read ({error})") from None


class _NotWholeError(Exception):
    """A pixel is a number with a decimal point."""


def _pixel_rows(  # all of what tells how the text is to be read
    path: Path, table: CsvTable, pixels: Sequence[str], delimiter: str, scale: str, key: str, *, whole: bool
) -> tuple["np.ndarray", list[str | None]]:
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    from convlab.datasets.pixel_values import as_bytes, wrong_value

    def refuse(problem: str) -> NoReturn:
        raise _refusal(path, key, problem)

    label = None if table.label is None else table.columns[table.label]
    kind = pa.uint8() if whole else pa.float64()
    images, labels = np.empty((table.rows, len(pixels)), np.uint8), []
    filled = 0
    with _opened(path) as stream:
        try:
            blocks = arrow_csv.open_csv(
                stream,
                arrow_csv.ReadOptions(
                    use_threads=False,  # messages then have the row's number
                    block_size=BLOCK_BYTES,
                    column_names=table.columns,
                    skip_rows=1 if table.header else 0,
                ),
                arrow_csv.ParseOptions(delimiter=DELIMITERS[delimiter]),
                arrow_csv.ConvertOptions(
                    include_columns=[*pixels, *([label] if label is not None else [])],
                    column_types=dict.fromkeys(pixels, kind) | ({label: pa.string()} if label is not None else {}),
                    null_values=[""],
                ),
            )
            for block in blocks:
                values = np.empty((block.num_rows, len(pixels)), np.uint8 if whole else np.float64)
                for index in range(len(pixels)):
                    column = block.column(index)
                    if column.null_count:
                        row = filled + column.is_null().to_pylist().index(True) + 1 + table.header
                        refuse(f"row {row:,} has no value in column {pixels[index]}; give every pixel one")
                    values[:, index] = column.to_numpy()

                def refuse_value(problem: str, values: "np.ndarray" = values, first: int = filled) -> NoReturn:
                    row, column = wrong_value(values, scale)
                    refuse(f"row {first + row + 1 + table.header:,}, column {printable_name(pixels[column])} {problem}")

                images[filled : filled + len(values)] = as_bytes(values, scale, refuse_value)
                if label is not None:
                    labels += map(label_text, block.column(len(pixels)).to_pylist())
                filled += len(values)
        except pa.ArrowInvalid as error:
            _explain(str(error), pixels, table, whole, refuse)
    if filled != table.rows:
        refuse(f"has {filled:,} rows now and had {table.rows:,} when it was checked; run again")
    return images, labels


def _explain(error: str, pixels: Sequence[str], table: CsvTable, whole: bool, refuse) -> NoReturn:
    """Arrow's message for a value that is no pixel, in our words.

    Raises _NotWholeError where it is a number with a point, UserError otherwise.
    """
    match = re.search(r"column #(\d+): (?:Row #(\d+): )?CSV conversion error to \w+: invalid value '(.*)'", error)
    if match is None:
        refuse(f"is damaged ({printable_name(error.splitlines()[0])}); mend or fetch it again")
    column, row, value = printable_name(table.columns[int(match[1])]), match[2], match[3].strip()
    where = f"row {int(row):,}, column {column}" if row else f"column {column}"
    if NUMBER.fullmatch(value):
        if whole and ("." in value or "e" in value.lower()):
            raise _NotWholeError
        refuse(f"{where} has the value {value}; pixels go from 0 to 255")
    refuse(
        f"{where} has {printable_name(value)!r}, no number; if that column holds no pixels, write ignore: [{column}]"
    )
