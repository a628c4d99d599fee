"""Makes Tests/ParquetTests/Fixtures with pyarrow: one table of 300 rows, written in several ways. ParquetTests knows its rows by the same formula."""
import pathlib

import pyarrow
import pyarrow.parquet as parquet

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "ParquetTests/Fixtures"


def text(row):
    return None if row % 50 == 49 else f"row {row % 37} " * (row % 5) + "äöü"


table = pyarrow.table({
    "id": pyarrow.array(range(300), pyarrow.int64()),
    "text": pyarrow.array([text(row) for row in range(300)]),
    "other": pyarrow.array([f"{row}" for row in range(300)], pyarrow.large_string()),
    "meta": pyarrow.array([{"lang": "de", "role": "x"}] * 300),
    "tags": pyarrow.array([["a", "b"]] * 300),
})
# Optional columns with nulls, and one that must have values.
required = table.cast(pyarrow.schema([field.with_nullable(field.name != "other") for field in table.schema]))

for name, options in {
    "snappy": dict(compression="snappy"),
    "plain": dict(compression="none", use_dictionary=False),
    "zstd-v2": dict(compression="zstd", data_page_version="2.0", data_page_size=512, row_group_size=70),
    "gzip": dict(compression="gzip", use_dictionary=False, data_page_size=256),
    # A dictionary that grows too large gives way to plain pages in the middle of a chunk.
    "mixed": dict(compression="snappy", dictionary_pagesize_limit=256, data_page_size=128, write_batch_size=16),
    "brotli": dict(compression="brotli"),
    "delta": dict(use_dictionary=False, column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY"}),
}.items():
    parquet.write_table(required, FOLDER / f"{name}.parquet", **options)
