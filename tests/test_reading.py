"""Step 1 of a turn on the real demo catalogue: what the rules read from plain words."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from convrec.tools.predicates import Op
from convrec.tools.predicates import Test as Where
from convrec.tools.references import Focus
from convrec.tools.spans import Message
from convrec.tools.understand import Understander, Understanding
from demo_agent import demo_catalogue


@pytest.fixture(scope="module")
def reader() -> Understander:
    return Understander(demo_catalogue())


def row(title: str, year: int) -> int:
    catalogue = demo_catalogue()
    rows = catalogue.rows(Where("year", Op.ANY, (year,)))
    return next(item.row for item in catalogue.items(rows) if item.title == title)


def read(reader: Understander, text: str, focus: Focus | None = None) -> Understanding:
    return reader.read(text, focus or Focus())


def labels(reading: Understanding) -> list[str]:
    return [condition.label for condition in reading.conditions]


def named(reading: Understanding) -> list[tuple[str, str]]:
    return [(demo_catalogue().item(m.row).label, m.polarity) for m in reading.mentions]


# -- numbers ----------------------------------------------------------------------------------------------------------

YEARS = [
    ("from the 90s", "from 1990 to 1999"),
    ("the nineties", "from 1990 to 1999"),
    ("early 80s stuff", "from 1980 to 1983"),
    ("mid-2000s", "from 2003 to 2006"),
    ("before 1975", "from 1974 or earlier"),
    ("nothing before 2000", "from 2000 or later"),
    ("not before 1990", "from 1990 or later"),
    ("nothing older than 2000", "from 2000 or later"),
    ("since 2005", "from 2005 or later"),
    ("after 2000", "from 2001 or later"),
    ("between 1990 and 2000", "from 1990 to 2000"),
    ("from 1990 to 1995", "from 1990 to 1995"),
    ("2005 or later", "from 2005 or later"),
    ("from 1994 onwards", "from 1994 or later"),
    ("80s or 90s", "from 1980 to 1989 or from 1990 to 1999"),
    ("not from the 80s", "not from 1980 to 1989"),
    ("pre-1960", "from 1959 or earlier"),
    ("something recent", "from 2010 or later (recent: this catalogue ends in 2014)"),
]


@pytest.mark.parametrize(("text", "label"), YEARS)
def test_years(reader: Understander, text: str, label: str) -> None:
    assert labels(read(reader, f"a film {text} please")) == [label]


MINUTES = [
    ("under two hours", "under 120 minutes"),
    ("less than 90 minutes", "under 90 minutes"),
    ("no longer than 1h 40", "at most 100 minutes"),
    ("two and a half hours max", "at most 150 minutes"),
    ("1.5 hours or less", "at most 90 minutes"),
    ("nothing over two hours", "at most 120 minutes"),
    ("over 3 hours", "over 180 minutes"),
    ("at least 2 hours", "at least 120 minutes"),
    ("between 90 and 120 minutes", "90 to 120 minutes"),
    ("of about an hour and a half", "80 to 100 minutes"),
    ("not too long", "at most 120 minutes"),
]


@pytest.mark.parametrize(("text", "label"), MINUTES)
def test_running_times(reader: Understander, text: str, label: str) -> None:
    assert labels(read(reader, f"something {text}")) == [label]


def test_newer_and_shorter_are_relative_to_what_is_talked_about(reader: Understander) -> None:
    heat = row("Heat", 1995)
    assert labels(read(reader, "something newer", Focus(references=(heat,)))) == ["from 1996 or later"]
    assert labels(read(reader, "a shorter one", Focus(references=(heat,)))) == ["at most 169 minutes"]


# -- categories, origins, certificates -------------------------------------------------------------------------------

CONDITIONS = [
    ("a Korean thriller", {"thriller", "Korean"}),
    ("recommend me a romcom", {"comedy", "romance"}),
    ("comedies and dramas", {"comedy or drama"}),
    ("action or adventure, not animated", {"action or adventure", "not animation"}),
    ("no, not another comedy", {"not comedy"}),
    ("no horror or war films", {"not horror", "not war"}),
    ("French or Italian films", {"French or Italian"}),
    ("a film in French", {"in French"}),
    ("not American", {"not American"}),
    ("rated PG-13 or lower", {"rated PG-13 or milder"}),
    ("nothing rated R", {"not rated R or NC-17"}),
    ("highly rated documentaries", {"documentary", "critics' score of at least 80%"}),
    ("at least 90% on the tomatometer", {"critics' score of at least 90%"}),
    ("I don't like westerns", {"not western"}),
    ("without subtitles", {"in English"}),
    ("no horror, war or romance films", {"not horror", "not war", "not romance"}),
    ("no horror, comedy please", {"not horror", "comedy"}),
    ("no French, Italian or Spanish films", {"not French", "not Italian", "not Spanish"}),
    ("I dont want a comedy, a drama or a musical", {"not comedy", "not drama", "not musical"}),
    ("films not from the 80s or 90s", {"not from 1980 to 1989", "not from 1990 to 1999"}),
    ("anything but comedies", {"not comedy"}),
    ("Find me a French film", {"French"}),
    ("a Christmas movie", set()),
    ("recommend something with space", set()),
    ("rated r comedy", {"rated R", "comedy"}),
    ("nah", set()),
    ("not older than 10 years", {"from 2005 or later"}),
    ("without Samuel L. Jackson or Bruce Willis", {"not with Samuel L. Jackson or with or by Bruce Willis"}),
    ("anything by Nolan but nothing by Michael Bay", {"directed by Christopher Nolan", "not directed by Michael Bay"}),
]


@pytest.mark.parametrize(("text", "wanted"), CONDITIONS)
def test_conditions(reader: Understander, text: str, wanted: set[str]) -> None:
    assert set(labels(read(reader, text))) == wanted


@pytest.mark.parametrize("text", ["what a family we are", "nice music", "the weather", "it is my history"])
def test_everyday_words_are_no_categories(reader: Understander, text: str) -> None:
    assert labels(read(reader, text)) == []


def test_a_sisters_taste_is_not_the_users(reader: Understander) -> None:
    assert labels(read(reader, "my sister loves horror, I want a comedy")) == ["comedy"]


def test_always_makes_it_a_standing_instruction(reader: Understander) -> None:
    reading = read(reader, "no horror please, I always watch with my kids")
    assert {c.slot for c in reading.conditions} == {"genres", "audience"}
    assert all(c.standing for c in reading.conditions)
    assert not any(c.standing for c in read(reader, "no horror please").conditions)


# -- titles and people -------------------------------------------------------------------------------------------------


def test_titles_are_linked_and_told_apart_by_company(reader: Understander) -> None:
    reading = read(reader, "I loved Heat and Collateral")
    assert named(reading) == [("Heat (1995)", "liked"), ("Collateral (2004)", "liked")]
    assert [demo_catalogue().item(r).label for r in reading.mentions[0].alternatives] == ["Heat (1972)", "Heat (1987)"]
    assert named(read(reader, "I loved Heat (1987)")) == [("Heat (1987)", "liked")]


TITLES = [
    ("i loved heat and collateral", [("Heat (1995)", "liked"), ("Collateral (2004)", "liked")]),
    ("movies like Matrix but not sci-fi", [("The Matrix (1999)", "like")]),
    ("something similar to Colatteral", [("Collateral (2004)", "like")]),
    ("Godfathr was great", [("The Godfather (1972)", "liked")]),
    ("I hated Titanic", [("Titanic (1997)", "disliked")]),
    ("I didn't like Titanic", [("Titanic (1997)", "disliked")]),
    ("I dont like Titanic", [("Titanic (1997)", "disliked")]),
    ("pulp ficton", [("Pulp Fiction (1994)", "named")]),
    ("is heat any good", [("Heat (1995)", "asked")]),
    ("have you seen Inception?", [("Inception (2010)", "named")]),
    ("I loved Heat and ﾞ", [("Heat (1995)", "liked")]),
    ("I've seen Inception and Up", [("Inception (2010)", "seen"), ("Up (2009)", "seen")]),
    ("The Dark Knight (2008) was amazing", [("The Dark Knight (2008)", "liked")]),
    ("something like Amélie", [("Amélie (2001)", "like")]),
    ("something like amelie", [("Amélie (2001)", "like")]),
    ("I love big action movies", []),
    ("no horror, I always watch with my kids", []),
    ("something new for a good year", []),
    ("something with a clever twist about robots", []),
]


@pytest.mark.parametrize(("text", "wanted"), TITLES)
def test_titles(reader: Understander, text: str, wanted: list[tuple[str, str]]) -> None:
    assert named(read(reader, text)) == wanted


@pytest.mark.parametrize("text", ["the director of Arrival", "I loved “Arrival”", "movies like Arrival"])
def test_a_film_the_catalogue_lacks_is_reported_not_bent(reader: Understander, text: str) -> None:
    reading = read(reader, f"anything by {text}?" if text.startswith("the") else text)
    assert not reading.mentions
    assert [u.said for u in reading.unknown] == ["Arrival"]
    assert demo_catalogue().item(reading.unknown[0].suggestions[0]).label == "The Arrival (1996)"


def test_people(reader: Understander) -> None:
    assert labels(read(reader, "anything with Al Pacino?")) == ["with Al Pacino"]
    assert labels(read(reader, "something by Hitchcock")) == ["directed by Alfred Hitchcock"]
    assert labels(read(reader, "a Tarantino film")) == ["directed by Quentin Tarantino"]
    assert labels(read(reader, "not by Woody Allen")) == ["not directed by Woody Allen"]
    either = "directed by Christopher Nolan or directed by David Fincher"
    assert labels(read(reader, "films by Christopher Nolan or David Fincher")) == [either]


def test_the_director_of_a_film(reader: Understander) -> None:
    assert read(reader, "anything else by the director of Heat?").person_of == ("directors", (row("Heat", 1995),))
    lookup = read(reader, "who is the director of Heat?")
    assert (lookup.act, lookup.asked_fields) == ("lookup", ("directors",))


# -- references and acts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("more like the second one, but funnier", 1),
        ("tell me about number 3", 2),
        ("I've seen the first one", 0),
        ("the last one looks good, who is in it?", 2),
    ],
)
def test_ordinals_point_into_the_last_slate(reader: Understander, text: str, position: int) -> None:
    slate = (row("Heat", 1995), row("Collateral", 2004), row("Fargo", 1996))
    reading = read(reader, text, Focus(slate=slate, last=slate[0]))
    assert [m.row for m in reading.mentions] == [slate[position]]


def test_an_ordinal_beyond_the_slate_is_unclear(reader: Understander) -> None:
    reading = read(reader, "the seventh one", Focus(slate=(row("Heat", 1995),)))
    assert reading.reference_unclear
    assert not reading.mentions


ACTS = [
    ("who directed it?", "lookup"),
    ("how long is Gladiator?", "lookup"),
    ("is Alien scary?", "lookup"),
    ("I've seen Inception", "feedback"),
    ("hello", "greet"),
    ("thanks!", "thanks"),
    ("what do you know about me?", "profile"),
    ("forget everything about me", "forget"),
    ("something where people forget all about love", "recommend"),
    ("whats the first one about", "lookup"),
    ("who stars in it", "lookup"),
    ("why did you pick that?", "why"),
    ("what's the weather like?", "other"),
    ("a Korean thriller", "recommend"),
    ("something else", "recommend"),
    ("something with dinosaurs", "recommend"),
]


@pytest.mark.parametrize(("text", "act"), ACTS)
def test_acts(reader: Understander, text: str, act: str) -> None:
    assert read(reader, text, Focus(slate=(row("Heat", 1995),), last=row("Heat", 1995))).act == act


def test_a_narrowing_message_continues_and_a_fresh_one_does_not(reader: Understander) -> None:
    for text in ("but funnier", "no horror please", "newer", "only French ones", "something shorter"):
        assert read(reader, text).continues, text
    for text in ("a Korean thriller", "I loved Heat, something similar", "anything by the director of Heat?"):
        assert not read(reader, text).continues, text
    assert not read(reader, "something with a clever twist about robots").continues


def test_loose_words_narrow_a_running_request_only(reader: Understander) -> None:
    running = Focus(slate=(row("Heat", 1995),), last=row("Heat", 1995))
    assert read(reader, "in space", running).act == "recommend"
    assert read(reader, "what's the weather like?", running).act == "other"
    assert read(reader, "in space").act == "other"


@pytest.mark.parametrize("text", ["", " ", "İİİ", "\x00\x01", "👍" * 50, "a" * 4000, "((((((", '"""', "'" * 99])
def test_awkward_text_is_read_without_error(reader: Understander, text: str) -> None:
    assert read(reader, text).mentions == ()


