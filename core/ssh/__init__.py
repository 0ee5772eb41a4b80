"""What SSH says of hosts, read without asking anybody."""
