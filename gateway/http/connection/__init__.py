"""One connection: what it may send, hold and leave unread, and how it ends."""
