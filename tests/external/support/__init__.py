"""What the scripts of this folder share: the server as a child process, signing, raw sockets, repeatable bytes."""
