"""What the agent of a host among several has: a shared cache, locks between hosts, and a leader."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.domain.monitoring.history_codec import INDEX as HISTORY
from app.domain.monitoring.history_codec import part_keys as history_keys
from app.domain.registry.codec import INDEX, part_keys
from app.domain.registry_history.codec import INDEX as REGISTRY_HISTORY
from app.domain.registry_history.codec import part_keys as registry_history_keys
from app.services.host.holding_cache import HoldingCache
from app.services.host.other_hosts import STATE
from app.services.hosts.hosts import Hosts
from app.services.hosts.inbox import Inbox
from app.services.hosts.leadership import Leadership
from app.services.hosts.link import RedisLink
from app.services.hosts.membership import Membership
from app.services.hosts.redis_locks import RedisLocks
from app.services.hosts.redis_values import RedisValues
from app.services.hosts.replicated_cache import ReplicatedCache
from app.services.mirror import run_counter, server_record
from app.services.monitoring import checks, registration_list, watch_list
from app.wiring.world import World, source_of
from config import Settings

# The values that hosts share, beside snapshot and histories. The journal and the signs of life are soon replaced.
_VALUES = (registration_list.LIST, watch_list.LIST, checks.KEY, run_counter.COUNT, server_record.KEY)


@dataclass(frozen=True)
class ManyHosts:
    """A host among several: its world, and what keeps it in step. `seed` shares what this host has and Redis lacks."""

    world: World
    hosts: Hosts
    inbox: Inbox
    seed: Callable[[], None]


def many_hosts(settings: Settings, world: World, holding: HoldingCache) -> ManyHosts:
    """Build what `REDIS_URL` asks for. `holding` is the cache of this host."""
    if settings.redis_url is None or world.host is None or world.host.marks is None:
        raise ValueError("several hosts need REDIS_URL, and a host with marks")
    name = f"{socket.gethostname()}:{settings.api_port}"
    # Towers of other registries, or with registrations of their own, share nothing.
    scope = f"{source_of(settings)}:{settings.monitoring_experiment}"
    link = RedisLink(settings.redis_url.get_secret_value(), f"{settings.redis_prefix}:{scope}")
    values = RedisValues(link)
    cache = ReplicatedCache(holding, values)
    locks = RedisLocks(link, name, "all", cache.follow)
    membership, leadership, inbox = Membership(link, name), Leadership(link, name), Inbox(link, values.channel)
    hosts = Hosts(
        link,
        values,
        membership,
        leadership,
        cache,
        inbox,
        locks,
        world.host.marks,
        lambda state: holding.set(STATE, state),
    )
    shared = replace(world, cache=cache, refresh_locks=locks, monitoring_locks=locks)
    # Each index comes last, so that it never names a part that is not there.
    histories = [*history_keys(), HISTORY, *registry_history_keys(), REGISTRY_HISTORY]
    keys = [*_VALUES, *histories, *part_keys(), INDEX]
    return ManyHosts(shared, hosts, inbox, lambda: cache.seed(keys))
