node       = "dev-1"
devs3_path = "/opt/boxfleet/bin/devs3"
data_dir   = "/srv/boxfleet/s3"
