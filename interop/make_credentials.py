"""Writes operator.conf and user.creds, nkey.conf, user.nk and user.pub into a directory, with keys made on the spot.

The tokens come from the Python package nkeys, so what the server verifies was not made by its own code.
The user may publish and subscribe below `foo` and its inboxes only.
"""

import base64
import hashlib
import json
import os
import sys
import time

import nkeys


def new_key(prefix):
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(issuer, subject, name, body):
    claims = {
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "name": name,
        "sub": subject.public_key.decode(),
        "nats": {**body, "version": 2},
    }
    digest = hashlib.sha256(json.dumps(claims).encode()).digest()
    claims["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{base64url(issuer.sign(signed.encode()))}"


def account_limits():
    names = "subs data payload imports exports conn leaf streams consumer mem_storage disk_storage"
    return {**{name: -1 for name in names.split()}, "wildcards": True}


def main():
    directory = sys.argv[1]
    operator = new_key(nkeys.PREFIX_BYTE_OPERATOR)
    account = new_key(nkeys.PREFIX_BYTE_ACCOUNT)
    system = new_key(nkeys.PREFIX_BYTE_ACCOUNT)
    user = new_key(nkeys.PREFIX_BYTE_USER)

    allowed = {"allow": ["foo", "foo.>", "_INBOX.>"]}
    user_claims = {"type": "user", "pub": allowed, "sub": allowed, "subs": -1, "data": -1, "payload": -1}
    operator_claims = {"type": "operator", "system_account": system.public_key.decode()}
    account_claims = {"type": "account", "limits": account_limits()}
    user_jwt = token(account, user, "demo user", user_claims)

    with open(os.path.join(directory, "operator.conf"), "w") as conf:
        conf.write(f"operator: {token(operator, operator, 'demo', operator_claims)}\n")
        conf.write(f"system_account: {system.public_key.decode()}\n")
        conf.write("resolver: MEMORY\nresolver_preload {\n")
        for key, name in ((account, "DEMO"), (system, "SYS")):
            jwt = token(operator, key, name, account_claims)
            conf.write(f"  {key.public_key.decode()}: {jwt}\n")
        conf.write("}\n")

    path = os.path.join(directory, "user.creds")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as creds:
        creds.write(f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n")
        creds.write("-----BEGIN USER NKEY SEED-----\n")
        creds.write(f"{user.seed.decode()}\n------END USER NKEY SEED------\n")

    with open(os.path.join(directory, "nkey.conf"), "w") as conf:
        conf.write(f"authorization {{ users: [ {{ nkey: {user.public_key.decode()} }} ] }}\n")
    path = os.path.join(directory, "user.nk")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as seed:
        seed.write(f"{user.seed.decode()}\n")
    with open(os.path.join(directory, "user.pub"), "w") as public:
        public.write(user.public_key.decode())


if __name__ == "__main__":
    main()
