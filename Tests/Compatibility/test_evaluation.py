"""How far a compressed model's predictions are from the source's, by `cleave eval --reference` and by transformers."""
import json

import pytest
import torch

import cleave
import reference

LENGTH, WINDOWS = 128, 6


def test_comparison(tmp_path):
    cleave.compress(tmp_path / "dense", {"format": "dense", "compress.bits": 3, "evaluation": None})
    arguments = ["--data", cleave.EVALUATION["data"], "--length", LENGTH, "--sequences", WINDOWS, "--json"]
    found = json.loads(cleave.run("eval", tmp_path / "dense", "--reference", cleave.MODEL, *arguments).stdout)["comparison"]

    windows = reference.text_windows(cleave.EVALUATION["data"], cleave.MODEL, LENGTH, WINDOWS)
    with torch.no_grad():
        source, result = (reference.load(folder)(windows, use_cache=False).logits.double().log_softmax(-1) for folder in (cleave.MODEL, tmp_path / "dense"))
    assert found["divergence"] == pytest.approx((source.exp() * (source - result)).sum(-1).mean().item(), rel=1e-4)
    # Two followers may be as likely to within the rounding of fp32.
    assert found["sameChoices"] == pytest.approx((source.argmax(-1) == result.argmax(-1)).double().mean().item(), abs=2 / (WINDOWS * LENGTH))
