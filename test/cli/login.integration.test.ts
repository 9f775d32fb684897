/** `ostiary login`, `logout` and `whoami` with a complete OIDC issuer and a real node. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Node } from "../../src/replication/node.ts";
import { adminKey, type Running, withCluster } from "../replication/cluster.ts";
import { browse, clientId, type IdentityProvider, startIdentityProvider } from "./identity-provider.ts";
import { readUntil } from "./read-until.ts";
import { workspace } from "./workspace.ts";

const { run, start, path } = workspace();

interface Setting {
  readonly node: Running<Node>;
  readonly provider: IdentityProvider;
  readonly environment: Readonly<Record<string, string>>;
  readonly file: string;
  ostiary(...words: string[]): ReturnType<typeof run>;
}

/** A primary with an issuer, and a user without any login. `idTokenSeconds` is how long an ID token is valid. */
async function withIssuer(body: (setting: Setting) => Promise<void>, idTokenSeconds = 300, more = {}): Promise<void> {
  await using provider = await startIdentityProvider(idTokenSeconds);
  const flags = {
    "oidc.issuer": provider.url,
    "oidc.audience": clientId,
    "oidc.clientId": clientId,
    "oidc.scopes": "openid email groups offline_access",
    "oidc.write": "writers",
  };
  await withCluster(
    async (cluster) => {
      const node = await cluster.primary();
      const home = path(crypto.randomUUID());
      const environment = { HOME: home, XDG_CONFIG_HOME: "", OSO_URL: node.url };
      const ostiary: Setting["ostiary"] = (...words) => run(words, "", environment);
      await body({ node, provider, environment, file: `${home}/.config/ostiary/logins.json`, ostiary });
    },
    { ...flags, ...more },
  );
}

/** Logs in with a code, or in a browser that this test plays. */
async function logIn({ environment }: Setting, way: "device" | "browser", ...words: string[]) {
  const child = await start(["login", ...(way === "device" ? ["--device"] : []), ...words], {
    ...environment,
    ...(way === "browser" && { BROWSER: "true" }),
  });
  const [text] = await readUntil(child.stderr, way === "device" ? /^or open (\S+)\n/m : /^log in at (\S+)\n/m);
  const page = await browse(/(http\S+)\n$/.exec(text)?.[1] ?? "");
  const [output, status] = await Promise.all([child.stdout.text(), child.exited]);
  return { output, status, page };
}

const identity = "ann@example.com (person:ann), with the role write in the environment test";

