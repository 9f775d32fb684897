/** Which tokens of an OIDC issuer a node accepts, and what it asks the issuer: a real issuer, and a clock that is set. */
import { describe, expect, test } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import type { ServerResponse } from "node:http";
import fc from "fast-check";
import { exportSPKI, generateKeyPair, importJWK, SignJWT, UnsecuredJWT } from "jose";
import { loadConfig } from "../../src/config/load.ts";
import { type Person, People } from "../../src/http/oidc/people.ts";
import { AppError } from "../../src/util/app-error.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock, type Clock } from "../../src/util/clock.ts";
import { Issuer, oidcFlags, type TokenParts } from "./issuer.ts";
import { seededRuns } from "../seeds.ts";

const second = 1000;
const hour = 3600 * second;
const inDefault = { environment: "default", isHosted: false };

interface Setting {
  readonly issuer: Issuer;
  readonly people: People;
  /** Sets the clock of the node forward. */
  advance(ms: number): void;
  find(parts?: TokenParts): Promise<Person>;
  /** The code of the error, and its message. */
  refusal(token: string | TokenParts): Promise<string>;
}

async function withPeople(
  body: (setting: Setting) => Promise<void>,
  flags: Record<string, string> = {},
): Promise<void> {
  await using issuer = await Issuer.start();
  let aheadMs = 0;
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + aheadMs,
    wallMs: () => systemClock.wallMs() + aheadMs,
  };
  const all = { role: "primary", ...oidcFlags(issuer), ...flags };
  const { config, problems } = loadConfig({ environment: {}, flags: all });
  const { oidc, limits } = must(config, problems.join("; "));
  const people = new People(must(oidc.issuer), { oidc, limits }, (url, init) => fetch(url, init), clock);
  const find = async (token: string): Promise<Person> => people.find(token, inDefault);
  await body({
    issuer,
    people,
    advance: (ms) => (aheadMs += ms),
    find: async (parts) => find(await issuer.token(parts)),
    async refusal(given) {
      const token = typeof given === "string" ? given : await issuer.token(given);
      const error: unknown = await find(token).catch((thrown: unknown) => thrown);
      if (!(error instanceof AppError)) throw new Error(`the token was accepted: ${JSON.stringify(error)}`);
      const secret = token.split(".").find((part) => part.length > 8 && error.message.includes(part));
      expect(secret).toBeUndefined();
      return `${error.code}: ${error.message}`;
    },
  });
}

const now = (): number => Math.floor(Date.now() / second);

