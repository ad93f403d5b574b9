# One server of the queue. A cluster is this file run three times, each time
# for another server:
#
#   for s in nats-1 nats-2 nats-3; do
#     nomad job run -var-file nats.vars.hcl -var server=$s nats.nomad.hcl
#   done
#
# They are three jobs, not one of three groups, on purpose: Nomad updates the
# groups of a job at the same time, and two servers away at once stop the
# queue. `nomad job run` returns when the server it replaced has caught up
# (its /healthz), so a loop over them is a rolling update.
#
# Accounts, certificates and keys stand in the Nomad variables
# nomad/jobs/boxfleet-nats-1 and so on; see README.md.

variable "server" {
  type        = string
  description = "which of the servers this job is"
}

variable "servers" {
  type = map(object({
    node         = string # name of the Nomad node that keeps its data
    address      = string # where the others and the clients reach it; its certificate names it
    client_port  = number
    cluster_port = number
    monitor_port = number
  }))
  description = "all servers of the cluster, the same for each of the jobs"
  validation {
    condition     = length(var.servers) == 1 || length(var.servers) == 3 || length(var.servers) == 5
    error_message = "A queue has 1, 3 or 5 servers: an even number survives no more losses than one less."
  }
}

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

variable "driver" {
  type    = string
  default = "exec"
}

variable "user" {
  type    = string
  default = "nobody"
}

variable "uid" {
  type    = number
  default = 65534
}

variable "gid" {
  type    = number
  default = 65534
}

variable "nats_server_url" {
  type        = string
  default     = "https://github.com/nats-io/nats-server/releases/download/v2.15.0/nats-server-v2.15.0-linux-amd64.tar.gz"
  description = "archive with the server; empty when nats_server_path is on the node already"
}

variable "nats_server_checksum" {
  type        = string
  default     = ""
  description = "sha256:<hex> of the archive, from the release's SHA256SUMS"
}

variable "nats_server_path" {
  type        = string
  default     = "local/nats-server-v2.15.0-linux-amd64/nats-server"
  description = "the binary: within the unpacked archive, or on the node"
}

variable "data_volume" {
  type        = string
  default     = "boxfleet-nats"
  description = "host volume of the server's data (exec)"
}

variable "data_dir" {
  type        = string
  default     = ""
  description = "directory on the node for the same purpose (raw_exec, which mounts no volumes)"
}

variable "max_file_store" {
  type        = string
  default     = "100GB"
  description = "what the queue may take of the node's disk"
}

variable "max_memory_store" {
  type    = string
  default = "512MB"
}

variable "sync_always" {
  type        = bool
  default     = false
  description = "sync every write before it is acknowledged; needed with one server, see docs/guarantees.md"
}

variable "authority" {
  type        = bool
  default     = false
  description = "true: identities, and tenants behind gates; the item nats_accounts is nats-accounts.conf of `submit admin init`. false: the item accounts holds users in NATS' own words"
}

variable "cpu" {
  type    = number
  default = 1000
}

variable "memory_mb" {
  type    = number
  default = 2048
}

locals {
  self = var.servers[var.server]

  # Lame duck mode lets clients move to the other servers one by one, then the
  # server gives its leaderships away and ends: 10 s of grace, 20 s of moving,
  # and 30 s for flushing a busy disk.
  kill_timeout = 10 + 20 + 30

  routes = join(", ", [for name, s in var.servers : "tls://${s.address}:${s.cluster_port}"])

  # Who may connect, by an item of the Nomad variable. A server that includes
  # nothing would be open to everybody, so without the item, or with another's
  # text in it, the file to include is one that does not exist: the server says
  # its name and does not start, and one that runs keeps what it has.
  accounts = var.authority ? "nats_accounts" : "accounts"
  include  = <<-EOT
  {{- with nomadVar "nomad/jobs/boxfleet-${var.server}" }}
  {{- if .${local.accounts}.Value | regexMatch "${var.authority ? "(?m)^operator: *[A-Za-z0-9]" : "[a-z]"}" }}
  include ./accounts.conf
  {{- else }}
  include ./item-${local.accounts}-of-the-nomad-variable-${var.authority ? "has-no-operator" : "is-empty"}
  {{- end }}
  {{- end }}
  EOT

  config = <<-EOT
  server_name: ${var.server}
  host: ${local.self.address}
  port: ${local.self.client_port}
  # Numbers about connections and streams, without credentials but not for the
  # world: let the firewall pass it to the collector of metrics only.
  http: "${local.self.address}:${local.self.monitor_port}"

  jetstream {
    store_dir: {{ env "BOXFLEET_NATS_DATA" }}/${var.server}
    max_file_store: ${var.max_file_store}
    max_memory_store: ${var.max_memory_store}
    sync_interval: ${var.sync_always ? "always" : "2m"}
  }

  tls {
    cert_file: {{ env "NOMAD_SECRETS_DIR" }}/cert.pem
    key_file: {{ env "NOMAD_SECRETS_DIR" }}/key.pem
    ca_file: {{ env "NOMAD_SECRETS_DIR" }}/ca.pem
    # Encrypted from the first byte on when a client asks for it, and still
    # open to those who begin in the usual way.
    timeout: 5
  }

  %{if length(var.servers) > 1}
  cluster {
    name: boxfleet
    host: ${local.self.address}
    port: ${local.self.cluster_port}
    routes: [${local.routes}]
    tls {
      cert_file: {{ env "NOMAD_SECRETS_DIR" }}/cert.pem
      key_file: {{ env "NOMAD_SECRETS_DIR" }}/key.pem
      ca_file: {{ env "NOMAD_SECRETS_DIR" }}/ca.pem
      verify: true
      timeout: 5
    }
  }
  %{endif}

  # A job of the largest size travels with its headers, a batch's chunk in
  # many messages: the server's default of 1 MB is enough.
  max_payload: 1MB
  lame_duck_grace_period: 10s
  lame_duck_duration: 30s
  logtime: true

  # Who may connect, and to which subjects (docs/security.md).
  ${local.include}
  EOT
}

