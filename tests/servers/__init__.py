"""Real servers in numbers, on 127.0.0.1: a Cluster, a primary with its Sentinels. They end with the process that started them."""