def test_lower_casing_keeps_positions() -> None:
    message = Message.of("İstanbul NOIR")
    assert len(message.low) == len(message.text)


def test_a_long_list_of_titles_does_not_keep_the_machine_busy(reader: Understander) -> None:
    started = time.perf_counter()
    read(reader, "I loved " + " and ".join(["Heat"] * 400))
    assert time.perf_counter() - started < 2.0


# -- what is said beside the wish -------------------------------------------------------------------------------------

CHILDREN = "suitable for children (rated G or PG, or a family film without a rating)"
PERSONAS = (
    "I'm 34 years old.",
    "I am a 67-year-old widow.",
    "I'm German.",
    "I'm a plumber from Leeds.",
    "I grew up in Japan.",
    "I live in Chicago.",
    "My father was a policeman in Italy.",
    "I'm vegan and I collect stamps.",
    "As a retired war correspondent,",
    "It has been raining all day.",
)


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.parametrize("wish", ["A thriller under 100 minutes, please.", "I want something like Alien."])
def test_who_the_user_is_changes_nothing(reader: Understander, persona: str, wish: str) -> None:
    plain, told = read(reader, wish), read(reader, f"{persona} {wish}")
    assert (told.act, labels(told), told.query, named(told)) == (plain.act, labels(plain), plain.query, named(plain))
    assert not told.unknown


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I have two hours", "at most 120 minutes"),
        ("I don't read subtitles", "in English"),
        ("I'm a huge horror fan", "horror"),
        ("I'm 9 years old", "suitable for children (rated G or PG, or a family film without a rating)"),
        (
            "a movie for my wife, me and the kids",
            "suitable for children (rated G or PG, or a family film without a rating)",
        ),
    ],
)
def test_what_of_the_user_is_a_wish_stays(reader: Understander, text: str, label: str) -> None:
    assert labels(read(reader, text)) == [label]


