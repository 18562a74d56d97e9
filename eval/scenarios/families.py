"""The families of scenarios: each draws one draft, or None when the draw does not work out."""

from __future__ import annotations

from convrec.eval.scenarios import phrases as p
from convrec.eval.scenarios.generate import ASK, Draft, Maker, Source
from convrec.eval.scenarios.model import Mark, Turn

COMMON = ("Drama", "Comedy", "Romance", "Action", "Crime", "Thriller", "Horror", "Sci-Fi", "Fantasy", "Documentary")
DECADES = (1940, 1950, 1960, 1970, 1980, 1990, 2000)
SEEN_IT = (
    "I've already seen {item1}. What else?",
    "Seen {item1} already. Another one?",
    "I have already seen the first one. What else?",
)
NOT_IT = ("I didn't like {item1}. Something else, please.", "Not {item1}, I hated it. What else is there?")
TELL_ME = (
    "I want a film: {wishes}. If there is nothing like that, just say so.",
    "I want a film: {wishes}. Tell me if you have nothing like that.",
    *ASK[:2],
)


def _noun(genre: str) -> str:
    return p.GENRE_NOUNS[genre][1]


def simple(s: Source) -> Draft:
    genre, demonym = s.rng.choice(COMMON), s.rng.choice(sorted(p.ORIGINS))
    wishes = [p.genre(genre), p.origin(demonym)]
    return Draft(f"{demonym} {_noun(genre)}", wishes, [Turn(text=ASK, say=("genre", "origin"))])


def people(s: Source) -> Draft | None:
    genre = s.rng.choice(COMMON[:6])
    director = s.rng.random() < 0.5
    person = s.rng.choice(s.people["directors" if director else "cast"])
    who = p.directed_by(person) if director else p.starring(person)
    turn = Turn(text=ASK, say=("genre", who.id))
    return Draft(f"{_noun(genre)} {'by' if director else 'with'} {person}", [p.genre(genre), who], [turn], least=6)


def decades(s: Source) -> Draft:
    genre, first = s.rng.choice(COMMON), s.rng.choice(DECADES)
    turn = Turn(text=ASK, say=("genre", "decade"))
    return Draft(f"{_noun(genre)} from the {first}s", [p.genre(genre), p.decade(first)], [turn])


def runtime(s: Source) -> Draft:
    genre = s.rng.choice(COMMON)
    long = s.rng.random() < 0.4
    minutes = s.rng.choice((120, 150, 180) if long else (80, 90, 100, 110))
    length = p.at_least(minutes) if long else p.at_most(minutes)
    what = f"{_noun(genre)} of {'at least' if long else 'at most'} {minutes} minutes"
    return Draft(what, [p.genre(genre), length], [Turn(text=ASK, say=("genre", length.id))])


def rating(s: Source) -> Draft:
    genre = s.rng.choice(COMMON)
    kinds = (
        p.score(s.rng.choice((70, 80, 90))),
        p.acclaimed(),
        p.rated("G", "PG", "PG-13"),
        p.rated("G", "PG"),
        p.rated("R"),
    )
    mark = s.rng.choice(kinds)
    return Draft(f"{_noun(genre)}, {mark.say[0]}", [p.genre(genre), mark], [Turn(text=ASK, say=("genre", mark.id))])


def negation(s: Source) -> Draft:
    genre, other = s.rng.sample(COMMON[:9], 2)
    if s.rng.random() < 0.4:
        person = s.rng.choice(s.people["cast"])
        if len(s.fitting(p.genre(genre), p.starring(person))) < 3:
            return negation(s)
        wishes = [p.genre(genre), p.not_with(person)]
        return Draft(
            f"{_noun(genre)} without {person}", wishes, [Turn(text=ASK, say=("genre", "no-person"))], most=9_000
        )
    wishes = [p.genre(genre), p.not_genre(other)]
    return Draft(f"{_noun(genre)}, no {_noun(other)}", wishes, [Turn(text=ASK, say=("genre", "no-genre"))], most=9_000)


def combined(s: Source) -> Draft:
    genre, demonym, other = (
        s.rng.choice(COMMON),
        s.rng.choice(sorted(p.ORIGINS)),
        s.rng.choice(("Horror", "Musical", "War")),
    )
    year, minutes = s.rng.choice((1960, 1980, 1990, 2000)), s.rng.choice((100, 110, 120))
    if genre == other:
        return combined(s)
    wishes = [p.genre(genre), p.origin(demonym), p.since(year), p.at_most(minutes), p.not_genre(other)]
    turn = Turn(text=ASK, say=tuple(w.id for w in wishes), split=True)
    return Draft(f"{demonym} {_noun(genre)} since {year}, at most {minutes} minutes, no {_noun(other)}", wishes, [turn])


def needle(s: Source) -> Draft:
    """One to three items fit, and only they may be shown."""
    genre, demonym, first = s.rng.choice(sorted(p.GENRE_NOUNS)), s.rng.choice(sorted(p.ORIGINS)), s.rng.choice(DECADES)
    wishes = [p.genre(genre), p.origin(demonym), p.decade(first)]
    turn = Turn(text=ASK, say=("genre", "origin", "decade"))
    return Draft(f"{demonym} {_noun(genre)} from the {first}s, of which there are few", wishes, [turn], least=1, most=3)


