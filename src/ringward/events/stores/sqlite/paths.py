"""Where a store's file may lie: what a path means, and what is said when it cannot be meant."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path

from ringward.errors import (
    ArgumentError,
    ArgumentTypeError,
    RingwardError,
    StoreAccessError,
    StoreFormatError,
    StoreFullError,
    StoreNotFoundError,
    StoreUnavailableError,
    UnsupportedError,
)

__all__ = ["FULL", "access_error", "prepare_path", "resolved_path"]

_NETWORK = {
    *("nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "afpfs", "9p", "ceph"),
    *("glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.cephfs", "lustre", "gpfs", "webdav", "davfs"),
}
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?P<slashes>//?)?(?P<rest>.*)", re.DOTALL)
_FILES = ("file", "sqlite", "sqlite3")
_IN_MEMORY = "a file's path; to keep events in memory say Processor() or MemoryStore()"
_IS_READ_ONLY = "the file system is mounted read-only"

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
# What does not pass: it lies in the path. Too many open files, or an error of a device, may.
_NEVER = {errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EEXIST, errno.ENXIO}


def resolved_path(path: object) -> Path:
    """The file that is meant, independent of the working directory and of symbolic links.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        For what is no path of a file.
    UnsupportedError
        For the address of a server.
    """
    given = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(given, str):
        raise ArgumentTypeError("path", "a str or a path (os.fsdecode makes one of bytes)", path)
    if not given or "\0" in given:
        raise ArgumentError(
            "path", "a file's path, not empty and without NUL; Processor() keeps events in memory", given
        )
    if ":memory:" in given or "mode=memory" in given:
        raise ArgumentError("path", _IN_MEMORY, given)
    _refuse_scheme(given)
    if given.endswith(tuple(filter(None, (os.sep, os.altsep)))):
        raise ArgumentError("path", "the path of a file, not of a folder", given)
    try:
        return Path(os.path.abspath(given)).resolve()  # noqa: PTH100 - absolute first, also where nothing is there yet
    except (OSError, RuntimeError) as error:  # links that go in circles
        raise StoreFormatError(f"path must lead to a file (was {given!r}: {error})") from error


def _refuse_scheme(path: str) -> None:
    match = _SCHEME.fullmatch(path)
    if match is None:
        return
    scheme, slashes, rest = match["scheme"].lower(), match["slashes"], match["rest"]
    dialect = scheme.partition("+")[0]
    if dialect in _FILES:
        meant = rest.partition("?")[0]
        if slashes == "//" and dialect != "file":  # sqlite:///relative, sqlite:////absolute
            meant = meant.removeprefix("/")
        if not meant:
            raise ArgumentError("path", _IN_MEMORY, path)
        raise ArgumentError("path", f"a path without a scheme: use {meant!r}", path)
    if slashes:
        raise UnsupportedError(f"there is no store for {scheme}:// yet: path must be the path of a file (was {path!r})")


def prepare_path(path: Path, *, create: bool) -> Path:
    """Make the file if it may be made, for its owner alone, and the folder of its locks; return that folder.

    Raises
    ------
    StoreNotFoundError
        Where there is no such file or folder.
    StoreAccessError
        Where a permission is missing.
    StoreFormatError
        For what is no file.
    UnsupportedError
        On a network file system.
    """
    parent = path.parent
    if not parent.is_dir():
        hint = " (~ is taken as it is: os.path.expanduser resolves it)" if "~" in parent.parts else ""
        raise StoreNotFoundError(str(path), f"no such folder: {str(parent)!r}{hint}")
    kind = _file_system(parent)
    if kind in _NETWORK:
        raise UnsupportedError(f"path must not be on a network file system, whose locks cannot be trusted (was {kind})")
    folder = path.with_name(path.name + "-locks")
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is None:
            _make(path, create=create)
        elif not stat.S_ISREG(mode):
            raise StoreFormatError(
                f"path must be a file (was a {'folder' if stat.S_ISDIR(mode) else 'device or pipe'}: {str(path)!r})"
            )
        elif not create and not path.stat().st_size:
            raise StoreNotFoundError(str(path), f"no events in {str(path)!r}: it is empty (create=True would use it)")
        _check_access(path)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        if isinstance(error, StoreNotFoundError | StoreAccessError):
            raise
        raise access_error(error, folder) from error
    return folder


def _make(path: Path, *, create: bool) -> None:
    if not create:
        raise StoreNotFoundError(str(path), f"no such file: {str(path)!r} (create=True creates it)")
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise StoreFormatError(
            f"path must exist, since {str(log)!r} does: it holds the last writes of a file that was moved or deleted (put"
            " that file back, or remove the -wal)"
        )
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))


def _check_access(path: Path) -> None:
    missing = [name for name, mode in (("reading", os.R_OK), ("writing", os.W_OK)) if not os.access(path, mode)]
    if missing:
        raise StoreAccessError(str(path), f"this user has no permission for {' and '.join(missing)} {str(path)!r}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StoreAccessError(
            str(path), f"this user has no permission to create files in {str(path.parent)!r}, which SQLite needs"
        )


def access_error(error: OSError, path: Path) -> RingwardError:
    """What the system's refusal of a file or of what lies beside it means."""
    name = os.fsdecode(error.filename or path)
    if isinstance(error, PermissionError):
        return StoreAccessError(name, f"this user has no permission for {name!r}: {error.strerror}")
    if error.errno == errno.EROFS:
        return StoreAccessError(name, f"{name!r} cannot be written: {_IS_READ_ONLY}")
    if isinstance(error, FileNotFoundError):
        return StoreNotFoundError(name, f"no such file: {name!r}")
    if error.errno in FULL:
        return StoreFullError(f"nothing was stored: there is no room for {name!r}: {error.strerror}")
    if error.errno in _NEVER:
        return StoreFormatError(f"path must be a file that can be written to: {error}")
    return StoreUnavailableError(f"{name!r} cannot be reached just now: {error.strerror}")


def _file_system(folder: Path) -> str:
    """The kind of file system where the platform says it, else nothing."""
    table = Path("/proc/self/mounts")
    if not sys.platform.startswith("linux") or not table.exists():
        return ""
    where, best, found = str(folder.resolve()), "", ""
    for line in table.read_text(errors="replace").splitlines():
        _, mount, kind = line.split()[:3]
        mount = mount.replace("\\040", " ")
        if (where + "/").startswith(mount.rstrip("/") + "/") and len(mount) >= len(best):
            best, found = mount, kind
    return found