@pytest.mark.parametrize(
    "text",
    ["The weather is awful today.", "I'm cooking dinner right now.", "I once met an actor at the airport.",
     "My train was late again.", "We had pizza for lunch."],
)  # fmt: skip
def test_talk_of_the_day_starts_no_search(reader: Understander, text: str) -> None:
    assert read(reader, text).act == read(reader, text, Focus(slate=(1, 2, 3))).act == "other"


@pytest.mark.parametrize(
    "text",
    ["Any suggestion for me?", "A film for this evening?", "a good film for tonight", "surprise me", "Any tips?",
     "Some movie for tonight?", "What should I watch tonight?", "Your suggestions, please.",
     "What other ones do you have?"],
)  # fmt: skip
def test_a_request_without_content_is_one_and_searches_for_nothing(reader: Understander, text: str) -> None:
    reading = read(reader, text)
    assert (reading.act, reading.query) == ("recommend", "")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I never watch anything over 120 minutes.", "at most 120 minutes"),
        ("I don't watch anything longer than two hours.", "at most 120 minutes"),
        ("I won't watch anything under 80 minutes.", "at least 80 minutes"),
        ("From now on never anything below 80% from the critics.", "critics' score of at least 80%"),
        ("80% or higher from the critics", "critics' score of at least 80%"),
        ("I want films over 120 minutes", "over 120 minutes"),
        ("I never tire of films over 3 hours", "over 180 minutes"),
    ],
)
def test_a_denied_bound_is_the_other_bound(reader: Understander, text: str, label: str) -> None:
    assert labels(read(reader, text)) == [label]


