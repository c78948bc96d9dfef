"""A short soak: rough clients on a small server; tools/soak for longer ones."""

import pathlib
import subprocess
import sys

SOAK = pathlib.Path(__file__).resolve().parent.parent.parent / "tools" / "soak"


def test_a_short_soak(pensieve, default_model, tmp_path):
    r = subprocess.run([sys.executable, str(SOAK), "--minutes", "0.25", "--requests", "14", "--server", pensieve, "--model",
                        default_model, "--log", str(tmp_path / "log")], capture_output=True, text=True, timeout=600)
    assert r.returncode == 0, r.stdout[-6000:] + r.stderr[-2000:]
