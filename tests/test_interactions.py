"""User-item files: reading, leave-last-out, training and measuring through the commands."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import duckdb
import numpy as np
import pytest
from convrec.app import GROUPS, services
from convrec.core.errors import DataError, ImportRejected, RequestError
from convrec.eval.interactions import Split, evaluate_interactions, read_lists, write_split
from convrec.serve.cli import build_cli
from convrec.tools.recommenders import interaction_training
from convrec.tools.recommenders.blend import Blend, BlendConfig, standardised
from convrec.tools.recommenders.data import Context, TrainData, context_matrix
from convrec.tools.recommenders.ease import EASE
from convrec.tools.recommenders.interaction_training import (
    blend_weights,
    choose_settings,
    grid,
    ndcg_of_one,
    train_interactions,
)
from convrec.tools.recommenders.interactions import Columns, history, hold_out_last, read_interactions
from convrec.tools.recommenders.item_knn import ItemKNN, ItemKNNConfig
from convrec.tools.recommenders.popularity import Popularity, PopularityConfig
from convrec.tools.recommenders.registry import load_recommender
from convrec.tools.recommenders.sasrec import SASRec, SASRecConfig
from recommender_contract import named, train_of
from test_recommenders import CollaborativeContract
from typer.testing import CliRunner, Result

RATINGS = """userId,movieId,rating,timestamp
u1,a,5,30
u1,b,4,10
u1,c,1,20
u2,b,3,1
u2,a,4,1
u2,c,5,1
u3,a,2,5
u1,b,2,40
"""
NEXT = SASRecConfig(targets="all", dimension=16, length=4, epochs=20, batch=8, learning_rate=0.03, dropout=0.0)


def convrec(*arguments: str) -> Result:
    return CliRunner().invoke(build_cli(services, GROUPS), arguments)


def written(folder: Path, text: str, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def lists_of(train: TrainData) -> dict[str, list[str]]:
    return {
        user: [train.item_ids[row] for row in history(train, number)] for number, user in enumerate(train.sequence_ids)
    }


def chains(users: int = 24, items: int = 12, length: int = 6) -> str:
    """Who had item k has item k + 1 next: order tells everything."""
    lines = [f"u{u},i{(u + step) % items:02d},{step}" for u in range(users) for step in range(length)]
    return "user,item,time\n" + "\n".join(lines) + "\n"


class TestReading:
    def test_by_time_ties_by_line_each_pair_at_its_latest(self, tmp_path: Path) -> None:
        train, read = read_interactions(written(tmp_path, RATINGS))
        assert lists_of(train) == {"u1": ["c", "a", "b"], "u2": ["b", "a", "c"], "u3": ["a"]}
        assert (read.rows, read.repeats, read.tied, read.interactions) == (8, 1, 1, 7)
        assert not train.by_recommender.any()

    def test_the_latest_rating_decides(self, tmp_path: Path) -> None:
        train, read = read_interactions(written(tmp_path, RATINGS), min_rating=3)
        assert lists_of(train) == {"u1": ["a"], "u2": ["b", "a", "c"]}
        assert (read.low, read.users, read.items) == (3, 2, 3)

    def test_without_rating_and_time_the_order_of_the_file_counts(self, tmp_path: Path) -> None:
        train, read = read_interactions(
            written(tmp_path, "buyer;article\nx;2\nx;1\ny;1\n"), Columns("buyer", "article")
        )
        assert lists_of(train) == {"x": ["2", "1"], "y": ["1"]}
        assert set(read.columns) == {"user", "item"}

    def test_every_format_gives_the_same(self, tmp_path: Path) -> None:
        rows = [line.split(",") for line in RATINGS.splitlines()]
        names = rows[0]
        lines = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows[1:])
        packed = tmp_path / "packed.csv.gz"
        packed.write_bytes(gzip.compress(RATINGS.encode()))
        csv = written(tmp_path, RATINGS)
        parquet = tmp_path / "r.parquet"
        duckdb.sql(f"COPY (SELECT * FROM read_csv('{csv}')) TO '{parquet}' (FORMAT parquet)")
        files = [
            csv,
            packed,
            written(tmp_path, RATINGS.replace(",", "\t"), "r.tsv"),
            written(tmp_path, lines, "r.jsonl"),
            parquet,
        ]
        assert len({read_interactions(file)[0].digest for file in files}) == 1

    def test_dates(self, tmp_path: Path) -> None:
        text = "user_id,item_id,date\nu,a,2020-02-01\nu,b,2020-01-01T10:00:00+02:00\nu,c,2020-01-01T09:00:00\n"
        assert lists_of(read_interactions(written(tmp_path, text))[0]) == {"u": ["b", "c", "a"]}

    def test_titles(self, tmp_path: Path) -> None:
        items = written(tmp_path, "movieId,title,genres\na,Heat (1995),Crime|Drama\nb,Up,(no genres listed)\n", "m.csv")
        details = read_interactions(written(tmp_path, RATINGS), items=items)[0].details
        assert details is not None
        assert details.names == ("Heat (1995)", "Up", "c")
        assert details.tags["genre"] == (("Crime", "Drama"), (), ())
        assert details.years.tolist() == [1995, 0, 0]
        other = written(tmp_path, "movieId,title\nzzz,Heat\n", "o.csv")
        with pytest.raises(ImportRejected, match="none of the 3 items"):
            read_interactions(written(tmp_path, RATINGS), items=other)

    @pytest.mark.parametrize(
        ("text", "columns", "message"),
        [
            ("who,item\n1,2\n", Columns(), "--user-column"),
            ("1,2,3\n4,5,6\n", Columns(), "first line"),
            ("user,item\n", Columns(), "no rows"),
            ("user,item,rating\nu,a,good\nu,b,3\n", Columns(), "rating = 'good'"),
            ("user,item,time\nu,a,later\n", Columns(), "time = 'later'"),
            ("user,item\n,a\n", Columns(), "expected an id"),
        ],
    )
    def test_bad_files_are_named(self, tmp_path: Path, text: str, columns: Columns, message: str) -> None:
        with pytest.raises(ImportRejected, match=message):
            read_interactions(written(tmp_path, text), columns, min_rating=1 if "rating" in text else None)

    def test_bad_requests(self, tmp_path: Path) -> None:
        file = written(tmp_path, "user,item\nu,a\n")
        with pytest.raises(RequestError, match="user, item"):
            read_interactions(file, Columns(user="nobody"))
        with pytest.raises(RequestError, match="--rating-column"):
            read_interactions(file, min_rating=3)
        with pytest.raises(RequestError, match="two things"):
            read_interactions(file, Columns(user="user", item="user"))
        packed = tmp_path / "x.csv.gz"
        packed.write_bytes(b"no gzip")
        with pytest.raises(ImportRejected, match="cannot be unpacked"):
            read_interactions(packed)

    def test_few_bad_rows_are_passed_over_and_counted(self, tmp_path: Path) -> None:
        lines = "".join(f"u,i{n}\n" for n in range(30))
        _, read = read_interactions(written(tmp_path, f"user,item\n{lines},x\n"))
        assert (read.bad, read.interactions) == (1, 30)


class TestSplit:
    def test_the_newest_is_held_out_twice(self, tmp_path: Path) -> None:
        data, _ = read_interactions(written(tmp_path, RATINGS))
        split = Split.of(data)
        assert lists_of(split.train) == {"u1": ["c", "a"], "u2": ["b", "a"], "u3": ["a"]}
        assert [data.item_ids[row] for row in split.gold] == ["b", "c"]
        inner, held, gold = hold_out_last(split.train, 2)
        assert lists_of(inner) == {"u1": ["c"], "u2": ["b"], "u3": ["a"]}
        assert held.tolist() == [0, 1]
        assert [data.item_ids[row] for row in gold] == ["a", "a"]

    def test_settings_are_chosen_without_the_test_items(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        data, read = read_interactions(file := written(tmp_path, chains()))
        digests: list[str] = []
        real = interaction_training.hold_out_last

        def spied(train: TrainData, least: int) -> object:
            digests.append(train.digest)
            return real(train, least)

        monkeypatch.setattr(interaction_training, "hold_out_last", spied)
        evaluate_interactions(data, read, file, systems=["itemknn"])
        assert set(digests) == {Split.of(data).train.digest}

    def test_nobody_to_measure(self, tmp_path: Path) -> None:
        data, read = read_interactions(file := written(tmp_path, "user,item\nu,a\nu,b\n"))
        with pytest.raises(RequestError, match="No user has 3 items"):
            evaluate_interactions(data, read, file)

    def test_other_libraries_get_the_same_split_and_their_lists_are_measured(self, tmp_path: Path) -> None:
        data, read = read_interactions(file := written(tmp_path, RATINGS))
        paths = write_split(data, tmp_path / "split")
        assert paths["test"].read_text() == "user,item,position\nu1,b,2\nu2,c,2\n"
        assert paths["valid"].read_text() == "user,item,position\nu1,a,1\nu2,a,1\n"
        assert paths["train_valid"].read_text() == "user,item,position\nu1,c,0\nu2,b,0\nu3,a,0\n"
        lists = written(tmp_path, "user,item,rank\nu1,b,2\n", "l.csv")
        row = evaluate_interactions(data, read, file, systems=[], lists={"x": lists}).rows[0]
        assert row.figures["ndcg@10"] == pytest.approx(0.5 / np.log2(3))  # rank 2 of one user, none of the other
        assert row.figures["recall@10"] == 0.5
        assert row.figures["mrr@10"] == 0.25
        assert row.figures["coverage@10"] == pytest.approx(1 / 3)
        assert row.ci95["recall@10"] == (0.0, 1.0)

    @pytest.mark.parametrize(
        "line", ["u1,a,1", "u1,zzz,1", "u3,b,1", "u1,b,11", "u1,b,0", "u1,b,x", "u2,c,1\nu2,c,2", "u1,b,²"]
    )
    def test_wrong_lists_are_refused(self, tmp_path: Path, line: str) -> None:
        split = Split.of(read_interactions(written(tmp_path, RATINGS))[0])
        with pytest.raises(DataError, match=r"l\.csv, line"):
            read_lists(written(tmp_path, f"user,item,rank\n{line}\n", "l.csv"), split)


class TestBlend(CollaborativeContract):
    kind = Blend
    config = BlendConfig(weights={"ease": 1.0, "itemknn": 0.25})

    def test_is_the_weighted_sum(self) -> None:
        train = train_of([[0, 1, 2], [0, 1], [2, 3]])
        parts = {"ease": EASE().fit(train), "itemknn": ItemKNN().fit(train)}
        blend = Blend.of(parts, {"ease": 1.0, "itemknn": 0.5, "popularity": 0.0})
        expected = standardised(parts["ease"].score([named(0)])) + 0.5 * standardised(
            parts["itemknn"].score([named(0)])
        )
        np.testing.assert_allclose(blend.score([named(0)]), expected, rtol=1e-6)

    def test_standardised(self) -> None:
        scores = standardised(np.array([[1, 3, -np.inf], [2, 2, 2], [-np.inf] * 3], dtype=np.float32))
        assert np.isfinite(scores).all()
        assert scores[0].argmax() == 1
        assert scores[0, 0] == scores[0, 2]
        assert not scores[1:].any()


class TestModels:
    def test_half_life_weighs_the_newest_most(self) -> None:
        weights = context_matrix([Context(np.array([4, 0, 2], dtype=np.int32)), named()], 5, 1.0).toarray()
        np.testing.assert_allclose(weights, [[0.5, 0, 1, 0, 0.25], [0] * 5])

    def test_length_weight_is_the_formula(self) -> None:
        model = ItemKNN(ItemKNNConfig(shrinkage=0.1, length_weight=1.0, popularity_weight=0.0))
        scores = model.fit(train_of([[0, 1], [0, 1, 2, 3]], 4)).score([named(0)])
        np.testing.assert_allclose(scores[0], [0, 0.75 / 0.85, *[0.25 / (np.sqrt(0.75 * 0.25) + 0.1)] * 2], rtol=1e-5)

    @pytest.mark.parametrize("negatives", [None, 6])
    def test_sasrec_learns_what_comes_next(self, tmp_path: Path, negatives: int | None) -> None:
        pytest.importorskip("torch")
        data, _ = read_interactions(written(tmp_path, chains()))
        split = Split.of(data)
        model = SASRec(NEXT.model_copy(update={"negatives": negatives})).fit(split.train)
        contexts = [Context(history(split.train, int(user))) for user in split.held]
        right = interaction_training.ndcg_of_one(interaction_training.scores_of(model, contexts), split.gold, 1)
        assert right > 0.9
        bag = Popularity(PopularityConfig(count="all")).fit(split.train)
        assert interaction_training.ndcg_of_one(interaction_training.scores_of(bag, contexts), split.gold, 1) <= 0.5

    def test_ndcg_of_one(self) -> None:
        scores = np.array([[3, 2, 1], [1, 1, 1]], dtype=np.float32)
        gold = np.array([1, 2], dtype=np.int32)
        assert ndcg_of_one(scores, gold) == pytest.approx((1 / np.log2(3) + 0.5) / 2)
        assert ndcg_of_one(scores, gold, 1) == 0
        assert ndcg_of_one(scores[:0], gold[:0]) == 0

    def test_blend_weights_leave_out_what_does_not_help(self) -> None:
        good = np.eye(4, dtype=np.float32)
        gold = np.arange(4, dtype=np.int32)
        weights, value = blend_weights({"bad": -good, "good": good}, gold)
        assert weights == {"bad": 0.0, "good": 1.0}
        assert value == 1.0

    def test_ease_leaves_out_rare_items_when_there_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interaction_training, "EASEConfig", lambda **given: _Small(**given))
        train = train_of([[0, 1, 2], [0, 1], [0, 3]], 4)
        assert grid("ease", train)[0].model_dump()["min_sequences"] == 2


class _Small(interaction_training.EASEConfig):
    max_items: int = 3


class TestTraining:
    def test_interrupted_it_goes_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        train, _ = read_interactions(written(tmp_path, chains()))
        work, out = tmp_path / "work", tmp_path / "m"
        real, fits = ItemKNN._fit, list[str]()

        def counted(self: ItemKNN, data: TrainData) -> None:
            fits.append(data.digest)
            real(self, data)

        monkeypatch.setattr(ItemKNN, "_fit", counted)

        def stop(self: Blend, folder: Path) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Blend, "save", stop)
            with pytest.raises(KeyboardInterrupt):
                train_interactions(train, out, experts=["itemknn", "popularity"], work=work)
        assert fits
        assert not out.exists()
        fits.clear()
        model = train_interactions(train, out, experts=["itemknn", "popularity"], work=work)
        assert fits == []
        assert not work.exists()
        contexts = [named(0, 1)]
        np.testing.assert_array_equal(load_recommender(out).score(contexts), model.score(contexts))

    def test_resumed_settings_are_those_of_one_run(self, tmp_path: Path) -> None:
        train, _ = read_interactions(written(tmp_path, chains()))
        first, scores = choose_settings("itemknn", train, work=tmp_path)
        again, kept = choose_settings("itemknn", train, work=tmp_path)
        assert first == again == choose_settings("itemknn", train)[0]
        np.testing.assert_array_equal(scores, kept)

    def test_too_few_items_to_choose_by(self, tmp_path: Path) -> None:
        train, _ = read_interactions(written(tmp_path, "user,item\nu,a\nu,b\nv,b\n"))
        model = train_interactions(train, tmp_path / "m", experts=["itemknn"], work=tmp_path / "w")
        assert model.info["validation"]["users"] == 0
        assert model.score([named(0)]).shape == (1, 2)


class TestCommands:
    def test_train(self, tmp_path: Path) -> None:
        file = written(tmp_path, chains())
        done = convrec("train", "--interactions", str(file), "--experts", "popularity,itemknn,ease", "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        model = load_recommender(Path(told["folder"]))
        assert model.info["interactions"]["users"] == 24
        assert set(told["info"]["validation"]["ndcg@10"]) == {"popularity", "itemknn", "ease", "blend"}
        assert model.score([named(0)]).shape == (1, 12)
        one = convrec("train", "--interactions", str(file), "--experts", "ease", "--out", str(tmp_path / "e"))
        assert one.exit_code == 0, one.output
        assert load_recommender(tmp_path / "e").name == "ease"

    def test_options_that_do_not_go_together(self, tmp_path: Path) -> None:
        file = str(written(tmp_path, chains()))
        assert convrec("train", "--min-rating", "3").exit_code == 2
        assert convrec("train", "--interactions", file, "--with-valid").exit_code == 2
        assert convrec("train", "--interactions", file, "--dataset", "joint").exit_code == 2
        assert convrec("train", "--interactions", file, "--experts", "bm25").exit_code == 2
        assert convrec("train", "--interactions", str(tmp_path / "none.csv")).exit_code != 0

    def test_eval(self, tmp_path: Path) -> None:
        file = str(written(tmp_path, chains()))
        arguments = ("eval", "interactions", "--data", file, "--systems", "popularity,itemknn,blend", "--json")
        done = convrec(*arguments)
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert (told["n"], told["left_out"], told["n_items"], told["unseen_gold"]) == (24, 0, 12, 0)
        rows = {row["name"]: row for row in told["rows"]}
        assert rows["itemknn"]["ndcg@10"] > rows["popularity"]["ndcg@10"]
        assert rows["blend"]["config"]["weights"]["itemknn"] == 1.0
        again = json.loads(convrec(*arguments).stdout)
        for report in (told, again):
            for row in report["rows"]:
                row.pop("seconds")
        assert told == again
        assert "blend" in convrec(*arguments[:-1]).stdout
        assert convrec("eval", "interactions", "--data", file, "--systems", "nosuch").exit_code == 2
        assert convrec("eval", "interactions", "--data", file, "--lists", "x").exit_code == 2

    def test_write_split(self, tmp_path: Path) -> None:
        file = str(written(tmp_path, chains()))
        assert convrec("eval", "interactions", "--data", file, "--write-split", str(tmp_path / "s")).exit_code == 0
        names = sorted(path.name for path in (tmp_path / "s").iterdir())
        assert names == ["test.csv", "train.csv", "train_valid.csv", "valid.csv"]
