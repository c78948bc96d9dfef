"""The agent model: trained by tools/make_agent_model.py, kept in tests/agent_model; its tokenizer comes from the default model."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))


def assemble(folder, default_model):
    """The whole model in a folder."""
    for f in (ROOT / "tests/agent_model").iterdir():
        shutil.copy(f, folder)
    subprocess.run([sys.executable, ROOT / "tools/make_agent_model.py", "--tokenizer-only", "--from", default_model, folder], check=True)
    return folder
