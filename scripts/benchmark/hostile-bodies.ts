/** Request bodies that cost a server far more work than their length suggests, for each route that has a body. */

export interface HostileBody {
  readonly name: string;
  readonly path: string;
  readonly text: string;
}

const question = '"actor_type":"User","actor_id":"a","action":"read","resource_type":"Repo","resource_id":"r"';
const value = '{"type":"User","id":"a"}';

/** `part(0)`, `part(1)`, … separated by commas, about that many bytes. */
function list(bytes: number, part: (index: number) => string): string {
  const parts: string[] = [];
  for (let length = 0; length < bytes; length += (parts.at(-1)?.length ?? 0) + 1) parts.push(part(parts.length));
  return parts.join(",");
}

const nested = (bytes: number, open: string, close: string): string =>
  open.repeat(bytes / 2 / open.length) + close.repeat(bytes / 2 / open.length);

/** Values in place of a list, and in place of an ignored value. */
function hostileLists(bytes: number): Readonly<Record<string, string>> {
  return {
    zeros: `[${list(bytes, () => "0")}]`,
    "empty lists": `[${list(bytes, () => "[]")}]`,
    "empty objects": `[${list(bytes, () => "{}")}]`,
    "short strings": `[${list(bytes, (index) => `"${index}"`)}]`,
    values: `[${list(bytes, () => value)}]`,
    "values of long ids": `[${list(bytes, () => `{"type":"User","id":"${"x".repeat(500)}"}`)}]`,
    "values, one bad at the end": `[${list(bytes, () => value)},0]`,
    "deep lists": nested(bytes, "[", "]"),
    "deep objects": `${'{"a":'.repeat(bytes / 6)}0${"}".repeat(bytes / 6)}`,
    "a long string": `"${"x".repeat(bytes)}"`,
    "an escaped string": `"${"\\u0041".repeat(bytes / 6)}"`,
    "halves of characters": `"${"\\ud83d\\ude00".repeat(bytes / 12)}\\ud83d"`,
    "many keys": `{${list(bytes, (index) => `"k${index}":0`)}}`,
    "numeric keys": `{${list(bytes, (index) => `"${index * 4099}":0`)}}`,
    "the same key": `{${list(bytes, () => '"a":0')}}`,
    "a long key": `{"${"x".repeat(bytes)}":0}`,
    "__proto__ keys": `{${list(bytes, () => '"__proto__":0')}}`,
  };
}

/** Each has about that many bytes. */
export function hostileBodies(bytes: number): HostileBody[] {
  const lists = Object.entries(hostileLists(bytes));
  const filled = (path: string, name: string, body: (filling: string) => string): HostileBody[] =>
    lists.map(([kind, filling]) => ({ name: `${name}: ${kind}`, path, text: body(filling) }));
  const call = '["has_role",["a","b"]]';
  const query = (parts: string): string => `{"predicate":${call},"calls":[],"context_facts":[],${parts}}`;
  const constraints = `"a":{"type":"User","ids":null},"b":{"type":"String","ids":null}`;
  return [
    ...filled("/api/authorize", "the whole body", (filling) => filling),
    ...filled("/api/authorize", "an unknown key", (filling) => `{${question},"extra":${filling}}`),
    ...filled("/api/authorize", "actor_id", (filling) => `{${question},"actor_id":${filling}}`),
    ...filled("/api/authorize", "context_facts", (filling) => `{${question},"context_facts":${filling}}`),
    ...filled(
      "/api/authorize",
      "args of a context fact",
      (filling) => `{${question},"context_facts":[{"predicate":"p","args":${filling}}]}`,
    ),
    ...filled("/api/explain", "context_facts", (filling) => `{${question},"context_facts":${filling}}`),
    ...filled("/api/authorize_resources", "resources", (filling) => `{${question},"resources":${filling}}`),
    ...filled("/api/list", "page_token", (filling) => `{${question},"page_token":${filling}}`),
    ...filled("/api/actions", "context_facts", (filling) => `{${question},"context_facts":${filling}}`),
    ...filled("/api/evaluate_query", "constraints", (filling) => query(`"constraints":${filling}`)),
    ...filled("/api/evaluate_query", "calls", (filling) => query(`"constraints":{},"calls":${filling}`)),
    ...filled("/api/evaluate_query", "predicate", (filling) => query(`"constraints":{},"predicate":["p",${filling}]`)),
    ...filled("/api/evaluate_query", "ids", (filling) =>
      query(`"constraints":{${constraints},"a":{"type":"User","ids":${filling}}}`),
    ),
    {
      name: "constraints: valid",
      path: "/api/evaluate_query",
      text: query(`"constraints":{${list(bytes, (index) => `"v${index}":{"type":"User","ids":null}`)}}`),
    },
    { name: "no JSON: an open list", path: "/api/authorize", text: `[${list(bytes, () => "0")}` },
    { name: "no JSON: line breaks", path: "/api/authorize", text: `[${"\n".repeat(bytes)}` },
    { name: "no JSON: an open string", path: "/api/authorize", text: `"${"\\n".repeat(bytes / 2)}` },
    { name: "no JSON: opened lists", path: "/api/authorize", text: "[".repeat(bytes) },
    ...filled("/api/batch", "inserts", (filling) => `[{"inserts":${filling}}]`),
    ...filled("/api/batch", "args", (filling) => `[{"inserts":[{"predicate":"p","args":${filling}}]}]`),
    { name: "changes", path: "/api/batch", text: `[${list(bytes, () => '{"inserts":[]}')}]` },
    ...filled("/api/policy", "src", (filling) => `{"src":${filling}}`),
    ...filled("/api/validate", "files", (filling) => `{"files":${filling}}`),
    {
      name: "files: valid",
      path: "/api/validate",
      text: `{"files":[${list(bytes, () => '{"filename":"f","src":""}')}]}`,
    },
    ...filled("/api/test", "coverage", (filling) => `{"src":"","coverage":${filling}}`),
    ...filled("/api/keys", "name", (filling) => `{"role":"read","name":${filling}}`),
    ...filled("/api/promote", "force", (filling) => `{"force":${filling}}`),
  ];
}
