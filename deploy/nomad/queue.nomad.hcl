# The length of the queue as a metric, for the autoscaler and for alerts: a
# job of its own, so that the numbers are there while no worker is. It is not
# a group of the workers' job because Nomad 1.11.0 stops one group only when a
# job of several is stopped.
#
# It needs the queue's credentials alone: nomad/jobs/boxfleet-queue.

variable "datacenters" {
  type        = list(string)
  default     = ["*"]
  description = "where it may run"
}

variable "driver" {
  type        = string
  default     = "exec"
  description = "exec: a chroot, namespaces and cgroups around the worker. raw_exec: none of them, for nodes that cannot"
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

  # Read at start only: the NATS client learns of new servers by itself.
  servers = <<-EOT
  {{- $scheme := "${var.nats_tls ? "tls" : "nats"}" -}}
  BOXFLEET_NATS={{ with "${var.nats_url}" }}{{ . }}{{ else }}{{ range $i, $s := nomadService "boxfleet-nats" }}{{ if $i }},{{ end }}{{ $scheme }}://{{ .Address }}:{{ .Port }}{{ end }}{{ end }}
  EOT

  credentials = <<-EOT
  {{- with nomadVar "nomad/jobs/boxfleet-queue" }}
  {{- if .nats_user.Value }}
  nats-user: {{ .nats_user | toJSON }}
  nats-password: {{ .nats_password | toJSON }}
  {{- end }}
  {{- if .nats_creds.Value }}
  nats-creds: {{ env "NOMAD_SECRETS_DIR" }}/nats/queue.creds
  {{- end }}
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

job "boxfleet-queue" {
  datacenters = var.datacenters
  type        = "service"

  group "queue" {
    count = 1

    network {
      port "http" {}
    }

    restart {
      attempts = 10
      interval = "5m"
      delay    = "10s"
      mode     = "delay"
    }

    ephemeral_disk {
      size = 150
    }

    service {
      name     = "boxfleet-queue"
      port     = "http"
      provider = "nomad"
      tags     = ["metrics"]

      check {
        name     = "ready"
        type     = "http"
        path     = "/readyz"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "metrics" {
      driver      = var.driver
      user        = var.user
      kill_signal = "SIGTERM"

      config {
        command = local.binary
        args    = ["queue-metrics", "--config", "$${NOMAD_SECRETS_DIR}/queue.yaml"]
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
        BOXFLEET_LOG_FORMAT = "json"
      }

      template {
        destination = "local/servers.env"
        env         = true
        change_mode = "noop"
        data        = local.servers
      }

      template {
        destination = "secrets/queue.yaml"
        perms       = "0600"
        uid         = var.uid
        gid         = var.gid
        data        = local.credentials
      }

      dynamic "template" {
        for_each = { "nats/queue.creds" = "nats_creds", "nats/ca.pem" = "nats_ca", "nats/cert.pem" = "nats_cert", "nats/key.pem" = "nats_key" }
        content {
          destination = "secrets/${template.key}"
          perms       = "0600"
          uid         = var.uid
          gid         = var.gid
          data        = "{{ with nomadVar \"nomad/jobs/boxfleet-queue\" }}{{ with .${template.value} }}{{ . }}{{ end }}{{ end }}"
        }
      }

      resources {
        cpu    = 50
        memory = 128
      }

      logs {
        max_files     = 2
        max_file_size = 10
      }
    }
  }
}
