"""What `softswitch doctor` looks at where audio crosses this machine: engines, and what could silence the kernel."""

from pathlib import Path
from typing import Any, Final

from b2bua.cli.checks import Finding, Scene, State
from media.client import MediaClient
from media.engine_address import OWN, engine_addresses, own_socket
from media.errors import MediaError

PROC: Final = Path("/proc/sys/net")

MOST_TRACKED: Final = 0.8
"""Part of the connections that the kernel may track, above which somebody should look."""


async def check_media(scene: Scene) -> list[Finding]:
    """Each media engine answers; ours says which way media take. No call depends on one yet, so none is a fault."""
    findings = []
    client = MediaClient(engine_addresses(scene.settings), is_logging=False)
    try:
        for name in client.engines_up:
            if name == OWN and not own_socket(scene.settings).exists():
                findings.append(Finding("media", State.WARNING, "our own media engine does not run"))
                continue
            try:
                figures = await client.wait(client.statistics, name)
            except MediaError as error:
                findings.append(Finding("media", State.WARNING, f"{error}"))
                continue
            findings.append(Finding("media", State.OK, f"{name} answers{_describe(figures)}"))
            if name == OWN and figures.get("path") == "kernel":
                findings += judge_kernel(PROC)
    finally:
        client.close()
    return findings


def _describe(figures: dict[str, Any]) -> str:
    if "path" not in figures:
        return ""
    text = f": {figures.get('calls')} calls, {figures.get('kernel streams')} streams in the kernel"
    if decrypted := figures.get("decrypted streams"):
        text += f", {decrypted} of SRTP in user space"
    return text if figures["path"] == "kernel" else f": {figures.get('calls')} calls in {figures['path']}"


def judge_kernel(proc: Path) -> list[Finding]:
    """Find what keeps the kernel from passing media on, in a directory like /proc/sys/net."""
    findings = []
    strict = [path.parent.name for path in sorted(proc.glob("ipv4/conf/*/rp_filter")) if _number(path) == 1]
    if strict:
        text = f"rp_filter is 1 for {', '.join(strict)}: media that come another way than they go are dropped"
        findings.append(Finding("media", State.WARNING, text))
    most, now = (_number(proc / "netfilter" / f"nf_conntrack_{name}") for name in ("max", "count"))
    if most and now > MOST_TRACKED * most:
        text = f"the kernel tracks {now} of at most {most} connections (net.netfilter.nf_conntrack_max)"
        findings.append(Finding("media", State.WARNING, text))
    return findings


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
