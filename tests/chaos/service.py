"""The programs of Aglet, started, watched, killed and asked. Standard library only."""
import http.client
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Aglet:
    """The program with the settings that all of its processes have. One thread each: they stand for machines and share the
    cores of one."""

    def __init__(self, program, model, runtime):
        self.program = pathlib.Path(program).resolve()
        self.model, self.runtime = pathlib.Path(model).resolve(), pathlib.Path(runtime).resolve()
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("AGLET_")}
        self.environment["RUST_BACKTRACE"] = "0"

    def command(self, name, data, database, *more):
        return [str(self.program), name, "--data", str(data), "--database", database, "--model", str(self.model),
                "--runtime", str(self.runtime), *map(str, more)]

    def run(self, command, allowed=(0,)):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, cwd=ROOT)
        if done.returncode not in allowed:
            raise RuntimeError(f"{' '.join(command[:2])}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def key(self, data, database, scope):
        made = self.run([str(self.program), "key", "--data", str(data), "--database", database, "create", "--name", f"chaos {scope}",
                         "--scope", scope])
        return made.stdout.split()[-1]


def ask(port, method, path, key=None, body=None, kind="application/json", timeout=30):
    """Status, headers and body; status 0 and the reason when no answer came, or none that is whole."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"connection": "close"}
    if body is not None:
        headers["content-type"] = kind
    if key:
        headers["authorization"] = f"Bearer {key}"
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, {}, f"{type(error).__name__}: {error}".encode()
    finally:
        connection.close()


def ready(port):
    status, _, body = ask(port, "GET", "/readyz", timeout=3)
    try:
        return status == 200, json.loads(body)
    except ValueError:
        return False, {}


class Replica(threading.Thread):
    """A service that is started again whenever it ends, a second later."""

    def __init__(self, aglet, name, port, data, database, log, note):
        super().__init__(daemon=True)
        self.name, self.port, self.log, self.note = name, port, log, note
        self.command = aglet.command("serve", data, database, "--listen", f"127.0.0.1:{port}", "--session-threads", 1)
        self.data, self.environment = data, aglet.environment
        self.lock, self.ending, self.killed = threading.Lock(), threading.Event(), False
        self.exits = []
        self.process = None

    def begin(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log, cwd=ROOT)
        return self.process.pid

    def run(self):
        self.begin()
        while not self.ending.wait(0.1):
            code = self.process.poll()
            if code is None:
                continue
            with self.lock:
                killed, self.killed = self.killed, False
            if not killed:
                last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                self.exits.append({"code": code, "said": "".join(last)[-300:]})
                self.note("exit", f"{self.name} ended by itself ({code})")
            if self.ending.wait(1):
                return
            self.begin()

    def kill(self):
        """As a machine that fails; whether it ran."""
        with self.lock:
            if self.process.poll() is not None:
                return False
            self.killed = True
            self.process.send_signal(signal.SIGKILL)
        return True

    def end(self):
        """As whoever stops a service does; its exit code."""
        self.ending.set()
        self.join()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode if self.process else None