job "boxfleet-nats" {
  id          = "boxfleet-${var.server}"
  name        = "boxfleet-${var.server}"
  datacenters = var.datacenters
  type        = "service"

  # Its data is where it was; a server without it is a new server.
  constraint {
    attribute = "$${node.unique.name}"
    value     = local.self.node
  }

  group "server" {
    count = 1

    network {
      port "client" {
        static = local.self.client_port
      }
      port "cluster" {
        static = local.self.cluster_port
      }
      port "monitor" {
        static = local.self.monitor_port
      }
    }

    # No canary: two servers cannot have the same name and data.
    update {
      max_parallel      = 1
      health_check      = "checks"
      min_healthy_time  = "10s"
      healthy_deadline  = "5m"
      progress_deadline = "15m"
      auto_revert       = true
    }

    # It stays on its node however often it fails.
    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    disconnect {
      lost_after = "1h"
      replace    = false
    }

    dynamic "volume" {
      for_each = var.data_dir == "" ? [var.data_volume] : []
      labels   = ["data"]
      content {
        type   = "host"
        source = volume.value
      }
    }

    service {
      name     = "boxfleet-nats"
      port     = "client"
      address  = local.self.address
      provider = "nomad"
      tags     = [var.server]

      # With JetStream: all its streams and consumers are up to date.
      check {
        name     = "current"
        type     = "http"
        port     = "monitor"
        path     = "/healthz"
        interval = "5s"
        timeout  = "3s"
      }
    }

    task "nats-server" {
      driver       = var.driver
      user         = var.user
      kill_signal  = "SIGUSR2"
      kill_timeout = "${local.kill_timeout}s"

      config {
        command = var.nats_server_path
        args    = ["--config", "$${NOMAD_SECRETS_DIR}/nats.conf"]
      }

      dynamic "artifact" {
        for_each = var.nats_server_url == "" ? [] : [var.nats_server_url]
        content {
          source      = artifact.value
          destination = "local/"
          options {
            checksum = var.nats_server_checksum
          }
        }
      }

      dynamic "volume_mount" {
        for_each = var.data_dir == "" ? [var.data_volume] : []
        content {
          volume      = "data"
          destination = "/var/lib/nats"
        }
      }

      env {
        BOXFLEET_NATS_DATA = var.data_dir == "" ? "/var/lib/nats" : var.data_dir
      }

      # The server takes new accounts and certificates while it runs.
      template {
        destination   = "secrets/nats.conf"
        perms         = "0600"
        uid           = var.uid
        gid           = var.gid
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = local.config
      }

      dynamic "template" {
        for_each = { "accounts.conf" = local.accounts, "ca.pem" = "ca", "cert.pem" = "cert", "key.pem" = "key" }
        content {
          destination   = "secrets/${template.key}"
          perms         = "0600"
          uid           = var.uid
          gid           = var.gid
          change_mode   = "signal"
          change_signal = "SIGHUP"
          data          = "{{ with nomadVar \"nomad/jobs/boxfleet-${var.server}\" }}{{ .${template.value} }}{{ end }}"
        }
      }

      resources {
        cpu    = var.cpu
        memory = var.memory_mb
      }
    }
  }
}
