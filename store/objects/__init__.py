"""Object stores: one interface, implemented by a local folder and an S3 bucket."""
