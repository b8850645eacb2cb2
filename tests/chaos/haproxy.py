"""HAProxy in front of the services and of PostgreSQL. Standard library only."""
import csv
import io
import socket
import subprocess

CONFIGURATION = """
global
  maxconn 2000
  stats socket {folder}/haproxy.sock level user
defaults
  timeout connect 1s
  timeout client 30s
  timeout server 20s
  timeout queue 5s
  timeout check 2s
  retries 2
  option redispatch 1
  default-server inter 500 fastinter 250 fall 2 rise 1

# The primary, whichever it is: a check asks each server, as one asks Patroni. Whoever was the primary loses its connections.
listen postgres
  mode tcp
  timeout client 1h
  timeout server 1h
  bind 127.0.0.1:{postgres}
  option httpchk GET /primary
  http-check expect status 200
  default-server inter 500 fall 3 rise 1 on-marked-down shutdown-sessions
{servers}

# Searches are tried again on another service when one breaks off or is not ready. Writes are tried again only when no
# connection came about: nothing of them was sent.
frontend shop
  mode http
  bind 127.0.0.1:{public}
  acl writes method PUT PATCH DELETE
  acl writes path /products:bulk
  use_backend writes if writes
  default_backend searches
# The same without trying again, to see what that is worth.
frontend plain
  mode http
  bind 127.0.0.1:{plain}
  default_backend plain

# Services that say that they are ready; when none does, those that live: what one answers then is its own affair.
backend searches
  mode http
  option httpchk GET /readyz
  http-check expect status 200
  retry-on conn-failure empty-response junk-response 503
  option allbackups
  http-response set-header x-replica %s
{replicas}
{living}
backend writes
  mode http
  retry-on conn-failure
  option allbackups
  http-response set-header x-replica %s
{tracked}
{living}
backend plain
  mode http
  retries 0
  no option redispatch
  option allbackups
  http-response set-header x-replica %s
{tracked}
{living}
backend alive
  mode http
  option httpchk GET /livez
{replicas}
"""


class HAProxy:
    def __init__(self, folder, ports, postgres, replicas):
        """`ports`: of `public`, `plain` and `postgres`; `postgres`: name, port and port of the check; `replicas`: name and port."""
        self.file, self.socket = folder / "haproxy.cfg", folder / "haproxy.sock"
        servers = [f"  server {name} 127.0.0.1:{port} check port {check}" for name, port, check in postgres]
        lines = {"replicas": "check", "tracked": "track searches/{0}"}
        lines = {kind: "\n".join(f"  server {name} 127.0.0.1:{port} {how.format(name)}" for name, port in replicas)
                 for kind, how in lines.items()}
        living = "\n".join(f"  server {name}-alive 127.0.0.1:{port} backup track alive/{name}" for name, port in replicas)
        self.file.write_text(CONFIGURATION.format(folder=folder, servers="\n".join(servers), living=living, **lines, **ports))
        self.log = (folder / "haproxy.log").open("ab")
        self.process = subprocess.Popen(["haproxy", "-db", "-f", self.file], stdout=self.log, stderr=self.log)

    def counts(self):
        """Requests that were tried again, and on another server, by backend."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(b"show stat\n")
            text = b""
            while some := connection.recv(1 << 16):
                text += some
        rows = csv.DictReader(io.StringIO(text.decode().lstrip("# ")))
        return {row["pxname"]: {"sessions": int(row["stot"]), "tried again": int(row["wretr"] or 0), "elsewhere": int(row["wredis"] or 0)}
                for row in rows if row["svname"] == "BACKEND" and row["pxname"] in ("searches", "writes", "plain")}

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
