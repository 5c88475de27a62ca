"""The benchmark: models made up for it, prompts of a known length, rows and their formats."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest
from command_line import run_command_text
from systems import NEWER_TYPER, RECOMPILER, need

import loader
from loader import ByteOrder, Config, synthetic
from loader.synthetic import Shape
from xenon.console import Console
from xenon.errors import XenonError
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.outcome import Tier
from xenon.stories import benchmark, benchmark_report
from xenon.stories.benchmark import Workload, WorkloadKind
from xenon.stories.prompts import prompt_of
from xenon.stories.runners import NativeRunner, Selection, find_runners
from xenon.stories.session import Session
from xenon.stories.settings import Engine, Matmul, RunnerKind, Sampling, Setup
from xenon.stories.speeds import Speeds

pytestmark = pytest.mark.usefixtures("library")

HOT = ("strlen", "memcpy")
PP, TG = WorkloadKind.PROMPT, WorkloadKind.GENERATION
SMALL = Config(32, 48, 2, 4, 2, 400, 24, shared_classifier=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[loader.Model, loader.Tokenizer]:
    folder = tmp_path_factory.mktemp("benchmark")
    synthetic.write_model(SMALL, folder / "small.bin", ByteOrder.LITTLE)
    synthetic.write_tokenizer(SMALL.vocab_size, folder / "tok.bin", ByteOrder.LITTLE)
    return loader.open(folder / "small.bin"), loader.open_tokenizer(folder / "tok.bin")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command_text("bench", *arguments)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("order", ByteOrder)
def test_a_made_up_model_is_one_that_the_loader_reads(
    tmp_path: Path, order: ByteOrder, separate: bool
) -> None:
    config = Config(32, 48, 2, 4, 2, 400, 24, shared_classifier=not separate)
    synthetic.write_model(config, tmp_path / "m.bin", order)
    model = loader.open(tmp_path / "m.bin")
    assert (model.config, model.byte_order) == (config, order)
    assert (model.array("rms_att_weight") == 1).all()
    assert float(model.array("w2").std()) == pytest.approx(synthetic.DEVIATION, rel=0.05)
    assert len(set(model.array("wq").ravel().tolist())) > 1000


@pytest.mark.parametrize("vocab_size", [3, 259, 512, 32000])
def test_a_made_up_tokenizer_has_so_many_different_pieces(tmp_path: Path, vocab_size: int) -> None:
    synthetic.write_tokenizer(vocab_size, tmp_path / "tok.bin")
    tokenizer = loader.open_tokenizer(tmp_path / "tok.bin")
    assert len({piece.text for piece in tokenizer.pieces}) == len(tokenizer) == vocab_size
    assert all(piece.text.decode() for piece in tokenizer.pieces)


def test_the_shape_of_stories15M_is_as_large_as_stories15M() -> None:
    from loader.layout import file_size

    sizes = {shape: file_size(shape.config, loader.Format.V0) for shape in Shape}
    assert sizes[Shape.STORIES_260K] == 1_056_540
    assert sizes[Shape.STORIES_15M] == 60_816_028


def test_an_unknown_shape_is_refused_with_the_known_ones() -> None:
    result = command("--shape", "stories9M")
    assert result.returncode == 2
    assert "'stories9M' is not one of 'stories260K', 'stories15M'" in result.stderr


@pytest.mark.parametrize("tokens", [3, 10, 24])
def test_a_prompt_has_exactly_as_many_tokens_as_asked_for(
    small: tuple[loader.Model, loader.Tokenizer], tokens: int
) -> None:
    prompt = prompt_of(small[1], tokens)
    assert prompt is not None
    session = Session(*small, Setup(matmul=Matmul.SCALAR))
    story = session.generate(prompt, steps=tokens, ignore_eos=True, temperature=0)
    list(story)
    assert story.statistics is not None
    assert story.statistics.prompt_tokens == tokens


def test_tests_default_to_what_the_context_holds(small: tuple[loader.Model, loader.Tokenizer]) -> None:
    assert benchmark.plan_workloads(*small, None, None) == [Workload(PP, 23), Workload(TG, 23)]
    assert benchmark.plan_workloads(*small, None, 0, 9) == [Workload(PP, 8)]
    assert benchmark.plan_workloads(*small, 0, 5) == [Workload(TG, 5)]
    with pytest.raises(XenonError, match="24 tokens to generate, expected 0 to 23"):
        benchmark.plan_workloads(*small, 0, 24)


class Fake:
    """A runner that keeps no time."""

    matmul = Matmul.VMX
    threads = 1

    def __init__(self, kind: RunnerKind, calls: list[tuple[RunnerKind, int, int]]) -> None:
        self.kind = kind
        self.name = kind.value
        self.calls = calls

    def __call__(self, prompt: bytes, steps: int) -> Speeds:
        self.calls.append((self.kind, len(prompt), steps))
        return Speeds(float(len(self.calls)))


def test_repetitions_go_around_all_rows(small: tuple[loader.Model, loader.Tokenizer]) -> None:
    first, second = RunnerKind.QEMU, RunnerKind.NATIVE
    calls: list[tuple[RunnerKind, int, int]] = []
    seen: list[tuple[int, int]] = []
    workloads = [Workload(PP, 4), Workload(TG, 6)]
    rows = benchmark.rows_of([Fake(first, calls), Fake(second, calls)], workloads)
    benchmark.measure(rows, small[1], 2, lambda *done: seen.append(done))
    assert calls == [(first, 3, 5), (first, 0, 7), (second, 3, 5), (second, 0, 7)] * 2
    assert [row.samples for row in rows] == [[1, 5], [2, 6], [3, 7], [4, 8]]
    assert rows[0].mean == 3
    assert rows[0].spread == pytest.approx(8**0.5)
    assert seen == [(number, 8) for number in range(1, 9)]


def test_a_warm_up_runs_every_runner_and_takes_no_sample() -> None:
    first, second = RunnerKind.QEMU, RunnerKind.NATIVE
    calls: list[tuple[RunnerKind, int, int]] = []
    workloads = [Workload(PP, 4), Workload(TG, 6)]
    rows = benchmark.rows_of([Fake(first, calls), Fake(second, calls)], workloads)
    benchmark.warm_up(rows)
    assert calls == [(first, 0, 2), (second, 0, 2)]
    assert not any(row.samples for row in rows)


def test_a_measured_story_begins_with_its_hot_functions_optimised(
    small: tuple[loader.Model, loader.Tokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    need(RECOMPILER)
    consoles: list[Console] = []
    run = Console.run

    def begin(console: Console, timeout: float | None = None) -> object:
        assert console.recompiler is not None
        hot = console.recompiler.functions.addresses_of(HOT)
        outcomes = [console.recompiler.outcomes[console.recompiler.entries_of(address)] for address in hot]
        assert len(hot) == len(HOT)
        assert {outcome.tier for outcome in outcomes} == {Tier.OPTIMISED}
        consoles.append(console)
        return run(console, timeout)

    monkeypatch.setattr(Session, "hot_functions", lambda _: tuple(HOT))
    monkeypatch.setattr(Console, "run", begin)
    session = Session(*small, Setup(Engine.CPU, cpu=CpuKind.RECOMPILER))
    for _ in session.tell(b"", Sampling(temperature=0, seed=1, steps=2), compile_first=True):
        pass
    assert len(consoles) == 1


def test_a_depth_is_a_prompt_before_the_test(small: tuple[loader.Model, loader.Tokenizer]) -> None:
    planned = benchmark.plan_workloads(*small, 4, 6, depths=(0, 8))
    assert [str(workload) for workload in planned] == ["pp4", "tg6", "tg6 @ d8"]
    with pytest.raises(XenonError, match="16 tokens to generate, expected 0 to 15"):
        benchmark.plan_workloads(*small, 0, 16, depths=(8,))
    with pytest.raises(XenonError, match="depth 23, expected 0 to 22"):
        benchmark.plan_workloads(*small, depths=(23,), prompt_tokens=None, generated_tokens=None)


class Slowing(Fake):
    """A runner whose every position takes as many seconds as it has positions before it."""

    def __call__(self, prompt: bytes, steps: int) -> Speeds:
        self.calls.append((self.kind, len(prompt), steps))
        return Speeds((steps - 1) / sum(range(1, steps)))


class Telling(Fake):
    """A runner that tells the speed behind a prompt."""

    def __call__(self, prompt: bytes, steps: int) -> Speeds:
        self.calls.append((self.kind, len(prompt), steps))
        return Speeds(1, 3)


def test_the_time_at_a_depth_is_that_of_the_positions_behind_it(
    small: tuple[loader.Model, loader.Tokenizer],
) -> None:
    calls: list[tuple[RunnerKind, int, int]] = []
    runners = [Slowing(RunnerKind.LLAMA2C, calls), Telling(RunnerKind.NATIVE, calls)]
    rows = benchmark.rows_of(runners, [Workload(TG, 2, 5)])
    benchmark.measure(rows, small[1], 1)
    assert [row.samples[0] for row in rows] == [pytest.approx(2 / (6 + 7)), 3]
    prompt = len(prompt_of(small[1], 6) or b"")
    slow, telling = RunnerKind.LLAMA2C, RunnerKind.NATIVE
    assert calls == [(slow, prompt, 8), (slow, prompt, 6), (telling, prompt, 8)]


def test_ratios_are_those_of_medians_to_a_row_of_the_same_test() -> None:
    fast, slow = Fake(RunnerKind.NATIVE, []), Fake(RunnerKind.UNICORN, [])
    rows = benchmark.rows_of([fast, slow], [Workload(PP, 4), Workload(TG, 6)])
    for row, samples in zip(rows, ([8, 8, 80], [6, 6, 6], [2, 2, 20], [0, 0, 0]), strict=True):
        row.samples += [float(sample) for sample in samples]
    yardsticks = benchmark_report.yardsticks(rows, None)
    assert yardsticks == {Workload(PP, 4): rows[0], Workload(TG, 6): rows[1]}
    assert benchmark_report.yardsticks(rows, "unicorn/vmx") == {
        Workload(PP, 4): rows[2],
        Workload(TG, 6): rows[3],
    }
    assert benchmark_report.ratio_of(rows[2], rows[0]) == 0.25
    assert benchmark_report.ratio_of(rows[3], rows[1]) is None  # not slower: not measured
    assert benchmark_report.ratios(rows) == [
        {"test": "pp4", "runner": "native/vmx/1", "to": "unicorn/vmx/1", "ratio": 4},
        {"test": "tg6", "runner": "native/vmx/1", "to": "unicorn/vmx/1", "ratio": None},
        {"test": "pp4", "runner": "unicorn/vmx/1", "to": "native/vmx/1", "ratio": 0.25},
        {"test": "tg6", "runner": "unicorn/vmx/1", "to": "native/vmx/1", "ratio": None},
    ]
    with pytest.raises(XenonError, match="no runner 'uni' to compare with"):
        benchmark_report.yardsticks(rows, "uni")


def test_all_engines_run_the_same_tests(small: tuple[loader.Model, loader.Tokenizer], tmp_path: Path) -> None:
    runners, notes = find_runners(*small, tmp_path, Selection(context=5))
    assert len(runners) + 2 * len(notes) == 9
    assert {runner.threads for runner in runners} == {1}
    rows = benchmark.rows_of(runners, [Workload(PP, 3), Workload(TG, 3)])
    benchmark.measure(rows, small[1], 1)
    assert {row.runner.kind for row in rows} >= {RunnerKind.UNICORN, RunnerKind.GPU}
    fast = RunnerKind.RECOMPILER  # three tokens of this model may take less than the report's millisecond
    assert all(row.mean > 0 or row.runner.kind is fast for row in rows)
    assert any(isinstance(runner, NativeRunner) for runner in runners) or notes


def test_reports_hold_the_same_rows() -> None:
    facts: list[dict[str, benchmark_report.Value]] = [
        {
            **{"model": "m", "size_bytes": 60_816_028, "parameters": 15_191_712, "engine": "unicorn"},
            **{"matmul": "vmx", "threads": 1, "test": "tg8", "tokens_per_second": 2.5, "spread": 0.25},
            "samples": [2.25, 2.75],
        }
    ]
    table = benchmark_report.markdown(facts).splitlines()
    assert (
        table[0].split() == "| model | size | params | engine | matmul | threads | test | tokens/s |".split()
    )
    assert table[2] == "| m     | 58.0 MiB | 15.19 M | unicorn | vmx    |       1 | tg8  | 2.50 ± 0.25 |"
    assert len({len(line) for line in table}) == 1
    facts[0] |= {"relative_to": "native/vmx/1", "ratio": 0.125}
    assert benchmark_report.markdown(facts).splitlines()[2].endswith(" 2.50 ± 0.25 |          0.125 |")
    rows = list(csv.DictReader(io.StringIO(benchmark_report.as_csv(facts))))
    assert (rows[0]["tokens_per_second"], rows[0]["samples"]) == ("2.5", "2.25 2.75")


def test_the_command_prints_json_with_the_machine(small: tuple[loader.Model, loader.Tokenizer]) -> None:
    result = command(
        *("-m", str(small[0].path), "-z", str(small[1].path), "-p", "2", "-n", "2", "-r", "2"),
        *("--engine", "unicorn", "--matmul", "vmx", "--threads", "1,2", "--json"),
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert len(report["ratios"]) == 4
    assert report["machine"]["unicorn"] == "2.1.4"
    assert [(row["threads"], row["test"]) for row in report["rows"]] == [
        *((1, "pp2"), (1, "tg2"), (2, "pp2"), (2, "tg2"))
    ]
    assert all(len(row["samples"]) == 2 and row["matmul"] == "vmx" for row in report["rows"])


def test_the_command_measures_a_shape_without_a_file() -> None:
    result = command("--shape", "stories260K", "-p", "0", "-n", "2", "-r", "1", "--engine", "unicorn")
    assert result.returncode == 0, result.stderr
    assert "| stories260K-random | 1.0 MiB | 0.26 M | unicorn | scalar |" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(
            ["--engine", "warp"],
            2,
            "'warp' is not one of 'unicorn', 'recompiler', 'gpu', ",
            marks=NEWER_TYPER,
        ),
        pytest.param(
            ["--threads", "two"], 2, "'--threads': 'two': expected numbers such as 1,2", marks=NEWER_TYPER
        ),
        (["--shape", "stories260K", "--threads", "7"], 2, "7 hardware threads, expected 1 to 6"),
        (["--matmul", "fast"], 2, "'--matmul': 'fast' is not one of 'scalar', 'vmx'."),
        (["--shape", "stories9M"], 2, "'stories9M' is not one of 'stories260K', 'stories15M'"),
        (["m.bin", "--shape", "stories15M"], 2, "a model and --shape"),
        (["-m", "m.bin", "--shape", "stories15M"], 2, "a model and --shape"),
        (["m.bin", "-m", "m.bin"], 2, "a model and --model"),
        pytest.param(
            *(["--depth", "1,b"], 2, "'-d': '1,b': expected numbers such as 1,2"), marks=NEWER_TYPER
        ),
        (["--shape", "stories260K", "-d", "512"], 2, "depth 512, expected 0 to 510 with"),
        (["--engine", "llama2c"], 2, "--engine llama2c without --llama2c"),
        (["--engine", "unicorn", "--relative-to", "gpu"], 2, "no runner 'gpu' to compare with"),
        (["--json", "--csv"], 2, "--json and --csv"),
        (["no-such-model.bin"], 1, "no-such-model.bin: no such file or directory"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(arguments: list[str], code: int, message: str) -> None:
    result = command(*arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
