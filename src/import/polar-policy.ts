/**
 * Translates a relation model to a policy in idiomatic Polar, and relationships to facts.
 *
 * - A relation that relationships give to users is a role. One that leads from object to object (`parent`) is a relation
 *   of the block. Everything that is only computed is a permission.
 * - `group#member` and `user:*` are facts of their own: `shared_with(document, "viewer", group, "member")` and
 *   `shared_with_all(document, "viewer", "User")`.
 * - Relationships that end have facts with their end in seconds: `has_role_until(actor, "viewer", document, end)`.
 */
import { stringLiteral } from "../polar/string-literal.ts";
import type { Fact, Value } from "../store/facts/fact.ts";
import { must } from "../util/assert.ts";
import { and, atom, type Condition, not, or, printCondition } from "./condition.ts";
import { Incomplete } from "./conditions.ts";
import { relationName, typeNames, variableName } from "./polar-names.ts";
import {
  directSubjects,
  type Expression,
  expressionsIn,
  ImportError,
  type ObjectId,
  type ObjectType,
  type Place,
  type Relation,
  relationKey,
  type RelationModel,
  type Relationship,
} from "./relation-model.ts";

/** A line of the policy, and the relation that it comes from. */
export interface PolicyLine {
  readonly text: string;
  readonly relation?: { readonly type: string; readonly name: string; readonly place: Place };
}

/** What a relation of the model is in the policy. */
interface Plan {
  readonly kind: "role" | "permission" | "relation";
  /** How relationships are stored. A computed relation has none. */
  readonly stored?: { readonly predicate: "has_role" | "has_relation"; readonly name: string };
}

type Store = NonNullable<Plan["stored"]>;

export class PolarPolicy {
  readonly #types: ReadonlyMap<string, ObjectType>;
  readonly #names: ReadonlyMap<string, string>;
  readonly #actors: ReadonlySet<string>;
  readonly #plans: ReadonlyMap<string, ReadonlyMap<string, Plan>>;
  readonly #unconditional: ReadonlySet<string>;
  /** By their keys, as all sets and maps of relations. */
  readonly #relations: ReadonlyMap<string, Relation>;
  /** Relations that arrows go through. */
  readonly #through: ReadonlySet<string>;
  /** Relations of which something asks who has them, not only which objects they lead to. */
  readonly #asked: ReadonlySet<string>;
  readonly #model: RelationModel;
  /** The length of the lines so far. */
  #length = 0;
  /** What the lines lack. */
  #incomplete: Incomplete;

