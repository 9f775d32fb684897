/** The login of people in the web console: the exchange of a real issuer's code, and its limits; and who somebody is. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { calculatePKCECodeChallenge, generateRandomCodeVerifier } from "oauth4webapi";
import { LoginCode } from "../../src/dev/login-code.ts";
import { browse, clientId, startIdentityProvider } from "../cli/identity-provider.ts";
import { type Api, withPrimary, sharedPrimary } from "./api.ts";
import { Issuer, oidcFlags } from "./issuer.ts";

const withCleanPrimary = sharedPrimary();

interface LoginAnswer {
  readonly client_id: string;
  readonly authorization_endpoint: string | null;
}

const verifier = generateRandomCodeVerifier();

/** Logs in at the issuer as a browser does, and returns the body of the exchange. */
async function grantOf(api: Api, redirectUri: string, nonce = "n-1"): Promise<Record<string, string>> {
  const login = (await api.call("GET", "/api/login", { headers: { authorization: "" } })).json as LoginAnswer;
  const url = new URL(login.authorization_endpoint ?? "");
  const parameters = {
    client_id: login.client_id,
    response_type: "code",
    redirect_uri: redirectUri,
    scope: "openid email groups",
    code_challenge: await calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state: "s",
    nonce,
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const { code, iss } = JSON.parse(await browse(url.href)) as { readonly code: string; readonly iss: string };
  return { code, code_verifier: verifier, redirect_uri: redirectUri, nonce, iss };
}

/** A primary with a real issuer, and a page that answers with the parameters of its address. */
async function withProvider(body: (api: Api, redirectUri: string) => Promise<void>): Promise<void> {
  await using provider = await startIdentityProvider(300);
  const page = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => Response.json(Object.fromEntries(new URL(url).searchParams)),
  });
  const flags = { "oidc.issuer": provider.url, "oidc.audience": clientId, "oidc.clientId": clientId };
  try {
    await withPrimary((api) => body(api, `http://127.0.0.1:${page.port}/callback`), {
      ...flags,
      "oidc.write": "writers",
    });
  } finally {
    await page.stop(true);
  }
}

const exchange = (api: Api, body: unknown) =>
  api.call("POST", "/api/login/token", { body, headers: { authorization: "" } });

describe("the code of an issuer", () => {
  test("is exchanged once, for a token that the node accepts", () =>
    withProvider(async (api, redirectUri) => {
      const grant = await grantOf(api, redirectUri);
      const answer = await exchange(api, grant);
      expect(answer.status).toBe(200);
      const { token } = answer.json as { readonly token: string };
      const who = await api.call("GET", "/api/whoami", { headers: { authorization: `Bearer ${token}` } });
      expect(who.json).toMatchObject({ kind: "person", id: "person:ann", name: "ann@example.com", role: "write" });
      const again = await exchange(api, grant);
      expect([again.status, again.json]).toEqual([
        400,
        { message: expect.stringContaining("`invalid_grant"), code: "invalid_request" },
      ]);
    }));

  test("is of no use without the verifier, the nonce, the page or the issuer of the login", () =>
    withProvider(async (api, redirectUri) => {
      for (const wrong of [
        { code_verifier: "x".repeat(43) },
        { nonce: "n-2" },
        { redirect_uri: `${redirectUri}/other` },
        { iss: "https://other.example.com" },
      ]) {
        const answer = await exchange(api, { ...(await grantOf(api, redirectUri)), ...wrong });
        expect([wrong, answer.status, answer.text.includes("the OIDC issuer gives no token")]).toEqual([
          wrong,
          400,
          true,
        ]);
      }
    }));

  test("is not asked for by a node without an issuer, and not from an issuer that is away", async () => {
    const body = { code: "c", code_verifier: "v".repeat(43), redirect_uri: "https://a.example", nonce: "n" };
    await withCleanPrimary(async (api) => expect((await exchange(api, body)).status).toBe(404));
    await using issuer = await Issuer.start();
    await withPrimary(async (api) => {
      const login = (await api.call("GET", "/api/login")).json as LoginAnswer;
      expect(login.authorization_endpoint).toBeNull();
      expect((await exchange(api, body)).status).toBe(503);
      expect((await exchange(api, { ...body, code: "" })).status).toBe(400);
      expect((await exchange(api, { ...body, code: "c".repeat(20_000) })).status).toBe(413);
      const many = await Promise.all(Array.from({ length: 30 }, () => exchange(api, body)));
      expect(many.filter(({ status }) => status === 429).length).toBeGreaterThan(10);
    }, oidcFlags(issuer));
  });
});

describe("a one-time code", () => {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const wrong = "this login code is wrong, was used, or has expired";

  test("is valid once, for a minute, and not after five wrong ones", () => {
    const login = new LoginCode(clock);
    expect(() => login.redeem("")).toThrow(wrong);
    const first = login.create();
    expect(first).toMatch(/^[\w-]{22}$/);
    login.redeem(first);
    expect(() => login.redeem(first)).toThrow(wrong);
    const second = login.create();
    clock.nowMs += 60_000;
    expect(() => login.redeem(second)).toThrow(wrong);
    const third = login.create();
    for (let count = 0; count < 4; count++) expect(() => login.redeem(first)).toThrow(wrong);
    login.redeem(third);
    const fourth = login.create();
    for (let count = 0; count < 5; count++) expect(() => login.redeem(first)).toThrow(wrong);
    expect(() => login.redeem(fourth)).toThrow(wrong);
  });

  test("is accepted by `ostiary dev` only", () =>
    withCleanPrimary(async (api) =>
      expect((await api.call("POST", "/api/login/code", { body: { code: "c" } })).status).toBe(404),
    ));
});

test("a key hears which facts it may change", () =>
  withCleanPrimary(async ({ call }) => {
    const restriction = { only_predicates: ["has_role"], only_types: ["Org"] };
    const made = await call("POST", "/api/keys", {
      body: { name: "limited", grant: { role: "write", ...restriction } },
    });
    const { token } = made.json as { readonly token: string };
    const who = await call("GET", "/api/whoami", { headers: { authorization: `Bearer ${token}` } });
    expect(who.json).toMatchObject({ name: "limited", role: "write", ...restriction });
    expect((await call("GET", "/api/whoami")).json).not.toHaveProperty("only_types");
  }));
