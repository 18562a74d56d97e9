"""English words that carry no wish of their own, and those that requests are made of."""

from __future__ import annotations

FUNCTION_WORDS = frozenset(
    """
    a about actor actors actress after again all also always am an and another any anything are as at be because
    been before best big both boyfriend but by can cant cast child children could dad did different directed
    director directors do does doing dont down each else enough even ever every everything family feel feeling few
    film films find first for friends from fun genre genres get girlfriend give go going gonna good got great had
    hard has have havent having he her here hers hey hi him his home hour hours how husband i id if ill im in into
    is isnt it its ive just keep kids kind know last less lets like liked little ll long look looking lot love loved
    made make many may maybe me mean mine minute minutes mom mood more most movie movies much mum must my need never
    new newer next nice no nobody none nope not nothing now of off oh ok okay old older on once one only open or
    other our out over own people perhaps play please pretty probably put quite rather re really recommend
    recommendation recommendations right same saw say second see seen show similar simple since so some somebody
    someone something sometimes soon sorry sort star starring stars still stuff style such suggest suggestion
    suggestions sure take tell than thank thanks that thats the their them then there these they thing things think
    third this those though time to today together tomorrow tonight too try two type under until up us ve very vibe
    vibes want was watch watched watching way we weekend well went were what whatever when where which while who
    whole why wife will with without won wont work would wouldnt written yeah year years yes yesterday yet you your
    yours
    """.split()  # noqa: SIM905 - a list of 300 quoted words is harder to read
)
"""Words that never make a title by themselves in running text, nor a search query."""

STRAY_WORDS = frozenset(
    """
    scripted penned scrap reference rule gimme kick binge phase marathon spree craving guy guys dude plenty
    stumbled tbh ngl idk btw fyi rn asap smh
    able adore agree ahead ahh although appreciates ago associated available aware away awesome awful awaiting
    bad basically believe better bound bro buff call came chat coming commonly consider considering continues cool
    couple currently determined disappointed doubt during earlier end excellent exactly exciting
    expect experience extremely familiar far fantastic fav finally fond forgot forward found fresh further gives giving
    goes gone grateful hahaha handy happen hear heard helping helps hoping horribly however huge hulu hurry imo
    ime incredible interesting its itself kindly lacking leave likes lmk looked looks lovely luck maybe might
    mostly must myself near netflix noticed ohh ohhh ooh omg opinion ought ourselves past personal planning playing
    plenty point possibly pointing provide quot rate reach read reading recall recommender
    recommending refuse refresher release reminding revisit season seeing seek seeking sent serve she should shouldn
    show shows sick sound sounds spare stand stay step still stop stopped stream stumble suit suits supposed surprised
    proposal proposals tad tend terrible theater theaters theatre there till total
    tip tips toward towards trailer trailers truly umm unfortunately
    used view viewing waiting wanting wanna wanted week weeks whereas wonderful worthy would yesss yup
    between non one two three four five six seven eight nine ten
    above actually ages aint along already also alright amazing appreciate around author based beginning below
    bit blah blow bonus bored boring both bring bunch bye care catalog catalogue cause cheers check choice choose
    chosen collection come comes could couldnt course critic critics cross curious darker decade
    decades decent definitely desperate didnt doesnt don dunno either ending enjoy enjoyed entertain entertaining
    equally especially etc evening ever except exist exists explain fan fans fancy favorite favorites favourite
    favourites fi fine finish finished flick flicks folks forget funnier gem gems general generally genuinely give
    glad got gotta grab great greatest guess guys haha half happened happens hate hated hates haven hello help
    highest highly hmm honestly hope idea ideally ideas ima imagine including instance instead interested
    isn kinda kinds known language languages lasts late lately later leaning least length lets lighter lighter
    liked lines list listed lists lol longer lot lots loves lower lowest made mainly makes making max maximum meh
    mention mentioned mid mind minimum mins month morning mostly movie named names necessarily needs nah
    nice night nobody none normally nowadays number numbers obviously offer oldest ones option optional options
    original otherwise ours pair particular particularly perfect personally pick picked picks picture pictures
    plan plays please plot plus pls plz point points popular possible possibly prefer preferably preferred preference
    preferences quick quickly random rated rating ratings rather reasonable recent recently recommended reckon
    regardless related released remember result reviewed reviews rewatch rule sci score scores search seems set
    several shall shorter shot slightly slot smth solid somehow somewhere sorta specific spend
    spirit spoken starred start started starting starts stick stories story streaming stuff subtitles such
    suggested suggesting super suppose surely surprise taste tastes tell ten tend terms terrific thinking
    thinks thought thx tired title titles told top total totally tried trying turn twice type types typical usual
    usually value various vein version violent wait wants wasn watchable weve whatever whichever wish
    wished wishes wonder wondering worth wouldn wow wrong year years yesterday you youve zero
    """.split()  # noqa: SIM905 - a word list
)
"""Words of talk about wishes rather than of the wish: never searched for."""

