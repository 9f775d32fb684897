/**
 * Warnings about arguments in the wrong order. They compare the types of a call with what `has_role` and the like take,
 * with the declared names, and with the other uses of the predicate. The language accepts any order, and a rule with the
 * wrong one is never true.
 */
import type { NameKind, TypeEntry } from "../declarations.ts";
import { factArgumentsMax } from "../policy.ts";
import { quote } from "../report.ts";
import type { Context } from "./context.ts";
import type { Owner, Owners } from "./owners.ts";
import { type Argument, mayAgree, type PredicateUse } from "./predicate-uses.ts";

export function checkArgumentOrder(uses: readonly PredicateUse[], owners: Owners, context: Context): void {
  for (const use of uses) {
    const kind = kindOf.get(use.predicate.text);
    // For tests, others say that a fact or an assertion has types that no rule uses.
    const order = kind && isInRule(use) ? builtInOrder(use, kind, owners, context) : undefined;
    if (order) report(use, order.args, order.reason, context);
  }
  const others = uses.filter(
    ({ predicate, position, args }) =>
      !kindOf.has(predicate.text) && position !== "assertion" && args.length <= factArgumentsMax,
  );
  for (const group of Map.groupBy(others, ({ predicate, args }) => `${predicate.text}/${args.length}`).values())
    checkGroup(group, context);
}

function isInRule({ position }: PredicateUse): boolean {
  return position === "head" || position === "call";
}

const kindOf: ReadonlyMap<string, NameKind> = new Map([
  ["allow", "permission"],
  ["has_role", "role"],
  ["has_permission", "permission"],
  ["has_relation", "relation"],
]);

interface Order {
  readonly args: readonly Argument[];
  readonly reason: string;
}

/** The right order of a use of `has_role` and the like; `undefined` if it has it, or if that is not certain. */
function builtInOrder({ args }: PredicateUse, kind: NameKind, owners: Owners, context: Context): Order | undefined {
  const [first, name, last] = args;
  if (!first || !name || args.length > 3) return undefined;
  if (name.types?.has("String") === false) {
    const position = args.findIndex(({ types }) => types?.size === 1 && types.has("String"));
    if (position < 0) return undefined;
    const rest = args.filter((_, index) => index !== position);
    return {
      args: rest.toSpliced(1, 0, ...args.slice(position, position + 1)),
      reason: `the name of the ${kind} is the second argument`,
    };
  }
  if (!last?.owner || !first.owner || !first.types || !last.types) return undefined;
  const swapped = [last, name, first];
  const [owner, other] = kind === "relation" ? [first.owner, last.owner] : [last.owner, first.owner];
  if (declaresAny(owner, kind, name.names)) return undefined;
  if (kind === "relation") {
    const leads = [...other.types].some((type) =>
      [...(context.declarations.types.get(type)?.names.values() ?? [])].some(
        (declared) =>
          declared.kind === "relation" &&
          name.names?.includes(declared.name) !== false &&
          declared.type !== undefined &&
          owners.narrowest([{ type: declared.type.text, exact: false }])?.types.isDisjointFrom(owner.types) === false,
      ),
    );
    return leads
      ? { args: swapped, reason: "the value with the relation is the first argument, the related value the last" }
      : undefined;
  }
  const isSwapped = isKind(last, "actor", context) && isKind(first, "resource", context);
  return isSwapped ? { args: swapped, reason: "the actor is the first argument, the resource the last" } : undefined;
}

/** Whether all values that an argument may have are actors, or resources. */
function isKind({ types }: Argument, kind: TypeEntry["kind"], { declarations }: Context): boolean {
  return types !== undefined && [...types].every((type) => declarations.types.get(type)?.kind === kind);
}

/** Whether the owner declares one of the names, or any if these are not known; true if its names are not known. */
function declaresAny({ names }: Owner, kind: NameKind, wanted: readonly string[] | undefined): boolean {
  if (!names) return true;
  return wanted ? wanted.some((name) => names[kind].has(name)) : names[kind].size > 0;
}

/** More combinations of types than people write for one predicate: all are compared with each other. */
const shapesMax = 100;

