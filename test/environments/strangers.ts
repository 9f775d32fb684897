/** Senders without access to an environment, and the comparison of all answers that they get. */
import { expect } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { createApp } from "../../src/features/app.ts";
import type { RunningNode } from "../../src/roles/node-service.ts";
import { eventually } from "../replication/cluster.ts";
import { must } from "../../src/util/assert.ts";
import { type Issuer, oidcFlags } from "../http/issuer.ts";
import { comparable } from "./host.ts";

export const [existing, missing] = ["zebra", "zebre"] as const;
export const wrongSecret = "0".repeat(48);

const retryMsMax = 1000;
const ageHeader = "x-ostiary-snapshot-age-ms";

type SentHeaders = Readonly<Record<string, string>>;

/** The settings of a node whose issuer gives only writers a role, in the existing environment. */
export function strangersFlags(issuer: Issuer) {
  return { ...oidcFlags(issuer), "oidc.read": `${existing}::writers,readers`, "oidc.write": `${existing}::writers` };
}

/** The headers of senders without access to the environment, which has this key. */
export async function strangers(issuer: Issuer, key: string) {
  const keyId = must(key.split("_")[2]);
  const stranger = await issuer.token({ claims: { groups: ["owners"] } });
  const member = await issuer.token({ claims: { groups: ["writers"] } });
  const reader = await issuer.token({ claims: { groups: ["readers"] } });
  const expired = await issuer.token({ claims: { exp: 1 } });
  const withKey =
    (id: string, scheme = "Bearer") =>
    (environment: string): SentHeaders => ({ Authorization: `${scheme} e_${environment}_${id}_${wrongSecret}` });
  const asPerson =
    (authorization?: string) =>
    (environment: string): SentHeaders => ({
      "Ostiary-Environment": environment,
      ...(authorization !== undefined && { Authorization: authorization }),
    });
  return new Map<string, (environment: string) => SentHeaders>([
    ["the id of a key", withKey(keyId)],
    ["an unknown id", withKey("0".repeat(12))],
    ["no id", (environment) => ({ Authorization: `Bearer e_${environment}` })],
    ["a key with a small b", withKey(keyId, "bearer")],
    ["a key with another scheme", withKey(keyId, "Basic")],
    ["no credential", asPerson()],
    ["an empty credential", asPerson("Bearer ")],
    ["a wrong credential", asPerson("Bearer wrong")],
    ["another scheme", asPerson("Basic eDp5")],
    ["no token", asPerson("Bearer a.b.c")],
    ["a forged token", asPerson(`Bearer ${member}x`)],
    ["an expired token", asPerson(`Bearer ${expired}`)],
    ["a token without a role", asPerson(`Bearer ${stranger}`)],
    ["a token with a role in the default environment", asPerson(`Bearer ${reader}`)],
  ]);
}

/** Expects that each route answers each sender for the existing environment as for the missing one. */
export async function expectNoDifference(
  node: RunningNode,
  senders: Awaited<ReturnType<typeof strangers>>,
): Promise<void> {
  for (const [method, path] of pathsOf(node))
    for (const [sender, headersFor] of senders) {
      const send = async (environment: string) => {
        const response = await fetch(node.url + path.replace("<environment>", environment), {
          ...{ method, redirect: "manual" },
          headers: { ...headersFor(environment), "X-Request-ID": "same" },
        });
        const { status, headers } = response;
        // Ages grow between two requests.
        if (headers.has(ageHeader)) headers.set(ageHeader, "<age>");
        const text = (await response.text())
          .replaceAll(environment, "<environment>")
          .replace(/"age_ms":\d+/, '"age_ms":<age>');
        return comparable({ status, headers, text, json: {} });
      };
      // The health of the node can change between two requests.
      await eventually(async () => {
        const [one, other] = [await send(existing), await send(missing)];
        expect({ sender, method, path, answer: one }).toEqual({ sender, method, path, answer: other });
      }, retryMsMax);
    }
}

/** All routes, and paths that are none. */
function pathsOf(node: RunningNode): (readonly [method: string, path: string])[] {
  const app = createApp(node.node(), defaultLimits, { serveConsole: async () => new Response("") });
  const routes = app.routes
    // The number of logins is limited, and has a test of its own.
    .filter(({ path }) => !path.startsWith("/api/login/"))
    .map(({ method, path }) => [method === "ALL" ? "GET" : method, path.replace("*", "index.html")] as const);
  app.close();
  const others = ["/", "/console/", "/nothing", "/mqtt", "/readyz/", "/healthcheck/?a", "//api/keys", "//console/"];
  const ofNodes = ["replication/v1/head", "replication/v1/log", "replication/v1/vote", "api/keys", ""];
  return [
    ...routes,
    ...others.map((path) => ["GET", path] as const),
    ...["GET", "POST"].flatMap((method) =>
      ofNodes.map((path) => [method, `/environments/<environment>/${path}`] as const),
    ),
    ...["OPTIONS", "HEAD", "PUT"].flatMap((method) =>
      ["/api/keys", "/console/", "/api/login"].map((path) => [method, path] as const),
    ),
  ];
}
