"""What the server sends: answers, and problem details (RFC 9457). No routes."""
