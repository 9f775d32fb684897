/**
 * What schemas of OpenFGA and SpiceDB have in common: types of objects, whose relations hold for subjects. Both readers
 * produce this model, and `polar-policy.ts` translates it.
 */

import type { ParameterType } from "./cel-value.ts";

/** Where something stands in the imported files. Lines count from 1; 0 if the format has no useful lines (JSON). */
export interface Place {
  readonly file: string;
  readonly line: number;
}

export interface RelationModel {
  readonly types: readonly ObjectType[];
  readonly conditions: readonly ConditionDeclaration[];
}

/** A condition of OpenFGA, or a caveat of SpiceDB. */
export interface ConditionDeclaration {
  readonly name: string;
  readonly parameters: readonly { readonly name: string; readonly type: ParameterType }[];
  /** In CEL. */
  readonly expression: string;
  /** Whether it decides nothing while a parameter is missing, as in OpenFGA, also one that would not matter. */
  readonly needsAll: boolean;
  readonly place: Place;
}

/** Values of parameters, as JSON. */
export type Context = Readonly<Record<string, unknown>>;

export interface ObjectType {
  readonly name: string;
  readonly relations: readonly Relation[];
  readonly place: Place;
}

/** A relation of OpenFGA, or a relation or permission of SpiceDB. */
export interface Relation {
  readonly name: string;
  readonly expression: Expression;
  readonly place: Place;
}

/** Which subjects have a relation to an object. */
export type Expression =
  /** Those that stored relationships name. */
  | { readonly kind: "direct"; readonly subjects: readonly SubjectType[] }
  /** Those that have another relation to the same object. */
  | { readonly kind: "computed"; readonly relation: string }
  /** Those that have a relation to one object, or to all objects, to which `through` leads. */
  | { readonly kind: "arrow"; readonly through: string; readonly relation: string; readonly all: boolean }
  | { readonly kind: "union" | "intersection"; readonly operands: readonly Expression[] }
  | { readonly kind: "exclusion"; readonly base: Expression; readonly subtracted: Expression }
  /** Nobody. */
  | { readonly kind: "nothing" }
  /** The object itself. */
  | { readonly kind: "self" };

/** The subjects that a relationship may name: an object, the subjects of its relation (`group#member`), or everyone. */
export interface SubjectType {
  readonly type: string;
  readonly relation?: string;
  readonly everyone?: boolean;
  /** The condition of OpenFGA or the caveat of SpiceDB under which the relationship counts. */
  readonly condition?: string;
  readonly expires?: boolean;
  readonly place: Place;
}

/** A stored relationship: a tuple of OpenFGA. */
export interface Relationship {
  readonly object: ObjectId;
  readonly relation: string;
  readonly subject: ObjectId & { readonly relation?: string };
  readonly condition?: string;
  /** What the relationship stores for its condition. It comes before the context of a question. */
  readonly context?: Context;
  /** Seconds since 1970 from which on the relationship does not count. */
  readonly end?: number;
  readonly place: Place;
}

/** The id `*` stands for all objects of the type. */
export interface ObjectId {
  readonly type: string;
  readonly id: string;
}

/** What the author of the imported files expects: a test. */
export interface ExpectationGroup {
  readonly name: string;
  /** Relationships of this test alone. */
  readonly relationships: readonly Relationship[];
  readonly expectations: readonly Expectation[];
}

export type Expectation = {
  readonly relation: string;
  /** The context of the question. */
  readonly context?: Context;
  readonly place: Place;
} & (
  | {
      readonly kind: "check";
      readonly subject: Relationship["subject"];
      readonly object: ObjectId;
      readonly holds: boolean;
    }
  | {
      readonly kind: "objects";
      readonly subject: Relationship["subject"];
      readonly type: string;
      readonly ids: readonly string[];
    }
  | { readonly kind: "subjects"; readonly object: ObjectId; readonly type: string; readonly ids: readonly string[] }
);

/** A part of the imported files without an equivalent in Polar. */
export interface Untranslated {
  readonly place: Place;
  /** What it is, and what its absence changes. */
  readonly message: string;
}

/** Everything that was read from the files of one system. */
export interface RelationSource {
  readonly model: RelationModel;
  /** What the system calls a condition. */
  readonly conditionWord: "condition" | "caveat";
  readonly relationships: readonly Relationship[];
  readonly tests: readonly ExpectationGroup[];
  readonly untranslated: readonly Untranslated[];
}

/** Thrown for files that the other system would not accept either. */
export class ImportError extends Error {
  constructor({ file, line }: Place, message: string) {
    super(line === 0 ? `${file}: ${message}` : `${file}:${line}: ${message}`);
    this.name = "ImportError";
  }
}

/** Identifies a relation in its model. */
export function relationKey(type: string, relation: string): string {
  return `${type}#${relation}`;
}

/** Direct subjects of an expression, wherever in it they stand. */
export function directSubjects(expression: Expression): readonly SubjectType[] {
  return expressionsIn(expression).flatMap((each) => (each.kind === "direct" ? each.subjects : []));
}

/** The expression and all its parts. Does not recurse: an expression may be deep before its size is checked. */
export function expressionsIn(expression: Expression): Expression[] {
  const found = [expression];
  // A loop over an array visits what is added meanwhile.
  for (const part of found) {
    if (part.kind === "exclusion") found.push(part.base, part.subtracted);
    else if ("operands" in part) for (const operand of part.operands) found.push(operand);
  }
  return found;
}
