"""Where each data set comes from: files of a mirror with their hashes, and the publishers' own addresses.

A mirror is a folder or URL in which every file is gzip and is known here by its SHA-256. What the publishers serve
cannot be known beforehand: an archive's hash is written down on its first fetch (trust on first use, see
``dataset_fetch``), and the few contents that are known are compared with what came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MirrorFile:
    """One file of a mirror. ``size`` in bytes; ``sha256`` is that of the gzip file itself."""

    source: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PublisherFile:
    """One file a publisher serves. ``limit``: most bytes accepted."""

    url: str
    name: str
    limit: int = 64 << 20


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Everything needed to fetch one data set. ``known``: SHA-256 of contents (not gzip) that publishers serve."""

    name: str
    title: str
    licence: str
    cite: str
    mirror: tuple[MirrorFile, ...]
    mirror_variant: str
    mirror_note: str
    publisher: tuple[PublisherFile, ...]
    publisher_note: str
    known: Mapping[str, str] = field(default_factory=dict)


_REDIAL_MIRROR = (
    MirrorFile(
        "redial/train.jsonl.gz",
        "train.jsonl.gz",
        1_082_312,
        "805fe716f3a522e8b9f4f964bbac13d7a1f67b3095ecbdc0e3b1a43c6c51069a",
    ),
    MirrorFile(
        "redial/valid.jsonl.gz",
        "valid.jsonl.gz",
        460_882,
        "4964b1bef432646f462075f299836c33b85efc1dc3de8ee220d7dcc4b00e2bab",
    ),
    MirrorFile(
        "redial/test.jsonl.gz",
        "test.jsonl.gz",
        601_884,
        "f5f27638480faeedc976fed31cfc2ca7e163fef4efe2dbb4d215bbefd2001d1c",
    ),
    MirrorFile(
        "redial/train_mentions.jsonl.gz",
        "train_mentions.jsonl.gz",
        186_204,
        "f0651271845dd584f8c357620510e029ffe97b1ad7c5d4f55e5cd1442b776bb5",
    ),
    MirrorFile(
        "redial/iard.json.gz",
        "iard.json.gz",
        186_814,
        "02bf8f197975d8bff585a1e092bea43f196c31929c3dc2481a991dbb14c456e4",
    ),
    MirrorFile(
        "redial/movies_with_mentions.csv.gz",
        "movies_with_mentions.csv.gz",
        93_264,
        "59a9a573ddd92e9511d9eeea99d48ac21b48d1d8d2dfe83bf45fc26b10e7dc64",
    ),
    MirrorFile(
        "redial/items.jsonl.gz",
        "items.jsonl.gz",
        1_346_519,
        "7b327e20f65acafef262dd2bedc5742ffe094004f98e5160cda195dd66369d91",
    ),
    MirrorFile(
        "redial/kg_imdb.json.gz",
        "kg_imdb.json.gz",
        643_072,
        "ac978d2cd4177890389df69066d539d50e86aa503f5dcf9dfae686e6dc91aa16",
    ),
    MirrorFile(
        "redial/kg_dbpedia_unicrs.json.gz",
        "kg_dbpedia_unicrs.json.gz",
        780_916,
        "eb1ae8a58d0265ec848544177c373fb1e9068966b600839c4bb02bacf2ecfc2d",
    ),
    MirrorFile(
        "eval/redial_cikm23_test.jsonl.gz",
        "eval/redial_cikm23_test.jsonl.gz",
        446_129,
        "49059b5d1d62db88523a7b6a0bc046fba3bbe7c3d325dbace35f2f03d259c1e3",
    ),
    MirrorFile(
        "eval/redial_cikm23_entities.json.gz",
        "eval/redial_cikm23_entities.json.gz",
        400_848,
        "c5300cdf7910a258a44d38092a357e6aea6476b2653e1f3ce73bfa65ad2c03b9",
    ),
    MirrorFile(
        "eval/redial_unicrs_test_processed.jsonl.gz",
        "eval/redial_unicrs_test_processed.jsonl.gz",
        460_183,
        "ea448bd76e662fd290b29e7a1ea50556c63704c224b4194a7a8cfd4dbbfc793b",
    ),
    MirrorFile(
        "eval/redial_unicrs_valid_processed.jsonl.gz",
        "eval/redial_unicrs_valid_processed.jsonl.gz",
        402_321,
        "0bccde63f3821c3bf2a0b7ffbb2b1e5ede76a539b5698a60d416899540395113",
    ),
    MirrorFile(
        "eval/redial_ievalm_test_processed.jsonl.gz",
        "eval/redial_ievalm_test_processed.jsonl.gz",
        412_877,
        "04e25a1c77fe94e966c4571980fd0ccfe4ab2f53b82cbb4bf544e299578422a1",
    ),
)

