/** Parses the question of `ostiary plan`: `allow(User:_, read, Repository:_)`. */
import { factArgumentsMax } from "../polar/policy.ts";
import type { PlanArgument, PlanQuestion } from "../engine/query/plan-report.ts";
import { UsageError } from "./command.ts";

const form =
  "`predicate(argument, …)`, where an argument is `Type:_` (given with the question), `Type:?` (asked for), `Type:id`, or a string or number";

/** Throws `UsageError`. */
export function parsePlanQuestion(text: string): PlanQuestion {
  const match = /^\s*([A-Za-z_][\w:]*\??)\s*\(([^]*)\)\s*$/.exec(text);
  const [, predicate, list] = match ?? [];
  if (predicate === undefined || list === undefined)
    throw new UsageError(`\`${text}\` is not a question; write ${form}`);
  const args = split(list).map((arg) => parseArgument(arg.trim(), text));
  if (args.length > factArgumentsMax) throw new UsageError(`\`${text}\` has more than ${factArgumentsMax} arguments`);
  return { predicate, args };
}

/** Splits at commas outside quotes. */
function split(list: string): string[] {
  return list.trim() === "" ? [] : (list.match(/(?:"(?:\\.|[^"\\])*"|[^,"])+/g) ?? []);
}

function parseArgument(text: string, question: string): PlanArgument {
  const typed = /^([A-Za-z_]\w*(?:::\w+)*):([^:][^]*)$/.exec(text);
  const [, type, id] = typed ?? [];
  if (type !== undefined && id !== undefined) {
    if (id === "_") return { kind: "given", type };
    return id === "?" ? { kind: "asked", type } : { kind: "constant", type, id: unquoted(id) };
  }
  if (/^-?\d+$/.test(text)) return { kind: "constant", type: "Integer", id: text };
  if (text === "true" || text === "false") return { kind: "constant", type: "Boolean", id: text };
  if (/^\w+$/.test(text) && text !== "_") return { kind: "constant", type: "String", id: text };
  if (/^"(?:\\.|[^"\\])*"$/.test(text)) return { kind: "constant", type: "String", id: unquoted(text) };
  throw new UsageError(`\`${text}\` in \`${question}\` is not an argument; write ${form}`);
}

function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}
