"""SpQR in float64 as the paper and its code publish it, and its format decoded, to check another implementation against.

Written with the inverse: U upper with H^-1 = U^T U, errors pushed to the right one column at a time; leave-one-out literally, a grid for each weight that is left out.
What differs from the published code: errors are those of what clients decode (half precision, outliers' rounding too), zero points of leave-one-out grids are
not rounded, a range that lies farther from 0 than it is wide reaches to 0, and rows of zeros say nothing of the scales of others.

    spqr_reference.py fixtures FOLDER     write the small cases that the Swift unit tests read
"""
import pathlib
import sys

import numpy as np

import gptq_reference
import reference_file

ROWS, MOST_LEVEL = 16, 7
half = np.float16


def grid(low, high, most):
    """Scale and zero point of ranges."""
    width = high - low
    low, high = np.where(low > width, 0.0, low), np.where(-high > width, 0.0, high)
    scale = (high - low) / most
    return scale, np.where(scale == 0, 0.0, -low / np.where(scale == 0, 1.0, scale))


def codes_of(x, scale, zero, most):
    return np.clip(np.round(x / np.maximum(scale, 1e-9) + zero), 0, most)


def numbers_of(codes, scale, zero):
    """scale (code - zero) in half precision."""
    return half(scale) * (half(codes) - half(zero))


def first_grid(x, diagonal, most, threshold):
    """The grid of a group, [rows, columns], without the weights that are worth more as outliers."""
    def errors(x, diagonal):
        scale, zero = grid(x.min(1), x.max(1), most)
        quantized = scale[:, None] * (codes_of(x, scale[:, None], zero[:, None], most) - zero[:, None])
        return (((x - quantized) / diagonal) ** 2).sum(1)

    base = errors(x, diagonal)
    without = [errors(np.delete(x, k, 1), np.delete(diagonal, k)) for k in range(x.shape[1])]
    kept = (base[:, None] - np.stack(without, 1)) <= threshold
    low, high = np.where(kept, x, np.inf).min(1), np.where(kept, x, -np.inf).max(1)
    empty = ~kept.any(1)
    return grid(np.where(empty, 0.0, low), np.where(empty, 0.0, high), most)


def second_grid(numbers, filled):
    """Codes of the rows of a block, and step and zero point of their grid in half precision."""
    step = zero = 0.0
    if filled.any():
        low, high = numbers[filled].min(), numbers[filled].max()
        if not max(abs(low), abs(high)) * MOST_LEVEL <= 2048 * (high - low):
            low, high = min(low, 0.0), max(high, 0.0)
        if low < high:
            step = (high - low) / MOST_LEVEL
            zero = -low / step
    step, zero = half(step), half(zero)
    return codes_of(numbers, float(step), float(zero), MOST_LEVEL), step, zero


