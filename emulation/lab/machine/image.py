"""What a machine boots: Debian's kernel, a small first file system, and what the host lacks.

Everything comes from the package archive that apt is set up for, is unpacked into a cache
($XDG_CACHE_HOME/weft/machine) and not installed. The machine's root is the host's own, seen through
virtio-9p, with those packages laid over it: a program that runs here runs there, under the same
path.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from weft.emulation.lab.errors import LabError

QEMU = "qemu-system-x86_64"
KERNEL_PACKAGE = "linux-image-amd64"
GUEST_PACKAGES = (
    "busybox-static", "ibverbs-providers", "ibverbs-utils", "iproute2", "iputils-ping", "kmod",
    "librdmacm1", "perftest", "procps", "python3-pyverbs",
)  # fmt: skip
"""Programs and libraries that a machine has, whether or not its host has them."""
EARLY_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console")
PROGRAMS = {QEMU: "qemu-system-x86", "depmod": "kmod", "modprobe": "kmod"}
"""What must be installed here, by package."""
APT_DEADLINE = 300.0
LISTS_DEADLINE = 600.0


class MachineUnavailable(LabError):
    """No machine can be had here; the text says what is missing and how to get it."""


@dataclass(frozen=True)
class Image:
    """Ready to boot."""

    release: str
    """Of the kernel."""
    kernel: Path
    initrd: Path
    modules: Path
    """A folder with lib/modules/RELEASE."""
    userland: Path

    @classmethod
    def prepare(cls) -> Image:
        """From the cache, or made anew (a minute, once). Raises MachineUnavailable."""
        _check_programs()
        cache = cache_folder()
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with _alone(cache / "lock"):
                release, modules = _kernel(cache)
                userland = _userland(cache)
                initrd = _initrd(cache, modules, release, userland)
        except OSError as error:
            raise MachineUnavailable(f"machines: {error}; their files go to {cache}") from None
        return cls(release, modules / "boot" / f"vmlinuz-{release}", initrd, modules, userland)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "weft" / "machine"


def program(name: str) -> str:
    """Where a program is; also where only root's PATH has it."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        package = PROGRAMS.get(name, name)
        raise MachineUnavailable(
            f"machines need the program {name} (Debian, Ubuntu: apt install {package})"
        )
    return found


def _check_programs() -> None:
    if platform.machine() != "x86_64":
        raise MachineUnavailable(f"machines exist for x86_64 only, this is {platform.machine()}")
    for name in (*PROGRAMS, "apt-get", "dpkg-deb", "tar"):
        program(name)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time fills the cache."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- Packages


def _apt(*words: str) -> str:
    """The output of an apt program; lists of packages are fetched where that helps and may be."""
    for attempt in range(2):
        done = subprocess.run(
            words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=APT_DEADLINE,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout
        if attempt == 0 and os.geteuid() == 0:
            subprocess.run(
                ["apt-get", "-qq", "update"], capture_output=True, timeout=LISTS_DEADLINE
            )
    said = (done.stderr or done.stdout).strip()[-500:]
    raise MachineUnavailable(
        f"machines: `{' '.join(words)}` failed: {said or done.returncode}. They need an apt that "
        "knows Debian's packages; as root: apt-get update"
    )


def _unpack(packages: Sequence[str], into: Path, links: Sequence[str] = ()) -> None:
    """Fetch and unpack packages. `links`: folders of the root that are links to those below usr,
    as they are on the host."""
    for link in links:
        (into / "usr" / link).mkdir(parents=True, exist_ok=True)
        (into / link).symlink_to(f"usr/{link}")
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", *packages]
        _apt("env", "-C", folder, *download)
        for package in sorted(Path(folder).glob("*.deb")):
            with subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
            ) as source:
                subprocess.run(
                    ["tar", "-x", "--no-same-owner", "--keep-directory-symlink", "-C", into],
                    stdin=source.stdout, check=True,
                )  # fmt: skip
            package.unlink()


