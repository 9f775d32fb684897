/** Files that can be read in one go and functions that fit a screen. */
import { lineOf, walk, type Node, type SourceFile } from "./source-file.ts";

export const fileLinesMax = 600;
export const functionLinesMax = 90;

export function checkSize(file: SourceFile): string[] {
  const lines = file.text.split("\n").length - 1;
  const problems = lines > fileLinesMax ? [`${file.path}: ${lines} lines, at most ${fileLinesMax} are allowed`] : [];
  for (const { node, parent } of walk(file.program)) {
    if (!functionTypes.has(node.type) || groupsTests(parent)) continue;
    const first = lineOf(file.text, node.start);
    const length = lineOf(file.text, node.end) - first + 1;
    if (length > functionLinesMax)
      problems.push(`${file.path}:${first}: a function of ${length} lines, at most ${functionLinesMax} are allowed`);
  }
  return problems;
}

const functionTypes = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);

/** The function given to `describe` is a list of tests, each a function of its own. */
function groupsTests(parent: Node | undefined): boolean {
  if (parent?.type !== "CallExpression") return false;
  for (const { node } of walk(parent["callee"] as Node))
    if (node.type === "Identifier" && node["name"] === "describe") return true;
  return false;
}