_INSPIRED_MIRROR = (
    MirrorFile(
        "inspired/train_dbpedia.jsonl.gz",
        "train.jsonl.gz",
        643_601,
        "92e698bc307cf1ad257de96ea9d61e00629b5bf1bae2bb49c2a8850a487f777b",
    ),
    MirrorFile(
        "inspired/dev_dbpedia.jsonl.gz",
        "dev.jsonl.gz",
        79_653,
        "23a054d3dadad337c2500d633de9d1f48c83e98785d7a4c5a018f977211c3c93",
    ),
    MirrorFile(
        "inspired/test_dbpedia.jsonl.gz",
        "test.jsonl.gz",
        76_869,
        "0cd0ef67b33d811d54cb7668052eedc2dd9400f336cac0170c9cec4ccf2f70be",
    ),
    MirrorFile(
        "inspired/dev.tsv.gz",
        "dev.tsv.gz",
        123_270,
        "9fcc4ea125e60217e3a1d767bdd5487fc2b791d409da2fc955c61b82827ebb4e",
    ),
    MirrorFile(
        "inspired/test.tsv.gz",
        "test.tsv.gz",
        118_751,
        "59630cf13e72d283b9b4e321385870fa50c4f027abfa05b676cd24cf6645020d",
    ),
    MirrorFile(
        "inspired/dialog_outcomes.tsv.gz",
        "dialog_outcomes.tsv.gz",
        23_560,
        "d38a9701c84afe1a21728f933bedf48fc2c2aa06c3a29787d2b77c4eb0992a23",
    ),
    MirrorFile(
        "inspired/items.jsonl.gz",
        "items.jsonl.gz",
        245_341,
        "1b3313c7a12e113ae939651e5853d935335ec3c0fad0e811486219d34fd99b97",
    ),
    MirrorFile(
        "inspired/kg_imdb.json.gz",
        "kg_imdb.json.gz",
        110_492,
        "98c0b205f042f3cb9c9e061cde84786b3f3a8f2838d3caa28dc01806fbc24983",
    ),
    MirrorFile(
        "inspired/kg_dbpedia_unicrs.json.gz",
        "kg_dbpedia_unicrs.json.gz",
        342_825,
        "f3eba1ad823adb7a87d59c7e0d26cada269ddc3b32421e731b2db76a409e6344",
    ),
    MirrorFile(
        "eval/inspired_cikm23_test.jsonl.gz",
        "eval/inspired_cikm23_test.jsonl.gz",
        56_802,
        "490b2a588bdff6c50f58bcf3524c04b09c000813327942dc62e48340b6a3a632",
    ),
    MirrorFile(
        "eval/inspired_cikm23_entities.json.gz",
        "eval/inspired_cikm23_entities.json.gz",
        209_533,
        "b72c9afc53467d7869dc5f0053cc0ab9355fc7413f5fc82aab4feef3418a7d82",
    ),
    MirrorFile(
        "eval/inspired_unicrs_test_processed.jsonl.gz",
        "eval/inspired_unicrs_test_processed.jsonl.gz",
        105_083,
        "e348a93b5f56530af201a35df3aaddbadd93a9ee2df07424a0e55b6d29a7b977",
    ),
)

_MOVIELENS_SMALL_MIRROR = (
    MirrorFile(
        "movielens/ml-latest-small/ratings.csv.gz",
        "ratings.csv.gz",
        659_364,
        "b722091bcee4c02bbb2e4a5af4647fb9ee740a1b7fea5dad3252bc1b7ef7b5a3",
    ),
    MirrorFile(
        "movielens/ml-latest-small/movies.csv.gz",
        "movies.csv.gz",
        154_936,
        "3746e8385723ce48753a59b28da111a6ef1c499bc27d2b54ad5bdcf795d7644f",
    ),
    MirrorFile(
        "movielens/ml-latest-small/links.csv.gz",
        "links.csv.gz",
        79_511,
        "808964a846b5b2ec96d6c8c693e72548c8ab31dd051050928b8fb7a73ec816bc",
    ),
    MirrorFile(
        "movielens/ml-latest-small/tags.csv.gz",
        "tags.csv.gz",
        13_865,
        "748bb42addd1009fcbc61cb37c2677ff4e7faa14e8e6fdffe5880d1ea15da64a",
    ),
    MirrorFile(
        "movielens/ml-latest-small/README.txt.gz",
        "README.txt.gz",
        3_307,
        "1e73e38232ad702c4c95e796392928ddeaee975feb37bb91a2d723647d10ac04",
    ),
    MirrorFile(
        "movielens/ml-25m_movies_with_keywords.csv.gz",
        "ml-25m_movies_with_keywords.csv.gz",
        1_284_007,
        "b05e204c879e5708bb7773434e3417f4cc5ef1df5465ecad13a2ae05d7200b6a",
    ),
)

