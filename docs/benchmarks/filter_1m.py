"""Import, filters and look-ups on a synthetic catalogue of 1,000,000 films.

    python docs/benchmarks/filter_1m.py [--items 1000000] [--folder /tmp/filter_1m] [--repeat 20]

Writes a seeded CSV file, imports it as ``convrec data import`` does, and prints a Markdown table of times.
"""

from __future__ import annotations

import argparse
import csv
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from convrec.tools.catalogue import Catalogue
from convrec.tools.importing import ImportRequest, import_catalogue
from convrec.tools.predicates import AllOf, AnyOf, Expr, Not, Op, Test

SEED = 20261121
GENRES = [f"Genre {n}" for n in range(22)]
LANGUAGES = [f"Language {n}" for n in range(60)]
COUNTRIES = [f"Country {n}" for n in range(90)]
PEOPLE = 200_000
WORDS = 40_000
CHUNK = 10_000


def write_csv(file: Path, items: int) -> None:
    """Skewed values, as in real catalogues: value k of a list is drawn with a weight of about 1 / (k + 1)."""
    rng = np.random.default_rng(SEED)

    def skewed(n: int, size: tuple[int, int]) -> np.ndarray:
        return np.floor(np.exp(rng.random(size) * np.log(n + 1)) - 1).astype(int)

    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "title", "year", "runtime", "genres", "directors", "cast", "languages", "countries"])
        for start in range(0, items, CHUNK):
            n = min(CHUNK, items - start)
            words = rng.integers(0, WORDS, (n, 3))
            year, runtime = rng.integers(1920, 2027, n), rng.normal(105, 25, n).clip(5, 400).astype(int)
            genres, languages = skewed(len(GENRES), (n, 3)), skewed(len(LANGUAGES), (n, 2))
            countries, people = skewed(len(COUNTRIES), (n, 2)), skewed(PEOPLE, (n, 11))
            for i in range(n):
                writer.writerow(
                    [
                        f"x{start + i:07d}",
                        f"The w{words[i, 0]} w{words[i, 1]}: w{words[i, 2]}",
                        year[i],
                        runtime[i] if runtime[i] % 13 else "",
                        "|".join(GENRES[g] for g in genres[i]),
                        f"Person {people[i, 0]}",
                        "|".join(f"Person {p}" for p in people[i, 1:]),
                        "|".join(LANGUAGES[k] for k in languages[i]),
                        "|".join(COUNTRIES[k] for k in countries[i]),
                    ]
                )


def any_of(field: str, *values: str) -> Test:
    return Test(field, Op.ANY, values)


FILTERS: list[tuple[str, Expr]] = [
    (
        "genre AND language AND runtime <= 120 AND NOT genre",
        AllOf(
            (
                any_of("genres", "Genre 3"),
                any_of("languages", "Language 2"),
                Test("runtime", Op.LE, (120,)),
                Not(any_of("genres", "Genre 5")),
            )
        ),
    ),
    (
        "the same with the commonest genre and language",
        AllOf(
            (
                any_of("genres", "Genre 0"),
                any_of("languages", "Language 0"),
                Test("runtime", Op.LE, (120,)),
                Not(any_of("genres", "Genre 5")),
            )
        ),
    ),
    ("one genre", any_of("genres", "Genre 3")),
    ("one of three genres", any_of("genres", "Genre 0", "Genre 1", "Genre 2")),
    ("both of two genres", Test("genres", Op.ALL, ("Genre 0", "Genre 4"))),
    ("genre OR language", AnyOf((any_of("genres", "Genre 3"), any_of("languages", "Language 2")))),
    ("genre OR runtime <= 90", AnyOf((any_of("genres", "Genre 3"), Test("runtime", Op.LE, (90,))))),
    ("one actor", any_of("cast", "Person 777")),
    ("NOT one actor", Not(any_of("cast", "Person 777"))),
    ("a decade", AllOf((Test("year", Op.GE, (1990,)), Test("year", Op.LE, (1999,))))),
    ("runtime missing", Test("runtime", Op.MISSING)),
]


def measure(run: Callable[[], object], repeat: int) -> str:
    """First call, median and slowest of the others, in milliseconds."""
    times = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return f"{times[0]:.1f} | {statistics.median(times[1:]):.1f} | {max(times[1:]):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/filter_1m"))  # noqa: S108
    parser.add_argument("--repeat", type=int, default=20)
    options = parser.parse_args()
    say = sys.stdout.write
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / f"films_{options.items}.csv"
    if not file.exists():
        write_csv(file, options.items)
    folder = options.folder / "catalogues" / f"bench{options.items}"
    if not (folder / "catalogue.duckdb").exists():
        start = time.perf_counter()
        report = import_catalogue(ImportRequest(file, folder.name), folder.parent)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        say(
            f"import: {report.imported:,} rows, {file.stat().st_size / 1e6:.0f} MB CSV in {seconds:.0f} s, "
            f"peak {peak:.0f} MB of memory\n\n"
        )
    start = time.perf_counter()
    catalogue = Catalogue.open(folder)
    say(f"open: {(time.perf_counter() - start) * 1000:.0f} ms\n\n")
    say("| query | rows | first, ms | median, ms | slowest, ms |\n| --- | ---: | ---: | ---: | ---: |\n")
    for label, expr in FILTERS:
        found = len(catalogue.rows(expr))
        times = measure(lambda expr=expr: catalogue.rows(expr), options.repeat)  # type: ignore[misc]
        say(f"| {label} | {found:,} | {times} |\n")
    rng = np.random.default_rng(SEED)
    rows = rng.integers(0, catalogue.size, 50).tolist()
    titles = [item.title for item in catalogue.items(rows)]
    norms = [f"w{a} w{b}" for a, b in rng.integers(0, WORDS, (150, 2))] + [t.lower().replace(":", "") for t in titles]
    hits = len(catalogue.find_names(norms))
    times = measure(lambda: catalogue.find_names(norms), options.repeat)
    say(f"| find_names, {len(norms)} names | {hits:,} | {times} |\n")
    say(f"| items, 50 rows | 50 | {measure(lambda: catalogue.items(rows), options.repeat)} |\n")
    say(f"| item, 1 row | 1 | {measure(lambda: catalogue.item(rows[0]), options.repeat)} |\n")


if __name__ == "__main__":
    main()
