#!/usr/bin/env python3
"""Writes Tests/TokenizersTests/Fixtures: tiny tokenizers of each family, and the ids that the PyPI package `tokenizers` gives.

    python3 make_tokenizer_fixtures.py
"""
import json, pathlib

from tokenizers import AddedToken, Tokenizer

from tokenizer_families import edited, main_families, old_spelling
from tokenizer_texts import short_texts

FIXTURES = pathlib.Path(__file__).parent.parent / "TokenizersTests" / "Fixtures"
PROSE = """A compressor for language models reads its weights layer by layer, and writes them back with fewer bits than before.
The tokens of the calibration text don't have to be special; they're taken in order from the start, 2048 at a time.
Every rank sums what it has seen, and the sum is the same for 1, 2, 3 or 1024 ranks: that's the promise it keeps.
    for layer in layers:\n        hessian = sum(x.T @ x for x in batches)\n        layer.weight = solve(layer.weight, hessian)\n
Les modèles de langue sont grands. Die Gewichte werden quantisiert. Los pesos se guardan en archivos. 模型很大，我们把它压缩。
"""


def main():
    texts = [(name, text) for name, text in short_texts() if name not in [f"random {seed}" for seed in range(3, 12)]]
    families = main_families([line for line in PROSE.splitlines(keepends=True)] * 3 + [text for _, text in texts], 900)
    del families["smollm2"]
    files = {name: tokenizer.to_str() for name, tokenizer in families.items()}
    files["gpt2"] = old_spelling(families["gpt2"])
    added = edited(families["llama2"], lambda file: None)
    added.add_tokens([AddedToken("special", single_word=True), AddedToken("<x>", lstrip=True, rstrip=True), AddedToken("é", normalized=False),
                      AddedToken(" token", lstrip=True), AddedToken("ing", rstrip=True, normalized=False), AddedToken("  ", normalized=False)])
    files["added-tokens"] = added.to_str()
    for name, file in files.items():
        tokenizer = Tokenizer.from_str(file)
        file = json.loads(file)
        file["decoder"] = None
        contents = json.dumps(file, ensure_ascii=False, separators=(",", ":"))
        cases = [{"name": title, "text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids,
                  "idsWithSpecialTokens": tokenizer.encode(text).ids} for title, text in texts]
        expected = "[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n"
        folder = FIXTURES / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(contents + "\n")
        (folder / "expected.json").write_text(expected)
        print(name, len(contents.encode()), "bytes,", len(cases), "texts,", tokenizer.get_vocab_size(), "tokens")


if __name__ == "__main__":
    main()
