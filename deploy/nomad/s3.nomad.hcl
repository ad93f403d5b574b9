# A development object store: versitygw over a directory of one node. It
# listens on loopback and syncs nothing, so it serves a fleet on one machine
# and nothing else. In production give worker.nomad.hcl the s3_endpoint of any
# S3 service with conditional PUT (docs/storage.md).

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

variable "node" {
  type        = string
  description = "name of the node that keeps the objects, and on which all workers run"
}

variable "driver" {
  type    = string
  default = "raw_exec"
}

variable "user" {
  type    = string
  default = ""
}

variable "devs3_path" {
  type        = string
  description = "bin/devs3 on the node"
}

variable "data_dir" {
  type        = string
  description = "directory on the node for the objects"
}

variable "port" {
  type    = number
  default = 9000
}

variable "region" {
  type    = string
  default = "us-east-1"
}

job "boxfleet-s3" {
  datacenters = var.datacenters
  type        = "service"

  constraint {
    attribute = "$${node.unique.name}"
    value     = var.node
  }

  group "store" {
    count = 1

    network {
      port "s3" {
        static = var.port
      }
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    service {
      name     = "boxfleet-s3"
      port     = "s3"
      address  = "127.0.0.1"
      provider = "nomad"

      check {
        name     = "listens"
        type     = "tcp"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "devs3" {
      driver      = var.driver
      user        = var.user
      kill_signal = "SIGTERM"

      config {
        command = var.devs3_path
        args    = ["--data", var.data_dir, "--listen", "127.0.0.1:${var.port}", "--region", var.region]
      }

      template {
        destination = "secrets/devs3.env"
        env         = true
        data        = "{{ with nomadVar \"nomad/jobs/boxfleet-s3\" }}DEVS3_SECRET={{ .secret_key }}{{ end }}"
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
