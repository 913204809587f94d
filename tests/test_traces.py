"""Traces of failures: every format, and every way in which a file of one is wrong."""

from __future__ import annotations

import gzip
import itertools
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringward.errors import ArgumentError, RingwardError
from ringward.simulation import TraceError, parse_trace, read_trace
from ringward.simulation.traces import FORMATS, OutageRecord, StateRecord, trace_of_outages, trace_of_states

LANL = """System,machine type,nodes,nodenum,nodenumz,Prob Started,Prob Fixed,Down Time,Same Event
2,cluster,49,0,0,6/21/2005 10:54,6/21/2005 11:00,6,No
2,cluster,49,0,0,6/21/2005 10:58,6/21/2005 11:10,12,No
2,cluster,49,1,1,6/21/2005 11:00,6/21/2005 11:00,0,No
2,cluster,49,0,0,6/21/2005 11:10,6/21/2005 11:20,10,No
20,cluster,512,1,0,6/21/2005 12:00,,10,No
20,cluster,512,1,0,6/21/2005 13:00,6/21/2005 12:00,10,No
"""
UPPTIME = """time\tnode\tstate\thttp_code\tresponse_ms
2024-10-30T00:32:03+00:00\tSearch a.example\tdown\t0\t0
2024-10-30T00:32:04+00:00\tSearch b.example\tup\t200\t800
2024-10-30T01:37:03+01:00\tSearch a.example\tup\t200\t90
2024-10-30T00:40:04+00:00\tSearch b.example\tdegraded\t200\t9000
2024-10-30T00:41:04+00:00\tSearch b.example\tdown\t500\t0
2024-10-30T00:42:04+00:00\tSearch a.example\tup\t200\t90
"""
PLANETLAB = """day\tvm_file
20110303\tone_example_org
20110303\ttwo_example_org
20110306\ttwo_example_org
20110309\tone_example_org
"""
KAFKA = """[2016-12-19 16:31:47,437] INFO [Controller 0]: Controller starting up (kafka.controller.KafkaController)
[2016-12-19 16:31:48,825] INFO [BrokerChangeListener on Controller 0]: Newly added brokers: 0,1, deleted brokers: , all live brokers: 0,1 (x)
java.lang.IllegalStateException
[2016-12-19 16:31:58,825] INFO [BrokerChangeListener on Controller 0]: Newly added brokers: , deleted brokers: 1, all live brokers: 0 (x)
[2016-12-19 16:32:18,825] INFO [BrokerChangeListener on Controller 0]: Newly added brokers: 1, deleted brokers: , all live brokers: 0,1 (x)
[2016-12-19 16:32:48,825] INFO [Controller 0]: Nothing (x)
"""
ZOOKEEPER = """LineId,Date,Time,Level,Node,Component,Id,Content,EventId,EventTemplate
1,2015-07-29,"17:41:44,747",INFO,a,b,1,Notification time out: 3200,E31,Notification
2,2015-07-29,"17:41:54,747",WARN,a,b,1,Cannot open channel to 3 at election address /10.10.34.13:3888,E5,Cannot
3,2015-07-29,"17:41:55,747",WARN,a,b,1,Cannot open channel to 3 at election address /10.10.34.13:3888,E5,Cannot
4,2015-07-29,"17:42:04,747",INFO,a,b,1,Received connection request /10.10.34.13:45307,E40,Received
5,2015-07-29,"17:42:44,747",INFO,a,b,1,Received connection request /10.10.34.11:45307,E40,Received
"""
CSV = """time,node,state
0,node1,up
10,node2,down
10,node1,down
10,node1,up
25.5,node2,up
60,node1,down
"""
EXTRACTS = {
    "lanl": (LANL, {"2-0", "2-1"}, [("2-0", 0.0, 1560.0)]),
    "upptime": (UPPTIME, {"Search a.example", "Search b.example"}, [("Search a.example", 0.0, 300.0), ("Search b.example", 541.0, 601.0)]),
    "planetlab": (PLANETLAB, {"one_example_org", "two_example_org"}, [("one_example_org", 259200.0, 518400.0), ("two_example_org", 518400.0, 604800.0)]),
    "kafka": (KAFKA, {"broker-0", "broker-1"}, [("broker-1", 10.0, 30.0)]),
    "zookeeper": (ZOOKEEPER, {"10.10.34.11", "10.10.34.13"}, [("10.10.34.13", 0.0, 10.0)]),
    "csv": (CSV, {"node1", "node2"}, [("node2", 10.0, 25.5)]),
}  # fmt: skip
every_format = pytest.mark.parametrize("format", EXTRACTS)


def outages(trace):
    rows = zip(trace.node.tolist(), trace.start_s.tolist(), trace.end_s.tolist(), strict=True)
    return [(trace.nodes[node], round(start, 3), round(end, 3)) for node, start, end in rows]


@every_format
def test_each_format_is_known_by_its_first_line(format):
    text, nodes, expected = EXTRACTS[format]
    for trace in (parse_trace(text.splitlines(keepends=True)), parse_trace(text.splitlines(), format=format)):
        assert set(trace.nodes) == nodes
        assert outages(trace) == expected
    assert set(EXTRACTS) == set(FORMATS)


@every_format
def test_files_may_be_packed_begin_with_a_mark_and_end_lines_as_windows_does(format, tmp_path):
    text, _, expected = EXTRACTS[format]
    data = ("\ufeff" + text.replace("\n", "\r\n")).encode()
    for packed in (data, gzip.compress(data), lzma.compress(data)):
        (tmp_path / "trace").write_bytes(packed)
        assert outages(read_trace(tmp_path / "trace")) == expected


