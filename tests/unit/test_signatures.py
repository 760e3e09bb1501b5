"""Names and signatures of the interfaces are fixed: version 1 only ever grows, clients are written against it."""

from __future__ import annotations

import pytest

from manual.contract import EMITS, Member, contracts

# Members as they were promised. New ones may be added; none of these may change.
PROMISED = {
    "Manager": """
        Version u const; DaemonVersion s const; Features as const; State s true
        AddAccount(sa{sv}) o; GetAccount(s) o; ListAccounts() ao
        AccountAdded: o; AccountRemoved: o
    """,
    "Account": """
        Jid s const; Enabled b true readwrite; State s true; Error s true; ErrorMessage s true
        ServerFeatures as true; Origin s const
        Connect(); Disconnect(); SetPassword(h); Remove(a{sv})
    """,
    "Cache": """
        Revision t false
        GetItems(sssa{sv}) aa{sv}sa{sv}; GetNode(sssa{sv}) a{sv}; ListNodes(a{sv}) aa{sv}s
        GetChanges(sssta{sv}) asastb; Search(ssa{sv}) aa{sv}sa{sv}; CreateView(ssa{sv}) o
        SetFlags(sssasasas); Sync(sssa{sv}) o; Purge(a{sv}) o; Reset(a{sv}) o; Export(ssa{sv}h) o
        ItemsChanged: sssasast; NodeChanged: ssss
    """,
    "PubSub": """
        Publish(sssssa{sv}) s; Retract(sssasa{sv}); Subscribe(sssa{sv}) s; Unsubscribe(sssa{sv})
        ListSubscriptions(ssa{sv}) aa{sv}s; ListAffiliations(ssa{sv}) aa{sv}s; Discover(ssa{sv}) aa{sv}s
        CreateNode(sssa{sv}) s; GetNodeConfig(sssa{sv}) a{sv}; ConfigureNode(sssa{sv})
        DeleteNode(sssa{sv}); DeleteAllItems(sssa{sv})
    """,
    "Analysers": """
        Register(sa{sv}) o; Unregister(s); List() aa{sv}; Match(sssa{sv}) sa{sv}; Reanalyse(a{sv}) o
        Registered: s; Unregistered: s
    """,
    "Analyser": """
        Name s const; Type s const; Priority i const; Origin s const; Definition s const
        Owner s true; HasParser b const; State s true; Pending t false; Failures u true
        Resume()
    """,
    "AnalyserAgent": "Parse(sssss) s; Match(ssss) s; Release(s)",
    "Job": """
        Kind s const; State s true; Done t true; Total t true; Message s true; Error s true; ErrorMessage s true
        Cancel(); Wait() s
        Finished: sss
    """,
    "View": """
        State s false; Total t false
        Start(); Stop(); Close(); GetRange(uu) aa{sv}
        Added: aa{sv}; Changed: aa{sv}; Removed: as; Ready: t; Reset:; Documents: sas
    """,
    "Json": """
        GetItems(sssa{sv}) asss; Search(ssa{sv}) asss; ListNodes(a{sv}) ass; GetNode(sss) s; ListAccounts() as
        ReadItems(sssa{sv}) hss; ReadSearch(ssa{sv}) hss
    """,
    "Debug": "GetStatistics() a{sv}; Explain(ssa{sv}) s; Check() o; Compact() o",
}


def signature(member: Member) -> str:
    """A member as it is written above."""
    given, answered = (
        "".join(argument.type for argument in member.arguments if argument.direction == direction)
        for direction in ("in", "out")
    )
    if member.kind == "property":
        writable = " readwrite" if member.access == "readwrite" else ""
        return f"{member.name} {member.type} {member.annotations[EMITS]}{writable}"
    if member.kind == "signal":
        return f"{member.name}: {answered}".rstrip()
    return f"{member.name}({given}) {answered}".rstrip()


@pytest.mark.parametrize("interface", PROMISED)
def test_what_was_promised_is_there(interface: str) -> None:
    (contract,) = [one for one in contracts() if one.name == f"im.pubsubcache1.{interface}"]
    promised = {one.strip() for line in PROMISED[interface].splitlines() for one in line.split(";") if one.strip()}
    assert promised - {signature(member) for member in contract.members} == set()
