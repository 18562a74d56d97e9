"""Surnames that are English words: which of them stand for a person depends on the words around them."""

from __future__ import annotations

NO_SURNAMES = frozenset(
    """
    christmas disney pixar marvel halloween space summer winter school college love holiday easter valentine
    superhero world america england france germany italy spain japan china india robots aliens vampires zombies
    magic music dance sports football baseball black white green brown grey gray young king stone hill wood woods
    rose hunt cross night bell law lord price west north rich short long small little strong sharp wise noble
    grace hope rain snow storm moon wolf bird fox bean cage field fields day
    """.split()  # noqa: SIM905 - a word list
)
"""Words that are surnames too, but hardly ever meant so before "film" or after "with"."""

EVERYDAY_SURNAMES = NO_SURNAMES | frozenset(
    """
    archer baker banks barber bass battle beach bishop blade blake bliss bloom blossom blunt bond book bower
    bowers branch bridge bridges brook brooks buck burns bush butler camp candy cannon carpenter carver case cash
    chance chase cherry chestnut church clay close cook cooper cove covert cow crane crews crow crystal cube dale
    dean dent diamond diggs dove drake driver duke dye east english entertainer farmer fay finger fish fisher
    fleet flint flood flower flowers forest forester foster frank freeman french friend frost fry fuller fury gale
    garden garner gates german glass glover gold golden good goode gore grant grave graves ground guest gunner
    hall hammer hand hands hardy harm hart head heard heart held holder holland home honey hood hook hopper horn
    horne house hurt hunter ice irons jewel joy judd judge keen key keys kid kidder kitsch knight lake lamb land
    lane lark lean leaves leech light line lively loach lone loud major manning march marine mark marsh mars mast
    masters may mead messing miles mills mint mole mount mountain muse needle noon oak page pain palm paradise
    park parks parson pass peace peak pearl peck pen pepper perfect pike place plank pole pond pool pope porter
    potter pound powder power powers prince quick rainey range rank ray read reader reed reef rhymes ring ripper
    river rivers roach rock rocha root roots round rush sage saint sand sands savage schooler sheen shepherd
    shield shields shine shore shorter silver singer skinner sky sommer song soul spall spark sparks spring
    sparrow squire staff stamp star steel stem still sting stock street sun swan swift tack tally temple thorn
    tower towers town trick trucks truth turner twist union usher vale van vault venture vice vince virtue voyage
    wade wait waits walker wall war ward warden warner warren waters wave weather weaver weaving webb wells
    wheeler whole wild wilde winters wisdom wish witness wolfe wonder words work works worth wright yard yates
    youth
    york hong kong washington london paris houston dallas austin boston lancaster chester lincoln cleveland berlin
    vienna orleans angeles francisco diego israel jordan kent essex sydney madison carolina virginia montana dakota
    savannah brooklyn chelsea hamburg lyon milan roma genoa naples siena florence verona sheffield bristol oxford
    cambridge windsor wales ireland scotland
    """.split()  # noqa: SIM905 - a word list
)
"""Words that are surnames where "by", "with" or a capital says so, and words where nothing does."""
