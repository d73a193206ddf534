# SPDX-License-Identifier: MIT
"""Text for the tokenizers: prose to train them on, and the cases they are compared on."""

import random

PROSE = {
    "english": "The quick brown fox jumps over the lazy dog, doesn't it? I'm sure you've seen they'll "
    "say we're done; he'd know. Hello, world! It is the first of the three and the other thing.",
    "latin accents": "Déjà vu à l'été, Übergröße für Straße, mañana será otro día, coração, žluťoučký kůň.",
    "cyrillic": "Съешь же ещё этих мягких французских булок, да выпей чаю. Привет, мир!",
    "greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Καλημέρα κόσμε, τι κάνεις;",
    "arabic": "مرحبا بالعالم، كيف حالك اليوم؟ هذا نصٌّ مُشَكَّلٌ ١٢٣٤",
    "hebrew": "שלום עולם, מה שלומך היום? בְּרֵאשִׁית",
    "devanagari": "नमस्ते दुनिया, आप कैसे हैं? १२३४५ क्षत्रिय",
    "thai": "สวัสดีชาวโลก วันนี้เป็นอย่างไรบ้าง ๑๒๓",
    "cjk": "你好,世界。今天天气怎么样?吾輩は猫である。名前はまだ無い。カタカナ",
    "hangul": "안녕하세요 세계, 오늘은 어떻습니까? 한국어",
    "code": "def f(x):\n    return x ** 2 + 1\n\nfor (int i = 0; i < 10; ++i) {\n\tsum += a[i];\n}\n// TODO: 100%\n",
    "numbers": "In 2024, 1234567 people paid $1,299.99 for 3.14159 apples on 2024-01-31 at 12:34:56.",
    "indented": "if a:\n        b\n            c\n\n\n\td\r\n\r\ne   f    g     h",
}

