"""The modelled latency: its data, what it refuses, and the command line. Nothing is emulated."""

import dataclasses
import json

import numpy as np
import pytest
from tiny_tflite import tiny_model

from benchmarks.arm.counts import ArmCounts
from benchmarks.estimate import __main__ as command
from benchmarks.estimate import devices, evaluation, model
from benchmarks.estimate.devices import DEVICES, Refused
from benchmarks.estimate.recording import networks_to_record
from benchmarks.estimate.records import Record, load_records
from benchmarks.estimate.tables import Network, Row, Table, load_tables
from export.inspection.file_graph import read_graph


def _network(name: str, alpha: float = 1.0, size: int = 224, form: str = "float32") -> Network:
    return Network(name, alpha, size, form)


def _table(name: str, device: str, rows: dict[Network, float]) -> Table:
    return Table(
        name=name,
        device=device,
        title="a paper",
        source="its table 1",
        url="",
        edition="2020",
        runtime="",
        threads=1,
        core="",
        rows=tuple(Row(network, ms) for network, ms in rows.items()),
    )


def _classes(count: int) -> dict[str, int]:
    """Instructions of one class only."""
    return {"dot": 0, "fp_mac": 0, "int_mac": 0, "load": 0, "store": 0, "other": count}


def _record(network: Network, count: int, host_ms: float = 1.0) -> Record:
    return Record(network, host_ms, {"instructions": count, **_classes(count)})


# The data.


@pytest.mark.parametrize(
    ("table", "cells", "ms"),
    [
        ("slim-v2-pixel1", ("v2", 1.4, 224, "float32"), 138.0),
        ("slim-v2-pixel1", ("v2", 0.35, 96, "float32"), 4.5),
        ("slim-v3-pixel1", ("v3_small", 1.0, 224, "int8"), 15.5),
        ("slim-v3-pixel2", ("v3_large", 0.75, 224, "float32"), 48),
        ("slim-v3-pixel3", ("v3_large_minimalistic", 1.0, 224, "int8"), 27),
        ("tflite-pixel2", ("v1", 1.0, 224, "float32"), 160.1),
        ("tflite-pixel2", ("v1", 0.25, 128, "int8"), 3.7),
        ("tflite-pixel2", ("v2", 1.0, 224, "int8"), 80.3),
        ("xnnpack-pixel1", ("v1", 1.0, 224, "float32"), 82),
        ("xnnpack-pixel2", ("v2", 1.0, 224, "float32"), 53),
        ("xnnpack-pixel3a", ("v3_small", 1.0, 224, "float32"), 14),
    ],
)
def test_cells_of_the_sources(table, cells, ms):
    tables = {found.name: found for found in load_tables()}
    assert {row.network: row.ms for row in tables[table].rows}[Network(*cells)] == ms


def test_tables_are_whole_and_name_their_source():
    tables = load_tables()
    lengths = {table.name: len(table.rows) for table in tables}
    assert lengths == {
        "slim-v2-pixel1": 22,
        "slim-v3-pixel1": 9,
        "slim-v3-pixel2": 9,
        "slim-v3-pixel3": 9,
        "tflite-pixel2": 34,
        "xnnpack-pixel1": 4,
        "xnnpack-pixel2": 4,
        "xnnpack-pixel3a": 4,
    }
    for table in tables:
        assert len({row.network for row in table.rows}) == len(table.rows)
        assert table.device in DEVICES and table.threads == 1
        assert table.edition.split()[1].rstrip(";") in table.url
    assert {device.scale_table for device in DEVICES.values()} <= set(lengths)


@pytest.mark.parametrize(
    ("cells", "millions"),
    # From the column of MACs beside the latencies.
    [(("v2", 1.4, 224), 582), (("v2", 0.35, 224), 59), (("v3_large", 0.75, 224), 155)],
)
def test_our_builds_have_the_published_macs(cells, millions):
    macs = Network(*cells, "float32").complexity.macs
    assert macs / 1e6 == pytest.approx(millions, rel=0.01)


def test_records_hold_what_is_to_be_recorded():
    records = load_records()
    assert set(records) == set(networks_to_record(load_tables()))
    for record in records.values():
        classes = sum(value for key, value in record.counts.items() if key != "instructions")
        assert classes == record.counts["instructions"]
        assert record.host_ms > 0


# The model.


