"""Ourselves: `pensieve bench --stdin` in the process, `pensieve serve` over HTTP."""

from peer import Missing, Peer


class Pensieve(Peer):
    name = "pensieve"
    has_server = True

    def takes(self, model):
        pass

    def is_set_up(self):
        return self.settings.binary.exists()

    def set_up(self):
        if not self.is_set_up():
            raise Missing(f"{self.settings.binary} is not there: run `make` first")

    def common(self, model):
        s = self.settings
        return ["--model", str(model), "--threads", str(s.threads), *(["--isa", s.isa] if s.isa else [])]

    def command(self, model):
        s = self.settings
        return [str(s.binary), "bench", "--stdin", *self.common(model), "--prompt", str(max(s.prompts)), "--decode",
                str(s.decode), "--depth", str(max(s.depths)), "--streams", str(max(s.streams))]

    def server(self, model, port):
        return [str(self.settings.binary), "serve", *self.common(model), "--port", str(port), "--max-requests",
                str(max(self.settings.streams)), "--log-level", "error"]

    def kv_note(self):
        return "f16"
