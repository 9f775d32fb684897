/** A question in other forms: a `curl` command, a program in TypeScript, and a test of a policy. */
import { type Fact, polarFact, polarString, polarValue, type Value } from "../facts/fact-text.ts";
import {
  isVariable,
  type Question,
  type QueryCall,
  requestOf,
  type Variable,
  variablesOf,
  whoCall,
} from "./question.ts";

/** The command for a shell of Unix. The key is in the variable OSO_AUTH. `baseUrl` is that of the API. */
export function curlCommand(question: Question, baseUrl: string): string {
  const { path, body } = requestOf(question);
  return [
    `curl -s ${shellQuoted(baseUrl.replace(/\/$/, "") + path)} \\`,
    `  -H "Authorization: Bearer $OSO_AUTH" -H 'Content-Type: application/json' \\`,
    `  -d ${shellQuoted(JSON.stringify(body))}`,
  ].join("\n");
}

/** A program with the client oso-cloud, of version 2. */
export function typeScriptProgram(question: Question, baseUrl: string): string {
  const calls = question.kind === "who" ? [whoCall(question)] : question.kind === "query" ? question.calls : [];
  const variables = variablesOf(calls);
  const imported = variables.length > 0 ? "Oso, typedVar" : "Oso";
  return [
    `import { ${imported} } from "oso-cloud";`,
    "",
    `const oso = new Oso(${JSON.stringify(baseUrl.replace(/\/$/, ""))}, process.env["OSO_AUTH"] ?? "");`,
    ...variables.map((variable) => `const ${jsName(variable)} = typedVar(${JSON.stringify(variable.type)});`),
    `const result = await ${expressionOf(question, calls, variables)};`,
    "console.log(result);",
  ].join("\n");
}

/** The values for which a question that is no `authorize` was answered with yes; ids, or names of actions. */
export type Results = readonly string[];

/**
 * A test with the facts that the answer depends on, besides the context facts. `answer` is the decision, whether a query
 * has an answer, or the results. Undefined if no test can say it: that several calls never hold together.
 */
export function policyTest(question: Question, facts: readonly Fact[], answer: boolean | Results): string | undefined {
  if (question.kind === "query" && answer === false && question.calls.length > 1) return undefined;
  const all = [...new Set([...question.context, ...facts].map(polarFact))];
  const setup = all.length === 0 ? [] : ["  setup {", ...all.map((fact) => `    ${fact};`), "  }"];
  return [`test ${polarString(testName(question))} {`, ...setup, `  ${assertionOf(question, answer)}`, "}"].join("\n");
}

function assertionOf(question: Question, answer: boolean | Results): string {
  const hasAnswer = answer === true || (answer !== false && answer.length > 0);
  const assert = hasAnswer ? "assert" : "assert_not";
  const resultsOf = (variable: string, values: readonly string[]): string =>
    hasAnswer ? ` iff\n    ${variable} in [${values.join(", ")}]` : "";
  const ids = typeof answer === "boolean" ? [] : answer;
  switch (question.kind) {
    case "authorize":
      return `${assert} ${allowCall(polarValue(question.actor), polarString(question.action), polarValue(question.resource))};`;
    case "list": {
      const values = ids.map((id) => polarValue({ type: question.type, id }));
      const call = allowCall(polarValue(question.actor), polarString(question.action), `resource: ${question.type}`);
      return `${assert} ${call}${resultsOf("resource", values)};`;
    }
    case "who": {
      const values = ids.map((id) => polarValue({ type: question.type, id }));
      const call = allowCall(`actor: ${question.type}`, polarString(question.action), polarValue(question.resource));
      return `${assert} ${call}${resultsOf("actor", values)};`;
    }
    case "actions": {
      const call = allowCall(polarValue(question.actor), "action: String", polarValue(question.resource));
      return `${assert} ${call}${resultsOf("action", ids.map(polarString))};`;
    }
    case "query":
      return question.calls.map((call) => `${assert} ${polarCall(call)};`).join("\n  ");
  }
}

function allowCall(...args: readonly string[]): string {
  return `allow(${args.join(", ")})`;
}

function polarCall({ predicate, args }: QueryCall): string {
  return `${predicate}(${args.map((arg) => (isVariable(arg) ? `${arg.name}: ${arg.type}` : polarValue(arg))).join(", ")})`;
}

function testName(question: Question): string {
  const name = ({ type, id }: Value): string => `${type} ${id}`;
  switch (question.kind) {
    case "authorize":
      return `${name(question.actor)}, ${question.action}, ${name(question.resource)}`;
    case "list":
      return `what ${name(question.actor)} can ${question.action}: ${question.type}`;
    case "who":
      return `who can ${question.action} ${name(question.resource)}: ${question.type}`;
    case "actions":
      return `what ${name(question.actor)} can do with ${name(question.resource)}`;
    case "query":
      return question.calls.map(({ predicate }) => predicate).join(", ");
  }
}

function expressionOf(question: Question, calls: readonly QueryCall[], variables: readonly Variable[]): string {
  const context = question.context.map(jsFact);
  const last = context.length > 0 ? [`[${context.join(", ")}]`] : [];
  switch (question.kind) {
    case "authorize":
      return jsCall(
        "oso.authorize",
        jsValue(question.actor),
        JSON.stringify(question.action),
        jsValue(question.resource),
        ...last,
      );
    case "list":
      return jsCall(
        "oso.list",
        jsValue(question.actor),
        JSON.stringify(question.action),
        JSON.stringify(question.type),
        ...last,
      );
    case "actions":
      return jsCall("oso.actions", jsValue(question.actor), jsValue(question.resource), ...last);
    case "who":
    case "query": {
      const [first, ...others] = calls.map(
        (call) => `[${[JSON.stringify(call.predicate), ...call.args.map(jsArgument)].join(", ")}]`,
      );
      const parts = [
        `oso.buildQuery(${first})`,
        ...others.map((call) => `.and(${call})`),
        ...last.map((facts) => `.withContextFacts(${facts})`),
        `.evaluate(${evaluated(variables.map(jsName))})`,
      ];
      return parts.join("\n  ");
    }
  }
}

/** The client takes at most four variables in one list, but lists in lists. */
function evaluated(names: readonly string[]): string {
  if (names.length <= 1) return names.join("");
  return names.length <= 4
    ? `[${names.join(", ")}]`
    : `[${names.slice(0, 3).join(", ")}, ${evaluated(names.slice(3))}]`;
}

function jsCall(name: string, ...args: readonly string[]): string {
  return `${name}(\n${args.map((arg) => `  ${arg},\n`).join("")})`;
}

function jsArgument(arg: Value | Variable): string {
  return isVariable(arg) ? jsName(arg) : jsValue(arg);
}

function jsName({ name }: Variable): string {
  return `${name}Variable`;
}

function jsFact({ predicate, args }: Fact): string {
  return `[${[JSON.stringify(predicate), ...args.map(jsValue)].join(", ")}]`;
}

function jsValue({ type, id }: Value): string {
  if (type === "String") return JSON.stringify(id);
  return `{ type: ${JSON.stringify(type)}, id: ${JSON.stringify(id)} }`;
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
