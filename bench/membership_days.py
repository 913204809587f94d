"""Movement and balance where whole zones are lost, and where the membership changes from day to day.

    python bench/membership_days.py --zones aws_regions.json --days planetlab_vm_membership.tsv.gz

The first file is a list of {code, zones}: each zone gets `--nodes-a-zone` nodes, and each region with three zones or more loses one
of them. The second has the columns day, vm_file: who was there on each day; the router of one day becomes that of the next in one change.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from pathlib import Path

import ringward as rw
from ringward.failover import Adaptive
from ringward.health import Deadline

PLACEMENTS = {
    "ring": rw.HashRing,
    "partitioned, 8": lambda nodes: rw.PartitionedRing(nodes, part_size=8),
    "table": lambda nodes: rw.PartitionTable(nodes, partitions=1 << 14),
    "table, 3 replicas": lambda nodes: rw.PartitionTable(nodes, partitions=1 << 14, replicas=3),
}


def fullest(router):
    """Max/mean of the shares of the live nodes, all of one weight."""
    shares = [node.share for node in router.report().nodes if node.live]
    return max(shares) * len(shares)


def zone_lost(router, nodes, zone):
    """Mark a zone down by hand, and let an `Adaptive` find out; what moved, and how full the fullest node is."""
    names = [node.name for node in nodes if node.zone == zone]
    least = sum(node.share for node in router.report().nodes if node.name in names)
    detector = Deadline(after_s=5)
    adaptive = Adaptive(router.copy(), detector=detector)
    for second in range(20):
        for node in nodes:
            if node.name not in names or second < 5:
                detector.heard(node.name, second)
        adaptive.tick(second)
    moved = sum(decision.moved for decision in adaptive.log())
    router.mark_down(*names)
    return moved / least, fullest(adaptive), fullest(router)


def zones(path, each):
    """One row a placement: the mean over all regions that have three zones or more."""
    regions = [region for region in json.loads(Path(path).read_text("utf-8")) if len(region["zones"]) >= 3]
    print(f"{len(regions)} regions, {each} nodes a zone, one zone lost")
    print(f"{'placement':<20} {'moved / least':>14} {'max/mean after':>15} {'by hand':>8} {'fresh':>8}")
    for name, build in PLACEMENTS.items():
        rows = []
        for region in regions:
            nodes = [rw.Node(f"{zone}-{i}", zone=zone) for zone in region["zones"] for i in range(each)]
            zone = region["zones"][0]
            fresh = fullest(build([node for node in nodes if node.zone != zone]))
            rows.append((*zone_lost(build(nodes), nodes, zone), fresh))
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        print(f"{name:<20} {means[0]:>14.3f} {means[1]:>15.3f} {means[2]:>8.3f} {means[3]:>8.3f}")


def days(path):
    """From day to day in one change: what moved against the least, and how full the fullest node is against a fresh router."""
    lists = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            lists.setdefault(row["day"], set()).add(row["vm_file"])
    print(f"{len(lists)} days of {', '.join(str(len(names)) for names in lists.values())} nodes")
    print(f"{'placement':<20} {'moved / least':>14} {'max/mean after':>15} {'fresh':>8}")
    for name, build in PLACEMENTS.items():
        rows, router = [], None
        for names in lists.values():
            if router is None:
                router = build(sorted(names))
                continue
            before = {node.name: node.share for node in router.report().nodes}
            with router.change() as change:
                change.remove(*(before.keys() - names))
                change.add(*sorted(names - before.keys()))
            after = {node.name: node.share for node in router.report().nodes}
            least = sum(max(0.0, share - before.get(node, 0.0)) for node, share in after.items())
            rows.append((change.transfer.share / least, fullest(router), fullest(build(sorted(names)))))
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        print(f"{name:<20} {means[0]:>14.3f} {means[1]:>15.3f} {means[2]:>8.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zones", metavar="FILE")
    parser.add_argument("--days", metavar="FILE")
    parser.add_argument("--nodes-a-zone", type=int, default=8)
    given = parser.parse_args()
    if given.zones:
        zones(given.zones, given.nodes_a_zone)
    if given.days:
        days(given.days)
