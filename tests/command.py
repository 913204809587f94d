"""The command line, run as tests need it."""

import json
import subprocess
import sys

from click.testing import CliRunner

from ringward.cli.group import group


def run(*args, stdin=None, code=0, silent=False):
    """Run the command line, check its exit code, and return what it printed; `silent` where a code says all."""
    result = CliRunner().invoke(group, [str(arg) for arg in args], input=stdin)
    trouble = result.exception is not None and not isinstance(result.exception, SystemExit)
    assert not trouble, result.exc_info
    assert result.exit_code == code, result.output
    assert (result.stderr == "") == (code == 0 or silent)
    return result.stdout


def fails(*args, stdin=None, code=1):
    """Run the command line where it must fail, and return the last line on stderr; with code 1 it is the only one."""
    result = CliRunner().invoke(group, [str(arg) for arg in args], input=stdin)
    assert isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code == code, result.output
    lines = result.stderr.splitlines()
    assert code == 2 or len(lines) == 1
    assert lines[-1].startswith("Error: ")
    return lines[-1].removeprefix("Error: ")


def run_json(*args, **options):
    """Run a command with --json and return its object."""
    text = run(*args, "--json", **options)
    assert text.count("\n") == 1
    return json.loads(text)


def process(*args, **options):
    """Run `python -m ringward` for real."""
    command = [sys.executable, "-m", "ringward", *map(str, args)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **options)
