/** The model of the policy as a graph: types with their names as nodes, and what implies what as edges. Pure. */
import type { policyEndpoints } from "../../../features/policy/endpoints.ts";
import type { Answer } from "../api/answer.ts";

/** As `GET /api/policy_model` answers. */
export type Model = Answer<typeof policyEndpoints.getPolicyModel>;
export type Implication = Model["implications"][number];
export type ModelType = Model["types"][number];
export type Place = Implication["place"];
export type ModelName = Implication["to"];

export interface ModelNode {
  readonly key: string;
  readonly type: string;
  readonly kind: "type" | ModelName["kind"];
  readonly name: string;
  /** Where it is declared; undefined for what only rules mention. */
  readonly place: Place | undefined;
}

export interface ModelEdge {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly kind: "implies" | "relates" | "extends";
  /** The relation through which it implies. */
  readonly through: string | undefined;
  readonly isConditional: boolean;
}

export interface ModelGraph {
  readonly nodes: ReadonlyMap<string, ModelNode>;
  readonly edges: readonly ModelEdge[];
}

export function keyOf({ type, kind, name }: Pick<ModelNode, "type" | "kind" | "name">): string {
  return kind === "type" ? JSON.stringify([type]) : JSON.stringify([type, kind, name]);
}

/** More names than these are hard to read at once. */
const namesMax = 60;

/** Whether the permissions can be shown together with all else. */
export function isSmall({ types }: Model): boolean {
  const counts = types.map(({ roles, permissions, relations }) => roles.length + permissions.length + relations.length);
  return counts.reduce((sum, count) => sum + count, 0) <= namesMax;
}

/** Without permissions unless they are shown, but always with the one that is selected. */
export function graphOf(model: Model, showsPermissions: boolean, selected?: string): ModelGraph {
  const nodes = new Map<string, ModelNode>();
  const add = (node: Omit<ModelNode, "key">): void => {
    const key = keyOf(node);
    const isShown = node.kind !== "permission" || showsPermissions || key === selected;
    if (isShown && !nodes.has(key)) nodes.set(key, { ...node, key });
  };
  // An inherited name is declared in a supertype.
  const places = new Map(model.names.map((name) => [keyOf(name), name.place]));
  const placeOf = (name: ModelName): Place | undefined => {
    const queue = [name.type];
    for (const type of queue) {
      const place = places.get(keyOf({ ...name, type }));
      if (place !== undefined) return place;
      for (const supertype of typeOf(model, type)?.supertypes ?? [])
        if (!queue.includes(supertype)) queue.push(supertype);
    }
    return undefined;
  };
  const addType = (type: string): void =>
    add({ type, kind: "type", name: type, place: typeOf(model, type)?.place ?? undefined });
  const addName = (name: ModelName): void => {
    addType(name.type);
    add({ ...name, place: placeOf(name) });
  };
  for (const type of model.types) {
    addType(type.name);
    for (const { name } of type.relations) addName({ type: type.name, kind: "relation", name });
    for (const name of type.roles) addName({ type: type.name, kind: "role", name });
    for (const name of type.permissions) addName({ type: type.name, kind: "permission", name });
  }
  for (const { from, to } of model.implications) for (const name of from === null ? [to] : [from, to]) addName(name);
  for (const { relations, supertypes } of model.types)
    for (const type of [...relations.map((relation) => relation.type), ...supertypes]) addType(type);
  const edges = edgesOf(model).filter(({ from, to }) => nodes.has(from) && nodes.has(to));
  return { nodes, edges: [...new Map(edges.map((edge) => [edge.key, edge])).values()] };
}

function typeOf({ types }: Model, name: string): ModelType | undefined {
  return types.find((type) => type.name === name);
}

function edgesOf({ types, implications }: Model): ModelEdge[] {
  const relations = types.flatMap(({ name: type, relations: own }) =>
    own.map(({ name, type: target }) =>
      edge("relates", keyOf({ type, kind: "relation", name }), keyOf({ type: target, kind: "type", name: target })),
    ),
  );
  const typeKey = (type: string): string => keyOf({ type, kind: "type", name: type });
  const extensions = types.flatMap(({ name, supertypes }) =>
    supertypes.map((supertype) => edge("extends", typeKey(name), typeKey(supertype))),
  );
  const implied = implications.flatMap(({ from, to, through, conditional }) =>
    from === null ? [] : [edge("implies", keyOf(from), keyOf(to), through ?? undefined, conditional)],
  );
  return [...relations, ...extensions, ...implied];
}

function edge(kind: ModelEdge["kind"], from: string, to: string, through?: string, isConditional = false): ModelEdge {
  const key = JSON.stringify([kind, from, to, through, isConditional]);
  return { key, kind, from, to, through, isConditional };
}

/**
 * The rules that give a name, those that give what these need, and so on: the nearest ones first. A rule about a type is
 * about its subtypes too.
 */
export function grantsOf(
  { types, implications }: Model,
  { type, kind, name }: Omit<ModelName, "kind"> & Pick<ModelNode, "kind">,
): Implication[] {
  if (kind === "type") return [];
  const found = new Set<Implication>();
  const queue: ModelName[] = [{ type, kind, name }];
  const known = new Set(queue.map(keyOf));
  for (const wanted of queue) {
    const owners = withSupertypes(types, wanted.type);
    for (const implication of implications) {
      const { from, to, through } = implication;
      if (to.kind !== wanted.kind || to.name !== wanted.name || !owners.has(to.type)) continue;
      found.add(implication);
      if (from === null) continue;
      // Without a relation both are about the same object.
      const isSame = through === null && from.type === to.type;
      const next = isSame ? { ...from, type: wanted.type } : from;
      if (known.has(keyOf(next))) continue;
      known.add(keyOf(next));
      queue.push(next);
    }
  }
  return [...found];
}

function withSupertypes(types: readonly ModelType[], start: string): ReadonlySet<string> {
  const found = new Set([start]);
  for (const name of found)
    for (const supertype of types.find((type) => type.name === name)?.supertypes ?? []) found.add(supertype);
  return found;
}

/** The nodes that lead to a name: those that imply it, and the relations through which they do. */
export function leadingTo(grants: readonly Implication[], key: string): ReadonlySet<string> {
  return new Set([
    key,
    ...grants.flatMap(({ from, to, through }) => [
      ...(from === null ? [] : [keyOf(from)]),
      ...(through === null ? [] : [keyOf({ type: to.type, kind: "relation", name: through })]),
    ]),
  ]);
}
