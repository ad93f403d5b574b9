# Three nodes in three failure domains.
servers = {
  "nats-1" = { node = "rack-a-1", address = "10.20.1.11", client_port = 4222, cluster_port = 6222, monitor_port = 8222 }
  "nats-2" = { node = "rack-b-1", address = "10.20.2.11", client_port = 4222, cluster_port = 6222, monitor_port = 8222 }
  "nats-3" = { node = "rack-c-1", address = "10.20.3.11", client_port = 4222, cluster_port = 6222, monitor_port = 8222 }
}

# From the SHA256SUMS of the nats-server release.
nats_server_checksum = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
