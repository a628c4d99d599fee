"""The files in which the float64 references hand their cases to the Swift unit tests."""
import json

import numpy as np


def write(folder, name, weights, hessian, cases, solve):
    """NAME.json: shape and cases; NAME.bin: weights f32, Hessian f32, then the arrays of each case.

    solve: the arrays of a case, from weights and Hessian in fp32, each in the type in which it is written.
    """
    weights, hessian = (np.ascontiguousarray(array, dtype=np.float32) for array in (weights, hessian))
    rows, columns = weights.shape
    with open(folder / f"{name}.bin", "wb") as file:
        file.write(weights.tobytes() + hessian.tobytes())
        for case in cases:
            file.write(b"".join(array.tobytes() for array in solve(weights, hessian, case)))
    (folder / f"{name}.json").write_text(json.dumps({"rows": rows, "columns": columns, "cases": cases}, indent=1) + "\n")
