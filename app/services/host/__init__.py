"""What the host provides: files, locks, marks in shared memory, threads, access keys."""
