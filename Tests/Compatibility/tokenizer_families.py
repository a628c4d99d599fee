"""Small tokenizers in the exact settings of the model families that Cleave reads, trained with the reference library."""
import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
DEEPSEEK3 = [
    r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""]
# Letters that have cases, as DeepSeek-LLM and DeepSeek-V2 list them.
WITH_CASES = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386"
    "\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba"
    "\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102"
    "\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b"
    "\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17"
    "\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943")
IDEOGRAPHS = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DEEPSEEK_LLM = [
    "[\r\n]", rf"\s?[{WITH_CASES}]+", "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", IDEOGRAPHS]
DEEPSEEK_CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", IDEOGRAPHS]
SPACE = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
NO_REGEX = dict(add_prefix_space=False, use_regex=False)


def byte_level(pre_tokenizer, texts, vocabulary, specials, normalizer=None, **model):
    """A byte-level BPE over `texts` (a list of strings)."""
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=specials, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def sentence_piece(texts, vocabulary, byte_fallback=True, fuse_unk=True, alphabet=500):
    """A BPE as converted from SentencePiece: runs of spaces and words are tokens, nothing crosses from one word to the next."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse_unk, byte_fallback=byte_fallback))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Metaspace(split=False), pre_tokenizers.Split(Regex(f"{SPACE}+[^{SPACE}\\n]*|[^{SPACE}\\n]+"), "isolated")])
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["<unk>", "<s>", "</s>"] + (BYTES if byte_fallback else []),
        limit_alphabet=alphabet, show_progress=False))
    return edited(tokenizer, lambda file: file.update(
        pre_tokenizer=None, added_tokens=[token for token in file["added_tokens"] if not token["content"].startswith("<0x")]))


def edited(tokenizer, edit):
    """The tokenizer after `edit` has changed its file (a dictionary) in place."""
    file = json.loads(tokenizer.to_str())
    edit(file)
    return Tokenizer.from_str(json.dumps(file))


def bos(tokenizer, token):
    return processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token}:1 $B:1", special_tokens=[(token, tokenizer.token_to_id(token))])


def main_families(texts, vocabulary):
    """The families whose ids are compared on whole texts: name -> tokenizer."""
    families = {}
    families["gpt2"] = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), texts, vocabulary, ["<|endoftext|>"])
    families["gpt2"].post_processor = processors.ByteLevel(trim_offsets=False)

    llama3 = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(**NO_REGEX)]), texts, vocabulary, [],
        ignore_merges=True)
    llama3.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>"] + [f"<|reserved_special_token_{i}|>" for i in range(20)])
    llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), bos(llama3, "<|begin_of_text|>")])
    families["llama3"] = llama3

    qwen2 = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(**NO_REGEX)]), texts, vocabulary, [],
        normalizer=normalizers.NFC(), continuing_subword_prefix="", end_of_word_suffix="")
    qwen2.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    qwen2.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    qwen2.post_processor = processors.ByteLevel(trim_offsets=False)
    families["qwen2"] = qwen2

    families["smollm2"] = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), texts, vocabulary,
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])

    base = sentence_piece(texts, vocabulary, alphabet=vocabulary // 12)
    llama2 = edited(base, lambda file: None)
    llama2.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    llama2.post_processor = bos(llama2, "<s>")
    families["llama2"] = llama2

    mistral = edited(base, lambda file: None)
    mistral.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    mistral.post_processor = bos(mistral, "<s>")
    families["mistral"] = mistral
    return families


def deepseek_families(texts, vocabulary):
    """Those of DeepSeek, by llama.cpp's names of their ways to cut: name -> tokenizer."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    cuts = {"deepseek-v3": (DEEPSEEK3, []), "deepseek-llm": (DEEPSEEK_LLM, [digits]), "deepseek-coder": (DEEPSEEK_CODER, [digits])}
    return {
        name: byte_level(pre_tokenizers.Sequence([
            *[pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns], *more, pre_tokenizers.ByteLevel(**NO_REGEX)]), texts, vocabulary,
            ["<s>", "</s>", "<|endoftext|>"])
        for name, (patterns, more) in cuts.items()}


