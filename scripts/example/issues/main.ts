/**
 * The issue tracker as a program: starts a node, fills a database, prints what some people see, and then serves
 * `GET /issues?user=ann&search=crash&sort=title` until Ctrl-C.
 */
import * as Bun from "bun";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Oso } from "oso-cloud";
import { builtBinary } from "../../built-binary.ts";
import { fillDatabase, openDatabase, sizeOf } from "./database.ts";
import { IssueTracker, type ListedIssue, sorts } from "./issue-tracker.ts";

const usage = `scripts/bun scripts/example/issues/main.ts [--db URL] [--issues N] [--exit]

  --db URL    sqlite:FILE, or a URL of an empty database of PostgreSQL (default: SQLite in memory)
  --issues N  how many issues the database has (default 2000)
  --exit      end after the first lists, instead of serving them over HTTP`;

const { values: options } = parseArgs({
  options: {
    db: { type: "string", default: "sqlite::memory:" },
    issues: { type: "string", default: "2000" },
    exit: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (options.help) console.log(usage);
else await main(options.db, Number(options.issues));

async function main(url: string, issues: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-issues-"));
  const node = await startNode();
  const database = openDatabase(url);
  try {
    const oso = new Oso(node.url, node.key, { dataBindings: writeBindings(folder, url) });
    // Central facts: only what the database of the application does not have.
    await oso.insert(["is_banned", { type: "User", id: "eve" }]);
    await oso.insert(["has_role", { type: "User", id: "sue" }, "support"]);
    await fillDatabase(database, sizeOf(issues));
    const tracker = new IssueTracker(database, oso);
    await show(tracker);
    if (options.exit) return;
    const server = serve(tracker);
    console.log(`\nhttp://localhost:${server.port}/issues?user=ann&search=Crash&sort=title  (Ctrl-C ends)`);
    await new Promise((resolve) => process.once("SIGINT", resolve));
    await server.stop(true);
  } finally {
    await database.destroy();
    await node.stop();
    rmSync(folder, { recursive: true });
  }
}

async function show(tracker: IssueTracker): Promise<void> {
  for (const user of ["ann", "bob", "sue", "eve"])
    print(`the newest issues of ${user}`, await tracker.list(user, { size: 3 }));
  const first = await tracker.list("ann", { search: "Crash", sort: "title", size: 3 });
  print("crashes for ann, by title", first);
  const last = first.at(-1);
  if (last)
    print("and the next page", await tracker.list("ann", { search: "Crash", sort: "title", size: 3, after: last }));
  const [issue] = await tracker.list("bob", { size: 1 });
  if (issue)
    console.log(`\nbob may do with the issue ${issue.id}: ${(await tracker.actions("bob", issue.id)).join(", ")}`);
}

function print(title: string, issues: readonly ListedIssue[]): void {
  console.log(`\n${title}${issues.length === 0 ? ": none" : ""}`);
  for (const { id, repository, title: about } of issues)
    console.log(`  ${String(id).padEnd(7)} ${(repository ?? "").padEnd(16)} ${about}`);
}

function serve(tracker: IssueTracker) {
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname !== "/issues") return new Response("not found", { status: 404 });
      // A real application knows the user from a session.
      const user = searchParams.get("user") ?? "nobody";
      const sort = sorts.find((name) => name === searchParams.get("sort")) ?? "newest";
      return Response.json(await tracker.list(user, { search: searchParams.get("search") ?? "", sort }));
    },
  });
}

/** The bindings for the database of this run. */
function writeBindings(folder: string, url: string): string {
  const path = join(folder, "bindings.yaml");
  const text = readFileSync(join(import.meta.dirname, "bindings.yaml"), "utf8");
  writeFileSync(path, url.startsWith("sqlite:") ? text : text.replace("dialect: sqlite", "dialect: postgres"));
  return path;
}

async function startNode() {
  const child = Bun.spawn(
    [await builtBinary(), "dev", join(import.meta.dirname, "policy.polar"), "--port", "0", "--json"],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    },
  );
  const { value } = await child.stdout.getReader().read();
  const { url, key } = JSON.parse(new TextDecoder().decode(value)) as { url: string; key: string };
  return {
    url,
    key,
    async stop() {
      child.kill("SIGINT");
      await child.exited;
    },
  };
}