def spqr(weights, hessian, options, damping):
    """codes [rows, columns], codes of scales and zero points [rows, groups], their steps and zero points [4, blocks, groups] (scales' step and zero point, zero
    points' step and zero point), outliers [rows, columns], values [rows, columns], loss [rows]; all columns in their original order."""
    W = np.array(weights, dtype=np.float64)
    H, _ = gptq_reference.damped(hessian, damping)
    rows, columns = W.shape
    most, group = 2 ** options["bits"] - 1, options["group"]
    order = gptq_reference.column_order(np.diag(np.array(hessian, dtype=np.float64)), options)
    U = np.linalg.cholesky(np.linalg.inv(H[order][:, order])).T
    threshold = options["threshold"] * np.mean(W[:, order].var(0, ddof=1) / np.diag(U) ** 2)
    permuted = options["actOrder"] and not options["wholeGroups"]
    group_at = np.arange(columns) // group if permuted else order // group

    blocks = -(-rows // ROWS)
    levels = np.zeros((2, rows, columns // group))
    seconds = np.zeros((4, blocks, columns // group), dtype=half)
    V = W[:, order].copy()
    codes, outliers, values, loss = np.zeros((rows, columns)), np.zeros((rows, columns), half), np.zeros((rows, columns), half), np.zeros(rows)
    for j in range(columns):
        if j % group == 0:
            own = slice(j, j + group)
            scale, zero = first_grid(V[:, own], np.diag(U)[own], most, threshold)
            filled, index = scale > 0, group_at[j]
            for block in range(blocks):
                part = slice(block * ROWS, (block + 1) * ROWS)
                for place, wanted in enumerate((scale, zero)):
                    levels[place, part, index], *seconds[2 * place : 2 * place + 2, block, index] = second_grid(wanted[part], filled[part])
            by_row = np.repeat(seconds[:, :, index], ROWS, axis=1)[:, :rows]
            scale, zero = (numbers_of(levels[i, :, index], by_row[2 * i], by_row[2 * i + 1]) for i in (0, 1))
        s, z = scale.astype(float), zero.astype(float)
        code = codes_of(V[:, j], s, z, most)
        q = numbers_of(code, scale, zero)
        code_of_0 = codes_of(np.zeros(rows), s, z, most)
        dense = numbers_of(code_of_0, scale, zero)
        added = half(np.float32(V[:, j] - dense.astype(float)))
        is_outlier = (((V[:, j] - q.astype(float)) / U[j, j]) ** 2 > threshold) & (added != 0)
        codes[:, j], outliers[:, j] = np.where(is_outlier, code_of_0, code), np.where(is_outlier, added, half(0))
        values[:, j] = half(np.where(is_outlier, dense.astype(np.float32) + added.astype(np.float32), q.astype(np.float32)))
        error = (V[:, j] - values[:, j].astype(float)) / U[j, j]
        loss += error**2
        V[:, j:] -= np.outer(error, U[j, j:])
    back = np.argsort(order)
    return codes[:, back].astype(np.uint8), levels.astype(np.uint8), seconds, outliers[:, back], values[:, back], loss


def decode(linear, tensors):
    """A linear's weights [rows, columns] in half precision, by the layout's rules alone."""
    words, offsets = tensors[linear + ".dense_weights"].view(np.uint64), tensors[linear + ".row_offsets"]
    rows = len(offsets) - 1
    columns = len(words) * 16 // rows
    tiles = words.reshape(rows // 16, columns // 16, 16)
    field = lambda shift, bits: (tiles >> np.uint64(shift)) & np.uint64((1 << bits) - 1)
    assert not field(62, 2).any()
    shared = field(54, 8)
    assert np.array_equal(shared[..., 0::2], shared[..., 1::2])
    second = sum(shared[..., 2 * byte] << np.uint64(8 * byte) for byte in range(8))
    scale_step, zero_step, scale_zero, zero_zero = (
        ((second >> np.uint64(16 * index)) & np.uint64(0xFFFF)).astype(np.uint16).view(half)[..., None] for index in range(4))
    scale = scale_step * (field(0, 3).astype(half) - scale_zero)
    zero = zero_step * (field(3, 3).astype(half) - zero_zero)
    codes = np.stack([field(6 + 3 * column, 3) for column in range(16)], -1).astype(half)
    dense = scale[..., None] * (codes - zero[..., None])
    weights = dense.transpose(0, 2, 1, 3).reshape(rows, columns).astype(np.float32)
    entries = tensors[linear + ".col_vals"].view(np.uint32)
    assert offsets[0] == 0 and offsets[-1] == len(entries) and (np.diff(offsets) >= 0).all()
    row_of_entry = np.repeat(np.arange(rows), np.diff(offsets))
    places = (entries & np.uint32(0xFFFF)).astype(int)
    assert len(set(zip(row_of_entry, places))) == len(entries)
    weights[row_of_entry, places] += (entries >> np.uint32(16)).astype(np.uint16).view(half).astype(np.float32)
    order = tensors[linear + ".in_perm"].view(np.uint16)
    result = np.empty_like(weights)
    result[:, order if len(order) else slice(None)] = weights
    return result.astype(half)


def make_options(bits=3, group=16, threshold=0.2, actOrder=False, wholeGroups=False):
    return dict(bits=bits, group=group, threshold=threshold, actOrder=actOrder, wholeGroups=wholeGroups)


CASES = [
    make_options(),
    make_options(actOrder=True, wholeGroups=True),
    make_options(actOrder=True),
    make_options(bits=2, threshold=0.5, actOrder=True, wholeGroups=True),
    make_options(bits=4, group=32, threshold=0.05),
    make_options(bits=8, group=64, threshold=0.0005, actOrder=True),
    make_options(threshold=1e6),
]


def write_fixtures(folder):
    """spqr.json and spqr.bin: codes u8, levels u8, their steps and zero points f16, outliers f16, values f16, loss f64 of each case."""
    rng = np.random.default_rng(9)
    rows, columns, tokens = 40, 192, 600
    mixing = rng.normal(size=(columns, columns)) * (rng.random((columns, columns)) < 0.1) + np.eye(columns)
    X = rng.normal(size=(tokens, columns)) @ mixing * np.exp(rng.normal(size=columns))
    X[:, 77] = 0
    H = (X.T @ X).astype(np.float32)
    W = rng.standard_t(4, size=(rows, columns)).astype(np.float32) * 0.05
    # A row of zeros, one on one side of zero, and one whose weights lie near to each other.
    W[5], W[6], W[20] = 0, np.abs(W[6]), 0.05 + W[20] / 1000

    def solve(weights, hessian, options):
        codes, levels, seconds, outliers, values, loss = spqr(weights, hessian, options, damping=0.1)
        return codes, levels, seconds, outliers, values, loss

    reference_file.write(folder, "spqr", W, H, CASES, solve)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "fixtures":
        sys.exit(__doc__)
    write_fixtures(pathlib.Path(sys.argv[2]))
