"""GPTQ in float64 as the papers and their code publish it, to check another implementation against; but for columns that never saw any input.

Written with the inverse: U upper with H^-1 = U^T U, errors pushed to the right one column at a time, groups from the most current weights.

    gptq_reference.py fixtures FOLDER     write the small cases that the Swift unit tests read
    compare(weights, hessian, options, codes, loss)     from Python, for real layers
"""
import pathlib
import sys

import numpy as np

import reference_file


def round_to(scale_type, x):
    """x rounded to a float type (half to even), its magnitude kept within the normal numbers."""
    x = np.asarray(x, dtype=np.float64)
    return np.copysign(magnitude_to(scale_type, np.abs(x)), x)


def magnitude_to(scale_type, x):
    if scale_type == "f32":
        return np.clip(x.astype(np.float32).astype(np.float64), 2.0**-126, float(np.finfo(np.float32).max))
    if scale_type == "f16":
        with np.errstate(over="ignore"):
            return np.clip(x.astype(np.float16).astype(np.float64), 2.0**-14, 65504.0)
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return np.clip(bits.astype(np.uint32).view(np.float32).astype(np.float64), 2.0**-126, float.fromhex("0x1.fep127"))


class Quantizer:
    """scale and zero of every row, as `quant.py` of GPTQ finds them."""

    def __init__(self, options):
        self.options = options
        self.maxq = 2 ** options["bits"] - 1

    def codes(self, x, scale, zero):
        # In fp32, as published: the weights of checkpoints have few bits, so that x / scale is often half an integer but for rounding.
        steps = x.astype(np.float32) / scale.astype(np.float32)[:, None]
        return np.clip(np.round(steps).astype(np.float64) + zero[:, None], 0, self.maxq)

    def values(self, codes, scale, zero):
        return scale * (codes - zero)

    def dequantized(self, x, scale, zero):
        return scale[:, None] * (self.codes(x, scale, zero) - zero[:, None])

    def grid(self, low, high, p=1.0):
        # In fp32 for the same reason.
        p = np.asarray(p).astype(np.float32)
        low, high = p * low.astype(np.float32), p * high.astype(np.float32)
        scale = round_to(self.options["scaleType"], (high - low) / np.float32(self.maxq))
        if self.options["symmetric"]:
            return scale, np.full_like(scale, (self.maxq + 1) / 2)
        return scale, np.clip(np.round(-low / scale.astype(np.float32)), 0, self.maxq).astype(np.float64)

    def find(self, x, U, kept=None):
        """x: [rows, columns of a group]; U: its block of U, or the diagonal of that where the original weights are searched.

        kept: which weights are kept, for grids beside pruning: the others become zero on any grid.
        """
        kept = np.ones(x.shape, dtype=bool) if kept is None else kept
        fitted = x * kept
        low, high = np.minimum(fitted.min(1), 0), np.maximum(fitted.max(1), 0)
        empty = (low == 0) & (high == 0)
        low, high = np.where(empty, -1.0, low), np.where(empty, 1.0, high)
        directions, side, whole = (1,), np.ones(len(x)), np.ones(len(x))
        if self.options["signedScales"]:
            # Not published: the least scale of either sign at which no weight errs by more than half a step; both signs are searched.
            directions, side = (1, -1), np.where(high > -low, -1.0, 1.0)
            longer, shorter = np.maximum(high, -low).astype(np.float32), np.minimum(high, -low).astype(np.float32)
            whole = side * np.maximum(np.float32(self.maxq / (self.maxq + 2)), shorter / longer)
        if self.options["symmetric"]:
            high = np.maximum(-low, high)
            low = -high
        scale, zero = self.grid(low, high, whole)
        if self.options["grid"] == "minmax":
            return scale, zero
        best = np.full(len(x), np.inf)
        best_step = np.zeros(len(x), dtype=int)
        best_side = side

        def attempt(step, side):
            """step: the shrinking of each row's range in hundredths; side: the sign of its scale."""
            nonlocal best, best_step, best_side, scale, zero
            new_scale, new_zero = self.grid(low, high, side * (1 - step / 100))
            delta = x - self.dequantized(x, new_scale, new_zero) * kept
            if self.options["grid"] == "mse":
                error = (np.abs(delta * kept) ** 2.4).sum(1)
            elif self.options["grid"] == "hessian":
                error = (np.linalg.solve(U.T, delta.T) ** 2).sum(0)
            else:
                error = self.solved_error(x, U, new_scale, new_zero, kept)
            better = error < best
            best, best_step = np.where(better, error, best), np.where(better, step, best_step)
            best_side = np.where(better, side, best_side)
            scale, zero = np.where(better, new_scale, scale), np.where(better, new_zero, zero)

        if self.options["grid"] != "solved":
            for step in range(80 if self.options["grid"] == "mse" else 76):
                for direction in directions:
                    attempt(step, direction * side)
            return scale, zero
        # Not published: of every fourth range the four with the least sum of (delta_j R_jj)^2, where R = U^-1, then ever nearer neighbours of each row's best.
        offered = [(step, direction * side) for step in sorted(range(0, 76, 4), key=lambda step: (abs(step - 12), step)) for direction in directions]
        own_errors = []
        for step, sides in offered:
            new_scale, new_zero = self.grid(low, high, sides * (1 - step / 100))
            own_errors.append((((fitted - self.dequantized(fitted, new_scale, new_zero)) / np.diag(U)) ** 2).sum(1))
        steps, sides = np.array([step for step, _ in offered]), np.array([sides for _, sides in offered])
        rows = np.arange(len(x))
        for promising in np.argsort(own_errors, axis=0, kind="stable")[:4]:
            attempt(steps[promising], sides[promising, rows])
        for distance in (2, 1):
            centers, sides = best_step, best_side
            for offset in (-distance, distance):
                attempt(np.clip(centers + offset, 0, 75), sides)
        return scale, zero

    def solved_error(self, x, U, scale, zero, kept):
        """What the columns cost when each makes up for the errors of those before it."""
        x, error = x.copy(), 0
        for j in range(x.shape[1]):
            e = (x[:, j] - self.dequantized(x[:, j : j + 1], scale, zero)[:, 0] * kept[:, j]) / U[j, j]
            error = error + e**2
            x[:, j:] -= np.outer(e, U[j, j:])
        return error


