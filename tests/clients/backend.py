"""A backend service made with PyJWT (SMART App Launch 2.2, "Backend Services").

    backend.py keys FOLDER              makes key pairs in the folder, prints the public ones as a JSON Web Key Set
    backend.py run BASE CLIENT FOLDER [--ca FILE --certificate FILE KEY]
                                        gets tokens with them, writes and searches, prints what came of it as JSON
"""

import json
import pathlib
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = {"ES384": jwt.algorithms.ECAlgorithm, "RS384": jwt.algorithms.RSAAlgorithm}


def make_keys(folder):
    folder.mkdir(parents=True)
    made = {"ES384": ec.generate_private_key(ec.SECP384R1()), "RS384": rsa.generate_private_key(65537, 2048)}
    keys = []
    for name, key in made.items():
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.pem").write_bytes(pem)
        public = ALGORITHMS[name].to_jwk(key.public_key(), as_dict=True)
        keys.append({**public, "kid": f"own-{name}", "alg": name})
    return {"keys": keys}


# The TLS context with the trusted authority and the client certificate, if the server uses TLS.
TLS = None


def trust(authority):
    return ssl.create_default_context(cafile=authority)


def ask(url, token=None, form=None, resource=None, tls=None):
    """The status and the JSON of an answer, whichever status it is."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if form:
        request.data = urllib.parse.urlencode(form).encode()
    if resource:
        request.data = json.dumps(resource).encode()
        request.add_header("Content-Type", "application/fhir+json")
    try:
        with urllib.request.urlopen(request, timeout=30, context=tls or TLS) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


class Service:
    def __init__(self, base, client, folder, authority=None):
        self.base, self.client, self.folder, self.authority = base, client, folder, authority
        status, self.server = ask(f"{base}/.well-known/smart-configuration")
        assert status == 200, status

    def assertion(self, algorithm):
        claims = {
            "iss": self.client,
            "sub": self.client,
            "aud": self.server["token_endpoint"],
            "exp": int(time.time()) + 240,
            "jti": str(uuid.uuid4()),
        }
        key = (self.folder / f"{algorithm}.pem").read_text()
        return jwt.encode(claims, key, algorithm, headers={"kid": f"own-{algorithm}"})

    def ask_for_token(self, assertion, scope):
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": JWT_BEARER,
            "client_assertion": assertion,
        }
        return ask(self.server["token_endpoint"], form=form)

    def use(self, algorithm):
        """Everything that is done with the key of one algorithm."""
        assertion = self.assertion(algorithm)
        status, answer = self.ask_for_token(assertion, "system/Patient.crs")
        assert status == 200, answer
        token = answer["access_token"]
        # The token verifies with the published keys, as a resource server checks it.
        key = jwt.PyJWKClient(self.server["jwks_uri"], ssl_context=TLS).get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, ["ES256"], audience=self.base, issuer=self.server["issuer"])
        patient = {"resourceType": "Patient", "name": [{"family": f"Cole-{algorithm}"}]}
        created, _ = ask(f"{self.base}/Patient", token, resource=patient)
        query = urllib.parse.urlencode({"family": f"Cole-{algorithm}", "_total": "accurate"})
        searched, bundle = ask(f"{self.base}/Patient?{query}", token)
        outside, _ = ask(f"{self.base}/Observation", token)
        again, refusal = self.ask_for_token(assertion, "system/Patient.rs")
        return {
            "expires_in": answer["expires_in"],
            "scope": answer["scope"],
            "client": claims["client_id"],
            "created": created,
            "searched": searched,
            "total": bundle.get("total"),
            "outside": outside,
            "replayed": [again, refusal["error"]],
        }

    def run(self):
        supported = self.server["token_endpoint_auth_signing_alg_values_supported"]
        result = {algorithm: self.use(algorithm) for algorithm in supported}
        assert "private_key_jwt" in self.server["token_endpoint_auth_methods_supported"]
        assert "client-confidential-asymmetric" in self.server["capabilities"]
        # An unregistered key that uses the key id of a registered one.
        stranger = jwt.encode(
            jwt.decode(self.assertion("ES384"), options={"verify_signature": False}),
            ec.generate_private_key(ec.SECP384R1()),
            "ES384",
            headers={"kid": "own-ES384"},
        )
        status, refusal = self.ask_for_token(stranger, "system/Patient.rs")
        result["stranger"] = [status, refusal["error"]]
        if self.authority:
            _, answer = self.ask_for_token(self.assertion("ES384"), "system/Patient.rs")
            status, _ = ask(f"{self.base}/Patient", answer["access_token"], tls=trust(self.authority))
            result["withoutCertificate"] = status
        return result


def main(command, *arguments):
    if command == "keys":
        return make_keys(pathlib.Path(arguments[0]))
    base, client, folder, *of_tls = arguments
    authority = None
    if of_tls:
        global TLS
        _, authority, _, certificate, key = of_tls
        TLS = trust(authority)
        TLS.load_cert_chain(certificate, key)
    return Service(base, client, pathlib.Path(folder), authority).run()


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
