# What a Nomad client that runs boxfleet needs beyond its own settings.

client {
  enabled = true

  # Above the kill_timeout of every task here (62 s for a worker with the
  # standard grace): the default of 30 s would cut drains short.
  max_kill_timeout = "5m"

  # When the machine shuts down its workers are drained first.
  drain_on_shutdown {
    deadline           = "5m"
    force              = false
    ignore_system_jobs = false
  }

  # Owned by the task's user (nobody, unless the job says otherwise), mode 0700.
  host_volume "boxfleet-cache" {
    path = "/srv/boxfleet/cache"
  }

  # Only where a NATS server is to run; a disk of its own is best.
  host_volume "boxfleet-nats" {
    path = "/srv/boxfleet/nats"
  }

  # All that the exec driver's chroot needs to hold: the binaries are static.
  # Nomad's default copies /bin, /lib and /usr of the node.
  chroot_env {
    "/etc/ssl/certs"       = "/etc/ssl/certs"
    "/etc/resolv.conf"     = "/etc/resolv.conf"
    "/etc/hosts"           = "/etc/hosts"
    "/etc/nsswitch.conf"   = "/etc/nsswitch.conf"
    "/usr/share/zoneinfo"  = "/usr/share/zoneinfo"
    "/etc/passwd"          = "/etc/passwd"
  }
}

# For nodes without namespaces or cgroups; leave it out where exec works.
plugin "raw_exec" {
  config {
    enabled = false
  }
}
