"""`weft lab shell`: a prompt over a running lab, with the words that Mininet's users know."""

from __future__ import annotations

import cmd
import subprocess

from weft.emulation.lab.errors import FabricDied, LabError
from weft.emulation.lab.lab import Lab
from weft.emulation.units import show_rate, show_time


class Shell(cmd.Cmd):
    """`h0 COMMAND` runs a command on a host; names of hosts in it become their addresses."""

    intro = "Type help for a list of commands, exit to leave; h0 COMMAND runs a command on h0."
    prompt = "weft> "

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab

    def onecmd(self, line: str) -> bool:
        try:
            return super().onecmd(line)
        except FabricDied:
            raise
        except (LabError, ValueError) as error:
            self.stdout.write(f"{error}\n")
            return False

    def emptyline(self) -> bool:
        return False

    def default(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if name not in self.lab:
            self.stdout.write(f"there is no command and no host {name!r}; try help\n")
            return
        words = rest.split()
        if words and words[0] == "ping":
            self._ping(name, words[1:])
            return
        line = " ".join(self.lab[word].ip if word in self.lab else word for word in words)
        if not line:
            self.stdout.write("which command?\n")
            return
        process = self.lab[name].popen(["sh", "-c", line])
        try:
            process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()

    def _ping(self, name: str, words: list[str]) -> None:
        count = "3"
        if words[:1] == ["-c"]:
            count, words = "".join(words[1:2]), words[2:]
        if len(words) > 1:
            count = words[1]
        if not words or len(words) > 2 or not count.isdecimal():
            raise ValueError("usage: h0 ping [-c COUNT] h1 [COUNT]")
        for number, seconds in enumerate(self.lab.ping(name, words[0], int(count))):
            answer = "lost" if seconds is None else show_time(seconds)
            self.stdout.write(f"{name} -> {words[0]} {number + 1}: {answer}\n")

    def do_nodes(self, line: str) -> None:
        """nodes: names of all hosts and switches"""
        self.columnize([*self.lab, *self.lab.topology.switches])

    def do_net(self, line: str) -> None:
        """net: all links, with what has crossed them and waits for them"""
        stats = self.lab.port_stats()
        for link in range(len(self.lab.topology.ends)):
            there, back = stats["packets"][2 * link], stats["packets"][2 * link + 1]
            lost = stats["lost"][2 * link] + stats["lost"][2 * link + 1]
            drops = stats["drops"][2 * link] + stats["drops"][2 * link + 1]
            self.stdout.write(
                f"{self.lab.topology.link_name(link):16} {there} packets there, {back} back, "
                f"{drops} dropped, {lost} lost\n"
            )

    def do_dump(self, line: str) -> None:
        """dump: hosts with their addresses, and how well the fabric keeps its schedule"""
        for host in self.lab.hosts:
            self.stdout.write(f"{host.name:6} {host.ip:15} {host.ipv6:10} {host.address.mac}\n")
        evidence = self.lab.fidelity()
        self.stdout.write(
            f"{evidence.frames} frames, late by {show_time(evidence.late_p50)} (p50), "
            f"{show_time(evidence.late_p99)} (p99)\n"
        )
        for fault in evidence.faults:
            self.stdout.write(f"NOT VALID: {fault}\n")

    def do_pingall(self, line: str) -> None:
        """pingall: an echo between every pair of hosts"""
        answers = self.lab.ping_all()
        lost = [pair for pair, seconds in answers.items() if seconds is None]
        for a, b in lost:
            self.stdout.write(f"{a} -> {b}: lost\n")
        self.stdout.write(f"{len(answers) - len(lost)} of {len(answers)} answered\n")

    def do_iperf(self, line: str) -> None:
        """iperf [h0 h1 [SECONDS]]: what one TCP stream carries; default: first to last host"""
        words = line.split() or [self.lab.hosts[0].name, self.lab.hosts[-1].name]
        if len(words) < 2:
            raise ValueError("usage: iperf h0 h1 [SECONDS]")
        rate = self.lab.iperf(words[0], words[1], float(words[2]) if len(words) > 2 else 2.0)
        self.stdout.write(f"{words[0]} -> {words[1]}: {show_rate(rate)}\n")

    def do_link(self, line: str) -> None:
        """link leaf0 spine1 up|down: mend or cut the links between two nodes"""
        words = line.split()
        if len(words) != 3 or words[2] not in ("up", "down"):
            raise ValueError("usage: link A B up|down")
        (self.lab.link_up if words[2] == "up" else self.lab.link_down)(words[0], words[1])

    def do_switch(self, line: str) -> None:
        """switch spine1 up|down: switch a switch on or off"""
        words = line.split()
        if len(words) != 2 or words[1] not in ("up", "down"):
            raise ValueError("usage: switch NAME up|down")
        (self.lab.switch_up if words[1] == "up" else self.lab.switch_down)(words[0])

    def do_links(self, line: str) -> None:
        """links: rate, delay, loss and queue of every link"""
        for link, (a, b) in enumerate(self.lab.topology.ends):
            native = self.lab.topology.native.link(link)  # type: ignore[attr-defined]
            loss = f", {100 * native.loss:g} % lost" if native.loss else ""
            self.stdout.write(
                f"{self.lab.topology.node_name(a)} <-> {self.lab.topology.node_name(b)} "
                f"{show_rate(native.rate)}, {show_time(native.delay * 1e-12)}{loss}\n"
            )

    def do_py(self, line: str) -> None:
        """py EXPRESSION: Python, which knows `lab` and every host by its name"""
        names = {"lab": self.lab, **{host.name: host for host in self.lab.hosts}}
        try:
            self.stdout.write(f"{eval(line, names)!r}\n")  # the user's own prompt
        except Exception as error:
            self.stdout.write(f"{type(error).__name__}: {error}\n")

    def completenames(self, text: str, *ignored: object) -> list[str]:
        hosts = [name for name in self.lab if name.startswith(text)]
        return [*super().completenames(text, *ignored), *hosts]

    def completedefault(self, *ignored: object) -> list[str]:
        text = str(ignored[0])
        known = [*self.lab, *self.lab.topology.switches]
        return [name for name in known if name.startswith(text)]

    def do_pcap(self, line: str) -> None:
        """pcap h0 [FILE]: record what crosses all links of a node; pcap stop FILE ends it"""
        words = line.split()
        if not words:
            raise ValueError("usage: pcap NODE [FILE]")
        if words[0] == "stop":
            if len(words) != 2:
                raise ValueError("usage: pcap stop FILE")
            self.lab.end_pcap(words[1])
            return
        path = words[1] if len(words) > 1 else f"{words[0]}.pcap"
        self.lab.pcap(path, words[0])
        self.stdout.write(f"recording into {path}\n")

    def do_sh(self, line: str) -> None:
        """sh COMMAND: run a command outside the lab"""
        subprocess.run(["sh", "-c", line], check=False)

    def do_exit(self, line: str) -> bool:
        """exit: end the lab and leave"""
        return True

    do_quit = do_exit
    do_EOF = do_exit
