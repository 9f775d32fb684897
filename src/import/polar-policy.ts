/**
 * Translates a relation model to a policy in idiomatic Polar, and relationships to facts.
 *
 * - A relation that relationships give to users is a role. One that leads from object to object (`parent`) is a relation
 *   of the block. Everything that is only computed is a permission.
 * - `group#member` and `user:*` are facts of their own: `shared_with(document, "viewer", group, "member")` and
 *   `shared_with_all(document, "viewer", "User")`.
 * - Relationships that end have facts with their end in seconds: `has_role_until(actor, "viewer", document, end)`.
 * - Relationships with a condition name an instance of it: `has_role_if(actor, "viewer", document, instance)`. An exclusion
 *   has to know who certainly lacks a relation, which is more than not to have it: a condition may lack a value. So it asks
 *   for `may_have`, which holds unless the condition fails.
 */
import { stringLiteral } from "../polar/string-literal.ts";
import type { Fact, Value } from "../store/facts/fact.ts";
import { must } from "../util/assert.ts";
import { and, atom, type Condition, not, or, printCondition } from "./condition.ts";
import { Incomplete, subtractedKeys } from "./exclusions.ts";
import { PolarConditions } from "./polar-conditions.ts";
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
  type SubjectType,
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

/** Who has a relation certainly, or possibly: conditions may lack a value. */
type Mode = "certain" | "possible";

/** The facts of a relationship, and what is wrong with it: texts that continue "the relationship". */
export interface Stored {
  readonly facts: readonly Fact[];
  readonly problems: readonly string[];
}

export class PolarPolicy {
  readonly #types: ReadonlyMap<string, ObjectType>;
  readonly #names: ReadonlyMap<string, string>;
  readonly #actors: ReadonlySet<string>;
  readonly #plans: ReadonlyMap<string, ReadonlyMap<string, Plan>>;
  readonly #conditions: PolarConditions;
  /** The type of the instances that no condition decides. */
  readonly #undecided: string;
  /** Relations that depend on conditions. */
  readonly #uncertain: Incomplete;
  readonly #subtracted: ReadonlySet<string>;
  /** The relations of which an exclusion asks who possibly has them, in the lines so far. */
  readonly #possible = new Map<string, { readonly type: ObjectType; readonly relation: Relation }>();
  /** By their keys, as all sets and maps of relations. */
  readonly #relations: ReadonlyMap<string, Relation>;
  /** Relations that arrows go through. */
  readonly #through: ReadonlySet<string>;
  /** Relations through which an arrow goes to all objects: a relationship whose condition fails counts there. */
  readonly #throughAll: ReadonlySet<string>;
  /** Relations of which something asks who has them, not only which objects they lead to. */
  readonly #asked: ReadonlySet<string>;
  readonly #model: RelationModel;
  /** The length of the lines so far. */
  #length = 0;
  /** What the lines lack. */
  #incomplete: Incomplete;

