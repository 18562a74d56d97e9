"""A user's message with its tokens, clauses and masked spans: what all rule readers work on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from convrec.core.text import fold

_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*", re.UNICODE)
_CLAUSE_END = re.compile(
    r"(?<!\b\w)\.|[;:!?,\n]|\bbut\b|\bjust\b|\bonly\b|\brather\b(?! than)|\bpreferably\b|"
    r"\bso (?=(?:an?|give|show|maybe|something|find|let'?s|how|i want|i'd)\b)|\band (?=(?:came|comes|made|released|"
    r"from|before|after|under|over|shorter|longer)\b)"
)
_HEDGE = (
    r"(?:maybe|perhaps|preferably|ideally|(?<!you )possibly|bonus points?|if possible|would be (?:nice|great|a plus)|"
    r"hopefully)"
)
_HEDGED_BEFORE = re.compile(rf"\b{_HEDGE}\b[^.;!?,]*$")
_HEDGED_AFTER = re.compile(rf"\s*(?:movies?|films?)?,?\s*\b{_HEDGE}\W*(?:$|[.;!?,])")
_LIST_GAP = re.compile(
    r"\s*(?:films?|movies?|ones?|stuff)?\s*(,\s*n?or|n?or|/|,)\s*(?:(?:an?|any|the|from|more|by|with)\s+)*"
)
_LIST_GOES_ON = re.compile(r"\s*(?:films?|movies?|ones?)?\s*(?:,|/|n?or\b)")
_DENIES = (
    r"\bno\b|\bnot\b|\bnothing\b|\bnone\b|\bzero\b|\bsans\b|\bthan (?:to )?(?:watch|see|sit through)\b|\bno(?:body| "
    r"one)\b|\bwithout\b|\bapart from\b|\boutside(?: of)?\b|"
    r"\baside from\b|\bbar(?:ring)?\b|\bsave for\b|\bbesides\b(?!,)|\brefus(?:e|es|ing)(?: to (?:watch|see|sit "
    r"through))?\b|"
    r"\bexcept(?:ing)?(?: for)?\b|\bavoid(?:ing)?\b|"
    r"\bnever\b(?! ?mind)|\bhates?\b|\bdisliked?\b|\bdislikes\b|\b(?:don|doesn|isn|aren|didn|wasn|won)'?t\b|"
    r"\b(?:any|every)(?:thing|one|body|where)? (?:[\w-]+ )?but\b|\bother than\b|\brather than\b|\binstead of\b|"
    r"\b(?:can|must|should|need)(?:n?'?t|not| not) "
    r"(?:be|have|star|feature|include|involve|contain)\b|\bcan(?:'?t|not) (?:stand|take|handle|bear|do|watch|"
    r"sit through|stomach|tolerate|deal with|face)\b|"
    r"\b(?:sick|tired|bored|weary|free) of\b|\b(?:fed up|done|through|enough) with\b|\benough(?: of)?\b|"
    r"\bskip(?:ping)?\b|\bneither\b|\bminus\b|\bstop (?:\w+ing|with)\b|"
    r"\b(?:drop|ditch|scrap|lose|exclud(?:e|ing)|omit|ban|spare me|hold|leav(?:e|ing) out|"
    r"cut(?:ting)? out|keep out|rul(?:e|es|ing) out|leave off|(?:steer|stay|keep) (?:well )?(?:clear of|away from)|"
    r"loathes?|despises?|detests?|allergic to)\b"
)
_NOT_A_START = r"(?!(?:what|show|give|recommend|suggest|find|i|i'd)\b)"
"""A denial ends where the wish begins: "besides Heat, what"."""
_TELLING = r"(?:(?:ever|again|please) )*(?:show|give|recommend|suggest|find)"
"""Right after the denial it is what is denied: "never show me horror"."""
_SUCH = (
    r"(?:any(?:thing|one)|films?|movies?|stuff|ones|things|titles) (?:(?:that|which) (?:is|are|has|have) "
    r")?(?:by|with|from|of|in)"
)
"""What may stand between a denial and the words that name what is denied: "skip anything with"."""
NEGATION = re.compile(
    rf"(?:{_DENIES})[\s-]*(?:{_TELLING}\s+)?(?:{_SUCH}\s+)?(?:{_NOT_A_START}[\w'’-]+\s+){{0,3}}$|\bnon[- ]$"
)
_NO_DENIAL = re.compile(
    r"\b(?:don|doesn|wouldn|won|do|does|would|will)(?:'?t| not) (?:really )?(?:mind|care|know|matter)\b|"
    r"\bcan(?:'?t|not) (?:get enough(?: of)?|wait|go wrong|decide|choose)\b|"
    r"\bnot (?:only|just|fussed|picky|bothered|sure)\b|"
    r"\bno (?:problem|matter|idea|preference|rush|doubt|wonder)\b|\bnothing (?:beats|like|better than|is better)\b|"
    r"\b(?:never|(?:haven|hasn|didn|hadn)'?t)(?: \w+)? (?:seen|saw|see|watched|watch|heard|tried|try|been|fails?)\b|"
    r"\bnever (?:get|gets|got) (?:tired|bored|old)(?: of)?\b|\b(?:don|can|won|couldn)'?t you\b|"
    r"\b(?:isn|aren)'?t there\b|\bwhy not\b|\bif not\b|\bor not\b|\b(?:long|good|old|scary|funny|big) enough\b|"
    r"\bhold (?:on|up)\b|\bno(?:body| one) (?:talks?|knows?|has|ever|gets?|remembers?|watche[sd]|told)\b"
)
"""What holds a word of denial and denies nothing: "I don't mind", "can't get enough of", "isn't there"."""
_DENIED_AFTER = re.compile(
    r"[- ]free\b(?! to)|\s+(?:no|nope|nah)\W*(?:$|[.,;!])|(?:\s+(?:movies?|films?|ones?|stuff|flicks?))?\s+"
    r"(?:(?:is|are) (?:not |out\b|(?:strictly |completely |so |way |just |too )*(?:off[- ](?:the (?:table|menu|"
    r"list)|limits)|"
    r"banned|barred|forbidden|excluded|taboo|overrated|boring|dull|awful|terrible|unbearable|an? (?:\w+ )?(?:no|"
    r"no[- ]go|deal ?breaker)\b))|"
    r"(?:(?:do|does|will|need)(?:n'?t| not) (?:count|apply|(?:show|turn|pop) up)|"
    r"(?:is|are|do|does)n'?t (?:for|my|an?|our|do it|work|appeal|interest|allowed|welcome|wanted|in|involved|part|"
    r"star\w*|"
    r"appear\w*|act\w*|direct\w*|feature\w*|the (?:lead|star|director|writer|hero)))\b|need not\b|excluded\b|aside\b|"
    r"bores? (?:me|us)|not (?:wanted|allowed|for (?:me|us)))"
)
_ALL_BUT = re.compile(r"\b(?:any|every)(?:thing|one|body|where)? (?:[\w-]+ )?but$")
_SO_IS = re.compile(r"\s*(?:films?|movies?|ones?|stuff)?,? (?:too|as well|likewise|either)\b")
"""After the next of a list said in a sentence of its own: "war films are out, westerns too"."""
_OPENS_ANEW = re.compile(r"[.;!?]|\b(?:but|want|like|love|prefer|instead|give|show|just|only)\b")
_OUT_AFTER = re.compile(r"\s+(?:out\b(?! (?:in|on|for)\b)(?! of (?!it\b|this\b|that\b))|away\b)")
_KEEP_BEFORE = re.compile(r"\b(?:leave|keep|cut|count|rule|leaving|keeping)\s+(?:the\s+|any\s+|all\s+)*$")


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    """As typed."""
    norm: str
    """Folded; may hold a space ("sci-fi" is two tokens, "AC/DC" too)."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Message:
    """``text`` as typed, ``low`` lower-cased with the same length, spans already explained blanked out in ``low``."""

    text: str
    low: str
    tokens: tuple[Token, ...]

    @classmethod
    def of(cls, text: str) -> Message:
        # Lower-casing must keep positions: a few letters (e.g. İ) grow when lower-cased.
        low = "".join(c.lower() if len(c.lower()) == 1 else c for c in text).replace("’", "'")
        return cls(text, low, _tokens(text))

    def masked(self, spans: list[tuple[int, int]]) -> Message:
        """A copy in which the spans are spaces in ``low`` and their tokens are gone. Titles hide their words so."""
        low = list(self.low)
        for start, end in spans:
            low[start:end] = " " * (end - start)
        kept = tuple(t for t in self.tokens if not any(t.start < end and start < t.end for start, end in spans))
        return Message(self.text, "".join(low), kept)

    def clause_before(self, position: int) -> str:
        """The text of the same clause before ``position``, lower case."""
        ends = [
            match.end()
            for match in _CLAUSE_END.finditer(self.low, 0, position)
            if match[0] != "but" or _ALL_BUT.search(self.low, 0, match.end()) is None
        ]
        return self.low[ends[-1] if ends else 0 : position]

    def inherits_denial(self, previous_end: int, start: int, end: int) -> bool:
        """Whether what stands at ``start:end`` is the next of a denied list: "no horror, war or romance".

        After "or" it always is; after a comma only when the list goes on, so that in "no horror, comedy please" the
        comedy is a wish.
        """
        if _SO_IS.match(self.low, end) and not _OPENS_ANEW.search(self.low[previous_end:start]):
            return True
        gap = _LIST_GAP.fullmatch(self.low[previous_end:start])
        return gap is not None and (gap[1] != "," or _LIST_GOES_ON.match(self.low, end) is not None)

    def hedged(self, start: int, end: int) -> bool:
        """Whether what stands at ``start:end`` is a preference rather than a condition: "ideally funny"."""
        return bool(_HEDGED_BEFORE.search(self.low[:start]) or _HEDGED_AFTER.match(self.low, end))

    def negated(self, position: int) -> bool:
        """Whether what stands at ``position`` is denied by a word at most four words earlier in its clause."""
        clause = self.clause_before(position)
        return NEGATION.search(clause) is not None and NEGATION.search(_NO_DENIAL.sub(" ,", clause)) is not None

    def denied(self, start: int, end: int) -> bool:
        """Whether what stands at ``start:end`` is denied before or after it: "no war", "westerns bore me"."""
        if self.negated(start) or _DENIED_AFTER.match(self.low, end) is not None:
            return True
        return _OUT_AFTER.match(self.low, end) is not None and _KEEP_BEFORE.search(self.low[:start]) is not None


def adjacent(message: Message, window: tuple[Token, ...]) -> bool:
    """Whether only spaces or hyphens stand between the tokens."""
    return all(re.fullmatch(r"[\s-]+", message.low[a.end : b.start]) is not None for a, b in pairwise(window))


def _tokens(text: str) -> tuple[Token, ...]:
    return tuple(
        Token(match.group(), fold(match.group()), match.start(), match.end()) for match in _TOKEN.finditer(text)
    )