def _kernel(cache: Path) -> tuple[str, Path]:
    """Release and folder of the newest kernel in the cache, or of that which the archive has."""
    kept = sorted(cache.glob("kernel-*"), key=lambda path: path.stat().st_mtime)
    if kept:
        return kept[-1].name.removeprefix("kernel-"), kept[-1]
    depends = _apt("apt-cache", "depends", KERNEL_PACKAGE)
    named = re.search(r"Depends: linux-image-(\S+)", depends)
    if named is None:
        raise MachineUnavailable(f"machines: {KERNEL_PACKAGE} names no kernel: {depends.strip()}")
    release = named[1]
    with _whole(cache / f"kernel-{release}") as folder:
        _unpack([f"linux-image-{release}"], folder)
        subprocess.run([program("depmod"), "-b", folder, release], check=True, timeout=APT_DEADLINE)
    return release, cache / f"kernel-{release}"


def _userland(cache: Path) -> Path:
    """A folder with those guest packages, and all that they need, that are not installed here."""
    plan = _apt("apt-get", "--simulate", "--no-install-recommends", "install", *GUEST_PACKAGES)
    missing = sorted(re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", plan, re.MULTILINE))
    links = [name for name in ("bin", "lib", "lib64", "sbin") if Path("/", name).is_symlink()]
    key = hashlib.sha256(repr((missing, links)).encode()).hexdigest()[:16]
    target = cache / f"userland-{key}"
    if not target.exists():
        with _whole(target) as folder:
            if missing:
                _unpack([name for name, _ in missing], folder, links)
    return target


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder that gets its name when all is in it."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch, "made")
        folder.mkdir()
        yield folder
        folder.rename(target)


# --- The first file system


def _initrd(cache: Path, modules: Path, release: str, userland: Path) -> Path:
    """busybox, the modules that the root file system needs, and the first program."""
    script = Path(__file__).with_name("init.sh").read_bytes()
    busybox = next(
        (path for path in (userland / "bin/busybox", Path("/bin/busybox")) if path.exists()), None
    )
    if busybox is None:
        raise MachineUnavailable("machines: busybox-static has no /bin/busybox")
    order: list[Path] = []
    for name in EARLY_MODULES:
        listed = subprocess.run(
            [program("modprobe"), "-d", modules, "-S", release, "--show-depends", name],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        for line in listed.stdout.splitlines():
            kind, _, path = line.partition(" ")
            if kind == "insmod" and Path(path.strip()) not in order:
                order.append(Path(path.strip()))
    files = {"init": script, "bin/busybox": busybox.read_bytes()}
    files |= {f"m/{path.name}": path.read_bytes() for path in order}
    files["modules"] = "".join(f"/m/{path.name}\n" for path in order).encode()
    content = archive(files)
    target = cache / f"initrd-{hashlib.sha256(content).hexdigest()[:16]}.gz"
    if not target.exists():
        scratch = target.with_suffix(".new")
        scratch.write_bytes(gzip.compress(content, 1))
        scratch.rename(target)
    return target


def archive(files: dict[str, bytes]) -> bytes:
    """A cpio archive of executable files as the kernel unpacks it: the "newc" format (Linux,
    Documentation/driver-api/early-userspace/buffer-format.rst), folders before what is in them."""
    entries: list[tuple[str, int, bytes]] = []
    folders: set[str] = set()
    for name, content in files.items():
        for parent in reversed(Path(name).parents[:-1]):
            if str(parent) not in folders:
                folders.add(str(parent))
                entries.append((str(parent), 0o40755, b""))
        entries.append((name, 0o100755, content))
    entries.append(("TRAILER!!!", 0, b""))
    made = bytearray()
    for number, (name, mode, content) in enumerate(entries):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        made += b"070701" + b"".join(b"%08X" % field for field in fields)
        made += name.encode() + b"\0"
        made += bytes(-len(made) % 4)
        made += content
        made += bytes(-len(made) % 4)
    return bytes(made)
