# The border between tenants and the queue: users with identities of an authority
# reach nothing but the gate (docs/security.md). Two of them share the requests
# and keep nothing, so they are rolled and moved at any time, and they take jobs
# while no worker is. A fleet without identities needs none.
#
# It needs the queue's address and credentials of the role gate, no object
# store: nomad/jobs/boxfleet-gate.

variable "datacenters" {
  type        = list(string)
  default     = ["*"]
  description = "where it may run"
}

variable "driver" {
  type        = string
  default     = "exec"
  description = "exec: a chroot, namespaces and cgroups around the gate. raw_exec: none of them, for nodes that cannot"
  validation {
    condition     = var.driver == "exec" || var.driver == "raw_exec"
    error_message = "The driver is exec or raw_exec."
  }
}

variable "user" {
  type        = string
  default     = "nobody"
  description = "who it runs as"
}

variable "uid" {
  type        = number
  default     = 65534
  description = "that user's number: it owns the files with secrets; -1: the Nomad agent's"
}

variable "gid" {
  type        = number
  default     = 65534
  description = "and its group's"
}

variable "worker_url" {
  type        = string
  default     = ""
  description = "where nodes fetch the worker binary; empty when worker_path is on the node already"
}

variable "worker_checksum" {
  type        = string
  default     = ""
  description = "sha256:<hex> of what worker_url gives; required with it"
}

variable "worker_path" {
  type        = string
  default     = ""
  description = "path of the binary on the node (raw_exec, or a chroot_env that has it); empty with worker_url"
}

variable "release" {
  type        = string
  default     = "1"
  description = "changing it rolls the gates, even when nothing else changed"
}

variable "count" {
  type        = number
  default     = 2
  description = "gates; with one, tenants wait while it is replaced"
}

variable "canaries" {
  type        = number
  default     = 1
  description = "gates of a new release that run beside the old ones until promoted"
}

variable "auto_promote" {
  type        = bool
  default     = true
  description = "false: an operator looks at the canary and runs `nomad deployment promote`"
}

variable "min_healthy_time" {
  type        = string
  default     = "10s"
  description = "how long /readyz must hold before the next gate is replaced"
}

variable "cpu" {
  type        = number
  default     = 500
  description = "MHz; with exec, a share of what the node has, not a cap"
}

variable "memory_mb" {
  type        = number
  default     = 512
  description = "MiB; with exec the kernel ends a gate that takes more. Up to 256 of them are requests that wait"
}

variable "hardening" {
  type        = string
  default     = "on"
  description = "require: a gate whose node has no Landlock does not start"
}

variable "nats_url" {
  type        = string
  default     = ""
  description = "addresses of the queue; empty: the Nomad services boxfleet-nats"
}

variable "nats_tls" {
  type        = bool
  default     = true
  description = "the servers found by service speak TLS"
}

locals {
  binary = var.worker_url == "" ? var.worker_path : "local/worker"

  # What a gate needs from the signal to its end, each part at its longest:
  #   5 s   requests that were delivered to it are read
  #   5 s   those that ask the queue have their answer
  #   5 s   the audit log's last entries are sent
  #   2 s   the HTTP side
  # and 8 s for a busy node.
  kill_timeout = 5 + 5 + 5 + 2 + 8

  # Read at start only: the NATS client learns of new servers by itself.
  servers = <<-EOT
  {{- $scheme := "${var.nats_tls ? "tls" : "nats"}" -}}
  BOXFLEET_NATS={{ with "${var.nats_url}" }}{{ . }}{{ else }}{{ range $i, $s := nomadService "boxfleet-nats" }}{{ if $i }},{{ end }}{{ $scheme }}://{{ .Address }}:{{ .Port }}{{ end }}{{ end }}
  EOT

  # A gate with no credentials would be one with all rights on a server that
  # asks for none: the line is there whether or not the item is, and a gate
  # whose file holds no identity does not start.
  credentials = <<-EOT
  {{- with nomadVar "nomad/jobs/boxfleet-gate" }}
  nats-creds: {{ env "NOMAD_SECRETS_DIR" }}/nats/gate.creds
  {{- if .nats_ca.Value }}
  nats-ca: {{ env "NOMAD_SECRETS_DIR" }}/nats/ca.pem
  {{- end }}
  {{- if .nats_cert.Value }}
  nats-cert: {{ env "NOMAD_SECRETS_DIR" }}/nats/cert.pem
  nats-key: {{ env "NOMAD_SECRETS_DIR" }}/nats/key.pem
  {{- end }}
  {{- end }}
  EOT
}

