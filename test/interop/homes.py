"""A small Internet: the server's host, which is this process's own network, and homes in networks of
their own, each behind a router with one kind of NAT.

All homes have the same private addresses inside, as they do in the world.
"""

import os
import socket
import subprocess

import lab

SERVER, SERVER6 = "198.51.100.1", "2001:db8:51::1"

# By RFC 4787: how the router maps what goes out, and which answers it lets in.
#   full  the same port for all; from everywhere          (full cone)
#   addr  the same port for all; from addresses that were sent to   (address-restricted)
#   port  the same port for all; from addresses and ports that were (port-restricted)
#   sym   another port for each; from addresses and ports that were (symmetric)
KINDS = ("none", "full", "addr", "port", "sym")

_INSIDE = "192.168.1"

# What nobody inside has asked for must not leave a trace in the router: the port that the next
# who goes there would have kept would be taken.
_CLOSED = """
    chain closed {
        type filter hook input priority 0
        iifname "wan" drop
    }
"""

# What went out tells by which port who is reached, and whom it was for.
_NOTED = """
    map hosts { type inet_service : ipv4_addr . inet_service; size 4096; flags dynamic; }
    set peers { type inet_service . ipv4_addr; size 4096; flags dynamic; }
    chain noted {
        type filter hook postrouting priority 110
        oifname "wan" ct direction original meta l4proto udp update @hosts \\
            { udp sport : ct original ip saddr . ct original proto-src }
        oifname "wan" ct direction original meta l4proto udp update @peers \\
            { udp sport . ip daddr }
    }
"""


def _rules(way_out, *way_in):
    mapped = "".join(f"\n        {rule}" for rule in way_in)
    return f"""table ip nat {{{_CLOSED}{_NOTED if way_in else ''}
    chain in {{
        type nat hook prerouting priority dstnat{mapped}
    }}
    chain out {{
        type nat hook postrouting priority srcnat
        oifname "wan" masquerade {way_out}
    }}
}}
"""


_ROUTERS = {
    "full": _rules("persistent", 'iifname "wan" meta l4proto udp '
                                 'dnat ip addr . port to udp dport map @hosts'),
    "addr": _rules("persistent", 'iifname "wan" meta l4proto udp udp dport . ip saddr @peers '
                                 'dnat ip addr . port to udp dport map @hosts'),
    "port": _rules("persistent"),
    "sym": _rules("fully-random"),
}


def _do(command, lines):
    done = subprocess.run(command, input="".join(f"{line}\n" for line in lines), text=True,
                          capture_output=True, check=False)
    if done.returncode != 0:
        raise lab.Unable(f"{' '.join(command)}: {done.stderr.strip()}")


def ip(network, *lines):
    """Commands of ip(8), in one of the networks; None is our own."""
    _do(["ip", *(["-n", network] if network else []), "-batch", "-"], lines)


def nft(network, rules):
    with lab.inside(network):
        _do(["nft", "-f", "-"], rules.splitlines())


def _set(network, **values):
    """Settings of /proc/sys/net, with __ for its slashes."""
    with lab.inside(network):
        for name, value in values.items():
            with open(f"/proc/sys/net/{name.replace('__', '/')}", "w", encoding="ascii") as file:
                file.write(str(value))


def _addresses(link, addresses):
    return [f"address add {one} dev {link}{' nodad' if ':' in one else ''}" for one in addresses]


def _plug(host, switch, link, *addresses):
    """A link of a host into another's bridge, where its other end bears the host's name."""
    ip(switch, f"link add {host} type veth peer name {link} netns {host}",
       f"link set {host} master bridge", f"link set {host} up")
    ip(host, f"link set {link} up", *_addresses(link, addresses))


def _network(name):
    ip(None, f"netns add {name}")
    ip(name, "link set lo up")


def _bridge(network, *addresses):
    ip(network, "link add bridge type bridge", "link set bridge up",
       *_addresses("bridge", addresses))


def build():
    """The Internet, and the server's host in it; after lab.enter()."""
    _do(["mount", "-t", "tmpfs", "none", "/run"], [])
    _network("net")
    _bridge("net")
    ip(None, "route del default", "link add wan type veth peer name server netns net",
       "link set wan up", *_addresses("wan", [f"{SERVER}/24", f"{SERVER6}/64"]))
    ip("net", "link set server master bridge", "link set server up")


class Host:
    """One in a home; what is opened `inside` of it."""

    def __init__(self, name, home, address):
        self.name, self.home, self.address = name, home, address

    def socket(self, kind=socket.SOCK_DGRAM):
        """One that is bound to its address."""
        with lab.inside(self.name):
            one = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET, kind)
        one.bind((self.address, 0))
        return one


class Home:
    """Hosts behind a router; without NAT, or of IPv6, the host is one of the Internet itself.

    `outside` is how it is seen from there, and `line` its link's name in the Internet's bridge."""

    _numbers = iter(range(10, 250))

    def __init__(self, name, kind, hosts=1):
        self.name, self.kind = name, kind
        number = next(Home._numbers)
        self.outside = f"2001:db8:51::{number}" if kind == "v6" else f"198.51.100.{number}"
        self.line = f"{name}-r" if kind in _ROUTERS else name
        if kind in _ROUTERS:
            names = [name] if hosts == 1 else [f"{name}-{n + 1}" for n in range(hosts)]
            self.hosts = [Host(one, self, f"{_INSIDE}.{n + 2}") for n, one in enumerate(names)]
            self._build_router()
        else:
            self.hosts = [Host(name, self, self.outside)]
            _network(name)
            _plug(name, "net", "eth0", f"{self.outside}/{64 if kind == 'v6' else 24}")
            # Phones look for their address by the way out.
            ip(name, f"route add {'::/0' if kind == 'v6' else 'default'} dev eth0")

    def _build_router(self):
        router = f"{self.name}-r"
        _network(router)
        _plug(router, "net", "wan", f"{self.outside}/24")
        _bridge(router, f"{_INSIDE}.1/24")
        for host in self.hosts:
            _network(host.name)
            _plug(host.name, router, "eth0", f"{host.address}/24")
            ip(host.name, f"route add default via {_INSIDE}.1")
        nft(router, _ROUTERS[self.kind])
        # A phone that is silent for a minute between two checks is still there.
        _set(router, ipv4__ip_forward=1, netfilter__nf_conntrack_udp_timeout=600,
             netfilter__nf_conntrack_udp_timeout_stream=600)
