/** The order inside folders: which subfolder may import which, and that no files import each other in a circle. Types count like values. */
import { lineOf, type SourceFile } from "./source-file.ts";

/**
 * For each folder with subfolders its entries, lowest first: an entry may import the entries before it, and itself. An entry is a subfolder, or a file of
 * the folder itself. `.` stands for all files of the folder that are not named.
 */
export const folderOrders: Readonly<Record<string, readonly string[]>> = {
  "src/polar": [".", "checks", "compile.ts", "format", "format.ts", "explain-rules.ts"],
  "src/datalog": ["ir", "analysis", "specialise", "rewrite", "sql", "print", "pipeline.ts"],
  "src/runtime": ["web-socket-duplex.ts", "platform.ts", "bun", "deno", "."],
  "src/store": ["connection", "facts", "statistics", "log", "keys", "integrity", "snapshot", "directory"],
  "src/log": ["event", "derived", "state", "append", "writer", "reader"],
  "src/engine": [
    "request",
    "evaluator",
    "query",
    "local",
    "engine.ts",
    "authenticate.ts",
    "explain",
    "validation",
    "workers",
  ],
  "src/replication": [
    ".",
    "lease",
    "transport",
    "survey",
    "audit",
    "node.ts",
    "snapshots",
    "backup",
    "replica",
    "failover",
  ],
  "src/console": [".", "ui"],
  "src/console/ui": [
    "texts",
    "texts.ts",
    "store.ts",
    "api",
    "state",
    "components",
    "overview",
    "facts",
    "object",
    "model",
    "ask",
    "start",
    "share",
    "decisions",
    "policy",
    "changes",
    "traces",
    "administration",
    "manual",
    "screens",
    "palette",
    ".",
  ],
  "src/http": ["pages", "response", "request", "endpoint.ts", "schemas", "parity", "oidc", "middleware", "events", "."],
};

export function checkFolderOrder(file: SourceFile, orders = folderOrders): string[] {
  return Object.entries(orders).flatMap(([folder, order]) => {
    const own = entryOf(folder, order, file.path);
    if (own === undefined) return [];
    if (!order.includes(own)) return [`${file.path}: \`${own}\` is not in the order of \`${folder}\``];
    return file.imports.flatMap(({ path, start }) => {
      const imported = path === undefined ? undefined : entryOf(folder, order, path);
      if (imported === undefined || order.indexOf(imported) <= order.indexOf(own)) return [];
      const at = `${file.path}:${lineOf(file.text, start)}: `;
      return [`${at}\`${own}\` comes before \`${imported}\` in the order of \`${folder}\`, so it must not import it`];
    });
  });
}

/** The entry of `folder` to which a file belongs; undefined for files elsewhere. */
function entryOf(folder: string, order: readonly string[], path: string): string | undefined {
  if (!path.startsWith(`${folder}/`)) return undefined;
  const [first = "", ...below] = path.slice(folder.length + 1).split("/");
  return below.length > 0 || order.includes(first) ? first : ".";
}

/** Each group of files of `src/` that import each other in a circle, as one line (Tarjan's strongly connected components, 1972). */
export function importCycles(files: readonly SourceFile[]): string[] {
  const imports = new Map(
    files
      .filter(({ path }) => path.startsWith("src/"))
      .map((file) => [file.path, file.imports.flatMap(({ path }) => path ?? [])]),
  );
  const indexes = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[] = [];
  const visit = (path: string): number => {
    const index = indexes.size;
    indexes.set(path, index);
    lowest.set(path, index);
    stack.push(path);
    for (const next of imports.get(path) ?? []) {
      if (!imports.has(next)) continue;
      const reached = indexes.has(next) ? (stack.includes(next) ? indexes.get(next) : undefined) : visit(next);
      lowest.set(path, Math.min(lowest.get(path) ?? index, reached ?? index));
    }
    const low = lowest.get(path) ?? index;
    if (low === index) {
      const group = stack.splice(stack.indexOf(path));
      if (group.length > 1 || imports.get(path)?.includes(path)) cycles.push(group.toSorted().join(" "));
    }
    return low;
  };
  for (const path of imports.keys()) if (!indexes.has(path)) visit(path);
  return cycles;
}
