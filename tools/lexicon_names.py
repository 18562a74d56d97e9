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
    angeles archer austin baker banks barber bass battle beach berlin bishop blade blake bliss bloom blossom
    blunt bond book boston bower bowers branch bridge bridges bright bristol brook brooklyn brooks buck burns
    bush butler cambridge camp candy cannon carolina carpenter carver case cash chance chase chelsea cherry
    chester chestnut church clay cleveland close cook cooper cove covert cow crane crews crow crystal cube
    dakota dale dallas dean dear dent diamond diego diggs dove drake driver duke dye early east english
    entertainer essex farmer fay fine finger fish fisher fleet flint flood florence flower flowers forest
    forester foster francisco frank freeman french friend frost fry fuller fury gale garden garner gates genoa
    german glass glover gold golden good goode gore grant grave graves ground guest gunner hall hamburg hammer
    hand hands hardy harm hart head heard heart held high holder holland home honey hong hood hook hopper horn
    horne house houston hunter hurt ice ireland irons israel jewel jordan joy judd judge keen kent key keys kid
    kidder kind kitsch knight kong lake lamb lancaster land lane lark lean leaves leech light lincoln line
    lively loach london lone loud low lyon madison major manning march marine mark mars marsh mast masters may
    mead messing milan miles mills mint mole montana moody mount mountain muse naples needle new noon oak
    orleans oxford page pain palm paradise paris park parks parson pass peace peak pearl peck pen pepper perfect
    pike place plank pole pond pool pope porter potter pound powder power powers prince quick rainey range rank
    ray read reader reed reef rhymes ring ripper river rivers roach rocha rock roma root roots round rush sage
    saint sand sands savage savannah schooler scotland sheen sheffield shepherd shield shields shine shore
    shorter siena silver singer skinner sky smart sommer song soul spall spark sparks sparrow spring squire
    staff stamp star stark steel stem stern still sting stock strange street sun sunny swan sweet swift sydney
    tack tally temple thorn tower towers town trick trucks true truth turner twist union usher vale van vault
    venture verona vice vienna vince virginia virtue voyage wade wait waits wales walker wall war ward warden
    warner warren washington waters wave weather weaver weaving webb wells wheeler whole wild wilde windsor
    winters wisdom wish witness wolfe wonder words work works worth wright yard yates york youth
    """.split()  # noqa: SIM905 - a word list
)
"""Words that are surnames where "by", "with" or a capital says so, and words where nothing does."""
