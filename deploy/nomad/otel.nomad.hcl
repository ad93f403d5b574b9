# An OpenTelemetry Collector on every node: workers hand it spans and metrics
# (otlp = "http://127.0.0.1:4318" in their variables), it batches them and
# sends them on.

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

variable "collector_url" {
  type        = string
  default     = ""
  description = "archive of otelcol-contrib (its releases page has one for each system); empty when collector_path is on the node already"
}

variable "collector_checksum" {
  type        = string
  default     = ""
  description = "sha256:<hex> of the archive"
}

variable "collector_path" {
  type    = string
  default = "local/otelcol-contrib"
}

variable "backend" {
  type        = string
  description = "OTLP/HTTP base URL of what keeps traces and metrics, such as a Tempo or Jaeger"
}

job "boxfleet-otel" {
  datacenters = var.datacenters
  type        = "system"

  update {
    max_parallel     = 1
    min_healthy_time = "10s"
    auto_revert      = true
  }

  group "collector" {
    network {
      port "otlp" {
        static = 4318
      }
      port "metrics" {
        static = 9464
      }
      port "health" {
        static = 13133
      }
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "10s"
      mode     = "delay"
    }

    service {
      name     = "boxfleet-otel"
      port     = "metrics"
      provider = "nomad"
      tags     = ["metrics"]

      check {
        name     = "healthy"
        type     = "http"
        port     = "health"
        path     = "/"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "otelcol" {
      driver       = var.driver
      user         = var.user
      kill_signal  = "SIGTERM"
      kill_timeout = "20s" # it sends what it holds

      config {
        command = var.collector_path
        args    = ["--config", "$${NOMAD_SECRETS_DIR}/otel.yaml"]
      }

      dynamic "artifact" {
        for_each = var.collector_url == "" ? [] : [var.collector_url]
        content {
          source      = artifact.value
          destination = "local/"
          options {
            checksum = var.collector_checksum
          }
        }
      }

      template {
        destination = "secrets/otel.yaml"
        perms       = "0600"
        uid         = var.uid
        gid         = var.gid
        data        = <<-EOT
        receivers:
          otlp:
            protocols:
              http:
                # Workers of this node only.
                endpoint: 127.0.0.1:4318
        processors:
          memory_limiter:
            check_interval: 1s
            limit_mib: 200
          batch: {}
        exporters:
          otlphttp:
            endpoint: ${var.backend}
            headers:
              authorization: "{{ with nomadVar "nomad/jobs/boxfleet-otel" }}{{ with .authorization }}{{ . }}{{ end }}{{ end }}"
          prometheus:
            endpoint: {{ env "NOMAD_ADDR_metrics" }}
            resource_to_telemetry_conversion:
              enabled: true
        extensions:
          health_check:
            endpoint: {{ env "NOMAD_ADDR_health" }}
        service:
          extensions: [health_check]
          pipelines:
            traces:
              receivers: [otlp]
              processors: [memory_limiter, batch]
              exporters: [otlphttp]
            metrics:
              receivers: [otlp]
              processors: [memory_limiter, batch]
              exporters: [prometheus]
        EOT
      }

      resources {
        cpu    = 200
        memory = 300
      }
    }
  }
}
