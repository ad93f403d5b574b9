# A bridge for those who start work by Nomad: each dispatch is a batch of
# boxfleet jobs, one line of JSON each (docs/schema/batch-line.schema.json).
#
#   nomad job run -var-file dispatch.vars.hcl dispatch.nomad.hcl
#   nomad job dispatch -meta tenant=reports boxfleet-batch jobs.jsonl
#
# The dispatched job ends when the batch has, and fails when one of its jobs
# did not succeed. Its results are results.jsonl in the allocation's directory
# (`nomad alloc fs ALLOC alloc/results.jsonl`). Nomad may run it again on
# another node: lines keep their ids, so nothing runs twice.

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

variable "submit_url" {
  type        = string
  default     = ""
  description = "where nodes fetch the submit binary; empty when submit_path is on the node already"
}

variable "submit_checksum" {
  type    = string
  default = ""
}

variable "submit_path" {
  type    = string
  default = ""
}

job "boxfleet-batch" {
  datacenters = var.datacenters
  type        = "batch"

  parameterized {
    payload       = "required"
    meta_optional = ["tenant", "priority"]
  }

  # What a dispatch does not name.
  meta {
    tenant   = "default"
    priority = "normal"
  }

  group "submit" {
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 3
      interval  = "1h"
      unlimited = false
    }

    ephemeral_disk {
      size    = 500
      migrate = true
      sticky  = true
    }

    task "submit" {
      driver = var.driver
      user   = var.user

      config {
        command = var.submit_url == "" ? var.submit_path : "local/submit"
        args = [
          "batch", "$${NOMAD_TASK_DIR}/jobs.jsonl", "--wait",
          "--results", "$${NOMAD_ALLOC_DIR}/results.jsonl",
          "--context", "$${NOMAD_SECRETS_DIR}/context.json",
          "--tenant", "$${NOMAD_META_tenant}",
          "--priority", "$${NOMAD_META_priority}",
        ]
      }

      dispatch_payload {
        file = "jobs.jsonl"
      }

      dynamic "artifact" {
        for_each = var.submit_url == "" ? [] : [var.submit_url]
        content {
          source      = artifact.value
          destination = "local/submit"
          mode        = "file"
          options {
            checksum = var.submit_checksum
          }
        }
      }

      # A submitter's context: addresses and credentials of its tenant.
      template {
        destination = "secrets/context.json"
        perms       = "0600"
        uid         = var.uid
        gid         = var.gid
        data        = <<-EOT
        {{- with nomadVar "nomad/jobs/boxfleet-batch" }}
        {
          "nats": {
            "url": {{ .nats_url | toJSON }},
            {{- if .nats_user.Value }}
            "user": {{ .nats_user | toJSON }},
            "password": {{ .nats_password | toJSON }},
            {{- end }}
            {{- if .nats_creds.Value }}
            "creds_file": "{{ env "NOMAD_SECRETS_DIR" }}/submit.creds",
            {{- end }}
            "ca_file": "{{ if .nats_ca.Value }}{{ env "NOMAD_SECRETS_DIR" }}/ca.pem{{ end }}"
          },
          "s3": {
            "endpoint": {{ .s3_endpoint | toJSON }},
            "access_key": {{ .s3_access_key | toJSON }},
            "secret_key": {{ .s3_secret_key | toJSON }},
            "bucket": "{{ with .s3_bucket.Value }}{{ . }}{{ else }}boxfleet{{ end }}"
          }
        }
        {{- end }}
        EOT
      }

      dynamic "template" {
        for_each = { "ca.pem" = "nats_ca", "submit.creds" = "nats_creds" }
        content {
          destination = "secrets/${template.key}"
          perms       = "0600"
          uid         = var.uid
          gid         = var.gid
          data        = "{{ with nomadVar \"nomad/jobs/boxfleet-batch\" }}{{ with .${template.value} }}{{ . }}{{ end }}{{ end }}"
        }
      }

      resources {
        cpu    = 100
        memory = 256
      }
    }
  }
}
