"""Text files: how they are written, their bytes as UTF-8 with fields parted by one character, and their rows."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from graphrec.errors import DamagedTableError, DataError, SettingError

BY_SUFFIX = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".dat": "\t"}
BY_SUFFIX |= dict.fromkeys((".inter", ".kg", ".link", ".item", ".user"), "\t")  # RecBole's
COLONS = "::"  # of MovieLens, whose .dat files have no header row
UNIT = "\x1f"  # stands for a delimiter of several characters, while a file is read
BLOCK = 1 << 24  # bytes looked at together, and the longest field

csv.field_size_limit(BLOCK)  # a long field is judged like any other value, not by the csv module


@dataclass(frozen=True)
class TextForm:
    """What a caller says of text tables.

    Args:
        header: the columns' names, where a file has no header row.
        delimiter: one character or more; overrides what the suffix says, unless there is a header row without it.
        encoding: of the text.

    Raises:
        UsageError: there is no such encoding, or no such delimiter.
    """

    header: Sequence[str] | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if self.delimiter is not None and not re.fullmatch('[^"\r\n\x00\ud800-\udfff]+', self.delimiter):
            rule = "delimiter must be characters other than quotes and line ends"
            raise SettingError(f"{rule}, got {self.delimiter!r}", "write a tab as '\\t' or tab")
        try:
            blank = " ".encode(self.encoding)
            blank.decode(self.encoding, "replace")
            pa.transcoding_input_stream(pa.BufferReader(blank), self.encoding, "utf-8").read()
        except (LookupError, ValueError, AttributeError) as error:  # idna and punycode are not for whole texts
            raise SettingError(f"encoding {self.encoding!r} is not known", "utf-8, latin-1 and utf-16 are") from error


PLAIN = TextForm()  # nothing said


@dataclass(frozen=True)
class TextFile:
    """A text file with rows.

    Args:
        path: the file.
        delimiter: where it has several bytes, quotes mean nothing.
        encoding: of the text.
    """

    path: Path
    delimiter: str
    encoding: str = "utf-8"

    @property
    def is_utf8(self) -> bool:
        return codecs.lookup(self.encoding).name == "utf-8"

    @property
    def quoted(self) -> bool:
        """Whether a field may stand in quotes."""
        return len(self.delimiter.encode()) == 1

    @property
    def mark(self) -> str:
        """The one character that parts the fields of ``stream``."""
        return self.delimiter if self.quoted else UNIT

    def text(self) -> pa.NativeFile:
        """The file's bytes as UTF-8."""
        source = pa.OSFile(str(self.path))
        return source if self.is_utf8 else pa.transcoding_input_stream(source, self.encoding, "utf-8")

    def stream(self) -> pa.NativeFile:
        """The file's bytes as UTF-8, its fields parted by ``mark``."""
        text = self.text()
        return text if self.quoted else pa.TransformInputStream(text, _Replacing(self.delimiter, self.mark))

    def rows(self, *, strict: bool = False) -> Iterator[tuple[int, list[str], str]]:
        """(line, fields, text) of each row that is not blank; lines count from 1.

        Args:
            strict: refuse quotes that do not match.

        Raises:
            DamagedTableError: they do not, or a field is longer than ``BLOCK``.
        """
        encoding = "utf-8-sig" if self.is_utf8 else self.encoding
        seen: list[str] = []
        line = 1
        with open(self.path, encoding=encoding, errors="replace", newline="") as lines:
            heard = self._heard(lines, seen)
            form: dict[str, Any] = {} if self.quoted else {"quoting": csv.QUOTE_NONE}
            reader = csv.reader(heard, delimiter=self.mark, strict=strict, **form)
            try:
                for fields in reader:
                    if fields:
                        yield line, fields, "".join(seen).rstrip("\r\n")
                    seen.clear()
                    line = reader.line_num + 1
            except csv.Error as error:
                if "larger than" in str(error):
                    raise too_long(self.path, line, f"more than {BLOCK:,}") from None
                message = f"{self.path}, line {line}: the quotes of this row do not match ({error})"
                hint = 'close each quoted field, and write a quote inside one as ""'
                raise DamagedTableError(message, hint) from error

    def _heard(self, lines: Iterator[str], seen: list[str]) -> Iterator[str]:
        """The lines, each kept in ``seen`` as it stands in the file."""
        for line in lines:
            seen.append(line)
            yield line if self.quoted else line.replace(self.delimiter, self.mark)


