"""Checkpoints that hold the experts of a block in two tensors: what is made of them is what is made of a copy that has a weight for each expert."""
import json
import shutil

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import cleave
import fused_experts
import make_checkpoints

torch.set_num_threads(1)

def write(folder, configuration, tensors):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(configuration))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})


def model(name, folder, **more):
    """config.json and tensors of a small random model as transformers saves it."""
    variants = make_checkpoints.variants(hidden=64, blocks=2, vocabulary=256, positions=160)
    found = {variant: (kind, options) for variant, kind, options in variants}
    kind, options = found[name]
    make_checkpoints.make_model(kind, options | more, 5).bfloat16().save_pretrained(folder / "saved")
    configuration = json.loads((folder / "saved/config.json").read_text())
    tensors = load_file(folder / "saved/model.safetensors")
    shutil.rmtree(folder / "saved")
    return configuration, tensors


def compare(folder, first, second, output):
    """Compresses two checkpoints by one recipe, which keeps the experts of one block, and expects the same tensors."""
    numpy.save(folder / "ids.npy", numpy.random.default_rng(0).integers(0, 256, 1200).astype("int32"))
    recipe = {
        "model": "model", "output": "output", "calibration": {"source": str(folder / "ids.npy"), "sequences": 8, "length": 128}, "compute": "f32",
        "compress": {"bits": 4, "group": -1}, "ignore": ["lm_head", "*.layers.1.*.experts.*"], "format": output}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    results = []
    for kind in (first, second):
        cleave.run("compress", folder / "recipe.yaml", "--model", folder / kind, "--output", folder / f"{kind}-{output}")
        results.append(load_file(folder / f"{kind}-{output}/model.safetensors"))
    assert results[0].keys() == results[1].keys()
    for name, tensor in results[0].items():
        assert tensor.dtype == results[1][name].dtype and torch.equal(tensor, results[1][name]), name
    configurations = [json.loads((folder / f"{kind}-{output}/config.json").read_text()).get("quantization_config") for kind in (first, second)]
    assert configurations[0] == configurations[1]
    return results[0]


@pytest.mark.parametrize("output", ["compressed-tensors", "dense"])
@pytest.mark.parametrize("name", fused_experts.FORMS)
def test_one_tensor_for_all_experts(name, output, tmp_path):
    configuration, tensors = model(name, tmp_path)
    if name == "qwen3_5-moe":  # published so, though transformers saves a tensor for each expert
        tensors = fused_experts.joined(tensors, **fused_experts.FORMS[name])
    assert any(key.endswith(".experts.gate_up_proj") for key in tensors)
    write(tmp_path / "fused", configuration, tensors)
    write(tmp_path / "split", configuration, fused_experts.per_expert(tensors, **fused_experts.FORMS[name]))
    result = compare(tmp_path, "fused", "split", output)
    own = [key for key in result if ".layers.1." in key and ".experts.3.up_proj." in key]
    assert any(key.endswith(".weight") for key in own) and not any("gate_up_proj" in key for key in result)
    evaluation = dict(data=tmp_path / "ids.npy", length=128, sequences=2)
    found = cleave.perplexity(tmp_path / "fused", **evaluation)
    assert found == cleave.perplexity(tmp_path / "split", **evaluation)
    # A result is read as its own family again.
    assert cleave.perplexity(tmp_path / f"fused-{output}", **evaluation) == pytest.approx(found, rel=0.5)


def test_mxfp4(tmp_path):
    """gpt-oss as it is published. transformers' own conversion says for which numbers its blocks and exponents stand."""
    configuration, tensors = model("gpt-oss", tmp_path, hidden_size=64, intermediate_size=32)
    generator = torch.Generator().manual_seed(3)
    packed = {}
    for name in list(tensors):
        if name.endswith((".experts.gate_up_proj", ".experts.down_proj")):
            experts, columns, rows = tensors[name].shape
            packed[name + "_blocks"] = torch.randint(0, 256, (experts, rows, columns // 32, 16), generator=generator, dtype=torch.uint8)
            packed[name + "_scales"] = torch.randint(120, 125, (experts, rows, columns // 32), generator=generator, dtype=torch.uint8)
            dense = convert_moe_packed_tensors(packed[name + "_blocks"], packed[name + "_scales"])
            assert dense.shape == tensors[name].shape and not torch.equal(dense, tensors[name])
            tensors[name] = dense
        else:
            packed[name] = tensors[name]
    write(tmp_path / "plain", configuration, tensors)
    quantization = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"]}
    write(tmp_path / "packed", configuration | {"quantization_config": quantization}, packed)
    cleave.run("convert", tmp_path / "packed", "--format", "dense", "--output", tmp_path / "dense")
    dense = load_file(tmp_path / "dense/model.safetensors")
    assert dense.keys() == tensors.keys() and all(torch.equal(tensor, tensors[name]) for name, tensor in dense.items())
    result = compare(tmp_path, "packed", "plain", "compressed-tensors")
    assert not any(key.endswith(("_blocks", "_scales")) for key in result)
    evaluation = dict(data=tmp_path / "ids.npy", length=128, sequences=2)
    assert cleave.perplexity(tmp_path / "packed", **evaluation) == cleave.perplexity(tmp_path / "plain", **evaluation)
