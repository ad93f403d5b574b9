collector_url      = "https://artifacts.example.com/otelcol-contrib_linux_amd64.tar.gz"
collector_checksum = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
backend            = "https://otlp.example.com"
