"""A file of generated events for `bench_peak_memory.py`: `python bench/cli/generated_rows.py events.parquet 1000000`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

SEED = 1
GROUP_ROWS = 1 << 20
WRITERS = {".parquet": pq.ParquetWriter, ".arrow": pa.ipc.new_file, ".csv": pyarrow.csv.CSVWriter}


def generated(rows: int) -> Iterator[pa.RecordBatch]:
    """Yield `rows` events in groups: a time, a text key of about 16 bytes, and a payload that no packing shrinks."""
    rng = np.random.default_rng(SEED)
    for start in range(0, rows, GROUP_ROWS):
        count = min(GROUP_ROWS, rows - start)
        keys = pc.binary_join_element_wise("customer", pa.array(rng.integers(0, rows, count)).cast(pa.string()), "")
        columns = [pa.array(np.arange(start, start + count)), keys, pa.array(rng.random(count))]
        yield pa.record_batch(columns, names=["time", "key", "payload"])


def write(path: Path, rows: int) -> None:
    """Write the events as a file of the kind that the path's ending says."""
    with WRITERS[path.suffix](path, next(generated(1)).schema) as writer:
        for batch in generated(rows):
            writer.write_batch(batch)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
