"""The two ways in which checkpoints hold experts: a tensor for each linear of each expert, or one for all experts of a block."""
import torch

# The variants of make_checkpoints that are published with one tensor for all experts, and how the outputs of gate and up lie, which is for families to know.
FORMS = {
    "gpt-oss": dict(transposed=True, interleaved=True),
    "llama4": dict(transposed=True, interleaved=False),
    "llama4-two": dict(transposed=True, interleaved=False),
    "qwen3_5-moe": dict(transposed=False, interleaved=False),
}


def are_in(tensors):
    """Whether experts of one block share tensors."""
    return any(name.endswith(".experts.gate_up_proj") for name in tensors)


def per_expert(tensors, transposed, interleaved):
    """A copy with a tensor for each linear of each expert."""
    result = {}
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        if not stem.endswith(".experts"):
            result[name] = tensor
            continue
        isBias, isDown = last.endswith("_bias"), last.startswith("down")
        outputs = tensor if isBias or not transposed else tensor.transpose(1, 2)
        half = outputs.shape[1] // 2
        halves = (outputs[:, 0::2], outputs[:, 1::2]) if interleaved else (outputs[:, :half], outputs[:, half:])
        for linear, part in {"down_proj": outputs}.items() if isDown else zip(("gate_proj", "up_proj"), halves):
            for expert in range(part.shape[0]):
                result[f"{stem}.{expert}.{linear}.{'bias' if isBias else 'weight'}"] = part[expert]
    return result


def joined(tensors, transposed, interleaved):
    """A copy with one tensor for the gates and ups of all experts of a block, and one for their downs: the inverse of per_expert."""
    result, groups = {}, {}
    for name, tensor in tensors.items():
        stem, _, rest = name.partition(".experts.")
        if rest:
            expert, linear, kind = rest.split(".")
            groups.setdefault((stem, kind), {})[linear, int(expert)] = tensor
        else:
            result[name] = tensor
    for (stem, kind), parts in groups.items():
        gates, ups, downs = (
            torch.stack([parts[linear, expert] for expert in range(len(parts) // 3)]) for linear in ("gate_proj", "up_proj", "down_proj"))
        both = torch.stack([gates, ups], 2).flatten(1, 2) if interleaved else torch.cat([gates, ups], 1)
        for linear, outputs in {"gate_up_proj": both, "down_proj": downs}.items():
            if kind == "weight":
                result[f"{stem}.experts.{linear}"] = outputs.transpose(1, 2) if transposed else outputs
            else:
                result[f"{stem}.experts.{linear}_bias"] = outputs
    return result
