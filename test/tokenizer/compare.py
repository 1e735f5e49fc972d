#!/usr/bin/env python3
"""Compares llmc's tokenizer with the `tokenizers` and `sentencepiece` packages.

Trains a small tokenizer of each kind on Shakespeare, adds the real ones of
../shared/models, and compares ids and decoded text on many strings: corpus
lines, a list of awkward ones, and random Unicode. llmc's side goes through the
table that lies in plan files. Ends with `N passed, N failed`.

    python3 test/tokenizer/compare.py [--tool build/bin/llmc-tokenize] [--only NAME]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(os.environ.get("LLMC_VENV", ROOT / ".venv"))
SHARED = Path(os.environ.get("LLMC_SHARED", ROOT / ".." / "shared")).resolve()
PACKAGES = ["tokenizers", "sentencepiece"]


def enter_venv():
    """Runs this script again inside the virtual environment, made if need be."""
    python = VENV / "bin" / "python"
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    have = subprocess.run([python, "-c", "import tokenizers, sentencepiece"], capture_output=True)
    if have.returncode != 0:
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    os.execv(python, [str(python), *sys.argv])


enter_venv()
import sentencepiece  # noqa: E402
from tokenizers import (  # noqa: E402
    AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]

AWKWARD = [
    "", " ", "  ", "   ", "\n", "\n\n", "\t", " \n ", "\r\n", "a", " a", "a ", "  a  ", "a  b", "a   b    c", "\ta\tb",
    "Hello, world!", "hello\nworld\n\n", "I'll we've they'd IT'S don'T 'S 'ſ", "x=1;y=2;", "1", "12", "123", "1234",
    "1234567890", "3.14159 2,000,000", "½ ² Ⅷ ٣٤ 一二三", "naïve café résumé", "nai\u0308ve cafe\u0301 re\u0301sume\u0301",
    "e\u0301\u0323 e\u0323\u0301 \u1E69 s\u0323\u0307 s\u0307\u0323", "\u0344 \u0958 \u2126 \u212B \uFB01 \uFB03",
    "한국어 각 가\u11A8 \u1100\u1161\u11A8 \u1100\u1161", "日本語のテキスト。漢字とカナ", "中文字符测试", "Ελληνικά", "Русский текст",
    "עברית", "العربية", "हिन्दी", "ไทย", "🙂", "🙂🙃", "👨‍👩‍👧‍👦 family", "🏳️‍🌈", "🇩🇪🇫🇷", "a🙂b", "e\u200Db", "a\u00A0b\u3000c\u2003d",
    "\u180E \u200B \u2028 \u2029 \u0085 \uFEFF", "\u00AD\u2060", "zero\u0000byte", "\x01\x02\x7f", "ﬁne ﬂow Ａｂｃ １２３ ｶﾞ ㎏ ①",
    "İstanbul ıI ß ẞ Σας ΌΣΟΣ", "▁", "▁▁", " ▁ ", "▁a", "a▁b", "<s>", "</s>", "<unk>", "<0x0A>", "<0x41>", "a<s>b</s>c",
    "<|endoftext|>", "Hello<|endoftext|>world", "  <|endoftext|>  ", "<|endoftext|><|endoftext|>", "<|endoftext", "<|endoftext|",
    "<|mask|>", "a <|mask|> b", "a<|mask|>b", "[word]", "a [word] b", "a[word]b", "x [word]", "KING king KinG", "foo KING, bar",
    "<left>", "a  <left>  b", "a <right>  b", "<both> <both>  <both>", " \u3000<both>\u2003 x", "Ünïcödé-<Café>-<Cafe\u0301>",
    "http://example.com/a?b=c&d=e#f", "user@example.com", "C:\\path\\to\\file.txt", "```python\nprint('hi')\n```",
    "    indented\n        more", "a\n\n\n\nb", "trailing spaces   ", "   leading", "!!!???...", "--- === ***", "$100 €50 ¥30 £20",
    "snake_case camelCase kebab-case", "don't can't won't I'm", "“quotes” ‘single’ — dash … ellipsis", "a" * 300, "ab" * 200,
    " " * 100, "\n" * 50, "0" * 64, "é" * 50, "🙂" * 20, "the " * 50, "ROMEO:\nBut, soft! what light through yonder window breaks?",
    "\u0300", "\u0300a", "a\u0300\u0301\u0302\u0303", "\U0001D400\U0001D7D8", "\U0010FFFF", "\uE000", "\uFFFD", "x\ufffdy",
    "ABC\u0345\u0300 \u0F71\u0F72\u0F74", "\u0CC6\u0CC2 \u0B47\u0B3E", "user_sym", "xuser_symy", "user_symbol user_", "<ctrl>",
]


def random_strings(rng, count):
    ranges = [(0x20, 0x7E)] * 6 + [(0x0, 0x1F), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF),
                                   (0xE00, 0xFFF), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x24FF),
                                   (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xADFF), (0xF900, 0xFAFF), (0xFB00, 0xFFEF),
                                   (0x1D400, 0x1D7FF), (0x1F300, 0x1F6FF), (0x20, 0x20), (0x20, 0x20)]
    strings = []
    for _ in range(count):
        text = ""
        for _ in range(rng.randint(1, 12)):
            low, high = rng.choice(ranges)
            text += "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 4)))
        strings.append(text)
    return strings


def corpus_strings(rng, corpus, count):
    strings = []
    for _ in range(count):
        start = rng.randrange(len(corpus) - 200)
        strings.append(corpus[start:start + rng.randint(1, 200)])
    return strings


def decomposed_characters():
    """Characters that some normal form or lowercase changes, with marks around them, many to a string.

    Those of Unicode 9 and before: the reference's tables are older than ours.
    """
    old = set()
    for line in Path("/usr/share/unicode/DerivedAge.txt").read_text().splitlines():
        span, _, age = line.partition("#")[0].partition(";")
        if age and int(age.split(".")[0]) <= 9:
            first, _, last = span.strip().partition("..")
            old.update(range(int(first, 16), int(last or first, 16) + 1))
    changed = [c for c in map(chr, range(0x80, 0x110000))
               if ord(c) in old and not 0xD800 <= ord(c) <= 0xDFFF and not 0xAC00 <= ord(c) < 0xD7A4
               and (unicodedata.normalize("NFKD", c) != c or c.lower() != c or unicodedata.combining(c))]
    changed += [chr(c) for c in range(0xAC00, 0xD7A4, 37)]
    rng = random.Random(3)
    marks = [c for c in changed if unicodedata.combining(c)]
    pieces = [c + (rng.choice(marks) if rng.random() < 0.3 else "") for c in changed]
    shuffled = rng.sample(pieces, len(pieces))
    apart = [unicodedata.normalize("NFD", "".join(shuffled[i:i + 40])) for i in range(0, len(shuffled), 40)]
    return ["".join(pieces[i:i + 40]) for i in range(0, len(pieces), 40)] + apart


# ---- tokenizers of each kind ------------------------------------------------

def train_bpe(tokenizer, corpus, size=800, special=(), **options):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False, **options)
    tokenizer.train_from_iterator(corpus.splitlines(keepends=True), trainer)
    return tokenizer


def byte_level(corpus, split, normalizer=None, prefix=False, decoder=None, size=800, **bpe):
    tokenizer = Tokenizer(models.BPE(**bpe))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoder or decoders.ByteLevel()
    return train_bpe(tokenizer, corpus, size, ["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def split_then_bytes(*patterns):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def add_odd_tokens(tokenizer):
    """Added tokens with every flag."""
    tokenizer.add_special_tokens([AddedToken("<|mask|>", lstrip=True, special=True), AddedToken("<s>", special=True)])
    tokenizer.add_tokens([
        AddedToken("[word]", single_word=True), AddedToken("<left>", lstrip=True, normalized=False),
        AddedToken("<right>", rstrip=True), AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("KING", normalized=True, single_word=True), AddedToken("<Café>", normalized=True), AddedToken("    ", normalized=True)])
    return tokenizer


def with_byte_fallback(tokenizer, **changes):
    """The tokenizer with the 256 byte tokens put into its vocabulary."""
    data = json.loads(tokenizer.to_str())
    vocab = data["model"]["vocab"]
    for byte in range(256):
        vocab.setdefault(f"<0x{byte:02X}>", len(vocab))
    data["model"]["byte_fallback"] = True
    data["model"].update(changes)
    return Tokenizer.from_str(json.dumps(data))


def llama_decoder():
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def bos_template(tokenizer, bos):
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))])
    return tokenizer


def hugging_face_kinds(corpus, charsmap):
    """Yields (name, function that makes the tokenizer)."""
    def gpt2():
        return add_odd_tokens(byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=False)))

    def gpt2_prefix():
        return byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=True))

    def llama3():
        tokenizer = byte_level(corpus, split_then_bytes(LLAMA3), ignore_merges=True)
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))])])
        return tokenizer

    def qwen():
        return add_odd_tokens(byte_level(corpus, split_then_bytes(QWEN), normalizers.NFC()))

    def o200k():
        return byte_level(corpus, split_then_bytes(O200K))

    def deepseek():
        return byte_level(corpus, split_then_bytes(*DEEPSEEK))

    def digits():
        return byte_level(corpus, pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("contiguous"),
             pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]))

    def byte_normalizer():
        return byte_level(corpus, pre_tokenizers.Split(Regex("Ġ?[^Ġ]+|Ġ"), "isolated"), normalizers.ByteLevel())

    def llama2():
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = llama_decoder()
        # Lines are too long for words; the pre-tokenizer serves training only.
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        train_bpe(tokenizer, corpus, special=["<unk>", "<s>", "</s>"])
        tokenizer = with_byte_fallback(tokenizer)
        data = json.loads(tokenizer.to_str())
        data["pre_tokenizer"] = None
        return bos_template(Tokenizer.from_str(json.dumps(data)), "<s>")

    def llama2_metaspace():
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
        train_bpe(tokenizer, corpus, special=["<unk>", "<s>", "</s>"])
        tokenizer = with_byte_fallback(tokenizer)
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        tokenizer.decoder = llama_decoder()
        return add_odd_tokens(bos_template(tokenizer, "<s>"))

    def gemma():
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        train_bpe(tokenizer, corpus[:20000], special=["<unk>", "<s>", "</s>"])
        return with_byte_fallback(tokenizer)

    def metaspace(scheme, fuse):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
        return train_bpe(tokenizer, corpus, special=["<unk>"])

    def words():
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix="##"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip(),
                                                     normalizers.Replace(Regex(r"\s{2,}"), " ")])
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        return train_bpe(tokenizer, corpus, special=["<unk>"], end_of_word_suffix="</w>", continuing_subword_prefix="##")

    def bert_words():
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.NFD()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer = train_bpe(tokenizer, corpus, special=["<unk>", "<s>", "</s>"])
        tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 1))
        return tokenizer

    def behaviours(behaviour):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.NFKD()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(r"[aeiou\s]"), behaviour), pre_tokenizers.Split("th", behaviour, invert=True),
             pre_tokenizers.CharDelimiterSplit(";"), pre_tokenizers.WhitespaceSplit()])
        return train_bpe(tokenizer, corpus[:100000], 300, special=["<unk>"])

    def unigram(normalizer, pre_tokenizer, decoder, fallback=False):
        tokenizer = Tokenizer(models.Unigram())
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.decoder = decoder
        trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False)
        tokenizer.train_from_iterator(corpus[:300000].splitlines(keepends=True), trainer)
        if fallback:
            data = json.loads(tokenizer.to_str())
            data["model"]["vocab"] += [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
            data["model"]["byte_fallback"] = True
            tokenizer = Tokenizer.from_str(json.dumps(data))
        return tokenizer

    def forms(normalizer):
        return byte_level(corpus[:50000], pre_tokenizers.ByteLevel(add_prefix_space=False), normalizer, size=300)

    for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase"]:
        yield f"form-{form}", lambda form=form: forms(getattr(normalizers, form)())
    yield "gpt2", gpt2
    yield "gpt2-prefix-space", gpt2_prefix
    yield "llama3", llama3
    yield "qwen", qwen
    yield "o200k", o200k
    yield "deepseek", deepseek
    yield "digits-punctuation", digits
    yield "byte-level-normalizer", byte_normalizer
    yield "llama2", llama2
    yield "llama2-metaspace-first", llama2_metaspace
    yield "gemma", gemma
    yield "metaspace-always", lambda: metaspace("always", True)
    yield "metaspace-never", lambda: metaspace("never", False)
    yield "words", words
    yield "bert-words", bert_words
    for behaviour in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
        yield f"split-{behaviour}", lambda behaviour=behaviour: behaviours(behaviour)
    yield "unigram-t5", lambda: unigram(
        normalizers.Precompiled(charsmap),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), decoders.Metaspace())
    yield "unigram-bytes", lambda: unigram(normalizers.NFKC(), pre_tokenizers.Metaspace(split=False), llama_decoder(), True)


def sentencepiece_kinds():
    yield "sp-bpe-llama", dict(model_type="bpe", vocab_size=900, byte_fallback=True, normalization_rule_name="identity",
                               remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True)
    yield "sp-bpe-nfkc", dict(model_type="bpe", vocab_size=600, normalization_rule_name="nmt_nfkc")
    yield "sp-bpe-symbols", dict(model_type="bpe", vocab_size=700, byte_fallback=True, normalization_rule_name="nfkc_cf",
                                 user_defined_symbols=["user_sym", "user_symbol", "<|mask|>", "  ", "▁▁▁"], control_symbols=["<ctrl>"],
                                 bos_id=-1, pad_id=3)
    yield "sp-bpe-no-prefix", dict(model_type="bpe", vocab_size=500, add_dummy_prefix=False, normalization_rule_name="identity",
                                   remove_extra_whitespaces=False)
    yield "sp-unigram", dict(model_type="unigram", vocab_size=600, normalization_rule_name="nmt_nfkc")
    yield "sp-unigram-bytes", dict(model_type="unigram", vocab_size=900, byte_fallback=True, normalization_rule_name="nmt_nfkc_cf",
                                   user_defined_symbols=["user_sym", "user_symbol", "KING", "the"])
    yield "sp-unigram-plain", dict(model_type="unigram", vocab_size=500, add_dummy_prefix=False, remove_extra_whitespaces=False,
                                   normalization_rule_name="nfkc", unk_surface="<?>")


# ---- comparison -------------------------------------------------------------

class Counter:
    passed = failed = 0
    shown = 0

    def check(self, name, what, given, expected, found):
        if expected == found:
            self.passed += 1
            return
        self.failed += 1
        self.shown += 1
        if self.shown <= 40:
            print(f"FAIL {name} {what} of {given!r}\n  expected {expected!r}\n  found    {found!r}")


def ask(tool, path, requests):
    text = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run([tool, str(path)], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{tool} {path}: exit {done.returncode}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def id_sequences(rng, encoded, size):
    """Ids as they come from text, pieces of those, and any ids at all."""
    sequences = [ids for ids in encoded if ids]
    cut = [ids[rng.randrange(len(ids)):] for ids in sequences]
    anything = [[rng.randrange(size) for _ in range(rng.randint(1, 10))] for _ in range(150)]
    return sequences + cut + anything


def compare(counter, tool, name, path, strings, rng, size, encode, decode, whole_runs=False):
    """`encode(text, special)` and `decode(ids, skip)` are the reference's.

    `whole_runs`: the decoder replaces runs of bytes that are no UTF-8 as a
    whole; a stream cannot know them before they end.
    """
    requests = [{"text": text, "special": special} for text in strings for special in (False, True)]
    answers = ask(tool, path, requests)
    encoded = []
    for request, answer in zip(requests, answers, strict=True):
        expected = encode(request["text"], request["special"])
        counter.check(name, "ids", request["text"], expected, answer["ids"])
        if not request["special"]:
            encoded.append(expected)
    sequences = id_sequences(rng, encoded, size)
    skips = [True, False] if decode(sequences[0], False) is not None else [True]
    requests = [{"ids": ids, "skip": skip} for ids in sequences for skip in skips]
    for request, answer in zip(requests, ask(tool, path, requests), strict=True):
        expected = decode(request["ids"], request["skip"])
        counter.check(name, "text", request["ids"], expected, answer["text"])
        if not whole_runs or "\ufffd" not in expected:
            counter.check(name, "stream", request["ids"], expected, "".join(answer["stream"]))


def compare_hugging_face(counter, tool, name, path, strings, rng):
    reference = Tokenizer.from_file(str(path))
    compare(counter, tool, name, path, strings, rng, reference.get_vocab_size(),
            lambda text, special: reference.encode(text, add_special_tokens=special).ids,
            lambda ids, skip: reference.decode(ids, skip_special_tokens=skip), '"ByteFallback"' in path.read_text())
    info = ask(tool, path, [{"info": True}])[0]
    counter.check(name, "size", path.name, max(reference.get_vocab(True).values()) + 1, info["size"])


def compare_sentencepiece(counter, tool, name, path, strings, rng):
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    bos = [reference.bos_id()] if reference.bos_id() >= 0 else []
    compare(counter, tool, name, path, strings, rng, reference.get_piece_size(),
            lambda text, special: (bos if special else []) + reference.encode(text),
            lambda ids, skip: reference.decode(ids) if skip else None)
    info = ask(tool, path, [{"info": True}])[0]
    counter.check(name, "size", path.name, reference.get_piece_size(), info["size"])
    counter.check(name, "begin", path.name, reference.bos_id(), info["bos"])
    counter.check(name, "end", path.name, [reference.eos_id()] if reference.eos_id() >= 0 else [], info["eos"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", default=str(ROOT / "build" / "bin" / "llmc-tokenize"))
    parser.add_argument("--only", help="only the tokenizers with this in their name")
    parser.add_argument("--keep", help="folder for the trained tokenizers")
    options = parser.parse_args()
    if not Path(options.tool).exists():
        sys.exit(f"{options.tool} is not built")
    corpus_file = SHARED / "data" / "text" / "tinyshakespeare.txt"
    if not corpus_file.exists():
        print(f"skip: {corpus_file} is not there")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    corpus = corpus_file.read_text()
    rng = random.Random(7)
    strings = AWKWARD + corpus_strings(rng, corpus, 120) + random_strings(rng, 300)
    counter = Counter()
    wanted = lambda name: not options.only or options.only in name  # noqa: E731

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch)
        folder.mkdir(parents=True, exist_ok=True)

        def run(name, make, comparison):
            if not wanted(name):
                return
            before = counter.passed, counter.failed
            counter.shown = 0
            try:
                texts = decomposed_characters() if name.startswith("form-") else strings
                comparison(counter, options.tool, name, make(), texts, random.Random(11))
            except Exception as error:  # a refusal or a crash is a failure too
                counter.check(name, "run", type(error).__name__, "", str(error))
            print(f"{name}: {counter.passed - before[0]} passed, {counter.failed - before[1]} failed", flush=True)

        def train_sentencepiece(name, settings):
            prefix = folder / name
            sentencepiece.SentencePieceTrainer.train(input=str(corpus_file), model_prefix=str(prefix), minloglevel=2,
                                                     character_coverage=0.9999, num_threads=1, **settings)
            return prefix.with_suffix(".model")

        def save(name, tokenizer):
            path = folder / name / "tokenizer.json"
            path.parent.mkdir(exist_ok=True)
            tokenizer.save(str(path))
            return path

        for name, settings in sentencepiece_kinds():
            run(name, lambda: train_sentencepiece(name, settings), compare_sentencepiece)
        charsmap_model = folder / "sp-unigram.model"
        if not charsmap_model.exists():
            train_sentencepiece("sp-unigram", dict(sentencepiece_kinds())["sp-unigram"])
        for name, make in hugging_face_kinds(corpus, charsmap_of(charsmap_model)):
            run(name, lambda: save(name, make()), compare_hugging_face)
        run("stories260K", lambda: SHARED / "models" / "stories260K" / "tok512.model", compare_sentencepiece)
        run("genai-tiny-gpt2", lambda: SHARED / "models" / "genai-tiny-gpt2" / "tokenizer.json", compare_hugging_face)
    print(f"{counter.passed} passed, {counter.failed} failed")
    return 1 if counter.failed or not counter.passed else 0


def charsmap_of(path):
    """The precompiled map (field 2 of field 3) of a sentencepiece model."""
    def fields(data):
        at = 0

        def varint():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value
        while at < len(data):
            tag = varint()
            if tag & 7 == 2:
                size = varint()
                yield tag >> 3, data[at:at + size]
                at += size
            elif tag & 7 == 0:
                yield tag >> 3, varint()
            else:
                at += 4 if tag & 7 == 5 else 8
    normalizer = next(value for number, value in fields(path.read_bytes()) if number == 3)
    return next(value for number, value in fields(normalizer) if number == 2)


if __name__ == "__main__":
    sys.exit(main())
