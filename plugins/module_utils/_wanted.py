# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface that the options of wg_interface ask for: what is right in them, and the plan that makes it so."""

from __future__ import annotations

import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _full_tunnel, _resolver, _secrets, _values
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import Device, DeviceError, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import (
    AS_RECORDED,
    Departure,
    Interface,
    Now,
    Plan,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import (
    KeyFile,
    clamped,
    is_key_to_come,
    public_key_of,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config, PeerSection

HOOKS = ("pre_up", "post_up", "pre_down", "post_down")


class Making(t.NamedTuple):
    """What it takes to have an interface as its options want it."""

    departure: Departure
    now: Now
    config: Config
    desired: Device
    plan: Plan
    kind: str | None  # what implements the device, None if it is not started
    public_key: str | None  # None: to come

    @property
    def steps(self) -> tuple[Step, ...]:
        """All that is to be done; nothing if all is as wanted."""
        return self.departure.plan.steps + self.plan.steps


def argument_spec() -> dict[str, t.Any]:
    """The options of wg_interface."""
    texts = {"type": "list", "elements": "str", "default": []}
    peer = {
        "name": {"type": "str"},
        "public_key": {"type": "str", "required": True, "no_log": False},
        "endpoint": {"type": "str"},
        "allowed_ips": texts,
        "persistent_keepalive": {"type": "int"},
        "preshared_key_file": {"type": "path", "no_log": False},
    }
    return {
        "name": {"type": "str", "required": True, "aliases": ["interface"]},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "private_key_file": {"type": "path", "no_log": False},
        "addresses": texts,
        "listen_port": {"type": "int"},
        "fwmark": {"type": "str"},
        "netns": {"type": "str"},
        "mtu": {"type": "int"},
        "table": {"type": "str", "default": "auto"},
        "dns": texts,
        "dns_search": texts,
        **dict.fromkeys(HOOKS, texts),
        "peers": {"type": "list", "elements": "dict", "default": [], "options": peer},
        "keep_preshared_keys": {"type": "bool", "default": False, "no_log": False},
        "keep_peers": texts,
        "require_rollback": {"type": "bool", "default": False},
        "enabled": {"type": "bool", "default": True},
        "started": {"type": "bool", "default": True},
        "backend": {"type": "str", "choices": ["auto", "kernel", "wireguard-go"], "default": "auto"},
    }


def interface_of(params: dict[str, t.Any], run_command: RunCommand, warn: t.Callable[[str], None]) -> Interface:
    """The interface that ``params``, the options of wg_interface, are about. Raises ValueError for its names."""
    netns = _values.netns(params["netns"]) if params["netns"] else None
    if params["state"] == "absent":
        netns = netns or AS_RECORDED
    return Interface(run_command, _values.interface(params["name"]), warn, netns=netns)


def making(
    params: dict[str, t.Any],
    interface: Interface,
    run_command: RunCommand,
    warn: t.Callable[[str], None],
    check_mode: bool = False,
) -> Making:
    """Compare what ``params``, the options of wg_interface, want to be present with what there is; changes nothing.

    In check mode what other tasks bring first may be missing yet: commands, keys, the service. Raises ValueError for
    options that cannot be right, DeviceError or OSError for a host that cannot do it.
    """
    config = wanted(params, check_mode)
    check_peers(config.peers)
    config = with_secrets(config, params, check_mode)
    wants_policy = _full_tunnel.is_wanted(config.allowed_ips, config.table)
    if not check_mode:
        for command in ("wg", "ip"):
            if not find(command):
                raise DeviceError(f"the command '{command}' is missing here: install wireguard-tools and iproute2")
        _resolver.check(config)
        if wants_policy:
            _full_tunnel.check()
            if leak := _resolver.leak(config):
                warn(leak)
    departure = interface.departure()
    now = departure.then(interface.look(wants_policy, bool(config.dns)))
    if params["keep_preshared_keys"]:
        config = with_kept_keys(config, now)
    if params["enabled"] and not check_mode:
        interface.check_service(now)
    config = with_kept_peers(config, now.config, params["keep_peers"])
    public_key = own_public_key(run_command, config, now.device)
    check_own_key(config.peers, public_key)
    config, push = interface.addressed(interface.complete(config, now), now)
    desired = interface.desired(config, push, now, public_key)
    if interface.netns:
        # Unlike wg-quick, what brings it up at boot does not compute it.
        config = config._replace(mtu=desired.mtu)
    kind = interface.kind_for(params["backend"] if params["started"] else "auto", now)
    if params["started"] and now.device is None:
        interface.check_kind(kind, params["backend"], packages_may_come=check_mode)
    plan = interface.plan_present(now, config, desired, kind, params["started"], params["enabled"])
    return Making(departure, now, config, desired, plan, kind if params["started"] else None, public_key)


def wanted(params: dict[str, t.Any], check_mode: bool = False) -> Config:
    """The options as a configuration, without any key. Raises ValueError for what cannot be right."""
    if params["listen_port"] is not None:
        _values.number("listen_port", params["listen_port"], 1, 65535)
    if params["mtu"] is not None:
        _values.number("mtu", params["mtu"], 576, 65535)
    if params["netns"] and params["dns"]:
        raise ValueError(
            "dns is set, but name servers of a network namespace are a file: write 'nameserver ADDRESS' into "
            f"/etc/netns/{params['netns']}/resolv.conf, which 'ip netns exec' uses, and leave dns out"
        )
    table = _values.table(params["table"])
    return Config(
        addresses=_values.addresses("addresses", params["addresses"]),
        listen_port=params["listen_port"],
        fwmark=None if params["fwmark"] is None else _values.fwmark(params["fwmark"]),
        mtu=params["mtu"],
        # In a namespace nothing has to go past the tunnel: a default route is a route like others.
        table="main" if params["netns"] and table == "auto" else table,
        dns=tuple(map(_values.dns, params["dns"])),
        dns_search=tuple(map(_values.domain, params["dns_search"])),
        peers=tuple(wanted_peer(options, check_mode) for options in params["peers"]),
        **{hook: tuple(_values.command(hook, command) for command in params[hook]) for hook in HOOKS},
    )


def wanted_peer(options: dict[str, t.Any], check_mode: bool = False) -> PeerSection:
    """One peer, without its preshared key. Raises ValueError, which names the peer."""
    who = options["name"] or options["public_key"]
    to_come = check_mode and is_key_to_come(options["public_key"])
    try:
        return PeerSection(
            public_key=options["public_key"] if to_come else _values.public_key(options["public_key"]),
            name=_values.line("name", options["name"]) if options["name"] else None,
            endpoint=_values.endpoint(options["endpoint"]) if options["endpoint"] else None,
            allowed_ips=_values.networks("allowed_ips", options["allowed_ips"]),
            persistent_keepalive=_values.number("persistent_keepalive", options["persistent_keepalive"] or 0, 0, 65535),
        )
    except ValueError as error:
        raise ValueError(f"peer {who!r}: {error}") from None


def check_peers(peers: t.Sequence[PeerSection]) -> None:
    """What the kernel would silently merge or move is an error."""
    keys: dict[str, PeerSection] = {}
    networks: dict[str, PeerSection] = {}
    for peer in peers:
        who = peer.name or peer.public_key
        if peer.public_key in keys:
            raise ValueError(f"public key {peer.public_key} is given twice: give all of a peer in one entry")
        keys[peer.public_key] = peer
        for network in peer.allowed_ips:
            other = networks.setdefault(network, peer)
            if other is not peer:
                raise ValueError(
                    f"{network} is in allowed_ips of both {other.name or other.public_key!r} and {who!r}: an interface "
                    "sends a network to one peer only"
                )


def with_kept_peers(config: Config, old: Config | None, names: t.Collection[str]) -> Config:
    """The configuration with the old one's peers that nobody has yet said the key of: those by these names, and those
    without a name, any of which may be one of them. What is wanted for another peer, they do not keep."""
    if not names or old is None:
        return config
    wanted_keys = {peer.public_key for peer in config.peers}
    wanted_networks = {network for peer in config.peers for network in peer.allowed_ips}
    kept = [
        peer._replace(allowed_ips=tuple(network for network in peer.allowed_ips if network not in wanted_networks))
        for peer in old.peers
        if peer.public_key not in wanted_keys and (peer.name is None or peer.name in names)
    ]
    return config._replace(peers=(*config.peers, *kept))


def check_own_key(peers: t.Sequence[PeerSection], own_key: str | None) -> None:
    """The kernel silently drops a peer with the interface's own key."""
    for peer in peers:
        if peer.public_key == own_key:
            raise ValueError(f"peer {peer.name or own_key!r} has the interface's own public key: leave it out")


def read_key(option: str, path: str, may_be_missing: bool) -> str | None:
    """A secret from its file. Raises ValueError, which names the file and never what is in it."""
    key = KeyFile(_values.path(option, path)).private_key
    if key is None and not may_be_missing:
        raise ValueError(f"{option} {path} does not exist on this host: create it first, for instance with wg_keypair")
    return key


def with_secrets(config: Config, params: dict[str, t.Any], check_mode: bool) -> Config:
    """The configuration with the keys that its options name; in check mode a missing one may come yet."""
    name = params["name"]
    private_key = read_key("private_key_file", params["private_key_file"] or f"/etc/wireguard/{name}.key", check_mode)
    # The kernel keeps a private key clamped; in any other form it would seem to differ for ever.
    private_key = clamped(private_key) if private_key else _secrets.NOT_YET
    peers = []
    for peer, options in zip(config.peers, params["peers"]):
        if options["preshared_key_file"]:
            secret = read_key("preshared_key_file", options["preshared_key_file"], check_mode)
            peer = peer._replace(preshared_key=secret or _secrets.NOT_YET)
        peers.append(peer)
    return config._replace(private_key=private_key, peers=tuple(peers))


def with_kept_keys(config: Config, now: Now) -> Config:
    """The configuration with the preshared keys that peers have, on the device or else in the file."""
    kept = {peer.public_key: peer.preshared_key for peer in now.config.peers} if now.config else {}
    if now.device:
        kept.update({key: peer.preshared_key for key, peer in now.device.peers.items()})
    peers = (peer._replace(preshared_key=peer.preshared_key or kept.get(peer.public_key)) for peer in config.peers)
    return config._replace(peers=tuple(peers))


def own_public_key(run_command: RunCommand, config: Config, device) -> str | None:
    """The public half of the private key, from the device if that has the same key already."""
    if config.private_key == _secrets.NOT_YET:
        return None
    if device and device.private_key == config.private_key:
        return device.public_key
    return public_key_of(config.private_key, run_command, find("wg"))
