# The workers of a fleet: as many as asked for, on nodes of their own choice.
#
#   nomad job run -var-file worker.vars.hcl worker.nomad.hcl
#
# Secrets are not here: they stand in the Nomad variable nomad/jobs/boxfleet-worker
# (see README.md), which this job alone may read.

variable "datacenters" {
  type        = list(string)
  default     = ["*"]
  description = "where workers may run"
}

variable "node_pool" {
  type        = string
  default     = "default"
  description = "node pool of the workers; hostile guests deserve nodes of their own"
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
  description = "who the worker runs as"
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
  description = "changing it rolls the workers, even when nothing else changed"
}

variable "count" {
  type        = number
  default     = 2
  description = "workers, when nothing scales them"
}

variable "canaries" {
  type        = number
  default     = 1
  description = "workers of a new release that run beside the old ones until promoted"
}

variable "auto_promote" {
  type        = bool
  default     = true
  description = "false: an operator looks at the canary and runs `nomad deployment promote`"
}

variable "min_healthy_time" {
  type        = string
  default     = "15s"
  description = "how long /readyz must hold before the next worker is replaced"
}

variable "slots" {
  type        = number
  default     = 8
  description = "jobs that run at once on one worker: four a core is a good start"
}

variable "compilers" {
  type        = number
  default     = 1
  description = "modules that compile at once, each up to 550 MiB"
}

variable "cpu" {
  type        = number
  default     = 2000
  description = "MHz; with exec, a share of what the node has, not a cap"
}

variable "memory_mb" {
  type        = number
  default     = 4096
  description = "MiB; with exec the kernel ends a worker that takes more"
}

variable "default_memory_mb" {
  type        = number
  default     = 256
  description = "MiB that a job declares which names no other number; slots times this should fit into the memory, or slots stay empty"
}

variable "module_memory_mb" {
  type        = number
  default     = 512
  description = "MiB of compiled modules kept in memory"
}

variable "grace_seconds" {
  type        = number
  default     = 20
  description = "how long running jobs may go on when a worker is told to stop"
}

variable "cache_volume" {
  type        = string
  default     = ""
  description = "name of a host volume for modules and compiled code (exec); without one every new worker starts cold"
}

variable "cache_dir" {
  type        = string
  default     = ""
  description = "directory on the node for the same purpose (raw_exec, which mounts no volumes)"
}

