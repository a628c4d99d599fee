"""Experts taken out of mixtures: their scores against a computation in double precision on transformers' routes, the tensors, and the clients that load the result."""
import json
import re

import gguf
import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

import cleave
import make_checkpoints
import reference
import source_forms
from test_gguf import CUTS, small_mixture, write_checkpoint
from test_mixtures import MODELS, WIDE, WIDE_ROUTED, rename

SEQUENCES, LENGTH = 6, 64
ROUTERS = re.compile(r"[.](gate|router)[.](weight|bias|e_score_correction_bias)$|[.]e_score_correction_bias$")
KEYS = ["num_experts", "num_local_experts", "n_routed_experts"]
NAMES = ["mixtral", "qwen3_moe-some-blocks", "qwen2_moe", "olmoe", "deepseek_v3"]


@pytest.fixture
def model(request, tmp_path):
    """A random model whose router sends tokens unevenly, its name, and ids."""
    kind, options = MODELS[request.param]
    made = make_checkpoints.make_model(kind, options, 3)
    made.save_pretrained(tmp_path / "source")
    rename(tmp_path / "source", kind)
    ids = numpy.random.default_rng(5).integers(0, options["vocab_size"], SEQUENCES * LENGTH, dtype=numpy.int32)
    numpy.save(tmp_path / "ids.npy", ids)
    return made, torch.from_numpy(ids).long().reshape(SEQUENCES, LENGTH)


def prune(folder, share, source="source", result="result", code=0):
    return cleave.run(
        "prune-experts", folder / source, "--keep", share, "--data", folder / "ids.npy", "--sequences", SEQUENCES, "--length", LENGTH,
        "--output", folder / result, "--compute", "f32", "--json", code=code)


def scores(model, windows, tensors):
    """By blocks, of each expert the mean of its weight times the length of its output, and its tokens, from the routes that transformers takes."""
    found = {}

    def hook(block):
        def read(_, arguments):
            hidden, chosen, weights = (argument.reshape(-1, argument.shape[-1]) for argument in arguments[:3])
            found.setdefault(block, []).append((hidden.double(), chosen, weights.double()))
        return read

    handles = [
        layer.mlp.experts.register_forward_pre_hook(hook(block)) for block, layer in enumerate(model.model.layers)
        if hasattr(layer.mlp, "experts")]
    with torch.no_grad():
        model(windows)
    for handle in handles:
        handle.remove()
    result = {}
    for block, parts in found.items():
        hidden, chosen, weights = (torch.cat(values) for values in zip(*parts))
        prefix = next(name for name in tensors if re.match(rf"model[.]layers[.]{block}[.].*[.]experts[.]0[.]", name)).split(".experts.")[0] + ".experts."
        own = []
        for expert in range(1 + max(int(name[len(prefix):].split(".")[0]) for name in tensors if name.startswith(prefix))):
            gate, up, down = (
                next(tensors[name].double() for name in (f"{prefix}{expert}.{linear}.weight" for linear in pair) if name in tensors)
                for pair in (("gate_proj", "w1"), ("up_proj", "w3"), ("down_proj", "w2")))
            token, place = torch.nonzero(chosen == expert, as_tuple=True)
            outputs = (torch.nn.functional.silu(hidden[token] @ gate.T) * (hidden[token] @ up.T)) @ down.T
            lengths = weights[token, place] * outputs.norm(dim=1)
            own.append((float(lengths.mean()) if len(token) else 0.0, len(token)))
        result[block] = own
    return result


