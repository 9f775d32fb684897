/**
 * Creates a data directory for `test/data-directories/`: a primary and an edge of the built binary execute a small
 * history, answer queries, and leave their compressed files and their answers. Run it once for each version of the file
 * format, before the first build of the next one: `test/data-directories.integration.test.ts` opens all of them with the present
 * code. With a path it uses the binary of another checkout.
 */
import * as Bun from "bun";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { SqliteDatabase } from "../src/runtime/sqlite.ts";
import { builtBinary, projectRoot } from "./built-binary.ts";
import { freePort, NodeProcess, type Health } from "./node-process.ts";

const checkout = process.argv[2];
const binary = checkout === undefined ? await builtBinary() : resolve(checkout, "dist", "ostiary");
const adminKey = "e_default_admin_0123456789abcdef0123456789abcdef";
const nodeKey = "n_default_0123456789abcdef";

type Value = readonly [type: string, id: string];
type Fact = readonly [predicate: string, ...Value[]];

const folders = `actor User {}
resource Folder { roles = ["reader", "writer"]; permissions = ["read", "write"]; relations = { parent: Folder };
  "reader" if "writer"; role if role on "parent"; "read" if "reader"; "write" if "writer"; }`;
const teams = `${folders}
resource Team { roles = ["member"]; permissions = ["meet"]; relations = { parent: Team }; "meet" if "member"; }
has_role(user: User, "member", team: Team) if
  child matches Team and has_relation(child, "parent", team) and has_role(user, "member", child);
has_role(user: User, role: String, folder: Folder) if
  team matches Team and grants_role(team, role, folder) and has_role(user, "member", team);
allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and not is_banned(user);`;

const role = (user: string, name: string, ...place: Value): Fact => [
  "has_role",
  ["User", user],
  ["String", name],
  place,
];
const parent = (type: string, child: string, above: string): Fact => [
  "has_relation",
  [type, child],
  ["String", "parent"],
  [type, above],
];

/**
 * About twenty events of all kinds, the first one with the admin key. A created and a removed key have the same name.
 */
async function goThroughHistory(url: string): Promise<void> {
  const call = (method: string, path: string, body?: unknown): Promise<unknown> => ask(url, method, path, body);
  const policy = (src: string): Promise<unknown> => call("POST", "/api/policy", { src, filename: "policy.polar" });
  const insert = (...facts: Fact[]): Promise<unknown> => call("POST", "/api/batch", [{ inserts: facts.map(asJson) }]);
  const remove = (...facts: unknown[]): Promise<unknown> => call("POST", "/api/batch", [{ deletes: facts }]);
  const key = async (name: string): Promise<string> =>
    ((await call("POST", "/api/keys", { name, role: "read" })) as { id: string }).id;

  await policy(folders);
  await insert(...chain("Folder", 12), role("ann", "writer", "Folder", "12"), role("bob", "reader", "Folder", "6"));
  await insert(role("max", "reader", "Folder", "1"), role("eve", "writer", "Folder", "3"));
  await key("stays");
  const removed = await key("goes");
  await remove(allRolesOf("max"));
  await call("DELETE", `/api/keys/${removed}`);
  await call("POST", "/api/clear_data");
  await insert(...chain("Folder", 9), role("ann", "writer", "Folder", "9"), role("bob", "reader", "Folder", "5"));
  await policy(teams);
  await insert(...chain("Team", 4), role("pia", "member", "Team", "1"), role("tom", "member", "Team", "3"));
  await insert(["grants_role", ["Team", "4"], ["String", "reader"], ["Folder", "7"]]);
  await insert(["grants_role", ["Team", "2"], ["String", "writer"], ["Folder", "2"]]);
  // A cycle, and a second path around a deleted edge.
  await insert(parent("Folder", "9", "8"), parent("Folder", "4", "6"));
  await remove(asJson(parent("Folder", "4", "5")));
  await insert(role("mallory", "writer", "Folder", "9"), ["is_banned", ["User", "mallory"]]);
  await insert(role('Zoë "Z" O\'Neil\t🦊', "reader", "Folder", "8"), role("ann", "reader", "Folder", "ä/ö"));
  await remove(asJson(role("tom", "member", "Team", "3")));
  await insert(role("tom", "member", "Team", "4"), role("uma", "reader", "Folder", "1"));
  await remove(allRolesOf("uma"));
}

function allRolesOf(user: string): unknown {
  const any = { type: null, id: null };
  return { predicate: "has_role", args: [{ type: "User", id: user }, any, any] };
}

