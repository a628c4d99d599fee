"""SparseGPT in float64 as the paper and its code publish it, and the baselines it is measured against.

Written with the inverse: U upper with H^-1 = U^T U, errors pushed to the right one column at a time. Weights that are kept may be quantized: on
grids from the most current weights where groups are found on the way (those of a pattern then with the mask that is foreseen at the group's
beginning), or from the original weights.

    sparsegpt_reference.py fixtures FOLDER     write the small cases that the Swift unit tests read
"""
import pathlib
import sys

import numpy as np

import reference_file
from gptq_reference import Quantizer, compared, damped, make_options, with_typical


def rounded(x, type_name):
    """x as a number of the checkpoint's type, half to even; exact zeros and subnormal numbers stay."""
    single = np.asarray(x, dtype=np.float64).astype(np.float32)
    if type_name == "f32":
        return single.astype(np.float64)
    if type_name == "f16":
        return single.astype(np.float16).astype(np.float64)
    bits = single.view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def smallest(scores, count):
    """Of each row the `count` lowest scores, of equal ones those further left: a mask."""
    mask = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(mask, np.argsort(scores, axis=1, kind="stable")[:, :count], True, axis=1)
    return mask


def pattern_mask(scores, pruned, of):
    return np.concatenate([smallest(scores[:, i : i + of], pruned) for i in range(0, scores.shape[1], of)], axis=1)


def below_threshold(scores, share):
    return scores <= np.sort(scores.flatten())[int(scores.size * share)]


def sparsity_of(options):
    """A share, and None; or None, and (pruned, of)."""
    text = options["sparsity"]
    return (None, tuple(map(int, text.split(":")))) if ":" in text else (float(text), None)


def prepared(weights, hessian, damping):
    return np.array(weights, dtype=np.float64), *damped(hessian, damping)


