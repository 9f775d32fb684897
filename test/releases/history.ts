/**
 * The requests for the recording of a release. Together they have every kind of event and every kind of value, and
 * their answers are the API as clients know it. Changes affect only the next recording.
 */
import type { Exchange } from "./recorded.ts";

export type RecordedRequest = Pick<Exchange, "method" | "path" | "key" | "body">;

/** In a path, the id of the key that was made last. */
export const lastKey = "{last key}";

type Value = readonly [type: string, id: string];
type Fact = readonly [predicate: string, ...Value[]];

const post = (path: string, body?: unknown): RecordedRequest => ({ method: "POST", path, body });
const get = (path: string): RecordedRequest => ({ method: "GET", path });

const folders = `actor User {}
resource Organization { roles = ["owner", "member"]; permissions = ["read", "delete"]; "read" if "member"; "member" if "owner"; "delete" if "owner"; }
resource Folder {
  roles = ["reader", "writer"]; permissions = ["read", "write"];
  relations = { parent: Folder, organization: Organization };
  "reader" if "writer"; role if role on "parent"; "read" if "reader"; "write" if "writer";
  "reader" if "member" on "organization";
}
`;

const rest = `
declare quota(Folder, Integer);
allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and not is_banned(user);
allow(user: User, "share", folder: Folder) if has_permission(user, "write", folder) and may_share(folder, true);
allow(user: User, "fill", folder: Folder) if has_permission(user, "write", folder) and quota(folder, size) and size > 10;
allow(user: User, "visit", folder: Folder) if has_pass(user, folder, until) and until > 1500000000;
`;

const tests = `
test "a reader reads below a folder, and a banned user does not" {
  setup {
    has_role(User{"ann"}, "reader", Folder{"top"});
    has_role(User{"eve"}, "reader", Folder{"top"});
    has_relation(Folder{"low"}, "parent", Folder{"top"});
    is_banned(User{"eve"});
  }
  assert allow(User{"ann"}, "read", Folder{"low"});
  assert_not allow(User{"ann"}, "write", Folder{"low"});
  assert_not allow(User{"eve"}, "read", Folder{"low"});
}
`;

const policies = { first: folders, second: `${folders}${rest}`, third: `${folders}${rest}${tests}` };

const policy = (src: string): RecordedRequest => post("/api/policy", { src, filename: "policy.polar" });
const insert = (...facts: Fact[]): RecordedRequest => post("/api/batch", [{ inserts: facts.map(asJson) }]);
const remove = (...facts: unknown[]): RecordedRequest => post("/api/batch", [{ deletes: facts }]);

const asJson = ([predicate, ...args]: Fact): object => ({ predicate, args: args.map(([type, id]) => ({ type, id })) });
const role = (user: string, name: string, ...place: Value): Fact => [
  "has_role",
  ["User", user],
  ["String", name],
  place,
];
const parent = (child: string, above: string): Fact => [
  "has_relation",
  ["Folder", child],
  ["String", "parent"],
  ["Folder", above],
];
const anyRoleOf = (user: string): object => ({
  predicate: "has_role",
  args: [
    { type: "User", id: user },
    { type: null, id: null },
    { type: null, id: null },
  ],
});
const many = (count: number, make: (index: number) => Fact): Fact[] =>
  Array.from({ length: count }, (_, at) => make(at));

const strangeUser = 'Zoë "Z" O\'Neil\t🦊';

/** Requests before other nodes start: enough that the beginning of the log is trimmed. */
export const beginning: readonly RecordedRequest[] = [
  policy(policies.first),
  insert(...many(9, (at) => parent(`${at + 1}`, `${at + 2}`)), role("ann", "writer", "Folder", "9")),
  insert(role("gone", "owner", "Organization", "gone")),
  post("/api/clear_data"),
  policy(policies.second),
  policy(policies.third),
  policy(policies.third),
  policy("allow(user: User, "),
  post("/api/keys", { name: "reader", role: "read" }),
  post("/api/keys", { name: "", role: "owner" }),
  post("/api/keys", { name: "removed", role: "write" }),
  { method: "DELETE", path: `/api/keys/${lastKey}` },
  insert(...many(30, (at) => parent(`${at + 1}`, `${at + 2}`))),
  insert(...many(150, (at) => role(`user-${at}`, at % 3 === 0 ? "writer" : "reader", "Folder", `${(at % 30) + 1}`))),
  ...many(60, (at) => role(`single-${at}`, "member", "Organization", `org-${at % 7}`)).map((fact) => insert(fact)),
  insert(["has_relation", ["Folder", "31"], ["String", "organization"], ["Organization", "org-1"]]),
  insert(
    ["may_share", ["Folder", "3"], ["Boolean", "true"]],
    ["may_share", ["Folder", "4"], ["Boolean", "false"]],
    ["quota", ["Folder", "3"], ["Integer", "11"]],
    ["quota", ["Folder", "4"], ["Integer", "-9223372036854775808"]],
    ["has_pass", ["User", "ann"], ["Folder", "3"], ["Integer", "9223372036854775807"]],
    ["has_pass", ["User", "bob"], ["Folder", "3"], ["Integer", "1400000000"]],
    ["is_banned", ["User", "mallory"]],
  ),
  insert(
    role("ann", "writer", "Folder", "3"),
    role("ann", "writer", "Folder", "4"),
    role("bob", "reader", "Folder", "9"),
  ),
  insert(role("mallory", "writer", "Folder", "30"), role(strangeUser, "reader", "Folder", "ä/ö ?")),
  insert(role(strangeUser, "owner", "Organization", "org-1"), role("carl", "reader", "Folder", "20")),
  remove(anyRoleOf("user-7"), asJson(parent("12", "13"))),
  remove(asJson(role("nobody", "reader", "Folder", "1"))),
  // A cycle.
  insert(parent("8", "5")),
];

