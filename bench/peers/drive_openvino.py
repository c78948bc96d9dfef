"""Measures OpenVINO GenAI in its own process: its pipeline of continuous batching, which has a prefix cache."""

import os
import time

import drive

STREAM_PROMPT = 16
CACHE_GB = 2


class Driver:
    def __init__(self, words):
        import numpy
        import openvino
        import openvino_genai

        self.np, self.ov, self.genai, self.words = numpy, openvino, openvino_genai, words
        s = openvino_genai.SchedulerConfig()
        s.enable_prefix_caching = True
        s.cache_size = CACHE_GB
        s.max_num_seqs = words.streams
        s.max_num_batched_tokens = 16384  # a prompt is not cut
        settings = {"scheduler_config": s, "INFERENCE_NUM_THREADS": words.threads}
        if os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2":
            # It asks for what the machine has, and fails: kernels in bf16, and int8 activations, which need VNNI.
            settings |= {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
        self.pipe = openvino_genai.LLMPipeline(words.model, "CPU", **settings)

    def about(self):
        core = self.ov.Core()
        return f"{self.ov.__version__}: {', '.join(core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'))}"

    def ask(self, rows, n, temperature=0.0):
        """(seconds, performance metrics) of an answer of n tokens to each row of tokens."""
        c = self.genai.GenerationConfig()
        c.max_new_tokens, c.ignore_eos, c.do_sample = n, True, temperature > 0
        if temperature > 0:
            c.temperature = temperature
        ids = self.np.array(rows, dtype=self.np.int64)
        x = self.genai.TokenizedInputs(self.ov.Tensor(ids), self.ov.Tensor(self.np.ones_like(ids)))
        begin = time.perf_counter()
        r = self.pipe.generate(x, c)
        return time.perf_counter() - begin, r.perf_metrics

    def prefill(self, n):
        return n / (self.ask([self.words.tokens(n)], 1)[1].get_ttft().mean / 1e3)

    def decode(self, n, depth, temperature):
        return 1e3 / self.ask([self.words.tokens(depth, seed=depth)], n + 1, temperature)[1].get_tpot().mean

    def streams_together(self, k, n):
        seconds, m = self.ask([self.words.tokens(STREAM_PROMPT) for _ in range(k)], n + 1)
        return k * n / (seconds - m.get_ttft().mean / 1e3)


def main():
    out, words = drive.own_stdout(), drive.Words()
    d = Driver(words)
    drive.answer(out, d.about(), d)


if __name__ == "__main__":
    main()