class Ternary:
    """The same of ternary rows: the number below 0 in place of the scale, that above in place of the zero; codes 0, 1, 2 for 0, the lower and the upper one."""

    def __init__(self, options):
        self.options = options

    def codes(self, x, low, high):
        x = x.astype(np.float32)
        below, above = x < low.astype(np.float32)[:, None] / 2, x > high.astype(np.float32)[:, None] / 2
        return np.where(below & (low < 0)[:, None], 1.0, np.where(above & (high > 0)[:, None], 2.0, 0.0))

    def values(self, codes, low, high):
        return np.where(codes == 1, low, np.where(codes == 2, high, 0.0))

    def find(self, x, U):
        low, high = np.minimum(x.min(1), 0), np.maximum(x.max(1), 0)
        empty = (low == 0) & (high == 0)
        nearest = lambda y: np.where(y == 0, 0.0, round_to(self.options["scaleType"], y))
        return nearest(np.where(empty, -1.0, low)), nearest(np.where(empty, 1.0, high))


def column_order(diagonal, options):
    """Columns in the order of quantization: as they stand, by descending diagonal, or the same by whole groups."""
    columns = len(diagonal)
    if not options["actOrder"]:
        return np.arange(columns)
    if not options["wholeGroups"]:
        return np.argsort(-diagonal, kind="stable")
    starts = np.arange(0, columns, options["group"])
    groups = [np.arange(start, min(start + options["group"], columns)) for start in starts]
    whole = [g for g in groups if len(g) == options["group"]]
    ranked = np.argsort([-np.sum(diagonal[g]) for g in whole], kind="stable")
    inside = lambda g: g[np.argsort(-diagonal[g], kind="stable")]
    return np.concatenate([inside(whole[i]) for i in ranked] + [inside(g) for g in groups if len(g) < options["group"]])