function chain(type: string, length: number): Fact[] {
  return Array.from({ length: length - 1 }, (_, index) => parent(type, String(index + 1), String(index + 2)));
}

function asJson([predicate, ...args]: Fact): unknown {
  return { predicate, args: args.map(([type, id]) => ({ type, id })) };
}

const users = ["ann", "bob", "eve", "pia", "tom", "mallory", 'Zoë "Z" O\'Neil\t🦊', "nobody"];

interface Question {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

function questions(): Question[] {
  const post = (path: string, body: unknown): Question => ({ method: "POST", path, body });
  const actor = (user: string): object => ({ actor_type: "User", actor_id: user, context_facts: [] });
  const folder = (id: string): object => ({ resource_type: "Folder", resource_id: id });
  return users.flatMap((user) => [
    ...["1", "4", "8", "ä/ö"].map((id) => post("/api/authorize", { ...actor(user), action: "read", ...folder(id) })),
    post("/api/authorize", { ...actor(user), action: "meet", resource_type: "Team", resource_id: "4" }),
    post("/api/list", { ...actor(user), action: "write", resource_type: "Folder" }),
    post("/api/actions", { ...actor(user), ...folder("2") }),
  ]);
}

async function ask(url: string, method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(url + path, {
    method,
    headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Returns the version of the file format. */
async function make(directory: string): Promise<number> {
  mkdirSync(join(directory, "kept"));
  const secrets = { OSTIARY_NODE_KEY: nodeKey };
  const node = async (name: "primary" | "edge", environment: Record<string, string>): Promise<NodeProcess> =>
    new NodeProcess({
      binary,
      name,
      role: name,
      port: await freePort(),
      directory: join(directory, name),
      environment: { ...secrets, OSTIARY_MQTT_PORT: "0", ...environment },
    });
  const primary = await node("primary", { OSTIARY_ADMIN_KEY: adminKey });
  const edge = await node("edge", { OSTIARY_PRIMARY: primary.url });
  const nodes = [primary, edge];
  let answers: object[];
  try {
    await primary.start();
    await goThroughHistory(primary.url);
    const there = await primary.health();
    await edge.start((health: Health) => health.ok && health.offset === there?.offset);
    answers = await Promise.all(
      questions().map(async (question) => ({
        ...question,
        answer: await ask(edge.url, question.method, question.path, question.body),
      })),
    );
  } finally {
    await Promise.all(nodes.map((running) => running.stop()));
  }
  for (const name of ["primary", "edge"]) keepFiles(directory, name);
  const { format, ...standing } = inspect(join(directory, "primary", "store-1.db"));
  const told = JSON.stringify({ adminKey, nodeKey, ...standing });
  const lines = answers.map((answer) => JSON.stringify(answer)).join(",\n");
  writeFileSync(join(directory, "kept", "told.json"), `${told.slice(0, -1)},"answers":[\n${lines}\n]}\n`);
  return format;
}

/** The files of the node, with compressed databases, without its lock and its snapshots. */
function keepFiles(directory: string, name: string): void {
  const kept = join(directory, "kept", name);
  mkdirSync(kept, { recursive: true });
  for (const entry of readdirSync(join(directory, name), { withFileTypes: true })) {
    if (!entry.isFile() || entry.name === "lock" || /-(?:wal|shm|journal)$/.test(entry.name)) continue;
    const content = readFileSync(join(directory, name, entry.name));
    if (entry.name.endsWith(".db"))
      writeFileSync(join(kept, `${entry.name}.zst`), Bun.zstdCompressSync(content, { level: 19 }));
    else writeFileSync(join(kept, entry.name), content);
  }
}

function inspect(path: string): { format: number; epoch: string; offset: number; digest: string } {
  const database = new SqliteDatabase(path, { readonly: true });
  // Another process can still be closing it.
  database.exec("PRAGMA busy_timeout = 5000");
  try {
    const [format] = database.prepare("PRAGMA user_version").values()[0] ?? [];
    const [epoch, offset, digest] = database.prepare("SELECT epoch, offset, digest FROM state").values()[0] ?? [];
    return { format: Number(format), epoch: String(epoch), offset: Number(offset), digest: String(digest) };
  } finally {
    database.close();
  }
}

const directory = mkdtempSync(join(tmpdir(), "ostiary-data-"));
try {
  const format = await make(directory);
  const target = join(projectRoot, "test", "data-directories", `format-${format}`);
  rmSync(target, { recursive: true, force: true });
  cpSync(join(directory, "kept"), target, { recursive: true });
  console.log(`made ${target}`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
