/**
 * Checks a case file on the oracle and on an engine: the answers that it names, and those that follow for every triple
 * of its values.
 */
import * as Bun from "bun";
import type { Query, QueryRow } from "../../src/engine/request/questions.ts";
import type { Policy } from "../../src/polar/policy.ts";
import type { Value } from "../../src/store/facts/fact.ts";
import { AppError } from "../../src/util/app-error.ts";
import { oracle, type Oracle } from "../oracle.ts";
import { differences } from "../oracle/differences.ts";
import { allowQuery, printValue, type Case, type Check, type Question } from "./case.ts";

/** A target answers questions about the policy and the facts of a case. Every question has the case's context facts. */
export interface Target {
  authorize(check: Check): boolean | Promise<boolean>;
  list(actor: Value, action: string, type: string): string[] | Promise<string[]>;
  /** The same list, fetched in pages of `limit` ids, if the target supports pages. */
  pages?(actor: Value, action: string, type: string, limit: number): Promise<string[]>;
  actions(actor: Value, resource: Value): string[] | Promise<string[]>;
  query(query: Query): QueryRow[] | Promise<QueryRow[]>;
}

const unknownId = "nobody-knows-this";
const unknownAction = "no-such-action";
const primitives = new Set(["String", "Integer", "Boolean"]);

export function oracleOf(policy: Policy, asked: Case): Oracle {
  const values = [...valuesOf(asked), { type: "String", id: unknownAction }];
  const types = new Set([...policy.types.keys(), ...values.map((value) => value.type)]);
  for (const type of types) if (!primitives.has(type)) values.push({ type, id: unknownId });
  return oracle(policy, { facts: asked.facts, contextFacts: asked.contextFacts, now: asked.now, values });
}

function valuesOf(asked: Case): Value[] {
  const checks = [...asked.allowed, ...asked.denied].flatMap(({ actor, action, resource }) => [
    actor,
    { type: "String", id: action },
    resource,
  ]);
  const ranges = asked.questions.flatMap((question) => [...question.query.variables.values()]);
  return [...checks, ...ranges.flatMap(({ type, ids }) => (ids ?? []).map((id) => ({ type, id })))];
}

/** The differences between the oracle and the case file; empty if there are none. */
export function checkOracle(asked: Case, slow: Oracle, policy: Policy): string[] {
  const problems = checks(asked).flatMap(({ check, allowed }) =>
    holds(slow, check) === allowed ? [] : [`${describe(check)} is ${!allowed}`],
  );
  for (const question of asked.questions) {
    const { text, query, expected } = question;
    if (expected === undefined || "error" in expected) continue;
    const fixed = Object.fromEntries(
      [...query.variables].flatMap(([name, { ids }]) => (ids?.length === 1 ? ids.map((id) => [name, id]) : [])),
    );
    const answer = { rows: expected.rows.map((row) => ({ ...fixed, ...row })) };
    const found =
      question.kind === "actions"
        ? compareActions(slow, policy, question.actor, question.resource, answer)
        : compare(slow, query, answer);
    problems.push(...found.map((difference) => `${text}: ${difference}`));
  }
  return problems;
}

/**
 * The differences between a target and the case file, or the oracle for everything that can be asked about the case's
 * values.
 */
export async function checkTarget(asked: Case, slow: Oracle, policy: Policy, target: Target): Promise<string[]> {
  return [...(await checkNamed(asked, slow, target)), ...(await checkEverything(asked, slow, policy, target))];
}

/** The differences between a target and the answers that the case file names. */
export async function checkNamed(asked: Case, slow: Oracle, target: Target): Promise<string[]> {
  const problems: string[] = [];
  for (const { check, allowed } of checks(asked)) {
    problems.push(...(await checkOne(check, allowed, target)));
  }
  for (const question of asked.questions) {
    problems.push(...(await checkQuestion(question, slow, target)).map((problem) => `${question.text}: ${problem}`));
  }
  return problems;
}

/** A check always has an answer. */
async function checkOne(check: Check, allowed: boolean, target: Target): Promise<string[]> {
  try {
    return (await target.authorize(check)) === allowed ? [] : [`${describe(check)} is ${!allowed}`];
  } catch (error) {
    if (error instanceof AppError) return [`${describe(check)} has no answer: ${error.message}`];
    throw error;
  }
}

function checks(asked: Case): { check: Check; allowed: boolean }[] {
  return [
    ...asked.allowed.map((check) => ({ check, allowed: true })),
    ...asked.denied.map((check) => ({ check, allowed: false })),
  ];
}

function holds(slow: Oracle, { actor, action, resource }: Check): boolean {
  return slow.holds("allow", [actor, { type: "String", id: action }, resource]);
}

/**
 * A named answer must be exactly the one in the file: wildcard rows and concrete rows side by side, as a client sees
 * them.
 */