def best(scores, count, groups):
    """The best of each group, ascending."""
    size = len(scores) // groups
    kept = []
    for group in range(groups):
        members = sorted(range(group * size, (group + 1) * size), key=lambda expert: -scores[expert])
        kept += sorted(members[: count // groups])
    return kept


@pytest.mark.parametrize("model", NAMES, indirect=True)
def test_the_best_experts_are_kept(model, tmp_path):
    model, windows = model
    before = load_file(tmp_path / "source/model.safetensors")
    report = json.loads(prune(tmp_path, 0.5).stdout)
    configuration = json.loads((tmp_path / "source/config.json").read_text())
    expected, kept = scores(model, windows, before), {}
    assert {block["block"] for block in report["blocks"]} == expected.keys() and expected
    for block in report["blocks"]:
        own = expected[block["block"]]
        assert block["tokens"] == [tokens for _, tokens in own]
        assert block["scores"] == pytest.approx([score for score, _ in own], rel=1e-4)
        kept[block["block"]] = block["kept"]
        groups = configuration.get("n_group") or 1
        assert block["kept"] == best([score for score, _ in own], len(block["kept"]), groups) and len(block["kept"]) == report["keptExperts"]

    # Experts have new numbers, routers fewer rows, and everything else is as it was.
    after, wanted = load_file(tmp_path / "result/model.safetensors"), {}
    for name, tensor in before.items():
        number = re.match(r"model[.]layers[.](\d+)[.]", name)
        own = kept.get(int(number.group(1))) if number else None
        expert = re.search(r"[.]experts[.](\d+)[.]", name)
        if own is None:
            wanted[name] = tensor
        elif expert and ".shared_expert" not in name:
            if int(expert.group(1)) in own:
                wanted[name.replace(expert.group(), f".experts.{own.index(int(expert.group(1)))}.")] = tensor
        else:
            wanted[name] = tensor[own] if ROUTERS.search(name) else tensor
    assert after.keys() == wanted.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in wanted.items())
    changed = json.loads((tmp_path / "result/config.json").read_text())
    assert {key: value for key, value in changed.items() if changed.get(key) != configuration.get(key)} == {
        key: report["keptExperts"] for key in KEYS if key in configuration}

    loaded = reference.load(tmp_path / "result")
    assert reference.perplexity(loaded, windows) == pytest.approx(cleave.perplexity(tmp_path / "result", tmp_path / "ids.npy", LENGTH, SEQUENCES), rel=1e-4)


@pytest.mark.parametrize("name", ["gpt_oss", "qwen3_5_moe"])
def test_experts_in_one_tensor(name, tmp_path):
    """Where one tensor holds all experts of a block, the kept ones' parts are left in it, biases and scales too."""
    variants = {variant: (kind, options) for variant, kind, options in make_checkpoints.variants(64, 2, 256, 160)}
    found = [variant for variant, (kind, _) in variants.items() if kind.startswith(name)]
    kind, options = variants[found[0]]
    made = make_checkpoints.make_model(kind, options, 3)
    made.save_pretrained(tmp_path / "source")
    numpy.save(tmp_path / "ids.npy", numpy.random.default_rng(5).integers(0, 256, SEQUENCES * LENGTH, dtype=numpy.int32))
    report = json.loads(prune(tmp_path, 0.75).stdout)
    before, after = load_file(tmp_path / "source/model.safetensors"), load_file(tmp_path / "result/model.safetensors")
    kept = {block["block"]: block["kept"] for block in report["blocks"]}
    parts = 0
    for key, tensor in before.items():
        number = re.search(r"layers[.](\d+)[.]", key)
        if number and (ROUTERS.search(key) or re.search(r"[.]experts[.](gate_up|down)_proj", key)):
            assert torch.equal(after[key], tensor[kept[int(number.group(1))]]), key
            parts += 1
        elif not re.search(r"[.]experts[.]\d+[.]", key):
            assert torch.equal(after[key], tensor), key
    assert parts


@pytest.mark.parametrize("model", ["qwen3_moe"], indirect=True)
def test_numbers_keep_their_form(model, tmp_path):
    """What is left of a model in FP8 are its own bytes and scales, and the numbers that are left of a copy in fp32."""
    stored, _ = source_forms.write(source_forms.Float8([32, 32]), tmp_path / "source", tmp_path)
    likelihoods, kept = [], []
    for kind in ("quantized", "plain"):
        report = json.loads(prune(tmp_path, 0.5, source=kind, result=f"{kind}-result").stdout)
        kept.append([block["kept"] for block in report["blocks"]])
        likelihoods.append(cleave.perplexity(tmp_path / f"{kind}-result", tmp_path / "ids.npy", LENGTH, SEQUENCES))
    assert kept[0] == kept[1] and likelihoods[0] == likelihoods[1]
    after = {}
    for path in (tmp_path / "quantized-result").glob("*.safetensors"):
        after |= load_file(path)
    for block, experts in enumerate(kept[0]):
        for place, expert in enumerate(experts):
            for part in ("weight", "weight_scale_inv"):
                name = f"model.layers.{block}.mlp.experts.%d.down_proj.{part}"
                assert torch.equal(after[name % place].view(torch.uint8), stored[name % expert].view(torch.uint8)), name
    assert not any(".experts.3." in name for name in after)
    # Another expert would have the number.
    configuration = json.loads((tmp_path / "quantized/config.json").read_text())
    configuration["quantization_config"]["modules_to_not_convert"] = ["model.layers.0.mlp.experts.3.up_proj"]
    (tmp_path / "quantized/config.json").write_text(json.dumps(configuration))
    assert "names single experts" in prune(tmp_path, 0.5, source="quantized", result="listed", code=65).stderr


@pytest.mark.parametrize("model", ["qwen3_moe"], indirect=True)
def test_what_is_left_is_compressed_as_any_model(model, tmp_path):
    _, windows = model
    prune(tmp_path, 0.67)
    recipe = {
        "model": str(tmp_path / "result"), "output": str(tmp_path / "w4"), "max_fallbacks": 1000,
        "calibration": {"source": str(tmp_path / "ids.npy"), "sequences": SEQUENCES, "length": LENGTH}, "compress": {"bits": 4, "group": 32},
        "ignore": ["lm_head"]}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    cleave.run("compress", tmp_path / "recipe.yaml")
    loaded = reference.load(tmp_path / "w4")
    assert loaded.config.num_experts == 4
    assert reference.perplexity(loaded, windows) == pytest.approx(cleave.perplexity(tmp_path / "w4", tmp_path / "ids.npy", LENGTH, SEQUENCES), rel=5e-3)


@pytest.mark.parametrize("kind", ["compressed-tensors", "gguf"])
@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe"])
def test_bits_of_all_experts_that_there_were(family, kind, tmp_path):
    """Bytes of what the file has of routed experts, by the weights of those of the first model: experts were taken out twice."""
    configuration, tensors = small_mixture(family)
    write_checkpoint(tmp_path / "source", configuration, tensors, CUTS["qwen2"])
    numpy.save(tmp_path / "ids.npy", numpy.random.default_rng(5).integers(0, 4096, SEQUENCES * LENGTH, dtype=numpy.int32))
    experts = re.compile(r"[.]experts[.](\d+)[.]|_exps[.]")
    weights = sum(tensor.numel() for name, tensor in load_file(tmp_path / "source/model.safetensors").items() if experts.search(name))
    prune(tmp_path, 0.75)
    prune(tmp_path, 0.67, source="result", result="twice")
    # Not all experts are compressed, and where clients allow it not all linears of an expert alike.
    compress = {"type": "q4_k"} if kind == "gguf" else {"bits": 2, "group": 32}
    other = {"type": "q8_0"} if kind == "gguf" else {}
    rules = [{"match": "re:.*experts.[0-9]+.(w2|down_proj)", **other}, {"match": "*"}]
    recipe = {
        "model": str(tmp_path / "twice"), "output": str(tmp_path / "out"), "max_fallbacks": 1000, "format": kind, "rules": rules,
        "calibration": {"source": str(tmp_path / "ids.npy"), "sequences": SEQUENCES, "length": LENGTH}, "compress": compress,
        "ignore": ["lm_head", "re:.*layers.0.*experts.*"]}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    done = cleave.run("compress", tmp_path / "recipe.yaml")
    if kind == "gguf":
        sizes = {tensor.name: int(tensor.n_bytes) for tensor in gguf.GGUFReader(tmp_path / "out/model.gguf").tensors}
    else:
        sizes = {name: tensor.nbytes for name, tensor in load_file(tmp_path / "out/model.safetensors").items()}
    bits = 8 * sum(size for name, size in sizes.items() if experts.search(name)) / weights
    assert cleave.report(tmp_path / "out")["size"]["bitsPerOriginalExpertWeight"] == pytest.approx(bits)
    assert re.search(rf"bits per original expert weight +{bits:.2f}", done.stdout + done.stderr)


@pytest.mark.parametrize("model", ["deepseek_v3"], indirect=True)
def test_blocks_that_predict_further_tokens_are_left_out(model, tmp_path):
    """They have as many experts as config.json says of all blocks."""
    path, configuration = tmp_path / "source/model.safetensors", json.loads((tmp_path / "source/config.json").read_text())
    further = f"model.layers.{configuration['num_hidden_layers']}.eh_proj.weight"
    before = load_file(path)
    save_file(before | {further: torch.ones(128, 256)}, path, metadata={"format": "pt"})
    (tmp_path / "source/config.json").write_text(json.dumps(configuration | {"num_nextn_predict_layers": 1}))
    done = prune(tmp_path, 0.5)
    assert "are left out of the result" in done.stderr and "uncompressed" not in done.stderr
    after = load_file(tmp_path / "result/model.safetensors")
    assert further not in after and "lm_head.weight" in after


def test_what_cannot_be_done_is_said(tmp_path):
    make_checkpoints.make_model("qwen3_moe", MODELS["qwen3_moe"][1], 3).save_pretrained(tmp_path / "source")
    numpy.save(tmp_path / "ids.npy", numpy.zeros(SEQUENCES * LENGTH, dtype="int32"))
    assert "leaves 1 of 6 experts" in prune(tmp_path, 0.1, code=65).stderr
    assert "--keep must be above 0 and below 1" in prune(tmp_path, 1, code=64).stderr
    assert not (tmp_path / "result").exists()
    cleave.run("prune-experts", cleave.MODEL, "--keep", 0.5, "--data", tmp_path / "ids.npy", "--output", tmp_path / "result", code=65)