describe("a login", () => {
  for (const way of ["device", "browser"] as const)
    test(`with the ${way} is used by all commands until the user logs out`, () =>
      withIssuer(async (setting) => {
        const { node, provider, environment, file, ostiary } = setting;
        const before = await ostiary("whoami");
        expect([before.status, before.errors]).toEqual([
          2,
          "error: OSO_AUTH is not set; set it to a read key of the node, or log in with `ostiary login`\n",
        ]);
        const { output, status } = await logIn(setting, way);
        expect([status, output]).toEqual([0, `logged in to ${node.url} as ${identity}\n`]);
        expect((await ostiary("whoami")).output).toBe(`${identity}\n`);
        const inOwn = { ...environment, OSO_ENVIRONMENT: "test" };
        expect((await run(["whoami"], "", inOwn)).output).toBe(`${identity}\n`);
        const inOther = { ...environment, OSO_ENVIRONMENT: "staging" };
        for (const words of ["whoami", "backup --out x", "events --follow"])
          expect([words, (await run(words.split(" "), "", inOther)).errors]).toEqual([
            words,
            expect.stringContaining("this person has no role here"),
          ]);
        const keyHas = { ...inOther, OSO_AUTH: adminKey };
        expect((await run(["whoami"], "", keyHas)).output).toContain("in the environment test");
        writeFileSync(path("p.polar"), "actor User {}");
        expect(await ostiary("policy", path("p.polar"))).toMatchObject({ status: 0 });
        const history = JSON.parse((await ostiary("policy", "history", "--json")).output) as object[];
        expect(history[0]).toMatchObject({ author: { id: "person:ann", name: "ann@example.com" } });
        const keys = await ostiary("keys", "list");
        expect([keys.status, keys.errors]).toEqual([1, expect.stringContaining("this person may only `write`")]);

        // Only the user may read it.
        expect([statSync(file).mode & 0o777, statSync(dirname(file)).mode & 0o777]).toEqual([0o600, 0o700]);
        const stored = readFileSync(file, "utf8");
        const { logins } = JSON.parse(stored) as { logins: Record<string, { token: string; refreshToken: string }> };
        const { token = "", refreshToken = "" } = logins[node.url] ?? {};
        expect([token.length, refreshToken.length].every((length) => length > 20)).toBe(true);

        expect(await ostiary("logout")).toMatchObject({ status: 0, output: `logged out of ${node.url}\n`, errors: "" });
        expect(provider.revoked()).toBe(1);
        expect(readFileSync(file, "utf8")).not.toContain(token);
        expect((await ostiary("whoami")).status).toBe(2);
        expect((await ostiary("logout")).output).toBe("you are not logged in\n");
      }));

  test("is renewed with the refresh token, once for several processes", () =>
    withIssuer(async (setting) => {
      const { provider, ostiary } = setting;
      expect((await logIn(setting, "browser", "--json")).status).toBe(0);
      expect(provider.grants).toEqual(["authorization_code"]);
      const answers = await Promise.all([ostiary("whoami"), ostiary("whoami"), ostiary("whoami")]);
      expect(answers.map(({ output }) => output)).toEqual([identity, identity, identity].map((text) => `${text}\n`));
      expect(new Set(provider.grants.slice(1))).toEqual(new Set(["refresh_token"]));
      // Each refresh token was used once, otherwise the issuer would have ended the login.
      expect((await ostiary("whoami")).output).toBe(`${identity}\n`);
    }, 10));

  test("ends when the issuer does not renew it", () =>
    withIssuer(async (setting) => {
      const { node, file, ostiary } = setting;
      await logIn(setting, "browser");
      writeFileSync(file, readFileSync(file, "utf8").replace(/"refreshToken": "[^"]+"/, '"refreshToken": "wrong"'));
      const { status, errors } = await ostiary("whoami");
      expect([status, errors]).toEqual([
        1,
        `error: your login to ${node.url} has expired, run \`ostiary login --url ${node.url}\` again\n`,
      ]);
    }, 10));

  test("is not used if there is a key, and not for another node", () =>
    withIssuer(async (setting) => {
      const { environment, node } = setting;
      await logIn(setting, "browser");
      const withKey = await run(["whoami", "--json"], "", { ...environment, OSO_AUTH: adminKey });
      expect(JSON.parse(withKey.output)).toEqual({
        kind: "key",
        id: "admin",
        name: "admin",
        role: "admin",
        environment: "test",
      });
      const other = await run(["whoami"], "", { ...environment, OSO_URL: node.url.replace("127.0.0.1", "localhost") });
      expect(other.status).toBe(2);
    }));

  test("is not kept if the person has no role", () =>
    withIssuer(
      async (setting) => {
        expect(await logIn(setting, "browser")).toMatchObject({ status: 1, output: "" });
        expect(existsSync(setting.file)).toBe(false);
      },
      300,
      { "oidc.write": "owners" },
    ));

  test("is refused if no token is for the node, which never gets one", () =>
    withIssuer(
      async (setting) => {
        expect(await logIn(setting, "browser")).toMatchObject({ status: 1, output: "" });
        expect(existsSync(setting.file)).toBe(false);
      },
      300,
      { "oidc.audience": "somebody-else" },
    ));
});

test("a damaged file of logins is named", () =>
  withIssuer(async (setting) => {
    await logIn(setting, "browser");
    writeFileSync(setting.file, "{");
    const { status, errors } = await setting.ostiary("whoami");
    expect([status, errors]).toEqual([1, `error: \`${setting.file}\` is damaged: remove it, and log in again\n`]);
  }));

test("a node without an issuer says so", () =>
  withCluster(async (cluster) => {
    const { url } = await cluster.primary();
    const { status, errors } = await run(["login", "--url", url], "", { HOME: path("nobody") });
    expect([status, errors]).toEqual([1, expect.stringContaining("this node has no OIDC issuer")]);
  }));
