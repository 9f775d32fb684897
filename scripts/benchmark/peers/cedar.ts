/**
 * Cedar's engine as WebAssembly, with a policy that is parsed once. It has no store, so each request contains entities:
 * only the document, its parent folders and the user. They are prepared before the measurement, which excludes the cost of
 * finding them. The language has no recursion, so the policy has one rule per level of folders.
 */
import type {
  CedarValueJson,
  EntityJson,
  EntityUidJson,
  StatefulAuthorizationCall,
} from "@cedar-policy/cedar-wasm/nodejs";
import type { Library, LibraryQuestion, Place } from "./library.ts";
import type { Peer } from "./peer.ts";

const policy = `
permit (principal, action == Action::"view", resource)
when {
  principal in resource.viewers ||
  principal in resource.folder.viewers ||
  (resource.folder has parent &&
    (principal in resource.folder.parent.viewers ||
      (resource.folder.parent has parent &&
        (principal in resource.folder.parent.parent.viewers ||
          (resource.folder.parent.parent has parent &&
            (principal in resource.folder.parent.parent.parent.viewers ||
              (resource.folder.parent.parent.parent has parent &&
                principal in resource.folder.parent.parent.parent.parent.viewers)))))))
};
`;

const preparsedPolicySetId = "library";

export async function openCedar(library: Library): Promise<Peer> {
  const { preparsePolicySet, statefulIsAuthorized } = await import("@cedar-policy/cedar-wasm/nodejs");
  const parsed = preparsePolicySet(preparsedPolicySetId, { staticPolicies: policy });
  if (parsed.type === "failure") throw new Error(parsed.errors.map(({ message }) => message).join("; "));
  return {
    name: "Cedar",
    prepare: (questions) => {
      const calls = questions.map((question) => callOf(library, question));
      return () =>
        calls.map((call) => {
          const answer = statefulIsAuthorized(call);
          if (answer.type === "failure") throw new Error(answer.errors.map(({ message }) => message).join("; "));
          return answer.response.decision === "allow";
        });
    },
    close: () => undefined,
  };
}

function callOf(library: Library, { user, document }: LibraryQuestion): StatefulAuthorizationCall {
  const groups = (library.groupsOf[user] ?? []).map((group) => uid("Group", group));
  return {
    principal: uid("User", user),
    action: { type: "Action", id: "view" },
    resource: uid("Document", document),
    context: {},
    preparsedPolicySetId,
    validateRequest: false,
    entities: [{ uid: uid("User", user), attrs: {}, parents: groups }, ...entitiesOf(library, document)],
  };
}

function entitiesOf({ folders, documents }: Library, document: number): EntityJson[] {
  const place = documents[document];
  if (place === undefined) throw new Error(`there is no document ${document}`);
  const entities = [entity(uid("Document", document), "folder", place)];
  for (let index = place.above; index !== undefined; index = folders[index]?.above)
    entities.push(entity(uid("Folder", index), "parent", folders[index] as Place));
  return entities;
}

function entity(own: EntityUidJson, relation: string, { above, users, groups }: Place): EntityJson {
  const viewers = [
    ...users.map((user) => reference("User", user)),
    ...groups.map((group) => reference("Group", group)),
  ];
  const attrs = above === undefined ? { viewers } : { viewers, [relation]: reference("Folder", above) };
  return { uid: own, attrs, parents: [] };
}

const uid = (type: string, index: number): { type: string; id: string } => ({ type, id: String(index) });
const reference = (type: string, index: number): CedarValueJson => ({ __entity: uid(type, index) });
