"""What transformers makes of a checkpoint: its perplexity, and the inputs of its layers."""
import math

import torch
import transformers
from tokenizers import Tokenizer


def load(directory, dtype=torch.float32, **options):
    """The model, in fp32 unless another type is given; fails when a tensor of the checkpoint is missing or left over."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, output_loading_info=True, **options)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], f"{directory}: {kind} {sorted(info[kind])[:5]}"
    return model.eval()


def text_windows(text, model_directory, length, sequences):
    """[sequences, length]: the first ids of a text file, cut one after the other."""
    ids = Tokenizer.from_file(str(model_directory / "tokenizer.json")).encode(text.read_text(), add_special_tokens=False).ids
    return torch.tensor(ids[: length * sequences]).reshape(sequences, length)


@torch.no_grad()
def perplexity(model, windows):
    """exp of the mean over windows of the mean negative log-likelihood of all tokens but the first."""
    means = []
    for window in windows:
        logits = model(window[None], use_cache=False).logits[0, :-1].float()
        means.append(torch.nn.functional.cross_entropy(logits, window[1:]).item())
    return math.exp(sum(means) / len(means))


@torch.no_grad()
def inputs(model, windows, names):
    """The inputs of some layers by name: [tokens, columns]"""
    found = {name: [] for name in names}
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(lambda _, arguments, name=name: found[name].append(arguments[0][0].double()))
        for name in names]
    for window in windows:
        model(window[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}
