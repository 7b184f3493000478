"""The comparison: Pareto front by hand, profiles, pictures, the page as HTML, errors."""

import dataclasses
import html.parser
import json
import re

import pytest

from benchmarks import compare, compare_page, compare_plots, comparison, op_profile
from benchmarks.arm.counts import CLASSES, ArmCounts, ArmUnavailable
from benchmarks.compare_plots import place_badges, significant
from benchmarks.comparison import Accuracy, Comparison, Entry, letter, pareto_front
from benchmarks.latency import LatencyResult, LatencySettings, summarize
from benchmarks.op_profile import OpProfile, OpTime, kind_of, parse
from benchmarks.static import static_cost
from mobilenet_tf.cli import WorkError
from mobilenet_tf.machine import describe_machine
from tests.test_page import VOID
from tests.tiny_models import float_classifier, int8_classifier

FRONTS = {
    # cost, accuracy: a beats c (cheaper, better); d costs more and is better still.
    "plain": ([1.0, 3.0, 2.0, 4.0], [0.5, 0.6, 0.4, 0.9], [0, 1, 3]),
    "same cost": ([1.0, 1.0], [0.5, 0.6], [1]),
    "same accuracy": ([2.0, 1.0], [0.5, 0.5], [1]),
    "equal": ([1.0, 1.0, 2.0], [0.5, 0.5, 0.4], [0, 1]),
    "one": ([1.0], [0.0], [0]),
}


@pytest.mark.parametrize("costs, accuracies, front", FRONTS.values(), ids=FRONTS)
def test_pareto_front_by_hand(costs, accuracies, front):
    assert pareto_front(costs, accuracies) == front


def test_letters_and_numbers():
    assert [letter(i) for i in (0, 25, 26, 51, 52, 701, 702)] == [
        "A",
        "Z",
        "AA",
        "AZ",
        "BA",
        "ZZ",
        "AAA",
    ]
    numbers = (0, 0.01234, 0.9996, 4.556, 300.8, 1234.5)
    assert [significant(n) for n in numbers] == ["0", "0.0123", "1.00", "4.56", "301", "1,230"]


