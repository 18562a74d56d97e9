"""What kind of turn a message asks for, read by rule."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from convrec.tools.asides import tells
from convrec.tools.read_lookups import asked_fields, asks_about, asks_whether_there, gives_fact
from convrec.tools.read_talk import asked_of_others, small_talk
from convrec.tools.schema import Schema

Act: TypeAlias = Literal[
    "recommend", "lookup", "feedback", "greet", "thanks", "bye", "help", "profile", "forget", "why", "other"
]

_PROFILE = re.compile(
    r"\bwhat (?:do|have) you (?:know|remember|learn(?:ed|t)|believe|think)(?: \w+)? about me\b|"
    r"\b(?:show|list|see|view)(?: me)? (?:all )?(?:of )?my (?:profile|preferences|likes|dislikes|tastes?|"
    r"instructions|rules|data)\b|"
    r"\bwhat (?:do|have) i (?:told you|said|say|like)\b(?!.*\?\s*\w)|\bwhat (?:are|is) my (?:preferences|tastes?|"
    r"profile|rules)\b|"
    r"\b(?:what|which)\b.{0,40}\b(?:do|did|have) you (?:remember(?:ed)?|know|stored?|saved?)\b.{0,12}$|"
    r"\bdo you remember (?:what|anything|me)\b|"
    r"\b(?:do|can) you (?:even |still |actually )?(?:know|remember|recall) (?:what (?:i|we) (?:like|love|hate|enjoy|"
    r"said|told)|my)\b|"
    r"\b(?:everything|anything|all|what) (?:that )?you(?:'ve| have)? (?:know|remember|have|got|saved?|stored?|noted?|"
    r"learn(?:ed|t)?)(?: \w+)? (?:about|on|for) me\b|\bmy (?:taste )?profile\b|"
    r"\bwhat (?:sort|kind) of (?:films?|movies?|things?|stuff) do i (?:like|love|enjoy|hate)\b"
)
_FORGET = re.compile(
    r"\b(?:forget|delete|erase|remove|wipe|clear|reset|purge|discard)\s+(?:out )?(?:that i\b|what i\b|"
    r"everything(?:$|[.!?]|\s+(?:about|you|i)\b)|my\b|"
    r"all (?:of )?(?:that|my|you)\b|me\b)|\bforget it all\b"
)
_ADVERBS = "(?:really|just|kinda|kind of|sorta|sort of|totally|still|also|only|actually|always|so)"
_NOT_THIS = (
    r"(?! (?:you|it|that|this|help|some help|(?:a |an |some |the )?(?:advice|answers?|jobs?|doctor|lawyer|table|"
    r"room|flight|ticket|"
    r"nap|drink|coffee|break|sleep|minute|second|moment|sec|hand|friend|holiday)|to (?:know|talk|ask|go|buy|learn|"
    r"sleep|eat|"
    r"cook|cancel|delete|change|say|tell|complain|speak|pay|order|book))\b)"
)
WISH = re.compile(
    r"\b(?:recommend|suggest|something|anything|find me|show me|looking for|in the mood|want (?:a|an|some|to watch)|"
    r"give me|(?:surprise|entertain|scare|amaze|thrill|cheer|move) (?:me|us)|what (?:should|could|can|do) (?:i|"
    r"we) watch|"
    r"pick (?:one|something|anything)|i(?:'d| would) (?:like|love)|i need|got any|"
    r"(?:any|some|your|an?|another) (?:(?:other|good|nice|great|new|best|more|quick) )*"
    r"(?:suggestion|recommendation|tip|idea|pick|proposal)s?(?! (?:was|were|is|are)\b))\b|"
    rf"\bi(?:'?m| am|'ve been)? (?:{_ADVERBS} )*(?:want|wanna|need|crave|craving|fancy|could (?:really )?(?:go for|"
    rf"use|do with)|"
    rf"feel(?:ing)? like|up for|down for|after|dying for){_NOT_THIS}|"
    rf"^\W*(?:(?:so|ok|hey|hi|just|{_ADVERBS})\W+)*(?:need|want|wanna|craving|fancy|feel like|after) (?:an?|some|"
    rf"something|to (?:watch|see))\b{_NOT_THIS}|"
    r"\bwhat (?:should|could|can|would|might|do) (?:i|we|you) (?:watch|see|put on|recommend|suggest|pick|choose|"
    r"go for|show)\b|"
    r"\bwhat (?:do|shall) i watch\b|\bwhat to (?:watch|see|put on|pick)\b|\bgimme\b|\bsimilar (?:movies?|films?|"
    r"ones?|stuff)\b|\bhit me (?:with|up)\b|\bpoint me\b|"
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
    r"\b(?:it is then|(?:i|we)(?:'?ll| will| shall| think (?:i|we)'?ll)? (?:just )?(?:take|go (?:with|for)|watch|"
    r"try|give) (?:it|that|this)\b|"
    r"(?:going|gonna go) with (?:it|that|this)|sold|let'?s (?:go with|watch|do|try) (?:it|that|this)\b|(?:it|"
    r"that one) it is)\b"
)
"""Takes one of those shown."""
_FOLLOW_UP = re.compile(
    r"^\W*(?:[\w-]+ ){0,2}?(?:stuff|things?|something|anything|films?|movies?|ones?) (?:in the (?:vein|style) of|"
    r"like|akin to|"
    r"along the lines of|similar to|comparable to)\b|"
    r"\?\s*$|\blike\b.*\bbut\b|\bmore like\b|\bsimilar\b|\bwhat(?:'s)? next\b|\banother\b"
)
_BUT_IT = re.compile(
    r"\bwhat other\b|\b(?:apart from|aside from|other than|besides|except(?: for)?|excluding|(?:any|every)thing "
    r"but) it\b"
)
"""What is named is what is not wanted: "what is there apart from it?"."""
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
    ``kinds``: a category or a person is asked for. ``running``: there is a request that a few loose words ("in space")
    may narrow. ``offered``: the turn before ended in a question, so that "yes" is a request.
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
        talk = small_talk(low)
        if talk is not None:
            return talk, ()
    if not kinds and asked_of_others(low):
        return "other", ()
    wish = WISH.search(low) is not None and not (target and gives_fact(low))
    if target and not person_of and not wish and not _BUT_IT.search(low):
        if asked := asked_fields(low, schema):
            return "lookup", asked
        if asks_about(low) or (asks_whether_there(low) and not MORE.search(low)):
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


def _asks_for_one(low: str, schema: Schema) -> bool:
    """ "A film for tonight?", "some good movie, please": nothing but the noun with an article."""
    own = {re.escape(n.lower()) for n in (schema.item_noun, schema.item_noun_plural)}
    nouns = "|".join(sorted({*own, "movies?", "films?", "ones?"}))
    return re.match(rf"{_ARTICLE} (?:[\w-]+ ){{0,3}}(?:{nouns})\b", low) is not None and not tells(low)


def _names_items(low: str, schema: Schema) -> bool:
    return any(re.search(rf"\b{re.escape(n.lower())}\b", low) for n in (schema.item_noun, schema.item_noun_plural))
