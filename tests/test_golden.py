"""Golden vectors: what is placed where, pinned for good. A change here moves the keys of every user."""

from __future__ import annotations

import base64

import numpy as np
import oracle
import pytest
import xxhash

import ringward as rw

KEYS = [f"key{i}" for i in range(1000)]
NODES = [rw.Node(f"node{i}", weight=1.0 + i % 3, zone="abc"[i % 3]) for i in range(12)]

ROUTERS = {
    "ring": lambda: rw.HashRing(NODES),
    "ring by zone": lambda: rw.HashRing(NODES, spread="zone", points_per_node=40),
    "partitioned": lambda: rw.PartitionedRing(NODES, part_size=5),
    "table": lambda: rw.PartitionTable(NODES, partitions=1000),
    "replicas": lambda: rw.PartitionTable(NODES, partitions=512, replicas=3),
    "primary": lambda: rw.PrimaryBackup(NODES),
    "siphash": lambda: rw.HashRing(NODES, hash=rw.SipHash(bytes(range(16)))),
    "multiplicative": lambda: rw.HashRing(NODES, hash=rw.Multiplicative(48271, 2**31 - 1)),
}


def seal(array: np.ndarray) -> str:
    return str(xxhash.xxh3_64_hexdigest(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()))


def story(router: rw.Router) -> str:
    """Owners and candidates of all keys through failures, recoveries and changes of membership, as one seal."""
    seen = [router.assign(KEYS, count=4)]
    for change in (
        lambda: router.mark_down("node3", "node4"),
        lambda: router.add(rw.Node("node12", 2.5, "a"), rw.Node("aardvark")),
        lambda: router.remove("node7"),
        lambda: router.mark_up("node3"),
        lambda: router.reweigh("node1", 0.5),
        lambda: router.mark_down("node0", "node1", "node2"),
    ):
        change()
        seen.append(router.assign(KEYS, count=4))
    return seal(np.concatenate(seen))


GOLDEN = {
    "ring": "8c81d3b78c4bd8a6",
    "ring by zone": "57380c3b97501abf",
    "partitioned": "7470791e1f65af7a",
    "table": "020b284140fbf320",
    "replicas": "eba5e5d966d5511c",
    "primary": "501fc01afa8310d7",
    "siphash": "2882d282079633fd",
    "multiplicative": "a91931a2a658994d",
}


@pytest.mark.parametrize("name", ROUTERS)
def test_placement_is_what_it_was(name: str) -> None:
    """Owners and candidates through a whole story of changes have not moved since they were pinned."""
    assert story(ROUTERS[name]()) == GOLDEN[name]


def test_a_few_owners_in_plain_sight() -> None:
    """The oracle, which shares no code with the package, names the same owners."""
    ring = rw.HashRing(["node1", "node2", "node3"])
    members = {name: oracle.Member(1.0, None) for name in ("node1", "node2", "node3")}
    model = oracle.HashRing(members, points_per_node=160)
    expected = ["node2", "node3", "node1", "node2"]
    keys = ["event1", "user:42", b"\x00", 42]
    assert (
        [ring.route(key) for key in keys]
        == [model.owner(oracle.xxh3(oracle.key_bytes(key))) for key in keys]
        == expected
    )


def test_a_snapshot_of_the_first_version_still_opens() -> None:
    """Bytes of version 1, written when it was new, route as they did."""
    data = base64.b85decode(
        "a%pa7cVTj50RR91k^uk!00000dm>?Sa$$LMB03;@B4=`Mb#QYcIv`sjJasf8EFfDnU0p07B4}ZAXk~LEIv`sjJasrCEFfDpU0p07"
        "B5rSFWpg4rAX_3lbu=O@AX_$FU41MdB4lrOZX!A$TOwj2T`V9XWpHm}Xd*fwGAtk>Xkl|`B03;@B4%N2X>55SIv^rgSV%J>EFdCt"
        "Wo2X{Iv_B8EFdCnWo=?*a&sa&AX{4^VInLbF)lDHAZ~SRY+WoMTOwj2EFdv1Ff1T$b!=>1EFfDVWFjmeF)lDHAZ~SRY+YR}AR=vL"
        "ZEtdUB03;$b!==bAR=yIZDn&JIv`sjVInLbB4Q#eAR=QTEFdCeB3&#XB5!bXX>V?GB03;@B5!VAWo>YDc_KO>Zgp&IEFdCqVRCd|"
        "b7^{IB03;4EFdCqZ)t9Hb6;>}a$jz5WMv{cATlf<B6nqJXJ~X^b#7^NB03;3E--y8AR=>ga$$63XL%wzAR<s<a&&2QX>V?2WKwBv"
        "XCf>hB6MM5Y-J)kAR=&YX>N3LB7Fe>000000000000000002Wln(*!At1SF_XC}(9&PDAL?<7bOkxIxQ3#M4a=8viN{w`A`oa0@1"
        "Qo~b-2LAy70009300031000930000000000005m~+eKJJuWA"
    )
    snapshot = rw.Snapshot.from_bytes(data)
    assert (snapshot.strategy, snapshot.epoch, snapshot.down) == ("PartitionedRing", 2, {"b"})
    assert [snapshot.route(f"key{i}") for i in range(8)] == ["d", "d", "d", "d", "a", "d", "a", "d"]
    assert rw.PartitionedRing.resume(snapshot).add("c").epoch == 3
    assert rw.PartitionedRing.resume(snapshot).snapshot().to_bytes() == data
