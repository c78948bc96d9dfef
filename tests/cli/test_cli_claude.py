"""claude: a server found or started, shared and ended; what Claude Code is given. A small program stands for it."""

import fcntl
import http.server
import json
import os
import pathlib
import pty
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Says what it was given and whether the server answers; with FAKE_WAIT it runs until that file is there, or a signal comes.
FAKE = """#!{python}
import json, os, signal, sys, time, urllib.request
seen = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda n, _: seen.append(n))
url = os.environ["ANTHROPIC_BASE_URL"]
ask = urllib.request.Request(url + "/v1/models", headers={{"x-api-key": os.environ["ANTHROPIC_API_KEY"]}})
def serves():
    return urllib.request.urlopen(ask, timeout=10).status == 200
said = {{"args": sys.argv[1:], "env": dict(os.environ), "group": os.getpgid(0), "serves": serves(), "pid": os.getpid()}}
if wait := os.environ.get("FAKE_WAIT"):
    open(wait + ".pid", "w").write(str(os.getpid()))
    end = time.monotonic() + 60
    while not os.path.exists(wait) and time.monotonic() < end:
        if seen and seen[-1] != signal.SIGINT or len(seen) > 1:
            break
        time.sleep(0.01)
    if not os.environ.get("FAKE_NO_SERVER"):
        said["serves"] = serves()
elif not sys.stdin.isatty():
    said["stdin"] = sys.stdin.read()
said["signals"] = seen
print(json.dumps(said), flush=True)
if os.environ.get("FAKE_DIE"):
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(7)
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def health(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as r:
            return json.load(r)["status"]
    except OSError:
        return None


def wait_until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def fake(tmp_path):
    path = tmp_path / "bin" / "claude"
    path.parent.mkdir()
    path.write_text(FAKE.format(python=sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def environment(fake, default_model, tmp_path):
    """What `pensieve claude` is started with, and a port that nobody has yet."""
    env = {"PATH": f"{fake.parent}:{os.environ['PATH']}", "HOME": str(tmp_path / "home"), "MODEL_PATH": default_model,
           "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_DATA_HOME": str(tmp_path / "data"), "MAX_CONTEXT_LENGTH": "2048",
           "PENSIEVE_PORT": str(free_port())}
    (tmp_path / "home").mkdir()
    return env


@pytest.fixture
def port(environment):
    return int(environment["PENSIEVE_PORT"])


@pytest.fixture
def begin(pensieve, environment, tmp_path):
    """begin(*words, env={}): a running `pensieve claude`, with pipes."""
    running = []

    def call(*words, env=None, **more):
        p = subprocess.Popen([pensieve, "claude", *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, cwd=tmp_path, env={**environment, **(env or {})}, **more)
        running.append(p)
        return p

    yield call
    for p in running:
        if p.poll() is None:
            p.terminate()
            p.communicate(timeout=60)


@pytest.fixture
def claude(begin):
    """claude(*words, env={}, input=b""): the finished process; `said` is what the fake Claude Code printed."""

    def call(*words, env=None, input=b""):
        return end(begin(*words, env=env), input)

    return call


def end(p, input=b""):
    out, err = p.communicate(input, timeout=120)
    r = subprocess.CompletedProcess(p.args, p.returncode, out, err.decode())
    r.said = json.loads(out) if out else None
    return r


@pytest.fixture
def hold(begin, tmp_path):
    """hold(name, *words): a running `pensieve claude` whose fake is there, and a function that lets it end."""

    def call(name, *words, env=None, ready=True):
        file = tmp_path / name
        p = begin(*words, env={"FAKE_WAIT": str(file), **(env or {})})

        def let_go():
            file.write_text("")
            return end(p)

        p.fake_pid = lambda: int(pathlib.Path(f"{file}.pid").read_text() or 0)
        if ready:
            wait_until(lambda: pathlib.Path(f"{file}.pid").exists() and p.fake_pid())
        return p, let_go

    return call


# --- a server of its own ----------------------------------------------------------------------------------------------


def test_starts_a_server_and_ends_it(claude, port, tmp_path):
    r = claude("-p", "Hi")
    assert r.returncode == 7, r.stderr
    assert r.said["serves"] and r.said["args"] == ["-p", "Hi"]
    assert health(port) is None
    log = tmp_path / "state" / "pensieve" / "serve.log"
    assert f"started a server on http://127.0.0.1:{port}" in r.stderr and str(log) in r.stderr
    assert "stopping" in log.read_text() and stat.S_IMODE(log.stat().st_mode) == 0o600
    # Once more, in the same log.
    assert claude().returncode == 7
    assert log.read_text().count(f"listening on http://127.0.0.1:{port}") == 2


def test_a_server_that_ends_meanwhile_is_spoken_of(hold, port, tmp_path):
    _, let_go = hold("a", env={"FAKE_NO_SERVER": "1"})
    os.kill(int((tmp_path / f"state/pensieve/claude-127.0.0.1-{port}.server").read_text()), signal.SIGKILL)
    wait_until(lambda: health(port) is None)
    r = let_go()
    assert r.returncode == 7 and "ended before Claude Code did" in r.stderr and "serve.log" in r.stderr


def test_the_log_has_a_place_without_xdg(claude, tmp_path):
    r = claude(env={"XDG_STATE_HOME": ""})
    assert r.returncode == 7 and (tmp_path / "home/.local/state/pensieve/serve.log").exists()


def test_a_server_that_does_not_start(claude, port, tmp_path):
    r = claude("--model", "no-such-model")
    assert r.returncode == 3 and r.said is None
    assert "there is no model no-such-model" in r.stderr and "exit code 3" in r.stderr
    assert str(tmp_path / "state/pensieve/serve.log") in r.stderr
    r = claude("--ctx=8192", env={"GPU_MEMORY_LIMIT": "300M"})
    assert r.returncode == 4 and "8192" in r.stderr and "no-such-model" not in r.stderr
    assert health(port) is None


def test_flags_reach_the_server(claude):
    r = claude("--ctx", "512", "--alias=one", "--strict-model", "--", "--ctx", "9")
    assert r.returncode == 7 and r.said["args"] == ["--ctx", "9"]
    assert r.said["env"]["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "512"
    assert "512 tokens of context are too few" in r.stderr
    assert "too few" not in claude("--ctx", "512", "--", "--bare").stderr


# --- a server that runs -----------------------------------------------------------------------------------------------


def test_uses_the_server_that_runs(start, claude, port, default_model):
    server, _ = start("--model", default_model, "--port", port, "--ctx", "1024")
    r = claude("--kv", "int8")
    assert r.returncode == 7 and r.said["serves"] and "started" not in r.stderr
    assert f"a server runs on http://127.0.0.1:{port}" in r.stderr and "--kv has no effect" in r.stderr
    assert r.said["env"]["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "1024"
    assert server.poll() is None and health(port) == "ok"


def test_keys(start, claude, port, default_model, tmp_path):
    (tmp_path / "keys").write_text("laptop k-first\nother k-second\n")
    (tmp_path / "keys").chmod(0o600)
    start("--model", default_model, "--port", port, "--api-key-file", tmp_path / "keys")
    r = claude("--api-key-file", "keys")
    assert r.returncode == 7 and r.said["env"]["ANTHROPIC_API_KEY"] == "k-first"
    r = claude(env={"PENSIEVE_API_KEY": "k-second"})
    assert r.returncode == 7 and r.said["env"]["ANTHROPIC_API_KEY"] == "k-second"
    r = claude()
    assert r.returncode == 2 and "asks for an API key" in r.stderr and "PENSIEVE_API_KEY" in r.stderr
    r = claude(env={"PENSIEVE_API_KEY": "wrong"})
    assert r.returncode == 2 and "another one" in r.stderr and "wrong" not in r.stderr


def test_keys_of_a_server_of_its_own(claude, port):
    r = claude(env={"PENSIEVE_API_KEY": "s3cret"})
    assert r.returncode == 7 and r.said["env"]["ANTHROPIC_API_KEY"] == "s3cret" and r.said["serves"]


def test_a_server_that_is_ending_is_waited_for(start, claude, port, default_model):
    server, _ = start("--model", default_model, "--port", port)
    body = {"model": "m", "max_tokens": 60, "stream": True, "messages": [{"role": "user", "content": "Count to 100."}]}
    ask = urllib.request.Request(f"http://127.0.0.1:{port}/v1/messages", json.dumps(body).encode(),
                                 {"content-type": "application/json"})
    with urllib.request.urlopen(ask, timeout=60) as answer:
        answer.readline()
        server.send_signal(signal.SIGTERM)
        reader = threading.Thread(target=answer.read)
        reader.start()
        r = claude()
        reader.join()
    assert r.returncode == 7 and "started a server" in r.stderr and server.wait(20) == 0


# --- other programs on the port ---------------------------------------------------------------------------------------


class Other(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status":"ok"}')

    def log_message(self, *_):
        pass


def test_another_program_has_the_port(claude):
    with http.server.HTTPServer(("127.0.0.1", 0), Other) as s:
        threading.Thread(target=s.serve_forever).start()
        r = claude("--port", s.server_port)
        s.shutdown()
    assert r.returncode == 5 and r.said is None
    assert f"127.0.0.1:{s.server_port} is not a Pensieve server" in r.stderr and "--port" in r.stderr


def test_a_program_that_does_not_answer_has_the_port(claude, taken_port):
    r = claude("--port", taken_port)
    assert r.returncode == 5 and "is not a Pensieve server" in r.stderr


def test_a_port_that_can_not_be_had(claude):
    with socket.socket() as s:  # nobody answers there, and nobody else may listen
        s.bind(("127.0.0.1", 0))
        r = claude("--port", s.getsockname()[1])
    assert r.returncode == 5 and "in use by another program" in r.stderr and "exit code 5" in r.stderr


@pytest.mark.parametrize("words,env,said", [
    (("--unix", "s"), {}, "--unix"), ((), {"PENSIEVE_TLS_CERT": "c"}, "PENSIEVE_TLS_CERT"), (("--port", "0"), {}, "from 1"),
    (("--ctx",), {}, "--ctx N"), (("--host", "no such host"), {}, "--host"), (("--api-key-file", "gone"), {}, "gone")])
def test_wrong_usage(claude, words, env, said):
    r = claude(*words, env=env)
    assert r.returncode == 2 and said in r.stderr and r.said is None


# --- Claude Code ------------------------------------------------------------------------------------------------------


def test_claude_is_not_there(claude, fake, port):
    fake.unlink()
    r = claude(env={"PATH": "/nowhere"})
    assert r.returncode == 1 and r.stderr.count("\n") == 1
    assert "npm install -g @anthropic-ai/claude-code" in r.stderr and "--claude" in r.stderr
    r = claude("--claude", "./gone")
    assert r.returncode == 1 and "./gone" in r.stderr
    (fake.parent / "claude").write_text("not a program\n")
    fake.chmod(0o755)
    assert claude("--claude", str(fake)).returncode == 1  # and the server that was started is gone
    assert health(port) is None


def test_another_claude(claude, fake):
    fake.rename(fake.parent / "other")
    assert claude("--claude", "bin/other").returncode == 7
    assert claude("--claude=other", "x").said["args"] == ["x"]
    assert claude(env={"PENSIEVE_CLAUDE": str(fake.parent / "other")}).returncode == 7


def test_exit_codes_and_stdin(start, claude, port, default_model):
    start("--model", default_model, "--port", port)
    r = claude("-p", input="text \N{snowman}\n".encode())
    assert r.returncode == 7 and r.said["stdin"] == "text \N{snowman}\n"
    assert claude(env={"FAKE_DIE": "1"}).returncode == 128 + signal.SIGKILL


def test_arguments(start, claude, port, default_model):
    start("--model", default_model, "--port", port)
    for words, args in [((), []), (("--",), []), (("Hi",), ["Hi"]), (("--", "--help"), ["--help"]),
                        (("-c", "--model", "x", "--help"), ["-c", "--model", "x", "--help"]),
                        (("--log-level", "debug", "--bare", "--port", "1"), ["--bare", "--port", "1"]),
                        (("--api-key", "x"), ["--api-key", "x"]), (("a b", "", "--", "-p"), ["a b", "", "--", "-p"])]:
        r = claude(*words)
        assert r.returncode == 7 and r.said["args"] == args, (words, r.stderr)


def test_help(run):
    r = run("claude", "--help")
    text = r.stdout.decode()
    assert r.returncode == 0 and run("claude", "--port", "1", "-h").stdout == r.stdout
    assert text.startswith("usage: pensieve claude [FLAGS] [--] [ARGS...]\n") and "example: pensieve claude" in text and "PENSIEVE_CLAUDE" in text and "MODEL_PATH" in text
    assert "--tls" not in text and "--unix" not in text


def test_environment(start, claude, port, default_model):
    start("--model", default_model, "--port", port)
    given = {"ANTHROPIC_AUTH_TOKEN": "t", "ANTHROPIC_API_KEY": "sk-cloud", "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "77",
             "HTTPS_PROXY": "http://proxy:1"}
    env = claude(env=given).said["env"]
    name = "SmolLM2-135M-Instruct.Q4_1"
    assert {k: env.get(k) for k in given} == {**given, "ANTHROPIC_AUTH_TOKEN": None, "ANTHROPIC_API_KEY": "local-development"}
    for key, value in {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_MODEL": name,
                       "ANTHROPIC_DEFAULT_HAIKU_MODEL": name, "ANTHROPIC_DEFAULT_SONNET_MODEL": name,
                       "ANTHROPIC_DEFAULT_OPUS_MODEL": name, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                       "CLAUDE_CODE_ATTRIBUTION_HEADER": "0", "CLAUDE_STREAM_IDLE_TIMEOUT_MS": "1800000",
                       "API_TIMEOUT_MS": "3600000", "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "8192", "NO_PROXY": "127.0.0.1"}.items():
        assert env[key] == value, key
    assert claude().said["env"]["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "1024"


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_are_passed_on(hold, port, number):
    p, _ = hold("a")
    p.send_signal(number)
    r = end(p)
    assert r.returncode == 7 and r.said["signals"] == [number] and r.said["serves"]
    assert health(port) is None


def test_an_interrupt_is_claudes(hold, port):
    p, let_go = hold("a")
    p.send_signal(signal.SIGINT)  # as from a terminal, but only to us
    time.sleep(0.2)
    assert p.poll() is None and health(port) == "ok"
    r = let_go()
    assert r.returncode == 7 and r.said["signals"] == [] and r.said["group"] == os.getpgid(0)


def test_ctrl_c_at_a_terminal(pensieve, environment, port, tmp_path):
    try:
        pid, fd = pty.fork()
    except OSError as e:
        pytest.skip(f"this machine gives no pseudo-terminal: {e}")
    if pid == 0:
        os.execve(pensieve, [pensieve, "claude", "--log-level", "debug"], {**environment, "FAKE_WAIT": str(tmp_path / "a")})
    wait_until(lambda: (tmp_path / "a.pid").exists())
    os.write(fd, b"\x03")
    time.sleep(0.2)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0) and health(port) == "ok"
    (tmp_path / "a").write_text("")
    seen = b""
    while b'"signals": [2]' not in seen:
        seen += os.read(fd, 65536)
    assert b'"serves": true' in seen
    os.waitpid(pid, 0)
    os.close(fd)
    assert health(port) is None


def test_a_signal_while_another_one_starts_the_server(begin, port, tmp_path):
    folder = tmp_path / "state" / "pensieve"
    folder.mkdir(parents=True)
    with open(folder / f"claude-127.0.0.1-{port}.start", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        p = begin()
        assert b"waiting for another `pensieve claude`" in p.stderr.readline()
        p.send_signal(signal.SIGINT)
        assert p.wait(20) == 130


def test_a_stop_stops_both(hold, port):
    p, let_go = hold("a")
    os.kill(p.fake_pid(), signal.SIGSTOP)
    state = lambda pid: pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    wait_until(lambda: state(p.pid) == "T")
    p.send_signal(signal.SIGCONT)
    wait_until(lambda: state(p.pid) == "S" and state(p.fake_pid()) != "T")
    assert let_go().returncode == 7


# --- several at once --------------------------------------------------------------------------------------------------


def test_the_last_one_ends_the_server(hold, claude, port):
    _, first = hold("a")
    _, second = hold("b")
    assert claude().returncode == 7 and health(port) == "ok"
    r = first()
    assert r.returncode == 7 and "goes on" in r.stderr and health(port) == "ok"
    _, third = hold("c")
    r = second()
    assert r.said["serves"] and "started" not in r.stderr and health(port) == "ok"
    assert third().said["serves"] and health(port) is None


def test_a_start_at_the_same_time(hold, port, tmp_path):
    several = [hold(f"s{i}", ready=False) for i in range(4)]
    for i, (p, _) in enumerate(several):
        wait_until(lambda: (tmp_path / f"s{i}.pid").exists())
    results = [let_go() for _, let_go in several]
    assert all(r.returncode == 7 and r.said["serves"] for r in results)
    assert sum("started a server" in r.stderr for r in results) == 1
    assert health(port) is None


def test_one_that_was_killed_loses_nothing(hold, claude, port):
    p, _ = hold("a")
    p.kill()
    os.kill(p.fake_pid(), signal.SIGKILL)
    p.wait()
    assert health(port) == "ok"  # nobody was there to end it
    r = claude()
    assert r.returncode == 7 and "started" not in r.stderr and health(port) is None


# --- the real one -----------------------------------------------------------------------------------------------------


def test_the_real_claude_code(begin, port):
    """The model talks to its limit, which the client calls an error, and it is asked to go on again and again: an answer is
    what counts."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("npm and node are not installed: Claude Code is not tested")
    r = subprocess.run([ROOT / "tools" / "node-clients"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    real = pathlib.Path(r.stdout.strip()) / "node_modules" / ".bin" / "claude"
    p = begin("--claude", real, "--ctx", "8192", "--activations", "int8", "--bare", "-p", "Say hello.",
              env={"CLAUDE_CODE_MAX_RETRIES": "0", "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "60"})
    out, err = p.communicate(timeout=300)
    assert out.strip() and "started a server" in err.decode(), err
    assert p.returncode == 0 or b"output token maximum" in out, out
    assert health(port) is None
