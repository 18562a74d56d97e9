"""The models of kept libraries on a split that ``convrec eval interactions --write-split`` wrote.

    python docs/benchmarks/movielens_libraries.py SPLIT OUT --library implicit|lenskit|recbole [--seed 0]

Needs an environment of its own: pip install implicit lenskit (or recbole). Settings are chosen on ``valid.csv`` by
NDCG@10 after fitting on ``train_valid.csv``; then the model is fitted on ``train.csv`` and its ten best items for each
user of ``test.csv`` are written to ``OUT/<system>.csv`` (user, item, rank), without items that the user had.
``OUT/<library>.json`` has versions and settings. ``convrec eval interactions --lists NAME=FILE`` measures the lists.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

K = 10
Pairs = list[tuple[str, str]]
Lists = dict[str, list[str]]
Fit = Callable[[Pairs, list[str]], Lists]
log = logging.getLogger("movielens_libraries")


def read(path: Path) -> Pairs:
    """(user, item), each user's oldest first."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(record["user"], record["item"]) for record in csv.DictReader(file)]


def ndcg(lists: Lists, gold: Pairs) -> float:
    """Mean over the users of ``gold``; one right item each."""
    found = [lists.get(user, [])[:K] for user, _ in gold]
    return sum(
        1 / math.log2(items.index(item) + 2) if item in items else 0.0
        for items, (_, item) in zip(found, gold, strict=True)
    ) / len(gold)


def implicit_systems(seed: int) -> Iterator[tuple[str, list[tuple[dict[str, Any], Fit]]]]:
    """Item-kNN with cosine, TF-IDF and BM25 weights."""
    import numpy as np  # noqa: PLC0415
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender  # noqa: PLC0415
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    def fit(model: Any, pairs: Pairs, users: list[str]) -> Lists:
        rows = {user: i for i, user in enumerate(dict.fromkeys(u for u, _ in pairs))}
        items = list(dict.fromkeys(i for _, i in pairs))
        columns = {item: i for i, item in enumerate(items)}
        at = ([rows[u] for u, _ in pairs], [columns[i] for _, i in pairs])
        matrix = csr_matrix((np.ones(len(pairs), dtype=np.float64), at), shape=(len(rows), len(items)))
        model.fit(matrix, show_progress=False)
        numbers = np.array([rows[user] for user in users])
        found, scores = model.recommend(numbers, matrix[numbers], N=K, filter_already_liked_items=True)
        return {
            user: [items[i] for i, s in zip(line, values, strict=True) if i >= 0 and s > 0]
            for user, line, values in zip(users, found, scores, strict=True)
        }

    kinds: list[tuple[str, Any, list[dict[str, Any]]]] = [
        ("itemknn-cosine", CosineRecommender, [{"K": k} for k in (20, 50, 100, 200)]),
        ("itemknn-tfidf", TFIDFRecommender, [{"K": k} for k in (20, 50, 100, 200)]),
        ("itemknn-bm25", BM25Recommender, [{"K": k, "B": b} for k in (20, 100, 200) for b in (0.2, 0.7)]),
    ]
    for name, kind, settings in kinds:
        yield (
            f"implicit-{name}",
            [(s, lambda pairs, users, kind=kind, s=s: fit(kind(num_threads=1, **s), pairs, users)) for s in settings],
        )


def lenskit_systems(seed: int) -> Iterator[tuple[str, list[tuple[dict[str, Any], Fit]]]]:
    """EASE, item-kNN for implicit data, popularity."""
    import pandas  # noqa: PLC0415
    from lenskit.basic import PopScorer  # noqa: PLC0415
    from lenskit.batch import recommend  # noqa: PLC0415
    from lenskit.data import from_interactions_df  # noqa: PLC0415
    from lenskit.knn import EASEScorer, ItemKNNScorer  # noqa: PLC0415
    from lenskit.pipeline import topn_pipeline  # noqa: PLC0415

    def fit(scorer: Any, pairs: Pairs, users: list[str]) -> Lists:
        data = from_interactions_df(pandas.DataFrame(pairs, columns=["user_id", "item_id"]))
        pipeline = topn_pipeline(scorer, n=K)
        pipeline.train(data)
        found = recommend(pipeline, users, n=K, n_jobs=1)
        return {str(key.user_id): [str(item) for item in items.ids()] for key, items in found}

    kinds: list[tuple[str, Any, list[dict[str, Any]]]] = [
        ("popularity", PopScorer, [{}]),
        ("itemknn", ItemKNNScorer, [{"feedback": "implicit", "max_nbrs": k} for k in (20, 50, 100, 200)]),
        ("ease", EASEScorer, [{"regularization": value} for value in (50.0, 200.0, 800.0)]),
    ]
    for name, kind, settings in kinds:
        yield (
            f"lenskit-{name}",
            [(s, lambda pairs, users, kind=kind, s=s: fit(kind(**s), pairs, users)) for s in settings],
        )


