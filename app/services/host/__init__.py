"""What the host gives: files, locks, marks in shared memory, threads, access keys."""