async function checkQuestion(question: Question, slow: Oracle, target: Target): Promise<string[]> {
  const { query, expected } = question;
  const answer = await attempt(() => ask(question, target));
  if (expected === undefined) return compare(slow, query, answer);
  const open = [...query.variables].filter(([, { ids }]) => ids?.length !== 1).map(([name]) => name);
  const print = (rows: readonly QueryRow[]) => rows.map((row) => JSON.stringify(open.map((name) => row[name]))).sort();
  const got = "error" in answer ? [answer.error] : print(answer.rows);
  const wanted = "error" in expected ? [expected.error] : print(expected.rows);
  return Bun.deepEquals(got, wanted) ? [] : [`expected ${wanted.join(" ")}, got ${got.join(" ")}`];
}

async function ask(question: Question, target: Target): Promise<QueryRow[]> {
  switch (question.kind) {
    case "list":
      return listRows(
        question.actor,
        question.action,
        await target.list(question.actor, question.action, question.type),
      );
    case "actions":
      return actionsRows(question.actor, question.resource, await target.actions(question.actor, question.resource));
    case "query":
      return await target.query(question.query);
  }
}

function listRows(actor: Value, action: string, ids: readonly string[]): QueryRow[] {
  return ids.map((id) => ({ actor: actor.id, action, resource: id === "*" ? null : id }));
}

function actionsRows(actor: Value, resource: Value, actions: readonly string[]): QueryRow[] {
  return actions.map((action) => ({ actor: actor.id, action: action === "*" ? null : action, resource: resource.id }));
}

/** The rows of the answer, or the code of its error. Any other exception is a bug and propagates. */
async function attempt(body: () => Promise<QueryRow[]>): Promise<{ rows: QueryRow[] } | { error: string }> {
  try {
    return { rows: await body() };
  } catch (error) {
    if (error instanceof AppError) return { error: error.code };
    throw error;
  }
}

/** Everything that can be asked about the values of a case: each triple as a check, in a list and among the actions. */
async function checkEverything(asked: Case, slow: Oracle, policy: Policy, target: Target): Promise<string[]> {
  const problems: string[] = [];
  const known = slow.domain.all.filter((value) => !value.fresh);
  const resources = known.filter((value) => !primitives.has(value.type));
  const asking = new Set([...asked.allowed, ...asked.denied].map((check) => check.actor.type));
  const actors = resources.filter((value) => policy.types.get(value.type)?.kind === "actor" || asking.has(value.type));
  const actions = known.filter((value) => value.type === "String").map((value) => value.id);
  const types = new Set(resources.map((value) => value.type));
  for (const actor of actors) {
    for (const action of actions) {
      for (const resource of resources) {
        const check = { actor, action, resource };
        problems.push(...(await checkOne(check, holds(slow, check), target)));
      }
      for (const type of types) {
        const answer = await attempt(async () => listRows(actor, action, await target.list(actor, action, type)));
        const { pages } = target;
        if (pages) {
          const paged = await attempt(async () => listRows(actor, action, await pages(actor, action, type, 2)));
          if (!Bun.deepEquals(paged, answer))
            problems.push(`pages of ${printValue(actor)} ${action} ${type} differ from the list`);
        }
        const query = allowQuery(actor, action, { type, ids: null }, []);
        problems.push(
          ...compare(slow, query, answer).map((problem) => `list ${printValue(actor)} ${action} ${type}: ${problem}`),
        );
      }
    }
    for (const resource of resources) {
      const answer = await attempt(async () => actionsRows(actor, resource, await target.actions(actor, resource)));
      const problem = compareActions(slow, policy, actor, resource, answer);
      problems.push(...problem.map((text) => `actions ${printValue(actor)} ${printValue(resource)}: ${text}`));
    }
  }
  return problems;
}

type Answer = { rows: QueryRow[] } | { error: string };

/** The rows must be right, and "not enumerable" is the answer only if the answers can't be listed. */
export function compare(slow: Oracle, query: Query, answer: Answer): string[] {
  if ("error" in answer) {
    if (answer.error !== "query_not_enumerable") return [answer.error];
    return slow.isOpen(query) === false ? ["refused, although the answers can be listed"] : [];
  }
  return differences(slow, query, answer.rows);
}

/** If every action is allowed, the answer names the permissions that the resource's block declares. */
export function compareActions(slow: Oracle, policy: Policy, actor: Value, resource: Value, answer: Answer): string[] {
  const query = allowQuery(actor, null, { type: resource.type, ids: [resource.id] }, []);
  const everything = slow.solutions(query).some((solution) => solution[1]?.fresh);
  if (!everything || "error" in answer) return compare(slow, query, answer);
  const declared = policy.types.get(resource.type)?.permissions ?? [];
  const missing = declared.filter((name) => !answer.rows.some((row) => row["action"] === name));
  const wrong = answer.rows.filter(
    (row) => !slow.holds("allow", [actor, { type: "String", id: row["action"] ?? unknownAction }, resource]),
  );
  return [...missing.map((name) => `${name} is missing`), ...wrong.map((row) => `${row["action"]} is not allowed`)];
}

function describe({ actor, action, resource }: Check): string {
  return `${printValue(actor)} ${action} ${printValue(resource)}`;
}
