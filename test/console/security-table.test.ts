/** The security headers of all responses below `/console`, as a table; and a node without the console loads none of it. */
import { beforeAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { extname } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { readArchive } from "../../src/console/console-archive.ts";
import { expectGolden } from "../golden.ts";
import { withPrimary } from "../http/api.ts";
import { adminKey, nodeKey, withDirectory } from "../replication/cluster.ts";
import { builtConsole } from "./built-console.ts";

beforeAll(builtConsole);

/** They differ in each run, or are of HTTP itself. */
const ignored = new Set([
  "date",
  "server-timing",
  "x-request-id",
  "etag",
  "content-length",
  "transfer-encoding",
  "connection",
]);

interface Probe {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

test("each response has the headers of the table", () =>
  withPrimary(async ({ url }) => {
    const rowOf = async (path: string, { method = "GET", headers = {} }: Probe = {}): Promise<string> => {
      const all = { "Accept-Encoding": "identity", ...headers };
      const response = await fetch(url + path, { method, headers: all, redirect: "manual" });
      await response.text();
      const lines = [...response.headers]
        .filter(([name]) => !ignored.has(name))
        .map(([name, value]) => `  ${name}: ${value}`);
      return [response.status, ...lines.toSorted()].join("\n");
    };
    const identity = { headers: { "Accept-Encoding": "identity" } };
    const tag = (await fetch(`${url}/console/`, identity)).headers.get("etag") ?? "";
    const rows: (readonly [string, string])[] = [
      ["GET /console", await rowOf("/console")],
      ["GET /console/", await rowOf("/console/")],
      ["GET /console/ with its entity tag", await rowOf("/console/", { headers: { "If-None-Match": tag } })],
      ["GET /console/?code=c", await rowOf("/console/?code=c")],
      ["GET //console//", await rowOf("//console//")],
      ["HEAD /console/", await rowOf("/console/", { method: "HEAD" })],
      ["GET /console/nothing.js", await rowOf("/console/nothing.js")],
      ["POST /console/", await rowOf("/console/", { method: "POST" })],
      ["OPTIONS /console/", await rowOf("/console/", { method: "OPTIONS", headers: { Origin: "https://a.example" } })],
    ];
    const ofTypes = new Map<string, Set<string>>();
    for (const name of readArchive().keys()) {
      const type = name === "index.html" ? name : `*${extname(name)}`;
      ofTypes.set(type, (ofTypes.get(type) ?? new Set()).add(await rowOf(`/console/${name}`)));
    }
    for (const [type, each] of [...ofTypes].toSorted())
      rows.push(...[...each].map((row) => [`GET /console/${type}`, row] as const));
    const text = rows.map(([name, row]) => `${name}: ${row}\n`).join("");
    expectGolden(new URL("security-table.txt", import.meta.url).pathname, text);
  }));

/** Starts a node, asks for the console, and prints the loaded modules of it before and after. */
const program = `
import { createRequire } from "node:module";
import { loadConfig } from "./src/config/load.ts";
import { startEnvironments } from "./src/environments/host.ts";
const { config } = loadConfig({ environment: {}, flags: JSON.parse(process.argv.at(-1)) });
const running = await startEnvironments(config);
const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter((path) => /console-(?:files|archive)/.test(path)).length;
const before = loaded();
const { status } = await fetch(running.url + "/console/");
console.log(JSON.stringify([before, status, loaded()]));
await running.stop();
process.exit();
`;

test.each([
  ["false", [0, 404, 0]],
  ["true", [0, 200, 2]],
])(
  "a node whose `console` is %s has loaded this many of its modules before and after a request: %j",
  (console, expected) =>
    withDirectory(async (data) => {
      const settings = { role: "primary", environment: "test", nodeKey, adminKey, port: "0", mqttPort: "0" };
      const flags = JSON.stringify({ ...settings, data, "log.level": "error", console });
      const child = spawnSync(process.execPath, ["-e", program, flags], { cwd: projectRoot, encoding: "utf8" });
      expect([child.stderr, child.stdout.trim()]).toEqual(["", JSON.stringify(expected)]);
    }),
  60_000,
);
