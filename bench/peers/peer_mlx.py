"""mlx-lm on MLX's CPU backend, for MLX folders."""

from peer import Missing, Peer


class Mlx(Peer):
    name = "mlx"
    packages = ("mlx==0.32.4", "mlx-cpu==0.32.4", "mlx-lm==0.32.2")

    def takes(self, model):
        if not model.is_dir():
            raise Missing("reads MLX folders only")

    def isa_note(self):
        return "its instruction set can't be chosen" if self.settings.isa else None

    def kv_note(self):
        return "the model's type"