variable "disk_mb" {
  type        = number
  default     = 8192
  description = "MiB of the allocation's disk: scratch space, and the caches without a cache_volume"
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

variable "replicas" {
  type        = number
  default     = 3
  description = "copies of every stream: 1 with one server, 3 on a cluster"
}

variable "s3_endpoint" {
  type        = string
  default     = ""
  description = "https:// address of the object store; empty: the Nomad service boxfleet-s3, the development store"
}

variable "s3_bucket" {
  type    = string
  default = "boxfleet"
}

variable "s3_region" {
  type    = string
  default = "us-east-1"
}

variable "otlp" {
  type        = string
  default     = ""
  description = "OTLP/HTTP base URL for traces and metrics; empty for none"
}

variable "hardening" {
  type        = string
  default     = "on"
  description = "require: a worker whose node has no Landlock does not start"
}

variable "settings" {
  type        = string
  default     = ""
  description = "further lines of the worker's config file (docs/configuration.md), such as ceilings"
}

variable "autoscale" {
  type        = bool
  default     = false
  description = "let the Nomad Autoscaler set the number of workers"
}

variable "min_count" {
  type        = number
  default     = 0
  description = "fewest workers when scaled; 0 lets an idle fleet cost nothing"
}

variable "max_count" {
  type    = number
  default = 20
}

variable "jobs_per_worker" {
  type        = number
  default     = 32
  description = "jobs waiting or running for each worker that the autoscaler asks for"
}

locals {
  binary = var.worker_url == "" ? var.worker_path : "local/worker"

  # Memory of a worker: its own 256 MiB, what compiling takes, the compiled
  # modules. The rest is what running jobs may declare together.
  memory_budget_mb = var.memory_mb - 256 - 550 * var.compilers - var.module_memory_mb

  # What a worker needs from the signal to its end, each part at its longest:
  #   grace_seconds  running jobs go on
  #   15 s           those that were stopped are given back, over a queue that may not answer
  #   10 s           leases and places are returned, connections flushed
  #   10 s           the engine closes
  #   5 s + 2 s      telemetry, then the HTTP side
  # and 8 s for a busy node. Nomad kills what takes longer: its jobs then come
  # back by themselves, but only after ack-wait. The client's max_kill_timeout
  # (30 s unless set, see agent/client.hcl) must not be below.
  kill_timeout = var.grace_seconds + 15 + 10 + 10 + 5 + 2 + 8

  # {free} is the first directory that no other worker uses: a canary starts
  # beside the worker it replaces, and each needs a cache of its own.
  cache_dir = var.cache_volume != "" ? "/var/lib/boxfleet/{free}" : var.cache_dir != "" ? "${var.cache_dir}/{free}" : "$${NOMAD_TASK_DIR}/cache"

  # The queue's address changes while workers run: the NATS client learns of
  # new servers by itself, so this is read at start only (change_mode noop).
  servers = <<-EOT
  {{- $scheme := "${var.nats_tls ? "tls" : "nats"}" -}}
  BOXFLEET_NATS={{ with "${var.nats_url}" }}{{ . }}{{ else }}{{ range $i, $s := nomadService "boxfleet-nats" }}{{ if $i }},{{ end }}{{ $scheme }}://{{ .Address }}:{{ .Port }}{{ end }}{{ end }}
  BOXFLEET_S3_ENDPOINT={{ with "${var.s3_endpoint}" }}{{ . }}{{ else }}{{ range $i, $s := nomadService "boxfleet-s3" }}{{ if not $i }}http://{{ .Address }}:{{ .Port }}{{ end }}{{ end }}{{ end }}
  EOT

  # Credentials that change restart the worker, one after the other, each with
  # its drain.
  credentials = <<-EOT
  {{- with nomadVar "nomad/jobs/boxfleet-worker" }}
  s3-access-key: {{ .s3_access_key | toJSON }}
  s3-secret-key: {{ .s3_secret_key | toJSON }}
  {{- if .nats_user.Value }}
  nats-user: {{ .nats_user | toJSON }}
  nats-password: {{ .nats_password | toJSON }}
  {{- end }}
  {{- if .nats_creds.Value }}
  nats-creds: {{ env "NOMAD_SECRETS_DIR" }}/nats/worker.creds
  {{- end }}
  {{- if .nats_ca.Value }}
  nats-ca: {{ env "NOMAD_SECRETS_DIR" }}/nats/ca.pem
  {{- end }}
  {{- if .nats_cert.Value }}
  nats-cert: {{ env "NOMAD_SECRETS_DIR" }}/nats/cert.pem
  nats-key: {{ env "NOMAD_SECRETS_DIR" }}/nats/key.pem
  {{- end }}
  {{- if .secrets.Value }}
  secrets-file: {{ env "NOMAD_SECRETS_DIR" }}/secrets.yaml
  {{- end }}
  {{- end }}
  EOT
}

job "boxfleet-worker" {
  datacenters = var.datacenters
  node_pool   = var.node_pool
  type        = "service"

  meta {
    release = var.release
  }

  group "workers" {
    count = var.count

    network {
      port "http" {}
    }

    # One after the other, the first as a canary. A release whose workers do
    # not become ready is taken back.
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

    # A node that is drained hands its workers on one by one.
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

    # A worker on a node that Nomad lost sight of may well go on: results are
    # fenced, so a second one in its place does no harm.
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
      size = var.disk_mb
    }

    scaling {
      enabled = var.autoscale
      min     = var.min_count
      max     = var.max_count

      policy {
        evaluation_interval = "10s"
        cooldown            = "1m"

        # Waiting and running jobs together: by those that wait alone, a fleet
        # that has just taken all of them would be scaled in under its jobs.
        # The longest queue of the last five minutes holds workers through
        # pauses. Without any worker the numbers come from the job boxfleet-queue.
        check "queue" {
          source = "prometheus"
          query  = "ceil(max_over_time(sum(max by (state, priority) (boxfleet_queue_jobs{state=~\"pending|running\"}))[5m:10s]) / ${var.jobs_per_worker})"

          strategy "pass-through" {
            max_scale_down = 2
          }
        }
      }
    }

    dynamic "volume" {
      for_each = var.cache_volume == "" ? [] : [var.cache_volume]
      labels   = ["cache"]
      content {
        type   = "host"
        source = volume.value
      }
    }

    service {
      name     = "boxfleet-worker"
      port     = "http"
      provider = "nomad"
      tags     = ["metrics"]

      # Ready says that jobs can run here, and if not, why. A worker whose
      # store is sick is not restarted: that would not heal the store.
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
          grace = "2m"
        }
      }
    }

    task "worker" {
      driver       = var.driver
      user         = var.user
      kill_signal  = "SIGTERM"
      kill_timeout = "${local.kill_timeout}s"

      config {
        command = local.binary
        args    = ["run", "--config", "$${NOMAD_SECRETS_DIR}/worker.yaml"]
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

      dynamic "volume_mount" {
        for_each = var.cache_volume == "" ? [] : [var.cache_volume]
        content {
          volume      = "cache"
          destination = "/var/lib/boxfleet"
        }
      }

      env {
        BOXFLEET_HTTP           = "$${NOMAD_ADDR_http}"
        BOXFLEET_NAME           = "w-$${NOMAD_SHORT_ALLOC_ID}"
        BOXFLEET_SLOTS          = "${var.slots}"
        BOXFLEET_GRACE          = "${var.grace_seconds}s"
        BOXFLEET_COMPILERS      = "${var.compilers}"
        BOXFLEET_MEMORY_BUDGET  = "${local.memory_budget_mb}MiB"
        BOXFLEET_DEFAULT_MEMORY = "${var.default_memory_mb}MiB"
        BOXFLEET_MODULE_MEMORY  = "${var.module_memory_mb}MiB"
        BOXFLEET_REPLICAS       = "${var.replicas}"
        BOXFLEET_S3_BUCKET      = var.s3_bucket
        BOXFLEET_S3_REGION      = var.s3_region
        BOXFLEET_CACHE_DIR      = local.cache_dir
        BOXFLEET_SCRATCH_DIR    = "$${NOMAD_TASK_DIR}/scratch"
        BOXFLEET_HARDENING      = var.hardening
        BOXFLEET_LOG_FORMAT     = "json"
        # The collector works harder before the kernel ends the process.
        GOMEMLIMIT = "${floor(var.memory_mb * 0.9)}MiB"

        OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp
        OTEL_TRACES_EXPORTER        = var.otlp == "" ? "none" : "otlp"
        OTEL_METRICS_EXPORTER       = var.otlp == "" ? "none" : "otlp"
      }

      template {
        destination = "local/servers.env"
        env         = true
        change_mode = "noop"
        data        = local.servers
      }

      template {
        destination = "secrets/worker.yaml"
        perms       = "0600"
        uid         = var.uid
        gid         = var.gid
        data        = "${local.credentials}\n${var.settings}\n"
      }

      # The NATS client reads these again at every reconnect; they lie in a
      # directory of their own because the confined worker keeps access to it.
      dynamic "template" {
        for_each = { "nats/worker.creds" = "nats_creds", "nats/ca.pem" = "nats_ca", "nats/cert.pem" = "nats_cert", "nats/key.pem" = "nats_key", "secrets.yaml" = "secrets" }
        content {
          destination = "secrets/${template.key}"
          perms       = "0600"
          uid         = var.uid
          gid         = var.gid
          data        = "{{ with nomadVar \"nomad/jobs/boxfleet-worker\" }}{{ with .${template.value} }}{{ . }}{{ end }}{{ end }}"
        }
      }

      resources {
        cpu    = var.cpu
        memory = var.memory_mb
      }

      logs {
        max_files     = 5
        max_file_size = 20
      }
    }
  }
}