/** Requests whose events an edge fetches from the primary's log. */
export const beforeEventStream: readonly RecordedRequest[] = [
  insert(role("log-1", "reader", "Folder", "2")),
  remove(anyRoleOf("log-1"), asJson(role("user-9", "writer", "Folder", "10"))),
  post("/api/keys", { name: "from the log", role: "write" }),
];

/**
 * Requests whose events an edge gets from a broker. The fourth is too large for a message, which then only references
 * it.
 */
export const duringEventStream: readonly RecordedRequest[] = [
  insert(role("feed-1", "reader", "Folder", "2")),
  insert(...many(40, (at) => role(`feed-${at + 2}`, "reader", "Folder", `${at + 1}`))),
  remove(anyRoleOf("feed-3")),
  insert(...many(450, (at) => role(`large-${at}`, "reader", "Folder", `folder of a large event ${at}`))),
  insert(role(strangeUser, "writer", "Folder", "5")),
  policy(`${policies.third}\n# the last version\n`),
  post("/api/keys", { name: "from the feed", role: "read" }),
  { method: "DELETE", path: `/api/keys/${lastKey}` },
];

/** Requests after an edge was promoted. */
export const afterPromotion: readonly RecordedRequest[] = [
  insert(role("new-epoch", "writer", "Folder", "6")),
  remove(asJson(role("carl", "reader", "Folder", "20"))),
];

const users = ["ann", "bob", "carl", "mallory", strangeUser, "user-7", "user-9", "single-8", "new-epoch", "nobody"];

/** The queries at the end. */
export function recordedQueries(): RecordedRequest[] {
  const actor = (user: string, facts: Fact[] = []): object => ({
    actor_type: "User",
    actor_id: user,
    context_facts: facts.map(asJson),
  });
  const folder = (id: string): object => ({ resource_type: "Folder", resource_id: id });
  const pairs = [
    ["1", "read"],
    ["3", "share"],
    ["4", "share"],
    ["3", "fill"],
    ["4", "fill"],
    ["3", "visit"],
    ["ä/ö ?", "read"],
  ] as const;
  const of = (user: string): RecordedRequest[] => [
    ...pairs.map(([id, action]) => post("/api/authorize", { ...actor(user), action, ...folder(id) })),
    post("/api/list", { ...actor(user), action: "read", resource_type: "Folder" }),
    post("/api/actions", { ...actor(user), ...folder("3") }),
    post("/api/authorize_resources", {
      ...actor(user),
      action: "read",
      resources: [folderValue("2"), folderValue("20"), folderValue("31")],
    }),
  ];
  const inContext = actor("nobody", [role("nobody", "reader", "Folder", "9")]);
  return [
    ...users.flatMap(of),
    post("/api/authorize", { ...inContext, action: "read", ...folder("2") }),
    post("/api/list", { ...inContext, action: "read", resource_type: "Folder" }),
    post("/api/list", { ...actor("ann"), action: "read", resource_type: "Folder", page_size: 5 }),
    post("/api/evaluate_query", query),
    ...reads,
    ...refused,
  ];
}

const folderValue = (id: string): object => ({ type: "Folder", id });

/** Who may write folder 9: the query builder of the client asks like this. */
const query = {
  predicate: ["allow", ["v_user", "v_action", "v_folder"]],
  calls: [],
  constraints: {
    v_user: { type: "User", ids: null },
    v_action: { type: "String", ids: ["write"] },
    v_folder: { type: "Folder", ids: ["9"] },
  },
  context_facts: [],
};

const reads: readonly RecordedRequest[] = [
  get("/api/facts?predicate=quota"),
  get("/api/facts?predicate=has_role&args.0.type=User&args.0.id=ann"),
  get("/api/facts?predicate=has_role&args.0.type=User&args.0.id=feed-3"),
  get("/api/policy"),
  get("/api/policy?id=1"),
  get("/api/policy_metadata"),
  get("/api/policy_metadata?version=1"),
  get("/api/keys"),
  { ...get("/api/policy"), key: "read" },
];

const refused: readonly RecordedRequest[] = [
  { ...get("/api/policy"), key: "none" },
  { ...post("/api/batch", []), key: "read" },
  post("/api/authorize", { actor_type: "User" }),
  get("/api/policy_metadata?id=99"),
  post("/api/bulk_load", []),
];
