"""Large models as their makers publish them, small: number types, keys of config.json, shards. Four ranks, one of which is killed, give the bytes of a single
rank, and transformers loads them."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import cleave
import make_checkpoints
import source_forms
from test_mixtures import LENGTH, MODELS, expect_perplexity, write_ids

# Keys that the published files have beside those of transformers.
DEEPSEEK = dict(scoring_func="sigmoid", topk_method="noaux_tc", moe_layer_freq=1, ep_size=1, seq_aux=True, aux_loss_alpha=0.001, pretraining_tp=1,
                num_nextn_predict_layers=1, auto_map={"AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"},
                rope_scaling=dict(type="yarn", factor=40, original_max_position_embeddings=64, beta_fast=32, beta_slow=1, mscale=1.0, mscale_all_dim=1.0))
MINIMAX = dict(attn_type_list=[1, 1], scoring_func="sigmoid", use_qk_norm=True, use_routing_bias=True, qk_norm_type="per_layer", shared_intermediate_size=0,
               num_mtp_modules=0, mtp_transformer_layers=1)
# The model of test_mixtures, its number type, more keys.
PUBLISHED = {
    "deepseek_v2": (None, dict(scoring_func="softmax", moe_layer_freq=1, ep_size=1, seq_aux=True)),
    "deepseek_v3": ("fp8", DEEPSEEK),
    "kimi_k2": ("fp8", DEEPSEEK | dict(num_nextn_predict_layers=0)),
    "kimi_k2-thinking": ("int4", DEEPSEEK | dict(num_nextn_predict_layers=0)),
    "deepseek_v32": ("fp8-exponents", DEEPSEEK),
    "glm4_moe_lite": (None, dict(first_k_dense_replace=1, topk_method="noaux_tc", num_nextn_predict_layers=1)),
    "glm_moe_dsa": ("fp8", dict(scoring_func="sigmoid", topk_method="noaux_tc", indexer_rope_interleave=True)),
    "glm4_moe": ("float-channel", dict(num_nextn_predict_layers=1, partial_rotary_factor=0.5)),
    "minimax_m2": ("fp8", MINIMAX),
}
# Blocks that predict further tokens are copies of the last.
PREDICTORS = {"deepseek_v3", "deepseek_v32", "glm4_moe", "glm4_moe_lite"}


def make(name, folder):
    """A checkpoint in shards, in its number type."""
    model_type, options = MODELS[name.removesuffix("-thinking")]
    form, keys = PUBLISHED[name]
    model = make_checkpoints.make_model({"kimi_k2": "deepseek_v3"}.get(model_type, model_type), options, 1).bfloat16()
    model.save_pretrained(folder / "bf16")
    path = folder / "bf16/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys | {"model_type": model_type}))
    if name in PREDICTORS:
        add_predictor(folder / "bf16", options["num_hidden_layers"])
    if form is None:
        return folder / "bf16"
    source_forms.write(source_forms.FORMS[form](), folder / "bf16", folder / "published")
    return folder / "published/quantized"


def add_predictor(folder, blocks):
    tensors = load_file(folder / "model.safetensors")
    last, more = f"model.layers.{blocks - 1}.", f"model.layers.{blocks}."
    tensors |= {more + name.removeprefix(last): value.clone() for name, value in tensors.items() if name.startswith(last)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}


def interrupted(recipe, output):
    """Runs on four ranks until some tiles are committed, and kills one of them; then to the end."""
    command = [*cleave.MPIRUN, "-n", "4", cleave.BINARY, "compress", recipe, "--output", output]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cleave.ROOT)
    end = time.monotonic() + 120
    while run.poll() is None and not list(output.glob("cleave/partial/*")):
        assert time.monotonic() < end, "no tile was committed in two minutes"
        time.sleep(0.01)
    children = pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split() if run.poll() is None else []
    if children:
        os.kill(int(children[-1]), signal.SIGKILL)
    if run.wait() == 0:
        return False
    assert not (output / "config.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, cwd=cleave.ROOT)
    assert done.returncode == 0, done.stderr
    return "resuming" in done.stdout + done.stderr


@pytest.mark.parametrize("name", PUBLISHED)
def test_published(name, tmp_path):
    source = make(name, tmp_path)
    recipe = {
        "model": str(source), "output": str(tmp_path / "one"), "max_fallbacks": 1000,
        "calibration": {"source": str(write_ids(tmp_path / "calibration.npy", 7, 32 * LENGTH)), "sequences": 32, "length": LENGTH},
        "compress": {"bits": 4, "group": 32}, "ignore": ["lm_head"]}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    done = subprocess.run([cleave.BINARY, "compress", tmp_path / "recipe.yaml"], capture_output=True, text=True, cwd=cleave.ROOT)
    assert done.returncode == 0, done.stderr
    # One that was too fast to be killed says nothing.
    assert any(interrupted(tmp_path / "recipe.yaml", tmp_path / f"four-{attempt}") for attempt in range(5))
    for output in tmp_path.glob("four-*"):
        assert hashes(output) == hashes(tmp_path / "one")
    configuration = json.loads((tmp_path / "one/config.json").read_text())
    result = load_file(tmp_path / "one/model.safetensors")
    assert not any(tensor.endswith(("_scale_inv", ".input_scale")) for tensor in result)
    assert configuration["quantization_config"]["quant_method"] == "compressed-tensors"
    if name in PREDICTORS:
        blocks = MODELS[name][1]["num_hidden_layers"]
        assert any(tensor.startswith(f"model.layers.{blocks}.") and tensor.endswith("_proj.weight") for tensor in result)
        assert any(f"[.]{blocks}[.]" in pattern for pattern in configuration["quantization_config"]["ignore"])
    client = tmp_path / "client"
    shutil.copytree(tmp_path / "one", client)
    # transformers knows Kimi-K2 as what it is, and would look for code of its makers; it has no blocks that predict.
    configuration |= {"model_type": {"kimi_k2": "deepseek_v3"}.get(configuration["model_type"], configuration["model_type"])}
    configuration.pop("auto_map", None)
    (client / "config.json").write_text(json.dumps(configuration))
    load(client)
    widen(client / "model.safetensors")
    expect_perplexity(tmp_path, tmp_path / "one", load(client), tolerance=1e-4)


def widen(path):
    """bf16 becomes fp32, value by value: transformers multiplies codes and scales in the scales' type, and products rounded to bf16 send some tokens of a random
    model to other experts."""
    tensors = {name: value.float() if value.dtype == torch.bfloat16 else value for name, value in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def load(directory):
    """The model in fp32; what the checkpoint has beyond it are blocks that predict further tokens."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    return model.eval()
