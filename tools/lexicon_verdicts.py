"""Words in which people judge what they have watched, as parts of regular expressions on lower-case text."""

from __future__ import annotations

_LITTLE = r"(?:(?:just|so|really|absolutely|pretty|quite|very|actually|truly|simply|utterly|kinda|such|an?|the) )*"

GOOD = (
    _LITTLE
    + r"(?:great|amazing|awesome|good|fantastic|brilliant|excellent|perfect|fun|lovely|superb|wonderful|terrific|"
    r"incredible|stunning|gorgeous|beautiful|outstanding|phenomenal|magnificent|marvell?ous|masterful|spectacular|sublime|"
    r"fab|fabulous|ace|top[- ]notch|blast|treat|gem|masterpiece|classic|best|hilarious|delight(?:ful)?|charming|"
    r"gripping|"
    r"mesmeri[sz]ing|unforgettable|mind[- ]?blowing|breathtaking|epic|lit|dope|my (?:all[- ]time )?(?:favou?rite|fav)|"
    r"one of my (?:\w+[- ])*(?:favou?rites?|favs?|faves?))"
)
BAD = (
    r"(?:(?:just|so|really|absolutely|pretty|quite|very|actually|truly|simply|utterly|kinda|such|a bit|an?|the) )*"
    r"(?:boring|terrible|awful|bad|dull|stupid|meh|overrated|too \w+|dreadful|horrible|horrendous|atrocious|appalling|"
    r"rubbish|garbage|trash|crap(?:py)?|shit(?:e|ty)?|lame|disappoint(?:ing|ment)|weak|tedious|unwatchable|pointless|ridiculous|"
    r"dumb|mess|bore|snooze(?:fest)?|painful|cringe\w*|annoying|forgettable|mediocre|let[- ]?down|slog|worst|poor|"
    r"not (?:my (?:thing|cup of tea)|for me|(?:very |that |so |really )?(?:good|great)))"
)
GOOD_DEED = (
    r"(?:blew (?:my mind|me away)|made (?:me|us) (?:cry|laugh|smile|think)|moved me|stuck with me|rocks|rocked|"
    r"rules|ruled|"
    r"never gets old|still holds up)"
)
BAD_DEED = (
    r"(?:bored (?:me|us)|put (?:me|us) to sleep|sucks|sucked|stinks|stank|left me cold|let me down|did nothing for me|"
    r"was not for me|wasn'?t for me|didn'?t do it for me|gave me a headache)"
)
FOND = (
    r"(?:lov(?:e|ed|ing)|liked|enjoy(?:ed)?|ador(?:e|ed)|fans? of|(?:blown away|impressed) by|obsessed with|"
    r"crazy about|"
    r"hooked on|fell in love with|can(?:'?t|not) get enough of|favou?rites?(?: (?:film|movie)s?)?(?: ever|"
    r" of all time)?"
    r"(?: (?:is|are|was|has to be|would be)|:)?)"
)
NOT_FOND = (
    r"(?:hated?|dislik(?:e|ed)|loathed?|despised?|detest(?:ed)?|(?:didn'?t|did not|don'?t|do not|never|"
    r"not) (?:really |much |even )?"
    r"(?:like|liked?|enjoy|love|care for|get into|get the hype (?:of|about))|not (?:a|the biggest|much of a) fan of|"
    r"(?:couldn'?t|can'?t|could not) (?:stand|get (?:through|into)|finish|bear)|bored (?:by|with|to tears by)|"
    r"disappointed (?:by|with|in)|let down by|"
    r"(?:not|un)[- ]?impressed (?:by|with)|fell asleep (?:during|in|watching)|walked out of|switched off|gave up on|"
    r"regret watching)"
)
