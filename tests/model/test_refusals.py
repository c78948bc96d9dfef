"""What is not read is named, with what to take in its place."""

import json
import subprocess

import gguf
import numpy as np
import pytest

import make_model
from test_model_kinds import write_model


def refusal(pensieve, path):
    run = subprocess.run([pensieve, "logits", "--model", path, "--ids", "1", "--out", "/dev/null"], capture_output=True,
                         text=True, timeout=60)
    assert run.returncode != 0 and run.stderr.count("\n") == 1
    return run.stderr


@pytest.mark.parametrize("kind", ["IQ1_S", "IQ2_XXS", "IQ3_S", "TQ2_0"])
def test_types_of_gguf_files(pensieve, tmp_path, kind):
    write_model(tmp_path / "model.gguf", [kind])
    said = refusal(pensieve, tmp_path / "model.gguf")
    assert f"token_embd.weight: type {kind} is not supported (supported: F32" in said and "such as Q4_K_M" in said


@pytest.mark.parametrize("arch, kind, words", [("llama", "adapter", "this is an adapter (LoRA), no model"),
                                               ("clip", "mmproj", "the part of a model that sees or hears"),
                                               ("clip", None, "the part of a model that sees or hears")])
def test_files_that_are_no_models(pensieve, tmp_path, arch, kind, words):
    w = gguf.GGUFWriter(tmp_path / "part.gguf", arch)
    if kind:
        w.add_type(kind)
    w.add_tensor("a.weight", np.zeros((2, 4), np.float32))
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file()
    w.close()
    assert words in refusal(pensieve, tmp_path / "part.gguf")


@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes", "fp8", "compressed-tensors", "mxfp4"])
def test_folders_that_others_quantised(pensieve, tmp_path, method):
    path = make_model.make(tmp_path / "model", "llama", "tiny", 0, 0, "bfloat16")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": method}}))
    assert f'quant_method: "{method}" is not supported; take a GGUF file' in refusal(pensieve, path)