def test_what_overlaps_lasts_no_time_or_begins_as_another_ends_is_counted():
    counts = parse_trace(LANL.splitlines()).counts()
    assert counts == {
        "nodes": 2, "outages": 4, "overlapping": 1, "zero_length": 1, "same_time": 1, "unfinished": 0, "skipped": 2,
        "span_s": 1560.0,
    }  # fmt: skip
    counts = parse_trace(CSV.splitlines()).counts()
    assert counts["zero_length"] == 1
    assert counts["unfinished"] == 1  # node1 goes down in the last moment, for no time


def test_a_node_without_a_header_is_read_and_one_that_is_never_up_stays_down():
    trace = parse_trace(["5,a,down", "2,b,up", "9,b,up"])
    assert outages(trace) == [("a", 3.0, 7.0)]
    assert (trace.span_s, trace.began_s, trace.unfinished) == (7.0, 2.0, 1)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "empty"),
        ("\n \n", None, "empty"),
        ("hello\n", 1, "no known format"),
        ("\n{}\n", 2, "no known format"),
        ("time,node,state\n", None, "no state"),
        ("time,node,state\nsoon,a,up\n", 2, "no time"),
        ("time,node,state\nnan,a,up\n", 2, "no time"),
        ("time,node,state\n1e300,a,up\n", 2, "no time"),
        ("time,node,state\n1,a,sideways\n", 2, "up or down"),
        ("time,node,state\n1,,up\n", 2, "no node"),
        ("time,node,state\n1,a,up\n2,a\n", 3, "2 columns"),
        ('time,node,state\n1,"a,up\n', 2, "unexpected end"),
        (LANL.replace("6/21/2005 10:54", "6/41/2005 10:54"), 2, "no time"),
        (LANL.splitlines()[0] + "\n", None, "no outage"),
        ("[2016-12-19 16:31:47,437] INFO nothing\n", None, "no broker"),
        (ZOOKEEPER.splitlines()[0] + "\n", None, "no server"),
        ("time\tnode\tstate\n2024-10-30T00:32:03\ta\tmaybe\n", 2, "up or down"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, line, words, tmp_path):
    with pytest.raises(TraceError, match=words) as caught:
        parse_trace(text.splitlines(keepends=True), name="trace.csv")
    assert caught.value.line == line
    assert isinstance(caught.value, RingwardError)
    assert str(caught.value).startswith("trace.csv")
    (tmp_path / "trace").write_text(text)
    with pytest.raises(TraceError):
        read_trace(tmp_path / "trace")


def test_damaged_and_binary_files_are_refused(tmp_path):
    path = tmp_path / "trace.csv"
    for data in (bytes(range(256)) * 9, gzip.compress(CSV.encode() * 99)[:-20], lzma.compress(CSV.encode() * 99)[:-20]):
        path.write_bytes(data)
        with pytest.raises(TraceError):
            read_trace(path)
    with pytest.raises(ArgumentError, match="format"):
        parse_trace(CSV.splitlines(), format="lan")
    with pytest.raises(FileNotFoundError):
        read_trace(tmp_path / "none")


NODES = st.sampled_from(["a", "b", "c"])
TIMES = st.integers(0, 40).map(float)


@given(st.lists(st.builds(OutageRecord, NODES, TIMES, TIMES), min_size=1, max_size=30))
def test_joined_outages_are_the_union_of_all(records):
    """Against sets of minutes; and the counts add up."""
    usable = [record for record in records if record.end_s >= record.start_s]
    if not usable:
        with pytest.raises(TraceError):
            trace_of_outages("t", records)
        return
    trace = trace_of_outages("t", records)
    for place, node in enumerate(trace.nodes):
        expected = {m for r in usable if r.node == node for m in range(int(r.start_s), int(r.end_s))}
        began = int(trace.began_s)
        mine = [(int(s), int(e)) for n, s, e in zip(trace.node, trace.start_s, trace.end_s, strict=True) if n == place]
        assert {m + began for start, end in mine for m in range(start, end)} == expected
        assert all(one[1] < other[0] for one, other in itertools.pairwise(mine))
    assert len(trace) + trace.overlapping + trace.zero_length + trace.same_time == trace.outages == len(usable)
    assert trace.skipped == len(records) - len(usable)


@given(st.lists(st.builds(StateRecord, TIMES, NODES, st.booleans()), min_size=1, max_size=30))
def test_sightings_in_any_order_give_what_a_walk_through_time_gives(records):
    """Order matters within one moment alone."""
    trace = trace_of_states("t", records)
    ordered = sorted(records, key=lambda record: record.time_s)
    for place, node in enumerate(trace.nodes):
        mine = [(s, e) for n, s, e in zip(trace.node, trace.start_s, trace.end_s, strict=True) if n == place]
        for moment in np.arange(0.5, trace.span_s, 1.0):
            seen = [r.up for r in ordered if r.node == node and r.time_s - trace.began_s <= moment]
            assert any(start <= moment < end for start, end in mine) == (bool(seen) and not seen[-1])


def test_a_part_of_a_trace_and_a_trace_of_other_nodes():
    trace = parse_trace(["0,a,up", "10,a,down", "30,a,up", "50,b,down", "70,b,up", "100,a,up"])
    half = trace.part(0.2, 0.6)
    assert outages(half) == [("a", 0.0, 10.0), ("b", 30.0, 40.0)]
    assert (half.span_s, half.outages) == (40.0, 2)
    other = trace.of(["c", "b"])
    assert (other.nodes, outages(other), other.skipped, other.outages) == (("b", "c"), [("b", 50.0, 70.0)], 1, 1)
    for begin, end in ((0.5, 0.5), (-1, 1), (0, 2)):
        with pytest.raises(ArgumentError):
            trace.part(begin, end)
