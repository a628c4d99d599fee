"""Checkpoints in the number types in which large models are published, as sources: what is read of them, and what results are made of it."""
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import cleave
import source_forms

torch.set_num_threads(1)


def tensors(directory):
    """Every tensor of a checkpoint, from all its shards."""
    result = {}
    for path in sorted(directory.glob("*.safetensors")):
        result |= load_file(path)
    return result


@pytest.fixture(scope="module", params=source_forms.FORMS)
def source(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    form = source_forms.FORMS[request.param]()
    stored, exact = source_forms.write(form, cleave.MODEL, folder)
    return form, folder, stored, exact


def test_dense(source, tmp_path):
    """`convert --format dense` writes the published formula's numbers, rounded once, and nothing of their form."""
    form, folder, stored, exact = source
    cleave.run("convert", folder / "quantized", "--format", "dense", "--output", tmp_path / "dense")
    dense = tensors(tmp_path / "dense")
    assert dense.keys() == exact.keys()
    for name, tensor in dense.items():
        assert tensor.dtype == torch.bfloat16 and torch.equal(tensor, exact[name].bfloat16()), name
    assert "quantization_config" not in json.loads((tmp_path / "dense/config.json").read_text())


@pytest.mark.parametrize("source", [name for name in source_forms.FORMS if not name.startswith(("fp8", "modelopt"))], indirect=True)
def test_compressed_tensors_agrees(source):
    """The package's own decompression gives the numbers that the formula gives, and so those that are read."""
    form, _, stored, exact = source
    for name in exact:
        if source_forms.is_linear(name, exact[name]):
            assert torch.equal(form.decompressed(stored, name.removesuffix(".weight")).bfloat16(), exact[name].bfloat16()), name


def test_perplexity(source):
    """The same numbers have the same perplexity, to the last bit."""
    _, folder, _, _ = source
    evaluation = dict(data=cleave.ROOT / "Demo/evaluation.txt", length=128, sequences=3)
    assert cleave.perplexity(folder / "quantized", **evaluation) == cleave.perplexity(folder / "plain", **evaluation)


def test_inspect(source):
    form, folder, _, _ = source
    found = json.loads(cleave.run("inspect", folder / "quantized", "--json").stdout)
    assert len(found["linears"]) == 56 and found["linears"][0]["bits"] in (4, 8), found["format"]


SMALL = {"calibration.sequences": 4, "calibration.length": 128, "compute": "f32", "evaluation": None}


@pytest.mark.parametrize("name, output", [
    *((name, "compressed-tensors") for name in ("fp8", "fp8-odd-blocks", "mxfp4", "nvfp4", "int4")), ("fp8", "gptq"), ("nvfp4", "gptq")])
def test_compressed(name, output, tmp_path):
    """What becomes of a checkpoint depends on its numbers alone: the same codes and scales as from a copy that holds them in fp32."""
    form = source_forms.FORMS[name]()
    # Scales of results have the model's type.
    source_forms.write(form, cleave.MODEL, tmp_path, number_type="float32")
    changes = SMALL | {"format": output, "compress.group": 32, "ignore": ["lm_head", "*.k_proj", "*.layers.7.*"]}
    for kind in ("quantized", "plain"):
        options = [part for path, value in changes.items() for part in ("--set", f"{path}={json.dumps(value)}")]
        cleave.run("compress", "Configs/demo.yaml", *options, "--model", tmp_path / kind, "--output", tmp_path / f"{kind}-w4")
    quantized, plain = tensors(tmp_path / "quantized-w4"), tensors(tmp_path / "plain-w4")
    assert quantized.keys() == plain.keys()
    for key, tensor in quantized.items():
        expected = plain[key]
        if tensor.dtype != expected.dtype:
            # Embeddings, norms and the head are copied as the source has them.
            assert not source_forms.is_linear(key, tensor) and tensor.dtype == torch.bfloat16, key
            tensor = tensor.float()
        assert torch.equal(tensor, expected), key
    configurations = [json.loads((tmp_path / f"{kind}-w4/config.json").read_text()) for kind in ("quantized", "plain")]
    assert configurations[0]["quantization_config"] == configurations[1]["quantization_config"]
    bits = [cleave.report(tmp_path / f"{kind}-w4")["size"]["sourceBitsPerWeight"] for kind in ("quantized", "plain")]
    assert bits[1] == 32 and {"fp8": 8 < bits[0] < 8.01, "fp8-odd-blocks": 8 < bits[0] < 8.01}.get(name, 4.2 < bits[0] < 4.6), bits


def damaged(tmp_path, change):
    """A copy in FP8 of which one file has been changed, and what is said of it."""
    stored, _ = source_forms.write(source_forms.FORMS["fp8"](), cleave.MODEL, tmp_path, files=1)
    configuration = json.loads((tmp_path / "quantized/config.json").read_text())
    change(stored, configuration)
    save_file(stored, next((tmp_path / "quantized").glob("*.safetensors")))
    (tmp_path / "quantized/config.json").write_text(json.dumps(configuration))
    return cleave.run("convert", tmp_path / "quantized", "--format", "dense", "--output", tmp_path / "dense", code=65).stderr


NAME = "model.layers.3.mlp.up_proj.weight"


def with_bytes(stored, name, place, byte):
    numbers = stored[name].view(torch.uint8).clone()
    numbers[place] = byte
    stored[name] = numbers.view(source_forms.FP8)


DAMAGE = {
    "not a number": (lambda t, c: with_bytes(t, NAME, (5, 7), 0xFF), f"tensor {NAME} is infinite or not a number at [5, 7]"),
    "infinite scale": (
        lambda t, c: t[NAME + "_scale_inv"].fill_(float("inf")), f"tensor {NAME}_scale_inv is infinite or not a number at [0, 0]"),
    "scale beyond fp32": (lambda t, c: t[NAME + "_scale_inv"].fill_(1e38), "makes numbers that fp32 does not hold"),
    "no scale": (lambda t, c: t.pop(NAME + "_scale_inv"), f"tensor {NAME} is of type F8_E4M3, and has no scales"),
    "another grid": (
        lambda t, c: t.update({NAME + "_scale_inv": torch.ones(5, 2)}), f"tensor {NAME}_scale_inv has shape [5, 2], expected [6, 2]"),
    "another type": (lambda t, c: t.update({NAME: t[NAME].float().to(torch.float8_e5m2)}), f"tensor {NAME} is of type F8_E5M2"),
    "no configuration": (lambda t, c: c.pop("quantization_config"), "is of type F8_E4M3, and config.json does not say"),
    "an unknown key": (lambda t, c: c["quantization_config"].update(rotation="hadamard"), "`quantization_config.rotation` is not known"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage(case, tmp_path):
    change, sentence = DAMAGE[case]
    assert sentence in (message := damaged(tmp_path, change)), message


def test_other_formats_are_refused(tmp_path):
    source_forms.write(source_forms.FORMS["fp8"](), cleave.MODEL, tmp_path)
    message = cleave.run("convert", tmp_path / "quantized", "--format", "gptq", "--output", tmp_path / "gptq", code=65).stderr
    assert "is stored in fp8" in message and "--format dense" in message, message


def test_configuration_of_a_wrapper(tmp_path):
    """Wrappers for several kinds of input keep the language model's settings in `text_config`; nothing of its form is left in a result."""
    source_forms.write(source_forms.FORMS["fp8"](), cleave.MODEL, tmp_path)
    path = tmp_path / "quantized/config.json"
    configuration = json.loads(path.read_text())
    configuration["text_config"] = {"quantization_config": configuration.pop("quantization_config"), "other": 1}
    path.write_text(json.dumps(configuration))
    cleave.run("convert", tmp_path / "quantized", "--format", "dense", "--output", tmp_path / "dense")
    result = json.loads((tmp_path / "dense/config.json").read_text())
    assert "quantization_config" not in result and result["text_config"] == {"other": 1}
    assert not any("scale" in name for name in tensors(tmp_path / "dense"))


@pytest.mark.parametrize("output", ["compressed-tensors", "gptq", "dense"])
def test_blocks_that_predict_further_tokens(output, tmp_path):
    """They come out as plain weights in the model's type, and clients are told that no codes are there."""
    form = source_forms.FORMS["fp8"]()
    stored, exact = source_forms.write(form, cleave.MODEL, tmp_path, files=1)
    for kind, own in (("quantized", stored), ("plain", exact)):
        own |= {name.replace("layers.7.", "layers.8."): tensor.clone() for name, tensor in own.items() if ".layers.7." in name}
        own["model.layers.8.eh_proj.weight"] = torch.ones(4, 8, dtype=torch.bfloat16)
        save_file(own, next((tmp_path / kind).glob("*.safetensors")))
    (tmp_path / "quantized/model.safetensors.index.json").write_text(json.dumps({"weight_map": {name: "model-00001-of-00001.safetensors" for name in stored}}))
    path = tmp_path / "quantized/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_nextn_predict_layers": 1}))
    options = [part for key, value in SMALL.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    done = cleave.run(
        "compress", "Configs/demo.yaml", *options, "--set", f"format={output}", "--model", tmp_path / "quantized", "--output", tmp_path / "result")
    assert "blocks that predict further tokens" in done.stderr
    result = tensors(tmp_path / "result")
    assert not any("scale_inv" in name for name in result)
    found = {name: tensor for name, tensor in result.items() if ".layers.8." in name}
    assert found.keys() == {name for name in exact if ".layers.8." in name}
    for name, tensor in found.items():
        assert tensor.dtype == torch.bfloat16 and torch.equal(tensor, exact[name].bfloat16()), name
    quantization = json.loads((tmp_path / "result/config.json").read_text()).get("quantization_config")
    if output == "compressed-tensors":
        assert "re:(.*[.])?layers[.]8[.].*" in quantization["ignore"]
    elif output == "gptq":
        assert "-:(.*[.])?layers[.]8[.].*" in quantization["dynamic"]
    else:
        assert quantization is None