def test_milliseconds_are_those_of_the_scale_table():
    v1, v2, v3 = _network("v1"), _network("v2"), _network("v3_large")
    # The second table is 3 times as slow and holds what the first does not.
    tables = [
        _table("xnnpack-pixel1", "pixel1", {v1: 10.0, v2: 5.0}),
        _table("another", "pixel1", {v1: 30.0, v3: 12.0}),
        _table("another phone", "pixel2", {v1: 1.0}),
    ]
    counts = {v1: 20, v2: 10, v3: 8}
    records = {network: _record(network, count) for network, count in counts.items()}
    found = model.calibrate(DEVICES["pixel1"], "float32", tables, records)
    assert found.weights == pytest.approx((0, 0, 0.5))
    assert found.offsets == pytest.approx({"xnnpack-pixel1": 1, "another": 3})
    assert found.fitted_instructions == (20, 10, 20, 8)
    assert found.errors == pytest.approx((0, 0, 0, 0), abs=1e-9)


def test_an_estimate_is_the_count_times_the_weight(tmp_path, monkeypatch):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_model(3, dtype="float32"))
    v1, v2 = _network("v1"), _network("v2")
    tables = [_table("xnnpack-pixel1", "pixel1", {v1: 82.0, v2: 49.0})]
    records = {v1: _record(v1, 164), v2: _record(v2, 98)}
    monkeypatch.setattr(model, "count", _counter(60))
    found = model.estimate(str(path), DEVICES["pixel1"], tables, records)
    assert found.modelled_ms == pytest.approx(30.0)
    assert str(found) == (
        f"{path}: modelled 30 ms on pixel1 (fit on 2 published rows, in the milliseconds of "
        "a paper, 2020; held-out error of float32: median 0%, max 0% of 2 rows)\n"
        "  note: not in any network of the fit: CAST"
    )


def _counter(instructions: int):
    def count(path: str, core: str) -> ArmCounts:
        return _arm_counts(core, instructions)

    return count


def _arm_counts(core: str, instructions: int) -> ArmCounts:
    return ArmCounts(
        core=core,
        instructions=instructions,
        classes=_classes(instructions),
        load_bytes=0,
        store_bytes=0,
        partitions=1,
        outputs_equal="identical",
        max_difference=0.0,
        hot_blocks=(),
    )


# Rules.


@pytest.mark.parametrize("name", ["rpi4", "pixel4"])
def test_devices_known_to_be_wrong_are_refused(name):
    with pytest.raises(Refused, match=f"no estimate for {name}"):
        devices.find_device(name)


@pytest.mark.parametrize(("name", "refused"), [("pixel1", False), ("pixel3", True)])
def test_int8_is_refused_where_dot_products_would_run_it(name, refused):
    devices.check_form(DEVICES[name], "float32")
    if refused:
        with pytest.raises(Refused, match="dot products"):
            devices.check_form(DEVICES[name], "int8")
    else:
        devices.check_form(DEVICES[name], "int8")


@pytest.mark.parametrize(
    ("kinds", "form"),
    [
        ("float32", "float32"),
        ("float16 weights, float32 arithmetic", "float32"),
        ("int8 per channel", "int8"),
        ("int8 per channel + float32", "int8"),
        ("dynamic range (int8 weights, float32 activations)", None),
        ("int16 activations x int8 weights", None),
        ("no weights found", None),
    ],
)
def test_forms_without_published_times_are_refused(monkeypatch, kinds, form):
    graph = read_graph(tiny_model(3))
    monkeypatch.setattr(devices, "quantization", lambda graph: kinds)
    if form is None:
        with pytest.raises(Refused, match="no estimate for this form"):
            devices.form_of(graph)
    else:
        assert devices.form_of(graph) == form


def test_unusual_files_are_noted():
    graph = read_graph(tiny_model(3))
    (note,) = devices.notes(graph)
    assert note == "not in any network of the fit: CAST"
    usual = dataclasses.replace(graph, census={"CONV_2D": 3})
    assert devices.notes(usual) == []


def test_other_sizes_than_the_tables_are_refused():
    devices.check_size(50, [100, 200])
    devices.check_size(400, [100, 200])
    for instructions in (49, 401):
        with pytest.raises(devices.Refused, match="no estimate for this size"):
            devices.check_size(instructions, [100, 200])


