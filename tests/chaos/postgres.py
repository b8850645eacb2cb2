"""Servers of PostgreSQL for the scripts beside it, and a client that asks them. Standard library only.

The programs are those that `make postgres` has fetched. PostgreSQL refuses to run as root: when the script is root's, its
servers are nobody's."""
import http.server
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / ".postgres/package/pginstall/bin"
USER = "postgres"


class Refused(Exception):
    """The server said no; the text is its own."""


class Session:
    """One connection, without a password (protocol 3.0, simple queries)."""

    def __init__(self, port, database="postgres", timeout=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        try:
            pairs = f"user\0{USER}\0database\0{database}\0\0".encode()
            self.socket.sendall(struct.pack("!ii", len(pairs) + 8, 196608) + pairs)
            self._answer()
        except BaseException:
            self.socket.close()
            raise

    def ask(self, sql):
        """The rows, as tuples of text or None."""
        text = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(text) + 4) + text)
        return self._answer()

    def close(self):
        self.socket.close()

    def _take(self, size):
        data = bytearray()
        while len(data) < size:
            some = self.socket.recv(min(size - len(data), 1 << 16))
            if not some:
                raise ConnectionError("the server closed the connection")
            data += some
        return bytes(data)

    def _answer(self):
        rows, refused = [], None
        while True:
            kind, size = struct.unpack("!ci", self._take(5))
            body = self._take(size - 4)
            if kind == b"E":
                fields = [part.decode(errors="replace") for part in body.split(b"\0") if part]
                refused = " ".join(field[1:] for field in fields if field[0] in "CM")
                if any(field in ("SFATAL", "SPANIC") for field in fields):
                    raise Refused(refused)
            elif kind == b"R" and struct.unpack("!i", body[:4])[0] != 0:
                raise Refused("the server asks for a password")
            elif kind == b"D":
                rows.append(self._row(body))
            elif kind == b"Z":
                if refused:
                    raise Refused(refused)
                return rows

    @staticmethod
    def _row(body):
        values, at = [], 2
        for _ in range(struct.unpack("!h", body[:2])[0]):
            size = struct.unpack("!i", body[at:at + 4])[0]
            at += 4
            values.append(None if size < 0 else body[at:at + size].decode())
            at += max(size, 0)
        return tuple(values)


def ask(port, database, sql, timeout=10):
    session = Session(port, database, timeout)
    try:
        return session.ask(sql)
    finally:
        session.close()


def as_owner(command):
    """The command as somebody who may run a server."""
    command = [str(part) for part in command]
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]


def give_away(folder):
    """Makes a folder that the servers may write to."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")


class Server:
    """A server with its data in `folder`, on a port of this machine."""

    def __init__(self, folder, port, **settings):
        self.folder, self.port = folder, port
        self.data, self.log = folder / "data", folder / "log"
        self.settings = {"listen_addresses": "127.0.0.1", "max_connections": 200, **settings}
        give_away(folder)

    def url(self, database):
        return f"postgres://{USER}@127.0.0.1:{self.port}/{database}"

    def run(self, program, *arguments):
        command = as_owner([PROGRAMS / program, *arguments])
        # A server keeps what it inherits, and whoever reads its output would wait for it.
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) \
            if program != "pg_ctl" else subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        if done.returncode:
            raise RuntimeError(f"{program} {arguments}: {done.returncode} {done.stderr or ''} (log: {self.log})")

    def make(self):
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", USER)

    def copy_of(self, primary, name):
        """A standby of it: a base backup, which follows it through a replication slot."""
        source = f"host=127.0.0.1 port={primary.port} user={USER} application_name={name}"
        self.run("pg_basebackup", "-D", self.data, "-d", source, "-R", "-C", "-S", name, "-X", "stream", "-c", "fast")

    def start(self):
        options = " ".join(f"-c {name}={value}" for name, value in self.settings.items())
        options = f"-p {self.port} -k {self.folder} {options}"
        self.run("pg_ctl", "-D", self.data, "-l", self.log, "-o", options, "-t", "120", "-w", "start")

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-t", "120", "-w", "stop")

    def promote(self):
        self.run("pg_ctl", "-D", self.data, "-t", "120", "-w", "promote")

    def pid(self):
        try:
            return int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, IndexError, ValueError):
            return None

    def kill(self):
        """Ends all of its processes at once, as the loss of its machine does."""
        pid = self.pid()
        if pid is None:
            return
        for process in [pid, *children(pid)]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def end(self):
        """Whatever state it is in."""
        if self.pid() is not None:
            try:
                self.stop("immediate")
            except RuntimeError:
                pass

    def is_primary(self, timeout=1):
        try:
            return ask(self.port, "postgres", "SELECT pg_is_in_recovery()", timeout) == [("f",)]
        except (OSError, Refused):
            return False


def children(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


class Check(threading.Thread):
    """Answers a load balancer whether a server is the primary: 200 or 503, as Patroni's REST API does."""

    def __init__(self, server, port):
        super().__init__(daemon=True)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if server.is_primary() else 503)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.served = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)

    def run(self):
        self.served.serve_forever()

    def end(self):
        self.served.shutdown()
        self.served.server_close()


def wait_for(what, seconds, name):
    """Until `what()` is true; how long it took."""
    began = time.monotonic()
    while not what():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{name}: not within {seconds} s")
        time.sleep(0.1)
    return time.monotonic() - began
