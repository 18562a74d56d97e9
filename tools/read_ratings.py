"""Age ratings, praise and fame, read by rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import Condition, Expr, Not, Op, Test
from convrec.tools.schema import Role
from convrec.tools.spans import Message

GOOD_SCORE = 80
"""What "highly rated" means on a 0-100 quality field."""
_CERTIFICATE = re.compile(
    r"\b(?i:(?:rated|rating|certificate)\s+(?:any(?:thing)? but\s+)?(NC-?17|PG-?13|PG|G|R))\b|\b(NC-?17|PG-?13|PG|"
    r"[Rr])(?=[- ]rated\b)|"
    r"\b((?i:PG-?13|NC-?17|PG))\b|(?<=\bpg or )(g)\b|(?<=\bPG or )(G)\b|(?<=\bpg, )(g)\b|\b((?i:g))(?= (?:or|"
    r"and) (?i:pg)\b)"
)
_NOT_ABOVE = re.compile(
    r"\b(?:nothing|not|no|never) (?:\w+ )?(?:above|over|higher than|stricter than|beyond|past)\s+(?:an? |the )?$"
)
_SCORE = re.compile(
    r"\b(?:at least|over|above|minimum(?: of)?|more than)\s+(\d{2,3})\s*(?:%|percent)|"
    r"\b(?:scores?|ratings?|rated|critics|rotten tomatoes|metacritic)\s+(?:is |are |of |from |score |rating )*"
    r"(?:at least|over|above|higher than|better than|more than|minimum(?: of)?|>=?)\s*(\d{2,3})\b"
)
_SCORE_AFTER = re.compile(
    r"\b(\d{2,3})\s*(?:%|percent)?\s*(?:or (?:more|higher|above|better|over)|and (?:up|above)|\+|at least|minimum)"
    r"(?=[^.;!?]{0,25}\b(?:critics|scores?|ratings?|reviews?|rotten tomatoes|metacritic)\b)|"
    r"\b(\d{2,3})\s*(?:%|percent)\s*(?:or (?:more|higher|above|better|over)|and (?:up|above)|\+|at least|minimum)"
)
_SCORE_NEAR = re.compile(
    r"\b(?:critics|reviewers|rotten tomatoes|metacritic|scores?|ratings?)\b[^.;!?\d]{0,30}?\b(?P<n>\d{2,3})(?:\s*%|"
    r"\s*percent)? "
    r"(?:or|and) (?:more|higher|above|better|over|up)\b|"
    r"\b(?:critics?'?|critics'|scores?d?|ratings?|rated|reviews?|reviewed|rotten tomatoes|metacritic)\b[^.;!?\d]{0,30}?"
    r"\b(?:at least|over|above|higher than|better than|more than|minimum|>=?)\s*(?:of |an? )?(\d{2,3})(?:\s*%|"
    r"\s*percent)?(?!\s*(?:min|hour|years|s\b))\b|"
    r"\b(?:at least|over|above|higher than|better than|more than|minimum)\s+(?:of |an? )?(\d{2,3})\b(?:\s*%|"
    r"\s*percent)?"
    r"[^.;!?\d,]{0,25}\b(?:critics|scores?|ratings?|reviews?|rotten tomatoes|metacritic)\b"
)
_OUT_OF_TEN = re.compile(
    r"\b(?:at least|over|above|minimum|more than|better than)\s+(?:an? )?(\d(?:\.\d)?)\s*(?:/\s*10|out of (?:10|"
    r"ten))\b|"
    r"\b(\d(?:\.\d)?)\s*(?:/\s*10|out of (?:10|ten))\s*(?:or (?:more|higher|above|better|up)|and (?:up|above)|\+|"
    r"minimum)"
)
_SCORE_BELOW = re.compile(
    r"\b(?:nothing|not|no|never|none|without|avoid|skip|refuse|(?:don|won|can|wouldn)'?t|cannot)\b"
    r"(?:(?!\b(?:but|just|only|rather|instead|mind)\b)[^.;:!?,]){0,45}?"
    r"\b(?:below|under|less than|lower than|worse than)\s+(?:an? )?(?:(\d{2,3})\s*(?:%|percent)|(\d{2,3})\s+"
    r"(?:from|with|by|on|score|points)\b[^.;!?]{0,20}\b(?:critics|rotten tomatoes|metacritic|score))"
)
"""A floor said as a denial: "never anything below 80%"."""
_LISTED = re.compile(r"\s*(?:,|/|or|and|,\s*or)\s*$")
_OR_LOWER = re.compile(
    r"\s*(?:-?rated)?\s*(?:or (?:lower|below|under|less|milder|younger)|max(?:imum)?|at most|and (?:below|under))"
)


@dataclass(slots=True)
class RatingReader:
    """Reads ratings for one catalogue: only what its schema has."""

    catalogue: Catalogue
    _marks: tuple[int, int] | None = field(init=False, default=None)

    def certificates(self, message: Message) -> list[Condition]:
        """Age ratings: "rated PG", "PG-13 or lower", "nothing rated R"."""
        spec = self.catalogue.schema.by_role(Role.CERTIFICATE)
        if spec is None or not spec.ordered:
            return []
        out: list[Condition] = []
        end = -1
        for m in _CERTIFICATE.finditer(message.text):
            value = (
                next(group for group in m.groups() if group).upper().replace("PG13", "PG-13").replace("NC17", "NC-17")
            )
            if value not in spec.ordered or not message.low[m.start() : m.end()].strip():
                continue
            rank = spec.ordered.index(value)
            before = message.low[: m.start()]
            up_to = re.search(r"\b(?:up to|at most|max|no higher than)\s+$", before) or _NOT_ABOVE.search(before)
            if _OR_LOWER.match(message.low[m.end() :]) or up_to:
                milder = spec.ordered[: rank + 1]
                out.append(Condition(Test(spec.name, Op.ANY, milder), f"rated {value} or milder", spec.name, said=m[0]))
            elif message.negated(m.start()) or " but " in m[0]:
                stricter = spec.ordered[rank:]
                label = f"not rated {' or '.join(stricter)}"
                out.append(
                    Condition(Not(Test(spec.name, Op.ANY, stricter)), label, spec.name, negative=True, said=m[0])
                )
            else:
                values: tuple[str, ...] = (value,)
                if out and not out[-1].negative and end >= 0 and _LISTED.fullmatch(message.low[end : m.start()]):
                    values = (*_values_of(out.pop()), value)  # "G or PG"
                label = f"rated {' or '.join(values)}"
                out.append(Condition(Test(spec.name, Op.ANY, values), label, spec.name, said=m[0]))
                end = m.end()
        return out

    def quality(self, message: Message) -> list[Condition]:
        """Praise and fame: "acclaimed", "score above 85", "hidden gems"."""
        schema, low = self.catalogue.schema, message.low
        out: list[Condition] = []
        if spec := schema.by_role(Role.QUALITY):
            floor: int | None = None
            if (
                m := _SCORE_BELOW.search(low)
                or _SCORE.search(low)
                or _SCORE_AFTER.search(low)
                or _SCORE_NEAR.search(low)
            ):
                floor = min(int(next(number for number in m.groups() if number)), 100)
            elif m := _OUT_OF_TEN.search(low):
                floor = min(round(10 * float(m[1] or m[2])), 100)
            elif m := re.search(
                r"\b(?:highly|highest|top|best|well|better)[- ](?:rated|reviewed|regarded|received|praised)\b|"
                r"\b(?:critically )?acclaimed\b|"
                r"\b(?:great|good|excellent|glowing|rave|strong|stellar) (?:reviews|scores|ratings)\b|"
                r"\bcritics (?:all |really )?(?:loved?|liked?|adored?|praised?|raved about)\b|\bmasterpieces?\b",
                low,
            ):
                floor = GOOD_SCORE
            if floor is not None and m is not None:
                floor = self._on_scale(spec.name, floor)
                label = f"{spec.spoken} of at least {floor}{spec.unit}"
                out.append(Condition(Test(spec.name, Op.GE, (floor,)), label, spec.name, said=m[0]))
        if spec := schema.by_role(Role.POPULARITY):
            m = re.search(r"\b(?:popular|famous|well[- ]known|blockbusters?|mainstream|big hits?)\b", low)
            well_known = m is not None
            denied = m is not None and message.negated(m.start())
            m = m or re.search(
                r"\b(?:hidden gems?|obscure|lesser[- ]known|little[- ]known|under the radar|off the beaten (?:path|"
                r"track)|"
                r"underrated|under[- ]?appreciated|underseen|overlooked|forgotten|nobody (?:talks about|knows|"
                r"has seen))\b",
                low,
            )
            if m is not None:
                median, top_fifth = self._popularity_marks(spec.name)
                if well_known and not denied:
                    known: Expr = Test(spec.name, Op.GE, (top_fifth,))
                    out.append(Condition(known, "well known", spec.name, said=m[0], hard=False))
                else:
                    little: Expr = Test(spec.name, Op.LE, (median,))
                    out.append(Condition(little, "little known", spec.name, said=m[0], hard=False))
        return out

    def _on_scale(self, field_name: str, percent: int) -> int:
        """``percent`` on the field's own scale: 80 stays 80 on 0-100 and is 4 on 0-5."""
        values = self.catalogue.numeric(field_name)
        top = float(np.nanmax(values)) if np.isfinite(values).any() else 100.0
        scale = next((limit for limit in (1, 5, 10, 100) if top <= limit), top)
        return round(percent * scale / 100)

    def _popularity_marks(self, field_name: str) -> tuple[int, int]:
        """The median and the 80th percentile of the popularity field; worked out once."""
        if self._marks is None:
            values = self.catalogue.numeric(field_name)
            known = values[np.isfinite(values)]
            median, top = np.percentile(known, [50, 80]) if len(known) else (0.0, 0.0)
            self._marks = int(median), int(top)
        return self._marks


def _values_of(condition: Condition) -> tuple[str, ...]:
    return tuple(str(value) for value in condition.expr.values) if isinstance(condition.expr, Test) else ()
