# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people see of an interface before and after: wg-quick's format, without its secrets."""

from __future__ import annotations

import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import Device
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import Interface, Now
from ansible_collections.wirefleet.wireguard.plugins.module_utils._secrets import (
    CHANGED_SECRET,
    UNCHANGED_SECRET,
    masked,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config, PeerSection

# Steps that show in no line of the format
UNSEEN = ("ip4", "ip6", "nft", "write", "unit", "command", "delete")


def difference(
    interface: Interface, now: Now, config: Config, desired: Device, steps: t.Sequence[Step]
) -> dict[str, str]:
    """The ``diff`` of state=present.

    Before is the file; or the device as it would be written down, if somebody changed it behind the file's back.
    What no line of the format can show (a route, a rule, the service) is a comment ``# to do``.
    """
    drifted = None
    if now.device and any(step.tool in ("wg", "peers", "ip") for step in steps):
        drifted = _as_config(now, now.device, config, desired)
        if now.config and _masked_config(now.config, now.config) == _masked_config(drifted, now.config):
            drifted = None
    # Keys are told apart in the configuration; whatever else may be secret, as in a hook, is masked in its text.
    after = masked(interface.text_of(_masked_config(config, now.config, now.device)))
    before = masked(interface.text_of(_masked_config(drifted, drifted)) if drifted else now.file or "")
    if now.file is not None or now.device:
        other_files = [step for step in steps if step.tool == "file" and step.words[0] != interface.path]
        file_changes = any(step.tool == "file" and step not in other_files for step in steps)
        unseen = [
            step
            for step in steps
            if step.tool in UNSEEN or step in other_files or (not file_changes and _is_unseen_ip(step))
        ]
        before += "".join(f"# to do: {step.text}\n" for step in unseen)
    where = f"{interface.name} (live)" if drifted else interface.path
    return {"before_header": where, "after_header": where, "before": before, "after": after}


def _is_unseen_ip(step: Step) -> bool:
    return step.tool == "ip" and (step.words[0] == "route" or step.words[-1] == "up")


def removal(interface: Interface, now: Now, steps: t.Sequence[Step]) -> dict[str, str]:
    """The ``diff`` of state=absent."""
    before = masked(now.file or "")
    before += "".join(f"# to do: {step.text}\n" for step in steps if step.tool != "file")
    return {"before_header": interface.path, "after_header": interface.path, "before": before, "after": ""}


def _masked_config(config: Config, *olds: Config | Device | None) -> Config:
    """Secrets hidden; those that differ from an old one are told apart."""
    secrets: list[tuple[t.Any, dict[str, t.Any]]] = []
    for old in olds:
        if isinstance(old, Config):
            secrets.append((old.private_key, {peer.public_key: peer.preshared_key for peer in old.peers}))
        elif old is not None:
            secrets.append((old.private_key, {key: peer.preshared_key for key, peer in old.peers.items()}))
    changed = any(private_key not in (None, config.private_key) for private_key, _peers in secrets)
    peers = []
    for peer in config.peers:
        if peer.preshared_key:
            olds_of_peer = [peers_of[peer.public_key] for _key, peers_of in secrets if peer.public_key in peers_of]
            differs = any(old not in (None, peer.preshared_key) for old in olds_of_peer)
            peer = peer._replace(preshared_key=CHANGED_SECRET if differs else UNCHANGED_SECRET)
        peers.append(peer)
    return config._replace(private_key=CHANGED_SECRET if changed else UNCHANGED_SECRET, peers=tuple(peers))


def _as_config(now: Now, device: Device, config: Config, desired: Device) -> Config:
    """The device as a file would have it: in the order of what is wanted, with names and what only files know."""
    declared = {peer.public_key: peer for peer in (now.config.peers if now.config else ())}
    declared = {**{peer.public_key: peer for peer in config.peers}, **declared}
    order = {peer.public_key: number for number, peer in enumerate(config.peers)}
    peers = []
    for key in sorted(device.peers, key=lambda one: (order.get(one, len(order)), one)):
        live, known = device.peers[key], declared.get(key)
        # A peer may roam: what the file declares stands for wherever it is.
        pushed = key in desired.peers and desired.peers[key].endpoint
        endpoint, endpoint_name = (
            (known.endpoint, known.endpoint_name) if known and not pushed else (live.endpoint, None)
        )
        allowed_ips = live.allowed_ips
        if known and set(known.allowed_ips) == set(allowed_ips):
            allowed_ips = known.allowed_ips
        name = known.name if known else None
        peers.append(
            PeerSection(key, name, live.preshared_key, endpoint, allowed_ips, live.persistent_keepalive, endpoint_name)
        )
    base = now.config or Config(table=config.table)
    addresses = tuple(sorted(device.addresses, key=lambda one: (*_place(one, config.addresses), one)))
    return base._replace(
        private_key=device.private_key,
        addresses=addresses,
        listen_port=device.listen_port if config.listen_port or base.listen_port else None,
        fwmark=device.fwmark or None,
        mtu=device.mtu if base.mtu or (config.mtu is None and device.mtu != desired.mtu) else None,
        peers=tuple(peers),
    )


def _place(address: str, order: t.Sequence[str]) -> tuple[int]:
    return (order.index(address) if address in order else len(order),)


def peer_difference(interface: Interface, now: Now, text: str | None, steps: t.Sequence[Step]) -> dict[str, str]:
    """The ``diff`` of wg_peer: the file; where it does not change, what the device still needs."""
    before = masked(now.file or "")
    after = masked(text or "")
    if now.file == text:
        before += "".join(f"# to do: {step.text}\n" for step in steps)
    return {"before_header": interface.path, "after_header": interface.path, "before": before, "after": after}
