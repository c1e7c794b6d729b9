"""What every back end of the shared cache and of the locks does: files on one host, Redis between hosts."""

import os
import pickle
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from app.domain.errors import Busy, LockTimeout
from app.domain.ports import Locks, StoredCache
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.services.host.marks import Marks
from app.services.hosts.hosts import Hosts
from app.services.hosts.inbox import Inbox
from app.services.hosts.leadership import Leadership
from app.services.hosts.link import RedisLink
from app.services.hosts.membership import Membership
from app.services.hosts.redis_locks import RedisLocks
from app.services.hosts.redis_values import Fenced, RedisValues
from app.services.hosts.replicated_cache import ReplicatedCache
from tests.documents import BY_NAME
from tests.servers import HANGS_AFTER_SECONDS, HOST, Redis, certify, free_port, redis_server, until


@dataclass
class Host:
    """One host's objects, without the threads that keep them in step."""

    link: RedisLink
    membership: Membership
    cache: ReplicatedCache
    locks: RedisLocks
    leadership: Leadership
    inbox: Inbox

    def beat(self) -> None:
        self.membership.beat(self.cache.changes())
        self.cache.follow()


def host(redis: Redis, prefix: str, name: str, folder: Path) -> Host:
    link = RedisLink(redis.url, prefix)
    values = RedisValues(link)
    cache = ReplicatedCache(FileCache(folder / name), values)
    made = Host(
        link,
        Membership(link, name),
        cache,
        RedisLocks(link, name, "scope", cache.follow),
        Leadership(link, name),
        Inbox(link, values.channel),
    )
    made.beat()
    return made


def under_lock(here: Host, value: str) -> None:
    with here.locks.hold("name", 0):
        here.cache.set("key", value)


