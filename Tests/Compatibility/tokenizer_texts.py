"""Texts that tokenizers stumble over."""
import random

NASTY = {
    "empty": "",
    "spaces": [" ", "  ", "    ", " " * 40, "\u00a0", "\u3000\u2003", "\u200b", "\ufeff"],
    "line ends": ["\n", "\r\n", "\r", "\n\n\n", "a\r\nb\r\n\r\n c", " \n ", "\n \n", "a \n", "\u2028\u2029\u0085"],
    "edges": [" a", "a ", "  a  ", "\ta\t", "\t\t", "a\tb", " \t \n \t ", "▁", "▁▁a", " ▁ b", "a▁b"],
    "emoji": ["👩‍👩‍👧‍👦", "🇺🇸🇩🇪", "👍🏽 ok", "a👋b", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"],
    "combining": ["e\u0301", "é", "cafe\u0301 café", "a\u0323\u0307 a\u0307\u0323", "q\u0307\u0323", "\u0301a", "\u1100\u1161\u11a8", "각",
                  "ﬁ ① ½ Å Å Ω", "s\u0323\u0307", "İI ıi ẞß ΑΣ", "\u0344 \u0958 \u2adc",
                  "\U00010041\u0323\u0307 e\u0f73\u0323 \U0001d400\u0301 \U0001d15e\u0334", "か\u3099" * 200, "e\u0301" * 300],
    "scripts": ["中文分词测试。", "日本語のテキスト、カタカナ", "한국어 문장입니다", "مرحبا بالعالم ١٢٣", "ภาษาไทยไม่มีช่องว่าง", "עִבְרִית", "हिन्दी में पाठ",
                "Ελληνικά ΚΕΊΜΕΝΟ", "Русский текст", "ᚠᛇᚻ 𐍈 𝔘𝔫𝔦", "Việt Nam tiếng Việt"],
    "numbers": ["".join("123456789012"[:n]) for n in range(1, 13)] + ["1,234.5", "٣٤٥", "Ⅷ ½ ²", "a1b22c333", "1 2  3", "3.14e-10"],
    "contractions": ["I'm you're he'd WE'LL they've It's don'T 'sa x's's", "I’m you’re", "''s '' 's"],
    "controls": ["\0", "a\0b\0\0", "\x01\x02\x7f", "\0 \0"],
    "bytes": ["".join(map(chr, range(256))), "".join(map(chr, range(255, -1, -1))), "ÃÂ©â\x80\x99"],
    "special": ["<|endoftext|>", "a<|endoftext|>b", "<|endoftext|><|endoftext|>", " <|endoftext|> ", "<s>", "<s>Hello</s>", "<s> Hello </s> <s>",
                "a <unk> b", "<|im_start|>user\nHi<|im_end|>\n", "<tool_call>{}</tool_call>", "<|begin_of_text|>x", "<|endof", "<|endoftext|",
                "< s>", "<0x41>", "<0x0A>\n", "<|ENDOFTEXT|>", "<x> <x><x>  <x>", "special specials aspecial special. spec specia  special é éa",
                "a token  tokening  sing ing", "aspec", "\u00e9<x>\u0301", "<x>_<x>é <x>1"],
    "code": ["def f(x):\n    return x**2  # square\n\n\n", "if (a&&b||!c) {\n\t\treturn a?.b ?? c;\n}", "https://example.com/a_b?c=d&e=%20#f",
             "snake_case CamelCase kebab-case SCREAMING_SNAKE", "x=1;y=2;z=x+++y", "......!!!???---___***", "\\n\\t\"'`"],
    "letters": ["xaay xy", "aab", "abab ab", "xxaxx", "baa,.12.,3"],
}


def short_texts():
    """A list of (name, text)."""
    texts = []
    for name, group in NASTY.items():
        texts += [(f"{name} {index}", text) for index, text in enumerate([group] if isinstance(group, str) else group)]
    return texts + [(f"random {seed}", random_text(seed)) for seed in range(12)]


def random_text(seed):
    """Characters of many scripts, spaces and special tokens, mixed."""
    generator = random.Random(seed)
    ranges = [(0x20, 0x7E)] * 6 + [(0x09, 0x0D), (0x20, 0x20), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x5D0, 0x5EA),
              (0x620, 0x64A), (0x900, 0x939), (0xE01, 0xE3A), (0x1100, 0x11FF), (0x2000, 0x206F), (0x3040, 0x30FF), (0x4E00, 0x9FA5),
              (0xAC00, 0xD7A3), (0xF900, 0xFA2D), (0xFF01, 0xFF5E), (0x1D400, 0x1D454), (0x1F600, 0x1F64F)]
    pieces = []
    for _ in range(400):
        low, high = generator.choice(ranges)
        pieces.append("".join(chr(generator.randint(low, high)) for _ in range(generator.randint(1, 5))))
        if generator.random() < 0.05:
            pieces.append(generator.choice(["<|endoftext|>", "<s>", "</s>", "<|im_end|>", "special", "<x>", "  "]))
    return "".join(pieces)


def long_texts():
    """A list of (name, text): 1 MB without a place to cut."""
    million = 1 << 20
    return [("1 MB of a", "a" * million), ("1 MB of spaces", " " * million), ("1 MB of line ends", "\n" * million),
            ("1 MB of digits", "1234567890" * (million // 10)), ("1 MB of CJK", "漢字仮名" * (million // 12)),
            ("1 MB of letters", "".join(random.Random(7).choices("etaoinshrdlu", k=million))), ("1 MB of NUL", "\0" * million),
            ("1 MB of combining marks", "e\u0301" * (million // 3)), ("1 MB of emoji", "😀" * (million // 4))]
