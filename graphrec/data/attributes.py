"""Attributes of a side table as numbers: words and categories by TF-IDF and a truncated SVD, numbers standardised."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from graphrec.data.values import NUMBER
from graphrec.errors import MissingExtraError, SettingError

WIDTH = 64  # numbers that a text becomes, at most
FEWEST_ROWS = 2  # in which a token must stand: one that stands once tells of no likeness
WORD = re.compile(r"\w{2,}")


def describe(table: pa.Table, text_model: str | os.PathLike[str] | None = None) -> dict[str, np.ndarray]:
    """What a table of attributes says, as ``text`` and ``numbers``, each only where there is something to say.

    - A column in which every value is a number goes to ``numbers``, with mean 0 and standard deviation 1; in a row that
      has other numbers, a missing one counts as the mean.
    - Any other column goes to ``text``. Its values are split at ``|``. Where at most half as many differ as there are,
      they are categories, and each is one token; else they are prose, and each word is one.
    - ``text`` is the TF-IDF of the tokens that stand in two rows or more and not in all that have some, each row of
      length 1, reduced to 64 numbers by a truncated SVD; without it where there are no more than 64 tokens.

    Args:
        table: columns of text, null where absent.
        text_model: the folder of a sentence-transformers model, which reads the text columns in place of TF-IDF.

    Returns:
        float32 [rows, width] by modality; a row of which nothing is known is NaN.

    >>> films = pa.table({"genre": ["war|drama", "drama", "war", None], "year": ["1942", "1950", None, None]})
    >>> described = describe(films)
    >>> described["text"].round().tolist(), described["numbers"].tolist()
    ([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [nan, nan]], [[-1.0], [1.0], [nan], [nan]])
    """
    numeric = [name for name in table.column_names if _is_numeric(table[name])]
    worded = table.drop_columns(numeric)
    found = {
        "text": _embedded(worded, text_model) if text_model is not None else _tfidf(worded),
        "numbers": _standardised(table.select(numeric)),
    }
    return {name: values for name, values in found.items() if values is not None}


def _is_numeric(column: pa.ChunkedArray) -> bool:
    """Whether there are values, and all of them are numbers."""
    some = column.null_count < len(column)
    return some and bool(pc.all(pc.match_substring_regex(column, NUMBER)).as_py())


def _standardised(table: pa.Table) -> np.ndarray | None:
    """Mean 0 and deviation 1; columns that are constant or overflow go."""
    columns = []
    for column in table.columns:
        values = pc.cast(column, pa.float64()).to_numpy()
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = np.nanstd(values)
        if np.isfinite(deviation) and deviation > 0:
            columns.append((values - np.nanmean(values)) / deviation)
    if not columns:
        return None
    numbers = np.stack(columns, axis=1).astype(np.float32)
    absent = np.isnan(numbers)
    return np.where(absent & ~absent.all(axis=1, keepdims=True), np.float32(0), numbers)


def _tfidf(table: pa.Table) -> np.ndarray | None:
    """TF-IDF of the rows' tokens, reduced; None where no token is shared."""
    from sklearn.feature_extraction.text import TfidfTransformer

    counts = _counts(table)
    in_rows = np.bincount(counts.indices, minlength=counts.shape[1])
    described = np.count_nonzero(np.diff(counts.indptr))
    counts = counts[:, (in_rows >= FEWEST_ROWS) & (in_rows < described)]
    known = np.diff(counts.indptr) > 0
    if not known.any():
        return None
    reduced = _reduced(TfidfTransformer().fit_transform(counts[known]))
    text = np.full((len(known), reduced.shape[1]), np.nan, dtype=np.float32)
    text[known] = reduced
    return text


def _reduced(weights: sparse.csr_matrix) -> np.ndarray:
    """The first singular directions. Signs are fixed by scikit-learn, the start by the seed, so a call repeats."""
    from sklearn.decomposition import TruncatedSVD

    if weights.shape[1] <= WIDTH:
        return weights.toarray()
    return TruncatedSVD(min(WIDTH, weights.shape[0]), random_state=0).fit_transform(weights)


def _counts(table: pa.Table) -> sparse.csr_matrix:
    """How often each token stands in each row, sparse [rows, tokens]."""
    rows, tokens = [np.zeros(0, dtype=np.int64)], [pa.array([], pa.large_string())]
    for name in table.column_names:
        for row, token in _tokens(table[name], name):
            rows.append(row)
            tokens.append(token)
    codes = pa.concat_arrays(tokens).dictionary_encode()
    row, column = np.concatenate(rows), codes.indices.to_numpy()
    ones = np.ones(len(row), dtype=np.float32)
    return sparse.csr_matrix((ones, (row, column)), shape=(table.num_rows, len(codes.dictionary)))


def _tokens(column: pa.ChunkedArray, name: str) -> list[tuple[np.ndarray, pa.Array]]:
    """Rows and tokens of a column: its categories with the column's name before them, or its words."""
    lists = pc.split_pattern(pc.fill_null(column.cast(pa.large_string()).combine_chunks(), ""), "|")
    row, value = pc.list_parent_indices(lists), pc.utf8_trim_whitespace(pc.list_flatten(lists))
    some = pc.not_equal(value, "")
    row, value = row.filter(some).to_numpy(), value.filter(some)
    if 2 * pc.count_distinct(value).as_py() <= len(value):
        return [(row, pc.binary_join_element_wise(pa.scalar(name, value.type), value, pa.scalar("=", value.type)))]
    words = [WORD.findall(text) for text in pc.utf8_lower(value).to_pylist()]
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    return [(np.repeat(row, lengths), pa.array([word for text in words for word in text], pa.large_string()))]


def _embedded(table: pa.Table, folder: str | os.PathLike[str]) -> np.ndarray | None:
    """What a sentence-transformers model makes of each row's texts."""
    texts = [", ".join(filter(None, row.values())).replace("|", ", ") for row in table.to_pylist()]
    known = np.array([bool(text) for text in texts], dtype=bool)
    if not known.any():
        return None
    vectors = _sentence_model(folder).encode([text for text in texts if text], show_progress_bar=False)
    text = np.full((len(texts), vectors.shape[1]), np.nan, dtype=np.float32)
    text[known] = vectors
    return text


def _sentence_model(folder: str | os.PathLike[str]):  # type: ignore[no-untyped-def]
    """The model in a folder; nothing is fetched, no code from the folder runs, and weights are safetensors."""
    if not Path(folder).is_dir():
        raise SettingError(f"text_model must be the folder of a sentence-transformers model, got {folder}")
    try:
        library = importlib.import_module("sentence_transformers")
    except ImportError:
        raise MissingExtraError("sentence-transformers", "text") from None
    return library.SentenceTransformer(
        str(folder), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
    )