def test_badges_cover_neither_points_nor_each_other_nor_the_edge():
    # Twelve files in a heap at a corner.
    points = [(10.0 + 3 * (i % 4), 10.0 + 3 * (i // 4)) for i in range(12)]
    places = place_badges(points, (0, 0, 300, 200))
    for i, (x, y) in enumerate(places):
        assert 7.5 <= x <= 292.5 and 7.5 <= y <= 192.5
        for other in places[:i]:
            assert (x - other[0]) ** 2 + (y - other[1]) ** 2 >= 15**2
        for point in points:
            assert (x - point[0]) ** 2 + (y - point[1]) ** 2 >= 10**2


def test_standard_error_by_hand():
    assert Accuracy(0.8, 100).error == pytest.approx(0.04)  # sqrt(0.8 * 0.2 / 100)


# Lines as ai-edge-litert 2.3.0 prints them; the times are made up.
HEAD = "[node type] [start] [first] [avg ms] [%] [cdf%] [mem KB] [times called] [Name]"
CONV = "    Delegate/Convolution (NHWC, QC8) IGEMM  0.000  0.045"
SUMMARY = f"""
==================== Run Order ====================
    {HEAD}
                   QUANTIZE    0.000    0.011    @   1.330%   1.330%    0.000    5   [Builtin]:0
{CONV}  0.200  5.109%  6.580%  0.000  5 [Delegate]:0
    Delegate/Fully Connected (NC, QS8, QC8W) GEMM 0.000 0.1 0.050 5.1% 6.5% 0.000 10 [Delegate]:1

==================== Top by Computation Time ====================
    {HEAD}
{CONV}  9.000  5.109%  6.580%  0.000  5 [Delegate]:0
"""


def test_profile_is_the_median_of_the_summaries():
    text = "".join(SUMMARY.replace("@", ms) for ms in ("0.010", "0.900", "0.012"))
    assert parse(text, runs=5) == (
        OpTime("QUANTIZE", "built-in kernel", 0.012),
        OpTime("Convolution (NHWC, QC8) IGEMM", "convolution", 0.2),
        # In two partitions under the same number: twice an inference.
        OpTime("Fully Connected (NC, QS8, QC8W) GEMM", "matrix product", 0.1),
    )
    assert parse("no tables", 5) == ()


def test_kinds_of_xnnpacks_operators():
    names = {
        "Delegate/Convolution (NHWC, QC8) DWConv": "depthwise",
        "Delegate/Convolution (NHWC, F32) GEMM": "matrix product",
        "Delegate/Mean (ND) Reduce": "pooling",
        "Delegate/Multiply (ND)": "elementwise",
        "Delegate/Invalid Unary Op": "elementwise",
        "Delegate/Convert (NC)": "conversion",
        "Delegate/Softmax (NC, F32)": "other",
    }
    assert {name: kind_of(name, "Delegate") for name in names} == names
    assert kind_of("ADD", "Builtin") == "built-in kernel"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "<b>&int8.tflite").write_bytes(int8_classifier())
    (folder / "float.tflite").write_bytes(float_classifier())
    return [str(folder / name) for name in ("<b>&int8.tflite", "float.tflite")]


def test_profile_of_a_model(models):
    found = op_profile.profile(models[0])
    if "libLiteRt.so" in found.problem:
        pytest.skip("this ai-edge-litert comes without its library")
    assert found.problem == ""
    kinds = [op.kind for op in found.ops]
    # QUANTIZE and HARD_SWISH are left to the built-in kernels.
    assert kinds.count("built-in kernel") == 2 and "convolution" in kinds
    assert sum(found.by_kind.values()) == pytest.approx(sum(op.ms for op in found.ops))


@pytest.mark.parametrize(
    "script, problem",
    [("kill -SEGV $$", "crashed"), ("echo error: no 1>&2; exit 1", "no"), ("exec sleep 9", "0.5")],
)
def test_a_profiler_that_fails_is_said(script, problem, models, tmp_path, monkeypatch):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(fake))
    found = op_profile.profile(models[0], timeout_s=0.5 if "sleep" in script else 60)
    assert found.ops == () and problem in found.problem


def _latency(path: str, ms: float) -> LatencyResult:
    return LatencyResult(
        path=path,
        sha256="0" * 64,
        size_bytes=1000,
        input_dtype="uint8",
        input_shape=(1, 8, 8, 3),
        num_threads=1,
        xnnpack_partitions=2,
        init_ms=1.0,
        first_run_ms=1.0,
        stats=summarize([ms]),
        round_medians_ms=(ms, 1.1 * ms),
        cpu_ms=ms,
        peak_memory_bytes=1000,
    )


def _comparison(models: list[str], **changes) -> Comparison:
    ops = (OpTime("QUANTIZE", "built-in kernel", 0.01), OpTime("<Conv>", "convolution", 0.03))
    arm = ArmCounts(
        core="cortex-a76",
        instructions=60_000_000,
        classes=dict.fromkeys(CLASSES, 10_000_000),
        load_bytes=1,
        store_bytes=1,
        hot_blocks=(),
        partitions=1,
        outputs_equal="identical",
        max_difference=0.0,
    )
    entries = tuple(
        Entry(
            letter=letter(i),
            name=path.rpartition("/")[2],
            static=static_cost(path),
            latency=_latency(path, 1.0 + i),
            profile=OpProfile(ops),
            accuracy=Accuracy(0.7 - 0.1 * i, 1000),
            arm=arm,
        )
        for i, path in enumerate(models)
    )
    values = Comparison(
        entries=entries,
        machine=describe_machine(),
        settings=LatencySettings(),
        noise_reasons=(),
        dataset="folder/<data>",
        arm_core="cortex-a76",
        arm_problem="",
    )
    return dataclasses.replace(values, **changes)


class _Checker(html.parser.HTMLParser):
    """Finds tags that are not closed in order, and everything a page could load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        keys = ("src", "href", "xlink:href", "data")
        self.loads += [values[k] for k in keys if values.get(k, "#")[0] != "#"]
        self.loads += [tag] if tag in ("script", "link", "iframe", "object") else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _checked(text: str) -> _Checker:
    checker = _Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def page(models):
    return compare_page.format_page(_comparison(models))


def test_page_is_well_formed_and_needs_nothing(page):
    text = page
    checker = _checked(text)
    assert checker.loads == [] and len(set(checker.ids)) == len(checker.ids)
    outside = re.sub(r'"http://www\.w3\.org/[^"]*"', "", text)
    assert "http" not in outside and "url(http" not in text and "@import" not in text
    assert text.count("<svg") == 8  # 3 of accuracy, 3 of computation, 2 of time
    assert "<b>&int8" not in text and "&lt;b&gt;&amp;int8.tflite" in text
    assert "<Conv>" not in text and "&lt;data&gt;" in text and "folder/" not in text
    for words in ("top-1 accuracy (%)", "size of the file (MB)", "latency on this host (ms)"):
        assert words in text


def test_page_says_what_is_missing(models):
    full = _comparison(models)
    bare = tuple(dataclasses.replace(e, accuracy=None, arm=None) for e in full.entries)
    problem = "counting needs <qemu>"
    text = compare_page.format_page(
        dataclasses.replace(full, entries=bare, dataset=None, arm_problem=problem)
    )
    _checked(text)
    assert "Accuracy was not measured" in text and text.count("<svg") == 4
    assert text.count("counting needs &lt;qemu&gt;") == 1
    failed = OpProfile((), "it <crashed>")
    mixed = (dataclasses.replace(full.entries[0], profile=failed, arm=None), full.entries[1])
    text = compare_page.format_page(
        dataclasses.replace(full, entries=mixed, arm_problem=problem, noise_reasons=("<busy>",))
    )
    _checked(text)
    for words in ("counting needs &lt;qemu&gt;", "it &lt;crashed&gt;", "&lt;busy&gt;"):
        assert text.count(words) == 1
    assert text.count("<svg") == 8  # Those of instructions show the one file that was counted.


def test_best_values_are_bold(page):
    rows = re.findall(r"<tr><td><span class=\"badge\">([AB]).*?</tr>", page)
    assert rows == ["A", "B"]
    best = re.findall(r'<td class="number best">(.*?)</td>', page)
    # A is more accurate and faster; B is smaller, has fewer MACs and less memory.
    assert best[0] == "70.00" and "1.000" in best and len(best) == 5


def test_axis_of_costs_far_apart_is_logarithmic(models):
    entries = _comparison(models).entries
    assert ", logarithmic" in compare_plots.accuracy_svg(entries, [1.0, 100.0], "ms", "x")
    assert ", logarithmic" not in compare_plots.accuracy_svg(entries, [1.0, 9.0], "ms", "x")


def test_missing_arm_setup_and_files_that_fail_there(models, monkeypatch):
    def unavailable(path, core):
        raise ArmUnavailable("it is missing; run make arm. Received: none in /home/me")

    def half(path, core):
        if "float" in path:
            raise WorkError(f"it does not run. Received: {path}")
        return "counts"

    monkeypatch.setattr(comparison, "count", unavailable)
    found = comparison._arm_counts(models, "cortex-a53")
    assert found == ([None, None], "it is missing; run make arm.")
    monkeypatch.setattr(comparison, "count", half)
    assert comparison._arm_counts(models, "cortex-a53") == (
        ["counts", None],
        "float.tflite: it does not run.",
    )
    assert comparison._arm_counts(models, None) == ([None, None], "")


def test_command_line(models, tmp_path, capsys):
    page, stored = tmp_path / "page.html", tmp_path / "out.json"
    options = ["--num-runs", "2", "--rounds", "2", "--output", str(page), "--json", str(stored)]
    assert compare.main([*models, *options]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["A", "B"] and "top-1" not in lines[0]
    _checked(page.read_text(encoding="utf-8"))
    found = json.loads(stored.read_text())
    assert [row["file"] for row in found["results"]] == ["<b>&int8.tflite", "float.tflite"]
    first = found["results"][0]
    assert first["static"]["macs"] == 6928 and first["latency"]["stats"]["median_ms"] > 0
    assert first["accuracy"] is None is first["arm"] and str(tmp_path) not in stored.read_text()


@pytest.mark.parametrize(
    "options, code, said",
    [
        (["--dataset", "x"], 2, "need --accuracy"),
        (["--output", "x.tflite"], 2, "must name an .html file"),
        (["--output", "none/x.html"], 1, "folder of --output must exist"),
        (["--json", "x.txt"], 2, ".json"),
        (["--accuracy"], 2, "needs --dataset"),
    ],
)
def test_wrong_usage_is_one_line(options, code, said, models, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert compare.main([*models, *options]) == code
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and said in err
    assert list(tmp_path.iterdir()) == []


def test_existing_pages_and_double_files_are_refused(models, tmp_path, capsys):
    page = tmp_path / "x.html"
    page.write_text("mine")
    assert compare.main([*models, "--output", str(page)]) == 1
    assert "--overwrite" in capsys.readouterr().err and page.read_text() == "mine"
    assert compare.main([models[0], models[0], "--output", str(tmp_path / "y.html")]) == 2
    assert "given once" in capsys.readouterr().err
