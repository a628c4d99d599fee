"""QMoE's codewords, written from the paper's description and its published expressions, to check another implementation against.

    qmoe_reference.py fixtures FOLDER     write the case that the Swift unit tests read
    decode(linear, tensors)               the weights of a linear of a checkpoint in float32
"""
import functools
import heapq
import pathlib
import sys

import numpy as np

COUNT, LONGEST = 65536, 14
ZERO = 0.885


@functools.cache
def runs():
    """The most probable runs of pairs, by their codewords: a pair is first + 3 * second of the codes 0 (zero), 1 (low), 2 (high)."""
    weight = [ZERO, (1 - ZERO) / 2, (1 - ZERO) / 2]
    pair = [weight[r % 3] * weight[r // 3] for r in range(9)]
    heap, found = [(-1.0, [])], []
    while len(found) < COUNT:
        probability, run = heapq.heappop(heap)
        if run:
            found.append(run)
        if len(run) < LONGEST:
            for r in range(9):
                heapq.heappush(heap, (probability * pair[r], run + [r]))
    return found


@functools.cache
def numbers():
    return {tuple(run): number for number, run in enumerate(runs())}


def encode(row):
    """The codewords of a row of codes: each is the longest run of the dictionary that the rest begins with."""
    codes = list(map(int, row)) + [0] * (len(row) % 2)
    pairs = [first + 3 * second for first, second in zip(codes[::2], codes[1::2])]
    known, result, start = numbers(), [], 0
    while start < len(pairs):
        # All beginnings of a run are runs.
        length = 1
        while start + length < len(pairs) and tuple(pairs[start : start + length + 1]) in known:
            length += 1
        result.append(known[tuple(pairs[start : start + length])])
        start += length
    return result


def decode_row(codewords):
    return [code for codeword in codewords for r in runs()[codeword] for code in (r % 3, r // 3)]


def decode(linear, tensors):
    """tensors: numpy arrays by name, ter_minmax as float32."""
    codewords, offsets = tensors[linear + ".w_comp"].view(np.uint16), tensors[linear + ".row_off"]
    numbers_of_rows = tensors[linear + ".ter_minmax"].reshape(-1, 2)
    rows = []
    for row, (low, high) in enumerate(numbers_of_rows):
        codes = decode_row(codewords[offsets[row] : offsets[row + 1]].tolist())
        rows.append(np.array([0, low, high], dtype=np.float32)[codes])
    assert offsets[0] == 0 and offsets[-1] == len(codewords) and len(offsets) == len(numbers_of_rows) + 1
    return np.stack(rows)


def write_fixtures(folder):
    """qmoe.bin: ternary codes of 64 rows of 768 with the dictionary's probabilities, four in a byte, the first in the lowest bits; offsets of the rows' codewords
    in i32; codewords in u16."""
    codes = np.random.default_rng(0).choice(3, size=(64, 768), p=[ZERO, (1 - ZERO) / 2, (1 - ZERO) / 2]).astype(np.uint8)
    quarters = codes.reshape(-1, 4)
    encoded = [encode(row) for row in codes]
    offsets = np.cumsum([0] + [len(row) for row in encoded]).astype("<i4")
    packed = quarters[:, 0] | quarters[:, 1] << 2 | quarters[:, 2] << 4 | quarters[:, 3] << 6
    (folder / "qmoe.bin").write_bytes(packed.tobytes() + offsets.tobytes() + np.concatenate(encoded).astype("<u2").tobytes())


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "fixtures":
        sys.exit(__doc__)
    write_fixtures(pathlib.Path(sys.argv[2]))
