"""A pseudo-terminal of any size, for tests of what commands show on one. Linux."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Sequence


def shown_on_terminal(command: Sequence[str], *, width: int, height: int, **environment: str) -> tuple[int, str]:
    """Run a command on a terminal; its exit code, and all that it wrote there."""
    import fcntl  # noqa: PLC0415 - POSIX alone has it
    import pty  # noqa: PLC0415
    import termios  # noqa: PLC0415

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}} | environment
    with subprocess.Popen(command, stdout=follower, env=env) as running:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 1 << 16)
            except OSError:
                break
            shown += part
        code = running.wait()
    os.close(leader)
    return code, shown.decode()