class _Replacing:
    """Replaces bytes in a stream that comes in chunks, those that lie across two chunks too."""

    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old.encode(), new.encode()
        self._held = b""

    def __call__(self, chunk: pa.Buffer) -> bytes:
        """The next bytes; an empty chunk is the end."""
        content = (self._held + bytes(chunk)).replace(self._old, self._new)
        sizes = range(len(self._old) - 1, 0, -1) if len(chunk) else ()
        held = next((size for size in sizes if content.endswith(self._old[:size])), 0)
        self._held = content[len(content) - held :]
        return content[: len(content) - held]


def as_text(path: Path, form: TextForm) -> TextFile:
    """The file with the delimiter of its header row or, where that lacks the given one, of its suffix.

    One setting then serves tables of two forms.
    """
    encoding = "utf-8-sig" if codecs.lookup(form.encoding).name == "utf-8" else form.encoding
    try:
        with open(path, encoding=encoding, errors="replace") as lines:
            first = lines.readline(BLOCK)
    except UnicodeError as error:  # UTF-16 without the mark of its byte order
        raise wrong_encoding(TextFile(path, "", form.encoding)) from error
    if "\0" in first:
        raise _nul(path, 1)
    delimiter = form.delimiter
    if delimiter is None or (form.header is None and delimiter not in first):
        suffix = path.suffix.lower()
        delimiter = COLONS if suffix == ".dat" and COLONS in first else BY_SUFFIX[suffix]
    return TextFile(path, delimiter, form.encoding)


def check_text(file: TextFile) -> None:
    """Refuse bytes that are no text, and quotes that never close or go on: both would swallow or change rows.

    Raises:
        DataError: NUL bytes, text of another encoding, or a quote that never closes.
    """
    if _check_bytes(file) and file.quoted:
        for _ in file.rows(strict=True):
            pass


def _check_bytes(file: TextFile) -> bool:
    """Refuse NUL bytes, bytes that are no text, and the mark where it stands for others; return whether it has quotes.

    Columns that nobody reads are looked at too: pyarrow loses a row that has a field too few and is not UTF-8.
    """
    quotes, lines, text, decoder = False, 1, file.text(), codecs.getincrementaldecoder("utf-8")()
    try:
        while content := text.read(BLOCK):
            if not content.isascii() or decoder.getstate()[0]:
                decoder.decode(content)
            place = content.find(0)
            if place >= 0:
                raise _nul(file.path, lines + content.count(b"\n", 0, place))
            if not file.quoted and UNIT.encode() in content:
                raise DamagedTableError(f"{file.path}: holds the control character {UNIT!r}", "take it out")
            quotes = quotes or b'"' in content
            lines += content.count(b"\n")
        decoder.decode(b"", True)
    except UnicodeError as error:
        raise wrong_encoding(file) from error
    return quotes


def _nul(path: Path, line: int) -> DataError:
    message = f"{path}, line {line}: a NUL byte; the file is damaged, compressed or UTF-16"
    return DamagedTableError(message, "save it as UTF-8 text, or name its encoding: --encoding utf-16")


def too_long(path: Path, line: int, size: str) -> DataError:
    """The error for a row that is longer than what is read at once."""
    hint = "shorten it; perhaps a line end is missing"
    return DamagedTableError(f"{path}, line {line}: a row of {size} characters is too long to be read", hint)


def wrong_encoding(file: TextFile) -> DataError:
    """The error for text that is not in its encoding; it names the first such line where lines can be told apart."""
    hint = "save the file as UTF-8, or name its encoding with --encoding: latin-1, say"
    if file.is_utf8:
        with open(file.path, "rb") as lines:
            for line, content in enumerate(lines, start=1):
                try:
                    content.decode("utf-8")
                except UnicodeDecodeError:
                    return DamagedTableError(f"{file.path}, line {line}: not UTF-8 text", hint)
    return DamagedTableError(f"{file.path}: not {file.encoding} text", hint)
