"""English words for what catalogues record: categories, nationalities, numbers, people's roles.

Facts of the language, not of one catalogue: a word only takes effect when the catalogue in use has the value it names.
"""

from __future__ import annotations

from dataclasses import dataclass

from convrec.tools.lexicon_words import FUNCTION_WORDS as FUNCTION_WORDS

CATEGORY_WORDS: dict[str, tuple[str, ...]] = {
    # word or phrase (folded) -> category names (folded), all of which are meant
    "scary": ("horror",),
    "singing": ("musical",),
    "scare me": ("horror",),
    "creepy": ("horror",),
    "slasher": ("horror",),
    "zombie": ("horror",),
    "horrors": ("horror",),
    "spooky": ("horror",),
    "funny": ("comedy",),
    "hilarious": ("comedy",),
    "comedic": ("comedy",),
    "comedies": ("comedy",),
    "something to laugh": ("comedy",),
    "make me laugh": ("comedy",),
    "laugh": ("comedy",),
    "sci fi": ("sci fi", "science fiction"),
    "scifi": ("sci fi", "science fiction"),
    "science fiction": ("sci fi", "science fiction"),
    "sf": ("sci fi", "science fiction"),
    "romantic": ("romance",),
    "love story": ("romance",),
    "love stories": ("romance",),
    "romcom": ("comedy", "romance"),
    "romcoms": ("comedy", "romance"),
    "rom com": ("comedy", "romance"),
    "rom coms": ("comedy", "romance"),
    "romantic comedy": ("comedy", "romance"),
    "romantic comedies": ("comedy", "romance"),
    "animated": ("animation",),
    "cartoon": ("animation",),
    "cartoons": ("animation",),
    "anime": ("animation",),
    "suspense": ("thriller",),
    "suspenseful": ("thriller",),
    "whodunit": ("mystery",),
    "whodunnit": ("mystery",),
    "mysteries": ("mystery",),
    "detective": ("mystery", "crime"),
    "gangster": ("crime",),
    "mafia": ("crime",),
    "heist": ("crime",),
    "biopic": ("biography",),
    "biopics": ("biography",),
    "biographical": ("biography",),
    "biographies": ("biography",),
    "documentaries": ("documentary",),
    "docs": ("documentary",),
    "historical": ("history",),
    "dramatic": ("drama",),
    "sports": ("sport",),
    "fantasies": ("fantasy",),
    "wars": ("war",),
    "families": ("family",),
}
"""Synonyms. A category's own name and its plain plural are always understood and need no entry."""

NOT_CATEGORY_ALONE = frozenset({"family", "music", "history", "sport", "war", "short", "news"})
"""Category names that are everyday words too: they count when a noun for the item follows ("war films"), after "a/an"
with such a noun near, or in a list with another category."""

NARROWER = frozenset(
    "zombie slasher heist mafia gangster detective whodunit whodunnit anime superhero noir".split()  # noqa: SIM905
)
"""Words that name less than the category they imply: they are searched for beside it, and denying one does not deny
the category."""

ALTERNATIVES = frozenset({"detective"})
"""Synonyms whose categories are alternatives, not all required."""

DEMONYMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # demonym (folded) -> (countries, languages)
    "hollywood": (("United States", "United States of America", "USA", "US"), ()),
    "american": (("United States", "United States of America", "USA", "US"), ()),
    "brit": (("United Kingdom", "UK", "England", "Great Britain"), ()),
    "aussie": (("Australia",), ()),
    "kiwi": (("New Zealand",), ()),
    "welsh": (("Wales",), ("Welsh",)),
    "catalan": ((), ("Catalan",)),
    "flemish": (("Belgium",), ("Dutch",)),
    "colombian": (("Colombia",), ()),
    "cuban": (("Cuba",), ()),
    "peruvian": (("Peru",), ()),
    "moroccan": (("Morocco",), ()),
    "senegalese": (("Senegal",), ()),
    "lebanese": (("Lebanon",), ()),
    "palestinian": (("Palestine",), ()),
    "yugoslav": (("Yugoslavia",), ()),
    "croatian": (("Croatia",), ("Croatian",)),
    "bosnian": (("Bosnia and Herzegovina",), ("Bosnian",)),
    "latvian": (("Latvia",), ("Latvian",)),
    "estonian": (("Estonia",), ("Estonian",)),
    "lithuanian": (("Lithuania",), ("Lithuanian",)),
    "georgian": (("Georgia",), ("Georgian",)),
    "yiddish": ((), ("Yiddish",)),
    "tamil": ((), ("Tamil",)),
    "bengali": ((), ("Bengali", "Bangla")),
    "latin american": (
        ("Mexico", "Argentina", "Brazil", "Chile", "Colombia", "Peru", "Cuba", "Venezuela", "Uruguay", "Bolivia"),
        (),
    ),
    "british": (("United Kingdom", "UK", "England", "Great Britain"), ()),
    "english": ((), ("English",)),
    "scottish": (("Scotland",), ()),
    "irish": (("Ireland",), ("Irish",)),
    "french": (("France",), ("French",)),
    "german": (("Germany", "West Germany"), ("German",)),
    "austrian": (("Austria",), ()),
    "swiss": (("Switzerland",), ()),
    "italian": (("Italy",), ("Italian",)),
    "spanish": (("Spain",), ("Spanish",)),
    "portuguese": (("Portugal",), ("Portuguese",)),
    "brazilian": (("Brazil",), ()),
    "mexican": (("Mexico",), ()),
    "argentinian": (("Argentina",), ()),
    "argentine": (("Argentina",), ()),
    "chilean": (("Chile",), ()),
    "japanese": (("Japan",), ("Japanese",)),
    "korean": (("South Korea",), ("Korean",)),
    "south korean": (("South Korea",), ("Korean",)),
    "chinese": (
        ("China", "People's Republic of China", "Hong Kong", "Taiwan"),
        ("Chinese", "Mandarin", "Cantonese"),
    ),
    "hong kong": (("Hong Kong", "British Hong Kong"), ("Cantonese",)),
    "cantonese": ((), ("Cantonese",)),
    "mandarin": ((), ("Mandarin",)),
    "taiwanese": (("Taiwan",), ()),
    "thai": (("Thailand",), ("Thai",)),
    "vietnamese": (("Vietnam",), ("Vietnamese",)),
    "indonesian": (("Indonesia",), ("Indonesian",)),
    "filipino": (("Philippines",), ("Tagalog", "Filipino")),
    "indian": (("India",), ("Hindi", "Tamil", "Telugu", "Malayalam", "Bengali", "Bangla")),
    "bollywood": (("India",), ("Hindi",)),
    "hindi": ((), ("Hindi",)),
    "iranian": (("Iran",), ("Persian",)),
    "persian": (("Iran",), ("Persian",)),
    "turkish": (("Turkey", "Türkiye"), ("Turkish",)),
    "israeli": (("Israel",), ("Hebrew",)),
    "hebrew": ((), ("Hebrew",)),
    "arabic": ((), ("Arabic",)),
    "egyptian": (("Egypt",), ()),
    "russian": (("Russia", "Soviet Union"), ("Russian",)),
    "soviet": (("Soviet Union",), ()),
    "ukrainian": (("Ukraine",), ("Ukrainian",)),
    "polish": (("Poland",), ("Polish",)),
    "czech": (("Czech Republic", "Czechoslovakia"), ("Czech",)),
    "hungarian": (("Hungary",), ("Hungarian",)),
    "romanian": (("Romania",), ("Romanian",)),
    "bulgarian": (("Bulgaria",), ("Bulgarian",)),
    "serbian": (("Serbia", "Yugoslavia"), ("Serbian", "Serbo-Croatian")),
    "greek": (("Greece",), ("Greek",)),
    "swedish": (("Sweden",), ("Swedish",)),
    "danish": (("Denmark",), ("Danish",)),
    "norwegian": (("Norway",), ("Norwegian",)),
    "finnish": (("Finland",), ("Finnish",)),
    "icelandic": (("Iceland",), ("Icelandic",)),
    "scandinavian": (("Sweden", "Denmark", "Norway"), ("Swedish", "Danish", "Norwegian")),
    "nordic": (("Sweden", "Denmark", "Norway", "Finland", "Iceland"), ()),
    "dutch": (("Netherlands",), ("Dutch",)),
    "belgian": (("Belgium",), ()),
    "canadian": (("Canada",), ()),
    "australian": (("Australia",), ()),
    "new zealand": (("New Zealand",), ()),
    "south african": (("South Africa",), ()),
}

