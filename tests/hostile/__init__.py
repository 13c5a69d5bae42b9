"""What somebody with write access to the server may do to a hub by hand: no worker exits, no partition gets stuck."""