  /** Relationships of the relations in `unconditional`, which has their keys, count without their conditions. */
  constructor(model: RelationModel, unconditional: ReadonlySet<string> = new Set()) {
    this.#model = model;
    this.#unconditional = unconditional;
    this.#types = new Map(model.types.map((type) => [type.name, type]));
    this.#names = typeNames([...this.#types.keys()]);
    const relations = model.types.flatMap((type) => type.relations.map((relation) => ({ type, relation })));
    this.#relations = new Map(relations.map(({ type, relation }) => [relationKey(type.name, relation.name), relation]));
    const parts = relations.flatMap(({ type, relation }) =>
      expressionsIn(relation.expression).map((part) => ({ type, part })),
    );
    this.#through = new Set(
      parts.flatMap(({ type, part }) => (part.kind === "arrow" ? [relationKey(type.name, part.through)] : [])),
    );
    this.#asked = new Set(parts.flatMap(({ type, part }) => this.#askedBy(type, part)));
    this.#actors = this.#findActors();
    this.#plans = new Map([...this.#types.values()].map((type) => [type.name, this.#planType(type)]));
    this.#incomplete = this.#lacking(new Set());
  }

  /**
   * The policy without tests, one statement or a part of a block per line. Relations in `without`, which has
   * their keys, get no rules. Throws
   * ImportError if it becomes too long.
   */
  lines(without: ReadonlySet<string> = new Set()): PolicyLine[] {
    this.#length = 0;
    this.#incomplete = this.#lacking(without);
    const types = [...this.#types.values()].map((type) => this.#typeLines(type, without));
    return [...types.flat(), ...this.#allow()];
  }

  /** The relations with exclusions that admit nobody, in a policy whose lines lack the relations in `without`. */
  closed(without: ReadonlySet<string>): { readonly key: string; readonly place: Place }[] {
    const incomplete = this.#lacking(without);
    return this.#model.types.flatMap(({ name: type, relations }) =>
      relations.flatMap(({ name, expression, place }) => {
        const key = relationKey(type, name);
        const isClosed = expressionsIn(expression).some((part) => incomplete.closes(type, name, part));
        return isClosed && !without.has(key) ? [{ key, place }] : [];
      }),
    );
  }

  #lacking(without: ReadonlySet<string>): Incomplete {
    const conditional = [...this.#relations].flatMap(([key, { expression }]) =>
      !this.#unconditional.has(key) && directSubjects(expression).some(({ condition }) => condition !== undefined)
        ? [key]
        : [],
    );
    return new Incomplete(this.#model, new Set([...conditional, ...without]));
  }

  /** The fact for a relationship, or why the model admits none: a text that continues "the relationship". */
  fact(relationship: Relationship): Fact | string {
    const { object, relation: name, subject, condition, end } = relationship;
    const relation = this.#relation(object.type, name);
    if (relation === undefined) return `has a relation \`${name}\` that type \`${object.type}\` does not declare`;
    const { stored } = this.#plan(object.type, name);
    const subjects = directSubjects(relation.expression).filter(
      (each) =>
        each.type === subject.type &&
        each.relation === subject.relation &&
        (each.everyone ?? false) === (subject.id === "*"),
    );
    if (stored === undefined || subjects.length === 0)
      return `names a subject that \`${name}\` of \`${object.type}\` does not admit`;
    const admitted = subjects.filter(({ expires = false }) => expires === (end !== undefined));
    if (admitted.length === 0)
      return end === undefined
        ? `lacks the expiration that \`${name}\` of \`${object.type}\` asks for`
        : `has an expiration, which \`${name}\` of \`${object.type}\` does not admit`;
    if (this.#unconditional.has(relationKey(object.type, name))) return this.#factFor(stored, object, subject, end);
    if (condition !== undefined) return `depends on \`${condition}\``;
    if (admitted.every((each) => each.condition !== undefined)) return `lacks the condition that \`${name}\` asks for`;
    return this.#factFor(stored, object, subject, end);
  }

  /** A fact for each kind of relationship that the model admits. */
  possibleFacts(): Fact[] {
    return this.#model.types.flatMap(({ name: type, relations }) =>
      relations.flatMap(({ name: relation, expression, place }) =>
        directSubjects(expression).flatMap((each) => {
          const subject = {
            type: each.type,
            id: each.everyone ? "*" : "id",
            ...(each.relation !== undefined && { relation: each.relation }),
          };
          const end = each.expires ? { end: 0 } : {};
          const fact = this.fact({ object: { type, id: "id" }, relation, subject, place, ...end });
          return typeof fact === "string" ? [] : [fact];
        }),
      ),
    );
  }

  /** The value, with its type in Polar. Undefined for a type that the model does not have. */
  value({ type, id }: ObjectId): Value | undefined {
    const name = this.#names.get(type);
    return name === undefined ? undefined : { type: name, id };
  }

  /**
   * The action to ask for, to know whether a subject of one type has the relation to an object of another. Undefined if
   * the model lacks the relation or the type.
   */
  action(subjectType: string, relation: string, objectType: string): string | undefined {
    if (this.#relation(objectType, relation) === undefined || !this.#names.has(subjectType)) return undefined;
    const { kind, stored } = this.#plan(objectType, relation);
    return kind === "relation" ? must(stored).name : relation;
  }

  #factFor(stored: Store, object: ObjectId, subject: Relationship["subject"], end: number | undefined): Fact {
    const on = must(this.value(object));
    const name = { type: "String", id: stored.name };
    const ending = end === undefined ? [] : [{ type: "Integer", id: String(end) }];
    const suffix = end === undefined ? "" : "_until";
    if (subject.id === "*") {
      const everyone = { type: "String", id: this.#typeName(subject.type) };
      return { predicate: `shared_with_all${suffix}`, args: [on, name, everyone, ...ending] };
    }
    const by = must(this.value(subject));
    if (subject.relation !== undefined) {
      const relation = { type: "String", id: subject.relation };
      return { predicate: `shared_with${suffix}`, args: [on, name, by, relation, ...ending] };
    }
    const args = stored.predicate === "has_role" ? [by, name, on] : [on, name, by];
    return { predicate: `${stored.predicate}${suffix}`, args: [...args, ...ending] };
  }

  // How types and relations of the model become types, roles, permissions and relations.

  /** Types whose objects get roles and permissions, rather than only being related to other objects. */
  #findActors(): Set<string> {
    const actors = new Set<string>();
    for (const type of this.#types.values()) {
      for (const relation of type.relations) {
        if (expressionsIn(relation.expression).some(({ kind }) => kind === "self")) actors.add(type.name);
        const isUsed = this.#givesSubjects(type, relation);
        const isUnused = !isUsed && !this.#through.has(relationKey(type.name, relation.name));
        for (const subject of directSubjects(relation.expression)) {
          const isLeaf = (this.#types.get(subject.type)?.relations.length ?? 0) === 0;
          if (subject.relation === undefined && (isUsed || (isUnused && isLeaf))) actors.add(subject.type);
        }
      }
    }
    this.#addActorsBeside(actors);
    return actors;
  }

  /** A relation that gives a role to one of its subjects gives it to all of them. */
  #addActorsBeside(actors: Set<string>): void {
    for (let before = -1; before < actors.size;) {
      before = actors.size;
      for (const [key, relation] of this.#relations) {
        const types = leadsTo(relation);
        if (this.#through.has(key) || !types.some((type) => actors.has(type))) continue;
        for (const type of types) actors.add(type);
      }
    }
  }

  /** Whether something asks who has the relation, not only which objects it leads to. */
  #givesSubjects(type: ObjectType, { name, expression }: Relation): boolean {
    if (
      expression.kind !== "direct" ||
      expression.subjects.some((each) => each.everyone || each.relation !== undefined)
    )
      return true;
    return this.#asked.has(relationKey(type.name, name));
  }

  /** The keys of the relations of which the part of an expression asks who has them. */
  #askedBy(type: ObjectType, part: Expression): string[] {
    if (part.kind === "computed") return [relationKey(type.name, part.relation)];
    if (part.kind === "arrow")
      return this.#targets(type, part.through).map((target) => relationKey(target.name, part.relation));
    if (part.kind !== "direct") return [];
    return part.subjects.flatMap((each) =>
      each.relation === undefined ? [] : [relationKey(each.type, each.relation)],
    );
  }

  #planType(type: ObjectType): Map<string, Plan> {
    const taken = new Set<string>();
    return new Map(
      type.relations.map((relation) => {
        const plan = this.#planRelation(
          type,
          relation,
          (name) => taken.has(name) || (name !== relation.name && this.#relation(type.name, name) !== undefined),
        );
        if (plan.stored !== undefined) taken.add(plan.stored.name);
        return [relation.name, plan];
      }),
    );
  }

  #planRelation(type: ObjectType, { name, expression }: Relation, isTaken: (name: string) => boolean): Plan {
    const subjects = directSubjects(expression);
    if (!expressionsIn(expression).some(({ kind }) => kind === "direct")) return { kind: "permission" };
    const isPlain = subjects.every((each) => !each.everyone && each.relation === undefined);
    const leads = this.#through.has(relationKey(type.name, name));
    const isRelation = leads || (subjects.length > 0 && subjects.every((each) => !this.#actors.has(each.type)));
    if (expression.kind === "direct" && isRelation) {
      // A permission and a relation of a block cannot have one name.
      const stored = relationName(isPlain ? name : `direct ${name}`, isTaken);
      return { kind: isPlain ? "relation" : "permission", stored: { predicate: "has_relation", name: stored } };
    }
    const operands = expression.kind === "union" ? expression.operands : [expression];
    const isRole = operands.every((each) => each.kind === "direct" || directSubjects(each).length === 0);
    return isRole
      ? { kind: "role", stored: { predicate: "has_role", name } }
      : { kind: "permission", stored: { predicate: "has_role", name: `direct ${name}` } };
  }

  #plan(type: string, relation: string): Plan {
    return must(this.#plans.get(type)?.get(relation));
  }

  #relation(type: string, name: string): Relation | undefined {
    return this.#relations.get(relationKey(type, name));
  }

  #typeName(type: string): string {
    return must(this.#names.get(type));
  }

  /** The types of the objects to which a relation leads. */
  #targets(type: ObjectType, through: string): ObjectType[] {
    const relation = this.#relation(type.name, through);
    const names = new Set(relation === undefined ? [] : directSubjects(relation.expression).map((each) => each.type));
    return [...names].flatMap((name) => this.#types.get(name) ?? []);
  }

  // Text of the policy.

  #typeLines(type: ObjectType, without: ReadonlySet<string>): PolicyLine[] {
    const plans = type.relations.map((relation) => [relation, this.#plan(type.name, relation.name)] as const);
    const roles = plans.flatMap(([, { stored }]) =>
      stored?.predicate === "has_role" ? [stringLiteral(stored.name)] : [],
    );
    const permissions = plans.flatMap(([{ name }, { kind }]) => (kind === "permission" ? [stringLiteral(name)] : []));
    const relations = plans.flatMap(([relation, { kind, stored }]) =>
      kind === "relation" || (stored?.predicate === "has_relation" && leadsTo(relation).length > 0)
        ? [`${must(stored).name}: ${this.#declaredType(relation)}`]
        : [],
    );
    const ruled = type.relations.filter(({ name }) => !without.has(relationKey(type.name, name)));
    const rules = ruled.map((each) => this.#rules(type, each));
    return [
      { text: `${this.#actors.has(type.name) ? "actor" : "resource"} ${this.#typeName(type.name)} {` },
      ...(roles.length > 0 ? [{ text: `roles = [${roles.join(", ")}];` }] : []),
      ...(permissions.length > 0 ? [{ text: `permissions = [${permissions.join(", ")}];` }] : []),
      ...(relations.length > 0 ? [{ text: `relations = { ${relations.join(", ")} };` }] : []),
      ...rules.flatMap(({ shorthand }) => shorthand),
      { text: "}" },
      ...rules.flatMap(({ longhand }) => longhand),
      { text: "" },
    ];
  }

  /** The declared type of a relation: the one type that it leads to, or the one that is above all of them. */
  #declaredType(relation: Relation): string {
    const targets = leadsTo(relation);
    if (targets.length === 1) return this.#typeName(must(targets[0]));
    return targets.every((type) => this.#actors.has(type)) ? "Actor" : "Resource";
  }

  /** Roles and relations can be asked for like permissions, as in the other system. */
  #allow(): PolicyLine[] {
    const plans = [...this.#plans.values()].flatMap((byName) => [...byName.values()]);
    const conditions = [
      ["permission", "has_permission(actor, action, resource)"],
      ["role", "has_role(actor, action, resource)"],
      ["relation", "has_relation(resource, action, actor)"],
    ].flatMap(([kind, condition = ""]) => (plans.some((plan) => plan.kind === kind) ? [condition] : []));
    if (conditions.length === 0 || !plans.some(({ kind }) => kind !== "permission")) return [];
    return [
      { text: "# Roles and relations can be asked for like permissions." },
      { text: `allow(actor: Actor, action: String, resource: Resource) if ${conditions.join(" or ")};` },
      ...this.#relatedResources(),
    ];
  }

  /** A question may also name a resource as the subject of a relation: `allow(folder, "parent", document)`. */
  #relatedResources(): PolicyLine[] {
    return [...this.#types.values()].flatMap((type) => {
      const related = type.relations.filter(({ name }) => this.#plan(type.name, name).kind === "relation");
      const subjects = new Set(related.flatMap(leadsTo).filter((subject) => !this.#actors.has(subject)));
      return [...subjects].map((name): PolicyLine => {
        const scope = new Scope(this.#typeName(type.name));
        const subject = scope.variable(name);
        const head = `allow(${subject}: ${this.#typeName(name)}, action: String, ${scope.object}: ${this.#typeName(type.name)})`;
        return { text: `${head} if has_relation(${scope.object}, action, ${subject});` };
      });
    });
  }

  #rules(type: ObjectType, relation: Relation): { shorthand: PolicyLine[]; longhand: PolicyLine[] } {
    const { kind, stored } = this.#plan(type.name, relation.name);
    const owner = { relation: { type: type.name, name: relation.name, place: relation.place } };
    const line = (text: string): PolicyLine => {
      this.#length += text.length;
      if (this.#length > lengthMax) throw new ImportError(relation.place, "here the policy becomes longer than 4 MiB");
      return { text, ...owner };
    };
    const simplified = this.#simplify(type, relation.name, relation.expression);
    const operands = simplified.kind === "union" ? simplified.operands : [simplified];
    const shorthand = new Set<string>();
    const longhand = new Set(stored === undefined ? [] : this.#storedRules(type, relation, stored));
    const lines = () => ({ shorthand: [...shorthand].map(line), longhand: [...longhand].map(line) });
    if (kind === "relation" || relation.expression.kind === "direct") return lines();
    for (const operand of operands) {
      if (operand.kind === "nothing" || (kind === "role" && operand.kind === "direct")) continue;
      const short = this.#shorthand(type, relation.name, operand);
      if (short !== undefined) shorthand.add(`${stringLiteral(relation.name)} if ${short};`);
      else longhand.add(this.#longhand(type, relation, operand));
    }
    return lines();
  }

  #longhand(type: ObjectType, { name }: Relation, operand: Expression): string {
    const scope = new Scope(this.#typeName(type.name));
    const object = scope.object;
    const predicate = this.#plan(type.name, name).kind === "role" ? "has_role" : "has_permission";
    const head = `${predicate}(actor: Actor, ${stringLiteral(name)}, ${object}: ${this.#typeName(type.name)})`;
    return `${head} if ${printCondition(this.#condition(type, name, operand, scope))};`;
  }

  /** What stored facts give: shared ones to whom they are shared with, and ending ones until their end. */
  #storedRules(type: ObjectType, relation: Relation, stored: Store): string[] {
    const on = this.#typeName(type.name);
    const name = stringLiteral(stored.name);
    const isRole = stored.predicate === "has_role";
    const target = isRole
      ? `has_role(actor: Actor, ${name}, `
      : `has_permission(actor: Actor, ${stringLiteral(relation.name)}, `;
    const rules = new Set<string>();
    for (const subject of directSubjects(relation.expression)) {
      const scope = new Scope(on);
      const { object } = scope;
      const isMixed = this.#plan(type.name, relation.name).kind === "permission" && !isRole;
      const ends = subject.expires ? and(atom("@current_unix_time < end")) : true;
      const [suffix, last] = subject.expires ? ["_until", ", end"] : ["", ""];
      if (subject.everyone) {
        const head = target.replace("actor: Actor", `actor: ${this.#typeName(subject.type)}`);
        const shared = atom(
          `shared_with_all${suffix}(${object}, ${name}, ${stringLiteral(this.#typeName(subject.type))}${last})`,
        );
        rules.add(`${usesActor(head)}${object}: ${on}) if ${printCondition(and(shared, ends))};`);
      } else if (subject.relation !== undefined) {
        const by = scope.variable(this.#typeName(subject.type));
        const shared = atom(
          `shared_with${suffix}(${object}, ${name}, ${by}, ${stringLiteral(subject.relation)}${last})`,
        );
        const has = this.#has(subject.type, subject.relation, by);
        const matches = atom(`${by} matches ${this.#typeName(subject.type)}`);
        rules.add(`${target}${object}: ${on}) if ${printCondition(and(matches, shared, ends, has))};`);
      } else if (isRole && subject.expires) {
        const held = atom(`has_role_until(actor, ${name}, ${object}, end)`);
        rules.add(`${target}${object}: ${on}) if ${printCondition(and(held, ends))};`);
      } else if (!isRole) {
        const other = scope.variable(subject.type);
        const typed = `${other}: ${this.#typeName(subject.type)}`;
        if (subject.expires)
          rules.add(
            `has_relation(${object}: ${on}, ${name}, ${typed}) if has_relation_until(${object}, ${name}, ${other}, end) and @current_unix_time < end;`,
          );
        if (isMixed) rules.add(`${target}${object}: ${on}) if has_relation(${object}, ${name}, actor);`);
      }
    }
    return [...rules];
  }

  /** The condition that `actor` has the relation of the type to the object in `variable`. */
  #has(type: string, relation: string, variable: string): Condition {
    if (this.#relation(type, relation) === undefined) return false;
    const { kind, stored } = this.#plan(type, relation);
    if (kind === "relation") return atom(`has_relation(${variable}, ${stringLiteral(must(stored).name)}, actor)`);
    return atom(`has_${kind}(actor, ${stringLiteral(relation)}, ${variable})`);
  }

  #condition(type: ObjectType, relation: string, expression: Expression, scope: Scope): Condition {
    const all = (parts: readonly Expression[]): Condition[] =>
      parts.map((part) => this.#condition(type, relation, part, scope));
    switch (expression.kind) {
      case "direct":
        return atom(
          `has_role(actor, ${stringLiteral(must(this.#plan(type.name, relation).stored).name)}, ${scope.object})`,
        );
      case "computed":
        return this.#has(type.name, expression.relation, scope.object);
      case "arrow":
        return this.#arrow(type, expression, scope);
      case "union":
        return or(...all(expression.operands));
      case "intersection":
        return and(...all(expression.operands));
      case "exclusion":
        return and(
          this.#condition(type, relation, expression.base, scope),
          not(this.#condition(type, relation, expression.subtracted, scope)),
        );
      case "nothing":
        return false;
      case "self":
        return atom(`actor = ${scope.object}`);
    }
  }

  /** For one or all of the objects to which the relation leads. `all` holds for none if there are none. */
  #arrow(type: ObjectType, arrow: Expression & { kind: "arrow" }, scope: Scope): Condition {
    const targets = this.#targets(type, arrow.through);
    const some = targets.map((target) => {
      const other = scope.variable(arrow.through);
      return and(
        this.#leadsTo(type, arrow.through, target, other, scope),
        this.#has(target.name, arrow.relation, other),
      );
    });
    if (!arrow.all) return or(...some);
    const lacking = targets.map((target) => {
      const other = scope.variable(`other_${arrow.through}`);
      const leads = this.#leadsTo(type, arrow.through, target, other, scope);
      return not(and(leads, not(this.#has(target.name, arrow.relation, other))));
    });
    return and(or(...some), ...lacking);
  }

  #leadsTo(type: ObjectType, through: string, target: ObjectType, other: string, scope: Scope): Condition {
    const { stored } = this.#plan(type.name, through);
    const name = stringLiteral(must(stored).name);
    const { expression } = must(this.#relation(type.name, through));
    const own = directSubjects(expression).filter((each) => each.type === target.name);
    const isEnding = own.some(({ relation, expires }) => relation !== undefined && expires);
    const end = isEnding ? scope.variable(`${other}_end`) : "";
    const ways = new Set(
      own.map(({ relation, expires }) => {
        if (relation === undefined) return `has_relation(${scope.object}, ${name}, ${other})`;
        return expires
          ? `shared_with_until(${scope.object}, ${name}, ${other}, ${stringLiteral(relation)}, ${end}) and @current_unix_time < ${end}`
          : `shared_with(${scope.object}, ${name}, ${other}, ${stringLiteral(relation)})`;
      }),
    );
    const printed = [...ways].map((way) => (ways.size > 1 && way.includes(" and ") ? atom(`(${way})`) : atom(way)));
    return and(atom(`${other} matches ${this.#typeName(target.name)}`), or(...printed));
  }

  /** The right side of a shorthand rule; undefined if shorthand cannot say it. */
  #shorthand(type: ObjectType, relation: string, expression: Expression): string | undefined {
    switch (expression.kind) {
      case "direct":
        return stringLiteral(must(this.#plan(type.name, relation).stored).name);
      case "computed":
        return this.#shorthandName(type.name, expression.relation);
      case "arrow": {
        const plan = this.#plan(type.name, expression.through);
        const [target, ...others] = this.#targets(type, expression.through);
        if (expression.all || plan.kind !== "relation" || target === undefined || others.length > 0) return undefined;
        const name = this.#shorthandName(target.name, expression.relation);
        return name === undefined ? undefined : `${name} on ${stringLiteral(must(plan.stored).name)}`;
      }
      case "union":
      case "intersection": {
        const parts = expression.operands.map((operand) => {
          const part = this.#shorthand(type, relation, operand);
          const isJoined = operand.kind === "union" || operand.kind === "intersection";
          return part !== undefined && isJoined ? `(${part})` : part;
        });
        const joined = parts.filter((part) => part !== undefined);
        return joined.length < parts.length ? undefined : joined.join(expression.kind === "union" ? " or " : " and ");
      }
      default:
        return undefined;
    }
  }

  #shorthandName(type: string, name: string): string | undefined {
    const relation = this.#relation(type, name);
    if (relation === undefined) return undefined;
    const { kind, stored } = this.#plan(type, name);
    if (kind !== "relation") return stringLiteral(name);
    // Shorthand gives the relation to the actor, so it must lead to actors only.
    return directSubjects(relation.expression).every((each) => this.#actors.has(each.type))
      ? stringLiteral(must(stored).name)
      : undefined;
  }

  /** Leaves out what nobody can have. */
  #simplify(type: ObjectType, relation: string, expression: Expression): Expression {
    if (this.#incomplete.closes(type.name, relation, expression)) return nothing;
    switch (expression.kind) {
      case "computed":
        return this.#relation(type.name, expression.relation) === undefined ? nothing : expression;
      case "arrow": {
        const isPossible = this.#targets(type, expression.through).some(
          (target) => this.#relation(target.name, expression.relation) !== undefined,
        );
        return isPossible ? expression : nothing;
      }
      case "union": {
        const operands = expression.operands
          .map((operand) => this.#simplify(type, relation, operand))
          .flatMap((operand) => (operand.kind === "union" ? operand.operands : [operand]))
          .filter(({ kind }) => kind !== "nothing");
        return operands.length > 1 ? { kind: "union", operands } : (operands[0] ?? nothing);
      }
      case "intersection": {
        const operands = expression.operands.map((operand) => this.#simplify(type, relation, operand));
        return operands.some(({ kind }) => kind === "nothing") ? nothing : { kind: "intersection", operands };
      }
      case "exclusion": {
        const base = this.#simplify(type, relation, expression.base);
        const subtracted = this.#simplify(type, relation, expression.subtracted);
        if (base.kind === "nothing" || subtracted.kind === "nothing") return base;
        return { kind: "exclusion", base, subtracted };
      }
      default:
        return expression;
    }
  }
}

/** Much more than a node accepts. An arrow to many types makes a long rule. */
const lengthMax = 4 * 1024 * 1024;

const nothing: Expression = { kind: "nothing" };

/** The types of the objects that relationships name themselves, not their relations or everyone. */
function leadsTo({ expression }: Relation): string[] {
  const named = directSubjects(expression).filter((each) => !each.everyone && each.relation === undefined);
  return [...new Set(named.map(({ type }) => type))];
}

/** The variables of one rule. */
class Scope {
  /** The variable of the object that the rule is about. */
  readonly object: string;
  readonly #taken = new Set(["actor", "action", "end"]);
  /** How often each name was wanted. A rule may have thousands of variables. */
  readonly #wanted = new Map<string, number>();

  constructor(type: string) {
    this.object = this.variable(type);
  }

  /** A variable that the rule does not have yet. */
  variable(name: string): string {
    const wanted = variableName(name);
    for (let number = (this.#wanted.get(wanted) ?? 0) + 1; ; number += 1) {
      const candidate = number === 1 ? wanted : `${wanted}${number}`;
      if (this.#taken.has(candidate)) continue;
      this.#taken.add(candidate);
      this.#wanted.set(wanted, number);
      return candidate;
    }
  }
}

/** The head of a rule that does not use its actor: Polar warns about variables that occur once. */
function usesActor(head: string): string {
  return head.replace("(actor: ", "(_: ");
}
