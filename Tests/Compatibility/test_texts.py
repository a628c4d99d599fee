"""Texts as people have them, compressed or in tables that pyarrow wrote: the ids are those of PyPI's `tokenizers` for each document."""
import json
import random
import re
import shutil
import subprocess
import sys

import numpy
import pyarrow
import pyarrow.parquet as parquet
import pytest
from tokenizers import Tokenizer

import cleave

LETTERS = "abcdefghij ABC 0123 .,\n\t äöüß 漢字 🙂 é"


def documents(seed, count=400):
    # Some are alike, so that dictionaries have work; some are long, and some empty.
    generator = random.Random(seed)
    def one():
        return "".join(generator.choices(LETTERS, k=generator.choice([0, 1, 20, 200, 3000])))
    few = [one() for _ in range(20)]
    return [generator.choice(few) if generator.random() < 0.5 else one() for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(cleave.MODEL / "tokenizer.json"))


def ids(path, *options, code=0):
    done = cleave.run("tokenize", cleave.MODEL, path, "--output", path.parent / "ids.npy", *options, code=code, ranks=None)
    return done.stderr if code else numpy.load(path.parent / "ids.npy").tolist()


def expected(tokenizer, texts):
    return [token for text in texts for token in tokenizer.encode(text, add_special_tokens=False).ids]


@pytest.mark.parametrize("compression,suffix", [("gzip", "gz"), ("zstd", "zst")])
@pytest.mark.parametrize("named", [True, False])
def test_compressed_lines(compression, suffix, named, tokenizer, tmp_path):
    texts = documents(1)
    path = tmp_path / (f"texts.jsonl.{suffix}" if named else "texts")
    with pyarrow.CompressedOutputStream(str(path), compression) as file:
        for text in texts:
            file.write((json.dumps({"url": "x", "text": text}, ensure_ascii=False) + "\n").encode())
    assert ids(path) == expected(tokenizer, texts)


def options(seed):
    generator = random.Random(seed)
    return dict(
        compression=generator.choice(["none", "snappy", "gzip", "zstd"]), use_dictionary=generator.random() < 0.7,
        data_page_version=generator.choice(["1.0", "2.0"]), data_page_size=generator.choice([100, 5000, 1 << 20]),
        row_group_size=generator.choice([7, 100, 10_000]), dictionary_pagesize_limit=generator.choice([500, 1 << 20]),
        write_batch_size=generator.choice([5, 1024]), write_statistics=generator.random() < 0.5, write_page_index=generator.random() < 0.3,
        write_page_checksum=generator.random() < 0.3, store_schema=generator.random() < 0.5)


@pytest.mark.parametrize("seed", range(8))
def test_tables(seed, tokenizer, tmp_path):
    texts = documents(seed)
    generator = random.Random(seed)
    schema = pyarrow.schema([
        pyarrow.field("id", pyarrow.int32()), pyarrow.field("tags", pyarrow.list_(pyarrow.string())),
        pyarrow.field("content", generator.choice([pyarrow.string(), pyarrow.large_string()]), nullable=generator.random() < 0.5),
        pyarrow.field("meta", pyarrow.struct([("text", pyarrow.string())]))])
    rows = [{"id": row, "tags": ["a"] * (row % 3), "content": text, "meta": {"text": "no"}} for row, text in enumerate(texts)]
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), tmp_path / "texts.parquet", **options(seed))
    assert ids(tmp_path / "texts.parquet", "--field", "content") == expected(tokenizer, texts)


def test_tables_that_are_refused(tmp_path):
    chat = pyarrow.table({"messages": [[{"role": "user", "content": "hello"}]]})
    parquet.write_table(chat, tmp_path / "chat.parquet")
    message = ids(tmp_path / "chat.parquet", code=65)
    assert "this table has no column `text` of texts" in message and "apply_chat_template" in message
    parquet.write_table(pyarrow.table({"content": ["a"], "body": ["b"], "text": [1]}), tmp_path / "other.parquet")
    message = ids(tmp_path / "other.parquet", code=65)
    assert "column `text` of this table holds no texts; `content`, `body` do" in message
    parquet.write_table(pyarrow.table({"text": ["a", None]}), tmp_path / "null.parquet")
    assert "row 1 of column `text` is null" in ids(tmp_path / "null.parquet", code=65)


def test_chats_become_texts_by_the_documented_commands(tokenizer, tmp_path):
    """The two commands of docs/recipes.md, word by word, with another model."""
    page = (cleave.ROOT / "docs/recipes.md").read_text()
    commands = next(block for block in re.findall("```sh\n(.*?)```", page, re.S) if "chats-as-text.jsonl" in block)
    model = tmp_path / "models/llama"
    model.mkdir(parents=True)
    shutil.copy(cleave.MODEL / "tokenizer.json", model)
    template = "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}"
    (model / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template}))
    chats = [[{"role": "user", "content": "Who wrote \"Faust\"?"}, {"role": "assistant", "content": "Goethe – früher als 1832."}], [{"role": "user", "content": "漢字"}]]
    parquet.write_table(pyarrow.table({"messages": chats, "id": [1, 2]}), tmp_path / "chats.parquet")
    message = ids(tmp_path / "chats.parquet", code=65)
    assert "apply_chat_template" in message
    subprocess.run(["bash", "-ec", f"python() {{ {sys.executable} \"$@\"; }}\n{commands}"], cwd=tmp_path, check=True)
    message = ids(tmp_path / "chats.jsonl", code=65)
    assert "chats.jsonl:1: this record has no field `text`, and a chat in `messages`" in message and "apply_chat_template" in message
    texts = ["".join(f"[{message['role']}] {message['content']}\n" for message in chat) for chat in chats]
    assert ids(tmp_path / "chats-as-text.jsonl") == expected(tokenizer, texts)