def test_many_large_convolutions_are_noted():
    graph = read_graph(tiny_model(3))
    kernel = dataclasses.replace(graph.tensors[4], shape=(8, 3, 3, 4))
    conv = dataclasses.replace(graph.ops[2], name="CONV_2D")
    once = dataclasses.replace(
        graph, census={"CONV_2D": 1}, tensors=(*graph.tensors[:4], kernel), ops=(conv,)
    )
    assert devices.notes(once) == []
    twice = dataclasses.replace(once, ops=(conv, conv))
    assert devices.notes(twice)[0].startswith("2 full convolutions")


# The evaluation.


def test_a_network_is_left_out_with_all_its_sizes_and_forms():
    big, small, int8 = _network("v1"), _network("v1", size=128), _network("v1", form="int8")
    other = _network("v2")
    table = _table("t", "pixel1", {big: 30.0, small: 10.0, int8: 15.0, other: 8.0})
    counts = {big: 30, small: 10, int8: 15, other: 4}
    records = {network: _record(network, count) for network, count in counts.items()}
    found = evaluation.leave_one_out("ARM instructions", DEVICES["pixel1"], [table], records)
    # V1 by V2's factor of 2: 60, 20 and 30. V2 by V1's factor of 1: 4.
    assert found.predicted == pytest.approx([60, 20, 30, 4])
    assert found.errors_of("float32") == pytest.approx([1, 1, 0.5])
    assert found.errors_of("int8") == pytest.approx([1])
    assert evaluation.orders_of(found) == [(pytest.approx(1), 0, 6)]


def test_int8_is_not_fitted_where_dot_products_would_run_it():
    network, int8 = _network("v1"), _network("v1", form="int8")
    tables = [_table("t", name, {network: 2.0, int8: 1.0}) for name in ("pixel1", "pixel3")]
    records = {n: _record(n, 1) for n in (network, int8)}
    lengths = [
        len(evaluation.rows_of(DEVICES[name], tables, records)) for name in ("pixel1", "pixel3")
    ]
    assert lengths == [2, 1]


@pytest.mark.parametrize("rival", ["MACs", "x86 time"])
def test_the_shipped_predictor_beats_macs_and_host_time(rival):
    tables, records = load_tables(), load_records()
    wrong, errors = {}, {}
    for predictor in (evaluation.SHIPPED, rival):
        results = [
            evaluation.leave_one_out(predictor, device, tables, records)
            for device in DEVICES.values()
        ]
        wrong[predictor] = sum(order[1] for r in results for order in evaluation.orders_of(r))
        errors[predictor] = float(np.median(np.concatenate([r.errors for r in results])))
    assert wrong[evaluation.SHIPPED] < wrong[rival]
    assert errors[evaluation.SHIPPED] < errors[rival]


# The command line.


def test_one_line_a_file_and_json(tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "tiny.tflite", tmp_path / "out.json"
    path.write_bytes(tiny_model(3, dtype="float32"))
    monkeypatch.setattr(model, "count", _counter(10**8))
    assert command.main([str(path), "--device", "pixel1", "--json", str(out)]) == 0
    assert " modelled " in capsys.readouterr().out.splitlines()[0]
    stored = json.loads(out.read_text())
    assert stored["kind"] == "modelled, not measured"
    assert stored["estimates"][0]["instructions"] == 10**8
    assert stored["refused"] == {}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--device", "nokia"], 2, "--device must be one of pixel1"),
        (["--device", "rpi4"], 1, "no estimate for rpi4"),
        (["--device", "pixel1", "--num-threads", "4"], 1, "no estimate for several threads"),
        (["--device", "pixel1"], 1, "no such model"),
    ],
)
def test_refusals_are_one_line(capsys, options, code, message):
    assert command.main(["missing.tflite", *options]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_refused_file_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    good, bad = tmp_path / "good.tflite", tmp_path / "bad.tflite"
    for path in (good, bad):
        path.write_bytes(tiny_model(3, dtype="float32"))

    def count(path: str, core: str) -> ArmCounts:
        if path == str(bad):
            raise Refused("no estimate for this form")
        return _arm_counts(core, 10**8)

    monkeypatch.setattr(model, "count", count)
    assert command.main([str(bad), str(good), "--device", "pixel1"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith(str(good))
    assert captured.err.startswith(f"error: {bad}: no estimate for this form\n")
