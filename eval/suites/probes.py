"""Statements, questions and small talk that several suites draw from."""

from __future__ import annotations

from dataclasses import dataclass

from convrec.eval.scenarios import phrases as p
from convrec.eval.scenarios.model import Constraint, Test


@dataclass(frozen=True, slots=True)
class Stated:
    """A lasting preference as a user states it, what it means, and a request that would tempt an agent to break it."""

    name: str
    say: tuple[str, ...]
    means: Constraint
    probes: tuple[str, ...]
    contradicted_by: tuple[str, ...] = ()
    """Turns between that ask for the opposite: what is said now wins, so they are left out."""


def _never(genre: str, say: tuple[str, ...], probes: tuple[str, ...]) -> Stated:
    return Stated(f"never-{genre.lower()}", say, p.not_genre(genre), probes)


LASTING = (
    _never(
        "Horror",
        ("I can't stand horror films.", "Never recommend horror films to me.", "I hate horror."),
        ("Recommend a mystery with a lot of suspense.", "A thriller from the 1980s, please."),
    ),
    _never(
        "Musical",
        ("I hate musicals.", "Please never suggest musicals to me."),
        ("What is a good family film?", "I feel like a romance from the 1950s."),
    ),
    _never(
        "War",
        ("I never want to see war films.", "I don't like war films."),
        ("A highly rated history film, please.", "Can you suggest a biopic?"),
    ),
    _never(
        "Romance",
        ("I don't like romances.", "Never recommend romances."),
        ("A comedy from the 1990s, please.", "What drama should I watch?"),
    ),
    _never(
        "Animation",
        ("Never recommend animated films to me.", "I hate animated films."),
        ("A fantasy film, please.", "An adventure film for tonight?"),
    ),
    _never(
        "Documentary",
        ("I never watch documentaries.", "I don't like documentaries."),
        ("Something highly rated about sport, a sports film.", "A biopic, please."),
    ),
    Stated(
        "always-short",
        ("I never watch anything over 120 minutes.", "Always keep it under two hours for me."),
        p.at_most(120),
        ("A highly rated drama, please.", "An adventure film, please."),
    ),
    Stated(
        "always-english",
        ("I can't stand subtitles: always films in English, please.", "Always only films in English."),
        p.any_english(),
        ("A highly rated drama, please.", "A romance from the 1960s."),
        ("Anything French?",),
    ),
    Stated(
        "always-new",
        ("Always only films from 2000 or later for me.", "From now on, never anything older than 2000."),
        p.since(2000),
        ("A western, please.", "A highly rated crime film."),
        ("A film from the 1970s, please.",),
    ),
    Stated(
        "never-person",
        ("I can't stand Woody Allen, never recommend his films.", "Never anything with Woody Allen."),
        p.not_with("Woody Allen"),
        ("A comedy from the 1980s, please.", "A romantic comedy from the 1970s."),
    ),
    Stated(
        "never-adult",
        ("Never recommend anything rated R to me.", "I never watch films rated R."),
        p.wish("not-r", ((Test(field="certificate", none=("R", "NC-17")),),), ("not rated R",)),
        ("A crime film, please.", "A thriller from the 1990s."),
    ),
    Stated(
        "always-acclaimed",
        (
            "Always only films with at least 80% from the critics.",
            "From now on never anything below 80% from the critics.",
        ),
        p.score(80),
        ("A horror film, please.", "An action film from the 2000s."),
    ),
)
"""Preferences for the suite of preference following (PrefEval): said once, in force for good."""

DISTRACTORS = (
    "Tell me about Heat.",
    "Who directed Alien?",
    "How long is Titanic?",
    "When was Casablanca made?",
    "Thanks!",
    "That sounds interesting.",
    "What do you think of it?",
    "I watched Jaws last week, it was great.",
    "My sister likes cooking shows.",
    "The weather is awful today.",
    "Who is in Pulp Fiction?",
    "A film from the 1970s, please.",
    "Something with Tom Hanks.",
    "Anything French?",
    "What else?",
    "A film by Sidney Lumet, please.",
    "Show me more.",
    "How are you?",
    "I'm cooking dinner right now.",
    "What is The Godfather about?",
    "Something from Italy?",
    "Who wrote Chinatown?",
    "I once met an actor at the airport.",
    "Something newer, please.",
)
"""Turns between: questions, small talk, requests of another kind. Lists in them are held to the preference too."""
