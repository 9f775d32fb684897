/** The codes of all diagnostics, from the strings of the source. */
import { join } from "node:path";
import { readdirSync, readFileSync } from "node:fs";
import { isNode, parseSource, walk, type Node } from "../tidy/source-file.ts";

const root = join(import.meta.dirname, "../..");

/** Sorted. A template `${stage}/…` is one code for each stage that its file names. */
export function codesInSource(...folders: string[]): string[] {
  const codes = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .flatMap((name) => codesIn(join(folder, name))),
  );
  return [...new Set(codes)].sort();
}

function codesIn(path: string): string[] {
  const { text, program } = parseSource(path, readFileSync(join(root, path), "utf8"));
  const stages = /\bstage: ((?:"[a-z]+"(?: \| )?)+)/.exec(text)?.[1]?.match(/[a-z]+/g) ?? [];
  return [...walk(program)].flatMap(({ node }) => {
    if (node.type === "Literal" && typeof node["value"] === "string") {
      return code.test(node["value"]) ? [node["value"]] : [];
    }
    const rest = afterStage(node);
    return rest === undefined ? [] : stages.map((stage) => stage + rest);
  });
}

const code = /^(?:block|fact|file|rule|syntax|test)\/[a-z]+(?:-[a-z]+)*$/;

/** The rest of a template that begins with the variable `stage`, such as `/empty-id`. */
function afterStage(node: Node): string | undefined {
  if (node.type !== "TemplateLiteral") return undefined;
  const expressions: unknown = node["expressions"];
  const first: unknown = Array.isArray(expressions) ? expressions[0] : undefined;
  if (!isNode(first) || first["name"] !== "stage") return undefined;
  return /^\$\{stage\}(\/[a-z]+(?:-[a-z]+)*)$/.exec(source(node))?.[1];
}

function source(node: Node): string {
  const quasis = node["quasis"];
  if (!Array.isArray(quasis)) return "";
  return quasis.map((quasi: { value: { raw: string } }) => quasi.value.raw).join("${stage}");
}
