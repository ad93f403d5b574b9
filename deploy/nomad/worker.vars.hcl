# What differs from fleet to fleet: copy it, fill it in, keep it in version
# control. No secret belongs here (README.md says where those go).

# The binary as your build published it, and what it must hash to.
worker_url      = "https://artifacts.example.com/boxfleet/1.0.0/linux-amd64/worker"
worker_checksum = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
release         = "1.0.0"

s3_endpoint = "https://s3.example.com"
s3_bucket   = "boxfleet"
replicas    = 3

# Sizing: docs/operating.md has the arithmetic.
count        = 4
slots        = 16
cpu          = 4000
memory_mb    = 8192
cache_volume = "boxfleet-cache"

# With otel.nomad.hcl: otlp = "http://127.0.0.1:4318"
otlp = ""