WRITTEN = {
    "empty": "",
    "one space": " ",
    "space runs": "a b  c   d    e     f          g",
    "leading spaces": "   leading",
    "trailing spaces": "trailing   ",
    "only spaces": "        ",
    "tabs": "\ta\t\tb\t \tc \t",
    "newlines": "a\nb\n\nc\n\n\nd\n",
    "crlf": "a\r\nb\r\n\r\nc\r\rd\n\re",
    "spaces around newlines": "a  \n  b \n\n   c\n \n \nd   \n",
    "newline then spaces at end": "a\n   ",
    "no-break space": "a\u00a0b\u00a0\u00a0c \u00a0d\u00a0 e",
    "ideographic space": "全角\u3000空白\u3000\u3000二つ \u3000三",
    "rare white space": "a\u0085b\u1680c\u2000d\u2003e\u2028f\u2029g\u202fh\u205fi\x0bj\x0ck",
    "rare white space, doubled": "a\u0085\u0085b\u2003\u2003c\u2028\u2028d\x0b\x0be\x0c\x0cf \u2009g",
    # White space to some regex libraries, but not to Unicode (nor to the oracle).
    "nearly white space": "a\u180eb\u180e\u180ec\u200bd\u200b\u200be\u2060f\ufeffg\x1ch\x1d\x1ei\x1f j",
    "zero width at ends": "\ufeffbyte order mark\u200b",
    "control characters": "\x00\x01\x02 a\x07b\x1b[31mred\x1b[0m\x7f \x80\x9f",
    "NUL inside": "a\x00b\x00\x00c",
    "contractions": "I'm you're he's we've they'll she'd don't it's",
    "contractions, upper case": "I'M YOU'RE HE'S WE'VE THEY'LL SHE'D DON'T IT'S He'S",
    # U+017F folds to s, so a case-insensitive 's matches it.
    "contractions, long s": "it'\u017f that'\u017f 'S 's",
    "contractions, false": "'tis 'twas rock'n'roll o'clock 'sound 'revolve l'l 'lll 're're '' 's's",
    "curly apostrophes": "it’s don’t ‘quoted’ “double”",
    "digits": "1 12 123 1234 12345 123456 1234567 12345678901234567890",
    "digits in words": "abc123def4567gh8 v1.2.3 x86_64 0xDEADBEEF 1e-5 3rd",
    "digits of other scripts": "١٢٣٤٥ १२३४५६ ๑๒๓๔ ২০২৪ 123456 𝟏𝟐𝟑𝟒",
    "other numerals": "½ ¼¾ ²³¹ x² ①②③④ ⅧⅨ 〇一二三 ௧௨௩",
    # UTF-8 whose bytes stand for characters that Digits takes for numerals: ² ³ ¹ ¼ ½ ¾.
    "bytes that look like numerals": "òóùüýþ лну 񲲲 貳 ¼½¾²³¹",
    "punctuation": "!?!?... --- *** /// ((())) [[]] {{}} <<>> #@$%^&*",
    "punctuation and words": "a.b,c;d:e!f?g-h_i(j)k[l]m{n}o\"p'q`r~s|t\\u/v+w=x<y>z",
    "punctuation and spaces": " . , ;  :   !    ?\n. \n, a . b",
    "punctuation then newlines": "end.\n\nnext!!\r\n;\n\n\n...\n",
    "symbols that are not punctuation": "$ + < = > ^ ` | ~ € £ ¥ © ® ™ ° ± × ÷ ∑ → ⇒ ∞ √",
    "punctuation of other scripts": "¿qué? ¡sí! «mot» „wort“ ‚x‘ 。、「」『』・… ؟ ، ؛ । ॥ ‐‑–—―",
    "emoji": "😀 😀😀 a😀b ❤ ❤️ ☺︎ 🎉!",
    "emoji joined": "👨‍👩‍👧‍👦 👩🏽‍💻 🏳️‍🌈 🧑🏿‍🚀",
    "emoji skin tones": "👍👍🏻👍🏼👍🏽👍🏾👍🏿 👋🏽",
    "emoji flags": "🇩🇪🇫🇷 🇯🇵 🇺 🇸 🏴󠁧󠁢󠁥󠁮󠁧󠁿 #️⃣ 1️⃣",
    "combining marks": "e\u0301 e\u0301\u0302 a\u0308\u0323o \u0301alone n\u0303o",
    "composed and not": "\u00e9 e\u0301 \u1e69 s\u0323\u0307 \u212b \u00c5 \ufb01 \uac00 \u1100\u1161",
    "many marks": "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349a\u0336\u0337l",
    "joiners": "क\u094d\u200dष क\u094d\u200cष نمی\u200cخواهم",
    "right to left marks": "abc \u200fשלום\u200e def \u202bمرحبا\u202c",
    "case that changes length": "ßẞ İı ŉ ǅ ﬀ Σσς",
    "unassigned and private": "\u0378 \ue000\uf8ff \ufffe\uffff \U000e0001 \U0010ffff \U000f0000",
    "replacement character itself": "a\ufffdb\ufffd\ufffd",
    "mathematical letters": "𝐀𝒜𝔄 ℝℂ ªº ⁿ ₂ Ωμ",
    "letter modifiers": "ʰʲʷ ˈaˌb ˤ ʻokina ᵃᵇ",
    "mixed scripts": "abcДЕЖαβγ漢字かなカナ한글العربيةעבריתहिन्दीไทย",
    "scripts and digits": "第3章 제2장 глава12 κεφ34 الفصل٥",
    "camel and snake": "camelCase snake_case SCREAMING_CASE kebab-case PascalCase HTTPServer2Go",
    "url": "https://example.org/a/b?c=d&e=f%20g#h user@example.org",
    "json": '{"key": [1, 2.5, null, true], "nested": {"a": "b\\n"}}',
    "xml": '<a href="x">text &amp; more</a><!-- c -->\n<br/>',
    "c code": "#include <cstdint>\nint main(int argc, char** argv) {\n\treturn argc > 1 ? 0 : -1;\n}\n",
    "python code": "class A(B):\n    def f(self, *a, **k):\n        return {i: i**2 for i in a}\n\n\n",
    "markdown": "# Title\n\n* item **bold** `code`\n  1. sub\n\n```py\nx=1\n```\n",
    "long word": "a" * 300 + " " + "supercalifragilisticexpialidocious" * 6,
    "long mixed word": "the" * 60 + "ing" * 40,
    "long digits": "9" * 100 + " " + "12" * 50,
    "long punctuation": "=" * 120 + "\n" + "-" * 77,
    "long white space": " " * 200 + "x" + "\n" * 40 + "y" + "\t" * 33,
    "long cjk": "漢字" * 40,
    "long emoji": "👩🏽‍💻" * 12,
    "repeated pair": "abababababababab aaaa aaaaa aaaaaa",
    "special token": "<|begin_of_text|>",
    "special tokens around text": "<|begin_of_text|>User: hi<|eot_id|>Assistant: <|end_of_text|>",
    "special tokens touching": "a<|eot_id|><|eot_id|>b<|eot_id|>",
    "special tokens and spaces": " <|eot_id|> \n<|eot_id|>\n  <|begin_of_text|>  x",
    "nearly special tokens": "<|eot_id> <|EOT_ID|> <|eot_id|<|eot_id|> <| eot_id |> <|unknown|> <|<|eot_id|>|>",
    "reserved special token": "a<|reserved_special_token_0|>b<|start_header_id|>user<|end_header_id|>\n\n",
    "names of bytes": "Ġ Ċ Ā Ł <0x0A> \\n",
}

