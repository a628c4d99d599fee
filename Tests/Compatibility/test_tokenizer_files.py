"""Settings of tokenizer.json that clients take back, and processors that put special tokens around a text, against PyPI's `tokenizers` and transformers."""
import json, os, subprocess

import numpy, pytest, transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

BINARY = os.environ["CLEAVE_BINARY"]
TEXT = "Once upon a time there was a dog. " * 40 + "\n\nThe end; it ate 12 apples."


@pytest.fixture(scope="module")
def plain():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>", "</s>", "[CLS]", "[SEP]"], show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer.to_str()


def ids(folder, *flags):
    (folder / "text.txt").write_text(TEXT)
    run = subprocess.run([BINARY, "tokenize", folder, folder / "text.txt", "--output", folder / "ids.npy", *flags], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return numpy.load(folder / "ids.npy").tolist()


def template(tokenizer, *names):
    pattern = " ".join(["$A" if name == "A" else name for name in names])
    special = [(name, tokenizer.token_to_id(name)) for name in set(names) - {"A"}]
    return processors.TemplateProcessing(single=pattern, special_tokens=special)


PROCESSORS = {
    "bert": lambda t: processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]"))),
    "roberta": lambda t: processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")), trim_offsets=True, add_prefix_space=True),
    "template": lambda t: template(t, "<s>", "A", "</s>", "</s>"),
    "sequence": lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False), template(t, "<s>", "A")]),
    "bert in a template": lambda t: processors.Sequence([PROCESSORS["bert"](t), template(t, "<s>", "A", "</s>")]),
    "roberta, then bert": lambda t: processors.Sequence([PROCESSORS["roberta"](t), PROCESSORS["bert"](t)]),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_special_tokens_stand_where_the_reference_puts_them(name, plain, tmp_path):
    tokenizer = Tokenizer.from_str(plain)
    tokenizer.post_processor = PROCESSORS[name](tokenizer)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert ids(tmp_path) == tokenizer.encode(TEXT, add_special_tokens=False).ids
    assert ids(tmp_path, "--special-tokens") == tokenizer.encode(TEXT).ids


@pytest.mark.parametrize("setting", ["truncation", "padding", "both"])
def test_truncation_and_padding_are_taken_back_as_transformers_does(setting, plain, tmp_path):
    tokenizer = Tokenizer.from_str(plain)
    expected = tokenizer.encode(TEXT, add_special_tokens=False).ids
    if setting != "padding":
        tokenizer.enable_truncation(16, stride=2)
    if setting != "truncation":
        tokenizer.enable_padding(length=4096, pad_id=1, pad_token="</s>")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    # What the file asks for, the library does; transformers does not, and Cleave neither.
    assert tokenizer.encode(TEXT, add_special_tokens=False).ids != expected
    client = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert client(TEXT, add_special_tokens=False)["input_ids"] == expected
    assert ids(tmp_path) == expected
