"""`scripts/cluster`: a Cluster in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal

from tests.servers.cluster import Cluster


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/cluster", description="A Cluster on 127.0.0.1, until Ctrl-C.")
    parser.add_argument("--masters", type=int, default=3, help="at least 3 can choose among replicas (default: 3)")
    parser.add_argument("--replicas", type=int, default=0, help="of each master (default: 0)")
    parser.add_argument("--port", type=int, default=0, help="of the first node, the others follow (default: free ones)")
    parser.add_argument("--server", help="path of a redis-server or valkey-server (default: the best there is)")
    given = parser.parse_args()
    count = given.masters * (1 + given.replicas)
    ports = range(given.port, given.port + count) if given.port else ()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Cluster.start(given.server, masters=given.masters, replicas=given.replicas, ports=ports) as cluster:
            _tell(cluster, given.masters)
            signal.pause()
    except KeyboardInterrupt:
        print()


def _tell(cluster: Cluster, masters: int) -> None:
    for number, node in enumerate(cluster.nodes):
        role = "master" if number < masters else "replica"
        print(f"{role}  127.0.0.1:{node.port}  process {node.pid}")
    print(
        f"""
{cluster.url}

Try it in another terminal:
  export DURASTREAM_REDIS_URL={cluster.url}
  durastream worker workers.quickstart:app &
  durastream start hello --input '"world"' --wait
  durastream top
  redis-cli -c -p {cluster.nodes[0].port} cluster slots
  kill -9 {cluster.nodes[0].pid}    # what a crash of the first node does

Ctrl-C ends it and removes its data.""",
        flush=True,
    )


if __name__ == "__main__":
    main()