/** Uses of a predicate with the same types. */
interface Shape {
  readonly first: PredicateUse;
  /** Whether all are calls. */
  readonly isOnlyCalled: boolean;
  /** Whether a rule has it. */
  readonly isDerived: boolean;
  readonly count: number;
  readonly statements: ReadonlySet<object>;
}

/** `uses` are those of one predicate. Calls are reported whose types fit others only with two arguments exchanged. */
function checkGroup(uses: readonly PredicateUse[], context: Context): void {
  const shapes = [...Map.groupBy(uses, shapeKey()).values()].flatMap(newShape);
  if (shapes.length > shapesMax) return;
  for (const shape of shapes) {
    const { args } = shape.first;
    // Predicates that take a name, as `has_role` does, are often for several types.
    const takesName = args.some(({ types }) => types?.has("String"));
    if (!shape.isOnlyCalled || args.some(({ types }) => types === undefined)) continue;
    const others = shapes.filter((one) => one !== shape);
    if (others.some((one) => !one.isOnlyCalled && mayAgree(one.first.args, args))) continue;
    for (const right of exchanges(args)) {
      // Facts such as `shared_with(doc, folder)` and `shared_with(folder, doc)` may stand beside each other.
      const isCertain = differInKind(args, right, takesName, context);
      const other = others.find(
        (one) =>
          (isCertain || (one.isDerived && !takesName)) &&
          mayAgree(one.first.args, right) &&
          !mayAgree(one.first.args, args) &&
          isBetter(one, shape),
      );
      // A rule such as `linked(x, y) if linked(y, x)` has both orders on purpose.
      if (!other || !other.statements.isDisjointFrom(shape.statements)) continue;
      report(shape.first, right, "elsewhere the policy has another order", context, other.first);
      break;
    }
  }
}

/** Whether there is an actor instead of a resource somewhere, or a string, integer or boolean instead of these. */
function differInKind(
  args: readonly Argument[],
  others: readonly Argument[],
  takesName: boolean,
  context: Context,
): boolean {
  return args.some((arg, position) => {
    const other = others[position];
    if (!other || !arg.owner || !other.owner) return (arg.owner ?? other?.owner) !== undefined;
    return !takesName && isKind(arg, "actor", context) && isKind(other, "resource", context);
  });
}

function newShape(uses: readonly PredicateUse[]): Shape[] {
  const [first] = uses;
  const isOnlyCalled = uses.every(({ position }) => position === "call");
  const isDerived = uses.some(({ position }) => position === "head");
  return first
    ? [{ first, isOnlyCalled, isDerived, count: uses.length, statements: new Set(uses.map((use) => use.statement)) }]
    : [];
}

/** Of two orders that only calls have, the one with more calls is right, or else the first. */
function isBetter(other: Shape, than: Shape): boolean {
  if (other.first.args.some(({ types }) => types === undefined)) return false;
  if (!other.isOnlyCalled || other.count !== than.count) return !other.isOnlyCalled || other.count > than.count;
  return other.first.predicate.span.start < than.first.predicate.span.start;
}

/** Equal types are the same set, except in rules that nobody writes twice. */
function shapeKey(): (use: PredicateUse) => string {
  const numbers = new Map<ReadonlySet<string> | undefined, number>();
  const numberOf = (types: ReadonlySet<string> | undefined) => numbers.getOrInsertComputed(types, () => numbers.size);
  return ({ args }) => args.map(({ types }) => numberOf(types)).join();
}

/** The arguments with two of them exchanged, in all ways. */
function exchanges(args: readonly Argument[]): Argument[][] {
  return args.flatMap((one, left) =>
    args.slice(left + 1).map((other, distance) => args.with(left, other).with(left + 1 + distance, one)),
  );
}

function report(
  { predicate, args }: PredicateUse,
  right: readonly Argument[],
  reason: string,
  context: Context,
  reference?: PredicateUse,
): void {
  const types = args.map(({ text, types: found }) => (found?.size === 1 ? [...found].join("") : text));
  const message = `the arguments of ${quote(predicate.text)} seem to be in the wrong order (${types.join(", ")}): ${reason}`;
  context.report.warning("rule/argument-order", predicate.span, message, {
    hint: `did you mean ${quote(`${predicate.text}(${right.map(({ text }) => text).join(", ")})`)}?`,
    ...(reference && { related: [{ message: "the other order", span: reference.predicate.span }] }),
  });
}