_INSPIRED_COMMIT = "782d7c1845d11f75d2542809c7f2a51b63ef0304"
_INSPIRED_URL = f"https://raw.githubusercontent.com/sweetpeach/Inspired/{_INSPIRED_COMMIT}/data"

REDIAL = DatasetSpec(
    name="redial",
    title="ReDial",
    licence="CC BY 4.0",
    cite='Li et al., "Towards Deep Conversational Recommendations", NeurIPS 2018',
    mirror=_REDIAL_MIRROR,
    mirror_variant="mirror-partial",
    mirror_note=(
        "of the 10,006 official training dialogues this mirror holds 3,031 in full (2,130 train, 901 validation) and "
        "the movie mentions of 6,157 more; the test split is complete. Figures from it must not be "
        "called trained on full ReDial."
    ),
    publisher=(
        PublisherFile("https://github.com/ReDialData/website/raw/data/redial_dataset.zip", "redial_dataset.zip"),
    ),
    publisher_note=(
        "the official archive; a tenth of its training dialogues, chosen by a hash of their id, is set apart as the "
        "validation split (the archive has none). The items have titles and years only."
    ),
    known={
        # The copy of test_data.jsonl that three public repositories share byte for byte.
        "test_data.jsonl": "d7781750787d104ac005e829cc7e6277d25b14644a223b0c2445aaaded6b19ac",
        "movies_with_mentions.csv": "3ae53b9bd4cea551fd5437e52d7032596de210ed7b8568048145782795d97b18",
    },
)

INSPIRED = DatasetSpec(
    name="inspired",
    title="INSPIRED",
    licence="none given: research use, do not redistribute",
    cite='Hayati et al., "INSPIRED: Toward Sociable Recommendation Dialog Systems", EMNLP 2020',
    mirror=_INSPIRED_MIRROR,
    mirror_variant="mirror-partial",
    mirror_note="all dialogues; the training split lacks dialogue ids and strategy labels.",
    publisher=(
        PublisherFile(f"{_INSPIRED_URL}/dialog_data/train.tsv", "train.tsv"),
        PublisherFile(f"{_INSPIRED_URL}/dialog_data/dev.tsv", "dev.tsv"),
        PublisherFile(f"{_INSPIRED_URL}/dialog_data/test.tsv", "test.tsv"),
        PublisherFile(f"{_INSPIRED_URL}/survey_data/list_of_dialog_ids_with_movie_id_all.tsv", "dialog_outcomes.tsv"),
    ),
    publisher_note="the files of the authors' repository at one fixed commit; items are the titles named in them.",
    known={
        "dev.tsv": "15a955be002222ba9e95f886802e06a91fb5e457f8a25deae3e7908d58faa947",
        "test.tsv": "a10f63ff26045158460730d4829ffba74bee86fb744d9f48c1c1c511ef609993",
        "dialog_outcomes.tsv": "0bd2c8cf17b172a2ebd820a6877417d64804bc7b8be395ddb762975a6627a796",
    },
)

MOVIELENS_SMALL = DatasetSpec(
    name="movielens-small",
    title="MovieLens (ml-latest-small)",
    licence="research use, no commercial use without permission (see its README)",
    cite='Harper and Konstan, "The MovieLens Datasets", ACM TiiS 2015',
    mirror=_MOVIELENS_SMALL_MIRROR,
    mirror_variant="mirror",
    mirror_note="the release of October 2016 (671 users), a development set not meant for reported results.",
    publisher=(
        PublisherFile("https://files.grouplens.org/datasets/movielens/ml-latest-small.zip", "ml-latest-small.zip"),
    ),
    publisher_note="the release the publisher serves today; it changes over time.",
)

DATASETS: Mapping[str, DatasetSpec] = {spec.name: spec for spec in (REDIAL, INSPIRED, MOVIELENS_SMALL)}
"""Every data set ``convrec data fetch`` knows, by name."""
