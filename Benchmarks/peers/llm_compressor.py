"""GPTQ or SparseGPT by llm-compressor on ids from a file; prints the seconds of calibration, solving and saving.

    llm_compressor.py MODEL IDS SEQUENCES LENGTH BITS GROUP OUTPUT
    llm_compressor.py MODEL IDS SEQUENCES LENGTH SPARSITY OUTPUT      SPARSITY: a share of zeros, or a pattern such as 2:4
"""
import sys
import time

import numpy
import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.pruning import SparseGPTModifier
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, default_data_collator

# The head, and routers of mixtures.
IGNORED = ["lm_head", "re:.*gate$"]

model_path, ids_path, sequences, length, *settings, output = sys.argv[1:]
sequences, length = int(sequences), int(length)
ids = numpy.load(ids_path)[: sequences * length].reshape(sequences, length)
rows = Dataset.from_dict({"input_ids": ids.tolist(), "attention_mask": numpy.ones_like(ids).tolist()})
dataset = torch.utils.data.DataLoader(rows, batch_size=1, collate_fn=default_data_collator)
model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.bfloat16)
if len(settings) == 2:
    bits, group = map(int, settings)
    weights = {"num_bits": bits, "type": "int", "symmetric": True, "strategy": "group", "group_size": group}
    recipe = GPTQModifier(config_groups={"group_0": {"targets": ["Linear"], "weights": weights}}, ignore=IGNORED, dampening_frac=0.01)
else:
    (sparsity,) = settings
    pattern = sparsity if ":" in sparsity else "0:0"
    zeros, block = map(int, pattern.split(":"))
    # The whole pattern is kept or cut: its share of zeros is that of the pattern.
    share = zeros / block if block else float(sparsity)
    recipe = SparseGPTModifier(sparsity=share, mask_structure=pattern, targets=["Linear"], ignore=IGNORED, dampening_frac=0.01)
# Asked for, and not used on ids.
processor = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
start = time.perf_counter()
oneshot(
    model=model, processor=processor, dataset=dataset, recipe=recipe, num_calibration_samples=sequences, max_seq_length=length, shuffle_calibration_samples=False)
model.save_pretrained(output, save_compressed=len(settings) == 2)
print(f"seconds {time.perf_counter() - start:.1f}")
