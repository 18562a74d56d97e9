"""Constraints with the wordings users have for them. Facts of English and of the film schema; no catalogue is read."""

from __future__ import annotations

from collections.abc import Sequence

from convrec.eval.scenarios.model import Constraint, Reveal, Test

GENRE_NOUNS: dict[str, tuple[str, str]] = {
    "Action": ("an action film", "action films"),
    "Adventure": ("an adventure film", "adventure films"),
    "Animation": ("an animated film", "animated films"),
    "Biography": ("a biopic", "biopics"),
    "Comedy": ("a comedy", "comedies"),
    "Crime": ("a crime film", "crime films"),
    "Documentary": ("a documentary", "documentaries"),
    "Drama": ("a drama", "dramas"),
    "Fantasy": ("a fantasy film", "fantasy films"),
    "Horror": ("a horror film", "horror films"),
    "Musical": ("a musical", "musicals"),
    "Mystery": ("a mystery", "mysteries"),
    "Romance": ("a romance", "romances"),
    "Sci-Fi": ("a sci-fi film", "sci-fi films"),
    "Sport": ("a sports film", "sports films"),
    "Thriller": ("a thriller", "thrillers"),
    "War": ("a war film", "war films"),
    "Western": ("a western", "westerns"),
}
"""Genre of the demo catalogue: (one, several)."""

ORIGINS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "French": (("France",), ("French",)),
    "German": (("Germany", "West Germany"), ("German",)),
    "Italian": (("Italy",), ("Italian",)),
    "Spanish": (("Spain",), ("Spanish",)),
    "Japanese": (("Japan",), ("Japanese",)),
    "Korean": (("South Korea",), ("Korean",)),
    "Swedish": (("Sweden",), ("Swedish",)),
    "Danish": (("Denmark",), ("Danish",)),
    "British": (("United Kingdom",), ()),
    "Australian": (("Australia",), ()),
}
"""Demonym: (countries, languages); a film of one of them counts."""


def any_of(field: str, *values: str) -> tuple[tuple[Test, ...], ...]:
    return ((Test(field=field, any=values),),)


def wish(
    name: str,
    where: tuple[tuple[Test, ...], ...],
    say: Sequence[str],
    *,
    reveal: Reveal = "volunteer",
    firm: bool = False,
) -> Constraint:
    return Constraint(id=name, reveal=reveal, say=() if reveal == "hidden" else tuple(say), any_of=where, firm=firm)


def genre(value: str, reveal: Reveal = "volunteer", *, name: str = "genre") -> Constraint:
    one, several = GENRE_NOUNS[value]
    return wish(name, any_of("genres", value), (one, several, f"only {several}"), reveal=reveal)


def not_genre(value: str, *, name: str = "no-genre") -> Constraint:
    several = GENRE_NOUNS[value][1]
    say = (f"no {several}", f"not {GENRE_NOUNS[value][0]}", f"please no {several}")
    return wish(name, ((Test(field="genres", none=(value,)),),), say, firm=True)


def origin(demonym: str, reveal: Reveal = "volunteer") -> Constraint:
    countries, languages = ORIGINS[demonym]
    groups = any_of("countries", *countries) + (any_of("languages", *languages) if languages else ())
    a = "an" if demonym[0] in "AEIOU" else "a"
    return wish("origin", groups, (f"{a} {demonym} film", demonym, f"{a} {demonym} one"), reveal=reveal)


def decade(first: int, reveal: Reveal = "volunteer", *, name: str = "decade") -> Constraint:
    say = [f"from the {first}s", f"made between {first} and {first + 9}"]
    if 1930 <= first <= 1990:
        say.append(f"from the {first % 100}s")
    return wish(name, ((Test(field="year", min=first, max=first + 9),),), say, reveal=reveal)


def since(year: int, *, name: str = "newer") -> Constraint:
    return wish(name, ((Test(field="year", min=year),),), (f"from {year} or later", f"not older than {year}"))


def before(year: int, *, name: str = "older") -> Constraint:
    """ "Before 1970": 1969 and earlier."""
    return wish(name, ((Test(field="year", max=year - 1),),), (f"from before {year}", f"made before {year}"))


def at_most(minutes: int, reveal: Reveal = "volunteer", *, name: str = "short") -> Constraint:
    """ "Under 100 minutes": a film of exactly 100 passes, for people say it either way."""
    say = [f"under {minutes} minutes", f"no longer than {minutes} minutes", f"at most {minutes} minutes"]
    if minutes == 120:
        say.append("under two hours")
    if minutes == 90:
        say.append("under an hour and a half")
    return wish(name, ((Test(field="runtime", max=minutes),),), say, reveal=reveal)


def at_least(minutes: int, *, name: str = "long") -> Constraint:
    say = [f"over {minutes} minutes", f"at least {minutes} minutes long", f"longer than {minutes} minutes"]
    return wish(name, ((Test(field="runtime", min=minutes),),), say)


def score(percent: int, reveal: Reveal = "volunteer") -> Constraint:
    say = (f"with a critics' score of at least {percent}%", f"at least {percent}% from the critics")
    return wish("score", ((Test(field="critics_score", min=percent),),), say, reveal=reveal)


def acclaimed() -> Constraint:
    """ "Highly rated" is taken as a score of 70 or more: a laxer bound than most would set."""
    say = ("highly rated", "critically acclaimed", "with great reviews")
    return wish("acclaimed", ((Test(field="critics_score", min=70),),), say)


def rated(*values: str) -> Constraint:
    worst = values[-1]
    say = (f"rated {worst} or lower", f"rated {worst} or milder") if len(values) > 1 else (f"rated {worst}",)
    return wish("certificate", any_of("certificate", *values), say)


def directed_by(person: str) -> Constraint:
    say = (f"directed by {person}", f"by {person}", f"by the director {person}")
    return wish("director", any_of("directors", person) + any_of("writers", person), say)


def starring(person: str) -> Constraint:
    return wish("actor", any_of("cast", person), (f"with {person}", f"starring {person}", f"with {person} in it"))


def not_with(person: str) -> Constraint:
    none = tuple(Test(field=field, none=(person,)) for field in ("cast", "directors"))
    return wish("no-person", (none,), (f"nothing with {person}", f"without {person}", f"not with {person}"), firm=True)


def for_children() -> Constraint:
    """Rated G or PG; without a rating, a family or animated film."""
    unrated = (Test(field="certificate", missing=True), Test(field="genres", any=("Family", "Animation")))
    say = ("to watch with my kids", "suitable for children", "for a film night with the kids", "kid-friendly")
    return wish("children", (*any_of("certificate", "G", "PG"), unrated), say, firm=True)


def like(title: str, genres: Sequence[str]) -> Constraint:
    """Likeness, as far as a record shows it: most of the list shares a genre with the film named."""
    say = (f"something like {title}", f"a film similar to {title}", f"in the vein of {title}")
    return Constraint(id="like", say=say, any_of=any_of("genres", *genres), share=0.6)


def any_english() -> Constraint:
    return wish("english", any_of("languages", "English"), ("in English", "without subtitles"))