def sparsegpt(weights, hessian, options, damping=0.01):
    """The new weights [rows, columns] and the loss of each row."""
    W, H, dead = prepared(weights, hessian, damping)
    rows, columns = W.shape
    U = np.linalg.cholesky(np.linalg.inv(H)).T
    weighed = compared(U, dead)
    share, pattern = sparsity_of(options)
    quantization = options["quantization"]
    group = None
    if quantization:
        quantizer = Quantizer(quantization)
        group = columns if quantization["group"] == -1 else quantization["group"]
        dynamic = quantization["group"] != -1 and not quantization["staticGroups"]
        grids = {}
        if not dynamic:
            for start in range(0, columns, group):
                at = np.arange(start, min(start + group, columns))
                grids[start // group] = quantizer.find(W[:, at], np.diag(np.diag(weighed)[at]))
    V, Q, loss = W.copy(), np.zeros_like(W), np.zeros(rows)
    kept = np.ones(W.shape, dtype=bool)
    scores = lambda at: V[:, at] ** 2 / np.diag(weighed)[at] ** 2
    for j in range(columns):
        if share is not None and j % options["maskBlock"] == 0:
            block = np.arange(j, min(j + options["maskBlock"], columns))
            kept[:, block] = ~below_threshold(scores(block), share)
        if quantization and dynamic and j % group == 0:
            at = np.arange(j, min(j + group, columns))
            foreseen = kept[:, at] if share is not None else ~pattern_mask(scores(at), *pattern)
            grids[j // group] = quantizer.find(V[:, at], weighed[np.ix_(at, at)], foreseen)
        if pattern and j % pattern[1] == 0:
            at = np.arange(j, j + pattern[1])
            kept[:, at] = ~pattern_mask(scores(at), *pattern)
        if quantization:
            scale, zero = grids[j // group]
            q = quantizer.dequantized(V[:, j : j + 1], scale, zero)[:, 0]
        else:
            q = rounded(V[:, j], options["type"])
        Q[:, j] = np.where(kept[:, j], q, 0)
        error = (V[:, j] - Q[:, j]) / U[j, j]
        loss += error**2
        V[:, j:] -= np.outer(error, U[j, j:])
    return Q, loss


def baseline(weights, hessian, options, damping=0.01):
    """Magnitude, by the threshold of all weights, or Wanda, row by row."""
    W, H, dead = prepared(weights, hessian, damping)
    share, pattern = sparsity_of(options)
    scores = np.abs(W)
    if options["method"] == "wanda":
        diagonal = np.diag(np.array(hessian, dtype=np.float64))
        scores = scores * with_typical(np.sqrt(diagonal), dead)[None]
    if pattern:
        mask = pattern_mask(scores, *pattern)
    elif options["method"] == "wanda":
        mask = smallest(scores, int(W.shape[1] * share))
    else:
        mask = below_threshold(scores, share)
    Q = np.where(mask, 0, W)
    quantization = options["quantization"]
    if quantization:
        quantizer = Quantizer(quantization)
        width = W.shape[1] if quantization["group"] == -1 else quantization["group"]
        for start in range(0, W.shape[1], width):
            at = slice(start, start + width)
            Q[:, at] = quantizer.dequantized(Q[:, at], *quantizer.find(Q[:, at], None))
    errors = W - Q
    return Q, np.einsum("ri,ij,rj->r", errors, H, errors, optimize=True)


def solve(weights, hessian, options, damping=0.01):
    return (sparsegpt if options["method"] == "sparsegpt" else baseline)(weights, hessian, options, damping)


def make_case(sparsity, method="sparsegpt", type="bf16", maskBlock=128, **quantization):
    quantization = make_options(**quantization) if quantization else None
    return dict(method=method, sparsity=sparsity, type=type, maskBlock=maskBlock, quantization=quantization)


CASES = [
    make_case("0.5"),
    make_case("0.7", type="f16", maskBlock=64),
    make_case("0.3", type="f32", maskBlock=32),
    make_case("0.9", maskBlock=256),
    make_case("2:4"),
    make_case("4:8", type="f32"),
    make_case("2:5", type="f16"),
    make_case("20:40"),
    make_case("0.5", bits=4, group=64, grid="solved"),
    make_case("0.5", bits=3, group=32, grid="hessian", symmetric=False),
    make_case("0.6", bits=4, group=128, grid="mse", scaleType="f16"),
    make_case("0.4", bits=2, group=16, maskBlock=32, symmetric=False, scaleType="f32"),
    make_case("2:4", bits=4, group=32, grid="solved"),
    make_case("2:4", bits=4, group=64, symmetric=False, staticGroups=True),
    make_case("0.5", bits=8, group=-1, grid="hessian", symmetric=False),
    make_case("0.5", "wanda"),
    make_case("2:4", "wanda", bits=4, group=32),
    make_case("0.5", "magnitude"),
    make_case("3:4", "magnitude", bits=8, group=-1, grid="mse", symmetric=False),
    make_case("0.5", bits=3, group=32, grid="solved", signedScales=True),
]


def write_fixtures(folder):
    """sparsegpt.json and sparsegpt.bin, with weights f32 and loss f64 of each case.

    A slice of the demo model's first gate_proj, its Hessian made from real inputs, with one column that never saw any.
    """
    import torch
    from safetensors.torch import load_file

    import cleave
    import reference

    rows, columns, name = 24, 160, "model.layers.0.mlp.gate_proj"
    windows = reference.text_windows(cleave.ROOT / "Demo/calibration.txt", cleave.MODEL, 256, 24)
    x = reference.inputs(reference.load(cleave.MODEL), windows, [name])[name][:, :columns]
    H = (x.T @ x).numpy().astype(np.float32)
    H[77], H[:, 77] = 0, 0
    W = load_file(cleave.MODEL / "model.safetensors")[name + ".weight"][:rows, :columns].to(torch.float32).numpy()

    def solved(weights, hessian, options):
        new, loss = solve(weights, hessian, options)
        return new.astype(np.float32), loss

    reference_file.write(folder, "sparsegpt", W, H, CASES, solved)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "fixtures":
        sys.exit(__doc__)
    write_fixtures(pathlib.Path(sys.argv[2]))