INVALID = {
    "lone continuation": b"a\x80b",
    "lone lead": b"a\xc3 b\xe2 c\xf0",
    "cut at end, 2 of 3": b"abc\xe2\x82",
    "cut at end, 3 of 4": b"abc\xf0\x9f\x98",
    "cut in the middle": b"\xe2\x82abc\xf0\x9f\x98def\xf0\x9f.",
    "overlong": b"\xc0\x80 \xc1\xbf \xe0\x80\xaf \xf0\x80\x80\xaf",
    "surrogates": b"\xed\xa0\x80 \xed\xbf\xbf \xed\xa0\xbd\xed\xb8\x80",
    "beyond unicode": b"\xf4\x90\x80\x80 \xf5\x80\x80\x80 \xf8\x88\x80\x80\x80 \xfe\xff",
    "runs": b"\xff\xff\xff\xff \x80\x80\x80 a\xff\xffb",
    "latin-1": "Déjà vu, naïve façade".encode("latin-1"),
    "utf-16": "text".encode("utf-16"),
    "within words and digits": b"ab\xffcd 12\xff34 '\xffs \xff's",
    "beside white space": b" \xff \n\xff\n \xff\xff  ",
    "beside a special token": b"\xff<|eot_id|>\xff<|eot\xff_id|>",
}


def mixtures(count: int) -> dict[str, str]:
    """Random joins of fragments, for the meetings of classes that nobody thought of."""
    rng = random.Random(20240131)
    fragments = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "'s", "'LL", "’", "1", "23", "4567", "½"]
    fragments += ["a", "The", "été", "ДЕ", "γ", "漢", "한", "हि", "ا", "ไท", "e\u0301", "😀", "🏽", "\u200d"]
    fragments += [".", "!?", "--", "(", "_", "$", "€", "。", "\x00", "\x1c", "\u180e", "\u0085", "<|eot_id|>"]
    return {
        f"mixture {i}": "".join(rng.choices(fragments, k=rng.randint(4, 24))) for i in range(count)
    }


def cases() -> dict[str, bytes]:
    """Every text that the tokenizers are compared on, as a program reads it: bytes."""
    texts = PROSE | WRITTEN | mixtures(48)
    return {name: text.encode() for name, text in texts.items()} | {
        "invalid: " + name: text for name, text in INVALID.items()
    }
