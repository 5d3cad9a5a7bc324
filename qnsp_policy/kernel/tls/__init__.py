"""TLS 1.3 in process over pyOpenSSL, so that any Python negotiates X25519MLKEM768: a server and an httpx transport."""
