"""Facts about this host, read from the kernel; asked by the daemon and by `qvlctl doctor` alike."""
