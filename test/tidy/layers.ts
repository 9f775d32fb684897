/** Who may import whom. The table may change: with the reason, in the same commit. */
import { lineOf, type SourceFile } from "./source-file.ts";

/** For each folder of `src/` the others that it may import. Types count like values: knowing a type is depending on it. */
const layers: Readonly<Record<string, readonly string[]>> = {
  util: [],
  // What applications import runs in their process: it brings nothing of the node with it.
  client: [],
  config: ["util"],
  telemetry: ["util"],
  polar: ["util"],
  runtime: ["util"],
  datalog: ["polar", "util"],
  // SQL for the databases of applications: pure, but for the reader of YAML.
  local: ["datalog", "polar", "runtime", "util"],
  store: ["config", "runtime", "telemetry", "util"],
  // Translates the schemas of other systems: pure, and needs nothing of a node but the shape of facts.
  import: ["polar", "store", "util"],
  // The active policy of a store: the log writes under it, and the engine answers under it. A thread compiles large ones.
  policy: ["config", "datalog", "polar", "runtime", "store", "telemetry", "util"],
  // Each change of a store, in one place. Its thread opens the database, hence runtime.
  log: ["config", "datalog", "policy", "runtime", "store", "telemetry", "util"],
  // Answers. It applies events only to databases in memory: for the tests of a policy, and for reports of plans.
  engine: ["config", "datalog", "local", "log", "polar", "policy", "store", "telemetry", "util"],
  // replication opens the database and spawns workers, hence runtime.
  replication: ["config", "engine", "log", "policy", "runtime", "store", "telemetry", "util"],
  // The log of decisions: it reconstructs the data of their time with replication's point-in-time recovery.
  decisions: ["config", "engine", "log", "polar", "policy", "replication", "runtime", "store", "telemetry", "util"],
  // Of the store it has the declarations: facts, keys, entries of the audit log. It has no connection.
  http: ["config", "decisions", "engine", "log", "polar", "policy", "replication", "store", "telemetry", "util"],
  // What the API offers: for each subject its endpoints, and the code that handles their requests.
  features: [
    "config",
    "decisions",
    "engine",
    "http",
    "log",
    "polar",
    "policy",
    "replication",
    "store",
    "telemetry",
    "util",
  ],
  // Threads that answer questions: each has the database, the handlers of questions, and a listener at the port.
  threads: [
    "config",
    "decisions",
    "engine",
    "features",
    "http",
    "log",
    "policy",
    "replication",
    "runtime",
    "store",
    "telemetry",
    "util",
  ],
  // The files of the web console. The code in the browser is below `ui`.
  console: ["runtime", "util"],
  roles: [
    "config",
    "console",
    "decisions",
    "engine",
    "features",
    "http",
    "log",
    "polar",
    "policy",
    "replication",
    "runtime",
    "store",
    "telemetry",
    "threads",
    "util",
  ],
  // The environments of one process: each is a node of its own, which `roles` starts.
  environments: ["config", "features", "http", "log", "replication", "roles", "runtime", "store", "telemetry", "util"],
  // The node of `ostiary dev`.
  dev: ["config", "decisions", "engine", "features", "polar", "replication", "roles", "store", "util"],
  cli: [
    "config",
    "decisions",
    "dev",
    "engine",
    "environments",
    "features",
    "http",
    "import",
    "local",
    "log",
    "polar",
    "policy",
    "replication",
    "roles",
    "runtime",
    "store",
    "telemetry",
    "util",
  ],
};

/** Files that more may import than the table says. */
const exceptions: readonly { readonly file: string; readonly from: readonly string[]; readonly why: string }[] = [
  {
    file: "src/runtime/sqlite.ts",
    from: ["engine"],
    why: "the engine prepares its statements on the store's connection",
  },
  {
    file: "src/runtime/worker.ts",
    from: ["engine", "http"],
    why: "engine and http serve a worker each, because long work must not run on the serving thread",
  },
  {
    file: "src/runtime/spawn-worker.ts",
    from: ["http"],
    why: "http parses large bodies in a thread",
  },
  {
    file: "src/runtime/worker-process.ts",
    from: ["engine"],
    why: "questions that may take long, explanations and checks of policies run in processes that can be ended",
  },
];