def seen(s: Source) -> Draft | None:
    genre, first = s.rng.choice(COMMON[:8]), s.rng.choice(DECADES[3:])
    wishes = [p.genre(genre), p.decade(first)]
    named = s.known(s.fitting(*wishes), 2)
    if len(named) < 2:
        return None
    titles = " and ".join(item.title for item in named)
    opening = (
        f"I have already seen {titles}. I want a film: {{wishes}}.",
        f"I want a film: {{wishes}}. I've seen {titles} already.",
    )
    turns = [
        Turn(text=opening, say=("genre", "decade"), named=tuple(item.id for item in named)),
        Turn(text=SEEN_IT, mark=(Mark(place=1, how="seen"),)),
        Turn(text=("Anything else?", "Show me more, please.")),
    ]
    return Draft(
        f"{_noun(genre)} from the {first}s; has seen {titles}", wishes, turns, ("availability", "seen"), least=25
    )


def rejected(s: Source) -> Draft:
    genre, year = s.rng.choice(COMMON[:8]), s.rng.choice((1980, 1990, 2000))
    turns = [
        Turn(text=ASK, say=("genre", "newer")),
        Turn(text=NOT_IT, mark=(Mark(place=1, how="rejected"),)),
        Turn(text=("The second one is not for me either. What else?",), mark=(Mark(place=2, how="rejected"),)),
    ]
    wishes = [p.genre(genre), p.since(year)]
    return Draft(
        f"{_noun(genre)} since {year}; rejects two", wishes, turns, ("availability", "excluded"), least=40, most=5_000
    )


def changed_mind(s: Source) -> Draft:
    genre, (one, two) = s.rng.choice(COMMON[:8]), s.rng.sample(DECADES[2:], 2)
    if s.rng.random() < 0.5:
        wishes = [p.genre(genre), p.decade(one, name="first"), p.decade(two, name="then")]
        change = ("Actually, I'd rather have something {wishes}.", "Hmm, on second thought: {wishes} instead.")
        what = f"{_noun(genre)}, first from the {one}s, then from the {two}s"
        return Draft(
            what, wishes, [Turn(text=ASK, say=("genre", "first")), Turn(text=change, say=("then",), drop=("first",))]
        )
    other = s.rng.choice([g for g in COMMON[:8] if g != genre])
    wishes = [p.decade(one), p.genre(genre, name="first"), p.genre(other, name="then")]
    change = (
        f"Actually no {_noun(genre)}. Rather {{wishes}}, still from the {one}s.",
        f"Not {_noun(genre)} after all: {{wishes}}, also from the {one}s.",
    )
    turns = [Turn(text=ASK, say=("decade", "first")), Turn(text=change, say=("then",), drop=("first",))]
    return Draft(f"from the {one}s: first {_noun(genre)}, then {_noun(other)}", wishes, turns)


def relaxed(s: Source) -> Draft:
    """Nothing fits; numbers may be let go openly, or the reply says that nothing fits."""
    genre, demonym, first = s.rng.choice(sorted(p.GENRE_NOUNS)), s.rng.choice(sorted(p.ORIGINS)), s.rng.choice(DECADES)
    minutes = s.rng.choice((80, 90, 100))
    wishes = [p.genre(genre), p.origin(demonym), p.decade(first), p.at_most(minutes)]
    if not s.fitting(*wishes[:2]) or s.fitting(*wishes):
        return relaxed(s)
    turn = Turn(text=ASK, say=tuple(w.id for w in wishes), expect="nothing")
    what = f"{demonym} {_noun(genre)} from the {first}s of at most {minutes} minutes: none"
    return Draft(what, wishes, [turn], ("availability", "nothing_fits"))


def nothing(s: Source) -> Draft | None:
    """Nothing fits and what stands in the way is a denial: it may not be let go, the reply must say so."""
    person = s.rng.choice(s.people["directors"])
    films = s.fitting(p.directed_by(person))
    common = [g for g in sorted(p.GENRE_NOUNS) if films and all(g in film.tags("genres") for film in films)]
    if not common:
        return None
    wishes = [p.directed_by(person).model_copy(update={"firm": True}), p.not_genre(common[0])]
    turn = Turn(text=TELL_ME, say=("director", "no-genre"), expect="nothing")
    what = f"a film by {person}, no {_noun(common[0])}: all are"
    return Draft(what, wishes, [turn], ("availability", "nothing_fits", "excluded"))


