/**
 * What every start of a program or of a worker thread would pay for: schemas that modules make when they are loaded, and
 * packages that few starts need. `z.lazy` makes a schema at its first use, and `import()` loads a module then.
 */
import { isNode, lineOf, type Node, type SourceFile } from "./source-file.ts";

/** Of `prom-client` as a whole, which loads an HTTP client, single modules are enough. */
const slowPackages: readonly string[] = ["elysia", "mqtt", "aedes", "prom-client", "@logtape/logtape"];

/** Checks all modules that are loaded with these entries. */
export function checkStartCost(sources: readonly SourceFile[], entries: readonly string[]): string[] {
  const known = new Map(sources.map((source) => [source.path, source]));
  const loaded = new Set(entries);
  const reports: string[] = [];
  for (const path of loaded) {
    const file = known.get(path);
    if (file === undefined) continue;
    for (const request of file.imports.filter(({ isLoaded }) => isLoaded)) {
      if (request.path !== undefined) loaded.add(request.path);
      else if (slowPackages.includes(request.specifier))
        reports.push(`${path}:${lineOf(file.text, request.start)}: each start loads \`${request.specifier}\``);
    }
    for (const node of eagerSchemas(file.program))
      reports.push(`${path}:${lineOf(file.text, node.start)}: each start makes this schema`);
  }
  return reports;
}

/** The variables of a module whose values are expressions that begin with `z.`, but for `z.lazy`. */
function eagerSchemas({ body }: Node): Node[] {
  return (body as readonly Node[])
    .map((statement) => (isNode(statement["declaration"]) ? statement["declaration"] : statement))
    .filter(({ type }) => type === "VariableDeclaration")
    .flatMap(({ declarations }) => declarations as readonly Node[])
    .filter(({ init }) => isNode(init) && isSchema(init));
}

function isSchema(expression: Node): boolean {
  let member: unknown;
  let [node] = [expression];
  for (;;) {
    if (node.type === "Identifier") return node["name"] === "z" && member !== "lazy";
    const next = node.type === "MemberExpression" ? node["object"] : node["callee"];
    if (!isNode(next)) return false;
    if (node.type === "MemberExpression" && isNode(node["property"])) member = node["property"]["name"];
    node = next;
  }
}
