"""GPTQ by GPTQModel on ids from a file; prints the seconds of calibration, solving and saving.

    gptqmodel_gptq.py MODEL IDS SEQUENCES LENGTH BITS GROUP OUTPUT [asymmetric] [act-order]
"""
import os
import sys
import time

import numpy
import torch

# GPTQModel 7.7.0 wants two workers at least, and takes one where there are two cores.
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(max(2, ((os.cpu_count() or 1) + 1) // 2)))
from gptqmodel import GPTQModel, QuantizeConfig  # noqa: E402

model_path, ids_path, sequences, length, bits, group, output, *options = sys.argv[1:]
assert set(options) <= {"asymmetric", "act-order"}, options
sequences, length = int(sequences), int(length)
ids = numpy.load(ids_path)[: sequences * length].reshape(sequences, length)
calibration = [{"input_ids": row.tolist(), "attention_mask": [1] * length} for row in ids]
config = QuantizeConfig(bits=int(bits), group_size=int(group), sym="asymmetric" not in options, desc_act="act-order" in options, device="cpu")
model = GPTQModel.load(model_path, config, dtype=torch.bfloat16)
start = time.perf_counter()
model.quantize(calibration, batch_size=1)
model.save(output)
print(f"seconds {time.perf_counter() - start:.1f}")