def variants(families, texts, vocabulary):
    """Settings beside the families' own, compared on short texts only: name -> tokenizer."""
    result = {}
    gpt2, llama2, mistral, qwen2 = (families[name] for name in ("gpt2", "llama2", "mistral", "qwen2"))

    def variant(name, base, edit=lambda file: None, **parts):
        result[name] = edited(base, edit)
        for part, value in parts.items():
            setattr(result[name], part, value)

    variant("gpt2, prefix space", gpt2, pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True))
    variant("llama2, normalized special tokens", llama2,
            lambda file: [token.update(normalized=True) for token in file["added_tokens"]])
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            variant(f"metaspace {scheme} {split}", mistral,
                    pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split))
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        variant(form, qwen2, normalizer=getattr(normalizers, form)())
        variant(form + ", normalized added tokens", qwen2,
                lambda file: [token.update(normalized=True) for token in file["added_tokens"]],
                normalizer=getattr(normalizers, form)())
    variant("Lowercase, then NFKC", mistral, normalizer=normalizers.Sequence([normalizers.Lowercase(), normalizers.NFKC()]))
    variant("Strip", gpt2, normalizer=normalizers.Strip())
    variant("Strip left", gpt2, normalizer=normalizers.Strip(right=False))
    variant("Strip right", gpt2, normalizer=normalizers.Strip(left=False))
    variant("Replace by a regular expression", gpt2, normalizer=normalizers.Replace(Regex(r"\s{2,}|[aeiou]+$"), "_"))
    variant("Replace that deletes", gpt2, normalizer=normalizers.Replace("e", ""))
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            for pattern in (" ", r"\d|[.,]+", r"a*", r"x|(?=y)", r"(?<=a)b|^."):
                split = pre_tokenizers.Split(pattern if pattern == " " else Regex(pattern), behavior, invert=invert)
                variant(f"Split {pattern} {behavior} {invert}", gpt2, pre_tokenizer=pre_tokenizers.Sequence([
                    split, pre_tokenizers.ByteLevel(**NO_REGEX)]))
    variant("Digits together", gpt2, pre_tokenizer=pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]))
    variant("Digits in characters", mistral, pre_tokenizer=pre_tokenizers.Digits(individual_digits=True))
    result["unknown, fused"] = sentence_piece(texts, vocabulary, byte_fallback=False, alphabet=60)
    result["unknown, apart"] = sentence_piece(texts, vocabulary, byte_fallback=False, fuse_unk=False, alphabet=60)
    for fused in (True, False):
        variant(f"some byte tokens missing, {fused}", llama2, lambda file: (
            file["model"].update(fuse_unk=fused), [file["model"]["vocab"].pop(f"<0x{b:02X}>") for b in range(0x80, 0xC0, 3)]))
    variant("no unknown token", llama2, lambda file: file["model"].update(unk_token=None, byte_fallback=False))
    for unknown in (None, "<|endoftext|>"):
        variant(f"bytes missing from a byte-level vocabulary, {unknown}", gpt2, lambda file: (
            file["model"].update(unk_token=unknown, merges=[], vocab={
                token: id for token, id in file["model"]["vocab"].items() if len(token) == 1 and token not in "ÃĤaĠ" or id == 0})))
    for options in (dict(lstrip=True), dict(rstrip=True), dict(lstrip=True, rstrip=True), dict(single_word=True),
                    dict(single_word=True, lstrip=True, rstrip=True)):
        for normalized in (False, True):
            for base in ("gpt2", "llama2"):
                name = f"{base}, added tokens {options} normalized={normalized}"
                variant(name, families[base])
                result[name].add_tokens([AddedToken(content, normalized=normalized, **options)
                                         for content in ("special", "spec", "<x>", "  ", "é", " token", "ing")])
    return result


def old_spelling(tokenizer):
    """The file as older versions of the library wrote it: merges as "left right", no `ignore_merges`, no type of the model."""
    file = json.loads(tokenizer.to_str())
    model = file["model"]
    model["merges"] = [" ".join(merge) for merge in model["merges"]]
    for key in ("ignore_merges", "type", "byte_fallback"):
        if not model[key] or key == "type":
            del model[key]
    return json.dumps(file, ensure_ascii=False)
