"""The fake that ships: PubSub services and accounts in memory, behind the same port as the real session.

For tests of the cache and of frontends: no server, no socket, nothing patched. A world holds the
truth; tests change it from the outside, the cache sees it only through ``World.connector``.

    world = World()
    alice = world.account("alice@example.org", password="secret", pep=PROSODY)
    blog = world.service("pubsub.example.org", profile=EJABBERD)
    blog.create_node("blog", node_type="urn:xmpp:microblog:0")
    blog.publish("blog", "first", "<entry xmlns='http://www.w3.org/2005/Atom'/>")

    client = Client(world, alice.jid)           # or the code under test, which is given world.connector
    session = await client.start()
    page = await session.get_items(blog.jid, "blog")
    assert page.items == tuple(blog.items("blog"))

    world.cut(alice.jid)                        # then resume (nothing missed) or restore (all missed)
    blog.publish("blog", "second", "<entry xmlns='http://www.w3.org/2005/Atom'/>")
    world.restore(alice.jid)
    await world.settle()                        # everything that was under way has been delivered
    assert client.told[-3:] == ["connecting", "online", "started"]
    assert world.count("get_items") == 1        # what the cache asked of the services so far

Three rules make it a fair stand-in:

- Everything that reaches a listener or answers a request goes through one queue on the running
  loop, so that order is that of a stream: an event sent before a reply comes before it, and no
  reply is older than an event already delivered. There are no delays; a request that would
  never be answered raises Timeout at once, unless ``World(real_timeouts=True)``. ``settle`` awaits
  the queue; it does not know of threads that the code under test waits for.
- What a test does to a service or an account takes effect at once; what sessions ask takes
  effect when the queue reaches it.
- A ``Profile`` says where a service departs from the others: ``PROSODY``, ``EJABBERD`` and ``LIBERVIA`` are
  what was observed; ``msgspec.structs.replace`` makes a variant with one peculiarity more.
"""

from .client import Client
from .node import Node
from .profile import EJABBERD, LIBERVIA, PROSODY, Profile
from .service import Service
from .session import FakeSession
from .world import Account, Request, World

__all__ = [
    "EJABBERD",
    "LIBERVIA",
    "PROSODY",
    "Account",
    "Client",
    "FakeSession",
    "Node",
    "Profile",
    "Request",
    "Service",
    "World",
]
