# The same binary as the workers'.
worker_url      = "https://artifacts.example.com/boxfleet/1.0.0/linux-amd64/worker"
worker_checksum = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
release         = "1.0.0"