@pytest.mark.parametrize("text", ["It should be from Brazil.", "something made in Australia"])
def test_a_country_is_no_title(reader: Understander, text: str) -> None:
    reading = read(reader, text)
    assert not reading.mentions
    assert len(reading.conditions) == 1
    assert named(read(reader, "I loved Brazil")) == [("Brazil (1985)", "liked")]


RUNNING = Focus(slate=(1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    "text",
    ["It should be a romance film.", "It has to be a romance film too.", "One more thing: a romance film.",
     "Also: a romance film.", "Oh, and it would be great if it was a romance film.",
     "None of these. It should be a romance film."],
)  # fmt: skip
def test_an_addition_continues_and_adds(reader: Understander, text: str) -> None:
    reading = read(reader, text, RUNNING)
    assert (reading.act, reading.continues, reading.adds) == ("recommend", True, ("genres",))


@pytest.mark.parametrize(
    "text", ["None of these.", "Not these.", "nope", "Hmm, none of these really.", "None of these. I loved Heat.",
             "Thanks, but none of those are for me.", "I don't like any of them."],
)  # fmt: skip
def test_a_rejected_list_is_turned_down_and_the_request_goes_on(reader: Understander, text: str) -> None:
    reading = read(reader, text, RUNNING)
    assert (reading.act, reading.rejects, reading.continues) == ("recommend", True, True)
    assert not read(reader, "I don't like them too long", RUNNING).rejects


@pytest.mark.parametrize("text", ["nope, from the United States", "No, with Tom Hanks"])
def test_no_before_a_wish_turns_the_list_down_unless_it_answers(reader: Understander, text: str) -> None:
    assert read(reader, text, RUNNING).rejects
    assert not read(reader, text, replace(RUNNING, asked=True)).rejects


def test_what_else_is_there_is_no_look_up(reader: Understander) -> None:
    reading = read(reader, "Not John Wick, I hated it. What else is there?", RUNNING)
    assert (reading.act, named(reading)) == ("recommend", [("John Wick (2014)", "disliked")])


def test_yes_answers_the_agents_question(reader: Understander) -> None:
    asked = replace(RUNNING, asked=True)
    assert {read(reader, t, asked).act for t in ("Yes, please.", "sure", "Oh yes, please do!")} == {"recommend"}
    assert read(reader, "Yes, please.", RUNNING).act == "thanks"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("something kurosawa did", {"directed by Akira Kurosawa"}),
        ("anything Wes Craven directed", {"directed by Wes Craven"}),
        (
            "godard or truffaut, 60s",
            {"directed by Jean-Luc Godard or directed by François Truffaut", "from 1960 to 1969"},
        ),
        ("De Niro and Pacino together", {"with or by Robert De Niro", "with or by Al Pacino"}),
        ("movies by the Coen brothers", {"directed by Joel Coen or directed by Ethan Coen"}),
        ("scorcese films", {"directed by Martin Scorsese"}),
        ("action without keanu", {"action", "not with Keanu Reeves"}),
        ("a drama set in new york", {"drama"}),
        ("a thriller from hong kong", {"thriller", "Hong Kong"}),
        ("mystery minus the horror", {"mystery", "not horror"}),
        ("any comedy, westerns bore me", {"comedy", "not western"}),
        ("i can't get enough of westerns", {"western"}),
        ("don't you have any musicals?", {"musical"}),
        ("neither a drama nor a documentary", {"not drama", "not documentary"}),
        ("nothing past 1965", {"from 1965 or earlier"}),
        ("the last 5 years of the 90s", {"from 1995 to 1999"}),
        ("thriller of 2012", {"thriller", "from 2012"}),
        ("comedy, pg or g", {"comedy", "rated PG or G"}),
        ("horror the critics rated over 75%", {"horror", "critics' score of at least 75%"}),
        ("crime with at least 8/10", {"crime", "critics' score of at least 80%"}),
        ("can't sit through 2+ hours", {"at most 120 minutes"}),
        ("sci-fi, max 1:45", {"sci-fi", "at most 105 minutes"}),
    ],
)
def test_conditions_in_other_words(reader: Understander, text: str, wanted: set[str]) -> None:
    assert set(labels(read(reader, text))) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hey so im kinda craving a western rn", ""),
        ("a comedy that's done in 90 minutes", ""),
        ("drama. absolutely no war", ""),
        ("a slow burn psychological thriller", "slow burn psychological"),
        ("thrillers about hackers or computers", "hackers computers"),
        ("martial arts from hong kong in the 80s", "martial arts"),
        ("a romance set in Paris", "Paris"),
        ("a not-too-scary halloween movie for the little ones", "halloween"),
        ("something quirky and bleak", "quirky bleak"),
    ],
)
def test_only_topics_are_searched_for(reader: Understander, text: str, words: str) -> None:
    assert read(reader, text).query == words


