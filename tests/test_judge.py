"""The judge command: joins, refusals, and a report of each kind from real tables."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from tests.judging import QUALITIES, survives, write_labels, write_scores
from trainer.__main__ import main
from trainer.judge import WHATS, Request, judge
from trainer.judge.decisions import confident_errors, with_truth, wrong
from trainer.judge.rows import load_evidence
from trainer.judge.scores import with_oracles, with_scores, with_verdicts
from trainer.score_table import read_scores
from trainer.tables import read_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judge")
    for task in ("classification", "detection"):
        write_labels(root / "test", task)
        write_labels(root / "dev", task, range(6, 12))
    write_scores(root / "scores.parquet")
    return root


def request(folder: Path, what: str, out: Path, **changes: object) -> Request:
    usual = {
        "labels": (folder / "test",), "scores": (folder / "scores.parquet",), "models": ("ours",),
        "dev_labels": (folder / "dev",), "rows": "all",
    }  # fmt: skip
    return Request(what, out=out, **{**usual, **changes})


def figures(out: Path, name: str) -> dict:
    return json.loads((out / f"{name}.json").read_text())["figures"]


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_rows_carry_what_the_networks_decided(folder: Path, task: str) -> None:
    evidence = load_evidence([folder / "test" / f"{task}.parquet"])
    assert len(evidence) == 6 * (1 + len(QUALITIES))
    right = np.array(
        [
            [survives(int(source.removeprefix(task)), strength, network) for network in (0, 1)]
            for source, _, strength in evidence.identities()
        ]
    )
    assert (evidence.plain == right).all()
    assert (wrong(evidence) == ~right).all()
    assert (confident_errors(evidence) == ~right).all()
    assert len(with_truth(evidence)) == len(evidence)
    assert len(evidence.select("paper")) == 12
    assert len(evidence.select("unseen-jpeg")) == 6
    assert len(evidence.select("all")) == 18
    assert len(evidence.select("with-pristine")) == 24


def test_a_row_of_two_tables_counts_once_and_networks_keep_their_columns(folder: Path, tmp_path: Path) -> None:
    other = write_labels(tmp_path / "other", "classification", range(4, 8), networks=("calm", "bold"))
    both = load_evidence([folder / "test" / "classification.parquet", other / "classification.parquet"])
    assert len(set(both.identities())) == len(both) == 8 * 4
    turned = write_labels(tmp_path / "turned", "classification", range(6, 7), networks=("bold", "calm"))
    both = load_evidence([folder / "test" / "classification.parquet", turned / "classification.parquet"])
    assert both.networks == ("calm", "bold")
    alone = load_evidence([turned / "classification.parquet"])
    assert (both.plain[-4:] == alone.plain[:, ::-1]).all()
    strange = write_labels(tmp_path / "strange", "classification", networks=("calm", "shy"))
    with pytest.raises(InputError, match="other networks"):
        load_evidence([folder / "test" / "classification.parquet", strange / "classification.parquet"])


def test_scores_are_joined_by_source_distortion_and_strength(folder: Path) -> None:
    evidence = load_evidence([folder / "test" / "detection.parquet"])
    found = with_scores(evidence.take(np.array([7, 2])), [read_scores(folder / "scores.parquet")], ["ours"])
    assert found.models == ("ours",)
    assert found.identities() == [("detection1", "jpeg", 50.0), ("detection0", "jpeg", 10.0)]
    assert found.scores["energy"].tolist() == [1, 0]
    assert found.scores["ssim"] == pytest.approx([1 - 1 / 50, 1 - 1 / 10])
    assert found.across["ours:classification"] == pytest.approx(found.scores["ours"])
    assert with_oracles(found, None).scores["true_quality"].tolist() == [50, 10]


def test_missing_scores_and_models_are_refused(folder: Path, tmp_path: Path) -> None:
    evidence = load_evidence([folder / "test" / "classification.parquet"])
    few = write_scores(tmp_path / "few.parquet", range(4))
    with pytest.raises(InputError, match=r"8 of 24 classification rows have no score: run `python -m trainer score`"):
        with_scores(evidence, [read_scores(few)], ["ours"])
    with pytest.raises(ConfigError, match="no model 'theirs', known: ours"):
        with_scores(evidence, [read_scores(folder / "scores.parquet")], ["theirs"])
    more = write_scores(tmp_path / "more.parquet", other=lambda *_: 0.5)
    joined = with_scores(evidence, [read_scores(folder / "scores.parquet"), read_scores(more)], ["ours"])
    assert {"ours", "energy", "other"} <= set(joined.scores)
    gaps = write_scores(tmp_path / "gaps.parquet", **{"ours:classification": lambda *_: float("nan")})
    with pytest.raises(InputError, match="24 rows have no ours:classification"):
        with_scores(evidence, [read_scores(gaps)], ["ours"])
    with pytest.raises(InputNotFoundError, match="python -m trainer score"):
        read_scores(tmp_path / "none.parquet")


@pytest.mark.parametrize("what", ["discard", "figure1"])
def test_tables_without_a_right_answer_are_refused(folder: Path, tmp_path: Path, what: str) -> None:
    table = read_table(folder / "test" / "classification.parquet")
    place = table.column_names.index("reference_class")
    unknown = pa.array([-1] * table.num_rows, pa.int32())
    pq.write_table(table.set_column(place, table.schema.field(place), unknown), tmp_path / "classification.parquet")
    with pytest.raises(InputError, match="no classification row has a"):
        judge(request(folder, what, tmp_path / "out", labels=(tmp_path,)))
    assert not (tmp_path / "out").exists()


def test_bad_requests_name_every_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"distortions needs --scores; .*a --model; .*--oracle-labels"):
        Request("distortions", (tmp_path,), tmp_path)
    with pytest.raises(InputNotFoundError, match="no label table"):
        judge(Request("networks", (tmp_path,), tmp_path, tmp_path / "scores.parquet", ("ours",)))


@pytest.mark.parametrize("what", WHATS)
def test_every_report_has_table_figures_and_picture(folder: Path, tmp_path: Path, what: str) -> None:
    text = judge(request(folder, what, tmp_path), f"python -m trainer judge {what}")
    assert (tmp_path / f"{what}.md").read_text() == text
    assert f"Command: `python -m trainer judge {what}`" in text
    assert "(calm, bold; " in text
    with Image.open(tmp_path / f"{what}.png") as picture:
        assert picture.width > 600
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"{what}.json", f"{what}.md", f"{what}.png"]
    assert set(figures(tmp_path, what)) == {"classification", "detection"}
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert tables
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_a_head_for_one_network_judges_its_row(folder: Path, tmp_path: Path) -> None:
    scores = write_scores(
        tmp_path / "scores.parquet",
        **{"ours:classification:bold": lambda task, source, quality: 0.9 if survives(source, quality, 1) else 0.1},
    )
    judge(request(folder, "networks", tmp_path, scores=(scores,)))
    rows = figures(tmp_path, "networks")["classification"]
    assert rows["bold"]["scorers"]["ours"]["balanced_accuracy"] == 1
    assert rows["calm"]["scorers"]["ours"]["balanced_accuracy"] < 1
    assert rows["every single network"]["paper"] == 0.842
    assert rows["best single network"]["scorers"]["ours"]["balanced_accuracy"] == 1


def test_the_point_that_divides_even_classes_comes_from_other_pictures(folder: Path, tmp_path: Path) -> None:
    def low(task: str, source: int, quality: float | None) -> float:
        return 0.3 if survives(source, quality, 0) and survives(source, quality, 1) else 0.1

    columns = {"ours:classification": low, "ours:detection": low}
    scores = write_scores(tmp_path / "scores.parquet", **columns)
    others = write_scores(tmp_path / "others.parquet", range(3), **columns)
    for task in ("classification", "detection"):
        write_labels(tmp_path / "judging", task, range(3, 6))
    even = {"labels": (tmp_path / "judging",), "even_labels": (folder / "test",), "even_scores": (others,)}
    text = judge(request(folder, "networks", tmp_path, scores=(scores,), **even))
    assert "| ours % at 0.5 | even % (from) | best % (from) |" in text
    assert "9 and 9 rows of pictures" in text
    ours = figures(tmp_path, "networks")["detection"]["all networks together"]["scorers"]["ours"]
    assert ours["balanced_accuracy"] == 0.5
    assert ours["even"]["balanced_accuracy"] == 1
    assert 0.1 < ours["even"]["threshold"] < 0.3
    with pytest.raises(InputError, match=r"3 pictures of --even-labels are among those that judge"):
        judge(request(folder, "networks", tmp_path, **{**even, "even_scores": (scores,)}))
    with pytest.raises(InputError, match="no classification row has a score"):
        judge(request(folder, "networks", tmp_path, **{**even, "even_labels": (folder / "dev",)}))
    with pytest.raises(ConfigError, match=r"--even-labels needs --even-scores; --even-labels is for networks"):
        request(folder, "discard", tmp_path, even_labels=(folder / "dev",))


def test_the_filter_and_its_rivals_against_the_ideal(folder: Path, tmp_path: Path) -> None:
    judge(request(folder, "figure2", tmp_path, rows=None))
    found = figures(tmp_path, "figure2")
    calm = found["classification"]["networks"]["calm"]
    errors = [not survives(source, 10.0, 0) for source in range(6)]
    discarded = [10 * (1 + source) / 51 < 0.5 for source in range(6)]
    kept = [error for error, gone in zip(errors, discarded, strict=True) if not gone]
    assert calm["before"] == pytest.approx(1 - np.mean(errors))
    assert calm["models"]["ours"]["after"] == pytest.approx(1 - np.mean(kept))
    near = found["detection"]["networks"]["near"]["models"]["ours"]
    assert near["replaced"] == near["ideal"] == pytest.approx(1)
    assert near["missed"] < near["replaced"]
    assert set(near["scorers"]) >= {"random", "ours", "ours:classification", "energy", "distortion_oracle"}
    assert found["detection"]["models"]["ours"]["share_of_gain"]["ours"] == pytest.approx(1)


def test_verdicts_of_other_networks_are_scorers(folder: Path, tmp_path: Path) -> None:
    judge(request(folder, "figure2", tmp_path, verdict_labels=(folder / "test",)))
    found = figures(tmp_path, "figure2")
    assert found["detection"]["models"]["ours"]["share_of_gain"]["verdict_utility"] > 0.98
    assert "verdict_confidence" in found["classification"]["models"]["ours"]["share_of_gain"]
    evidence = load_evidence([folder / "test" / "detection.parquet"]).select("all")
    scores = with_verdicts(evidence, load_evidence([folder / "test" / "detection.parquet"])).scores
    assert scores["verdict_utility"] == pytest.approx(evidence.continuous)
    surest = [max(one, default=0.0) for one in evidence.distorted[0]["scores"].to_pylist()]
    other = [max(one, default=0.0) for one in evidence.distorted[1]["scores"].to_pylist()]
    assert scores["verdict_confidence"] == pytest.approx(np.mean([surest, other], axis=0))
    with pytest.raises(InputError, match="18 of 18 classification rows are not in the tables of --verdict-labels"):
        judge(request(folder, "figure2", tmp_path, verdict_labels=(folder / "dev",)))


def test_the_oracle_learns_from_development_tables_only(folder: Path, tmp_path: Path) -> None:
    judge(request(folder, "distortions", tmp_path))
    group = figures(tmp_path, "distortions")["classification"]["without_margins"]
    assert set(group) == {"all distortions", "jpeg", "jpeg, qualities not trained on"}
    assert group["jpeg, qualities not trained on"]["auroc"]["distortion_oracle"] == pytest.approx(0.5)
    assert group["all distortions"]["auroc"]["ours"] > group["all distortions"]["auroc"]["distortion_oracle"]


def test_shared_sources_fail_the_command(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "split.json").write_text(json.dumps({"training": ["a" * 64], "held_back": ["b" * 64]}))
    base = ["judge", "leak", "--labels", str(folder / "test"), "--out", str(tmp_path / "out"), "--run", str(run)]
    done = CliRunner().invoke(main, [*base, "--oracle-labels", str(folder / "dev")])
    assert done.exit_code == 0, done.output
    assert figures(tmp_path / "out", "leak")["on_both_sides"] == 0
    assert "| was seen |" in done.stdout
    write_labels(tmp_path / "leaky", "detection", range(5, 9))
    done = CliRunner().invoke(main, [*base, "--oracle-labels", str(tmp_path / "leaky")])
    assert done.exit_code == 1
    assert "source pictures on both sides: 1 of" in done.output
    (run / "split.json").write_text(json.dumps({"training": ["classification3"], "held_back": ["b"]}))
    assert CliRunner().invoke(main, base).exit_code == 1
