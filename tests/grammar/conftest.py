import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(scope="session")
def grammar(default_model):
    """Ask the grammar of the tests' model: grammar(schema=..., texts=[...]) -> its answer."""
    probe = os.environ.get("PN_GRAMMAR_PROBE") or ROOT / "build/release/tests/grammar/grammar_probe"
    p = subprocess.Popen([probe, default_model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(**question):
        p.stdin.write(json.dumps(question) + "\n")
        p.stdin.flush()
        line = p.stdout.readline()
        assert line, f"the probe ended on {question}"
        return json.loads(line)

    yield ask
    p.stdin.close()
    assert p.wait(timeout=20) == 0
