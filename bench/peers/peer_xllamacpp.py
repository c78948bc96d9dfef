"""xllamacpp: llama.cpp as its packagers build it, for AVX2 whatever the machine has."""

from peer import HERE, Peer


class XLlamaCpp(Peer):
    name = "xllamacpp"
    packages = ("xllamacpp==2026.10.11549",)
    has_server = True

    def isa_note(self):
        return None if self.settings.isa == "avx2" else "built for AVX2"

    def kv_note(self):
        return "f16"

    def server(self, model, port):
        return [str(self.python()), str(HERE / "drive_xllamacpp.py"), "serve", *self.driver_words(model), str(port)]
