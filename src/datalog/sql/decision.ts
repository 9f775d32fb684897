/**
 * Emits a decision tree as one SQL expression. Each shared source is looked up once (a repository's folder), and then,
 * cheapest first, the alternatives that differ (a role on it, a team's role on it, an owner of its organization).
 */
import type { FlatTerm } from "../ir/flat.ts";
import type { Relation } from "../ir/select.ts";
import type { DecisionNode, DecisionTest } from "./decision-tree.ts";
import { emitCondition, emitRelation, emitSelect, emitTerm, type SqlBindings, type SqlContext } from "./emit.ts";

/** The tree as an SQL expression, 1 or 0. */
export function emitDecision(root: DecisionNode, context: SqlContext): string {
  return emitNode(root, new Map(), context);
}

/** The condition of a node whose source is already joined, or needs no join. */
function emitNode(node: DecisionNode, bindings: SqlBindings, context: SqlContext): string {
  const tests = emitTests(node, bindings, context);
  return [...tests, ...emitBranches(node, bindings, context)].join(" AND ") || "1";
}

/** The condition of the branches: none, if one of them is always true. */
function emitBranches({ branches: byKey }: DecisionNode, bindings: SqlBindings, context: SqlContext): string[] {
  const branches = [...byKey.values()];
  if (branches.length === 0 || branches.some(({ relation, tests }) => !relation && tests.length === 0)) return [];
  const cases = branches.map((branch) =>
    branch.relation && branch.relation.isReflexive !== true
      ? emitExists(branch, bindings, context)
      : emitNode(branch, bindings, context),
  );
  return [cases.length === 1 ? String(cases[0]) : `(${cases.join(" OR ")})`];
}

/** Whether a row of the node's source exists for which a branch is true. A node and its only branch become one join. */
function emitExists(start: DecisionNode, outer: SqlBindings, context: SqlContext): string {
  const bindings = new Map(outer);
  const from: string[] = [];
  const where: string[] = [];
  let node: DecisionNode | undefined = start;
  let last = start;
  while (node?.relation) {
    if (node.relation.isReflexive !== true) from.push(emitRelation(node.relation, bindings, where, context));
    where.push(...emitTests(node, bindings, context));
    last = node;
    const [only, ...others]: DecisionNode[] = [...node.branches.values()];
    node = others.length === 0 ? only : undefined;
  }
  const rest = [...where, ...emitBranches(last, bindings, context)];
  return `EXISTS (SELECT 1 FROM ${from.join(" CROSS JOIN ")}${rest.length > 0 ? ` WHERE ${rest.join(" AND ")}` : ""})`;
}

function emitTests({ relation, tests }: DecisionNode, bindings: SqlBindings, context: SqlContext): string[] {
  const same = relation?.isReflexive === true ? [emitReflexive(relation, bindings, context)] : [];
  return [...same, ...tests.map((test) => emitTest(test, bindings, context))];
}

function emitReflexive(closure: Relation, bindings: SqlBindings, context: SqlContext): string {
  const where: string[] = [];
  const table = emitRelation(closure, new Map(bindings), where, context);
  const [from, to] = closure.args.map((arg) => emitTerm(arg as FlatTerm, bindings, context));
  return `(+${from} = +${to} OR EXISTS (SELECT 1 FROM ${table} WHERE ${where.join(" AND ")}))`;
}

function emitTest(test: DecisionTest, bindings: SqlBindings, context: SqlContext): string {
  if (test.kind === "condition") return emitCondition(test.condition, bindings, context);
  return `NOT EXISTS (${emitSelect(test.body, () => "1", context, bindings)})`;
}