def children(s: Source) -> Draft:
    genre = s.rng.choice(("Comedy", "Adventure", "Fantasy", "Animation", "Musical", "Sci-Fi"))
    wishes = [p.for_children(), p.genre(genre)]
    if s.rng.random() < 0.5:
        other = s.rng.choice([g for g in ("Musical", "War", "Romance", "Animation") if g != genre])
        text = (
            f"We are a group: my sister and me, and the children. I'd like {{wishes}}. And no {_noun(other)}, please.",
        )
        no = p.not_genre(other)
        said = Turn(text=text, say=("children", "genre"))
        also = Turn(text=("{wishes}.", "Remember: {wishes}."), say=("no-genre",))
        return Draft(f"{_noun(genre)} for a group with children, no {_noun(other)}", [*wishes, no], [said, also])
    return Draft(f"{_noun(genre)} for children", wishes, [Turn(text=ASK, say=("children", "genre"))])


def standing(s: Source) -> Draft:
    """Said in one conversation, in force in the next."""
    other = s.rng.choice(("Horror", "Musical", "Romance", "War", "Animation"))
    genre = s.rng.choice([g for g in COMMON[:8] if g != other])
    no = p.wish(
        "never",
        p.not_genre(other).any_of,
        (f"never recommend {_noun(other)} to me", f"I never want to see {_noun(other)}"),
        firm=True,
    )
    turns = [
        Turn(text=("Please remember: {wishes}.", "From now on, {wishes}."), say=("never",), expect="free"),
        Turn(text=ASK, say=("genre",), session=2),
        Turn(text=("Something newer: {wishes}.",), say=("newer",), session=2),
    ]
    wishes = [no, p.genre(genre), p.since(s.rng.choice((1990, 2000, 2005)))]
    return Draft(f"never {_noun(other)}; later {_noun(genre)}", wishes, turns, ("availability", "excluded"), most=9_000)


def like_but(s: Source) -> Draft | None:
    film = s.rng.choice(s.famous)
    genres = [g for g in film.tags("genres") if g in p.GENRE_NOUNS]
    year = film.year or 0
    if not genres or not 1960 <= year <= 2005:
        return None
    but = s.rng.choice(
        (p.since(year // 10 * 10 + 10), p.at_most(100), p.before(year // 10 * 10), p.not_genre(genres[-1]))
    )
    if but.id == "no-genre" and len(genres) < 3:
        return None
    shared = genres[:-1] if but.id == "no-genre" else genres
    turn = Turn(text=("I'd like {wishes}.", "Can you find {wishes}?"), say=("like",), named=(film.id,))
    then = Turn(text=("But {wishes}.", "Good, but {wishes}."), say=(but.id,))
    what = f"like {film.title}, but {but.say[0]}"
    return Draft(what, [p.like(film.title, shared), but], [turn, then], ("availability", "excluded"), most=20_000)


def refinement(s: Source) -> Draft:
    """Four turns, each adds one wish."""
    genre, demonym = s.rng.choice(COMMON[:8]), s.rng.choice(("French", "British", "Italian", "German", "Japanese"))
    wishes = [
        p.genre(genre),
        p.origin(demonym),
        p.since(s.rng.choice((1970, 1980, 1990))),
        p.at_most(s.rng.choice((100, 110, 120))),
    ]
    more = (
        ("Only {wishes}, please.", "It should be {wishes}."),
        ("And {wishes}.", "But {wishes}."),
        ("And {wishes}.", "Only {wishes}."),
    )
    turns = [
        Turn(text=ASK, say=("genre",)),
        *(Turn(text=t, say=(w.id,)) for t, w in zip(more, wishes[1:], strict=True)),
    ]
    return Draft(f"{_noun(genre)}, then {', '.join(w.say[0] for w in wishes[1:])}", wishes, turns, least=10)


def single(s: Source) -> Draft:
    genre, first = s.rng.choice(COMMON[:8]), s.rng.choice(DECADES)
    text = (
        "I want a film: {wishes}. Give me just one.",
        "Just one film, please: {wishes}.",
        "I want a film: {wishes}. Only one suggestion, please.",
    )
    turn = Turn(text=text, say=("genre", "decade"), count=1)
    wishes = [p.genre(genre), p.decade(first)]
    return Draft(f"one of the {_noun(genre)} from the {first}s", wishes, [turn], ("availability", "single"), least=5)


def kept_back(s: Source) -> Draft:
    """A vague opening; one wish comes out on asking, one never."""
    genre, first, minutes = s.rng.choice(COMMON[:8]), s.rng.choice(DECADES[2:]), s.rng.choice((100, 110, 120))
    wishes = [p.genre(genre), p.decade(first, "on_ask"), p.at_most(minutes, "hidden")]
    what = f"{_noun(genre)}; from the {first}s, if asked; of at most {minutes} minutes, never said"
    return Draft(what, wishes, [Turn(text=ASK, say=("genre",))], most=9_000)


FAMILIES: dict[str, Maker] = {
    "simple": simple,
    "people": people,
    "decades": decades,
    "runtime": runtime,
    "rating": rating,
    "negation": negation,
    "combined": combined,
    "needle": needle,
    "seen": seen,
    "rejected": rejected,
    "changed-mind": changed_mind,
    "relaxed": relaxed,
    "nothing": nothing,
    "children": children,
    "standing": standing,
    "like-but": like_but,
    "refinement": refinement,
    "single": single,
    "kept-back": kept_back,
}