@pytest.mark.parametrize(
    ("text", "act", "asked"),
    [
        ("can you give me the plot of Oblivion", "lookup", ("plot",)),
        ("is Zodiac a long movie?", "lookup", ("runtime",)),
        ("cast of Almost Famous?", "lookup", ("cast",)),
        ("who plyaed in Magnloia", "lookup", ("cast",)),
        ("what year did titanic come out", "lookup", ("year",)),
        ("from the guy who made Memento", "recommend", ()),
        ("I adored Amélie, more of that please", "recommend", ()),
        ("The Prestige blew my mind", "feedback", ()),
        ("Noah was dreadful", "feedback", ()),
        ("wipe everything you know about me", "forget", ()),
        ("do you know what i like?", "profile", ()),
        ("what's the reasoning behind these picks", "why", ()),
        ("ok great, that's all i needed", "thanks", ()),
        ("give me a recipe for lasagna", "other", ()),
        ("a film about a recipe", "recommend", ()),
        ("translate 'good morning' into french", "other", ()),
        ("a period piece with great costumes", "recommend", ()),
    ],
)
def test_acts_in_other_words(reader: Understander, text: str, act: str, asked: tuple[str, ...]) -> None:
    reading = read(reader, text)
    assert (reading.act, reading.asked_fields) == (act, asked)


