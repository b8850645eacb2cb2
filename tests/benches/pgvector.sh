#!/usr/bin/env bash
# pgvector.sh [ARGUMENT..]: `cargo bench --bench pgvector -- ARGUMENT..` over a server of PostgreSQL of its own, that
# `make postgres` has fetched; its data are gone afterwards. PORT, SHARED_BUFFERS, MAINTENANCE_WORK_MEM and FOLDER say
# where and how it runs.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=$PWD/.postgres/package/pginstall/bin
port=${PORT:-5499}
folder=$(mktemp -d -p "${FOLDER:-/tmp}")
as=()
# It refuses to be root.
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
  chown nobody "$folder"
fi
trap '"${as[@]}" "$programs/pg_ctl" -D "$folder/data" -m immediate stop > /dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
"${as[@]}" "$programs/initdb" -D "$folder/data" -A trust -U postgres --no-sync > /dev/null
cat >> "$folder/data/postgresql.conf" <<CONF
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = '$folder'
shared_buffers = ${SHARED_BUFFERS:-4GB}
maintenance_work_mem = ${MAINTENANCE_WORK_MEM:-3GB}
max_wal_size = 8GB
fsync = off
CONF
"${as[@]}" "$programs/pg_ctl" -D "$folder/data" -l "$folder/log" -w start > /dev/null
cd - > /dev/null
cargo bench --locked --bench pgvector -- --database "postgres://postgres@127.0.0.1:$port/postgres" "$@"
