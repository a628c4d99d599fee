"""The importance matrix of a model, as llama.cpp's `llama-imatrix` defines it: of each linear but the head the mean square of each input over the calibration.

    importance.py MODEL IDS SEQUENCES LENGTH SLICE OUTPUT.npz

Slices of as many sequences follow each other, from 0.
"""
import sys

import numpy
import torch
from transformers import AutoModelForCausalLM

model_path, ids_path, *counts, output = sys.argv[1:]
sequences, length, slice_number = map(int, counts)
tokens = sequences * length
ids = torch.from_numpy(numpy.load(ids_path)[slice_number * tokens:][:tokens].astype(numpy.int64).reshape(sequences, length))
model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
sums = {}


def adding(name):
    def add(_, inputs):
        squares = inputs[0].double().square().reshape(-1, inputs[0].shape[-1]).sum(0)
        sums[name] = sums.get(name, 0) + squares

    return add


for name, module in model.named_modules():
    if isinstance(module, torch.nn.Linear):
        module.register_forward_pre_hook(adding(name))
with torch.inference_mode():
    for sequence in ids:
        # Without the head, which is a fifth of a small model's work.
        model.model(sequence[None])
numpy.savez(output, **{name: (total / ids.numel()).numpy() for name, total in sums.items()})
