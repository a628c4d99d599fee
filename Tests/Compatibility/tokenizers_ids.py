#!/usr/bin/env python3
"""Compares Cleave's token ids with those of the PyPI package `tokenizers`, for every family, on every text.

    python3 tokenizers_ids.py BINARY [--assets FOLDER] [--tokenizer TOKENIZER.json ...] [--seconds 1] [--quick]

BINARY is `cleave`. FOLDER (default $CLEAVE_ASSETS or ../shared) holds text/ and models/; the tokenizers are trained on its texts.
Exits with 1 at any difference, or where a text of 1 MB takes longer than --seconds.
"""
import argparse, json, os, pathlib, subprocess, sys, tempfile, time

import numpy
from tokenizers import Tokenizer

from tokenizer_families import deepseek_families, main_families, old_spelling, variants
from tokenizer_texts import long_texts, short_texts


def cleave_ids(binary, tokenizer_file, text_file, ids_file):
    """The one call of Cleave: its ids of a text file, and the seconds it took."""
    start = time.time()
    subprocess.run([binary, "tokenize", tokenizer_file, text_file, "--output", ids_file], check=True, capture_output=True, text=True)
    return numpy.load(ids_file), time.time() - start


def documents(text):
    """What Cleave reads in a file of this text: the records of JSON lines, each on its own, or the text without its byte order mark."""
    lines = text.splitlines()
    try:
        is_json = bool(lines) and isinstance(json.loads(lines[0]), dict)
    except ValueError:
        is_json = False
    return [json.loads(line)["text"] for line in text.split("\n") if line.strip()] if is_json else [text.removeprefix("\ufeff")]


class Comparison:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, pathlib.Path(folder)
        self.compared = self.tokens = self.faults = 0

    def save(self, name, contents):
        path = self.folder / name
        path.write_bytes(contents.encode())
        return path

    def compare(self, name, tokenizer, tokenizer_file, texts, seconds=None):
        for title, text in texts:
            try:
                ids, taken = cleave_ids(self.binary, tokenizer_file, self.save("text", text), self.folder / "ids.npy")
            except subprocess.CalledProcessError as error:
                self.fault(f"{name}, {title}: {error.stderr}")
                continue
            expected = numpy.array([i for document in documents(text) for i in tokenizer.encode(document, add_special_tokens=False).ids], dtype=numpy.int32)
            self.compared += 1
            self.tokens += len(expected)
            if ids.dtype != numpy.int32 or not numpy.array_equal(ids, expected):
                shorter = min(len(ids), len(expected))
                different = numpy.flatnonzero(ids[:shorter] != expected[:shorter])
                at = int(different[0]) if len(different) else shorter
                self.fault(f"{name}, {title}: {len(ids)} ids instead of {len(expected)}; at {at}: "
                           f"{[tokenizer.id_to_token(int(i)) for i in ids[at:at + 5]]} instead of "
                           f"{[tokenizer.id_to_token(int(i)) for i in expected[at:at + 5]]}")
            if seconds and taken > seconds:
                self.fault(f"{name}, {title}: took {taken:.2f} s")

    def fault(self, message):
        self.faults += 1
        print("DIFFERENT", message, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--assets", type=pathlib.Path, default=pathlib.Path(os.environ.get("CLEAVE_ASSETS", "../shared")))
    parser.add_argument("--tokenizer", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--seconds", type=float, default=1.0, help="the most that a text of 1 MB may take")
    parser.add_argument("--vocabulary", type=int, default=6000)
    parser.add_argument("--quick", action="store_true", help="one in six variants, and for each tokenizer some of the texts, for all together all (2 minutes)")
    arguments = parser.parse_args()
    of_variants, of_whole, of_short, of_long = (6, 3, 8, 3) if arguments.quick else (1, 1, 1, 1)

    text_files = sorted(path for path in (arguments.assets / "text").rglob("*") if path.is_file())
    if not text_files:
        sys.exit(f"no texts in {arguments.assets / 'text'}; name the assets' folder with --assets")
    whole_texts = [(path.name, path.read_bytes().decode()) for path in text_files]
    training = [line for _, text in whole_texts for line in text[:200_000].splitlines(keepends=True)]

    families = main_families(training, arguments.vocabulary) | deepseek_families(training, arguments.vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(arguments.binary, folder)
        for index, (name, tokenizer) in enumerate(list(variants(families, training[:5000], 1200).items())[::of_variants]):
            # Each takes other texts, so that together they take all.
            texts = short_texts()[index % of_short :: of_short]
            comparison.compare(name, tokenizer, comparison.save("tokenizer.json", tokenizer.to_str()), texts)
        print("compared variants", flush=True)
        for index, path in enumerate(sorted((arguments.assets / "models").glob("*/tokenizer.json")) + arguments.tokenizer):
            tokenizer = Tokenizer.from_file(str(path))
            comparison.compare(path.parent.name, tokenizer, path, whole_texts[index % of_whole :: of_whole] + short_texts()[::of_short])
            print("compared", path, flush=True)
        for index, (name, tokenizer) in enumerate(families.items()):
            texts = short_texts()[index % of_short :: of_short]
            file = comparison.save("tokenizer.json", tokenizer.to_str())
            comparison.compare(name, tokenizer, file, whole_texts[index % of_whole :: of_whole] + texts)
            comparison.compare(name, tokenizer, file, long_texts()[index % of_long :: of_long], arguments.seconds)
            old = comparison.save("tokenizer.json", old_spelling(tokenizer))
            comparison.compare(name + ", old spelling", tokenizer, old, texts)
            print("compared", name, flush=True)
        print(f"{comparison.compared} texts, {comparison.tokens} ids compared, {comparison.faults} faults")
        sys.exit(comparison.faults > 0)


if __name__ == "__main__":
    main()
