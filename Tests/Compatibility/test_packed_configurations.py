"""What config.json says of a packed checkpoint: transformers' perplexity where it says a scheme in other words, an error where it asks for more."""
import copy
import json

import pytest

import cleave
import reference


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configurations") / "packed"
    cleave.compress(folder, {"compress.method": "rtn", "compress.grid": "minmax", "calibration": None, "evaluation": None})
    return folder


@pytest.fixture(scope="module")
def windows():
    return reference.text_windows(cleave.EVALUATION["data"], cleave.MODEL, cleave.EVALUATION["length"], 4)


@pytest.fixture(scope="module")
def original(packed):
    return (packed / "config.json").read_text()


def perplexity(folder):
    return cleave.perplexity(folder, cleave.EVALUATION["data"], cleave.EVALUATION["length"], 4)


def write(folder, original, change):
    configuration = json.loads(original)
    change(configuration, configuration["quantization_config"], configuration["quantization_config"]["config_groups"]["group_0"])
    (folder / "config.json").write_text(json.dumps(configuration))


SPELLINGS = {
    "mixed-precision": lambda c, q, g: q.update(format="mixed-precision"),
    "no format": lambda c, q, g: (q.pop("format"), g.pop("format")),
    "no format of the group": lambda c, q, g: g.pop("format"),
    "inferred strategy": lambda c, q, g: g["weights"].pop("strategy"),
    "capitals": lambda c, q, g: g["weights"].update(type="INT", strategy="GROUP"),
    "empty parts": lambda c, q, g: q.update(sparsity_config={}, transform_config={}, version="0.20.0"),
    "a pattern": lambda c, q, g: g.update(targets=["re:.*proj$"]),
    "nested": lambda c, q, g: c.update(quantization_config=dict(quant_method="compressed-tensors", quantization_config=copy.deepcopy(q))),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_other_spellings_are_read_as_transformers_reads_them(name, packed, original, windows):
    write(packed, original, SPELLINGS[name])
    assert perplexity(packed) == pytest.approx(reference.perplexity(reference.load(packed), windows), rel=1e-3)


ACTIVATIONS = dict(num_bits=8, type="int", symmetric=True, strategy="token", dynamic=True)
REFUSED = {
    "input_activations": lambda c, q, g: g.update(input_activations=ACTIVATIONS),
    "output_activations": lambda c, q, g: g.update(output_activations=ACTIVATIONS),
    "transform_config": lambda c, q, g: q.update(transform_config=dict(
        config_groups=dict(u=dict(type="hadamard", apply=[dict(targets=["Linear"], location="input")])))),
    "sparsity_config": lambda c, q, g: q.update(sparsity_config=dict(format="sparse-24-bitmask")),
    "quantization_status": lambda c, q, g: q.update(quantization_status="frozen"),
    "`ignore`": lambda c, q, g: q.update(ignore=[]),
    "names no scheme": lambda c, q, g: g.update(targets=["re:.*mlp.*"]),
    "new_key": lambda c, q, g: g.update(new_key=1),
    "no `quant_method`": lambda c, q, g: q.pop("quant_method"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_would_change_the_numbers_is_refused_by_name(words, packed, original, tmp_path):
    write(packed, original, REFUSED[words])
    arguments = ["--data", cleave.EVALUATION["data"], "--length", 64]
    assert words in cleave.run("eval", packed, *arguments, code=65).stderr
    assert words in cleave.run("convert", packed, "--format", "dense", "--output", tmp_path / "dense", code=65).stderr
    assert not (tmp_path / "dense").exists()
    # What is there can be looked at all the same.
    assert words in cleave.run("inspect", packed).stdout or words in ("`ignore`",)