def recbole_systems(seed: int, epochs: int) -> Iterator[tuple[str, list[tuple[dict[str, Any], Fit]]]]:
    """SASRec with the cross-entropy loss, each prefix of a history one example, as the library does it."""
    settings = [{"hidden_dropout_prob": rate, "attn_dropout_prob": rate} for rate in (0.2, 0.5)]
    yield (
        "recbole-sasrec",
        [(s, lambda pairs, users, s=s: _recbole(pairs, users, s, seed, epochs)) for s in settings],
    )


def _recbole(pairs: Pairs, users: list[str], settings: dict[str, Any], seed: int, epochs: int) -> Lists:
    import torch  # noqa: PLC0415
    from recbole.config import Config  # noqa: PLC0415
    from recbole.data import create_dataset, data_preparation  # noqa: PLC0415
    from recbole.data.interaction import Interaction  # noqa: PLC0415
    from recbole.model.sequential_recommender import SASRec  # noqa: PLC0415
    from recbole.trainer import Trainer  # noqa: PLC0415
    from recbole.utils import init_seed  # noqa: PLC0415

    length = 50
    had: Lists = {}
    for user, item in pairs:
        had.setdefault(user, []).append(item)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        home.mkdir()
        for part in ("train", "valid", "test"):
            with (home / f"data.{part}.inter").open("w", encoding="utf-8") as out:
                out.write("user_id:token\titem_id_list:token_seq\titem_id:token\n")
                for user, items in had.items():
                    for end in range(1, len(items)) if part == "train" else [len(items) - 1]:
                        if end:
                            out.write(f"{user}\t{' '.join(items[max(0, end - length) : end])}\t{items[end]}\n")
        config = Config(
            model="SASRec",
            dataset="data",
            config_dict={
                "data_path": folder,
                "benchmark_filename": ["train", "valid", "test"],
                "alias_of_item_id": ["item_id_list"],
                "load_col": {"inter": ["user_id", "item_id_list", "item_id"]},
                "MAX_ITEM_LIST_LENGTH": length,
                "loss_type": "CE",
                "train_neg_sample_args": None,
                "train_batch_size": 512,
                "epochs": epochs,
                "seed": seed,
                "use_gpu": False,
                "show_progress": False,
                "checkpoint_dir": folder,
                **settings,
            },
        )
        init_seed(seed, True)
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        model = SASRec(config, train.dataset)
        # The last item of each history is an example of training too, so there is nothing to stop early by.
        Trainer(config, model).fit(train, valid_data=None, saved=False, verbose=False)
        model.eval()
        out_lists: Lists = {}
        with torch.no_grad():
            for user in users:
                line = dataset.token2id("item_id", had[user][-length:])
                past = torch.zeros(1, length, dtype=torch.long)
                past[0, : len(line)] = torch.as_tensor(line)
                asked = Interaction({"item_id_list": past, "item_length": torch.tensor([len(line)])})
                scores = model.full_sort_predict(asked)[0]
                scores[0] = -math.inf
                scores[torch.as_tensor(dataset.token2id("item_id", had[user]))] = -math.inf
                best = torch.topk(scores, K).indices
                out_lists[user] = [str(item) for item in dataset.id2token("item_id", best)]
        return out_lists


def main() -> None:
    """Run one library."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--library", choices=("implicit", "lenskit", "recbole"), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=50, help="of RecBole's SASRec")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    train, test = read(arguments.split / "train.csv"), read(arguments.split / "test.csv")
    inner, valid = read(arguments.split / "train_valid.csv"), read(arguments.split / "valid.csv")
    systems = {
        "implicit": implicit_systems,
        "lenskit": lenskit_systems,
        "recbole": lambda seed: recbole_systems(seed, arguments.epochs),
    }[arguments.library](arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {"version": metadata.version(arguments.library), "seed": arguments.seed}
    for name, settings in systems:
        started = time.perf_counter()
        tried = [ndcg(fit(inner, [user for user, _ in valid]), valid) for _, fit in settings]
        best = max(range(len(tried)), key=tried.__getitem__)
        lists = settings[best][1](train, [user for user, _ in test])
        with (arguments.out / f"{name}.csv").open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(("user", "item", "rank"))
            writer.writerows((user, item, rank) for user, line in lists.items() for rank, item in enumerate(line, 1))
        told[name] = {
            "settings": settings[best][0],
            "valid_ndcg@10": tried[best],
            "tried": [[s, value] for (s, _), value in zip(settings, tried, strict=True)],
            "seconds": round(time.perf_counter() - started, 1),
        }
        log.info("%s: %s, valid NDCG@10 %.4f, test %.4f", name, settings[best][0], tried[best], ndcg(lists, test))
    (arguments.out / f"{arguments.library}.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
