/** An OIDC issuer on this machine: discovery, keys that can be rotated, and tokens with any claims. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type CryptoKey, type JWK, SignJWT } from "jose";

export interface TokenParts {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  /** By default the present key of the issuer. */
  readonly key?: CryptoKey | Uint8Array;
}

interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export class Issuer implements AsyncDisposable {
  readonly url: string;
  /** Requests for the keys. */
  fetches = 0;
  /** Answers in place of the usual answer. */
  answer: ((response: ServerResponse, path: string) => void) | undefined;
  /** The keys that the issuer publishes. */
  keys: SigningKey[] = [];
  /** Members that differ in the discovery document. */
  discovery: Readonly<Record<string, unknown>> = {};
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<Issuer> {
    const server = createServer((request, response) => issuer.#respond(request.url ?? "", response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const issuer = new Issuer(server);
    await issuer.rotate();
    return issuer;
  }

  /** Publishes a new key, and keeps the last `kept` ones. */
  async rotate(kept = 0, alg = "ES256"): Promise<SigningKey> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const kid = crypto.randomUUID();
    const key = { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
    this.keys = [key, ...this.keys.slice(0, kept)];
    return key;
  }

  /** A token that is valid for five minutes, of a person in the group `readers`. */
  async token({ claims = {}, header = {}, key }: TokenParts = {}): Promise<string> {
    const [current] = this.keys;
    const nowSeconds = Math.floor(Date.now() / 1000);
    const payload = {
      ...{ iss: this.url, aud: "ostiary", sub: "248289761001", email: "ann@example.com", groups: ["readers"] },
      ...{ iat: nowSeconds, exp: nowSeconds + 300, ...claims },
    };
    const protectedHeader = { alg: current?.alg ?? "", kid: current?.kid ?? "", ...header };
    const signer = key ?? current?.privateKey;
    if (signer === undefined) throw new Error("the issuer has no key");
    return new SignJWT(payload).setProtectedHeader(protectedHeader).sign(signer);
  }

  #respond(path: string, response: ServerResponse): void {
    const isKeys = path === "/keys";
    if (isKeys) this.fetches += 1;
    if (this.answer !== undefined) return this.answer(response, path);
    response.setHeader("Content-Type", "application/json");
    if (isKeys) return void response.end(JSON.stringify({ keys: this.keys.map(({ jwk }) => jwk) }));
    if (path === "/.well-known/openid-configuration")
      return void response.end(JSON.stringify({ issuer: this.url, jwks_uri: `${this.url}/keys`, ...this.discovery }));
    response.statusCode = 404;
    response.end("{}");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The flags of a node that trusts the issuer. */
export function oidcFlags({ url }: { readonly url: string }): Record<string, string> {
  return {
    "oidc.issuer": url,
    "oidc.audience": "ostiary",
    "oidc.clientId": "ostiary-cli",
    "oidc.admin": "owners",
    "oidc.write": "writers",
    "oidc.read": "readers",
  };
}
