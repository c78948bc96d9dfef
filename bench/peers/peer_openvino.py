"""OpenVINO GenAI, which reads some GGUF files and makes a graph of its own of them."""

from peer import Peer


class OpenVino(Peer):
    name = "openvino"
    packages = ("openvino-genai==2026.4.1.0", "openvino==2026.4.1", "openvino-tokenizers==2026.4.1.0", "numpy==2.4.6")

    def environment(self):
        held = {"ONEDNN_MAX_CPU_ISA": "AVX2"} if self.settings.isa == "avx2" else {}
        return super().environment() | held

    def isa_note(self):
        if self.settings.isa != "avx2":
            return None
        return "oneDNN held to AVX2, so activations in f32; its attention still takes what the machine has"

    def kv_note(self):
        return "u8"