job "boxfleet-gate" {
  datacenters = var.datacenters
  type        = "service"

  meta {
    release = var.release
  }

  group "gates" {
    count = var.count

    network {
      port "http" {}
    }

    # One after the other, the first as a canary: one more gate shares the
    # requests meanwhile.
    update {
      max_parallel      = 1
      canary            = var.canaries
      health_check      = "checks"
      min_healthy_time  = var.min_healthy_time
      healthy_deadline  = "3m"
      progress_deadline = "10m"
      auto_revert       = true
      auto_promote      = var.auto_promote && var.canaries > 0
    }

    migrate {
      max_parallel     = 1
      health_check     = "checks"
      min_healthy_time = var.min_healthy_time
      healthy_deadline = "3m"
    }

    # Twice on the same node, then elsewhere.
    restart {
      attempts = 2
      interval = "5m"
      delay    = "5s"
      mode     = "fail"
    }

    reschedule {
      delay          = "10s"
      delay_function = "exponential"
      max_delay      = "5m"
      unlimited      = true
    }

    # A third gate, while a node is out of sight, does no harm.
    disconnect {
      lost_after = "1m"
      replace    = true
      reconcile  = "longest_running"
    }

    spread {
      attribute = "$${node.unique.id}"
      weight    = 100
    }

    ephemeral_disk {
      size = 150
    }

    service {
      name     = "boxfleet-gate"
      port     = "http"
      provider = "nomad"
      tags     = ["metrics"]

      # Ready says that requests are heard. A gate that lost the queue is not
      # restarted: it connects again by itself.
      check {
        name     = "ready"
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "2s"
      }

      check {
        name     = "alive"
        type     = "http"
        path     = "/healthz"
        interval = "10s"
        timeout  = "5s"

        check_restart {
          limit = 6
          grace = "3m"
        }
      }
    }

    task "gate" {
      driver       = var.driver
      user         = var.user
      kill_signal  = "SIGTERM"
      kill_timeout = "${local.kill_timeout}s"

      config {
        command = local.binary
        args    = ["gate", "--config", "$${NOMAD_SECRETS_DIR}/gate.yaml"]
      }

      dynamic "artifact" {
        for_each = var.worker_url == "" ? [] : [var.worker_url]
        content {
          source      = artifact.value
          destination = "local/worker"
          mode        = "file"
          options {
            checksum = var.worker_checksum
          }
        }
      }

      env {
        BOXFLEET_HTTP       = "$${NOMAD_ADDR_http}"
        BOXFLEET_NAME       = "g-$${NOMAD_SHORT_ALLOC_ID}"
        BOXFLEET_HARDENING  = var.hardening
        BOXFLEET_LOG_FORMAT = "json"
        GOMEMLIMIT          = "${floor(var.memory_mb * 0.9)}MiB"
      }

      template {
        destination = "local/servers.env"
        env         = true
        change_mode = "noop"
        data        = local.servers
      }

      # New credentials restart the gates, each at its own time within a minute.
      template {
        destination = "secrets/gate.yaml"
        perms       = "0600"
        uid         = var.uid
        gid         = var.gid
        splay       = "1m"
        data        = local.credentials
      }

      dynamic "template" {
        for_each = { "nats/gate.creds" = "nats_creds", "nats/ca.pem" = "nats_ca", "nats/cert.pem" = "nats_cert", "nats/key.pem" = "nats_key" }
        content {
          destination = "secrets/${template.key}"
          perms       = "0600"
          uid         = var.uid
          gid         = var.gid
          splay       = "1m"
          data        = "{{ with nomadVar \"nomad/jobs/boxfleet-gate\" }}{{ with .${template.value} }}{{ . }}{{ end }}{{ end }}"
        }
      }

      resources {
        cpu    = var.cpu
        memory = var.memory_mb
      }

      logs {
        max_files     = 3
        max_file_size = 20
      }
    }
  }
}
