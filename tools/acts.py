"""What kind of turn a message asks for, read by rule."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from convrec.tools.asides import tells
from convrec.tools.linking_people import CUE_FIELDS
from convrec.tools.schema import Role, Schema

Act: TypeAlias = Literal[
    "recommend", "lookup", "feedback", "greet", "thanks", "bye", "help", "profile", "forget", "why", "other"
]

_WHO = r"\bwho(?:'?s| is| was| are)? (?:the )?"
_LOOKUP: tuple[tuple[re.Pattern[str], Role | str], ...] = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (
            _WHO + r"(?:directed|director|made|filmmaker|helmed|behind)|\bdirected (?:it|by who|that)|\bwhose film\b|"
            r"\bdirectors? (?:of|behind) it\b",
            "direct",
        ),
        (
            _WHO + r"(?:wrote|written|writer|screenwriter|penned|scripted|authored|came up with)|\bwriters? of it\b",
            "writ",
        ),
        (
            _WHO + r"(?:in (?:it|that|this)|starring|stars?|starred|actors?|actress\w*|cast|plays?|played|acts?|acted|"
            r"appears?|appeared|else (?:is|was) in)\b|\bcast\b|"
            r"\bwho (?:is|'s|was) in\b|\bwho'?s in\b|\b(?:is|was) [\w.' -]{2,40} in it\b|"
            r"\b(?:does|did) [\w.' -]{2,40} (?:play|star|act|appear|feature) in it\b",
            "cast",
        ),
        (
            r"\bwhen (?:was|did|is|were)\b|\b(?:what|which) (?:year|decade)\b|\bhow (?:old|recent) is\b|"
            r"\brelease (?:date|year)\b|\bwhich\b.*\b(?:is|are) (?:the )?(?:oldest|newest|older|newer|most recent)\b",
            Role.YEAR,
        ),
        (
            r"\bhow (?:long|short)\b|\bwhich\b.*\b(?:is|are) (?:the )?(?:shortest|longest|shorter|longer)\b|"
            r"\brun(?:ning)?[- ]?time\b|\bhow many (?:minutes|hours)\b|\blength of\b|"
            r"\b(?:is|are|was) (?:it|that|this) (?:an? )?(?:\w+ )?(?:long|short|lengthy)\b",
            Role.DURATION,
        ),
        (
            r"\b(?:what|which) genres?\b|\bwhat (?:kind|sort|type) of (?:film|movie|thing|flick)s? (?:is|are)\b|"
            r"\bis it an? (?!\w\b|(?:\w+ )?(?:long|short|lengthy|good|great|new|old|bad|decent)\b)[\w-]+(?: film| movie)?\s*\?",
            Role.CATEGORY,
        ),
        (
            r"\bis it (?:\w+ )?(?:scary|violent|funny|sad|romantic|gory|creepy|dark)\b|\bhow (?:scary|violent) is\b",
            Role.CATEGORY,
        ),
        (r"\b(?:what|which) languages?\b|\bis it in english\b", Role.LANGUAGE),
        (
            r"\bwhere (?:was|is|does|did) (?:it|that|this) (?:made|from|filmed|shot|produced|come from)\b|"
            r"\b(?:what|which) country\b",
            Role.COUNTRY,
        ),
        (
            r"\bwhat(?:'?s| is) (?:it|that|this)? ?rated\b|\bis (?:it|that|this) rated\b|\bage rating\b|"
            r"\bcertificate\b|"
            r"\bis (?:it|that|this) (?:\w+ )?(?:ok|okay|suitable|safe|appropriate|fine) for\b|"
            r"\bis it (?:\w+ )?(?:scary|violent)\b",
            Role.CERTIFICATE,
        ),
        (
            r"\b(?:is|was|are) (?:it|that|this) (?:any |really |actually )?(?:good|worth)\b|\bhow good (?:is|"
            r"was) (?:it|that|this)\b|\bworth (?:watching|seeing|my time|a watch)\b|\bhow (?:well )?(?:was|is) it (?:rec|rev)\w+|"
            r"\b(?:did|do) (?:the )?(?:critics|people|reviewers) (?:like|love|hate|think)\b|"
            r"\bwhich\b.*\b(?:is|are) (?:the )?(?:best|better|highest|top)\b|"
            r"\b(?:reviews|critics|score|rotten tomatoes)\b.*\?|\bwell reviewed\?",
            Role.QUALITY,
        ),
        (
            r"\bwhat(?:'?s| is| are| was)\s+(?:it|that|this|the (?:plot|story|premise) of it)(?:\s+(?:all )?about)?\s*\?|"
            r"\bwhat(?:'?s| is) the (?:plot|story|premise)\b|"
            r"\bwhat(?:'?s| is| was)\s+it\s+(?:all )?about\b|\bwhat happens in\b|"
            r"\b(?:plot|synopsis|storyline|premise|story|summary) (?:of|for)\b",
            Role.DESCRIPTION,
        ),
    )
)
_TELL = re.compile(
    r"\b(?:tell me (?:more )?about|what do you know about|info(?:rmation)? (?:on|about)|more about|"
    r"details (?:on|of|about)|what(?:'?s| is) the deal with|anything about|describe|facts about)\b"
)
_GIVES_FACT = re.compile(
    r"\b(?:give|tell|show|get|send)(?: me| us)? (?:the |a |its |some |more |quick |short |brief )*(?:plot|story|synopsis|summary|"
    r"premise|cast|director|writers?|running time|runtime|length|release|year|rating|score|reviews?|info\w*|details|facts)\b"
)
"""Asks for a fact in the words of a wish: "can you give me the plot of it"."""
_HAVE = re.compile(
    r"\b(?:do you (?:have|know)|have you (?:got|heard of)|"
    r"is .{1,60} in (?:the|your) (?:catalog(?:ue)?|list|database|system)|is there)\b|"
    r"\b(?:have|you|ve) got it\b|\bgot it (?:in|on|there|too|as well)\b"
)
_POLITE = r"\b[\s\w,!.']{0,25}\W*$"
_SMALL_TALK: tuple[tuple[re.Pattern[str], Act], ...] = (
    (re.compile(r"^\W*(?:hi|hello|hey|good (?:morning|evening|afternoon)|howdy|yo)" + _POLITE), "greet"),
    (re.compile(r"^\W*(?:thanks?(?: you)?|thx|cheers|great,? thanks?|perfect|awesome|cool|nice)" + _POLITE), "thanks"),
    (re.compile(r"^\W*(?:bye|goodbye|see you|good night|that'?s all)" + _POLITE), "bye"),
    (
        re.compile(
            r"\b(?:what can you do|how do(?:es)? (?:this|you) work|help me use|who are you|what are you)\b|^\W*help\W*$"
        ),
        "help",
    ),
)
_GREETINGS = frozenset("hi hello hey hiya heya howdy yo sup morning evening afternoon greetings".split())  # noqa: SIM905
_PARTINGS = frozenset("bye goodbye later ciao cya farewell night".split())  # noqa: SIM905
_PRAISE = frozenset(
    "thanks thank thx ty cheers ta great cool nice perfect awesome brilliant excellent lovely super sweet wonderful haha "
    "hahaha hah lol lmao hehe wow yay amazing helpful legend star done".split()  # noqa: SIM905
)
_PLEASANTRIES = (
    _GREETINGS
    | _PARTINGS
    | _PRAISE
    | frozenset(
        """a again alright all am and are being best bot buddy care day do doing dude for friend going good have help how i
        i'm im is it it's its just k lot man mate meet much my needed need now ok okay oh one out pal please real really
        robot see so soon take that that's thats the then there things this to today tomorrow tonight too up very was
        welcome well what's whats with worries ya yes you you're youre your""".split()  # noqa: SIM905
    )
)
"""A message of nothing but these is small talk."""
_ELSEWHERE = re.compile(
    r"^\W*(?:(?:hey|hi|hello|please|ok|so|now|can you|could you|would you|will you|i (?:need|want) you to|help me(?: to)?|"
    r"how (?:do|can|should|would|does) (?:i|you|we|one)|what(?:'s| is) the best way to|should i|is it ok(?:ay)? to)\W+)*"
    r"(?:translate|calculate|compute|solve|cook|bake|boil|fry|roast|fix|repair|install|uninstall|configure|debug|compile|"
    r"rewrite|proofread|remind|book|schedule|order|buy|sell|invest|convert|call|text|email|e-mail|send|"
    r"write (?:me )?(?:an?|some|my|the)|set (?:an? )?(?:alarm|timer|reminder)|turn (?:on|off)|lose weight|get rid of|"
    r"get .{2,30} out of|clean (?:a|the|my)|wash|draw|paint|spell|define|unlock|hack|pay|play (?:a song|some music|chess))\b|"
    r"\b(?:recipe|calories|weather|forecast|bitcoin|crypto|share price|exchange rate|mortgage|insurance|taxes|flights? to|"
    r"hotel in|restaurants? (?:in|near)|taxi|pizza|laptop|wi-?fi|printer|homework|essay|cover letter|python|javascript|"
    r"spreadsheet|linux|iphone|symptoms?|headache|horoscope|capital of|president of|prime minister|population of|"
    r"square root|phone number|opening hours|traffic|stock market)\b"
)
"""What is asked of other machines and people."""
_A_TOPIC = re.compile(r"\b(?:about|set in|where|who|with|featuring|involving|like)\b")
_PROFILE = re.compile(
    r"\bwhat (?:do|have) you (?:know|remember|learn(?:ed|t)|believe|think)(?: \w+)? about me\b|"
    r"\b(?:show|list|see|view)(?: me)? (?:all )?(?:of )?my (?:profile|preferences|likes|dislikes|tastes?|"
    r"instructions|rules|data)\b|"
    r"\bwhat (?:do|have) i (?:told you|said|say|like)\b(?!.*\?\s*\w)|\bwhat (?:are|is) my (?:preferences|tastes?|"
    r"profile|rules)\b|"
    r"\b(?:what|which)\b.{0,40}\b(?:do|did|have) you (?:remember(?:ed)?|know|stored?|saved?)\b.{0,12}$|"
    r"\bdo you remember (?:what|anything|me)\b|"
    r"\b(?:do|can) you (?:even |still |actually )?(?:know|remember|recall) (?:what (?:i|we) (?:like|love|hate|enjoy|said|told)|my)\b|"
    r"\b(?:everything|anything|all|what) (?:that )?you(?:'ve| have)? (?:know|remember|have|got|saved?|stored?|noted?|"
    r"learn(?:ed|t)?)(?: \w+)? (?:about|on|for) me\b|\bmy (?:taste )?profile\b|"
    r"\bwhat (?:sort|kind) of (?:films?|movies?|things?|stuff) do i (?:like|love|enjoy|hate)\b"
)
_FORGET = re.compile(
    r"\b(?:forget|delete|erase|remove|wipe|clear|reset|purge|discard)\s+(?:out )?(?:that i\b|what i\b|everything(?:$|[.!?]|\s+(?:about|you|i)\b)|my\b|"
    r"all (?:of )?(?:that|my|you)\b|me\b)|\bforget it all\b"
)
_ADVERBS = "(?:really|just|kinda|kind of|sorta|sort of|totally|still|also|only|actually|always|so)"
_NOT_THIS = (
    r"(?! (?:you|it|that|this|help|some help|(?:a |an |some |the )?(?:advice|answers?|jobs?|doctor|lawyer|table|room|flight|ticket|"
    r"nap|drink|coffee|break|sleep|minute|second|moment|sec|hand|friend|holiday)|to (?:know|talk|ask|go|buy|learn|sleep|eat|"
    r"cook|cancel|delete|change|say|tell|complain|speak|pay|order|book))\b)"
)
WISH = re.compile(
    r"\b(?:recommend|suggest|something|anything|find me|show me|looking for|in the mood|want (?:a|an|some|to watch)|"
    r"give me|(?:surprise|entertain|scare|amaze|thrill|cheer|move) (?:me|us)|what (?:should|could|can|do) (?:i|"
    r"we) watch|"
    r"pick (?:one|something|anything)|i(?:'d| would) (?:like|love)|i need|got any|"
    r"(?:any|some|your|an?|another) (?:(?:other|good|nice|great|new|best|more|quick) )*"
    r"(?:suggestion|recommendation|tip|idea|pick|proposal)s?(?! (?:was|were|is|are)\b))\b|"
    rf"\bi(?:'?m| am|'ve been)? (?:{_ADVERBS} )*(?:want|wanna|need|crave|craving|fancy|could (?:really )?(?:go for|use|do with)|"
    rf"feel(?:ing)? like|up for|down for|after|dying for){_NOT_THIS}|"
    rf"^\W*(?:(?:so|ok|hey|hi|just|{_ADVERBS})\W+)*(?:need|want|wanna|craving|fancy|feel like|after) (?:an?|some|something|to (?:watch|see))\b{_NOT_THIS}|"
    r"\bwhat (?:should|could|can|would|might|do) (?:i|we|you) (?:watch|see|put on|recommend|suggest|pick|choose|go for|show)\b|"
    r"\bwhat (?:do|shall) i watch\b|\bwhat to (?:watch|see|put on|pick)\b|\bgimme\b|\bsimilar (?:movies?|films?|ones?|stuff)\b|\bhit me (?:with|up)\b|\bpoint me\b|"
    r"\bwhat(?:'?s| is| would be| could be) (?:\w+ )?(?:good|nice|great|fun|best|worth (?:watching|seeing))"
    r"(?: (?:one|film|movie))?(?: (?:for|to|on|tonight|today|this)\b|\W*$)|"
    r"^\W*(?:ok(?:ay)?,? |so,? |please,? |then,? )*(?:surprise|entertain) (?:me|us)\b"
)
MORE = re.compile(
    r"\b(?:anything|something|what|who|ones?|any(?:one)?) else\b|"
    r"\bother (?:ones?|films?|movies?|options?|suggestions?)\b|\b(?:show|give) me more\b|"
    r"\bnext (?:page|ones?|batch|lot|set)\b|\bkeep (?:going|them coming)\b|\bmore,? (?:please|pls|plz)\b|"
    r"^\W*(?:some |few |a few |show |show me )?more\W*$|\bmore of (?:that|this|these|those|the same|it|them)\b|"
    r"^\W*(?:no+|nah|nope|next|again)\W*$|\bnot (?:that|this|those|these)(?: ones?)?\W*$|"
    r"\bnone of (?:those|these|them)\b|"
    r"\bmore (?:options|suggestions|recommendations|like (?:this|these|that))\b|"
    r"\banother one\b|\belse by\b|\bany more\b"
)
_ASSENT = re.compile(
    r"^\W*(?:oh|ok(?:ay)?|well|hmm+)?\W*(?:yes|yeah|yep|yup|sure|please do|go ahead|why not|of course|absolutely|"
    r"definitely|ok(?:ay)?|gladly|sounds good|that would be (?:great|nice|lovely|good))\b"
    r"(?:[\s,!.]*(?:yes|please|do|go|ahead|thanks?|thank you|that|it|sounds|would be|great|nice|lovely|good|fine|sure|"
    r"ok(?:ay)?|of course|why not|by all means|i'?d (?:love|like) that))*[\s,!.]*$"
)
"""Yes to what was offered."""
REJECTS = re.compile(
    r"\bnone of (?:those|these|them)\b|\b(?:not|neither of) (?:any of )?(?:those|these|them)\b"
    r"(?! (?:kinds?|types?|sorts?)\b)|\b(?:(?:don'?t|do not|didn'?t) (?:really )?(?:like|want|care for|fancy)|"
    r"not (?:interested in|into)) (?:any of )?(?:those|these|them)(?=\W*$|[.,;!]| (?:at all|really|much|either|"
    r"any ?more|films?|movies?|ones?)\b)|"
    r"^\W*(?:no+|nah|nope|no,? thanks?(?: you)?)\W*(?:$|[,.;!]\s*(?:none|not|i(?: do|'?d|'?m)?n?'?t?|sorry|something|"
    r"next|other|another|thanks|please)\b)|\b(?:those|these|they) (?:are|do|don'?t|aren'?t) (?:all )?(?:not|bad|awful|"
    r"appeal|boring|terrible|no good)\b"
)
"""The whole list is turned down."""
NO_FIRST = re.compile(r"^\W*(?:no+|nah|nope)\s*[,.;!]")
"""Turns the list down too, unless it answers a question."""
_ACCEPTS = re.compile(
    r"\b(?:it is then|(?:i|we)(?:'?ll| will| shall| think (?:i|we)'?ll)? (?:just )?(?:take|go (?:with|for)|watch|try|give) (?:it|that|this)\b|"
    r"(?:going|gonna go) with (?:it|that|this)|sold|let'?s (?:go with|watch|do|try) (?:it|that|this)\b|(?:it|that one) it is)\b"
)
"""Takes one of those shown."""
_FOLLOW_UP = re.compile(r"\?\s*$|\blike\b.*\bbut\b|\bmore like\b|\bsimilar\b|\bwhat(?:'s)? next\b|\banother\b")
_WHY = re.compile(
    r"^\W*(?:but |and |so |ok |hm+,? )?why\b(?! don'?t| not (?:try|watch|just)\b)|"
    r"\bwhy (?:did you|have you) (?:recommend|pick|suggest|choose|chosen)|"
    r"\bhow come\b|"
    r"\bhow did you (?:come up with|choose|pick|get|select|find)\b|\bwhat made you (?:recommend|pick|suggest|choose)\b|"
    r"\b(?:explain|justify) (?:this|that|these|those|your|the) (?:choices?|picks?|lists?|suggestions?|"
    r"recommendations?)\b|"
    r"\b(?:reason(?:ing|s)?|logic|rationale|thinking) (?:behind|for|of) (?:this|that|these|those|the|your|it)\b|"
    r"\bwhat(?:'?s| is| was) (?:the|your) (?:reason\w*|logic|rationale|thinking)\b|\bbased on what\b|"
    r"\bwhat(?:'?s| is| are|'re) (?:this|that|these|those|it|they) based on\b"
)
_REJECTS = re.compile(
    r"^\W*(?:no+|nah|nope|next|again|others?)?[\s,]*(?:not (?:that|this|those|these|it)(?: one| ones)?|"
    r"none of (?:those|these|them)|never ?mind(?: that)?|forget (?:it|that)|"
    r"i don'?t like (?:any|these|those)(?: of (?:them|these|those))?)?[\s,!.]*$"
)
_POLITE_END = re.compile(r"\b(?:pls|plz|please)\W*$")
_QUESTION = re.compile(r"\?\s*$|^\W*(?:who|what|when|where|why|how|which|is|are|do|does|did|can|could)\b")
_ARTICLE = r"^\W*(?:(?:please|so|ok|then|hi|hello|hey|just|maybe)\W+)*(?:an?|any|some|one|another|your)"
_FRAGMENT = re.compile(r"\W*(?:an?|any|some|not another|no more|nothing) \w+ \w+")
"""A wish that is nothing but what is wished for: "a period piece with great costumes"."""
_ABOUT_FILMS = re.compile(r"\b(?:movies?|films?|watch|mood|cinema|flicks?|stuff|vibes?)\b")
_FILM_WORDS = re.compile(r"\b(?:movies?|films?|watch(?:ing)?|cinema|flicks?|documentar\w+|stor(?:y|ies))\b")


def classify(
    low: str,
    schema: Schema,
    *,
    target: bool,
    opinion: bool,
    conditions: bool,
    kinds: bool,
    person_of: bool,
    people: bool,
    query: str,
    running: bool,
    takes_back: bool,
    offered: bool,
) -> tuple[Act, tuple[str, ...]]:
    """The act and, for a look-up, the fields asked for (() means "tell me about it").

    ``low``: the lower-case message with each linked title replaced by "it". ``target``: an item is named or pointed at.
    ``kinds``: a category or a person is asked for. ``running``: there is a request that a few loose words ("in space") may narrow. ``offered``: the turn before ended
    in a question, so that "yes" is a request.
    """
    if _FORGET.search(low):
        return "forget", ()
    if _PROFILE.search(low):
        return "profile", ()
    if _WHY.search(low):
        return "why", ()
    if running and (takes_back or _REJECTS.search(low)):
        return "recommend", ()
    if _ASSENT.search(low) and not (target or conditions or people):
        return ("recommend" if offered else "thanks" if running else "other"), ()
    if not (target or conditions or people):
        for pattern, act in _SMALL_TALK:
            if pattern.search(low):
                return act, ()
        if pleasant := _pleasantry(low):
            return pleasant, ()
    if not kinds and not _FILM_WORDS.search(low) and _ELSEWHERE.search(low) and not _A_TOPIC.search(low):
        return "other", ()
    wish = WISH.search(low) is not None and not (target and _GIVES_FACT.search(low))
    if target and not person_of and not wish:
        asked = [name for pattern, what in _LOOKUP if pattern.search(low) and (name := _field(schema, what))]
        if asked:
            return "lookup", tuple(dict.fromkeys(asked))
        if _TELL.search(low) or (_HAVE.search(low) and not MORE.search(low)):
            return "lookup", ()
    if running and REJECTS.search(low):
        return "recommend", ()
    if running and not (wish or conditions or people) and _ACCEPTS.search(low) and not MORE.search(low):
        return "thanks", ()
    if opinion and not wish and not conditions and not _FOLLOW_UP.search(low) and not MORE.search(low):
        return "feedback", ()
    if conditions or target or person_of or wish or people or MORE.search(low) or _asks_for_one(low, schema):
        return "recommend", ()
    narrows = running and not tells(low) and (not _QUESTION.search(low) or re.match(r"\W*any\b", low) is not None)
    polite = _POLITE_END.search(low) is not None
    narrows = narrows or polite or (_FRAGMENT.match(low) is not None and not _QUESTION.search(low) and not tells(low))
    if polite and (_ABOUT_FILMS.search(low) or _names_items(low, schema)):
        return "recommend", ()
    return (
        "recommend" if query and (narrows or _ABOUT_FILMS.search(low) or _names_items(low, schema)) else "other"
    ), ()


def _pleasantry(low: str) -> Act | None:
    """A message of nothing but greetings, thanks and the words between them."""
    words = re.findall(r"[\w']+", low)
    if not words or not _PLEASANTRIES.issuperset(words):
        return None
    if _PRAISE.intersection(words) or {"you're", "youre"}.intersection(words):
        return "thanks"
    if _PARTINGS.intersection(words) or "that's all" in low:
        return "bye"
    return "greet" if _GREETINGS.intersection(words) else None


def _field(schema: Schema, what: Role | str) -> str | None:
    if isinstance(what, Role):
        spec = schema.by_role(what)
        return spec.name if spec else None
    starts = next((names for names in CUE_FIELDS.values() if what in names), (what,))
    return next((f.name for f in schema.people() if f.name.startswith(starts)), None)


def _asks_for_one(low: str, schema: Schema) -> bool:
    """ "A film for tonight?", "some good movie, please": nothing but the noun with an article."""
    own = {re.escape(n.lower()) for n in (schema.item_noun, schema.item_noun_plural)}
    nouns = "|".join(sorted({*own, "movies?", "films?", "ones?"}))
    return re.match(rf"{_ARTICLE} (?:[\w-]+ ){{0,3}}(?:{nouns})\b", low) is not None and not tells(low)


def _names_items(low: str, schema: Schema) -> bool:
    return any(re.search(rf"\b{re.escape(n.lower())}\b", low) for n in (schema.item_noun, schema.item_noun_plural))