def in_a_thread(work: Callable[[], None]) -> None:
    """As another host does: what one holds is known in its own threads."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


@pytest.fixture
def hosts(redis: Redis, tmp_path: Path) -> Callable[[str], Host]:
    prefix = uuid4().hex
    return lambda name: host(redis, prefix, name, tmp_path)


@pytest.fixture(params=["files", "redis"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> StoredCache:
    if request.param == "files":
        return FileCache(tmp_path)
    made: Host = request.getfixturevalue("hosts")("a")
    return made.cache


@pytest.fixture(params=["files", "redis"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Locks:
    if request.param == "files":
        return FileLocks(tmp_path, "scope")
    made: Host = request.getfixturevalue("hosts")("a")
    return made.locks


def test_a_cache_gives_what_it_was_given_and_nothing_once_that_is_deleted(cache: StoredCache) -> None:
    assert cache.get("key") is None
    assert cache.token("key") is None
    assert cache.set("key", {"a": [1, None, "ü"], "ü": 0.5})
    assert cache.get("key") == {"a": [1, None, "ü"], "ü": 0.5}
    before = cache.token("key"), cache.mark("key")
    assert cache.set("key", [])
    assert cache.get("key") == []
    assert (cache.token("key"), cache.mark("key")) != before
    assert cache.delete("key")
    assert cache.get("key") is None
    assert cache.token("key") is None


def test_several_values_are_all_stored(cache: StoredCache) -> None:
    values = {f"key-{number}": number for number in range(100)}
    assert cache.set_many(values)
    assert {key: cache.get(key) for key in values} == values


def test_one_holder_at_a_time_has_a_lock_and_the_time_to_wait_is_kept(locks: Locks) -> None:
    with locks.hold("name", 0) as held:
        assert held.stands()
        for timeout in (0, 0.05):
            with pytest.raises(LockTimeout), locks.hold("name", timeout):
                pass
        with locks.hold("other", 0):
            pass
    with locks.hold("name", 0):
        pass


def test_no_addition_under_a_lock_is_lost(locks: Locks, cache: StoredCache) -> None:
    def add(_: int) -> None:
        with locks.hold("sum", HANGS_AFTER_SECONDS):
            cache.set("sum", (cache.get("sum") or 0) + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert cache.get("sum") == 40


# Between hosts.


def test_no_addition_under_a_lock_is_lost_between_hosts(hosts: Callable[[str], Host]) -> None:
    both = [hosts("a"), hosts("b")]

    def add(number: int) -> None:
        here = both[number % 2]
        with here.locks.hold("sum", HANGS_AFTER_SECONDS):
            here.cache.set("sum", (here.cache.get("sum") or 0) + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    for here in both:
        here.cache.follow()
        assert here.cache.get("sum") == 40


def test_a_host_has_what_others_changed_and_a_new_one_has_everything(hosts: Callable[[str], Host]) -> None:
    a, b = hosts("a"), hosts("b")
    a.cache.set_many({"one": 1, "two": 2})
    b.beat()
    b.cache.delete("one")
    b.cache.set("three", {"3": 3})
    a.beat()
    new = hosts("new")
    for here in (a, b, new):
        assert [here.cache.get(key) for key in ("one", "two", "three")] == [None, 2, {"3": 3}]


def test_a_host_that_restarts_stores_nothing_anew_that_it_has(hosts: Callable[[str], Host]) -> None:
    a = hosts("a")
    a.cache.set("key", 1)
    token = a.cache.token("key")
    again = hosts("a")
    assert again.cache.get("key") == 1
    assert again.cache.token("key") == token


def test_what_a_cleaner_takes_from_a_host_comes_back(hosts: Callable[[str], Host], tmp_path: Path) -> None:
    a, b = hosts("a"), hosts("b")
    a.cache.set("key", 1)
    b.beat()
    FileCache(tmp_path / "b").delete("key")
    b.cache.look()
    b.beat()
    assert b.cache.get("key") == 1


def test_who_lost_a_lock_to_another_host_stores_nothing(hosts: Callable[[str], Host], redis: Redis) -> None:
    a, b = hosts("a"), hosts("b")
    with a.locks.hold("name", 0) as held:
        a.cache.set("key", "while it held the lock")
        redis.client().delete(held.fence[0])
        in_a_thread(lambda: under_lock(b, "of the next holder"))
        with pytest.raises(Fenced):
            a.cache.set("key", "too late")
        a.locks.renew()
        assert not held.stands()
    a.beat()
    assert a.cache.get("key") == b.cache.get("key") == "of the next holder"


def test_one_host_leads_and_another_does_as_soon_as_it_resigns(hosts: Callable[[str], Host]) -> None:
    a, b = hosts("a"), hosts("b")
    a.leadership.renew()
    b.leadership.renew()
    assert (a.leadership.leads(), b.leadership.leads()) == (True, False)
    assert a.leadership.leader() == b.leadership.leader() == "a"
    with pytest.raises(Busy), b.leadership.term():
        pass
    a.leadership.resign()
    next_leader = hosts("c")
    next_leader.leadership.renew()
    assert next_leader.leadership.leads()
    assert not a.leadership.leads()


def test_a_former_leader_stores_nothing(hosts: Callable[[str], Host], redis: Redis) -> None:
    a, b = hosts("a"), hosts("b")
    a.leadership.renew()
    with a.leadership.term():
        a.cache.set("key", "of the leader")
        # As when it was stopped for longer than its lease.
        client = redis.client()
        client.delete(*client.keys("*:leader"))
        b.leadership.renew()
        with pytest.raises(Fenced):
            a.cache.set("key", "of the former leader")
    assert b.leadership.leads()
    b.beat()
    assert b.cache.get("key") == "of the leader"


def test_a_writer_waits_until_every_host_that_beats_has_the_change(hosts: Callable[[str], Host]) -> None:
    a, b = hosts("a"), hosts("b")
    a.cache.set("key", 1)
    assert not a.membership.settle(a.cache.changes_made())
    for here in (a, b):
        here.beat()
        here.beat()
    assert a.membership.settle(a.cache.changes_made())
    b.membership.leave()
    a.cache.set("key", 2)
    a.beat()
    assert a.membership.settle(a.cache.changes_made())


def test_a_writer_waits_for_all_that_it_changed_also_where_the_last_value_was_there_already(
    hosts: Callable[[str], Host],
) -> None:
    a, b = hosts("a"), hosts("b")
    a.cache.set("same", 1)
    a.beat()
    b.beat()
    b.beat()
    a.cache.set("key", 1)
    a.cache.set("same", 1)
    a.beat()
    assert not a.membership.settle(a.cache.changes_made())
    b.beat()
    b.beat()
    assert a.membership.settle(a.cache.changes_made())


@pytest.mark.parametrize("planted", [b"", b"junk", b"control-tower 4\n", pickle.dumps(["planted"])])
def test_a_value_in_redis_that_was_tampered_with_is_a_miss(
    hosts: Callable[[str], Host], redis: Redis, planted: bytes
) -> None:
    a, b = hosts("a"), hosts("b")
    b.cache.set("key", "old")
    b.cache.set("key", "new")
    client = redis.client()
    (name,) = client.keys(f"{b.link.key('value')}:key@*")
    client.set(name, planted)
    b.cache.set("other", 1)
    a.beat()
    assert a.cache.get("key") is None
    assert a.cache.get("other") == 1
    assert a.cache.is_behind()
    b.cache.set("key", "new")
    a.cache.look()
    until(lambda: a.cache.follow() or a.cache.get("key") == "new", "the mended value")


# By the last part of the key: what somebody writes there who should not.
WRITTEN_OVER = [
    ("epoch", {"a": "b"}), ("epoch", ["a"]), ("epoch", None),
    ("changes", "garbage"), ("changes", "9223372036854775807"), ("changes", "-5"), ("changes", ["a"]),
    ("changes", None),
    ("revisions", "garbage"), ("revisions", ["a"]), ("revisions", {"a": "b"}), ("revisions", None),
    ("alive", "garbage"), ("alive", {"a": "b"}),
    ("confirmed", "garbage"), ("confirmed", ["a"]),
    ("leader", {"a": "b"}), ("leader", "garbage"), ("leader", "1:nobody:abc"),
    ("terms", "garbage"), ("terms", "9223372036854775807"), ("terms", ["a"]),
    ("tasks", "garbage"), ("tasks", ["a"]), ("task-count", "garbage"), ("task-count", {"a": "b"}),
]  # fmt: skip


def write_over(redis: Redis, key: str, value: object) -> None:
    client = redis.client()
    client.delete(key)
    if isinstance(value, str):
        client.set(key, value)
    elif isinstance(value, dict):
        client.hset(key, mapping=value)
    elif isinstance(value, list):
        client.rpush(key, *value)


@pytest.mark.parametrize(("name", "value"), WRITTEN_OVER)
def test_hosts_agree_again_by_themselves_whatever_somebody_wrote_over_their_keys(
    hosts: Callable[[str], Host], redis: Redis, name: str, value: object
) -> None:
    a, b = hosts("a"), hosts("b")
    a.cache.set_many({"key": 1, "other": 1})
    b.beat()
    write_over(redis, a.link.key(name), value)
    done: list[tuple[str, str]] = []

    def works() -> bool:
        try:
            for here in (a, b):
                here.beat()
                here.leadership.renew()
            if a.leadership.leads() or b.leadership.leads():
                a.cache.seed(["key", "other"])
                b.inbox.add("kind", "what")
                with (a if a.leadership.leads() else b).leadership.term():
                    a.inbox.take(lambda kind, what: not done.append((kind, what)))
            with b.locks.hold("name", 0):
                b.cache.set("key", 2)
            for here in (a, b, a, b):
                here.beat()
            return bool(done) and a.membership.settle(b.cache.changes_made())
        except Busy:
            return False

    until(works, "hosts in step")
    assert a.cache.get("key") == 2
    new = hosts("new")
    new.beat()
    assert (new.cache.get("key"), new.cache.get("other")) == (2, 1)


def test_hosts_that_were_alive_before_the_clock_of_redis_was_set_back_hold_up_nobody(
    hosts: Callable[[str], Host], redis: Redis
) -> None:
    a = hosts("a")
    seconds, _ = redis.client().time()
    redis.client().zadd(a.link.key("alive"), {"gone": (seconds + 3600) * 1000})
    a.beat()
    assert a.membership.alive == 1
    a.cache.set("key", 1)
    a.beat()
    assert a.membership.settle(a.cache.changes_made())


@pytest.mark.parametrize("seconds", [None, 3600])
def test_a_lock_that_no_host_took_is_free_after_the_time_of_a_lock(
    hosts: Callable[[str], Host], redis: Redis, seconds: int | None
) -> None:
    a = hosts("a")
    with a.locks.hold("name", 0) as held:
        key = held.fence[0]
    redis.client().set(key, "planted", ex=seconds)
    with a.locks.hold("name", HANGS_AFTER_SECONDS) as held:
        assert held.stands()


def test_a_host_whose_disk_takes_nothing_does_not_say_that_it_has_the_change(
    hosts: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = hosts("a"), hosts("b")
    with monkeypatch.context() as full:
        full.setattr(FileCache, "store", lambda *_: False)
        b.cache.set("key", 1)
        before = a.cache.changes()
        a.beat()
        assert a.cache.changes() == before < b.cache.changes_made()
    a.beat()
    assert a.cache.get("key") == 1
    assert a.cache.changes() == b.cache.changes_made()


def test_a_host_goes_on_with_what_it_has_while_redis_is_away_and_says_so(redis: Redis, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as own:
        a = host(own, "prefix", "a", tmp_path)
        a.cache.set("key", 1)
        own.stop()
        assert a.cache.set("key", 2)
        assert a.cache.get("key") == 2
        assert a.link.why_down == "cannot be reached"
        with pytest.raises(Busy, match="Redis cannot be reached"), a.locks.hold("name", 5):
            pass
        own.start()
        a.membership.beat(a.cache.changes())
        assert a.link.why_down is None
        assert a.cache.is_behind()
        assert a.cache.follow(), "Redis has lost everything, and the host notices"
        a.cache.seed(["key"])
        b = host(own, "prefix", "b", tmp_path)
        assert b.cache.get("key") == 2


def test_a_leader_that_shares_again_what_redis_lost_never_undoes_what_another_host_has_changed_since(
    hosts: Callable[[str], Host], redis: Redis
) -> None:
    a, b = hosts("a"), hosts("b")
    a.cache.set_many({"changed": "old", "deleted": "old", "lost": "kept", "same": "same"})
    b.beat()
    redis.client().flushall()
    a.beat()
    b.beat()
    b.cache.set_many({"changed": "new", "same": "same"})
    b.cache.delete("deleted")
    # The leader has not heard of the other host's changes yet.
    a.cache.seed(["changed", "deleted", "lost", "same"])
    a.beat()
    b.beat()
    for here in (a, b):
        values = [here.cache.get(key) for key in ("changed", "deleted", "lost", "same")]
        assert values == ["new", None, "kept", "same"]
        assert here.cache.changes() == b.cache.changes()


def test_all_that_redis_has_lost_is_shared_again_in_the_order_in_which_it_was_written(
    hosts: Callable[[str], Host], redis: Redis
) -> None:
    a = hosts("a")
    a.cache.set_many({"part": 1, "index": 1})
    a.cache.set("gone", 1)
    a.cache.delete("gone")
    a.cache.set_many({"other part": 2, "index": 2})
    redis.client().flushall()
    a.beat()
    a.cache.seed([])
    b = hosts("b")
    assert [b.cache.get(key) for key in ("part", "other part", "index", "gone")] == [1, 2, 2, None]
    contents = RedisValues(b.link).contents()
    assert contents is not None
    numbers = [contents.revisions[key].number for key in ("part", "other part", "index")]
    assert numbers == sorted(numbers)


def test_a_task_for_the_leader_stays_until_it_is_done_and_is_done_again_if_it_was_asked_for_again(
    hosts: Callable[[str], Host],
) -> None:
    a, b = hosts("a"), hosts("b")
    offered: list[tuple[str, str]] = []

    def do(kind: str, what: str) -> bool:
        offered.append((kind, what))
        return kind != "sweep"

    b.inbox.add("read", "a\nname")
    b.inbox.add("read", "a\nname")
    b.inbox.add("sweep")
    number = a.inbox.number("sweep")
    a.inbox.take(do)
    a.inbox.take(do)
    assert sorted(offered) == [("read", "a\nname"), ("sweep", ""), ("sweep", "")]
    b.inbox.add("sweep")
    a.inbox.done("sweep", "", number)
    a.inbox.take(do)
    assert offered.count(("sweep", "")) == 3
    a.inbox.done("sweep", "", a.inbox.number("sweep"))
    a.inbox.take(do)
    assert len(offered) == 4


def test_a_task_that_cannot_be_done_is_dropped_and_ends_no_other(hosts: Callable[[str], Host]) -> None:
    a = hosts("a")
    done = []

    def do(kind: str, what: str) -> bool:
        done.append(what)
        return int(what) > 0

    for what in ("1", "x" * 9, "2"):
        a.inbox.add("check", what)
    a.inbox.take(do)
    a.inbox.take(do)
    assert sorted(done) == ["1", "2", "x" * 9]


class SlowToBeat(Membership):
    """Its beats wait before they reach Redis until the test lets them."""

    def __init__(self, link: RedisLink, host: str) -> None:
        super().__init__(link, host)
        self.begun, self.may_go_on, self.done = threading.Event(), threading.Event(), threading.Event()

    def beat(self, confirmed: int) -> tuple[int, str]:
        self.begun.set()
        assert self.may_go_on.wait(HANGS_AFTER_SECONDS)
        try:
            return super().beat(confirmed)
        finally:
            self.done.set()


def test_a_host_that_stops_during_a_beat_is_not_alive_afterwards(hosts: Callable[[str], Host], redis: Redis) -> None:
    made = hosts("a")
    made.membership.leave()
    membership = SlowToBeat(made.link, "a")
    descriptor = os.memfd_create("marks")
    os.ftruncate(descriptor, 8192)
    stopping = Hosts(
        made.link,
        RedisValues(made.link),
        membership,
        made.leadership,
        made.cache,
        made.inbox,
        made.locks,
        Marks(descriptor),
        dict,
    )
    stopping.start()
    assert membership.begun.wait(HANGS_AFTER_SECONDS)
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(stopping.stop)
        # Long enough for a stop that does not wait for the beat.
        wait([stopped], 0.5)
        membership.may_go_on.set()
        stopped.result(HANGS_AFTER_SECONDS)
    assert membership.done.wait(HANGS_AFTER_SECONDS)
    assert redis.client().zrange(made.link.key("alive"), 0, -1) == []


def test_the_rights_that_the_documentation_names_are_enough(redis: Redis, tmp_path: Path) -> None:
    (rights,) = re.findall(r"`(~.+?)`", BY_NAME["hosts.md"].text)
    redis.client().execute_command("ACL", "SETUSER", "tower", "on", ">hunter2", "resetkeys", *rights.split())
    url = redis.url.replace(":secret@", "tower:hunter2@")
    link = RedisLink(url, "control-tower:rights")
    values = RedisValues(link)
    cache = ReplicatedCache(FileCache(tmp_path), values)
    membership, leadership, inbox = Membership(link, "a"), Leadership(link, "a"), Inbox(link, values.channel)
    locks = RedisLocks(link, "a", "scope", cache.follow)
    with link.client.pubsub(ignore_subscribe_messages=True) as news:
        news.subscribe(values.channel)
        membership.beat(0)
        leadership.renew()
        with locks.hold("name", 0), leadership.term():
            assert cache.set("key", 1)
            assert cache.delete("key")
        locks.renew()
        inbox.add("read", "a")
        inbox.add_delivery("d", "read", "b")
        inbox.take(lambda _kind, _what: True)
        assert until(lambda: news.get_message(timeout=1), "a message")
    leadership.resign()
    membership.leave()
    assert link.why_down is None
    redis.client().execute_command("ACL", "SETUSER", "tower", "-time")
    with pytest.raises(Busy, match="denies this user a command"):
        membership.beat(0)
    assert not cache.is_behind()


def test_hosts_of_two_releases_with_other_formats_share_locks_and_nothing_else(
    hosts: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = hosts("old")
    monkeypatch.setattr("app.services.hosts.link.FORMAT", 3)
    new = hosts("new")
    assert old.cache.set("key", "old")
    assert new.cache.set("key", "new")
    for each in (old, new):
        each.beat()
        each.leadership.renew()
    assert (old.cache.get("key"), new.cache.get("key")) == ("old", "new")
    assert old.leadership.leads()
    assert new.leadership.leads()
    with old.locks.hold("version-1", 0):
        in_a_thread(lambda: refused(new))


def refused(host: Host) -> None:
    with pytest.raises(LockTimeout), host.locks.hold("version-1", 0):
        pass


def test_redis_is_spoken_to_over_tls_and_its_certificate_is_checked(tmp_path: Path) -> None:
    certify(tmp_path)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"]
    with redis_server(tmp_path, *options, "--tls-ca-cert-file", "cert.pem", "--tls-auth-clients", "no"):
        url = f"rediss://:secret@{HOST}:{port}/0"
        trusting = RedisLink(f"{url}?ssl_ca_certs={tmp_path}/cert.pem", "prefix")
        assert Membership(trusting, "a").beat(0)[0] == 0
        with pytest.raises(Busy, match="Redis cannot be reached"):
            Membership(RedisLink(url, "prefix"), "a").beat(0)


def test_a_delivery_is_taken_by_one_host(hosts: Callable[[str], Host]) -> None:
    both = [hosts("a"), hosts("b")]
    start = threading.Barrier(8)

    def deliver(number: int) -> bool:
        start.wait(HANGS_AFTER_SECONDS)
        return both[number % 2].inbox.add_delivery("msg_1", "read", "model")

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(deliver, range(8))) == 1