SMALL_NUMBERS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
ORDINALS = {
    "first": 1,
    "1st": 1,
    "second": 2,
    "2nd": 2,
    "third": 3,
    "3rd": 3,
    "fourth": 4,
    "4th": 4,
    "fifth": 5,
    "5th": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
}
DECADE_WORDS = {
    "twenties": 1920,
    "thirties": 1930,
    "forties": 1940,
    "fifties": 1950,
    "sixties": 1960,
    "seventies": 1970,
    "eighties": 1980,
    "nineties": 1990,
    "noughties": 2000,
}

_KIDS = r"(?:kids?|child(?:ren)?|toddlers?|grandkids|grandchild(?:ren)?|son|daughter|nephews?|nieces?)\b"
_CHILD_AGE = r"(?:[1-9]|1[0-2]|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
CHILD_PHRASES = (
    r"(?:with|for) (?:my |our |the |some |small |young |little |two |three )*" + _KIDS,
    r"(?:with|for) (?:(?:my |our |the )?(?:me|us|wife|husband|partner|girlfriend|boyfriend|family|parents|mum|mom|dad)"
    r"(?:,| and|, and| &| plus) )+(?:my |our |the |some |two |three )*" + _KIDS,
    _KIDS + r" (?:and (?:i|me|us)\b|are watching|(?:want|would like|'d like) to (?:watch|see)|will watch)",
    r"(?:kid|child|family)[ -]?(?:friendly|safe|suitable)",
    r"suitable for (?:kids|children|families|all ages)",
    r"(?:the |my |our )?(?:kids|children) (?:can|could|will) (?:watch|see|enjoy)",
    r"family (?:movie|film) night",
    r"(?:movie|film) night with the (?:kids|family)",
    r"(?:for )?(?:the |our )?(?:whole|entire) family\b|(?:for )?all the family\b|\b(?:the|our|my) family can\b",
    r"\b(?:the|our|my) (?:little|wee|small|young) ones?\b(?!')|\b(?:with|for) (?:my |our |the )?(?:boys|girls|"
    r"little (?:boy|girl))\b",
    r"\b(?:show|amuse|entertain) (?:my |our |the )*(?:\d{1,2}|two|three) (?:and|&) (?:\d|two|three|four|five|six|"
    r"seven|eight|"
    r"nine|ten|eleven)\b",
    r"(?:safe|suitable|ok|okay|appropriate|good|fine) for (?:an? |my |our )?"
    r"(?:(?<!\d)" + _CHILD_AGE + r"[- ]?(?:year|yr)s?[- ]?olds?|kids?|child(?:ren)?)",
    r"(?<!than )(?<![\d.,-])\b"
    + _CHILD_AGE
    + r"[- ](?:years?|yrs?)[- ]olds?\b(?! (?:\w+ )?(?:films?|movies?|classics?|westerns?|comed\w+|thrillers?|dramas?))",
    r"\bkids are " + _CHILD_AGE + r"\b",
)
"""Phrases that say children are watching (on the lower-cased text)."""

VIOLENT_CATEGORIES = ("Horror", "War", "Action")
"""What "less violent" steers away from where a catalogue does not record violence."""
ADULT_CERTIFICATES = ("R", "NC-17", "X")
CHILD_CERTIFICATES = ("G", "PG")
MILD_CERTIFICATES = ("G", "PG", "PG-13")


@dataclass(frozen=True, slots=True)
class Critique:
    """How a wish that no column records is translated into columns that exist; the label says so to the user."""

    pattern: str
    slot: str
    label: str
    want: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    avoid_certificates: tuple[str, ...] = ()
    hard: bool = True
    prefer_certificates: tuple[str, ...] = ()
    """Ranked first, for a record without a certificate may be anything."""