describe("a person", () => {
  test("has the subject, the name and the strongest role of the token", () =>
    withPeople(async ({ find }) => {
      const expiresMs = expect.any(Number);
      expect(await find()).toEqual({
        ...{ kind: "person", id: "person:248289761001", name: "ann@example.com", role: "read", expiresMs, keySet: 1 },
      });
      expect((await find({ claims: { groups: ["readers", "owners", "writers"] } })).role).toBe("admin");
      expect((await find({ claims: { groups: "writers" } })).role).toBe("write");
      expect((await find({ claims: { email: undefined } })).name).toBeNull();
      expect((await find({ claims: { email: ["a"] } })).name).toBeNull();
    }));

  test("needs a value that gives a role, exactly", () =>
    withPeople(async ({ refusal, find }) => {
      const others = [
        [],
        ["Owners"],
        ["owners "],
        ["own", "ers"],
        [["owners"]],
        [{ owners: true }],
        {},
        1,
        null,
        "owners readers",
      ];
      for (const groups of [...others, undefined, { owners: "owners" }, "readers,owners"])
        expect(await refusal({ claims: { groups } })).toStartWith("forbidden: this person has no role here");
      expect((await find({ claims: { groups: [1, null, "owners"] } })).role).toBe("admin");
    }));

  test("may have the role claim at a path, or under a name with dots", async () => {
    const flags = { "oidc.roleClaim": "realm_access.roles" };
    await withPeople(async ({ find, refusal }) => {
      const roles = ["owners"];
      expect((await find({ claims: { realm_access: { roles } } })).role).toBe("admin");
      expect((await find({ claims: { "realm_access.roles": roles } })).role).toBe("admin");
      for (const realm_access of [roles, [{ roles }], { Roles: roles }, "owners", null])
        expect(await refusal({ claims: { realm_access } })).toStartWith("forbidden");
    }, flags);
    const dotted = { "oidc.roleClaim": "https://example.com/roles" };
    await withPeople(async ({ find }) => {
      expect((await find({ claims: { "https://example.com/roles": ["writers"] } })).role).toBe("write");
    }, dotted);
    for (const roleClaim of ["constructor.name", "__proto__.x", "groups.length", "toString"])
      await withPeople(async ({ refusal }) => expect(await refusal({})).toStartWith("forbidden"), {
        ...{ "oidc.roleClaim": roleClaim, "oidc.admin": "Object,1,owners" },
      });
  });

  test("has the roles of the environment in which the token is sent", () =>
    withPeople(
      async ({ issuer, people }) => {
        const roleOf = async (environment: string, groups: unknown): Promise<string> => {
          const scope = { environment, isHosted: environment !== "default" };
          const token = await issuer.token({ claims: { groups } });
          const find = async (): Promise<Person> => people.find(token, scope);
          return find().then(
            ({ role }) => role,
            (error: AppError) => error.message.replace(/^.*\(/, "("),
          );
        };
        const none = (form = "") => `(\`oidc.admin\`, \`oidc.write\`, \`oidc.read\`${form})`;
        const noneIn = (environment: string) => none(`, as \`${environment}::value\``);
        const table = [
          // The groups, and the roles in the default environment, in `staging` and in `qa`.
          [["owners"], "admin", noneIn("staging"), noneIn("qa")],
          [["testers"], none(), "admin", "read"],
          [["testers", "readers"], "read", "admin", "read"],
          [["staff"], "write", "read", noneIn("qa")],
          [["staff", "readers"], "write", "read", noneIn("qa")],
          [["staging::testers", "default::staff", "::testers"], none(), noneIn("staging"), noneIn("qa")],
          [["arn:aws:iam::7:role/a"], "read", noneIn("staging"), noneIn("qa")],
          [["a::b"], none(), noneIn("staging"), "admin"],
          [["b"], none(), noneIn("staging"), noneIn("qa")],
          ["testers", none(), "admin", "read"],
        ] as const;
        for (const [groups, ...roles] of table) {
          const found = await Promise.all(["default", "staging", "qa"].map((id) => roleOf(id, groups)));
          expect([groups, found]).toEqual([groups, [...roles]]);
        }
        expect(await roleOf("constructor", ["owners", "testers"])).toBe(noneIn("constructor"));
      },
      {
        "oidc.admin": "owners,staging::testers,qa::a::b",
        "oidc.write": "default::staff",
        "oidc.read": "readers,qa::testers,staging::staff,staging::testers,arn:aws:iam::7:role/a",
      },
    ));

  test("has the roles of each environment at once, although the token is verified once", () =>
    withPeople(
      async ({ issuer, people }) => {
        const token = await issuer.token();
        expect((await people.find(token, inDefault)).role).toBe("read");
        expect(people.find(token, { environment: "qa", isHosted: true })).toMatchObject({ role: "admin" });
        expect(() => people.find(token, { environment: "other", isHosted: true })).toThrow("no role here");
        expect(people.find(token, inDefault)).toMatchObject({ role: "read" });
      },
      { "oidc.admin": "qa::readers" },
    ));

  test("may have scopes as roles", () =>
    withPeople(
      async ({ find, refusal }) => {
        expect((await find({ claims: { scope: "openid ostiary:write" } })).role).toBe("write");
        expect(await refusal({ claims: { scope: "openid ostiary:writer" } })).toStartWith("forbidden");
      },
      { "oidc.roleClaim": "scope", "oidc.write": "ostiary:write" },
    ));

  test("has no role and no name by an address that the issuer has not verified", () =>
    withPeople(
      async ({ find, refusal }) => {
        const email = "ann@example.com";
        expect((await find({ claims: { email, email_verified: true } })).role).toBe("admin");
        expect(await refusal({ claims: { email, email_verified: false } })).toStartWith("forbidden");
        expect(await refusal({ claims: { email } })).toStartWith("forbidden");
        const claims = { email, email_verified: false, groups: ["readers"] };
        await withPeople(async (other) => expect((await other.find({ claims })).name).toBeNull());
      },
      { "oidc.roleClaim": "email", "oidc.admin": "ann@example.com" },
    ));
});

describe("a token is refused", () => {
  test("with another issuer or audience", () =>
    withPeople(async ({ issuer, refusal, find }) => {
      for (const iss of [
        `${issuer.url}/`,
        issuer.url.toUpperCase(),
        undefined,
        [issuer.url],
        `${issuer.url}.evil.example`,
      ])
        expect(await refusal({ claims: { iss } })).toContain("its issuer (`iss`) is not");
      for (const aud of ["ostiary-cli", undefined, [], ["other"], "OSTIARY", { ostiary: 1 }, "ostiary other"])
        expect(await refusal({ claims: { aud } })).toContain("it is for somebody else");
      expect((await find({ claims: { aud: ["other", "ostiary"] } })).role).toBe("read");
      // None of these tokens made the node ask the issuer, but the last one.
      expect(issuer.fetches).toBe(1);
    }));

  test("before and after its time, with a bounded leeway for clocks", () =>
    withPeople(async ({ find, refusal }) => {
      expect((await find({ claims: { exp: now() - 20 } })).role).toBe("read");
      expect(await refusal({ claims: { exp: now() - 31 } })).toContain("it has expired, log in again");
      expect((await find({ claims: { nbf: now() + 20 } })).role).toBe("read");
      expect(await refusal({ claims: { nbf: now() + 40 } })).toContain("it is not valid yet");
      for (const exp of [undefined, null, "2999", `${now() + 300}`])
        expect(await refusal({ claims: { exp } })).toContain("it has no `exp`");
      // Such a time cannot be shown.
      for (const exp of [8_640_000_000_001, 1e300, Number.MAX_VALUE])
        expect(await refusal({ claims: { exp } })).toContain("its `exp` is not a time");
      expect((await find({ claims: { exp: 8_640_000_000_000 } })).expiresMs).toBe(8.64e15);
      for (const nbf of ["1", null]) expect(await refusal({ claims: { nbf } })).toContain("it is not valid yet");
    }));

  test("with an algorithm that needs no private key of the issuer", () =>
    withPeople(async ({ issuer, refusal, find }) => {
      const rsa = await issuer.rotate(1, "RS256");
      const publicKey = await importJWK(rsa.jwk, "RS256", { extractable: true });
      const pem = new TextEncoder().encode(await exportSPKI(publicKey as CryptoKey));
      // Anybody has the public key: with HMAC it would be the secret.
      for (const alg of ["HS256", "HS384", "HS512"])
        expect(await refusal({ header: { alg }, key: pem })).toContain(`its algorithm is \`${alg}\``);
      const claims = { iss: issuer.url, aud: "ostiary", sub: "eve", exp: now() + 300, groups: ["owners"] };
      const unsigned = new UnsecuredJWT(claims).encode();
      expect(await refusal(unsigned)).toContain("it is not three parts");
      const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
      for (const alg of [
        "none",
        "None",
        "nOnE",
        "",
        undefined,
        null,
        1,
        ["ES256"],
        "RSA-OAEP",
        "es256",
        { toString: 1 },
      ])
        expect(await refusal(`${encode({ alg })}.${encode(claims)}.AAAA`)).toContain("its algorithm is");
      // A key is only for its own algorithm.
      expect(await refusal({ header: { alg: "PS256" }, key: (await generateKeyPair("PS256")).privateKey })).toContain(
        "no such key",
      );
      expect((await find()).role).toBe("read");
    }));

  test("with a key that the token brings along, or that is not of the issuer", () =>
    withPeople(async ({ issuer, refusal }) => {
      const own = await generateKeyPair("ES256", { extractable: true });
      const { kid } = must(issuer.keys[0]);
      const forged = { claims: { groups: ["owners"] }, key: own.privateKey };
      expect(await refusal(forged)).toContain("its signature is wrong");
      const jwk = { kty: "EC", crv: "P-256", x: "x", y: "y" };
      for (const header of [
        { jwk },
        { jku: `${issuer.url}/evil` },
        { x5u: `${issuer.url}/evil` },
        { kid: `${kid}x` },
        { kid: "" },
      ])
        expect(await refusal({ ...forged, header })).toMatch(/its signature is wrong|no such key/);
      expect(await refusal({ ...forged, header: { kid: 1 } })).toContain("(`kid`) is not a text");
      expect(await refusal({ ...forged, header: { kid: "../../etc/passwd" } })).toContain("no such key");
    }));

  test("with a changed payload, signature or header", () =>
    withPeople(async ({ issuer, refusal, find }) => {
      await find();
      const [header = "", payload = "", signature = ""] = (await issuer.token()).split(".");
      const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
      const admin = Buffer.from(JSON.stringify({ ...claims, groups: ["owners"] })).toString("base64url");
      expect(await refusal(`${header}.${admin}.${signature}`)).toContain("its signature is wrong");
      const other = signature.startsWith("A") ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
      expect(await refusal(`${header}.${payload}.${other}`)).toContain("its signature is wrong");
      for (const broken of [
        `${header}.${payload}.`,
        `.${payload}.${signature}`,
        `${header}..${signature}`,
        "...",
        "a.b",
        "a.b.c.d.e",
      ])
        expect(await refusal(broken)).toContain("it is not three parts");
      for (const broken of ["a.b.c", "bnVsbA.bnVsbA.AAAA", "W10.W10.AAAA", "MQ.MQ.MQ"])
        expect(await refusal(broken)).toMatch(/a part of it is not (?:a )?JSON/);
      for (const broken of [
        `${header} .${payload}.${signature}`,
        `${header}.${payload}.${signature}=`,
        `${header}.${payload}.${signature}é`,
      ])
        expect(await refusal(broken)).toContain("it is not three parts");
    }));

  test("with any other change", () =>
    withPeople(async ({ issuer, people, refusal }) => {
      const token = await issuer.token();
      await people.find(token, inDefault);
      const bytesOf = (text: string): string =>
        text
          .split(".")
          .map((part) => Buffer.from(part, "base64url").toString("hex"))
          .join(".");
      const character = fc.constantFrom(...token, "-", "_", "=", "+", "/", " ", ".", "\0", "é");
      const position = fc.nat({ max: token.length - 1 });
      for (const { seed, runs } of seededRuns(1, 500))
        await fc.assert(
          fc.asyncProperty(
            position,
            fc.nat({ max: 3 }),
            fc.string({ unit: character, maxLength: 3 }),
            async (at, removed, added) => {
              const changed = token.slice(0, at) + added + token.slice(at + removed);
              // The last character of a part has bits without a meaning.
              if (bytesOf(changed) === bytesOf(token)) return;
              expect(await refusal(changed)).toStartWith("unauthorized: ");
            },
          ),
          { numRuns: runs, seed },
        );
      expect(issuer.fetches).toBe(1);
    }));

  test("that was made for another purpose", () =>
    withPeople(async ({ refusal, find }) => {
      for (const typ of ["logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", 1, ["jwt"], { toString: 1 }])
        expect(await refusal({ header: { typ } })).toContain("its type is");
      for (const typ of ["JWT", "jwt", "at+jwt", "application/at+jwt"])
        expect((await find({ header: { typ } })).role).toBe("read");
      expect(await refusal({ claims: { cnf: { jkt: "x" } } })).toContain("`cnf`");
      const { privateKey } = await generateKeyPair("ES256");
      const critical = await new SignJWT({}).setProtectedHeader({ alg: "ES256" }).sign(privateKey);
      expect(await refusal(critical)).toContain("its issuer");
    }));

  test("without a subject that can be stored", () =>
    withPeople(async ({ refusal, find }) => {
      for (const sub of [undefined, "", 12, ["x"], "x".repeat(256)])
        expect(await refusal({ claims: { sub } })).toMatch(/unauthorized: .*(?:sub)/);
      expect((await find({ claims: { sub: "x".repeat(255) } })).id).toHaveLength(262);
    }));

  test("if it is long, before anything else", () =>
    withPeople(async ({ issuer, refusal }) => {
      expect(await refusal({ claims: { filler: "x".repeat(12_288) } })).toContain("it is longer than the 12288 bytes");
      expect(await refusal(`${"a".repeat(5_000_000)}.b.c`)).toContain("it is longer");
      const nested = `${"[".repeat(3000)}${"]".repeat(3000)}`;
      const part = Buffer.from(nested).toString("base64url").slice(0, 4000);
      expect(await refusal(`${part}.${part}.AAAA`)).toStartWith("unauthorized");
      expect(issuer.fetches).toBe(0);
    }));
});

describe("the keys of the issuer", () => {
  test("are fetched once for many tokens, and a known token is not verified again", () =>
    withPeople(async ({ issuer, people }) => {
      const tokens = await Promise.all(
        Array.from({ length: 50 }, (_, index) => issuer.token({ claims: { sub: `${index}` } })),
      );
      const found = await Promise.all(tokens.map((token) => people.find(token, inDefault)));
      expect(found.map(({ id }) => id)).toEqual(tokens.map((_, index) => `person:${index}`));
      expect(issuer.fetches).toBe(1);
      // Not a promise: the token is known.
      expect(people.find(must(tokens[7]), inDefault)).toMatchObject({ id: "person:7" });
    }));

  test("a known token is refused when it expires", () =>
    withPeople(async ({ issuer, people, advance, refusal }) => {
      const token = await issuer.token({ claims: { exp: now() + 60 } });
      await people.find(token, inDefault);
      advance(88 * second);
      expect(people.find(token, inDefault)).toMatchObject({ role: "read" });
      advance(3 * second);
      expect(await refusal(token)).toContain("it has expired");
    }));

  test("of all allowed algorithms work", () =>
    withPeople(async ({ issuer, find, advance }) => {
      for (const alg of ["RS256", "RS512", "PS384", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]) {
        await issuer.rotate(0, alg);
        advance(11 * second);
        expect([alg, (await find()).role]).toEqual([alg, "read"]);
      }
    }));

  test("are fetched again for a new key, and a token of a removed key is refused although it was known", () =>
    withPeople(
      async ({ issuer, people, advance, find, refusal }) => {
        const old = await issuer.token();
        await people.find(old, inDefault);
        await issuer.rotate(1);
        advance(11 * second);
        await find();
        expect(issuer.fetches).toBe(2);
        expect((await people.find(old, inDefault)).role).toBe("read");
        const { kid } = must(issuer.keys[0]);
        issuer.keys.splice(1);
        advance(601 * second);
        // The first use after ten minutes begins the fetch, and does not wait for it.
        const [current] = issuer.keys;
        expect(current?.kid).toBe(kid);
        await people.prepare();
        expect(issuer.fetches).toBe(3);
        expect(await refusal(old)).toMatch(/no such key|expired/);
      },
      { "advanced.oidcLeewayMs": "5m" },
    ));

  test("are asked for first if no token has arrived for long, also for a token that is known", () =>
    withPeople(async ({ issuer, people, advance, refusal }) => {
      const token = await issuer.token({ claims: { exp: now() + 8 * 3600 } });
      expect((await people.find(token, inDefault)).role).toBe("read");
      // The issuer is down: the known keys stay valid.
      issuer.answer = (response) => void response.writeHead(500).end();
      advance(2 * hour);
      expect((await people.find(token, inDefault)).role).toBe("read");
      issuer.answer = undefined;
      await issuer.rotate();
      advance(2 * hour);
      expect(await refusal(token)).toContain("no such key");
      // A token that arrives soon after the interval does not wait.
      const other = await issuer.token({ claims: { exp: now() + 8 * 3600 } });
      await people.find(other, inDefault);
      await issuer.rotate();
      advance(605 * second);
      expect((await people.find(other, inDefault)).role).toBe("read");
      await people.prepare();
      expect(await refusal(other)).toContain("no such key");
    }));

  test("are not fetched more often because of invented keys", () =>
    withPeople(async ({ issuer, people, refusal, advance, find }) => {
      await find();
      const invented = await Promise.all(
        Array.from({ length: 200 }, (_, index) => issuer.token({ header: { kid: `invented-${index}` } })),
      );
      const outcomes = await Promise.allSettled(invented.map(async (token) => people.find(token, inDefault)));
      expect(outcomes.every(({ status }) => status === "rejected")).toBe(true);
      expect(issuer.fetches).toBe(1);
      advance(11 * second);
      for (const token of invented.slice(0, 50)) expect(await refusal(token)).toContain("no such key");
      expect(issuer.fetches).toBe(2);
      expect((await find({ claims: { sub: "x" } })).id).toBe("person:x");
    }));

  test("known people are served, and others with known keys, while invented keys wait for a slow issuer", () =>
    withPeople(async ({ issuer, people, advance, find, refusal }) => {
      const known = await issuer.token();
      await people.find(known, inDefault);
      advance(11 * second);
      const held = Promise.withResolvers<ServerResponse>();
      issuer.answer = (response) => held.resolve(response);
      const waiting = await Promise.all(
        Array.from({ length: 64 }, (_, index) => issuer.token({ header: { kid: `${index}` } })),
      );
      const outcomes = Promise.allSettled(waiting.map(async (token) => people.find(token, inDefault)));
      const response = await held.promise;
      expect(people.find(known, inDefault)).toMatchObject({ role: "read" });
      expect((await find({ claims: { sub: "new" } })).id).toBe("person:new");
      expect(await refusal({ header: { kid: "one too many" } })).toStartWith("not_ready: too many tokens wait");
      issuer.answer = undefined;
      response.statusCode = 500;
      response.end();
      expect((await outcomes).every(({ status }) => status === "rejected")).toBe(true);
    }));

  test("stay valid for a day while the issuer is down, but no longer", () =>
    withPeople(async ({ issuer, people, advance, refusal, find }) => {
      const inTwoDays = { claims: { exp: now() + 48 * 3600 } };
      const known = await issuer.token(inTwoDays);
      await people.find(known, inDefault);
      issuer.answer = (response) => void response.destroy();
      for (const _ of Array.from({ length: 23 })) {
        advance(hour);
        expect(await people.find(known, inDefault)).toMatchObject({ role: "read" });
        await people.prepare();
      }
      expect((await find({ claims: { ...inTwoDays.claims, sub: "x" } })).id).toBe("person:x");
      advance(hour);
      expect(await refusal(known)).toStartWith("not_ready: this node can't verify tokens now");
      expect(await refusal(inTwoDays)).toStartWith("not_ready");
      issuer.answer = undefined;
      advance(11 * second);
      expect((await people.find(known, inDefault)).role).toBe("read");
    }));

  test("are fetched soon after an issuer that was down at the start is up", () =>
    withPeople(async ({ issuer, people, advance, find, refusal }) => {
      issuer.answer = (response) => void response.destroy();
      await people.prepare();
      expect(await refusal({})).toStartWith("not_ready");
      issuer.answer = undefined;
      advance(second);
      expect((await find()).role).toBe("read");
    }));

  test("come only from documents that are as they must be", () =>
    withPeople(async ({ issuer, advance, refusal, find }) => {
      const answers: ((response: ServerResponse, path: string) => void)[] = [
        (response) => void response.writeHead(302, { location: `${issuer.url}/keys` }).end(),
        (response) => void response.writeHead(302, { location: "file:///etc/passwd" }).end(),
        (response) => void response.writeHead(404).end("{}"),
        (response) => void response.end("not JSON"),
        (response) => void response.end("null"),
        (response) => void response.end(JSON.stringify({ issuer: issuer.url })),
        (response) => void response.end(JSON.stringify({ issuer: issuer.url, jwks_uri: "http://example.com/keys" })),
        (response) => void response.end(JSON.stringify({ issuer: issuer.url, jwks_uri: "file:///etc/passwd" })),
        (response) => void response.end(JSON.stringify({ issuer: issuer.url, jwks_uri: ["x"] })),
        (response) =>
          void response.end(JSON.stringify({ issuer: "https://evil.example", jwks_uri: `${issuer.url}/keys` })),
        (response, path) =>
          void response.end(
            path === "/keys"
              ? `{"keys":[${'{"kty":"EC"},'.repeat(30_000)}{}]}`
              : JSON.stringify({ issuer: issuer.url, jwks_uri: `${issuer.url}/keys` }),
          ),
      ];
      for (const answer of answers) {
        issuer.answer = answer;
        advance(11 * second);
        expect(await refusal({})).toStartWith("not_ready");
      }
      issuer.answer = undefined;
      advance(11 * second);
      await find();
    }));

  test("an issuer that does not answer in time counts as down", () =>
    withPeople(
      async ({ issuer, refusal }) => {
        issuer.answer = () => {};
        expect(await refusal({})).toStartWith("not_ready");
        issuer.answer = (response) => void response.writeHead(200).write("{");
        expect(await refusal({})).toStartWith("not_ready");
      },
      { "advanced.oidcFetchTimeoutMs": "50ms" },
    ));

  test("in another order are the same keys", () =>
    withPeople(async ({ issuer, people, advance }) => {
      await issuer.rotate(1);
      const token = await issuer.token();
      await people.find(token, inDefault);
      issuer.keys.reverse();
      advance(11 * second);
      await people.prepare();
      expect(issuer.fetches).toBe(2);
      expect(people.find(token, inDefault)).toMatchObject({ keySet: 1 });
    }));

  test("that are too short are not used", () =>
    withPeople(async ({ issuer, refusal }) => {
      const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
      const jwk = { ...publicKey.export({ format: "jwk" }), kid: "short", alg: "RS256" };
      issuer.answer = (response, path) =>
        void response.end(
          JSON.stringify(path === "/keys" ? { keys: [jwk] } : { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` }),
        );
      const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
      const claims = { iss: issuer.url, aud: "ostiary", sub: "ann", exp: now() + 300, groups: ["owners"] };
      const signed = `${encode({ alg: "RS256", kid: "short" })}.${encode(claims)}`;
      const signature = sign("sha256", Buffer.from(signed), privateKey).toString("base64url");
      expect(await refusal(`${signed}.${signature}`)).toContain("its key is not usable");
    }));

  test("symmetric keys, and keys for encryption, are not used", () =>
    withPeople(async ({ issuer, refusal }) => {
      const { kid } = must(issuer.keys[0]);
      const jwks = [
        { kty: "oct", k: "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", kid },
        { ...must(issuer.keys[0]).jwk, use: "enc" },
        { ...must(issuer.keys[0]).jwk, key_ops: ["sign"] },
      ];
      issuer.answer = (response, path) =>
        void response.end(
          JSON.stringify(path === "/keys" ? { keys: jwks } : { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` }),
        );
      expect(await refusal({})).toContain("no such key");
    }));
});
