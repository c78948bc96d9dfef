"""Measures mlx-lm on MLX's CPU backend in its own process. MLX has no setting for threads: the process is bound to as many
cores."""

import os
import time

import drive

STREAM_PROMPT = 16
CHUNK = 512  # prompt tokens a step


class Driver:
    def __init__(self, words):
        import mlx.core as mx
        import mlx_lm
        from mlx_lm.models import cache

        mx.set_default_device(mx.cpu)
        self.mx, self.cache, self.words, self.kept = mx, cache, words, {}
        self.model, _ = mlx_lm.load(words.model)
        words.n_vocab = min(words.n_vocab, self.model.args.vocab_size)
        self.about = f"mlx {mx.__version__}, mlx-lm {mlx_lm.__version__}, on the CPU"

    def choose(self, logits, temperature):
        last = logits[:, -1, :]
        return self.mx.argmax(last, -1) if not temperature else self.mx.random.categorical(last / temperature)

    def prompt(self, rows):
        """(its cache, the tokens that follow) of a prompt a row, all equally long."""
        kept = self.cache.make_prompt_cache(self.model)
        ids = self.mx.array(rows)
        for at in range(0, ids.shape[1], CHUNK):
            logits = self.model(ids[:, at:at + CHUNK], cache=kept)
            self.mx.eval(logits[:, -1:, :])
        return kept, self.choose(logits, 0)

    def go_on(self, kept, tokens, n, temperature):
        """Seconds for n more tokens of each row."""
        self.mx.eval(tokens)
        begin = time.perf_counter()
        for _ in range(n):
            tokens = self.choose(self.model(tokens[:, None], cache=kept), temperature)
            self.mx.eval(tokens)
        return time.perf_counter() - begin

    def prefill(self, n):
        rows = [self.words.tokens(n)]
        begin = time.perf_counter()
        _, tokens = self.prompt(rows)
        self.mx.eval(tokens)
        return n / (time.perf_counter() - begin)

    def decode(self, n, depth, temperature):
        if depth not in self.kept:
            self.kept[depth] = self.prompt([self.words.tokens(depth, seed=depth)])
        kept, tokens = self.kept[depth]
        seconds = self.go_on(kept, tokens, n, temperature)
        self.cache.trim_prompt_cache(kept, n)
        return n / seconds

    def streams_together(self, k, n):
        kept, tokens = self.prompt([self.words.tokens(STREAM_PROMPT) for _ in range(k)])
        return k * n / self.go_on(kept, tokens, n, 0)


def main():
    out, words = drive.own_stdout(), drive.Words()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:words.threads])
    d = Driver(words)
    drive.answer(out, d.about, d)


if __name__ == "__main__":
    main()