  constructor(model: RelationModel) {
    this.#model = model;
    this.#types = new Map(model.types.map((type) => [type.name, type]));
    // A condition may have the name of a type.
    const conditions = model.conditions.map(({ name }) => `condition ${name}`);
    this.#names = typeNames([...this.#types.keys(), ...conditions, "condition undecided"]);
    this.#undecided = must(this.#names.get("condition undecided"));
    this.#conditions = new PolarConditions(model.conditions, (name) => this.#typeOf(name));
    const relations = model.types.flatMap((type) => type.relations.map((relation) => ({ type, relation })));
    this.#relations = new Map(relations.map(({ type, relation }) => [relationKey(type.name, relation.name), relation]));
    const parts = relations.flatMap(({ type, relation }) =>
      expressionsIn(relation.expression).map((part) => ({ type, part })),
    );
    const throughOf = (all: boolean): Set<string> =>
      new Set(
        parts.flatMap(({ type, part }) =>
          part.kind === "arrow" && (part.all || !all) ? [relationKey(type.name, part.through)] : [],
        ),
      );
    this.#through = throughOf(false);
    this.#throughAll = throughOf(true);
    this.#asked = new Set(parts.flatMap(({ type, part }) => this.#askedBy(type, part)));
    this.#actors = this.#findActors();
    this.#plans = new Map([...this.#types.values()].map((type) => [type.name, this.#planType(type)]));
    this.#incomplete = new Incomplete(model, new Set());
    const conditional = [...this.#relations].filter(([, relation]) => conditionsIn(relation).size > 0);
    this.#uncertain = new Incomplete(model, new Set(conditional.map(([key]) => key)));
    this.#subtracted = subtractedKeys(model);
  }

  /**
   * The policy without tests, one statement or a part of a block per line. Relations in `without`, which has
   * their keys, get no rules. Throws
   * ImportError if it becomes too long.
   */
  lines(without: ReadonlySet<string> = new Set()): PolicyLine[] {
    this.#length = 0;
    this.#possible.clear();
    this.#incomplete = new Incomplete(this.#model, without);
    const types = [...this.#types.values()].map((type) => this.#typeLines(type, without));
    const lines = [...types.flat(), ...this.#possibleLines()];
    return [...lines, ...this.#conditionLines(lines), ...this.#allow()];
  }

  /** The conditions that relations name. */
  usedConditions(): ReadonlySet<string> {
    return new Set([...this.#relations.values()].flatMap((relation) => [...conditionsIn(relation)]));
  }

  get conditions(): PolarConditions {
    return this.#conditions;
  }

  /** The relations with exclusions that admit nobody, in a policy whose lines lack the relations in `without`. */
  closed(without: ReadonlySet<string>): { readonly key: string; readonly place: Place }[] {
    const incomplete = new Incomplete(this.#model, without);
    return this.#model.types.flatMap(({ name: type, relations }) =>
      relations.flatMap(({ name, expression, place }) => {
        const key = relationKey(type, name);
        const isClosed = expressionsIn(expression).some((part) => incomplete.closes(type, name, part));
        return isClosed && !without.has(key) ? [{ key, place }] : [];
      }),
    );
  }

  /**
   * The facts for a relationship, or why it has none. `problemOf` says why a node refuses a fact, in a text that continues
   * "the relationship".
   */
  stored(relationship: Relationship, problemOf: (fact: Fact) => string | undefined = () => undefined): Stored {
    const { object, relation: name, subject, condition, context = {}, end } = relationship;
    const problem = (text: string): Stored => ({ facts: [], problems: [text] });
    const relation = this.#relation(object.type, name);
    if (relation === undefined)
      return problem(`has a relation \`${name}\` that type \`${object.type}\` does not declare`);
    const { stored } = this.#plan(object.type, name);
    const subjects = directSubjects(relation.expression).filter(
      (each) =>
        each.type === subject.type &&
        each.relation === subject.relation &&
        (each.everyone ?? false) === (subject.id === "*"),
    );
    if (stored === undefined || subjects.length === 0)
      return problem(`names a subject that \`${name}\` of \`${object.type}\` does not admit`);
    const conditional = subjects.filter((each) => each.condition === condition);
    if (conditional.length === 0)
      return problem(
        condition === undefined
          ? `lacks the condition that \`${name}\` of \`${object.type}\` asks for`
          : `has the condition \`${condition}\`, which \`${name}\` of \`${object.type}\` does not admit`,
      );
    if (!conditional.some(({ expires = false }) => expires === (end !== undefined)))
      return problem(
        end === undefined
          ? `lacks the expiration that \`${name}\` of \`${object.type}\` asks for`
          : `has an expiration, which \`${name}\` of \`${object.type}\` does not admit`,
      );
    if (condition === undefined) return { facts: [this.#factFor(stored, object, subject, end)], problems: [] };
    const isThroughAll = this.#throughAll.has(relationKey(object.type, name));
    const instance = this.#conditions.instance(condition, context, end, isThroughAll);
    const undecided = (text: string): Stored => {
      // An exclusion counts on what it takes away.
      if (!this.#subtracted.has(relationKey(object.type, name))) return problem(text);
      const value = { type: this.#undecided, id: condition };
      return {
        facts: [this.#factFor(stored, object, subject, undefined, value)],
        problems: [`${text}, so it gives nothing, and exclusions take it away`],
      };
    };
    switch (instance.kind) {
      case "decided":
        return { facts: instance.holds ? [this.#factFor(stored, object, subject, end)] : [], problems: [] };
      case "instance": {
        const [refused] = instance.facts.flatMap((each) => problemOf(each) ?? []);
        if (refused !== undefined) return undecided(refused);
        const fact = this.#factFor(stored, object, subject, end, instance.value);
        const never = "so its condition may never hold";
        return { facts: [fact, ...instance.facts], problems: instance.problems.map((each) => `${each}, ${never}`) };
      }
      case "undecided":
        return undecided(instance.problem);
    }
  }

  /** A fact for each kind of relationship that the model admits. */
  possibleFacts(): Fact[] {
    return this.#model.types.flatMap(({ name: type, relations }) =>
      relations.flatMap(({ name: relation, expression }) =>
        directSubjects(expression).flatMap((each) => {
          const subject = {
            type: each.type,
            id: each.everyone ? "*" : "id",
            ...(each.relation !== undefined && { relation: each.relation }),
          };
          const { stored } = this.#plan(type, relation);
          const [end, object] = [each.expires ? 0 : undefined, { type, id: "id" }];
          const isUndecided = each.condition !== undefined && this.#subtracted.has(relationKey(type, relation));
          const factFor = (at: number | undefined, instance?: string): Fact =>
            this.#factFor(
              must(stored),
              object,
              subject,
              at,
              instance === undefined ? undefined : { type: instance, id: "id" },
            );
          return stored === undefined
            ? []
            : [
                factFor(end),
                ...(each.condition === undefined ? [] : [factFor(end, this.#typeOf(each.condition))]),
                ...(each.condition === undefined || end === undefined
                  ? []
                  : [
                      {
                        predicate: "ends",
                        args: [
                          { type: this.#typeOf(each.condition), id: "id" },
                          { type: "Integer", id: "0" },
                        ],
                      },
                    ]),
                ...(isUndecided ? [factFor(undefined, this.#undecided)] : []),
              ];
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

  /** The last argument is the end, or the instance of a condition, which then has the end. */
  #factFor(
    stored: Store,
    object: ObjectId,
    subject: Relationship["subject"],
    end: number | undefined,
    instance?: Value,
  ): Fact {
    const on = must(this.value(object));
    const name = { type: "String", id: stored.name };
    const ending =
      instance === undefined ? (end === undefined ? [] : [{ type: "Integer", id: String(end) }]) : [instance];
    const suffix = `${instance === undefined ? "" : "_if"}${end === undefined ? "" : "_until"}`;
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

  /** The type of the instances of a condition. */
  #typeOf(condition: string): string {
    return must(this.#names.get(`condition ${condition}`));
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
    const longhand = new Set(stored === undefined ? [] : this.#storedRules(type, relation, stored, "certain"));
    const lines = () => ({ shorthand: [...shorthand].map(line), longhand: [...longhand].map(line) });
    if (kind === "relation" || relation.expression.kind === "direct") return lines();
    for (const operand of operands) {
      if (operand.kind === "nothing" || (kind === "role" && operand.kind === "direct")) continue;
      const short = this.#shorthand(type, relation.name, operand);
      if (short !== undefined) shorthand.add(`${stringLiteral(relation.name)} if ${short};`);
      else longhand.add(this.#longhand(type, relation, operand, "certain"));
    }
    return lines();
  }

  #longhand(type: ObjectType, { name }: Relation, operand: Expression, mode: Mode): string {
    const scope = new Scope(this.#typeName(type.name));
    const object = scope.object;
    const held = this.#plan(type.name, name).kind === "role" ? "has_role" : "has_permission";
    const predicate = mode === "certain" ? held : "may_have";
    const head = `${predicate}(actor: Actor, ${stringLiteral(name)}, ${object}: ${this.#typeName(type.name)})`;
    return `${head} if ${printCondition(this.#condition(type, name, operand, scope, mode))};`;
  }

  /** The rules for who may have the relations of which exclusions asked so. */
  #possibleLines(): PolicyLine[] {
    const lines: PolicyLine[] = [];
    // A map visits what is added meanwhile.
    for (const { type, relation } of this.#possible.values()) {
      const { kind, stored } = this.#plan(type.name, relation.name);
      const scope = new Scope(this.#typeName(type.name));
      const name = stringLiteral(kind === "relation" ? must(stored).name : relation.name);
      const head = `may_have(actor: Actor, ${name}, ${scope.object}: ${this.#typeName(type.name)})`;
      const rules = new Set([
        `${head} if ${printCondition(this.#has(type.name, relation.name, scope.object, "certain"))};`,
      ]);
      if (stored?.predicate === "has_role" && kind === "permission") {
        const direct = stringLiteral(stored.name);
        rules.add(`${head.replace(name, direct)} if has_role(actor, ${direct}, ${scope.object});`);
      }
      for (const rule of stored === undefined ? [] : this.#storedRules(type, relation, stored, "possible"))
        rules.add(rule);
      const simplified = this.#simplify(type, relation.name, relation.expression);
      for (const operand of simplified.kind === "union" ? simplified.operands : [simplified])
        if (
          operand.kind !== "nothing" &&
          (operand.kind !== "direct" || (kind === "permission" && relation.expression.kind !== "direct"))
        )
          rules.add(this.#longhand(type, relation, operand, "possible"));
      const owner = { type: type.name, name: relation.name, place: relation.place };
      lines.push(...[...rules].map((text) => ({ text, relation: owner })));
    }
    return lines.length === 0
      ? []
      : [{ text: "# Who may have what an exclusion takes away, unless a condition fails." }, ...lines, { text: "" }];
  }

  #conditionLines(before: readonly PolicyLine[]): PolicyLine[] {
    const asksFails = before.some(({ text }) => text.includes("fails("));
    const lines = [...this.usedConditions()].flatMap((name) => this.#conditions.lines(name, asksFails));
    const isUndecided = [...this.#relations].some(
      ([key, each]) => this.#subtracted.has(key) && conditionsIn(each).size > 0,
    );
    const undecided = isUndecided ? ["# Conditions that nothing decides.", `resource ${this.#undecided} {}`, ""] : [];
    return [...lines, ...undecided].map((text) => ({ text }));
  }

  /**
   * What stored facts give: shared ones to whom they are shared with, ending ones until their end, and those with a
   * condition while it holds, or for `possible` unless it fails.
   */
  #storedRules(type: ObjectType, relation: Relation, stored: Store, mode: Mode): string[] {
    const on = this.#typeName(type.name);
    const name = stringLiteral(stored.name);
    const isRole = stored.predicate === "has_role";
    const { kind } = this.#plan(type.name, relation.name);
    const isMixed = kind === "permission" && !isRole;
    const given = stringLiteral(isMixed ? relation.name : stored.name);
    const predicate = mode === "possible" ? "may_have" : isMixed ? "has_permission" : stored.predicate;
    const target = `${predicate}(actor: Actor, ${given}, `;
    const rules = new Set<string>();
    for (const subject of directSubjects(relation.expression)) {
      for (const when of this.#whens(subject, mode)) {
        // Who has a relation may have it.
        if (mode === "possible" && when.instance === true && subject.relation === undefined) continue;
        const scope = new Scope(on);
        const { object } = scope;
        const rule = (head: string, ...parts: readonly Condition[]): void =>
          void rules.add(
            `${head}${object}: ${on}) if ${printCondition(and(when.instance, ...parts, when.condition))};`,
          );
        if (subject.everyone) {
          const everyone = stringLiteral(this.#typeName(subject.type));
          const head = usesActor(target.replace("actor: Actor", `actor: ${this.#typeName(subject.type)}`));
          rule(head, atom(`shared_with_all${when.suffix}(${object}, ${name}, ${everyone}${when.last})`));
        } else if (subject.relation !== undefined) {
          const by = scope.variable(this.#typeName(subject.type));
          const shared = `shared_with${when.suffix}(${object}, ${name}, ${by}, ${stringLiteral(subject.relation)}${when.last})`;
          rule(
            target,
            atom(`${by} matches ${this.#typeName(subject.type)}`),
            atom(shared),
            this.#has(subject.type, subject.relation, by, mode),
          );
        } else if (isRole && when.suffix !== "") {
          rule(target, atom(`has_role${when.suffix}(actor, ${name}, ${object}${when.last})`));
        } else if (!isRole && when.suffix !== "") {
          if (mode === "possible") {
            rule(target, atom(`has_relation${when.suffix}(${object}, ${name}, actor${when.last})`));
            continue;
          }
          const other = scope.variable(subject.type);
          const held = atom(`has_relation${when.suffix}(${object}, ${name}, ${other}${when.last})`);
          rules.add(
            `has_relation(${object}: ${on}, ${name}, ${other}: ${this.#typeName(subject.type)}) if ${printCondition(and(when.instance, held, when.condition))};`,
          );
        }
        if (mode === "certain" && isMixed && !subject.everyone && subject.relation === undefined)
          rules.add(`${target}${object}: ${on}) if has_relation(${object}, ${name}, actor);`);
      }
    }
    return [...rules];
  }

  /**
   * The kinds of facts by which relationships with the subject count: without a condition, with the suffix of their
   * predicate and their last argument otherwise. `any` counts relationships whatever their condition decides.
   */
  #whens({ condition, expires }: SubjectType, mode: Mode | "any", end = "end", instance = "condition"): When[] {
    const plain: When = expires
      ? { suffix: "_until", last: `, ${end}`, instance: true, condition: atom(`@current_unix_time < ${end}`) }
      : { suffix: "", last: "", instance: true, condition: true };
    if (condition === undefined) return [plain];
    const ends = expires ? and(atom(`ends(${instance}, ${end})`), atom(`@current_unix_time < ${end}`)) : true;
    const at = (name: string, decided: Condition): When => ({
      suffix: expires ? "_if_until" : "_if",
      last: `, ${instance}`,
      instance: atom(`${instance} matches ${name}`),
      condition: and(ends, decided),
    });
    const type = this.#typeOf(condition);
    const undecided = { ...at(this.#undecided, true), suffix: "_if", condition: true };
    switch (mode) {
      case "certain":
        return [plain, at(type, atom(`holds(${instance})`))];
      case "possible":
        return [plain, at(type, not(atom(`fails(${instance})`))), undecided];
      case "any":
        return [plain, at(type, true), undecided];
    }
  }

  /** The condition that `actor` has the relation of the type to the object in `variable`. */
  #has(type: string, relation: string, variable: string, mode: Mode): Condition {
    const found = this.#relation(type, relation);
    if (found === undefined) return false;
    const { kind, stored } = this.#plan(type, relation);
    if (mode === "possible" && this.#uncertain.has(type, relation)) {
      this.#possible.set(relationKey(type, relation), { type: must(this.#types.get(type)), relation: found });
      return atom(`may_have(actor, ${stringLiteral(kind === "relation" ? must(stored).name : relation)}, ${variable})`);
    }
    if (kind === "relation") return atom(`has_relation(${variable}, ${stringLiteral(must(stored).name)}, actor)`);
    return atom(`has_${kind}(actor, ${stringLiteral(relation)}, ${variable})`);
  }

  #condition(type: ObjectType, relation: string, expression: Expression, scope: Scope, mode: Mode): Condition {
    const all = (parts: readonly Expression[]): Condition[] =>
      parts.map((part) => this.#condition(type, relation, part, scope, mode));
    switch (expression.kind) {
      case "direct":
        return this.#direct(type, relation, scope.object, mode);
      case "computed":
        return this.#has(type.name, expression.relation, scope.object, mode);
      case "arrow":
        return this.#arrow(type, expression, scope, mode);
      case "union":
        return or(...all(expression.operands));
      case "intersection":
        return and(...all(expression.operands));
      case "exclusion":
        return and(
          this.#condition(type, relation, expression.base, scope, mode),
          not(
            this.#condition(type, relation, expression.subtracted, scope, mode === "certain" ? "possible" : "certain"),
          ),
        );
      case "nothing":
        return false;
      case "self":
        return atom(`actor = ${scope.object}`);
    }
  }

  /** That `actor` has a stored relationship of the relation, which only a part of its expression asks for. */
  #direct(type: ObjectType, relation: string, object: string, mode: Mode): Condition {
    const name = stringLiteral(must(this.#plan(type.name, relation).stored).name);
    const found = must(this.#relation(type.name, relation));
    const isUncertain = directSubjects(found.expression).some(
      ({ condition, type: by, relation: held }) =>
        condition !== undefined || (held !== undefined && this.#uncertain.has(by, held)),
    );
    if (mode === "certain" || !isUncertain) return atom(`has_role(actor, ${name}, ${object})`);
    this.#possible.set(relationKey(type.name, relation), { type, relation: found });
    return atom(`may_have(actor, ${name}, ${object})`);
  }

  /** For one or all of the objects to which the relation leads. `all` holds for none if there are none. */
  #arrow(type: ObjectType, arrow: Expression & { kind: "arrow" }, scope: Scope, mode: Mode): Condition {
    const targets = this.#targets(type, arrow.through);
    const some = targets.map((target) => {
      const other = scope.variable(arrow.through);
      return and(
        this.#leadsTo(type, arrow.through, target, other, scope, mode),
        this.#has(target.name, arrow.relation, other, mode),
      );
    });
    if (!arrow.all) return or(...some);
    const lacking = targets.flatMap((target) => {
      const other = scope.variable(`other_${arrow.through}`);
      // A relationship whose condition fails is one that does not give the relation.
      const leads = this.#leadsTo(type, arrow.through, target, other, scope, "any");
      const failing = this.#failing(type, arrow.through, target, scope, mode);
      return [not(and(leads, not(this.#has(target.name, arrow.relation, other, mode)))), ...failing];
    });
    return and(or(...some), ...lacking);
  }

  #leadsTo(
    type: ObjectType,
    through: string,
    target: ObjectType,
    other: string,
    scope: Scope,
    mode: Mode | "any",
  ): Condition {
    const subjects = this.#subjectsOf(type, through, target);
    // Rules give `has_relation` for relationships that end or have a condition which holds.
    const ways = subjects.flatMap((subject) =>
      subject.relation === undefined
        ? [
            atom(this.#way(type, through, subject, scope.object, other, "", "")),
            ...(mode === "certain" ? [] : this.#ways(type, through, subject, other, scope, mode, true)),
          ]
        : this.#ways(type, through, subject, other, scope, mode, false),
    );
    return and(atom(`${other} matches ${this.#typeName(target.name)}`), or(...ways));
  }

  #subjectsOf(type: ObjectType, through: string, target: ObjectType): SubjectType[] {
    const { expression } = must(this.#relation(type.name, through));
    return directSubjects(expression).filter((each) => each.type === target.name);
  }

  #ways(
    type: ObjectType,
    through: string,
    subject: SubjectType,
    other: string,
    scope: Scope,
    mode: Mode | "any",
    withConditions: boolean,
  ): Condition[] {
    const end = subject.expires ? scope.variable(`${other}_end`) : "";
    const instance = subject.condition === undefined ? "" : scope.variable(`${other}_condition`);
    const whens = this.#whens(subject, mode, end, instance).filter(
      ({ suffix }) => !withConditions || suffix.startsWith("_if"),
    );
    return whens.map((when) =>
      and(
        when.instance,
        atom(this.#way(type, through, subject, scope.object, other, when.suffix, when.last)),
        when.condition,
      ),
    );
  }

  #way(
    type: ObjectType,
    through: string,
    subject: SubjectType,
    object: string,
    other: string,
    suffix: string,
    last: string,
  ): string {
    const name = stringLiteral(must(this.#plan(type.name, through).stored).name);
    return subject.relation === undefined
      ? `has_relation${suffix}(${object}, ${name}, ${other}${last})`
      : `shared_with${suffix}(${object}, ${name}, ${other}, ${stringLiteral(subject.relation)}${last})`;
  }

  /** That no relationship of the relation has a condition that does not hold, or for `possible` fails. */
  #failing(type: ObjectType, through: string, target: ObjectType, scope: Scope, mode: Mode): Condition[] {
    return this.#subjectsOf(type, through, target).flatMap((subject) => {
      if (subject.condition === undefined) return [];
      const other = scope.variable(`failing_${through}`);
      const instance = scope.variable(`${other}_condition`);
      const end = scope.variable(`${other}_end`);
      const [, decidable, undecided] = this.#whens(subject, "any", end, instance);
      const matches = atom(`${other} matches ${this.#typeName(target.name)}`);
      const found = (when: When, decided: Condition): Condition => {
        const way = atom(this.#way(type, through, subject, scope.object, other, when.suffix, when.last));
        return not(and(matches, when.instance, way, when.condition, decided));
      };
      const fails = mode === "certain" ? not(atom(`holds(${instance})`)) : atom(`fails(${instance})`);
      return [found(must(decidable), fails), ...(mode === "certain" ? [found(must(undecided), true)] : [])];
    });
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

/** One kind of fact by which a relationship counts. */
interface When {
  readonly suffix: string;
  readonly last: string;
  /** That the last argument is an instance of the condition. */
  readonly instance: Condition;
  readonly condition: Condition;
}

function conditionsIn({ expression }: Relation): Set<string> {
  return new Set(directSubjects(expression).flatMap(({ condition }) => (condition === undefined ? [] : [condition])));
}

/** The types of the objects that relationships name themselves, not their relations or everyone. */
function leadsTo({ expression }: Relation): string[] {
  const named = directSubjects(expression).filter((each) => !each.everyone && each.relation === undefined);
  return [...new Set(named.map(({ type }) => type))];
}

/** The variables of one rule. */
class Scope {
  /** The variable of the object that the rule is about. */
  readonly object: string;
  readonly #taken = new Set(["actor", "action", "end", "condition"]);
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