def damped(hessian, damping):
    """H with the damping, and which columns are dead: their diagonal is the damping alone, a share of the mean of the others' (published: they are erased)."""
    H = np.array(hessian, dtype=np.float64)
    H = np.triu(H) + np.triu(H, 1).T
    dead = np.diag(H) == 0
    H[np.diag_indices(len(H))] += damping * np.mean(np.diag(H)[~dead])
    return H, dead


def with_typical(values, dead):
    """The values with those of dead columns replaced by the median of the others, the upper one of two."""
    others = np.sort(values[~dead])
    return np.where(dead, others[len(others) // 2], values)


def compared(U, dead):
    """U as grids and masks weigh columns: R_jj = 1 / U_jj of dead columns is the median of the others'."""
    U = U.copy()
    U[np.diag_indices(len(U))] = 1 / with_typical(1 / np.diag(U), dead)
    return U


def gptq(weights, hessian, options, damping=0.01):
    """codes [rows, columns], scales and zeros [rows, groups], loss [rows], groups of the columns, energy [rows]."""
    W = np.array(weights, dtype=np.float64)
    H, dead = damped(hessian, damping)
    rows, columns = W.shape
    order = column_order(np.diag(np.array(hessian, dtype=np.float64)), options)
    H = H[order][:, order]
    U = np.linalg.cholesky(np.linalg.inv(H)).T
    weighed = compared(U, dead[order])

    group = columns if options["group"] == -1 else options["group"]
    count = -(-columns // group)
    dynamic = options["group"] != -1 and not options["staticGroups"]
    permuted = (dynamic and not options["wholeGroups"]) or options["group"] == -1
    group_at = np.arange(columns) // group if permuted else order // group
    quantizer = Ternary(options) if options.get("ternary") else Quantizer(options)
    scales, zeros = np.zeros((rows, count)), np.zeros((rows, count))

    def find(index, values):
        at = np.flatnonzero(group_at == index)
        block = weighed[np.ix_(at, at)] if dynamic else np.diag(np.diag(weighed)[at])
        scales[:, index], zeros[:, index] = quantizer.find(values[:, at], block)

    V = W[:, order].copy()
    original = V.copy()
    if not dynamic:
        for index in range(count):
            find(index, V)
    codes, loss = np.zeros((rows, columns)), np.zeros(rows)
    for j in range(columns):
        if dynamic and j % group == 0:
            find(group_at[j], V)
        scale, zero = scales[:, group_at[j]], zeros[:, group_at[j]]
        codes[:, j] = quantizer.codes(V[:, j : j + 1], scale, zero)[:, 0]
        error = (V[:, j] - quantizer.values(codes[:, j], scale, zero)) / U[j, j]
        loss += error**2
        V[:, j:] -= np.outer(error, U[j, j:])
    back = np.argsort(order)
    energy = np.einsum("ri,ij,rj->r", original, H, original, optimize=True)
    return codes[:, back].astype(np.uint8), scales, zeros if options.get("ternary") else zeros.astype(np.uint8), loss, group_at[back], energy


def compare(weights, hessian, options, codes, loss, damping=0.01):
    """How close an implementation's codes and losses come to the reference's."""
    expected, _, _, expected_loss, _, energy = gptq(weights, hessian, options, damping)
    return {
        "equal_codes": float(np.mean(expected == codes)),
        "rows_that_differ": int(np.sum(np.any(expected != codes, axis=1))),
        "loss_ratio": float(np.sum(loss) / np.sum(expected_loss)),
        "relative_error": float(np.sum(expected_loss) / np.sum(energy)),
    }


def make_options(
    bits=4, group=64, symmetric=True, grid="minmax", actOrder=False, wholeGroups=False, staticGroups=False, scaleType="bf16", leastZero=0,
    signedScales=False,
):
    return dict(
        bits=bits, group=group, symmetric=symmetric, grid=grid, actOrder=actOrder, wholeGroups=wholeGroups, staticGroups=staticGroups,
        scaleType=scaleType, leastZero=leastZero, signedScales=signedScales)


def make_ternary(actOrder=False, scaleType="bf16"):
    return make_options(bits=2, group=-1, actOrder=actOrder, scaleType=scaleType) | dict(ternary=True)


TERNARY_CASES = [make_ternary(), make_ternary(actOrder=True), make_ternary(actOrder=True, scaleType="f16"), make_ternary(scaleType="f32")]

CASES = [
    make_options(),
    make_options(symmetric=False),
    make_options(bits=2, symmetric=False),
    make_options(bits=3, group=32, scaleType="f16"),
    make_options(bits=8, group=-1, scaleType="f32"),
    make_options(group=-1, symmetric=False, scaleType="f32"),
    make_options(group=-1, actOrder=True),
    make_options(group=16, actOrder=True, symmetric=False, scaleType="f16"),
    make_options(actOrder=True, staticGroups=True),
    make_options(staticGroups=True, symmetric=False, group=48),
    make_options(grid="mse"),
    make_options(grid="mse", bits=3, symmetric=False, group=-1, scaleType="f32"),
    make_options(grid="hessian"),
    make_options(grid="hessian", bits=3, symmetric=False, group=16, scaleType="f32"),
    make_options(grid="hessian", bits=3, group=-1),
    make_options(grid="hessian", staticGroups=True, actOrder=True, scaleType="f16"),
    make_options(grid="hessian", bits=2, group=160, actOrder=True, symmetric=False, scaleType="f32"),
    make_options(grid="solved", group=50),
    make_options(group=32, actOrder=True, wholeGroups=True),
    make_options(grid="solved", bits=3, group=48, symmetric=False, actOrder=True, wholeGroups=True),
    make_options(grid="solved", bits=3, symmetric=False, group=128, actOrder=True, scaleType="f32"),
    make_options(signedScales=True),
    make_options(signedScales=True, bits=2, group=-1, actOrder=True, scaleType="f16"),
    make_options(signedScales=True, bits=3, grid="mse", group=48),
    make_options(signedScales=True, bits=3, grid="hessian", scaleType="f32"),
    make_options(signedScales=True, grid="hessian", staticGroups=True, actOrder=True, scaleType="f16"),
    make_options(signedScales=True, bits=2, grid="solved", actOrder=True, wholeGroups=True),
    make_options(signedScales=True, bits=4, grid="solved", group=48, scaleType="f16"),
]


def write_fixtures(folder):
    """gptq.json and gptq.bin, with codes u8, scales f32, zeros u8, loss f64 of each case; ternary.json and ternary.bin, whose zeros are f32 too."""
    rng = np.random.default_rng(7)
    rows, columns, tokens = 20, 176, 600
    mixing = rng.normal(size=(columns, columns)) * (rng.random((columns, columns)) < 0.1) + np.eye(columns)
    X = rng.normal(size=(tokens, columns)) @ mixing * np.exp(rng.normal(size=columns))
    X[:, 77] = 0
    H = (X.T @ X).astype(np.float32)
    W = rng.standard_t(4, size=(rows, columns)).astype(np.float32) * 0.05

    def solve(weights, hessian, options):
        codes, scales, zeros, loss, _, _ = gptq(weights, hessian, options)
        return codes, scales.astype(np.float32), zeros, loss

    def solve_ternary(weights, hessian, options):
        codes, lows, highs, loss, _, _ = gptq(weights, hessian, options)
        return codes, lows.astype(np.float32), highs.astype(np.float32), loss

    reference_file.write(folder, "gptq", W, H, CASES, solve)
    # Some rows on one side of zero, and one of zeros alone.
    W[3], W[4], W[5] = np.abs(W[3]), -np.abs(W[4]), 0
    reference_file.write(folder, "ternary", W, H, TERNARY_CASES, solve_ternary)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "fixtures":
        sys.exit(__doc__)
    write_fixtures(pathlib.Path(sys.argv[2]))
