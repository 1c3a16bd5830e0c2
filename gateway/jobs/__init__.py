"""The endpoints of jobs: push, status, data, events, cancel, retry; their logs; lists, deletion, dead letters."""