def test_the_one_with_somebody_is_the_one_of_the_slate(reader: Understander) -> None:
    rows = {item.label: item.row for item in reader.catalogue.items(range(reader.catalogue.size))}
    slate = tuple(rows[label] for label in ("Atonement (2007)", "Blue Valentine (2010)", "Ratatouille (2007)"))
    for text, label in (
        ("the one with ryan gosling, when was it made?", "Blue Valentine (2010)"),
        ("the one about the rat, how long is it?", "Ratatouille (2007)"),
    ):
        reading = reader.read(text, Focus(slate=slate))
        assert reading.act == "lookup"
        assert reading.rows("asked") == (rows[label],)
        assert reading.conditions == ()
    shortest = reader.read("which of these is the shortest?", Focus(slate=slate))
    assert (shortest.act, shortest.asked_fields, shortest.rows("asked")) == ("lookup", ("runtime",), slate)
    assert reader.read("the one with tom hanks, please", Focus(slate=slate)).rows("asked", "named") == ()


def test_newer_than_the_newest_still_finds_something(reader: Understander) -> None:
    rows = {item.label: item.row for item in reader.catalogue.items(range(reader.catalogue.size))}
    slate = tuple(rows[label] for label in ("Gone Girl (2014)", "Zodiac (2007)", "Inside Man (2006)"))
    assert labels(reader.read("a bit newer maybe", Focus(slate=slate))) == ["from 2008 or later"]


@pytest.mark.parametrize(
    "text",
    [
        "a love story about people who aren't young anymore",
        "a film with smart dialogue",
        "something that keeps my kids and me entertained",
        "a war film about the people at home, not the battles",
    ],
)
def test_words_of_every_day_are_nobodys_name(reader: Understander, text: str) -> None:
    reading = read(reader, text)
    assert not reading.people
    assert not any(c.slot in ("directors", "cast") for c in reading.conditions)


@pytest.mark.parametrize(("text", "name"), [("something with freeman in it", "Freeman"), ("a film by lean", "Lean")])
def test_a_name_that_is_also_a_word_is_one_where_nothing_follows(reader: Understander, text: str, name: str) -> None:
    assert [p.name.rsplit(" ", 1)[-1] for p in read(reader, text).people] == [name]