PHRASES = frozenset(
    {
        *(
            "black and white",
            "feel good",
            "true story",
            "love story",
            "first date",
            "date night",
            "time travel",
            "bad guys",
        ),
        *(
            "good guys",
            "high school",
            "best friends",
            "best friend",
            "happy ending",
            "happy endings",
            "road trip",
            "old school",
        ),
        *(
            "movie night",
            "girls night",
            "rainy day",
            "good morning",
            "good night",
            "good evening",
            "good time",
            "bad day",
        ),
        *("long time", "real life", "last night", "last time", "next time", "real time", "summer camp", "new year"),
        *(
            "spare time",
            "big time",
            "prime time",
            "slow burn",
            "coming of age",
            "fish out of water",
            "based on a true story",
        ),
        *("family life", "married life", "small town", "big city", "night out", "day off", "all in all", "one more"),
    }
)
"""Phrases of every day that are titles too: no titles in small letters unless something says so."""

NO_ADVERBS = frozenset(
    """silly ugly deadly lonely friendly unfriendly ghostly deathly unearthly otherworldly melancholy italy july
    butterfly
    fly firefly dragonfly bully belly family curly lively elderly cowardly costly heavenly homely cuddly jolly bubbly
    wooly burly early daily monthly assembly monopoly underbelly anomaly sicily doily hillbilly lily smelly hilly
    ugly prickly wobbly giggly grisly gnarly steely wily holy unholy""".split()  # noqa: SIM905 - a word list
)
"""Words in -ly that are none of the adverbs of talk ("absolutely", "roughly"): they may be searched for."""

REQUEST_WORDS = frozenset(
    """
    about after animated another anything available before between black children comedies comedy critics decade
    different directed director documentaries documentary during english family fiction films french german hour hours
    italian japanese kids know latest like liked long longer looking love loved maybe minutes modern more mood movie
    movies nothing older people please possible rated rating recent recommend recommendation recommendations romantic
    science seen short shorter shows similar since some something spanish starring suggest suggestion suggestions
    tell that the there thing things thriller thrillers tonight under violent want watch watched western westerns what
    when where which with without would year years young
    acted actor actors actress acting adventure adventures always american anything australian awesome beautiful because
    before best biography bored boring british brother brothers cartoon certificate chinese classic classics comedic
    country danish daughter decades definitely depressing different eighties ending enjoy enjoyed everything
    exciting family famous fantasy favorite favorites favourite favourites fifties forties friend friends funnier
    funny great happy hated heard hello highly hilarious history however ideally indian instead interested
    interesting irish korean language languages lighter longest looked make maybe military mystery mysteries
    newer nineties norwegian obscure older other otherwise played playing plays popular prefer
    preferably preferences probably rather really released remember reviews romance running scary scene scenes
    scientist score serious seventies shortest sister sixties slower someone somewhere spanish spooky stars starred
    stories story sunday superhero suspense suspenseful swedish thirties thoughtful together tonight twenties twist
    unless usually watchable weekend weird western woman women wonderful written wrote wrong yesterday
    """.split()  # noqa: SIM905 - a word list
)
"""Words that a misspelling may be meant for."""

SHORTHAND = {
    "abt": "about",
    "w/": "with",
    "smth": "something",
    "smthg": "something",
    "sth": "something",
    "wat": "what",
    "rec": "recommend",
    "recs": "recommendations",
    "reccomend": "recommend",
    "w/o": "without",
    "wout": "without",
    "flim": "film",
    "flims": "films",
    "moive": "movie",
    "moives": "movies",
    "favs": "favourites",
    "faves": "favourites",
    "fave": "favourite",
    "kidz": "kids",
    "ppl": "people",
    "bc": "because",
    "cuz": "because",
    "bw": "black and white",
    "docu": "documentary",
    "hrs": "hours",
    "yr": "year",
    "yrs": "years",
    "b4": "before",
    "dont": "don't",
    "didnt": "didn't",
    "doesnt": "doesn't",
    "isnt": "isn't",
    "couldnt": "couldn't",
    "cant": "can't",
    "wont": "won't",
    "wouldnt": "wouldn't",
    "arent": "aren't",
    "wasnt": "wasn't",
    "havent": "haven't",
    "hasnt": "hasn't",
}
"""How people shorten such words when they type."""