_HEAVY = (
    "dark|sad|depressing|heavy|bleak|gloomy|grim|dreary|tragic|morbid|miserable|downbeat|serious|intense|melancholic"
)
_LIGHT = (
    "silly|goofy|cheesy|corny|childish|fluffy|sugary|sweet|sappy|soppy|sentimental|schmaltzy|cute|kitschy|light|"
    "lightweight|lighthearted|cheerful|jokey"
)
_SLOW = "slow|slow-paced|boring|dull|tame|sleepy|tedious"
_FAST = "frantic|frenetic|fast|fast-paced|loud|hectic|noisy|busy|chaotic|action-packed"
_AMOROUS = "romantic|mushy|lovey-dovey|romance"
TONES: frozenset[str] = frozenset(
    "|".join((_HEAVY, _LIGHT, _SLOW, _FAST, _AMOROUS)).split("|")
    + "violent violence gore gory bloody blood brutal scary frightening creepy action".split()  # noqa: SIM905
)
"""What :data:`CRITIQUES` read after "less"."""

_LESS = (
    r"(?:less|don'?t want (?:anything|something)|not (?:so|too|as|very|that|overly)|not|non|without(?: the| any)?|no|"
    r"nothing|minus the|low on|milder on)(?: (?:too )?\w+(?:,| or|, or))*"
)
CRITIQUES: tuple[Critique, ...] = (
    Critique(
        _LESS + r"[ -](?:too )?(?:violent|violence|gore|gory|bloody|blood|brutal|brutality)",
        "violence",
        "less violent (no action, horror or war film, none on record as rated R or NC-17)",
        avoid=VIOLENT_CATEGORIES,
        avoid_certificates=ADULT_CERTIFICATES,
        prefer_certificates=MILD_CERTIFICATES,
    ),
    Critique(
        _LESS + r"[ -](?:too[ -])?(?:scary|frightening|creepy)", "scariness", "not scary (no horror)", avoid=("Horror",)
    ),
    Critique(
        r"funnier|more (?:funny|humou?r|comedic|laughs)|with (?:more )?(?:humou?r|laughs)|more of a comedy",
        "funniness",
        "funnier (a comedy)",
        want=("Comedy",),
    ),
    Critique(
        r"light(?:er|hearted|-hearted)|more (?:fun|cheerful|uplifting)|feel[- ]good|happier|uplifting|"
        rf"less (?:{_HEAVY})|not (?:so|too) (?:dark|sad|depressing|heavy)",
        "lightness",
        "lighter in tone (comedy, family, romance or animation first)",
        want=("Comedy", "Family", "Romance", "Animation", "Musical"),
        avoid=("Horror", "War", "Crime"),
        hard=False,
    ),
    Critique(
        r"darker|grittier|more (?:dark|gritty|serious|intense|tense)|bleaker",
        "darkness",
        "darker in tone (thriller, crime, horror or mystery first)",
        want=("Thriller", "Crime", "Horror", "Mystery"),
        avoid=("Comedy", "Family", "Animation", "Musical"),
        hard=False,
    ),
    Critique(
        rf"less (?:{_LIGHT})|more (?:grown[- ]up|adult|mature)",
        "seriousness",
        "less light (drama, crime, thriller or mystery first)",
        want=("Drama", "Crime", "Thriller", "Mystery", "History", "Biography"),
        avoid=("Family", "Animation", "Musical"),
        hard=False,
    ),
    Critique(rf"less (?:{_AMOROUS})", "romance", "less romantic (no romance)", avoid=("Romance",)),
    Critique(r"scarier|more (?:scary|frightening|creepy)", "scariness", "scarier (horror)", want=("Horror",)),
    Critique(r"more romantic|with (?:more|some) romance", "romance", "more romantic", want=("Romance",)),
    Critique(
        r"faster(?:[- ]paced)?|fast[- ]paced|action[- ]packed|more (?:action|exciting|thrilling)|"
        rf"too slow|less (?:{_SLOW})",
        "pace",
        "faster (action, adventure or thriller first)",
        want=("Action", "Adventure", "Thriller"),
        hard=False,
    ),
    Critique(
        rf"slower(?:[- ]paced)?|slow[- ]paced|less action|less (?:{_FAST})|quieter|calmer",
        "pace",
        "calmer (no action film)",
        want=("Drama",),
        avoid=("Action",),
        hard=False,
    ),
)
