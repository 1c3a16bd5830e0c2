"""The endpoints of jobs: push, status, data, cancel, retry; their logs; lists, deletion, dead letters."""