/** Folders that alone may import a package, so that a change of it has one place. */
const packages: readonly { readonly pattern: RegExp; readonly folders: readonly string[] }[] = [
  { pattern: /^@opentelemetry\/(?!api$)/, folders: ["telemetry"] },
  { pattern: /^@logtape\//, folders: ["telemetry"] },
  { pattern: /^(?:mqtt|aedes)(?:$|[-/])/, folders: ["replication"] },
  { pattern: /^(?:elysia|@elysiajs\/.*)$/, folders: ["features", "http", "roles"] },
  { pattern: /^drizzle-orm/, folders: ["runtime", "store", "log"] },
  { pattern: /^commander$/, folders: ["cli"] },
  { pattern: /^(?:preact|uplot|marked|@dagrejs\/dagre|@codemirror|@lezer)(?:$|\/)/, folders: ["console"] },
  { pattern: /^yaml$/, folders: ["runtime", "import"] },
  { pattern: /^bun(?:$|:)/, folders: ["runtime"] },
];

const mainImports = /^src\/(?:cli\/|runtime\/worker-process\.ts$)/;
const sqliteFolders = ["runtime", "store", "log", "engine", "replication", "decisions", "roles"];
const pure = ["polar", "datalog"];

export function checkLayers(file: SourceFile): string[] {
  const folder = /^src\/(?:(\w+)\/)?/.exec(file.path);
  return file.imports.flatMap((imported) => {
    const at = `${file.path}:${lineOf(file.text, imported.start)}: `;
    if (imported.path?.endsWith(".test.ts")) return [`${at}imports a test`];
    if (folder === null) return [];
    // A command is part of the command line, wherever it stands.
    const own = commandFile.test(file.path) ? "cli" : (folder[1] ?? "main");
    const problem =
      imported.path === undefined
        ? packageProblem(own, imported.specifier)
        : (fileProblem(own, imported.path) ?? featureProblem(file.path, imported.path));
    const isDeclared = !imported.isLoaded && declarations.test(imported.path ?? "");
    if (file.path.startsWith(browser) && (isDeclared || shared.has(imported.path ?? ""))) return [];
    if (imported.path !== undefined && file.path.startsWith(browser) !== imported.path.startsWith(browser))
      return [`${at}the code in the browser and that of the node are separate programs`];
    return problem === undefined ? [] : [at + problem];
  });
}

/** Runs in a browser, so it has nothing of the node but its API. */
const browser = "src/console/ui/";
/** Pure: what a node, a terminal and the console have to do in the same way. */
const shared: ReadonlySet<string> = new Set([
  "src/util/console-requests.ts",
  "src/util/printable.ts",
  "src/util/query-text.ts",
  "src/util/value-text.ts",
]);
/** The types in them describe the API. */
const declarations = /^src\/(?:features\/\w+\/endpoints|http\/endpoint)\.ts$/;

function packageProblem(own: string, specifier: string): string | undefined {
  if (pure.includes(own) && specifier.startsWith("node:"))
    return `\`${own}\` is pure: it must not import \`${specifier}\``;
  const rule = packages.find(({ pattern }) => pattern.test(specifier));
  if (rule === undefined || rule.folders.includes(own)) return undefined;
  return `\`${specifier}\` belongs to ${rule.folders.join(", ")}`;
}

function fileProblem(own: string, path: string): string | undefined {
  if (path === "package.json") return undefined;
  const target = /^src\/(\w+)\//.exec(path)?.[1];
  if (target === undefined) return `\`src/\` must not import \`${path}\``;
  if (path === "src/runtime/sqlite.ts" && !sqliteFolders.includes(own))
    return "only runtime, store, log, engine, replication, decisions and roles touch SQLite";
  if (path.startsWith("src/store/connection/") && ["http", "features"].includes(own))
    return `\`${own}\` uses what the store declares, but it has no connection`;
  if (own === "main") return mainImports.test(path) ? undefined : "main.ts only starts cli/, or a worker process";
  if (own === target || (own === "cli" && target === "features")) return undefined;
  if (exceptions.some(({ file, from }) => file === path && from.includes(own))) return undefined;
  const allowed = layers[own];
  if (allowed === undefined) return `\`src/${own}/\` is not in the table of layers`;
  return allowed.includes(target) ? undefined : `\`${own}\` must not import \`${target}\``;
}

/** Features are independent of each other, and declarations of the code that uses them. */
function featureProblem(path: string, imported: string): string | undefined {
  const [from, to] = [featureFile.exec(path), featureFile.exec(imported)];
  if (path.startsWith("src/cli/") && to !== null && to[2] !== "endpoints.ts" && !commandFile.test(imported))
    return "the command line knows endpoints and commands of features, not what the node does";
  if (from === null || to === null) return undefined;
  if (commandFile.test(path) && to[2] !== "endpoints.ts" && from[1] !== to[1])
    return "a command must not import that of another feature: what they share belongs to `src/cli/`";
  if (commandFile.test(path)) return to[2] === "handle.ts" ? "a command asks a node, it has no part of it" : undefined;
  if (from[1] !== to[1]) return "a feature must not import another one: what they share belongs to `src/http/`";
  return from[2] === "endpoints.ts" ? "the endpoints of a feature are data: they import no code of it" : undefined;
}

const commandFile = /^src\/features\/\w+\/command(?:-[\w-]+)?\.ts$/;
const featureFile = /^src\/features\/(\w+)\/(.*)$/;

/** Files of `src/` that no entry reaches: dead, whatever tests say. */
export function unreachable(files: readonly SourceFile[], entries: readonly string[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const imported of byPath.get(path)?.imports ?? []) if (imported.path !== undefined) visit(imported.path);
  };
  entries.forEach(visit);
  return files
    .map(({ path }) => path)
    .filter((path) => path.startsWith("src/") && !path.endsWith(".d.ts") && !reached.has(path));
}
