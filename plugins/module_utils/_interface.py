# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One interface as a whole: device, file and service - what is, what shall be, the plan between, and its execution.

The plan is computed once, shown in check mode, and else carried out. The file is written last: until then the next run
of a killed one still finds in it which routes, hooks and endpoints are the old ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import (
    _device,
    _endpoints,
    _files,
    _full_tunnel,
    _netns,
    _resolver,
    _underlay,
    _unit,
    _wg_quick,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._apply import Applier
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import Device, DeviceError, Peer, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step, difference, routes_of
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import (
    find,
    kernel_has_wireguard,
    wireguard_go_lacks,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._rollback import take_lock
from ansible_collections.wirefleet.wireguard.plugins.module_utils._secrets import masked_words
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config

DIRECTORY = "/etc/wireguard"
JOURNALS = "/run"
FILE_MODE = 0o600
LOCK_SECONDS = 120
AS_RECORDED = ""
ROLLED_BACK = "all changes were rolled back"


class Plan(t.NamedTuple):
    """Steps in the order of their execution."""

    prepare: tuple[Step, ...] = ()  # hooks before, and the link
    live: tuple[Step, ...] = ()
    finish: tuple[Step, ...] = ()  # name servers, hooks after
    persist: tuple[Step, ...] = ()  # file and service

    @property
    def steps(self) -> tuple[Step, ...]:
        """All of them."""
        return self.prepare + self.live + self.finish + self.persist

    @property
    def has_hooks(self) -> bool:
        """Whether hooks are among them."""
        return any(step.tool in ("hook", "down_hook") for step in self.prepare + self.finish)


class Now(t.NamedTuple):
    """What is there."""

    device: Device | None
    file: str | None  # None: there is none
    file_is_private: bool  # as we write it: 0600, owned by root
    config: Config | None  # None: there is no file, or it cannot be understood
    unit: _unit.UnitState | None  # None: no init system could manage the interface
    policy: _full_tunnel.Policy | None  # None: neither there nor wanted
    begun: Config | None  # what a killed run was about to make: its hooks may have run, or not
    dns: _resolver.Dns = ()  # name servers that the host was handed; not asked for if neither there nor wanted
    timer: _endpoints.State | None = None  # what looks up endpoints again; None: no systemd manages the interface
    script: str | None = None  # what brings it up in a network namespace; None: there is none

    @property
    def maybe_up(self) -> list[Config]:
        """The configurations whose hooks may have run: a run that was killed may have run new ones, or not yet have
        taken down the old ones."""
        found = {config.hooks: config for config in (self.begun, self.config) if config}
        return list(found.values())


class Interface:
    """An interface by its name, and what may be done to it.

    ``netns`` is the network namespace that it is in, or shall be: None is the host's own, ``AS_RECORDED`` the one that
    it was last put into.
    """

    def __init__(
        self,
        run_command: RunCommand,
        name: str,
        warn: t.Callable[[str], None],
        directory: str = DIRECTORY,
        netns: str | None = AS_RECORDED,
    ) -> None:
        self.name = name
        self.path = f"{directory}/{name}.conf"
        self.script = _netns.script_of(self.path)
        self.netns = _netns.recorded(self.path) if netns == AS_RECORDED else netns
        self._journal = f"{JOURNALS}/wg_interface-{name}.json"
        self._run_command = run_command
        self._warn = warn
        self._service = _unit.service(run_command, name)
        is_systemd = isinstance(self._service, _unit.Systemd)
        self._timer = _endpoints.Timer(run_command, name, self.path, self.netns) if is_systemd else None
        self._applier = Applier(run_command, name, self._service, self.netns)

    @contextlib.contextmanager
    def lock(self, by_force: bool = False) -> t.Iterator[None]:
        """Only one run changes interfaces at a time. The lock is on the directory itself, so nothing is left behind.

        Raises DeviceError if another run does not end; that is killed ``by_force``.
        """
        directory = os.path.dirname(self.path)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if by_force:
                take_lock(descriptor, directory)
            elif not _files.lock(descriptor, LOCK_SECONDS):
                raise DeviceError(f"another run has been changing an interface of this host for {LOCK_SECONDS} s")
            yield
        finally:
            os.close(descriptor)

    # --- what is

    def departure(self) -> Departure:
        """How it leaves the place where it is, for being made here."""
        there = self.elsewhere()
        recorded = _netns.recorded(self.path)
        if there is None and recorded not in (None, self.netns) and not self._is_in(self.netns):
            there = self._in(recorded)  # what a killed run left of it
        return Departure(there)

    def _in(self, netns: str | None) -> Interface:
        return Interface(self._run_command, self.name, self._warn, os.path.dirname(self.path), netns)

    def elsewhere(self) -> Interface | None:
        """The interface as it is, if it is in another network namespace than here."""
        if self._is_in(self.netns):
            return None
        others = [netns for netns in (_netns.recorded(self.path), None) if netns != self.netns and self._is_in(netns)]
        if not others:
            return None
        return self._in(others[0])

    def _is_in(self, netns: str | None) -> bool:
        if not _netns.exists(netns):
            return False
        with _netns.entered(netns), contextlib.suppress(OSError):
            return socket.if_nametoindex(self.name) > 0
        return False

    def _device(self) -> Device | None:
        if not _netns.exists(self.netns):
            return None
        with _netns.entered(self.netns):
            return _device.read(self._run_command, self.name)

    def look(self, wants_policy: bool = False, wants_dns: bool = False) -> Now:
        """Read device, file and service, and what else there is or shall be."""
        device = self._device()
        content = _files.read_own(self.path)
        text = None if content is None else content.decode("utf-8", "surrogateescape")
        config = self._parsed(self.path, text)
        policy = None
        # In a namespace a default route needs no rules, since the encrypted packets are outside.
        if self.netns is None and (wants_policy or (device and device.fwmark) or (config and config.fwmark)):
            policy = _full_tunnel.read(self._run_command, self.name)
        begun, _netns_of_it = self._read_journal()
        script = _files.read_own(self.script)
        has_dns = wants_dns or _resolver.dns_of(config) or _resolver.dns_of(begun)
        return Now(
            device,
            text,
            content is not None and _is_private(self.path),
            config,
            self._service.state() if self._service else None,
            policy,
            begun,
            _resolver.read(self._run_command, self.name) if has_dns and self.netns is None else (),
            self._timer.read() if self._timer else None,
            script.decode("utf-8", "surrogateescape") if script is not None else None,
        )

    def _parsed(self, path: str, text: str | None) -> Config | None:
        if text is None:
            return None
        try:
            return _resolver.from_file(_wg_quick.parse(text))
        except ValueError as error:
            self._warn(f"{path} is not understood and will be replaced: {error}")
            return None

    def check_service(self, now: Now) -> None:
        """Raises DeviceError if the interface cannot come up at boot for lack of a service that could be there."""
        if self._service and now.unit and not now.unit.known:
            raise DeviceError(
                f"{self.name} cannot come up at boot: this host has no service {self._service.name}; install the "
                f"package that has it ({self._service.package}), or set enabled to false"
            )
        if self._service and self.netns and not self._service.can_redirect:
            raise DeviceError(
                f"{self.name} cannot come up at boot in the network namespace {self.netns}, since {self._service.name} "
                f"knows no namespaces: set enabled to false, and have the host run '{self.script} up'"
            )

    # --- what shall be

    def text_of(self, config: Config) -> str:
        """The file of a configuration."""
        return _wg_quick.render(_resolver.for_file(config))

    def complete(self, config: Config, now: Now) -> Config:
        """A wanted configuration with a fwmark where policy routing needs one. It goes into the file, since a reload of
        the service takes off what is not in the file."""
        if config.fwmark or not _full_tunnel.is_wanted(config.allowed_ips, config.table):
            return config
        known = (now.config and now.config.fwmark) or (now.device and now.device.fwmark)
        return config._replace(fwmark=known or _full_tunnel.free_table(self._run_command))

    def addressed(self, config: Config, now: Now) -> tuple[Config, dict[str, str]]:
        """The configuration with an address for each endpoint that is a name, and the endpoints to push: public key ->
        address and port.

        A declared endpoint is pushed when the declaration changed, or when the device has none: never because the
        device has another one, since then the peer roamed, or its name has another address now. Only those names are
        resolved that must be: an address that the file has of a name stays in it. For one that does not resolve, the
        peer keeps the address that it had, if any. So wg-quick never has a name to resolve, which would keep it from
        bringing up all the others at boot.
        """
        declared = {peer.public_key: peer.declared for peer in config.peers if peer.declared}
        old = {peer.public_key: peer for peer in (now.config.peers if now.config else ())}
        live = {key: peer.endpoint for key, peer in (now.device.peers.items() if now.device else ()) if peer.endpoint}
        written = {key: peer.endpoint for key, peer in old.items() if _underlay.is_address(peer.endpoint or "")}
        same = {key for key, endpoint in declared.items() if key in old and old[key].declared == endpoint}
        kept = same & written.keys()
        settled = kept & live.keys()
        found = _underlay.resolve({endpoint for key, endpoint in declared.items() if key not in settled})
        peers, push = [], {}
        for peer in config.peers:
            key, endpoint = peer.public_key, peer.declared
            if endpoint:
                last = written.get(key) or live.get(key)
                address = found.get(endpoint) or last
                if key not in settled and endpoint not in found:
                    result = f"keeps {last}" if last else "is without an endpoint"
                    self._warn(
                        f"endpoint {endpoint} of peer {peer.name or key} does not resolve on this host: the peer "
                        f"{result} until {'the name does' if self._timer else 'a run finds the name'}"
                    )
                if address and (key not in live or (key not in same and endpoint in found)):
                    push[key] = address
                peer = peer._replace(
                    endpoint=written[key] if key in kept else address,
                    endpoint_name=None if _underlay.is_address(endpoint) else endpoint,
                )
            peers.append(peer)
        return config._replace(peers=tuple(peers)), push

    def desired(self, config: Config, push: t.Mapping[str, str], now: Now, public_key: str | None) -> Device:
        """The device of a configuration that ``addressed`` has made."""
        peers = {
            peer.public_key: Peer(
                peer.public_key,
                peer.preshared_key,
                push.get(peer.public_key),
                peer.allowed_ips,
                peer.persistent_keepalive,
            )
            for peer in config.peers
        }
        mtu = config.mtu
        if mtu is None:
            # As wg-quick up computes it: from what is in the file, not from where peers roamed to.
            known = [peer.endpoint for peer in config.peers if peer.endpoint]
            mtu = _underlay.mtu(self._run_command, self.name, known, config.fwmark or 0)
        return Device(
            name=self.name,
            kind=now.device.kind if now.device else "",
            up=True,
            mtu=mtu,
            private_key=config.private_key,
            public_key=public_key,
            listen_port=config.listen_port or 0,
            fwmark=config.fwmark or 0,
            addresses=config.addresses,
            peers=peers,
            routes=routes_of(config.allowed_ips, config.addresses, config.table, config.fwmark or 0),
        )

    def kind_for(self, backend: str, now: Now) -> str:
        """Which kind of device it is, or which to create. Raises DeviceError if it is another one than ``backend``."""
        if now.device is None:
            return backend if backend != "auto" else self._default_kind()
        if backend not in ("auto", now.device.kind):
            raise DeviceError(
                f"{self.name} is a device of {now.device.kind}, and backend is {backend}: another one would lose "
                "all sessions, so it is not replaced unasked: run once with started=false, or leave backend out"
            )
        return now.device.kind

    def check_kind(self, kind: str, backend: str, packages_may_come: bool) -> None:
        """Whether such a device can be made here; warns where it is wireguard-go's for lack of another.

        Raises DeviceError if not; ``packages_may_come``: a command that is missing is no reason.
        """
        module = "the module 'wireguard' (in a container: on the machine that it runs on)"
        if kind == "kernel" and backend == "kernel" and not kernel_has_wireguard(self._run_command):
            raise DeviceError(
                f"backend is kernel, but this kernel has no WireGuard: install or load {module}, or leave backend out"
            )
        if kind != "wireguard-go":
            return
        alone = "" if backend == kind else "this kernel has no WireGuard, and "
        lacks = wireguard_go_lacks(packages_may_come or find(kind) is not None)
        if lacks:
            raise DeviceError(f"{self.name} cannot be made: {alone}{'; '.join(lacks)}; or install or load {module}")
        if alone:
            self._warn(
                f"this kernel has no WireGuard, so wireguard-go serves {self.name}, which is slower and ends with its "
                f"process; to have the kernel's, install or load {module}, and reboot"
            )

    def _default_kind(self) -> str:
        return "kernel" if kernel_has_wireguard(self._run_command) else "wireguard-go"

    # --- the plan

    def plan_present(self, now: Now, config: Config, desired: Device, kind: str, started: bool, enabled: bool) -> Plan:
        """From what is to a running (or, if not ``started``, prepared) interface."""
        text = self.text_of(config)
        persist = []
        if now.file != text or not now.file_is_private:
            persist.append(Step("file", (self.path,), f"write {self.path}", text))
        persist += self._script_steps(now, self.netns)
        persist += self.timer_steps(now, config)
        if not started:
            down = self.plan_down(now)
            return down._replace(
                persist=down.persist + tuple(persist + self._unit_steps(now, self.netns, enabled, None))
            )
        if now.device is None:
            created = self._plan_create(now, config, desired, kind)
            in_unit = any(step.tool == "unit" for step in created.prepare)
            persist += self._unit_steps(now, self.netns, enabled, active=None if in_unit else True)
            return created._replace(persist=tuple(persist))
        persist += self._unit_steps(now, self.netns, enabled, active=True)
        live = self.live_steps(now, now.device, desired, config)
        down, up_before, up_after = self._hook_changes(now, config)
        finish = _resolver.steps(self.name, now.dns, _resolver.dns_of(config)) + up_after
        return Plan(tuple(down + up_before), tuple(live), tuple(finish), tuple(persist))

    def _plan_create(self, now: Now, config: Config, desired: Device, kind: str) -> Plan:
        empty = Device(self.name, kind, False, 0, None, None, 0, 0, (), {}, frozenset())
        prepare = _netns.steps_to(self.netns)
        prepare += _hooks(now.begun, self.name, "pre_down", "post_down") if now.begun else []
        prepare += _hooks(config, self.name, "pre_up")
        prepare += self._link_steps(now, kind)
        finish = _resolver.steps(self.name, now.dns, _resolver.dns_of(config)) + _hooks(config, self.name, "post_up")
        return Plan(tuple(prepare), tuple(self.live_steps(now, empty, desired, config)), tuple(finish))

    def _link_steps(self, now: Now, kind: str) -> list[Step]:
        steps = [self._creation(now, kind)]
        if self.netns and kind != "kernel":
            # The daemon asks for the link by its name, where it was started itself, and then begins to answer.
            steps.append(Step("command", ("wg", "show", self.name, "listen-port"), f"wait for {kind}"))
        if self.netns:
            words = ("ip", "link", "set", "dev", self.name, "netns", self.netns)
            steps.append(Step("command", words, f"move {self.name} into network namespace {self.netns}"))
        return steps

    def _creation(self, now: Now, kind: str) -> Step:
        text = f"create {self.name} ({kind})"
        if kind == "kernel":
            return Step("command", ("ip", "link", "add", self.name, "type", "wireguard"), text)
        if self._service and now.unit and now.unit.known:
            # In the unit's control group, where it outlives this session.
            return Step("unit", ("adopt", kind, self.name), f"{text} in {self._service.name}")
        # A session of its own: the hang-up of the terminal of this one would end it.
        return Step("command", ("setsid", kind, self.name), text)

    def live_steps(self, now: Now, live: Device, desired: Device, config: Config | None) -> list[Step]:
        """What must be done to the device, and around it for a default route."""
        labels = {peer.public_key: peer.name for peer in (now.config.peers if now.config else ()) if peer.name}
        labels.update({peer.public_key: peer.name for peer in (config.peers if config else ()) if peer.name})
        removable = self._own_routes(now, live) if live.routes - desired.routes else frozenset()
        build, clear = difference(live, desired, removable, labels)
        tunnel_build, tunnel_clear = self._tunnel_steps(now, live, desired, config)
        return build + tunnel_build + tunnel_clear + clear

    def _own_routes(self, now: Now, live: Device) -> frozenset[_device.Route]:
        """The routes that wg-quick or we have made: those of the file's peers, and of the device's as they are."""
        old = now.config or Config()
        live_networks = [network for peer in live.peers.values() for network in peer.allowed_ips]
        own = routes_of(old.allowed_ips, old.addresses, old.table, old.fwmark or live.fwmark)
        return own | routes_of(live_networks, live.addresses, old.table, live.fwmark)

    def _tunnel_steps(
        self, now: Now, live: Device, desired: Device, config: Config | None
    ) -> tuple[list[Step], list[Step]]:
        if now.policy is None:
            return [], []
        wanted = config is not None and _full_tunnel.is_wanted(config.allowed_ips, config.table)
        families = _full_tunnel.families_of(config.allowed_ips) if wanted else frozenset()
        own = {desired.fwmark, live.fwmark, now.config and now.config.fwmark}
        return _full_tunnel.steps(self.name, now.policy, desired.fwmark, families, desired.addresses, own)

    def _hook_changes(self, now: Now, config: Config) -> tuple[list[Step], list[Step], list[Step]]:
        """On an interface that is up: the old hooks down, then the new ones up. The link and all sessions stay."""
        if (now.config or Config()).hooks == config.hooks and not now.begun:
            return [], [], []
        down = _hooks_of(now.maybe_up, self.name, "pre_down", "post_down")
        return down, _hooks(config, self.name, "pre_up"), _hooks(config, self.name, "post_up")

    def _script_steps(self, now: Now, netns: str | None) -> list[Step]:
        text = _netns.script(self.name, netns, self.path) if netns else None
        if now.script == text:
            return []
        return [Step("file", (self.script, "755"), f"{'write' if text else 'remove'} {self.script}", text)]

    def _unit_steps(self, now: Now, netns: str | None, enabled: bool, active: bool | None) -> list[Step]:
        if self._service is None or now.unit is None or not now.unit.known:
            return []
        steps = []
        unit = self._service.name
        redirection = _unit.redirection(self.script) if netns else None
        if now.unit.redirection != redirection:
            text = f"have {unit} run {self.script if netns else 'wg-quick'}"
            steps.append(Step("unit", ("redirect", redirection or ""), text))
        if now.unit.leftover:
            steps.append(Step("unit", ("clean",), f"remove what an interrupted run left in {unit}"))
        if active and not now.unit.active:
            steps.append(Step("unit", ("adopt", "true"), f"start {unit}"))
        if enabled and not now.unit.enabled:
            steps.append(Step("unit", ("enable",), f"enable {unit}"))
        if not enabled and now.unit.enabled:
            steps.append(Step("unit", ("disable",), f"disable {unit}"))
        return steps

    def timer_steps(self, now: Now, config: Config) -> list[Step]:
        """What the timer needs that looks up endpoints again; there is none where no endpoint is a name."""
        if self._timer is None or now.timer is None:
            return []
        return self._timer.steps(now.timer, self._timer.wanted(any(peer.endpoint_name for peer in config.peers)))

    def plan_down(self, now: Now) -> Plan:
        """Take the interface down; the file stays."""
        old = now.config or now.begun or Config()
        prepare, finish, persist = [], [], []
        live = _resolver.steps(self.name, now.dns, ())
        if now.policy:
            # Also what a device that is gone already has left.
            own = {old.fwmark, now.device and now.device.fwmark}
            live += _full_tunnel.steps(self.name, now.policy, 0, (), (), own)[1]
        if now.device:
            prepare += _hooks_of(now.maybe_up, self.name, "pre_down")
            live.append(Step("delete", (), f"delete {self.name}"))
            finish += _hooks_of(now.maybe_up, self.name, "post_down")
        elif now.begun and _netns.exists(self.netns):
            prepare += _hooks(now.begun, self.name, "pre_down", "post_down")
        if self._service and now.unit and (now.unit.active or now.unit.failed or now.unit.leftover):
            persist.append(Step("unit", ("stop",), f"stop {self._service.name}"))
        persist += _netns.steps_from(self._run_command, self.name, self.netns)
        return Plan(tuple(prepare), tuple(live), tuple(finish), tuple(persist))

    def plan_absent(self, now: Now) -> Plan:
        """Take everything away."""
        plan = self.plan_down(now)
        persist = list(plan.persist) + self._unit_steps(now, None, enabled=False, active=None)
        if now.file is not None:
            persist.append(Step("file", (self.path,), f"remove {self.path}"))
        persist = self.timer_steps(now, Config()) + persist
        persist += self._script_steps(now, None)
        return plan._replace(persist=tuple(persist))

    # --- its execution

    def execute(self, plan: Plan, now: Now, config: Config, desired: Device | None) -> None:
        """Carry out a plan; verify that the device is as desired (None: there is none). What fails is rolled back."""
        hooks_ran = False
        try:
            if plan.has_hooks or self.netns:
                self._write_journal(config)
            hooks_ran = plan.has_hooks
            self._applier.apply(plan.prepare + plan.live)
            if desired:
                self._verify(now, config, desired)
            self._applier.apply(plan.finish + plan.persist)
            self._remove_journal()
        except BaseException as error:  # an interrupt, too
            problems = self.roll_back(now, config, hooks_ran)
            if not isinstance(error, (DeviceError, OSError)):
                raise
            raise _failure(error, problems) from None

    def execute_down(self, plan: Plan, now: Now) -> None:
        """Carry out a plan of ``plan_down`` or ``plan_absent``. It is not rolled back: the next run goes on with it."""
        if plan.has_hooks and now.config:
            self._write_journal(now.config)
        self._applier.apply(plan.steps)
        self._remove_journal()

    def _verify(self, now: Now, config: Config, desired: Device) -> None:
        """The device must be as desired. Where the kernel took something along (the last IPv4 address of a link takes
        all its routes), it is put right once."""
        for attempt in (1, 2):
            device = self._device()
            if device is None:
                raise DeviceError(f"verification failed: {self.name} is gone")
            if desired.public_key and device.public_key != desired.public_key:
                raise DeviceError(
                    f"verification failed: the public key of {self.name} is {device.public_key} instead of "
                    f"{desired.public_key}"
                )
            # A peer may roam at any time, so endpoints are not compared.
            expected = desired._replace(
                peers={key: peer._replace(endpoint=None) for key, peer in desired.peers.items()}
            )
            policy = _full_tunnel.read(self._run_command, self.name) if now.policy else None
            remaining = self.live_steps(now._replace(policy=policy), device, expected, config)
            if not remaining:
                return
            if attempt == 1:
                self._applier.apply(remaining)
        raise DeviceError(f"verification failed, {self.name} still needs: {'; '.join(step.text for step in remaining)}")

    def roll_back(self, before: Now, made: Config, hooks_ran: bool, was_killed: bool = False) -> list[str]:
        """Bring device, file and service back to what they were; what could not be done, and what still differs.

        ``made`` is the configuration that came in between, and ``hooks_ran`` whether its hooks may have run; then those
        of before have been taken down, unless the run ``was_killed``.
        """
        problems: list[str] = []

        def attempt(steps: t.Iterable[Step], place: Interface = self) -> None:
            try:
                place._applier.apply(steps)
            except (DeviceError, OSError) as error:
                problems.append(str(error))

        if hooks_ran and _netns.exists(self.netns):
            maybe_up = before._replace(begun=made).maybe_up if was_killed and before.device else [made]
            attempt(_hooks_of(maybe_up, self.name, "pre_down", "post_down"))
        stray = self.elsewhere()
        if stray:  # made, and not moved yet
            attempt([Step("delete", (), f"delete {self.name}")], stray)
        present = self.look(wants_policy=True, wants_dns=bool(made.dns))
        old = before.config or Config(table="off")
        if before.device is None:
            if present.device:
                attempt(self.plan_down(present._replace(config=made._replace(pre_down=(), post_down=()))).live)
            attempt(_netns.steps_from(self._run_command, self.name, self.netns))
        elif present.device is None:
            created = self._plan_create(present._replace(begun=None), old, before.device, before.device.kind)
            attempt(created.steps)
        else:
            attempt(self._steps_back(present, before))
            attempt(_resolver.steps(self.name, present.dns, before.dns))
            if hooks_ran and before.config:
                attempt(_hooks(before.config, self.name, "pre_up", "post_up"))
        if present.file != before.file:
            attempt([Step("file", (self.path,), f"restore {self.path}", before.file)])
        if present.script != before.script:
            attempt([Step("file", (self.script, "755"), f"restore {self.script}", before.script)])
        if self._service and before.unit:
            attempt(self._unit_steps_back(self._service.state(), before.unit))
        if self._timer and before.timer and present.timer:
            attempt(self._timer.steps(present.timer, before.timer))
        if not problems:
            self._remove_journal()
        return problems + self._remaining(before)

    def _steps_back(self, present: Now, before: Now) -> list[Step]:
        """What brings a device that is there back to what it was."""
        build, clear = difference(present.device, before.device, present.device.routes)
        old = before.config or Config(table="off")
        tunnel_build, tunnel_clear = self._tunnel_steps(present, present.device, before.device, old)
        return build + tunnel_build + tunnel_clear + clear

    def _unit_steps_back(self, present: _unit.UnitState, before: _unit.UnitState) -> list[Step]:
        steps = []
        unit = self._service.name
        if present.leftover:
            steps.append(Step("unit", ("clean",), f"remove what an interrupted run left in {unit}"))
        if present.redirection != before.redirection:
            steps.append(Step("unit", ("redirect", before.redirection or ""), f"restore {unit}"))
        if present.active and not before.active:
            # It was started by the run: the interface that it would take down may have been there before.
            steps.append(Step("unit", ("release",), f"make {unit} inactive"))
        if before.active and not present.active:
            steps.append(Step("unit", ("adopt", "true"), f"start {unit}"))
        if present.enabled != before.enabled:
            verb = "enable" if before.enabled else "disable"
            steps.append(Step("unit", (verb,), f"{verb} {unit}"))
        return steps

    def _remaining(self, before: Now) -> list[str]:
        """What is read after a rollback and is not as it was."""
        try:
            present = self.look(wants_policy=True, wants_dns=bool(before.dns))
            if present.device and before.device:
                # The kernel took something along: the last IPv4 address of a link takes all its routes.
                with contextlib.suppress(DeviceError):
                    self._applier.apply(self._device_steps_back(present, before))
                present = self.look(wants_policy=True, wants_dns=bool(before.dns))
        except (DeviceError, OSError) as error:
            return [f"{self.name} cannot be read after the rollback: {error}"]
        found = []
        if before.device is None or present.device is None:
            if present.device is not before.device:
                found.append(f"{self.name} is {'up' if present.device else 'gone'}")
        else:
            found += [step.text for step in self._device_steps_back(present, before)]
        if self._service and before.unit and present.unit:
            found += [step.text for step in self._unit_steps_back(present.unit, before.unit)]
        parts = {"file": self.path, "script": self.script, "dns": "name servers", "timer": "the timer"}
        found += [text for part, text in parts.items() if getattr(present, part) != getattr(before, part)]
        return [f"{self.name} still differs from what it was: {'; '.join(found)}"] if found else []

    def _device_steps_back(self, present: Now, before: Now) -> list[Step]:
        """As ``_steps_back``, but for endpoints, since a peer may roam at any time."""
        peers = {key: peer._replace(endpoint=None) for key, peer in before.device.peers.items()}
        return self._steps_back(present, before._replace(device=before.device._replace(peers=peers)))

    def roll_back_later(self, before: Now) -> list[str]:
        """As ``roll_back``, after a run that is over, or was killed: what it made is what it had begun, or what there
        is."""
        begun, netns = self._read_journal()
        there = self.elsewhere() or (self._in(netns) if begun and netns != self.netns else None)
        present = self.look()
        if there:
            there._applier.apply(there.plan_down(there.look(wants_policy=True)).steps)
        made = present.begun or present.config or Config()
        was_killed = present.begun is not None
        gone_or_come = (before.device is None) != (present.device is None)
        hooks_ran = was_killed or gone_or_come or made.hooks != (before.config or Config()).hooks
        return self.roll_back(before, made, hooks_ran, was_killed)

    # --- the journal: which hooks a run has begun with, and in which network namespace. It lies under /run, since a
    # reboot undoes both as well.

    def _write_journal(self, config: Config) -> None:
        text = self.text_of(config._replace(private_key=None, peers=()))
        _files.write_atomically(self._journal, json.dumps({"file": text, "netns": self.netns}).encode(), FILE_MODE)

    def _read_journal(self) -> tuple[Config | None, str | None]:
        content = _files.read(self._journal)
        if not content:
            return None, None
        record = json.loads(content)
        return self._parsed(self._journal, record["file"]), record["netns"]

    def _remove_journal(self) -> None:
        _files.remove(self._journal)


class Departure:
    """What precedes the making of an interface: it is taken down where it must not be, if it is there."""

    def __init__(self, there: Interface | None) -> None:
        self._there = there
        self._before = there.look(wants_policy=True) if there else None
        self.plan = there.plan_down(self._before) if there else Plan()

    def then(self, now: Now) -> Now:
        """What will be, as far as it matters for the making, when it is down."""
        if self._there is None or now.unit is None:
            return now
        return now._replace(unit=now.unit._replace(active=False, failed=False, leftover=False))

    @contextlib.contextmanager
    def carried_out(self) -> t.Iterator[None]:
        """It is down from now on; rolled back if it cannot be made where it shall be."""
        if self._there is None:
            yield
            return
        try:
            self._there.execute_down(self.plan, self._before)
            yield
        except BaseException as error:  # an interrupt, too
            problems = self._there.roll_back(self._before, self._before.config or Config(), self.plan.has_hooks)
            if not isinstance(error, (DeviceError, OSError)):
                raise
            raise _failure(error, problems) from None


def _failure(error: Exception, problems: t.Sequence[str]) -> DeviceError:
    """What went wrong, and what became of what was there."""
    reason = str(error).removesuffix(f"; {ROLLED_BACK}")
    return DeviceError(
        f"{reason}; the rollback is incomplete: {'; '.join(problems)}" if problems else f"{reason}; {ROLLED_BACK}"
    )


def _is_private(path: str) -> bool:
    about = os.stat(path)
    return about.st_mode & 0o7777 == FILE_MODE and about.st_uid == os.geteuid()


def _hooks_of(configs: t.Iterable[Config], name: str, *fields: str) -> list[Step]:
    return [step for config in configs for step in _hooks(config, name, *fields)]


def _hooks(config: Config, name: str, *fields: str) -> list[Step]:
    """The commands of some hooks. Those that take down must not stop the others when they find nothing to take down."""
    steps = []
    for field in fields:
        key = "".join(word.capitalize() for word in field.split("_"))
        tool = "down_hook" if field.endswith("down") else "hook"
        for command in getattr(config, field):
            steps.append(Step(tool, (command.replace("%i", name),), f"run {key} = {masked_words(command)}"))
    return steps
